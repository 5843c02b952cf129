//! One finding as a Block Kit message.
//!
//! All foreign text stands in rich text, which Slack shows literally; the only mrkdwn is made of our own words and checked
//! addresses. The top-level `text`, which notifications show, is escaped.

use kwhy_proto::v1::{Finding, Remedy};
use serde_json::{Value, json};

use super::inert::{address, escaped, literal, unbracketed, unchanged};
use crate::{
    cut::{self, Telling},
    describe::{self, Level, count, level, resolved},
    moment::{self, Clock, lasting},
    sanitize,
    tree::{self, Row},
};

/// Slack answers `msg_blocks_too_long` from about 13,200 characters in all.
const MESSAGE_MOST: usize = 12_000;
/// Rows of the tree.
const TREE_ROWS: usize = 8;
/// Columns of a code block that Slack shows without wrapping beside a side bar.
const TREE_COLUMNS: usize = 96;

/// Where a reader can go on. An address that Slack would refuse is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// The graph behind the alert; taken from the alerts where none is given.
    pub graph: Option<String>,
    /// What the team wrote on this; taken from the alerts where none is given.
    pub runbook: Option<String>,
    /// The finding on kwhy's own page.
    pub page: Option<String>,
}

/// `finding` as the body of a post to an incoming webhook, or, with a channel added, to `chat.postMessage`.
/// At most 6 blocks and 12,000 characters, whatever the finding holds.
#[must_use]
pub fn message(finding: &Finding, links: &Links) -> Value {
    let parts = Parts::of(finding, links);
    // What matters least goes first, should escapes blow the message up.
    let mut drop = 0;
    loop {
        let message = parts.message(drop);
        if drop > LEAST.len() || message.to_string().chars().count() <= MESSAGE_MOST {
            return message;
        }
        drop += 1;
    }
}

/// What is left out of a message that is too long, first to last.
const LEAST: [Part; 5] = [Part::Links, Part::Caution, Part::Tree, Part::Telling, Part::Do];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Links,
    Caution,
    Tree,
    Telling,
    Do,
}

struct Parts {
    summary: String,
    head: Value,
    tree: Option<Value>,
    telling: Option<Value>,
    action: Option<Value>,
    caution: Option<Value>,
    context: Value,
    links: Vec<Value>,
}

impl Parts {
    fn of(finding: &Finding, links: &Links) -> Self {
        let remedy = finding.remedy.first().filter(|_| finding.confirmed_fix.is_none());
        Self {
            summary: summary(finding),
            head: head(finding),
            tree: tree(finding),
            telling: telling(finding),
            action: action(finding, remedy),
            caution: remedy.and_then(caution),
            context: context(finding),
            links: addresses(finding, links),
        }
    }

    fn message(&self, drop: usize) -> Value {
        let dropped = LEAST.get(..drop).unwrap_or(&LEAST);
        let part = |part: Part, value: &Option<Value>| value.clone().filter(|_| !dropped.contains(&part));
        let blocks: Vec<Value> = [
            Some(self.head.clone()),
            part(Part::Tree, &self.tree),
            part(Part::Telling, &self.telling),
            part(Part::Do, &self.action),
            part(Part::Caution, &self.caution),
            Some(self.context(!dropped.contains(&Part::Links))),
        ]
        .into_iter()
        .flatten()
        .collect();
        json!({
            "text": self.summary,
            // `text` is never to be read as markup, and no address in it is to be fetched by Slack.
            "mrkdwn": false,
            "unfurl_links": false,
            "unfurl_media": false,
            "blocks": blocks,
        })
    }

    fn context(&self, linked: bool) -> Value {
        let mut elements = vec![self.context.clone()];
        elements.extend(self.links.iter().filter(|_| linked).cloned());
        json!({ "type": "context", "elements": elements })
    }
}

fn mark(finding: &Finding) -> (&'static str, &'static str) {
    match (resolved(finding), level(finding)) {
        (true, _) => ("✅", "RESOLVED"),
        (_, Level::Critical) => ("🔴", "CRITICAL"),
        (_, Level::Warning) => ("🟠", "WARNING"),
        (_, Level::Info) => ("🔵", "INFO"),
    }
}

fn title(finding: &Finding) -> String {
    literal(&describe::title(finding), 150, Telling::Start)
}

/// `kube-system/coredns`, `Node kal`
fn place(finding: &Finding) -> Option<String> {
    let root = finding.root.as_ref().filter(|root| !root.name.is_empty())?;
    let name = match root.namespace.is_empty() {
        true => format!("{} {}", root.kind, root.name),
        false => format!("{}/{}", root.namespace, root.name),
    };
    Some(literal(&name, 120, Telling::Ends))
}

