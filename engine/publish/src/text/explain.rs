//! What makes kwhy believe a finding, as text: the finding's heading, then step by step from root to symptom.

use kwhy_proto::v1::{Finding, Rejection};

use super::{
    Style,
    finding::{heading, status, times},
    page::{Ink, Line, Page},
};
use crate::{
    describe::{self, count},
    explain::{Brief, Explanation, Sign, Step},
    moment::{self, Clock},
    sanitize,
};

/// Where the number of a step stands, its object, and the words of its signs.
const NUMBER: usize = 4;
const OBJECT: usize = 6;
/// Most signs shown of one step, and of what is apart from the steps.
const SIGNS: usize = 6;

/// `explanation` as text that ends in a line end.
#[must_use]
pub fn explain(explanation: &Explanation, style: &Style) -> String {
    let mut page = Page::new(style);
    let finding = &explanation.finding;
    let clock = Clock::over(times(finding));
    heading(&mut page, finding);
    status(&mut page, finding, clock, moment::of(finding.updated_at.as_ref()), false);
    identity(&mut page, finding);
    page.wrapped(Line::new().to(2), Ink::Plain, &sanitize::line(&finding.explanation), usize::MAX);

    title(&mut page, "From the cause to the symptoms");
    for (number, step) in explanation.steps.iter().enumerate() {
        put_step(&mut page, number + 1, step, clock);
    }
    section(&mut page, "Further evidence", &explanation.further, clock);
    section(&mut page, "What speaks against it", &explanation.against, clock);
    rejected(&mut page, &finding.rejected, clock);
    briefs(&mut page, "Folded under", explanation.folded_under.as_slice());
    briefs(&mut page, "Its effects, folded under it", &explanation.effects);
    title(&mut page, "So kwhy believes it");
    page.flow(Line::new().to(OBJECT), OBJECT, account(explanation));
    page.finish()
}

fn title(page: &mut Page, text: &str) {
    page.gap();
    page.put(Line::new().to(2).add(Ink::Label, text));
}

fn identity(page: &mut Page, finding: &Finding) {
    let mut parts = vec![
        (Ink::Quiet, sanitize::line(&finding.id)),
        (Ink::Quiet, format!("revision {}", finding.revision)),
    ];
    if let Some(rule) = &finding.rule {
        let digest: String = rule.digest.chars().take(12).collect();
        parts.push((
            Ink::Quiet,
            sanitize::line(&format!("rule {} {} (sha256 {digest})", rule.name, rule.version)),
        ));
    }
    page.flow(Line::new().to(2), 2, parts);
}

fn put_step(page: &mut Page, number: usize, step: &Step, clock: Clock) {
    let object = step.object.as_ref().map_or_else(|| "?".to_owned(), |it| describe::object(it, ""));
    let mut parts = vec![(Ink::Title, object)];
    if step.parent > 0 {
        parts.push((Ink::Quiet, hangs(&step.relation, step.parent)));
    }
    parts.push((Ink::Plain, sanitize::line(&step.note)));
    let number = number.to_string();
    let line = Line::new().to(NUMBER.saturating_sub(number.len())).add(Ink::Quiet, &number).pad(OBJECT);
    page.flow(line, OBJECT, parts);
    signs(page, &step.signs, clock);
}

/// How a step hangs on another, in words: `owned by 2`.
fn hangs(relation: &str, on: u32) -> String {
    match relation {
        "owner" => format!("owns {on}"),
        "owned" => format!("owned by {on}"),
        "node" => format!("the node of {on}"),
        "pod" => format!("runs on {on}"),
        "selects" => format!("selected by {on}"),
        "selected-by" => format!("selects {on}"),
        "uses" => format!("used by {on}"),
        "used-by" => format!("uses {on}"),
        "scales" => format!("scaled by {on}"),
        "scaled-by" => format!("scales {on}"),
        "" => format!("below {on}"),
        other => sanitize::line(&format!("{other}, from {on}")),
    }
}

fn section(page: &mut Page, name: &str, all: &[Sign], clock: Clock) {
    if all.is_empty() {
        return;
    }
    title(page, name);
    for sign in all.iter().take(SIGNS) {
        put_sign(page, sign, clock, true);
    }
    more(page, all.len());
}

fn signs(page: &mut Page, all: &[Sign], clock: Clock) {
    for sign in all.iter().take(SIGNS) {
        put_sign(page, sign, clock, false);
    }
    more(page, all.len());
}

