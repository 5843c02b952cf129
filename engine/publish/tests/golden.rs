//! What a person sees, compared with files under `tests/golden`. `KWHY_BLESS=1` writes them anew.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::{env, fs, path::Path};

use kwhy_proto::v1::Finding;
use kwhy_publish::{
    json,
    slack::{self, Links},
    text::{self, Alerts, Report, Style, Unreadable, Watchdog},
};

fn fixture(name: &str) -> Finding {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name).with_extension("json");
    serde_json::from_str(&fs::read_to_string(&file).unwrap())
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn golden(name: &str, got: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if env::var_os("KWHY_BLESS").is_some() {
        fs::write(&file, got).unwrap();
        return;
    }
    let wanted = fs::read_to_string(&file).unwrap_or_default();
    assert!(wanted == got, "{name} differs; KWHY_BLESS=1 accepts\n--- wanted\n{wanted}\n--- got\n{got}");
}

const DAY: u64 = 1_587_686_400_000; // 2020-04-24T00:00:00Z
const HOUR: u64 = 3_600_000;
const MINUTE: u64 = 60_000;

fn homelab<'a>(findings: &'a [Finding], total: u64, unexplained: u64) -> Report<'a> {
    Report {
        cluster: "homelab",
        from_ms: DAY + 12 * HOUR + 30 * MINUTE,
        to_ms: DAY + 13 * HOUR + 15 * MINUTE,
        nodes: 2,
        signals: 412,
        findings,
        alerts: Alerts { total, explained: total - unexplained, unexplained },
        watchdog: Watchdog::Alive,
        problems: &[],
        elapsed_ms: None,
    }
}

#[test]
fn each_finding_reads_as_it_should() {
    for name in ["coredns-open", "coredns-resolved", "unexplained", "not-churn", "node-down"] {
        golden(&format!("{name}.txt"), &text::finding(&fixture(name), &Style::plain()));
    }
}

#[test]
fn a_narrow_coloured_terminal_gets_the_same_words() {
    for columns in [40, 72] {
        let style = Style { color: false, columns };
        golden(&format!("coredns-open-{columns}.txt"), &text::finding(&fixture("coredns-open"), &style));
    }
    let style = Style { color: true, columns: 100 };
    golden("coredns-open-colour.txt", &text::finding(&fixture("coredns-open"), &style));
}

#[test]
fn a_report_sorts_by_severity_and_accounts_for_all() {
    let findings = [fixture("unexplained"), fixture("coredns-open")];
    let problems = [Unreadable {
        file: "kubelet/kal.log".into(),
        lines: 2,
        first: vec![118, 119],
        reason: String::new(),
    }];
    let report = Report { problems: &problems, elapsed_ms: Some(41), ..homelab(&findings, 5, 2) };
    golden("report.txt", &text::report(&report, &Style::plain()));
}

#[test]
fn nothing_wrong_is_one_line() {
    let quiet = homelab(&[], 0, 0);
    golden("report-quiet.txt", &text::report(&quiet, &Style::plain()));
    golden(
        "report-empty.txt",
        &text::report(&Report { signals: 0, watchdog: Watchdog::NotSeen, ..quiet }, &Style::plain()),
    );
    let silent = Report { watchdog: Watchdog::Silent { since_ms: DAY + 12 * HOUR + 41 * MINUTE }, ..quiet };
    golden("report-silent.txt", &text::report(&silent, &Style::plain()));
}

#[test]
fn each_slack_message_is_as_it_should_be() {
    for name in ["coredns-open", "coredns-resolved", "unexplained", "not-churn", "node-down"] {
        let links = Links { page: Some(format!("https://kwhy.example/findings/{name}")), ..Links::default() };
        let message = slack::message(&fixture(name), &links);
        golden(
            &format!("{name}.slack.json"),
            &format!("{}\n", serde_json::to_string_pretty(&message).unwrap()),
        );
    }
}

#[test]
fn a_json_line_is_the_fixture_again() {
    for name in ["coredns-open", "coredns-resolved", "unexplained", "not-churn", "node-down"] {
        let line = json::line(&fixture(name)).unwrap();
        assert_eq!(serde_json::from_str::<Finding>(&line).unwrap(), fixture(name));
        assert!(!line.contains('\n'));
        if name == "unexplained" {
            golden("unexplained.jsonl", &format!("{line}\n"));
        }
    }
}
