//! All findings of one diagnosis as text: a header, the findings, and a last line that accounts for every alert and
//! every input that could not be read.

use kwhy_proto::v1::Finding;

use super::{
    Style,
    finding::put,
    page::{Ink, Line, Page},
};
use crate::{
    describe::{Level, count, level, resolved},
    moment::{self, Clock, lasting},
    sanitize,
};

/// What a diagnosis looked at and found.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// Name of the cluster.
    pub cluster: &'a str,
    /// Start of the observed span, milliseconds since the Unix epoch; 0 where unknown.
    pub from_ms: u64,
    /// End of the observed span; open findings last until here. 0 where unknown.
    pub to_ms: u64,
    /// Nodes that the cluster has.
    pub nodes: usize,
    /// Signals read.
    pub signals: u64,
    /// The latest revision of each finding, in any order.
    pub findings: &'a [Finding],
    /// What became of the alerts.
    pub alerts: Alerts,
    /// Whether the alert that always fires was there.
    pub watchdog: Watchdog,
    /// Input that could not be read.
    pub problems: &'a [Unreadable],
    /// How long it took; absent where it would make equal runs differ.
    pub elapsed_ms: Option<u64>,
}

/// Distinct alerts that fired in the span, without the Watchdog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alerts {
    /// All of them.
    pub total: u64,
    /// Folded under a finding that names a cause.
    pub explained: u64,
    /// Left to an `unexplained` finding.
    pub unexplained: u64,
}

/// The alert that fires as long as the alerting pipeline works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watchdog {
    /// It fires.
    Alive,
    /// It stopped at this time, milliseconds since the Unix epoch.
    Silent {
        /// When it was last heard of.
        since_ms: u64,
    },
    /// It never came, so its absence says nothing.
    NotSeen,
}

/// Input that could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unreadable {
    /// Path within the input.
    pub file: String,
    /// How many lines; 0 where it is the file as a whole.
    pub lines: u64,
    /// Numbers of the first of them, from 1.
    pub first: Vec<u64>,
    /// What is wrong, such as `not gzip`; may be empty.
    pub reason: String,
}

/// `report` as text that ends in a line end: one line where nothing is wrong, otherwise the findings by severity.
#[must_use]
pub fn report(report: &Report<'_>, style: &Style) -> String {
    let mut page = Page::new(style);
    let silent = matches!(report.watchdog, Watchdog::Silent { .. });
    if report.findings.is_empty() && report.alerts.total == 0 && !silent {
        quiet(&mut page, report);
        return page.finish();
    }
    let carried = |finding: &Finding| {
        let under = &finding.folded_under;
        !under.is_empty()
            && under != &finding.id
            && report.findings.iter().any(|it| it.id == *under && it.folded_under.is_empty())
    };
    let mut shown: Vec<_> = report.findings.iter().filter(|it| !carried(it)).collect();
    shown.sort_by_cached_key(|it| (level(it), resolved(it), moment::of(it.onset_at.as_ref()), it.id.clone()));
    header(&mut page, report, &shown);
    let now = (report.to_ms > 0).then_some(report.to_ms);
    let one_day = !Clock::over([report.from_ms, report.to_ms].into_iter()).dated();
    for finding in shown {
        page.gap();
        let folded: Vec<_> =
            report.findings.iter().filter(|it| carried(it) && it.folded_under == finding.id).collect();
        put(&mut page, finding, now, now.filter(|_| one_day), &folded);
    }
    page.gap();
    account(&mut page, report);
    page.finish()
}

fn header(page: &mut Page, report: &Report<'_>, shown: &[&Finding]) {
    let notes = shown.iter().filter(|it| level(it) == Level::Info).count();
    let came = match (shown.len() - notes, notes) {
        (0, 0) => "no finding".to_owned(),
        (0, notes) => number(notes, "note"),
        (found, 0) => number(found, "finding"),
        (found, notes) => format!("{}, {}", number(found, "finding"), number(notes, "note")),
    };
    let mut parts = looked_at(report);
    parts.push((Ink::Plain, format!("{} → {came}", count(report.alerts.total, "alert"))));
    page.flow(Line::new(), 2, parts);
}