/// What a notification shows.
fn summary(finding: &Finding) -> String {
    let (mark, word) = mark(finding);
    let place = place(finding).map(|place| format!(" · {place}")).unwrap_or_default();
    format!("{mark} {word}: {}", escaped(&format!("{}{place}", title(finding)), 280))
}

/// Mark, cause, object; then what is affected.
fn head(finding: &Finding) -> Value {
    let (mark, _) = mark(finding);
    let style =
        if resolved(finding) { json!({ "bold": true, "strike": true }) } else { json!({ "bold": true }) };
    let mut first = vec![text(&format!("{mark} "), None), text(&or_dash(title(finding)), Some(style))];
    if let Some(place) = place(finding) {
        first.push(text("  ", None));
        first.push(text(&place, Some(json!({ "code": true }))));
    }
    let sentence = affected(finding);
    if !sentence.is_empty() {
        first.push(text(&format!("\n{sentence}"), None));
    }
    json!({ "type": "rich_text", "elements": [{ "type": "rich_text_section", "elements": first }] })
}

/// One sentence: what suffers, or, once it is over, how it ended.
fn affected(finding: &Finding) -> String {
    if resolved(finding) {
        return ended(finding);
    }
    let mut objects: Vec<String> = Vec::new();
    let mut symptoms: Vec<_> = finding.symptoms.iter().collect();
    symptoms.sort_by_key(|it| it.severity != "critical");
    for object in symptoms.into_iter().filter_map(|it| it.object.as_ref()).filter(|it| !it.name.is_empty()) {
        let name = literal(&describe::object(object, ""), 90, Telling::Ends);
        if !objects.contains(&name) {
            objects.push(name);
        }
    }
    let alerts = finding.symptoms.iter().filter(|it| it.source == "alert").count();
    let firing = finding.symptoms.iter().filter(|it| it.source == "alert" && it.state != "resolved").count();
    let held_back = finding.symptoms.iter().filter(|it| it.suppressed && it.state != "resolved").count();
    let named = objects.len().min(3);
    let mut text = objects.get(..named).unwrap_or_default().join(", ");
    match objects.len() - named {
        0 => {}
        more => text = format!("{text} and {more} more"),
    }
    let number = |n: usize| count(u64::try_from(n).unwrap_or(u64::MAX), "alert");
    let alerts = match (alerts, alerts - firing) {
        (0, _) => String::new(),
        (all, 0) => format!("{} firing", number(all)),
        (all, over) => format!("{}, {over} of them resolved", number(all)),
    };
    let alerts = match held_back {
        0 => alerts,
        some => format!("{alerts}, {some} suppressed"),
    };
    match (text.is_empty(), alerts.is_empty()) {
        (true, true) => literal(&finding.explanation, 300, Telling::Start),
        (false, true) => format!("Affects {text}."),
        (true, false) => format!("{alerts}."),
        (false, false) => format!("Affects {text}: {alerts}."),
    }
}

/// `Resolved after 1 h, 2 min after ConfigMap kube-system/coredns: data.Corefile edited (confirmed fix).`
fn ended(finding: &Finding) -> String {
    let began = moment::of(finding.onset_at.as_ref()).or_else(|| moment::of(finding.opened_at.as_ref()));
    let over = moment::of(finding.resolved_at.as_ref());
    let span = |from: Option<u64>| Some(lasting(over?.checked_sub(from?)?));
    let after = span(began).map(|long| format!(" after {long}")).unwrap_or_default();
    let Some(fix) = &finding.confirmed_fix else {
        let reason = literal(&finding.resolution, 300, Telling::Start);
        return if reason.is_empty() {
            format!("Resolved{after}.")
        } else {
            format!("Resolved{after}: {reason}")
        };
    };
    let what = fix.object.as_ref().map(|it| format!("{}: ", describe::object(it, ""))).unwrap_or_default();
    let what = literal(&format!("{what}{}", fix.summary), 240, Telling::Start);
    let later = span(moment::of(fix.at.as_ref()))
        .map(|long| format!("{long} after "))
        .unwrap_or_else(|| "after ".into());
    format!("Resolved{after}, {later}{what} (confirmed fix).")
}