fn more(page: &mut Page, all: usize) {
    if let Some(more) = all.checked_sub(SIGNS).filter(|more| *more > 0) {
        page.put(Line::new().to(OBJECT + 2).add(Ink::Quiet, &format!("… {more} more")));
    }
}

/// When, where from, what about, the words; below them what they show and where they can be looked up.
fn put_sign(page: &mut Page, sign: &Sign, clock: Clock, with_object: bool) {
    let (time, source) = if clock.dated() { (15, 7) } else { (8, 7) };
    let at = moment::of(sign.at.as_ref()).map(|ms| clock.second(ms)).unwrap_or_default();
    let from = OBJECT + 2;
    let line = Line::new().to(from).add(Ink::Quiet, &at).pad(from + time + 2);
    let line = line.add(Ink::Quiet, &sanitize::line(&sign.source)).pad(from + time + 2 + source + 2);
    let column = line.width();
    let mut words: Vec<String> = Vec::new();
    if let (true, Some(object)) = (with_object, &sign.object) {
        words.push(format!("{}:", describe::object(object, "")));
    }
    words.extend(sanitize::lines(&sign.text).take(4));
    let note = sanitize::line(&sign.note);
    let mut line = Some(line);
    let narrow = page.columns() < column + 24;
    for part in &words {
        let mut first = line.take().unwrap_or_else(|| Line::new().to(column));
        if narrow {
            page.put(first);
            first = Line::new().to(from + 2);
        }
        page.wrapped(first, Ink::Plain, part, 3);
    }
    let weight = if sign.weight == 0 { String::new() } else { format!("weight {:+}", sign.weight) };
    let parts =
        [note, weight, sanitize::line(&sign.origin)].map(|part| (Ink::Quiet, part)).into_iter().collect();
    let below = if narrow { from + 2 } else { column };
    let line = line.unwrap_or_else(|| Line::new().to(below));
    if sign.note.is_empty() && sign.weight == 0 && sign.origin.is_empty() {
        return;
    }
    page.flow(line, below, parts);
}

fn rejected(page: &mut Page, rejected: &[Rejection], clock: Clock) {
    if rejected.is_empty() {
        return;
    }
    title(page, "Causes that were ruled out");
    for rejection in rejected {
        let parts = vec![
            (Ink::Title, sanitize::line(&rejection.code)),
            (Ink::Quiet, rejection.root.as_ref().map(|it| describe::object(it, "")).unwrap_or_default()),
        ];
        page.flow(Line::new().to(OBJECT), OBJECT, parts);
        page.wrapped(Line::new().to(OBJECT + 2), Ink::Plain, &sanitize::line(&rejection.because), usize::MAX);
        for evidence in rejection.evidence.iter().take(SIGNS) {
            put_sign(page, &Sign::from(evidence), clock, true);
        }
    }
}

fn briefs(page: &mut Page, name: &str, all: &[Brief]) {
    if all.is_empty() {
        return;
    }
    title(page, name);
    for brief in all {
        let text = format!("{} · {} · {} %", brief.title, brief.code, brief.confidence);
        page.wrapped(Line::new().to(OBJECT), Ink::Plain, &sanitize::line(&text), 2);
        page.put(Line::new().to(OBJECT).add(Ink::Quiet, &sanitize::line(&brief.id)));
    }
}

/// What it all adds up to.
fn account(explanation: &Explanation) -> Vec<(Ink, String)> {
    let finding = &explanation.finding;
    let weighed = |wanted: fn(i32) -> bool| finding.evidence.iter().filter(|it| wanted(it.weight)).count();
    let many = |n: usize, one: &str| count(u64::try_from(n).unwrap_or(u64::MAX), one);
    let alerts = finding.symptoms.iter().filter(|it| it.source == "alert").count();
    let mut parts = vec![
        format!("{} % sure", finding.confidence),
        format!("{} for it", many(weighed(|weight| weight > 0), "sign")),
        format!("{} against", weighed(|weight| weight < 0)),
        format!("it accounts for {}", many(alerts, "alert")),
    ];
    if !finding.rejected.is_empty() {
        parts.push(format!("{} ruled out", many(finding.rejected.len(), "other cause")));
    }
    parts.into_iter().map(|part| (Ink::Plain, part)).collect()
}
