//! One finding as text.

use kwhy_proto::v1::{Change, Finding};

use super::{
    Style,
    page::{Ink, Line, Page},
};
use crate::{
    cut::{self, Telling},
    describe::{self, Level, Said, level, object, resolved, short, unexplained},
    moment::{self, Clock, lasting},
    sanitize,
    tree::{self, Mark, Row},
};

/// Where the content of a section starts, behind its label.
const CONTENT: usize = 8;
/// A tree of more rows shrinks, so that the remedy stays on the first screen.
const TREE_WANT: usize = 16;
const TREE_MOST: usize = 40;
/// Changes that are shown with their difference.
const CHANGES: usize = 3;

/// `finding` as text that ends in a line end. Severity INFO is shown short.
#[must_use]
pub fn finding(finding: &Finding, style: &Style) -> String {
    let mut page = Page::new(style);
    let now = moment::of(finding.updated_at.as_ref());
    put(&mut page, finding, now, None, &[]);
    page.finish()
}

/// Puts `finding` on the page. `now`: until when an open one has lasted. `day`: a time on the day the reader has in
/// mind; without it the status line says the date. `folded`: findings that this one carries.
pub(super) fn put(
    page: &mut Page,
    finding: &Finding,
    now: Option<u64>,
    day: Option<u64>,
    folded: &[&Finding],
) {
    let clock = Clock::over(times(finding).chain(day));
    let brief = level(finding) == Level::Info && !resolved(finding);
    heading(page, finding);
    let verdict = brief && !unexplained(finding);
    if !verdict {
        status(page, finding, clock, now, day.is_some());
    }
    let explanation = sanitize::line(&finding.explanation);
    if !explanation.is_empty() && explanation != sanitize::line(&finding.title) {
        page.wrapped(Line::new().to(2), Ink::Plain, &explanation, if brief { 2 } else { 4 });
    }
    if verdict {
        return evidence(page, finding, clock, 1, 0);
    }
    if !finding.path.is_empty() || !finding.symptoms.is_empty() {
        page.gap();
        branches(page, finding, clock);
    }
    page.gap();
    evidence(page, finding, clock, if brief { 4 } else { 6 }, 3);
    rejected(page, finding);
    changes(page, finding, clock);
    also(page, finding, folded);
    remedies(page, finding);
    missing(page, finding);
}

/// What the finding itself lacks, as it would have been too large.
fn missing(page: &mut Page, finding: &Finding) {
    if let Some(what) = describe::omitted(finding) {
        page.gap();
        let text = format!("left out, as it would have been too large: {what}");
        page.wrapped(Line::new().to(2), Ink::Quiet, &text, 2);
    }
}

/// Every time that is shown.
pub(super) fn times(finding: &Finding) -> impl Iterator<Item = u64> {
    let symptoms = finding.symptoms.iter().flat_map(|it| [it.since.as_ref(), it.until.as_ref()]);
    let evidence = finding.evidence.iter().map(|it| it.at.as_ref());
    let changes = finding.changes.iter().chain(&finding.confirmed_fix).map(|it| it.at.as_ref());
    let own = [&finding.onset_at, &finding.opened_at, &finding.updated_at, &finding.resolved_at]
        .map(Option::as_ref);
    own.into_iter().chain(symptoms).chain(evidence).chain(changes).filter_map(moment::of)
}

/// Mark, title, and to the right the code.
pub(super) fn heading(page: &mut Page, finding: &Finding) {
    let (ink, mark) = match (resolved(finding), level(finding)) {
        (true, _) => (Ink::Good, "✔ RESOLVED  "),
        (_, Level::Critical) => (Ink::Critical, "✖ CRITICAL  "),
        (_, Level::Warning) => (Ink::Warning, "▲ WARNING  "),
        (_, Level::Info) => (Ink::Info, "ℹ "),
    };
    let (title, code) = (describe::title(finding), describe::code(finding));
    let first = Line::new().add(ink, mark);
    let column = page.columns().saturating_sub(cut::width(&code));
    if first.width() + cut::width(&title) + 3 <= column {
        return page.put(first.add(Ink::Title, &title).to(column).add(Ink::Quiet, &code));
    }
    page.wrapped(first, Ink::Title, &title, 4);
    page.wrapped(Line::new().to(2), Ink::Quiet, &code, 2);
}

