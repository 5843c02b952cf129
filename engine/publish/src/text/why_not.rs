//! Why a cause was not named, as text: the answer, what the rule said of it, what the rule asked for and what came.

use kwhy_proto::v1::ObjectRef;

use super::{
    Style,
    page::{Ink, Line, Page},
};
use crate::{
    cut::{self, Telling},
    describe::{self, count},
    moment::{self, Clock},
    sanitize,
    why_not::{Answer, Asked, Told, WhyNot},
};

/// Where the words of a section stand.
const CONTENT: usize = 4;
/// Most reasons shown of one kind.
const REASONS: usize = 12;

/// `why_not` as text that ends in a line end.
#[must_use]
pub fn why_not(why_not: &WhyNot, style: &Style) -> String {
    let mut page = Page::new(style);
    let clock = clock(why_not);
    let title = format!("{} · {}", why_not.code, why_not.title);
    page.wrapped(Line::new(), Ink::Title, &sanitize::line(&title), 2);
    let parts = [format!("rule {}", why_not.rule), why_not.versions.clone()];
    page.flow(Line::new().to(2), 2, parts.map(|it| (Ink::Quiet, sanitize::line(&it))).into());
    page.gap();
    let (ink, words) = answer(why_not);
    page.wrapped(Line::new().to(2), ink, &words, usize::MAX);

    findings(&mut page, why_not);
    for (name, told) in [
        ("Ruled out by the rule", &why_not.ruled_out),
        ("Found unmet by the rule", &why_not.unmet),
        ("Taken back by the rule", &why_not.cleared),
        ("Calls that failed", &why_not.failures),
    ] {
        reasons(&mut page, name, told, clock);
    }
    lesser(&mut page, why_not);
    silent(&mut page, why_not);
    heard(&mut page, why_not, clock);
    page.finish()
}

fn clock(why_not: &WhyNot) -> Clock {
    let told = [&why_not.ruled_out, &why_not.unmet, &why_not.cleared, &why_not.failures];
    let said = told.into_iter().flatten().map(|it| it.last.as_ref());
    let heard = why_not.asked.iter().filter_map(|it| it.last.as_ref()).map(|it| it.at.as_ref());
    Clock::over(said.chain(heard).filter_map(moment::of))
}

fn answer(it: &WhyNot) -> (Ink, String) {
    let calls = count(it.calls, "signal");
    let rule = sanitize::line(&it.rule);
    let (ink, words) = match it.answer {
        Answer::Named => (Ink::Good, "It is named.".to_owned()),
        Answer::Folded => (Ink::Info, "It was found, and is folded under a stronger cause.".to_owned()),
        Answer::Over => (Ink::Info, "It was found, and is over.".to_owned()),
        Answer::CarriedOn => {
            let heir = it.carried_on.as_ref().map(|it| it.code.as_str()).unwrap_or_default();
            (Ink::Info, format!("It was found, and its finding goes on as {heir}."))
        }
        Answer::Failed => (Ink::Critical, format!("Not named: rule {rule} failed.")),
        Answer::RuledOut => {
            (Ink::Warning, format!("Not named: rule {rule} looked at {calls} and ruled it out."))
        }
        Answer::NotMet if it.unmet.is_empty() => (
            Ink::Warning,
            format!("Not named: rule {rule} looked at {calls} and none of them made a case of it."),
        ),
        Answer::NotMet => {
            (Ink::Warning, format!("Not named: rule {rule} looked at {calls} and found its condition unmet."))
        }
        Answer::NotHeard => (
            Ink::Warning,
            format!("Not named: nothing came that rule {rule} asks for, so it was never called."),
        ),
    };
    (ink, sanitize::line(&words))
}

fn title(page: &mut Page, text: &str) {
    page.gap();
    page.put(Line::new().to(2).add(Ink::Label, text));
}

fn findings(page: &mut Page, why_not: &WhyNot) {
    if why_not.findings.is_empty() {
        return;
    }
    title(page, "Findings");
    for it in &why_not.findings {
        let state = if it.open { "open".to_owned() } else { format!("resolved: {}", it.resolution) };
        let mut parts = vec![it.title.clone(), format!("{} %", it.confidence), state];
        if let Some(under) = &it.folded_under {
            parts.push(format!("folded under {} ({} %)", under.title, under.confidence));
        }
        let parts = parts.iter().map(|part| (Ink::Plain, sanitize::line(part))).collect();
        page.flow(Line::new().to(CONTENT), CONTENT + 2, parts);
        let more = format!("kwhy explain {}", sanitize::line(&it.id));
        page.put(Line::new().to(CONTENT + 2).add(Ink::Command, &more));
    }
}