fn tree(finding: &Finding) -> Option<Value> {
    let clock = Clock::over(
        finding
            .symptoms
            .iter()
            .flat_map(|it| [&it.since, &it.until])
            .filter_map(|it| moment::of(it.as_ref())),
    );
    let rows = tree::rows(finding, clock, TREE_ROWS, TREE_ROWS);
    if rows.len() < 2 {
        return None;
    }
    let column = tree::note_column(&rows, TREE_COLUMNS, 36);
    let drawn: Vec<_> = rows.iter().map(|row| drawn(row, column)).collect();
    Some(json!({ "type": "rich_text", "elements": [preformatted(&drawn.join("\n"))] }))
}

fn drawn(row: &Row, column: usize) -> String {
    let left = unbracketed(&format!("{}{}{}", row.branch, row.mark.glyph(), row.name));
    let left = cut::middle(&left, TREE_COLUMNS, Telling::Start);
    let sign = row.sign.as_ref().map(|(mark, words)| format!("{}{words}", mark.glyph())).unwrap_or_default();
    let gap = column.saturating_sub(cut::width(&left)).max(2);
    let room = TREE_COLUMNS.saturating_sub(cut::width(&left) + gap);
    let both = format!("{sign} · {}", row.note);
    let note = match (sign.is_empty(), row.note.is_empty()) {
        (true, _) => row.note.clone(),
        // A stump of a note behind the alert tells nothing.
        (false, false) if cut::width(&both) <= room || cut::width(&sign) + 16 <= room => both,
        (false, _) => sign,
    };
    let note = unbracketed(&note);
    let line = if note.is_empty() || room < 12 {
        left
    } else {
        format!("{left}{}{}", " ".repeat(gap), cut::middle(&note, room, Telling::Start))
    };
    // Drawn without `literal`, which would trim the branch; names and notes are sanitised already. Characters are cut too,
    // because marks take no columns.
    cut::chars(&line, TREE_COLUMNS * 2, Telling::Start)
}

/// The strongest evidence in the words of its source.
fn telling(finding: &Finding) -> Option<Value> {
    let strongest = describe::evidence(finding, true).into_iter().next()?;
    let at = strongest.at.map(|ms| Clock::over(std::iter::empty()).second(ms));
    let who = literal(&strongest.who, 60, Telling::Ends);
    let words = if strongest.excerpt.is_empty() { strongest.note } else { strongest.excerpt.join("\n") };
    let lines: Vec<_> = words.lines().take(4).map(|line| literal(line, 400, Telling::Start)).collect();
    let lead: Vec<_> = at.into_iter().chain(Some(who)).filter(|it| !it.is_empty()).collect();
    let lead = if lead.is_empty() { String::new() } else { format!("{}  ", lead.join("  ")) };
    let all = cut::chars(&format!("{lead}{}", lines.join("\n")), 600, Telling::Start);
    Some(json!({ "type": "rich_text", "elements": [preformatted(&all)] }))
}

/// What to do and the command to type.
fn action(finding: &Finding, remedy: Option<&Remedy>) -> Option<Value> {
    let remedy = remedy?;
    let words = literal(&remedy.text, 400, Telling::Start);
    let lead = if resolved(finding) { "If it comes back: " } else { "Do: " };
    let mut elements = Vec::new();
    if !words.is_empty() {
        let parts = [text(lead, Some(json!({ "bold": true }))), text(&words, None)];
        elements.push(json!({ "type": "rich_text_section", "elements": parts }));
    }
    let commands: Vec<_> = sanitize::lines(&remedy.command).collect();
    let whole = commands.join("\n");
    if whole.chars().count() > 1500 || !unchanged(&whole) {
        let hint = format!(
            "The command does not fit here: kwhy explain {}",
            literal(&finding.id, 80, Telling::Ends)
        );
        elements.push(json!({ "type": "rich_text_section", "elements": [text(&hint, None)] }));
    } else if !whole.is_empty() {
        elements.push(preformatted(&whole));
    }
    (!elements.is_empty()).then(|| json!({ "type": "rich_text", "elements": elements }))
}

fn caution(remedy: &Remedy) -> Option<Value> {
    let words = literal(&remedy.caution, 300, Telling::Start);
    let parts = [text("⚠ ", None), text(&words, None)];
    (!words.is_empty()).then(
        || json!({ "type": "rich_text", "elements": [{ "type": "rich_text_section", "elements": parts }] }),
    )
}