/// Since when, or how long and what ended it.
pub(super) fn status(page: &mut Page, finding: &Finding, clock: Clock, now: Option<u64>, day_known: bool) {
    let began = moment::of(finding.onset_at.as_ref()).or_else(|| moment::of(finding.opened_at.as_ref()));
    let ended = moment::of(finding.resolved_at.as_ref());
    let at = |ms: u64| match day_known || clock.dated() {
        true => clock.second(ms),
        false => format!("{} {} UTC", moment::date(ms), clock.second(ms)),
    };
    let since = |until: Option<u64>| match (began, until) {
        (Some(from), Some(to)) if to > from => Some(lasting(to - from)),
        _ => None,
    };
    let mut parts = Vec::new();
    if resolved(finding) {
        let when = ended.map(|ms| format!(" {}", at(ms))).unwrap_or_default();
        let after = since(ended).map(|long| format!(" after {long}")).unwrap_or_default();
        parts.push((Ink::Good, format!("resolved{when}{after}")));
        parts.push((Ink::Plain, fix(finding, clock).unwrap_or_else(|| sanitize::line(&finding.resolution))));
    } else if let Some(from) = began {
        let long = since(now).map(|long| format!(" ({long})")).unwrap_or_default();
        parts.push((Ink::Plain, format!("open since {}{long}", at(from))));
    }
    if finding.episode > 1 {
        parts.push((Ink::Plain, format!("came back, episode {}", finding.episode)));
    }
    if finding.flaps > 0 {
        parts.push((Ink::Plain, format!("flapped {} times", finding.flaps).replace(" 1 times", " once")));
    }
    if !finding.superseded.is_empty() {
        parts.push((Ink::Quiet, sanitize::line(&format!("carries on {}", finding.superseded.join(", ")))));
    }
    if !finding.folded_under.is_empty() {
        parts.push((Ink::Quiet, sanitize::line(&format!("folded under {}", finding.folded_under))));
    }
    if !parts.is_empty() {
        page.flow(Line::new().to(2), 2, parts);
    }
}

/// `2 min after ConfigMap kube-system/coredns: data.Corefile edited (confirmed: symptoms stopped)`
fn fix(finding: &Finding, clock: Clock) -> Option<String> {
    let fix = finding.confirmed_fix.as_ref()?;
    let what = fix.object.as_ref().map(|it| format!("{}: ", object(it, ""))).unwrap_or_default();
    let what = format!("{what}{}", sanitize::line(&fix.summary));
    let after = match (moment::of(fix.at.as_ref()), moment::of(finding.resolved_at.as_ref())) {
        (Some(from), Some(to)) if to >= from => format!("{} after ", lasting(to - from)),
        (Some(at), _) => format!("{} ", clock.second(at)),
        _ => "after ".to_owned(),
    };
    Some(format!("{after}{what} (confirmed: symptoms stopped)"))
}

fn branches(page: &mut Page, finding: &Finding, clock: Clock) {
    let rows = tree::rows(finding, clock, TREE_WANT, TREE_MOST);
    let inner = page.columns().saturating_sub(2);
    let column = 2 + tree::note_column(&rows, inner, inner.saturating_sub(50).clamp(18, 34));
    for row in rows {
        branch(page, &row, column);
    }
}

fn branch(page: &mut Page, row: &Row, column: usize) {
    let ink = |mark: Mark| match mark {
        Mark::Object => Ink::Plain,
        Mark::Firing => Ink::Critical,
        Mark::Stopped => Ink::Good,
        Mark::Event => Ink::Warning,
    };
    let line = Line::new().to(2).add(Ink::Quiet, &row.branch).add(ink(row.mark), row.mark.glyph());
    let room = page.columns().saturating_sub(line.width());
    let line = line.add(
        if row.mark == Mark::Object { Ink::Plain } else { Ink::Title },
        &cut::middle(&row.name, room, Telling::Ends),
    );
    let (mark, sign) = row.sign.as_ref().map_or((Mark::Object, ""), |(mark, words)| (*mark, words.as_str()));
    let note = match (sign.is_empty(), row.note.is_empty()) {
        (false, false) => format!(" · {}", row.note),
        _ => row.note.clone(),
    };
    let wanted = cut::width(mark.glyph()) + cut::width(sign) + cut::width(&note);
    if wanted == 0 {
        return page.put(line);
    }
    // A note that would be cut to a stump goes below the name instead.
    let here = page.columns().saturating_sub(column.max(line.width() + 2));
    let line = if here >= wanted.min(24) {
        line.to(column)
    } else {
        page.put(line);
        let indent = (4 + cut::width(&row.branch)).min(page.columns().saturating_sub(20));
        passing(row, indent)
    };
    let column = line.width();
    let room = page.columns().saturating_sub(column);
    if sign.is_empty() {
        let mut line = line;
        for part in cut::wrap(&note, room, 2) {
            page.put(line.add(Ink::Quiet, &part));
            line = passing(row, column);
        }
        return;
    }
    let line = line.add(ink(mark), mark.glyph());
    let room = page.columns().saturating_sub(line.width());
    let line = line.plain(&cut::middle(sign, room, Telling::Start));
    let room = page.columns().saturating_sub(line.width());
    let note = if room < 16 { String::new() } else { cut::middle(&note, room, Telling::Start) };
    page.put(line.add(Ink::Quiet, &note));
}

