//! Findings whose every word an attacker chose: what is printed and posted stays inert and within its limits.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use kwhy_proto::v1::{
    Change, Evidence, Finding, ObjectRef, Omission, PathStep, Rejection, Remedy, RuleRef, Symptom,
};
use kwhy_publish::{
    json,
    sanitize::hidden,
    slack::{self, Links},
    text::{self, Alerts, Report, Style, Unreadable, Watchdog},
};
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;

/// Up to 10 kB of what breaks terminals, markup, cuts and JSON.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => select(vec![
            "<!channel>", "<!here|x>", "<@U012AB>", "<#C012>", "<http://evil|ok>", "<mailto:a@b|c>", "`", "```", "*b*", "_i_", "~s~", ">",
            "&", "&amp;", "<", "\"", "\\", "\u{1b}[31m", "\u{1b}]0;t\u{7}", "\u{9b}2J", "\u{202e}", "\u{2066}", "\u{200b}", "\u{feff}", "\u{e0041}",
            "\u{2028}", "\u{85}", "\n", "\r", "\t", "\0", "👩‍👩‍👧‍👦", "🏳️‍🌈", "❤️", "水", "e\u{301}\u{301}", "https://evil.example/", ":skull:", "@channel",
        ]).prop_map(str::to_owned),
        3 => "\\PC{0,12}",
        1 => any::<char>().prop_map(String::from),
        1 => (select(vec!["\u{301}", "&", "\"", "<", "w ", "`", "👩🏽", "\u{1b}"]), 1_usize..3000).prop_map(|(it, n)| it.repeat(n)),
    ];
    vec(piece, 0..24).prop_map(|pieces| {
        let mut text = pieces.concat();
        text.truncate(text.floor_char_boundary(10_000));
        text
    })
}

/// Hostile words for every field, taken in turn.
struct Words(Vec<String>, usize);

impl Words {
    fn next(&mut self) -> String {
        self.1 += 1;
        self.0[self.1 % self.0.len()].clone()
    }

    fn object(&mut self) -> Option<ObjectRef> {
        let (kind, namespace, name, uid) = (self.next(), self.next(), self.next(), self.next());
        Some(ObjectRef { kind, namespace, name, uid })
    }

    fn evidence(&mut self, weight: i32) -> Evidence {
        Evidence {
            object: self.object(),
            excerpt: self.next(),
            note: self.next(),
            signal: self.next(),
            source: self.next(),
            origin: self.next(),
            at: at(self.1),
            weight,
        }
    }

    fn change(&mut self) -> Change {
        Change {
            object: self.object(),
            at: at(self.1),
            summary: self.next(),
            diff: self.next(),
            signal: self.next(),
        }
    }
}

fn at(n: usize) -> Option<kwhy_proto::Timestamp> {
    let seconds = [i64::MIN, -1, 0, 1_587_729_600, 1_587_750_000, i64::MAX][n % 6];
    Some(kwhy_proto::Timestamp { seconds, nanos: 0 })
}