/// Code, confidence, since, cluster.
fn context(finding: &Finding) -> Value {
    let began = moment::of(finding.onset_at.as_ref()).or_else(|| moment::of(finding.opened_at.as_ref()));
    let since =
        began.map(|ms| format!("since {} {} UTC", moment::date(ms), moment::minute(ms))).unwrap_or_default();
    let parts = [
        literal(&describe::code(finding), 100, Telling::Ends),
        since,
        literal(&finding.cluster, 80, Telling::Ends),
        describe::omitted(finding)
            .map(|what| literal(&format!("without {what}"), 120, Telling::Start))
            .unwrap_or_default(),
    ];
    let words: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    json!({ "type": "plain_text", "text": or_dash(words.join(" · ")), "emoji": false })
}

/// The addresses, each under its word.
fn addresses(finding: &Finding, links: &Links) -> Vec<Value> {
    let first =
        |of: fn(&kwhy_proto::v1::Symptom) -> &String| finding.symptoms.iter().find_map(|it| address(of(it)));
    let given = |link: &Option<String>| link.as_deref().and_then(address);
    let all = [
        ("graph", given(&links.graph).or_else(|| first(|it| &it.generator_url))),
        ("runbook", given(&links.runbook).or_else(|| first(|it| &it.runbook_url))),
        ("finding", given(&links.page)),
    ];
    let link = |word: &str, url: &str| json!({ "type": "mrkdwn", "text": format!("<{url}|{word}>"), "verbatim": true });
    all.into_iter().filter_map(|(word, url)| Some(link(word, &url?))).collect()
}

fn text(words: &str, style: Option<Value>) -> Value {
    match style {
        Some(style) => json!({ "type": "text", "text": words, "style": style }),
        None => json!({ "type": "text", "text": words }),
    }
}

fn preformatted(words: &str) -> Value {
    json!({ "type": "rich_text_preformatted", "elements": [text(&or_dash(words.to_owned()), None)] })
}

/// Slack refuses an empty text.
fn or_dash(words: String) -> String {
    if words.is_empty() { "–".to_owned() } else { words }
}

#[cfg(test)]
mod tests {
    use kwhy_proto::v1::{Evidence, Severity, Status, Symptom};

    use super::*;

    fn finding() -> Finding {
        Finding { severity: Severity::Critical.into(), title: "a cause".into(), ..Finding::default() }
    }

    fn posted(finding: &Finding, links: &Links) -> String {
        message(finding, links).to_string()
    }

    #[test]
    fn a_resolved_title_is_struck_and_green() {
        let open = posted(&finding(), &Links::default());
        let resolved = posted(&Finding { status: Status::Resolved.into(), ..finding() }, &Links::default());
        assert!(open.contains("🔴") && !open.contains("strike"), "{open}");
        assert!(resolved.contains("✅") && resolved.contains(r#""strike":true"#), "{resolved}");
    }

    #[test]
    fn a_command_that_would_be_cut_or_changed_is_left_out_whole() {
        for command in ["x ".repeat(1000), "cat <<!here".to_owned()] {
            let remedy = vec![Remedy { text: "do".into(), command: command.clone(), ..Remedy::default() }];
            let said = posted(&Finding { id: "f1".into(), remedy, ..finding() }, &Links::default());
            assert!(said.contains("kwhy explain f1") && !said.contains(command.get(..6).unwrap()), "{said}");
        }
    }

    #[test]
    fn an_address_slack_would_refuse_is_left_out_and_the_next_alert_asked() {
        let with =
            |url: &str| Symptom { source: "alert".into(), runbook_url: url.into(), ..Symptom::default() };
        let symptoms = vec![with("runbook.md#x"), with("https://r.example/x")];
        let links = Links { graph: Some("/graph".into()), ..Links::default() };
        let said = posted(&Finding { symptoms, ..finding() }, &links);
        assert!(said.contains("<https://r.example/x|runbook>") && !said.contains("|graph>"), "{said}");
    }

    #[test]
    fn what_matters_least_goes_when_escapes_blow_a_message_up() {
        let quotes = "\"".repeat(9000);
        let address = Some(format!("https://g.example/{}", "a".repeat(2400)));
        let links = Links { graph: address.clone(), runbook: address.clone(), page: address };
        let blown = Finding {
            title: quotes.clone(),
            remedy: vec![Remedy {
                text: quotes.clone(),
                command: quotes.get(..1500).unwrap().into(),
                caution: quotes.clone(),
            }],
            evidence: vec![Evidence { excerpt: quotes, weight: 1, ..Evidence::default() }],
            ..finding()
        };
        let said = posted(&blown, &links);
        assert!(said.chars().count() <= MESSAGE_MOST && !said.contains("g.example"));
        assert!(said.contains("Do: "), "what to do outlives the links");
        assert!(posted(&finding(), &links).contains("g.example"), "the twin: in a short message they stay");
    }
}