/// The start of a line that goes on below `row`, up to `column`.
fn passing(row: &Row, column: usize) -> Line {
    let line = Line::new().to(2);
    let arms = row.below.trim_end();
    let drawn = if cut::width(arms) + 3 <= column { line.add(Ink::Quiet, arms) } else { line };
    drawn.pad(column)
}

fn label(text: &str) -> Line {
    Line::new().to(2).add(Ink::Label, text).to(CONTENT)
}

/// What speaks for the cause and against it, in columns: when, about what, the words.
fn evidence(page: &mut Page, finding: &Finding, clock: Clock, most_for: usize, most_against: usize) {
    // A change that has its own section with the difference is not said twice.
    let told = |it: &Said| {
        let changes = finding.changes.iter().take(CHANGES).chain(&finding.confirmed_fix);
        !it.signal.is_empty() && changes.into_iter().any(|change| change.signal == it.signal)
    };
    let all = |speaks_for, most: usize| {
        let mut all = describe::evidence(finding, speaks_for);
        if most > 1 {
            all.retain(|it| !told(it));
        }
        let more = all.len().saturating_sub(most);
        all.truncate(most);
        (all, if most > 1 { more } else { 0 })
    };
    let (pro, con) = (all(true, most_for), all(false, most_against));
    let time_of = |it: &Said| it.at.map(|ms| clock.second(ms)).unwrap_or_default();
    let gap = |wide: usize| if wide == 0 { 0 } else { wide + 2 };
    let both = || pro.0.iter().chain(&con.0);
    let times = gap(both().map(|it| cut::width(&time_of(it))).max().unwrap_or(0));
    let whos = gap(both().map(|it| cut::width(&it.who).min(20)).max().unwrap_or(0));
    // In a narrow terminal the words go below their time and object.
    let below = page.columns() < CONTENT + times + whos + 30;
    let column = if below { CONTENT + 2 } else { CONTENT + times + whos };
    for (name, (said, more)) in [("Why", pro), ("But", con)] {
        for (position, it) in said.iter().enumerate() {
            let line = if position == 0 { label(name) } else { Line::new().to(CONTENT) };
            let time = time_of(it);
            let mut line = line.add(Ink::Quiet, &time);
            if !(below && time.is_empty()) {
                line = line.pad(CONTENT + times);
            }
            let who =
                cut::middle(&it.who, page.columns().saturating_sub(line.width()).min(20), Telling::Ends);
            line = line.plain(&who);
            if below && !(time.is_empty() && who.is_empty()) {
                page.put(line);
                line = Line::new();
            }
            let strength = match (most_for, position) {
                (1, _) => 1,
                (_, 0) => 3,
                _ => 2,
            };
            words(page, line.pad(column), it, strength);
        }
        if more > 0 {
            page.put(Line::new().to(CONTENT).add(Ink::Quiet, &format!("… {more} more")));
        }
    }
}