fn finding() -> impl Strategy<Value = Finding> {
    let sizes = (0_usize..24, 0_usize..16, 0_usize..5, vec(0_u32..30, 0..30));
    (vec(hostile(), 1..12), sizes, 0..4, 0..3, any::<u32>(), any::<bool>()).prop_map(
        |(words, (symptoms, evidence, few, parents), severity, status, number, fixed)| {
            let w = &mut Words(words, 0);
            let state = |n: usize| ["firing", "resolved", "Warning"][n % 3].to_owned();
            Finding {
                id: w.next(),
                revision: number,
                status,
                severity,
                code: w.next(),
                title: w.next(),
                explanation: w.next(),
                root: w.object(),
                confidence: number,
                symptoms: (0..symptoms)
                    .map(|n| Symptom {
                        source: if n % 4 == 0 { w.next() } else { "alert".into() },
                        name: w.next(),
                        object: if n % 5 == 0 { None } else { w.object() },
                        state: if n % 7 == 0 { w.next() } else { state(n) },
                        labels: [(w.next(), w.next())].into(),
                        since: at(n),
                        until: at(n + 1),
                        message: w.next(),
                        severity: w.next(),
                        signal: w.next(),
                        runbook_url: w.next(),
                        generator_url: format!("http://h/{}", w.next()),
                        suppressed: n % 3 == 0,
                    })
                    .collect(),
                evidence: (0..evidence).map(|n| w.evidence([9, -3, 0][n % 3])).collect(),
                path: parents
                    .into_iter()
                    .map(|parent| PathStep {
                        object: w.object(),
                        parent,
                        relation: w.next(),
                        note: w.next(),
                        signal: w.next(),
                    })
                    .collect(),
                remedy: (0..few)
                    .map(|_| Remedy { text: w.next(), command: w.next(), caution: w.next() })
                    .collect(),
                rejected: (0..few)
                    .map(|_| Rejection {
                        code: w.next(),
                        root: w.object(),
                        because: w.next(),
                        evidence: vec![w.evidence(-1)],
                    })
                    .collect(),
                onset_at: at(w.1),
                opened_at: at(w.1 + 1),
                updated_at: at(w.1 + 2),
                resolved_at: at(w.1 + 3),
                resolution: w.next(),
                confirmed_fix: fixed.then(|| w.change()),
                rule: Some(RuleRef { name: w.next(), version: w.next(), digest: w.next() }),
                cluster: w.next(),
                episode: number,
                flaps: number,
                superseded: vec![w.next(), w.next()],
                folded_under: w.next(),
                changes: (0..few).map(|_| w.change()).collect(),
                omitted: (0..few)
                    .map(|_| Omission { what: w.next(), count: number, bytes: number })
                    .collect(),
            }
        },
    )
}

/// What is wrong with a message by Slack's rules and ours.
fn faults(message: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |what: &str, of: &Value| faults.push(format!("{what}: {of}"));
    let size = message.to_string().chars().count();
    if size > 12_000 {
        fault("too long", &json!(size));
    }
    let blocks = message["blocks"].as_array().unwrap();
    if blocks.is_empty() || blocks.len() > 50 {
        fault("number of blocks", &json!(blocks.len()));
    }
    let notified = message["text"].as_str().unwrap();
    if notified.is_empty()
        || notified.contains(['<', '>', '`'])
        || notified.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "").contains('&')
    {
        fault("text is not escaped", &message["text"]);
    }
    let mut todo: Vec<&Value> = vec![message];
    while let Some(value) = todo.pop() {
        match value {
            Value::Object(fields) => {
                let kind = fields.get("type").and_then(Value::as_str).unwrap_or_default();
                let words = fields.get("text").and_then(Value::as_str);
                if words.is_some_and(|words| words.is_empty() || words.chars().count() > 3000) {
                    fault("empty or long text", value);
                }
                match (kind, words) {
                    ("mrkdwn", Some(words)) => {
                        let inner = words
                            .strip_prefix("<http")
                            .and_then(|it| it.strip_suffix('>'))
                            .unwrap_or_default();
                        let (url, word) = inner.split_once('|').unwrap_or_default();
                        let amps = url.replace("&amp;", "");
                        if !["graph", "runbook", "finding"].contains(&word)
                            || amps.contains(['<', '>', ' ', '|', '&'])
                        {
                            fault("mrkdwn that is no checked link", value);
                        }
                    }
                    (_, Some(words))
                        if ["<!", "<@", "<#", "<http", "<mailto"].iter().any(|it| words.contains(it)) =>
                    {
                        fault("control sequence", value);
                    }
                    _ => {}
                }
                todo.extend(fields.values());
            }
            Value::Array(all) => todo.extend(all),
            Value::String(words) if words.chars().any(|c| hidden(c) && c != '\n') => {
                fault("hidden character", value)
            }
            _ => {}
        }
    }
    faults
}

fn columns(line: &str) -> usize {
    line.width()
}

/// Text without the colours kwhy itself sets.
fn uncoloured(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |out, part| out + part.split_once('m').unwrap().1)
}

/// `PROPTEST_CASES` asks for more.
fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|it| it.parse().ok()).unwrap_or(32);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