/// Cluster, span, and how much was read.
fn looked_at(report: &Report<'_>) -> Vec<(Ink, String)> {
    vec![
        (Ink::Title, sanitize::line(report.cluster)),
        (Ink::Plain, span(report)),
        (Ink::Plain, number(report.nodes, "node")),
        (Ink::Plain, count(report.signals, "signal")),
    ]
}

/// `2020-04-24 13:05 → 13:35 UTC`
fn span(report: &Report<'_>) -> String {
    let (from, to) = (report.from_ms, report.to_ms);
    if to == 0 {
        return String::new();
    }
    let day = moment::date(to);
    let until = match moment::date(from) == day {
        true => moment::minute(to),
        false => format!("{day} {}", moment::minute(to)),
    };
    format!("{} {} → {until} UTC", moment::date(from), moment::minute(from))
}

/// One line that says nothing is wrong and on what ground.
fn quiet(page: &mut Page, report: &Report<'_>) {
    let (ink, verdict) = match report.signals {
        0 => (Ink::Warning, "▲ nothing to judge by: no signal was read"),
        _ => (Ink::Good, "✔ nothing wrong"),
    };
    let mut parts = vec![(ink, verdict.to_owned())];
    parts.extend(looked_at(report));
    parts.push((Ink::Plain, "0 alerts".to_owned()));
    parts.extend(inputs(report));
    page.flow(Line::new(), 2, parts);
}

/// The last line.
fn account(page: &mut Page, report: &Report<'_>) {
    let Alerts { total, explained, unexplained } = report.alerts;
    // Should the sum ever not come out, the reader must see it.
    let lost = total.abs_diff(explained.saturating_add(unexplained));
    let ink = if unexplained > 0 || lost > 0 { Ink::Warning } else { Ink::Good };
    let adrift = if lost > 0 { format!(", {lost} unaccounted for") } else { String::new() };
    let sum = format!("{}: {explained} explained, {unexplained} unexplained{adrift}", count(total, "alert"));
    let mut parts = vec![(if total == 0 { Ink::Plain } else { ink }, sum)];
    parts.extend(inputs(report));
    page.flow(Line::new(), 2, parts);
}

/// Watchdog, unreadable input, time taken.
fn inputs(report: &Report<'_>) -> Vec<(Ink, String)> {
    let mut parts = vec![match report.watchdog {
        Watchdog::Alive => (Ink::Plain, "Watchdog alive".to_owned()),
        Watchdog::NotSeen => (Ink::Plain, "no Watchdog seen".to_owned()),
        Watchdog::Silent { since_ms } => {
            let clock = Clock::over([since_ms, report.to_ms].into_iter());
            let long = lasting(report.to_ms.saturating_sub(since_ms));
            (Ink::Critical, format!("Watchdog silent since {} ({long})", clock.minute(since_ms)))
        }
    }];
    parts.push((Ink::Warning, unreadable(report.problems)));
    parts.push((Ink::Quiet, report.elapsed_ms.map(took).unwrap_or_default()));
    parts
}

/// `2 lines unreadable (kubelet/kal.log:118, 119)`
fn unreadable(problems: &[Unreadable]) -> String {
    let named = 5;
    let lines: u64 = problems.iter().map(|it| it.lines).fold(0, u64::saturating_add);
    let files = problems.iter().filter(|it| it.lines == 0).count();
    let mut places: Vec<_> = problems.iter().take(named).map(place).collect();
    if let Some(more) = problems.len().checked_sub(named).filter(|more| *more > 0) {
        places.push(format!("{more} more files"));
    }
    let what = match (lines, files) {
        (0, 0) => return String::new(),
        (0, files) => number(files, "file"),
        (lines, 0) => count(lines, "line"),
        (lines, files) => format!("{}, {}", number(files, "file"), count(lines, "line")),
    };
    format!("{what} unreadable ({})", places.join("; "))
}

/// `kubelet/kal.log:118, 119, …: no timestamp`
fn place(problem: &Unreadable) -> String {
    let named = 3;
    let mut text = sanitize::line(&problem.file);
    let numbers: Vec<_> = problem.first.iter().take(named).map(u64::to_string).collect();
    if !numbers.is_empty() {
        text = format!("{text}:{}", numbers.join(", "));
    }
    if problem.lines > u64::try_from(numbers.len()).unwrap_or(u64::MAX) {
        text.push_str(if numbers.is_empty() { "" } else { ", …" });
    }
    match sanitize::line(&problem.reason) {
        reason if reason.is_empty() => text,
        reason => format!("{text}: {reason}"),
    }
}