/// The excerpt, each of its lines on at most `most`, and what it shows behind it or below.
fn words(page: &mut Page, first: Line, said: &Said, most: usize) {
    let column = first.width();
    let room = page.columns().saturating_sub(column);
    let note = match said.times {
        1 => said.note.clone(),
        times if said.note.is_empty() => format!("×{times}"),
        times => format!("×{times} · {}", said.note),
    };
    match said.excerpt.as_slice() {
        [] => page.wrapped(first, Ink::Plain, &note, 3),
        [one] if cut::width(one) + 3 + cut::width(&note) <= room => {
            let behind = if note.is_empty() { String::new() } else { format!(" · {note}") };
            page.put(first.plain(one).add(Ink::Quiet, &behind));
        }
        many => {
            let mut first = Some(first);
            for line in many.iter().take(4) {
                let start = first.take().unwrap_or_else(|| Line::new().to(column));
                page.wrapped(start, Ink::Plain, line, most);
            }
            if !note.is_empty() {
                page.wrapped(Line::new().to(column), Ink::Quiet, &note, 2);
            }
        }
    }
}

fn rejected(page: &mut Page, finding: &Finding) {
    let codes: Vec<_> = finding.rejected.iter().map(|it| sanitize::line(&it.code)).collect();
    let widest = codes.iter().map(|it| cut::width(it)).max().unwrap_or(0);
    let column = CONTENT + widest.min(30) + 3;
    for (position, (rejection, code)) in finding.rejected.iter().zip(&codes).enumerate() {
        let line = if position == 0 { label("Not") } else { Line::new().to(CONTENT) };
        let line = line.plain(&cut::middle(code, page.columns().saturating_sub(CONTENT), Telling::Ends));
        let because = sanitize::line(&rejection.because);
        if line.width() + 2 > column || page.columns() < column + 24 {
            page.put(line);
            page.wrapped(Line::new().to(CONTENT + 2), Ink::Plain, &because, 3);
        } else {
            page.wrapped(line.to(column), Ink::Plain, &because, 3);
        }
    }
}

/// What changed shortly before, with the difference; for a resolved finding first the change that mended it.
fn changes(page: &mut Page, finding: &Finding, clock: Clock) {
    let fix = finding.confirmed_fix.as_ref();
    let same = |it: &Change| fix.is_some_and(|fix| (&it.object, &it.at) == (&fix.object, &fix.at));
    let rest: Vec<_> = finding.changes.iter().filter(|it| !same(it)).collect();
    edits(page, "Fix", &Vec::from_iter(fix), clock);
    edits(page, "Diff", &rest, clock);
}

fn edits(page: &mut Page, name: &str, changes: &[&Change], clock: Clock) {
    for (position, change) in changes.iter().take(CHANGES).enumerate() {
        let line = if position == 0 { label(name) } else { Line::new().to(CONTENT) };
        let when =
            moment::of(change.at.as_ref()).map(|ms| format!("{}  ", clock.second(ms))).unwrap_or_default();
        let who = change.object.as_ref().map(short).unwrap_or_default();
        let who = cut::middle(&who, page.columns() / 3, Telling::Ends);
        let who = if who.is_empty() { who } else { who + "  " };
        page.wrapped(
            line.add(Ink::Quiet, &when).plain(&who),
            Ink::Plain,
            &sanitize::line(&change.summary),
            2,
        );
        for diff in sanitize::lines(&change.diff).take(6) {
            let ink = if diff.starts_with('+') { Ink::Good } else { Ink::Quiet };
            let line = Line::new().to(CONTENT + 2);
            let room = page.columns().saturating_sub(line.width());
            page.put(line.add(ink, &cut::middle(&diff, room, Telling::Start)));
        }
    }
    if changes.len() > CHANGES {
        page.put(Line::new().to(CONTENT).add(Ink::Quiet, &format!("… {} more", changes.len() - CHANGES)));
    }
}

/// The effects that are folded under a finding, without those that stand among the rejected causes already.
fn also(page: &mut Page, under: &Finding, folded: &[&Finding]) {
    let rejected = |it: &Finding| under.rejected.iter().any(|r| r.code == it.code && r.root == it.root);
    for (position, finding) in folded.iter().filter(|it| !rejected(it)).enumerate() {
        let line = if position == 0 { label("Also") } else { Line::new().to(CONTENT) };
        let text = format!("{} · {}", describe::title(finding), describe::code(finding));
        page.wrapped(line, Ink::Plain, &text, 2);
    }
}