fn reasons(page: &mut Page, name: &str, all: &[Told], clock: Clock) {
    if all.is_empty() {
        return;
    }
    title(page, name);
    // What was said last is what held last.
    let mut all: Vec<&Told> = all.iter().collect();
    all.sort_by_key(|it| std::cmp::Reverse(moment::of(it.last.as_ref())));
    for it in all.iter().take(REASONS) {
        let at = moment::of(it.last.as_ref()).map(|ms| clock.second(ms)).unwrap_or_default();
        let root =
            it.root.as_ref().map(|root| format!("{}: ", describe::object(root, ""))).unwrap_or_default();
        let times = if it.times > 1 { format!(" (said {} times)", it.times) } else { String::new() };
        let line = Line::new().to(CONTENT).add(Ink::Quiet, &at);
        let line = if at.is_empty() { line } else { line.plain("  ") };
        page.wrapped(line, Ink::Plain, &sanitize::line(&format!("{root}{}{times}", it.because)), usize::MAX);
    }
    if all.len() > REASONS {
        page.put(Line::new().to(CONTENT).add(Ink::Quiet, &format!("… {} more", all.len() - REASONS)));
    }
}

fn lesser(page: &mut Page, why_not: &WhyNot) {
    if why_not.lesser.is_empty() {
        return;
    }
    title(page, "Stronger causes that were named instead");
    for it in &why_not.lesser {
        let text = format!("{} · {} · {} %", it.than.title, it.than.code, it.than.confidence);
        page.wrapped(Line::new().to(CONTENT), Ink::Plain, &sanitize::line(&text), 2);
        page.wrapped(Line::new().to(CONTENT + 2), Ink::Quiet, &sanitize::line(&it.because), usize::MAX);
    }
}

/// What the rule asked for in vain, by source.
fn silent(page: &mut Page, why_not: &WhyNot) {
    let vain: Vec<&Asked> = why_not.asked.iter().filter(|it| it.times == 0).collect();
    if vain.is_empty() {
        return;
    }
    title(page, "Asked for and never heard (the rule asks for all its causes together)");
    let mut groups: Vec<(&str, &str, Vec<String>)> = Vec::new();
    for it in vain {
        let name = match it.literals.as_slice() {
            [] if it.name.is_empty() => "any".to_owned(),
            [] => it.name.clone(),
            literals => format!("{} {:?}", it.name, literals.join(" | ")),
        };
        match groups.iter_mut().find(|(source, about, _)| *source == it.source && *about == it.about) {
            Some((_, _, names)) => names.push(name),
            None => groups.push((&it.source, &it.about, vec![name])),
        }
    }
    for (source, about, names) in groups {
        let mut parts: Vec<_> = names.iter().map(|name| (Ink::Plain, sanitize::line(name))).collect();
        if !about.is_empty() {
            parts.push((Ink::Quiet, sanitize::line(&format!("about {about}"))));
        }
        let line = Line::new().to(CONTENT).add(Ink::Quiet, source).to(CONTENT + 9);
        page.flow(line, CONTENT + 9, parts);
    }
    for it in why_not.sources.iter().filter(|it| it.signals == 0) {
        if let Some(file) = file_of(&it.source) {
            let words = format!("there was nothing of source {} at all; {file}", it.source);
            page.wrapped(Line::new().to(CONTENT).add(Ink::Warning, "!  "), Ink::Plain, &words, usize::MAX);
        }
    }
}

/// What brings signals of a source.
fn file_of(source: &str) -> Option<&'static str> {
    Some(match source {
        "object" => "`kubectl get nodes,pods,rs,deploy,ds,sts,cm,svc -A -o json` makes objects.json",
        "event" => "`kubectl get events -A -o json` makes events.json",
        "alert" => "Alertmanager's /api/v2/alerts makes alerts.json",
        "kubelet" => "`journalctl -u kubelet -o short-iso` makes kubelet/NODE.log",
        "log" => "`kubectl logs --timestamps` makes pods/NAMESPACE/POD/CONTAINER.log",
        _ => return None,
    })
}

fn heard(page: &mut Page, why_not: &WhyNot, clock: Clock) {
    let came: Vec<&Asked> = why_not.asked.iter().filter(|it| it.times > 0).collect();
    if came.is_empty() {
        return;
    }
    title(page, "Asked for and heard");
    let name = |it: &Asked| match (it.name.is_empty(), it.about.is_empty()) {
        (false, _) => sanitize::line(&it.name),
        (true, false) => cut::middle(&sanitize::line(&it.about), 30, Telling::Start),
        (true, true) => "any".to_owned(),
    };
    let widest = came.iter().map(|it| cut::width(&name(it))).max().unwrap_or(0).min(30);
    for it in came {
        let line = Line::new().to(CONTENT).add(Ink::Quiet, &it.source).to(CONTENT + 9).plain(&name(it));
        let line = line.to(CONTENT + 9 + widest + 2).plain(&format!("{}×", it.times));
        let column = CONTENT + 9 + widest + 2 + 8;
        page.put(line.to(column).add(Ink::Quiet, &last(it, clock, page.columns().saturating_sub(column))));
    }
}

fn last(it: &Asked, clock: Clock, room: usize) -> String {
    let Some(sign) = &it.last else { return String::new() };
    let at = moment::of(sign.at.as_ref()).map(|ms| clock.second(ms)).unwrap_or_default();
    let object = sign.object.as_ref().map(|object: &ObjectRef| describe::short(object)).unwrap_or_default();
    cut::middle(&sanitize::line(&format!("last {at} {object}: {}", sign.text)), room, Telling::Start)
}
