//! What makes kwhy believe a finding: the way from its root to its symptoms, with the signals that show each step.

use kwhy_proto::{
    Timestamp,
    v1::{Evidence, Finding, ObjectRef, Signal, Symptom},
};
use serde::Serialize;

use crate::tree::is;

/// Words of a source that show something.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sign {
    /// When it was said; none for what stands in an object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// event, object, alert, kubelet or log.
    pub source: String,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectRef>,
    /// The words, as the source wrote them.
    pub text: String,
    /// What they show.
    pub note: String,
    /// How much they speak for the cause, or, below zero, against it; 0 for a symptom.
    pub weight: i32,
    /// File and line, or stream position; may be empty.
    pub origin: String,
    /// Id of the signal; empty for what stands in an object.
    pub signal: String,
}

/// One object on the way from the root to the symptoms.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectRef>,
    /// Number of the step that it hangs on, from 1; 0 for the root.
    pub parent: u32,
    /// How it hangs on that one.
    pub relation: String,
    /// What is the matter with it.
    pub note: String,
    /// What shows it, the strongest first, then the symptoms.
    pub signs: Vec<Sign>,
}

/// Another finding, in short.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Brief {
    /// Its id.
    pub id: String,
    /// Its code.
    pub code: String,
    /// Its title.
    pub title: String,
    /// How sure it is, 0 to 100.
    pub confidence: u32,
}

/// A finding taken apart.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The finding itself, as `kwhy.v1.Finding`; its `rejected` are the causes that were ruled out.
    pub finding: Finding,
    /// From the root to the symptoms, parents before children.
    pub steps: Vec<Step>,
    /// What speaks for it and is about none of the steps' objects.
    pub further: Vec<Sign>,
    /// What speaks against it.
    pub against: Vec<Sign>,
    /// The finding that it is folded under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folded_under: Option<Brief>,
    /// Findings that are its effects and folded under it.
    pub effects: Vec<Brief>,
}

impl Explanation {
    /// Takes `finding` apart. `all`: the latest revision of each finding beside it. `signal`: the signal of an id, where
    /// it is still known.
    pub fn new<'a>(finding: &Finding, all: &[Finding], signal: impl Fn(&str) -> Option<&'a Signal>) -> Self {
        let mut steps: Vec<Step> = finding
            .path
            .iter()
            .map(|step| Step {
                object: step.object.clone(),
                parent: step.parent,
                relation: step.relation.clone(),
                note: step.note.clone(),
                signs: Vec::new(),
            })
            .collect();
        if steps.is_empty() && finding.root.is_some() {
            steps.push(Step { object: finding.root.clone(), ..Step::default() });
        }
        let (mut further, mut against) = (Vec::new(), Vec::new());
        for evidence in &finding.evidence {
            let sign = Sign::from(evidence);
            if sign.weight < 0 {
                against.push(sign);
                continue;
            }
            put(&mut steps, &mut further, sign);
        }
        for (step, told) in steps.iter_mut().zip(&finding.path) {
            let known = step.signs.iter().any(|sign| sign.signal == told.signal);
            if let (false, false, Some(signal)) = (told.signal.is_empty(), known, signal(&told.signal)) {
                step.signs.push(Sign::from(signal));
            }
        }
        for symptom in &finding.symptoms {
            put(&mut steps, &mut further, Sign::from(symptom));
        }
        let brief = |other: &Finding| Brief {
            id: other.id.clone(),
            code: other.code.clone(),
            title: other.title.clone(),
            confidence: other.confidence,
        };
        let others = || all.iter().filter(|other| other.id != finding.id);
        Self {
            finding: finding.clone(),
            steps,
            further,
            against,
            folded_under: others().find(|other| other.id == finding.folded_under).map(brief),
            effects: others().filter(|other| other.folded_under == finding.id).map(brief).collect(),
        }
    }
}

/// Puts a sign to the step that it is about.
fn put(steps: &mut [Step], further: &mut Vec<Sign>, sign: Sign) {
    let about = sign.object.as_ref();
    let step = about.and_then(|object| steps.iter_mut().find(|step| is(step.object.as_ref(), object)));
    let place = step.map_or(further, |step| &mut step.signs);
    // An event that is evidence is a symptom too: the words need not come twice.
    let told = |old: &Sign| {
        old.source == sign.source && !old.signal.is_empty() && old.signal == sign.signal
            || sign.source == "event" && sign.weight == 0 && old.text.contains(after_name(&sign.text))
    };
    if !place.iter().any(told) {
        place.push(sign);
    }
}

/// `BackOff: Back-off restarting …` without the reason.
fn after_name(text: &str) -> &str {
    text.split_once(": ").map_or(text, |(_, message)| message)
}