fn took(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => lasting(ms),
    }
}

fn number(n: usize, one: &str) -> String {
    count(u64::try_from(n).unwrap_or(u64::MAX), one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kwhy_proto::v1::{ObjectRef, Rejection};

    fn at(file: &str, lines: u64, first: &[u64], reason: &str) -> Unreadable {
        Unreadable { file: file.into(), lines, first: first.into(), reason: reason.into() }
    }

    #[test]
    fn every_unreadable_line_is_counted_and_the_first_of_each_file_named() {
        assert_eq!(unreadable(&[]), "");
        assert_eq!(
            unreadable(&[at("kubelet/kal.log", 2, &[118, 119], "")]),
            "2 lines unreadable (kubelet/kal.log:118, 119)"
        );
        let mixed = [at("a.log", 9, &[1, 2, 3, 4], ""), at("events.json", 0, &[], "cut off at byte 4096")];
        assert_eq!(
            unreadable(&mixed),
            "1 file, 9 lines unreadable (a.log:1, 2, 3, …; events.json: cut off at byte 4096)"
        );
    }

    #[test]
    fn many_unreadable_files_are_counted_after_the_fifth() {
        let many: Vec<_> = (0..8).map(|n| at(&format!("{n}.log"), 1, &[7], "")).collect();
        assert!(unreadable(&many).ends_with("4.log:7; 3 more files)"), "{}", unreadable(&many));
    }

    #[test]
    fn time_taken_is_said_in_the_unit_that_fits() {
        assert_eq!([41, 1249, 61_000].map(took), ["41 ms", "1.2 s", "1 min"]);
    }

    fn named(id: &str, severity: i32, folded_under: &str) -> Finding {
        Finding {
            id: id.into(),
            title: format!("t-{id}"),
            severity,
            folded_under: folded_under.into(),
            ..Finding::default()
        }
    }

    fn of(findings: &[Finding], alerts: Alerts) -> String {
        let watchdog = Watchdog::Alive;
        let bare = Report {
            cluster: "c",
            from_ms: 0,
            to_ms: 0,
            nodes: 1,
            signals: 1,
            findings,
            alerts,
            watchdog,
            problems: &[],
            elapsed_ms: None,
        };
        report(&bare, &Style::plain())
    }

    #[test]
    fn findings_come_by_severity_and_a_folded_one_under_the_one_that_explains_it() {
        let findings = [named("i", 1, ""), named("w", 2, ""), named("f", 2, "c"), named("c", 3, "")];
        let text = of(&findings, Alerts { total: 1, explained: 1, unexplained: 0 });
        let order: Vec<_> = text.split_whitespace().filter(|word| word.starts_with("t-")).collect();
        assert_eq!(order, ["t-c", "t-f", "t-w", "t-i"], "{text}");
        assert!(text.contains("Also  t-f") && text.contains("2 findings, 1 note"), "{text}");
    }

    #[test]
    fn a_cause_that_was_ruled_out_is_not_told_twice() {
        let root = Some(ObjectRef { kind: "Node".into(), name: "n1".into(), ..ObjectRef::default() });
        let lesser = Finding { code: "p.lesser".into(), root: root.clone(), ..named("f", 1, "c") };
        let why =
            Rejection { code: "p.lesser".into(), root, because: "less well".into(), ..Rejection::default() };
        let best = Finding { rejected: vec![why], ..named("c", 3, "") };
        let text = of(&[best, lesser], Alerts::default());
        assert!(text.contains("p.lesser   less well") && !text.contains("Also"), "{text}");
    }

    #[test]
    fn a_finding_folded_under_one_that_is_not_there_is_shown() {
        for findings in [[named("f", 2, "gone")], [named("f", 2, "f")]] {
            assert!(of(&findings, Alerts::default()).contains("WARNING  t-f"));
        }
    }

    #[test]
    fn an_alert_that_nobody_accounts_for_is_said_so() {
        let text = of(&[], Alerts { total: 3, explained: 1, unexplained: 1 });
        assert!(text.contains("3 alerts: 1 explained, 1 unexplained, 1 unaccounted for"), "{text}");
    }
}