#[test]
fn the_check_finds_what_it_is_for() {
    let message = |text: &str, block: Value| json!({ "text": text, "blocks": [block] });
    let fine = json!({ "type": "rich_text", "elements": [] });
    assert_eq!(faults(&message("a &amp; b", fine.clone())), [""; 0]);
    let naive = |text: &str| json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } });
    for bad in [
        message("<!channel>", fine.clone()),
        message("a & b", fine),
        message("a", naive("<!channel>")),
        message("a", naive("<http://evil|runbook> x")),
        message("a", json!({ "type": "rich_text", "text": "\u{202e}" })),
        message("a", json!({ "type": "rich_text", "text": "<@U1>" })),
        message("a", naive(&"a".repeat(12_000))),
    ] {
        assert!(!faults(&bad).is_empty(), "{bad}");
    }
}

#[test]
fn an_escape_sequence_in_a_log_line_does_not_reach_the_terminal() {
    let excerpt = "\u{1b}[2J\u{1b}]0;pwned\u{7}panic: \u{1b}[31mno\u{1b}[0m space\u{202e}\r\u{8}";
    let evidence = vec![Evidence { excerpt: excerpt.into(), weight: 5, ..Evidence::default() }];
    let remedy = vec![Remedy { command: format!("kubectl get pods{excerpt}\nsecond"), ..Remedy::default() }];
    let finding = Finding { severity: 3, evidence, remedy, ..Finding::default() };
    let plain = text::finding(&finding, &Style::plain());
    assert!(plain.contains("]0;pwnedpanic: no space\n"), "{plain}");
    assert!(!plain.chars().any(|c| hidden(c) && c != '\n'), "{plain:?}");
    let coloured = text::finding(&finding, &Style { color: true, columns: 100 });
    assert_eq!(uncoloured(&coloured), plain);
    assert!(!coloured.contains("\u{1b}[2J") && !coloured.contains("\u{1b}]"));
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_slack_message_is_inert_and_within_limits(finding in finding(), link in hostile()) {
        let links = Links { graph: Some(link.clone()), runbook: Some(format!("https://h/{link}")), page: Some(link) };
        let message = slack::message(&finding, &links);
        let faults = faults(&message);
        prop_assert!(faults.is_empty(), "{faults:#?}");
        prop_assert_eq!(&serde_json::from_str::<Value>(&message.to_string()).unwrap(), &message);
    }

    #[test]
    fn text_has_no_hidden_characters_and_fits_but_for_commands(finding in finding(), wide in 40_usize..=100) {
        let commands: Vec<_> = finding.remedy.iter().flat_map(|it| kwhy_publish::sanitize::lines(&it.command)).collect();
        let report = Report {
            cluster: &finding.cluster.clone(), from_ms: 1, to_ms: 1_587_729_600_000, nodes: 1, signals: 1,
            findings: &[finding], alerts: Alerts { total: 3, explained: 1, unexplained: 1 }, watchdog: Watchdog::NotSeen,
            problems: &[Unreadable { file: commands.concat(), lines: 3, first: vec![u64::MAX], reason: commands.concat() }],
            elapsed_ms: Some(u64::MAX),
        };
        for plain in [text::report(&report, &Style { color: false, columns: wide }), text::finding(&report.findings[0], &Style { color: false, columns: wide })] {
            prop_assert!(!plain.chars().any(|c| hidden(c) && c != '\n'));
            prop_assert!(plain.ends_with('\n'));
            for line in plain.lines() {
                prop_assert!(columns(line) <= wide || commands.iter().any(|it| it == line.trim()), "{} columns: {line:?}", columns(line));
            }
        }
        let coloured = text::report(&report, &Style { color: true, columns: wide });
        prop_assert_eq!(uncoloured(&coloured), text::report(&report, &Style { color: false, columns: wide }));
    }

    #[test]
    fn a_json_line_shows_no_hidden_character(mut finding in finding()) {
        let times = [&mut finding.onset_at, &mut finding.opened_at, &mut finding.updated_at, &mut finding.resolved_at];
        for time in times {
            *time = None;
        }
        for it in &mut finding.symptoms { (it.since, it.until) = (None, None); }
        for it in &mut finding.evidence { it.at = None; }
        for it in finding.rejected.iter_mut().flat_map(|it| &mut it.evidence) { it.at = None; }
        for it in finding.changes.iter_mut().chain(&mut finding.confirmed_fix) { it.at = None; }
        let line = json::line(&finding).unwrap();
        prop_assert!(!line.chars().any(hidden));
        prop_assert_eq!(serde_json::from_str::<Finding>(&line).unwrap(), finding);
    }
}