fn named(name: &str, message: &str) -> String {
    match (name.is_empty(), message.is_empty()) {
        (false, false) => format!("{name}: {message}"),
        (true, _) => message.to_owned(),
        (_, true) => name.to_owned(),
    }
}

impl From<&Evidence> for Sign {
    fn from(evidence: &Evidence) -> Self {
        Self {
            at: evidence.at,
            source: evidence.source.clone(),
            object: evidence.object.clone(),
            text: evidence.excerpt.clone(),
            note: evidence.note.clone(),
            weight: evidence.weight,
            origin: evidence.origin.clone(),
            signal: evidence.signal.clone(),
        }
    }
}

impl From<&Signal> for Sign {
    fn from(signal: &Signal) -> Self {
        // Of an object the body is all of it, and what became of it is what the step says.
        let text = match signal.source.as_str() {
            "log" | "kubelet" => signal.message.clone(),
            _ => named(&signal.name, &signal.message),
        };
        Self {
            at: signal.at,
            source: signal.source.clone(),
            object: signal.subject.clone(),
            text,
            origin: signal.origin.clone(),
            signal: signal.id.clone(),
            ..Self::default()
        }
    }
}

impl From<&Symptom> for Sign {
    fn from(symptom: &Symptom) -> Self {
        Self {
            at: symptom.since,
            source: symptom.source.clone(),
            object: symptom.object.clone(),
            text: named(&symptom.name, &symptom.message),
            note: match symptom.source.as_str() {
                "alert" => symptom.state.clone(),
                _ => String::new(),
            },
            signal: symptom.signal.clone(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use kwhy_proto::v1::PathStep;

    use super::*;

    fn object(kind: &str, name: &str) -> Option<ObjectRef> {
        Some(ObjectRef { kind: kind.into(), name: name.into(), ..ObjectRef::default() })
    }

    fn finding() -> Finding {
        let step = |kind: &str, parent, signal: &str| PathStep {
            object: object(kind, "x"),
            parent,
            signal: signal.into(),
            ..PathStep::default()
        };
        let evidence = |kind: &str, weight, signal: &str, excerpt: &str| Evidence {
            object: object(kind, "x"),
            weight,
            signal: signal.into(),
            excerpt: excerpt.into(),
            source: "event".into(),
            ..Evidence::default()
        };
        Finding {
            id: "f1".into(),
            path: vec![step("Node", 0, "s1"), step("Pod", 1, "s2")],
            evidence: vec![
                evidence("Pod", 40, "s2", "BackOff ×7: again"),
                evidence("Pod", -10, "s3", "ready"),
                evidence("Job", 5, "s4", "apart"),
            ],
            symptoms: vec![
                Symptom {
                    source: "event".into(),
                    name: "BackOff".into(),
                    message: "again".into(),
                    object: object("Pod", "x"),
                    signal: "s9".into(),
                    ..Symptom::default()
                },
                Symptom {
                    source: "alert".into(),
                    name: "KubePodNotReady".into(),
                    state: "firing".into(),
                    object: object("Pod", "x"),
                    ..Symptom::default()
                },
            ],
            ..Finding::default()
        }
    }

    fn texts(signs: &[Sign]) -> Vec<&str> {
        signs.iter().map(|sign| sign.text.as_str()).collect()
    }

    #[test]
    fn each_step_has_the_signs_about_its_object_and_its_own_signal() {
        let signal = Signal {
            id: "s1".into(),
            source: "kubelet".into(),
            message: "disk is full".into(),
            ..Signal::default()
        };
        let told = Explanation::new(&finding(), &[], |id| (id == "s1").then_some(&signal));
        let steps: Vec<_> = told.steps.iter().map(|step| texts(&step.signs)).collect();
        assert_eq!(steps, [vec!["disk is full"], vec!["BackOff ×7: again", "KubePodNotReady"]]);
        assert_eq!((texts(&told.further), texts(&told.against)), (vec!["apart"], vec!["ready"]));
    }

    #[test]
    fn what_is_folded_is_told_from_both_sides() {
        let lesser = Finding { id: "f2".into(), folded_under: "f1".into(), ..Finding::default() };
        let all = [finding(), lesser.clone()];
        let id = |brief: &Brief| brief.id.clone();
        let told = Explanation::new(&finding(), &all, |_| None);
        assert_eq!(told.effects.iter().map(id).collect::<Vec<_>>(), ["f2"]);
        let told = Explanation::new(&lesser, &all, |_| None);
        assert_eq!(told.folded_under.as_ref().map(id).as_deref(), Some("f1"));
        assert!(told.effects.is_empty());
    }

    #[test]
    fn a_finding_without_a_path_has_its_root_as_the_only_step() {
        let bare = Finding { root: object("Rule", "r"), ..Finding::default() };
        assert_eq!(Explanation::new(&bare, &[], |_| None).steps.len(), 1);
    }
}
