//! Calling a rule, bearing its failures, and doing what it says.

use std::{collections::BTreeSet, sync::Arc};

use imbl::{OrdSet, Vector};
use kwhy_proto::{timestamp, v1};
use serde::{Deserialize, Serialize};

use crate::{
    correlator::{Env, State},
    engine::Notice,
    history::Register,
    incident::{self, Incident, IncidentKey},
    key::Key,
    rule::{Call, Context, Diagnosis, Evidence, Failure, RuleSignal, Verdict},
    seen::Watch,
    state::StateTable,
    timer::Due,
    world::World,
};

/// Failures within [`FAILURE_WINDOW`] that put a rule into quarantine.
const MAX_FAILURES: usize = 5;
/// Log time over which failures count, ms.
const FAILURE_WINDOW: u64 = 10 * 60_000;
/// First and longest quarantine, ms of log time; it doubles each time.
const QUARANTINE: (u64, u64) = (1000, 5 * 60_000);
/// A rule that always wants to be called at once is called this often, ms of log time.
const SOONEST_WAKE: u64 = 1000;
/// Code of the finding about a rule that fails.
pub(crate) const RULE_FAILING: &str = "kwhy.rule-failing";

/// How a rule has behaved.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Health {
    failures: Vector<u64>,
    quarantines: u32,
    until: u64,
}

impl State {
    /// Calls a rule with one signal. A failed call leaves no trace but the failure itself.
    pub(crate) fn call(&mut self, rule: usize, signal: RuleSignal, env: &mut Env<'_>) {
        if self.health.get(&rule).is_some_and(|h| self.now < h.until) {
            return;
        }
        let number = self.calls;
        self.calls += 1;
        let mut memory = self.memory.get(&rule).cloned().unwrap_or_default();
        let question = env.answers.question(rule, self.now, &signal);
        if let Some(answer) = question.as_ref().and_then(|question| env.answers.again(question, &memory)) {
            memory.write(&answer.writes);
            let verdict = answer.verdict.clone();
            env.answers.keep(number, answer);
            self.answered(rule, memory, verdict, env);
            return;
        }
        let watch = question.map_or_else(Watch::default, |_| Watch::new());
        let known = !memory.is_empty();
        let call = Call {
            context: Context { now: self.now, cluster: env.settings.cluster.clone() },
            signals: vec![signal],
            world: World::new(&self.graph, &self.history, rule, watch.clone()),
            state: memory.watched(&watch, rule),
        };
        // The second try is for what does not repeat: a slow host, a worn-out instance.
        let answer = env.rules.examine(rule, call.clone()).or_else(|_| {
            watch.take();
            env.rules.examine(rule, call)
        });
        match answer {
            Ok(reply) => {
                let (memory, its_own) = reply.state.unwatched();
                if let Some(question) = question {
                    if !its_own && (known || !memory.is_empty()) {
                        env.answers.give_up();
                    }
                    env.answers.answered(number, question, watch.take(), &reply.verdict, &memory);
                }
                self.answered(rule, memory, reply.verdict, env);
            }
            Err(failure) => {
                env.answers.failed(rule);
                self.failed(rule, failure, env);
            }
        }
    }

    /// Does what a rule says.
    fn answered(&mut self, rule: usize, memory: StateTable, verdict: Verdict, env: &mut Env<'_>) {
        self.memory.insert(rule, memory);
        self.follow(rule, verdict, env);
        if self.health.remove(&rule).is_some_and(|h| h.quarantines > 0) {
            self.clear_failing(rule, env);
        }
    }

