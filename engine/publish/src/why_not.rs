//! Why a cause was not named, or what became of it.

use kwhy_proto::{
    Timestamp,
    v1::{Finding, ObjectRef, Status},
};
use serde::Serialize;

use crate::explain::{Brief, Sign};

/// What became of a code.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// A finding of it stands.
    Named,
    /// It was found, and folded under a stronger cause.
    Folded,
    /// It was found and is over.
    Over,
    /// Its finding goes on under another code.
    CarriedOn,
    /// The rule failed whenever it was called.
    Failed,
    /// The rule has ruled it out.
    RuledOut,
    /// The rule was called and found no case of it.
    #[default]
    NotMet,
    /// Nothing that the rule asks for came.
    NotHeard,
}

/// A finding of the code.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Named {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// How sure it is, 0 to 100.
    pub confidence: u32,
    /// Whether it is open.
    pub open: bool,
    /// Why it is over; empty while open.
    pub resolution: String,
    /// The stronger cause that it is folded under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folded_under: Option<Brief>,
}

/// Something that was said of the code, how often, and when last.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<ObjectRef>,
    /// The words.
    pub because: String,
    /// How often it was said.
    pub times: u64,
    /// When last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
}

/// A stronger cause in whose finding the code stands among the rejected.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lesser {
    /// The stronger cause.
    pub than: Brief,
    /// Why the code is the lesser one.
    pub because: String,
}

/// Something that the rule asks for, and what came of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// event, object, alert, kubelet or log.
    pub source: String,
    /// Event reason, alert name or pattern; empty for all.
    pub name: String,
    /// Of a pattern, what must stand in the line.
    pub literals: Vec<String>,
    /// What it must be about; empty for anything.
    pub about: String,
    /// How often it came.
    pub times: u64,
    /// The last that came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Sign>,
}

/// Signals of one source that there were at all.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// event, object, alert, kubelet or log.
    pub source: String,
    /// How many; of log lines those that a rule may want.
    pub signals: u64,
}

/// Why a code was not named, or what became of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WhyNot {
    /// The code.
    pub code: String,
    /// Its title.
    pub title: String,
    /// Versions of the software that can show it.
    pub versions: String,
    /// Name and version of the rule that knows it.
    pub rule: String,
    /// In a word.
    pub answer: Answer,
    /// Findings of it.
    pub findings: Vec<Named>,
    /// The code that carries its finding on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carried_on: Option<Brief>,
    /// What the rule said where it ruled it out.
    pub ruled_out: Vec<Told>,
    /// Stronger causes in whose finding it is the lesser one.
    pub lesser: Vec<Lesser>,
    /// Why the rule took it back.
    pub cleared: Vec<Told>,
    /// What the rule found unmet.
    pub unmet: Vec<Told>,
    /// How the rule failed.
    pub failures: Vec<Told>,
    /// How often the rule was called.
    pub calls: u64,
    /// How often it diagnosed the code.
    pub diagnosed: u64,
    /// What the rule asks for; a rule asks for all its codes together.
    pub asked: Vec<Asked>,
    /// What there was of each source.
    pub sources: Vec<Source>,
}

impl WhyNot {
    /// Adds what the findings say of the code, and judges.
    #[must_use]
    pub fn judged(mut self, all: &[Finding]) -> Self {
        let brief = |it: &Finding| Brief {
            id: it.id.clone(),
            code: it.code.clone(),
            title: it.title.clone(),
            confidence: it.confidence,
        };
        let own = all.iter().filter(|it| it.code == self.code);
        self.findings = own
            .map(|it| Named {
                id: it.id.clone(),
                title: it.title.clone(),
                confidence: it.confidence,
                open: it.status() == Status::Open,
                resolution: it.resolution.clone(),
                folded_under: all.iter().find(|other| other.id == it.folded_under).map(brief),
            })
            .collect();
        let others = || all.iter().filter(|it| it.code != self.code);
        self.lesser = others()
            .flat_map(|it| it.rejected.iter().map(move |rejection| (it, rejection)))
            .filter(|(_, rejection)| rejection.code == self.code)
            // What the rule said itself is told as such.
            .filter(|(_, rejection)| !self.ruled_out.iter().any(|it| it.because == rejection.because))
            .map(|(it, rejection)| Lesser { than: brief(it), because: rejection.because.clone() })
            .collect();
        self.carried_on = others().find(|it| it.superseded.contains(&self.code)).map(brief);
        self.answer = self.judge();
        self
    }

    fn judge(&self) -> Answer {
        let any = |wanted: fn(&Named) -> bool| self.findings.iter().any(wanted);
        if any(|it| it.open && it.folded_under.is_none()) {
            Answer::Named
        } else if any(|it| it.folded_under.is_some()) {
            Answer::Folded
        } else if !self.findings.is_empty() {
            Answer::Over
        } else if self.carried_on.is_some() {
            Answer::CarriedOn
        } else if !self.failures.is_empty() && self.ruled_out.is_empty() && self.unmet.is_empty() {
            Answer::Failed
        } else if !self.ruled_out.is_empty() {
            Answer::RuledOut
        } else if self.calls == 0 {
            Answer::NotHeard
        } else {
            Answer::NotMet
        }
    }
}

#[cfg(test)]
mod tests {
    use kwhy_proto::v1::Rejection;

    use super::*;

    fn asked() -> WhyNot {
        WhyNot { code: "p.c".into(), calls: 7, ..WhyNot::default() }
    }

    fn of(code: &str, id: &str) -> Finding {
        Finding { code: code.into(), id: id.into(), status: Status::Open.into(), ..Finding::default() }
    }

    #[test]
    fn the_answer_follows_from_findings_first_and_then_from_what_the_rule_said() {
        let own = of("p.c", "f1");
        let folded = Finding { folded_under: "f2".into(), ..own.clone() };
        let over = Finding { status: Status::Resolved.into(), ..own.clone() };
        let heir = Finding { superseded: vec!["p.c".into()], ..of("q.d", "f2") };
        let answer = |all: &[Finding]| asked().judged(all).answer;
        assert_eq!(answer(&[own.clone(), heir.clone()]), Answer::Named);
        assert_eq!(answer(&[folded, of("q.d", "f2")]), Answer::Folded);
        assert_eq!(answer(&[over]), Answer::Over);
        assert_eq!(answer(&[heir]), Answer::CarriedOn);
        assert_eq!(answer(&[of("q.d", "f2")]), Answer::NotMet);
        assert_eq!(WhyNot { calls: 0, ..asked() }.judged(&[]).answer, Answer::NotHeard);
        let told = vec![Told::default()];
        assert_eq!(WhyNot { ruled_out: told.clone(), ..asked() }.judged(&[]).answer, Answer::RuledOut);
        assert_eq!(WhyNot { failures: told, ..asked() }.judged(&[]).answer, Answer::Failed);
    }

    #[test]
    fn a_stronger_cause_that_lists_it_among_the_rejected_is_named() {
        let rejected =
            vec![Rejection { code: "p.c".into(), because: "less well".into(), ..Rejection::default() }];
        let told = asked().judged(&[Finding { rejected, ..of("q.d", "f2") }]);
        assert_eq!(told.lesser.len(), 1);
        assert!(told.lesser.iter().all(|it| it.than.code == "q.d" && it.because == "less well"));
    }
}
