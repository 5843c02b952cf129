//! An incident written down: the content of a finding revision.

use std::{collections::BTreeSet, sync::Arc};

use kwhy_proto::{
    LARGEST_FINDING, fit, timestamp,
    v1::{self, Finding, Severity, Status},
};

use crate::{
    change::Change,
    correlator::{Env, State},
    history::Register,
    incident::{Incident, IncidentKey, stable},
    key::Key,
    rule::Rejection,
    unexplained::UNEXPLAINED,
    words,
};

/// How long before the onset a change is worth showing, ms.
const CHANGES_BEFORE: u64 = 60 * 60_000;
/// Most changes shown.
const MOST_CHANGES: usize = 5;

impl State {
    /// Writes an incident down and keeps it if its content is new.
    pub(crate) fn write(&mut self, key: &IncidentKey, env: &mut Env<'_>) {
        let Some(incident) = self.incidents.get(key) else { return };
        let mut incident = incident.clone();
        if key.code == UNEXPLAINED && incident.open() {
            self.describe_unexplained(key, &mut incident);
            self.incidents.insert(key, incident.clone());
        }
        let mut finding = self.finding(key, &incident, env);
        fit(&mut finding, LARGEST_FINDING);
        let known = self.findings.get(&finding.id);
        if let Some(known) = known {
            finding.updated_at = known.updated_at;
            if **known == finding {
                return;
            }
        }
        finding.updated_at = Some(timestamp(self.now));
        let finding = Arc::new(finding);
        self.findings.insert(finding.id.clone(), finding.clone());
        env.fresh.push(finding);
    }

    fn finding(&self, key: &IncidentKey, incident: &Incident, env: &Env<'_>) -> Finding {
        let diagnosis = &incident.diagnosis;
        let severity = match diagnosis.severity.as_str() {
            // What another finding explains does not raise its voice a second time.
            _ if incident.under.is_some() => Severity::Info,
            "critical" => Severity::Critical,
            "info" => Severity::Info,
            _ => Severity::Warning,
        };
        let status = if incident.open() { Status::Open } else { Status::Resolved };
        let mut symptoms: Vec<v1::Symptom> = self
            .account(incident)
            .iter()
            .filter_map(|s| self.symptoms.get(*s))
            .map(|s| s.to_proto())
            .collect();
        symptoms.sort_by_cached_key(|s| {
            (
                s.since.map(|t| (t.seconds, t.nanos)),
                s.name.clone(),
                format!("{:?}", s.labels),
                s.signal.clone(),
            )
        });
        let mut explanation = diagnosis.explanation.clone();
        let mut evidence = incident.evidence.to_vec();
        let resolution = incident.resolved.as_ref();
        if let Some(over) = resolution {
            let gap = if explanation.is_empty() { "" } else { " " };
            explanation.push_str(&format!(
                "{gap}Resolved at {} UTC: {}.",
                words::clock(over.at),
                over.because
            ));
            if let Some(fix) = &over.fix {
                evidence.push(fixed_by(fix, over.at));
            }
        }
        let rule = incident.rule.and_then(|r| env.rules.descriptors().get(r)).map(|d| v1::RuleRef {
            name: d.name.clone(),
            version: d.version.clone(),
            digest: d.digest.clone(),
        });
        Finding {
            id: incident.id.clone(),
            revision: 0,
            status: status.into(),
            severity: severity.into(),
            code: key.code.clone(),
            title: diagnosis.title.clone(),
            explanation,
            root: Some(diagnosis.root.clone()),
            confidence: u32::from(diagnosis.confidence),
            symptoms,
            evidence,
            path: incident.path.to_vec(),
            // What another finding explains is mended there.
            remedy: diagnosis
                .remedies
                .iter()
                .filter(|_| incident.under.is_none())
                .map(|r| v1::Remedy {
                    text: r.text.clone(),
                    command: r.command.clone(),
                    caution: r.caution.clone(),
                })
                .collect(),
            rejected: self.rejected(key, incident, env.register),
            onset_at: Some(timestamp(incident.onset)),
            opened_at: Some(timestamp(incident.opened)),
            updated_at: None,
            resolved_at: resolution.map(|r| timestamp(r.at)),
            resolution: resolution.map(|r| r.because.clone()).unwrap_or_default(),
            confirmed_fix: resolution.and_then(|r| r.fix.as_ref()).map(|c| to_proto(c)),
            rule,
            cluster: env.settings.cluster.clone(),
            episode: incident.episode,
            flaps: incident.flaps,
            superseded: incident.superseded.clone(),
            folded_under: incident.under.clone().unwrap_or_default(),
            changes: self.changes(incident),
            omitted: Vec::new(),
        }
    }

    fn rejected(&self, key: &IncidentKey, incident: &Incident, register: &Register) -> Vec<v1::Rejection> {
        let near: BTreeSet<Key> =
            incident.tree.iter().chain([&key.root]).map(|k| stable(&self.graph, k)).collect();
        let mut own: Vec<&Rejection> = self
            .rejections
            .iter()
            .filter(|((root, code), _)| *code != key.code && near.contains(root))
            .map(|(_, (_, r))| r.as_ref())
            .collect();
        own.sort_by(|a, b| (&a.code, &a.because).cmp(&(&b.code, &b.because)));
        own.dedup_by(|a, b| a.code == b.code && a.because == b.because);
        let mut out: Vec<v1::Rejection> = own
            .into_iter()
            .map(|r| v1::Rejection {
                code: r.code.clone(),
                root: Some(r.root.clone()),
                because: r.because.clone(),
                evidence: self.locate(&r.evidence, register),
            })
            .collect();
        for other in self.runners_up(key, incident) {
            out.push(v1::Rejection {
                code: other.diagnosis.code.clone(),
                root: Some(other.diagnosis.root.clone()),
                because: format!(
                    "explains some of the same symptoms less well (confidence {} against {})",
                    other.diagnosis.confidence, incident.diagnosis.confidence
                ),
                evidence: Vec::new(),
            });
        }
        out
    }

    fn changes(&self, incident: &Incident) -> Vec<v1::Change> {
        let related = self.related(incident);
        let until = incident.resolved.as_ref().map_or(u64::MAX, |r| r.at);
        let all = self.history.changes(incident.onset.saturating_sub(CHANGES_BEFORE));
        let near = all.filter(|c| c.at <= until && related.contains(&c.key));
        near.take(MOST_CHANGES).map(|c| to_proto(c)).collect()
    }
}

fn to_proto(change: &Change) -> v1::Change {
    v1::Change {
        object: Some(v1::ObjectRef { uid: change.uid.clone(), ..change.key.to_ref() }),
        at: Some(timestamp(change.at)),
        summary: change.summary.clone(),
        diff: change.diff(),
        signal: change.signal.clone(),
    }
}

fn fixed_by(change: &Change, over: u64) -> v1::Evidence {
    let diff = change.diff();
    v1::Evidence {
        signal: change.signal.clone(),
        object: Some(v1::ObjectRef { uid: change.uid.clone(), ..change.key.to_ref() }),
        excerpt: if diff.is_empty() { change.summary.clone() } else { diff },
        weight: 30,
        note: format!(
            "changed {} before the symptoms stopped",
            words::duration(over.saturating_sub(change.at))
        ),
        at: Some(timestamp(change.at)),
        source: "object".to_owned(),
        origin: change.origin.clone(),
    }
}