    fn failed(&mut self, rule: usize, failure: Failure, env: &mut Env<'_>) {
        let descriptor = env.rules.descriptors().get(rule).cloned().unwrap_or_default();
        let mut health = self.health.get(&rule).cloned().unwrap_or_default();
        let horizon = self.now.saturating_sub(FAILURE_WINDOW);
        while health.failures.front().is_some_and(|at| *at < horizon) {
            health.failures.pop_front();
        }
        health.failures.push_back(self.now);
        if health.failures.len() >= MAX_FAILURES {
            let (first, longest) = QUARANTINE;
            let pause = first.saturating_mul(1 << health.quarantines.min(20)).min(longest);
            health.quarantines += 1;
            health.until = self.now + pause;
            health.failures.clear();
            // A watchdog's word depends on the machine, so it must not reach a finding.
            if !matches!(failure, Failure::Watchdog { .. }) {
                let root = v1::ObjectRef {
                    kind: "Rule".into(),
                    name: descriptor.name.clone(),
                    ..Default::default()
                };
                let diagnosis = Diagnosis {
                    code: RULE_FAILING.to_owned(),
                    root,
                    severity: "warning".to_owned(),
                    confidence: 100,
                    title: format!(
                        "rule {} {} fails and is being left out",
                        descriptor.name, descriptor.version
                    ),
                    explanation: format!(
                        "It {failure}. After {MAX_FAILURES} failures it is left out for a while and then tried again. \
                         What it would have found is missing; all other rules go on."
                    ),
                    ..Diagnosis::default()
                };
                self.diagnosed(None, diagnosis, env);
            }
        }
        env.notices.push(Notice::RuleFailed { rule: descriptor.name, failure });
        self.health.insert(rule, health);
    }

    fn clear_failing(&mut self, rule: usize, env: &Env<'_>) {
        let name = env.rules.descriptors().get(rule).map_or("", |d| d.name.as_str());
        let key = IncidentKey { root: Key::new("Rule", "", name), code: RULE_FAILING.to_owned() };
        let now = self.now;
        if let Some(incident) = self.incidents.get_mut(&key) {
            incident.cleared = Some((now, "the rule answers again".to_owned()));
            self.touched.incidents.insert(key);
        }
    }

    fn follow(&mut self, rule: usize, verdict: Verdict, env: &mut Env<'_>) {
        for diagnosis in verdict.diagnoses {
            self.diagnosed(Some(rule), diagnosis, env);
        }
        for clearing in verdict.cleared {
            let key = IncidentKey::new(&self.graph, &clearing.root, &clearing.code);
            let now = self.now;
            if let Some(incident) = self.incidents.get_mut(&key)
                && incident.open()
                && incident.cleared.is_none()
            {
                incident.cleared = Some((now, clearing.because));
                self.touched.incidents.insert(key);
            }
        }
        for rejection in verdict.rejections {
            let root = incident::stable(&self.graph, &Key::from(&rejection.root));
            let slot = (root, rejection.code.clone());
            if self.rejections.get(&slot).is_some_and(|(_, old)| **old == rejection) {
                continue;
            }
            self.rejections.insert(slot, (self.now, Arc::new(rejection)));
            self.touched.incidents.extend(self.incidents.open().map(|(k, _)| k.clone()));
        }
        for wake in verdict.wakes {
            let subject = wake.subject.map(|s| (Key::from(&s), s.uid));
            let due = Due::Wake { rule, id: wake.id, subject };
            self.wake(wake.at.max(self.now + SOONEST_WAKE), due, env.settings);
        }
    }

    /// With the uid, which a rule knows or not by where it has the object from.
    fn identified(&self, object: &mut v1::ObjectRef) {
        if object.uid.is_empty()
            && let Some(known) = self.graph.get(&Key::from(&*object))
        {
            object.uid.clone_from(&known.uid);
        }
    }