/// What to do, with commands that can be pasted: on lines of their own, never wrapped or cut.
fn remedies(page: &mut Page, finding: &Finding) {
    if finding.confirmed_fix.is_some() || finding.remedy.is_empty() {
        return;
    }
    page.gap();
    let mut line = label("Do");
    if resolved(finding) {
        page.put(line.add(Ink::Quiet, "if it comes back:"));
        line = Line::new().to(CONTENT);
    }
    let deeper = CONTENT + 3;
    for (position, remedy) in finding.remedy.iter().enumerate() {
        let number = format!("{}  ", position + 1);
        page.wrapped(line.add(Ink::Label, &number), Ink::Plain, &sanitize::line(&remedy.text), usize::MAX);
        for command in sanitize::lines(&remedy.command) {
            page.put(Line::new().to(deeper).add(Ink::Command, &command));
        }
        let caution = sanitize::line(&remedy.caution);
        if !caution.is_empty() {
            page.wrapped(Line::new().to(CONTENT).add(Ink::Warning, "!  "), Ink::Plain, &caution, usize::MAX);
        }
        line = Line::new().to(CONTENT);
    }
}

#[cfg(test)]
mod tests {
    use kwhy_proto::v1::{Evidence, ObjectRef, Omission, Remedy, Severity, Status};

    use super::*;

    fn warning() -> Finding {
        Finding {
            severity: Severity::Warning.into(),
            title: "a cause".into(),
            code: "pack.cause".into(),
            ..Finding::default()
        }
    }

    fn said(finding: &Finding) -> String {
        super::finding(finding, &Style::plain())
    }

    #[test]
    fn a_finding_with_nothing_but_a_title_still_reads_well() {
        let gap = " ".repeat(Style::MOST_COLUMNS - "▲ WARNING  a cause".chars().count() - "pack.cause".len());
        assert_eq!(said(&warning()), format!("▲ WARNING  a cause{gap}pack.cause\n"));
    }

    #[test]
    fn a_symptom_that_stopped_by_itself_is_not_called_fixed_and_the_remedy_stays() {
        let finding = Finding {
            status: Status::Resolved.into(),
            onset_at: Some(kwhy_proto::timestamp(1_587_729_600_000)),
            resolved_at: Some(kwhy_proto::timestamp(1_587_731_160_000)),
            resolution: "the alerts stopped".into(),
            remedy: vec![Remedy { text: "look".into(), ..Remedy::default() }],
            ..warning()
        };
        let text = said(&finding);
        assert!(
            text.contains("resolved 2020-04-24 12:26:00 UTC after 26 min · the alerts stopped\n"),
            "{text}"
        );
        assert!(text.contains("Do    if it comes back:\n        1  look\n"), "{text}");
        assert!(!text.contains("confirmed"), "{text}");
    }

    #[test]
    fn what_was_left_out_is_told() {
        let omitted = vec![Omission { what: "symptoms".into(), count: 1200, bytes: 600_000 }];
        let text = said(&Finding { omitted, ..warning() });
        assert!(text.ends_with("  left out, as it would have been too large: 1200 symptoms\n"), "{text}");
    }

    #[test]
    fn a_span_over_midnight_shows_the_day() {
        let at = |ms| Some(kwhy_proto::timestamp(ms));
        let line = |ms| Evidence { excerpt: "x".into(), weight: 1, at: at(ms), ..Evidence::default() };
        let finding =
            Finding { onset_at: at(1_587_772_200_000), evidence: vec![line(1_587_776_400_000)], ..warning() };
        let text = said(&finding);
        assert!(text.contains("open since Apr 24 23:50:00"), "{text}");
        assert!(text.contains("Why   Apr 25 01:00:00  x"), "{text}");
    }

    #[test]
    fn a_command_is_never_wrapped_or_cut() {
        let command = format!("kubectl {}", "get pods -A ".repeat(40)).trim_end().to_owned();
        let remedy = vec![Remedy { command: command.clone(), ..Remedy::default() }];
        let text = super::finding(&Finding { remedy, ..warning() }, &Style { color: false, columns: 40 });
        assert!(text.lines().any(|line| line.trim_start() == command), "{text}");
    }

    #[test]
    fn at_most_six_lines_speak_for_a_cause_and_the_rest_is_counted() {
        let object = |n: usize| {
            Some(ObjectRef { kind: "Pod".into(), name: format!("web-{n}"), ..ObjectRef::default() })
        };
        let evidence = (0..9).map(|n| Evidence {
            object: object(n),
            excerpt: "failed".into(),
            weight: 1,
            ..Evidence::default()
        });
        let text = said(&Finding { evidence: evidence.collect(), ..warning() });
        assert_eq!(text.matches("failed").count(), 6);
        assert!(text.contains("… 3 more\n"), "{text}");
    }
}