    pub(crate) fn diagnosed(&mut self, rule: Option<usize>, mut diagnosis: Diagnosis, env: &Env<'_>) {
        self.identified(&mut diagnosis.root);
        diagnosis.evidence.iter_mut().filter_map(|e| e.object.as_mut()).for_each(|o| self.identified(o));
        let key = IncidentKey::new(&self.graph, &diagnosis.root, &diagnosis.code);
        // What holds now is no longer ruled out.
        self.rejections.remove(&(key.root.clone(), key.code.clone()));
        let evidence = self.locate(&diagnosis.evidence, env.register);
        let first = evidence.iter().zip(&diagnosis.evidence).filter(|(e, _)| e.weight > 0);
        let onset = first
            .filter_map(|(_, e)| self.onset(e.signal.as_deref()?, env.register))
            .min()
            .unwrap_or(self.now);
        self.timers.add(self.stands_until(self.now, env.settings), Due::Assertion(key.clone()));
        let carried = diagnosis.supersedes.iter().find_map(|code| {
            let old = IncidentKey { root: key.root.clone(), code: code.clone() };
            self.incidents.get(&old).filter(|i| i.open())?;
            Some(old)
        });
        let mut incident = match (carried, self.incidents.get(&key)) {
            (Some(old), None) => {
                let mut incident =
                    self.incidents.remove(&old).unwrap_or_else(|| self.fresh_incident(&key, 1, env));
                incident.superseded.push(old.code);
                incident.folded_by = None;
                incident
            }
            (_, Some(known)) => match &known.resolved {
                None => known.clone(),
                Some(r) if self.now.saturating_sub(r.at) <= env.settings.reopen => Incident {
                    resolved: None,
                    quiet: None,
                    folded_by: None,
                    reaches: Arc::default(),
                    path_of: None,
                    ..known.clone()
                },
                Some(_) => self.fresh_incident(&key, known.episode + 1, env),
            },
            (None, None) => self.fresh_incident(&key, 1, env),
        };
        if incident.quiet.take().is_some() {
            incident.flaps += 1;
        }
        incident.rule = rule;
        incident.onset = incident.onset.min(onset);
        incident.asserted = self.now;
        incident.cleared = None;
        incident.evidence = Arc::new(evidence);
        let before = &incident.diagnosis;
        if before.root != diagnosis.root || before.path != diagnosis.path {
            incident.path_of = None;
        }
        if before.root != diagnosis.root || before.explains != diagnosis.explains {
            // Spelled out anew when things settle.
            incident.reaches = Arc::default();
        }
        incident.diagnosis = Arc::new(diagnosis);
        self.incidents.insert(&key, incident);
        self.touched.incidents.insert(key);
    }

    pub(crate) fn fresh_incident(&self, key: &IncidentKey, episode: u32, env: &Env<'_>) -> Incident {
        Incident {
            id: incident::id(&env.settings.cluster, key, episode),
            episode,
            rule: None,
            diagnosis: Arc::new(Diagnosis {
                code: key.code.clone(),
                root: self.graph.to_ref(&key.root),
                ..Diagnosis::default()
            }),
            evidence: Arc::default(),
            onset: self.now,
            opened: self.now,
            asserted: self.now,
            cleared: None,
            symptoms: BTreeSet::new(),
            reaches: Arc::default(),
            passed: OrdSet::new(),
            folded_by: None,
            path: Arc::default(),
            tree: Arc::default(),
            path_of: None,
            ill: false,
            ill_until: None,
            quiet: None,
            flaps: 0,
            resolved: None,
            superseded: Vec::new(),
            under: None,
        }
    }

    /// When a signal says that it began: an event counts from its first occurrence.
    fn onset(&self, signal: &str, register: &Register) -> Option<u64> {
        let (signal, _) = self.history.get(signal, register)?;
        let first = signal.fields.iter().find(|(k, _)| k == "first-at").and_then(|(_, v)| v.parse().ok());
        Some(first.unwrap_or(signal.at))
    }

    /// Evidence with the time, source and place of its signal.
    pub(crate) fn locate(&self, evidence: &[Evidence], register: &Register) -> Vec<v1::Evidence> {
        let place = |e: &Evidence| {
            let told = e.signal.as_deref().and_then(|id| self.history.get(id, register));
            let (at, source, origin, subject) = match told {
                Some((signal, origin)) => (Some(timestamp(signal.at)), signal.source, origin, signal.subject),
                None => (None, "object".to_owned(), String::new(), None),
            };
            v1::Evidence {
                signal: e.signal.clone().unwrap_or_default(),
                object: e.object.clone().or(subject),
                excerpt: e.excerpt.clone(),
                weight: i32::from(e.weight),
                note: e.note.clone(),
                at,
                source,
                origin,
            }
        };
        evidence.iter().map(place).collect()
    }
}
