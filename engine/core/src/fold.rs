//! Which cause accounts for which symptom, and what follows for findings that lose all of theirs.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use imbl::OrdSet;

use crate::{
    correlator::{Env, State, Touched},
    glob,
    incident::{FoldedBy, Incident, IncidentKey, stable},
    key::Key,
    reach::{Reach, distance, spell_out},
    symptom::Symptom,
    unexplained::UNEXPLAINED,
};

/// A symptom that ended longer ago than this before a cause began is not its doing, ms.
const AFTERGLOW: u64 = 60 * 60_000;
/// How much later than its symptom a cause may seem to begin: sources differ in resolution and delay, ms.
const SLACK: u64 = 60_000;

impl State {
    /// Brings everything a step has touched up to date: reaches, folding, life cycle, contents.
    pub(crate) fn settle(&mut self, env: &mut Env<'_>) {
        if self.touched.moved.is_empty()
            && self.touched.incidents.is_empty()
            && self.touched.symptoms.is_empty()
        {
            return;
        }
        let mut touched = std::mem::take(&mut self.touched);
        self.touched.incidents = std::mem::take(&mut touched.incidents);
        if !touched.moved.is_empty() {
            self.forget_trees(&touched.moved);
            let open = self.incidents.open().filter(|(_, i)| i.stands_on(&touched.moved));
            self.touched.incidents.extend(open.map(|(k, _)| k.clone()));
        }
        let mut changed = Vec::new();
        for key in self.touched.incidents.clone() {
            changed.extend(self.spell_out(&key, &touched.moved));
        }
        for key in self.concerned(&touched, &changed) {
            self.fold(&key, false, env);
        }
        for key in &touched.symptoms {
            self.fold(key, true, env);
        }
        let touched = std::mem::take(&mut self.touched.incidents);
        let touched = self.subordinate_all(touched);
        for key in &touched {
            self.live(key, env);
        }
        for key in &touched {
            self.write(key, env);
        }
    }

    /// Symptoms that are to be folded anew though nothing was heard of them.
    fn concerned(&self, touched: &Touched, changed: &[Arc<FoldedBy>]) -> Vec<String> {
        if changed.is_empty() && !touched.all_symptoms {
            return Vec::new();
        }
        // After one was resolved, others may account for what it leaves.
        let concerned = |s: &Symptom| touched.all_symptoms || changed.iter().any(|by| by.reaches(s.key()));
        let again = self.symptoms.iter().filter(|(k, s)| concerned(s) && !touched.symptoms.contains(*k));
        again.map(|(k, _)| k.clone()).collect()
    }

    /// Spells out on the graph what an incident explains. Returns what its symptoms were folded by and are to be folded
    /// by, where that is not the same.
    fn spell_out(&mut self, key: &IncidentKey, moved: &BTreeSet<Key>) -> Vec<Arc<FoldedBy>> {
        let Some(incident) = self.incidents.get(key).filter(|i| i.open()) else { return Vec::new() };
        let explains = &incident.diagnosis.explains;
        if explains.is_empty() && incident.folded_by.is_none() {
            return Vec::new();
        }
        let (mut reaches, mut passed) = (incident.reaches.clone(), incident.passed.clone());
        if reaches.len() != explains.len() || incident.stands_on(moved) {
            let root = &incident.diagnosis.root;
            let mut known: BTreeMap<(Key, &str), Reach> = BTreeMap::new();
            let mut ways = Vec::new();
            // Many lines differ only in the name of the alert.
            let spelled = explains.iter().map(|e| {
                let anchor = Key::from(e.anchor.as_ref().unwrap_or(root));
                let look = || {
                    let (reach, passed) = spell_out(&self.graph, &anchor, &e.reach);
                    ways.push(passed);
                    reach
                };
                known.entry((anchor.clone(), &e.reach)).or_insert_with(look).clone()
            });
            (reaches, passed) = (Arc::new(spelled.collect()), OrdSet::unions(ways));
        }
        let (confidence, onset) = (incident.diagnosis.confidence, incident.onset);
        let withdrawn = incident.cleared.is_some();
        let now =
            FoldedBy { confidence, onset, withdrawn, explains: explains.clone(), reaches: reaches.clone() };
        let before = incident.folded_by.clone();
        let same = before.as_deref() == Some(&now);
        if same && incident.passed == passed && incident.reaches.len() == reaches.len() {
            return Vec::new();
        }
        let now = Arc::new(now);
        if let Some(incident) = self.incidents.get_mut(key) {
            (incident.reaches, incident.passed) = (reaches, passed);
            incident.folded_by = Some(now.clone());
        }
        if same { Vec::new() } else { before.into_iter().chain([now]).collect() }
    }

    /// Folds one symptom under its best cause. Where it was not heard of anew, nothing follows from a cause that stays.
    fn fold(&mut self, key: &str, heard: bool, env: &Env<'_>) {
        let Some(symptom) = self.symptoms.get(key) else { return };
        let able: Vec<_> =
            self.incidents.accounting().filter_map(|(k, i)| Some((rank(i, symptom)?, Reverse(k)))).collect();
        // What a rule has withdrawn, to say something else of the same symptom, has no claim to it any more.
        let replaced = |key: &IncidentKey| {
            let Some(taken_back) = self.incidents.get(key).filter(|i| i.cleared.is_some()) else {
                return false;
            };
            able.iter()
                .filter_map(|(_, Reverse(other))| self.incidents.get(other))
                .any(|i| i.rule == taken_back.rule && i.open() && i.cleared.is_none())
        };
        let best = able.iter().filter(|(_, Reverse(k))| !replaced(k)).max();
        let best = best.map(|(_, Reverse(k))| (*k).clone());
        let able: Vec<IncidentKey> = able.into_iter().map(|(_, Reverse(k))| k.clone()).collect();
        let waits = symptom.is_alert() && symptom.overdue;
        let cause = best.or_else(|| {
            let root = stable(&self.graph, symptom.key());
            waits.then(|| IncidentKey { root, code: UNEXPLAINED.to_owned() })
        });
        let before = symptom.cause.clone();
        if before == cause && !heard {
            return;
        }
        if let Some(cause) = &cause {
            if cause.code == UNEXPLAINED {
                self.keep_account(cause, env);
            }
            if let Some(incident) = self.incidents.get_mut(cause) {
                incident.symptoms.insert(key.to_owned());
                self.touched.incidents.insert(cause.clone());
            }
        }
        if before != cause {
            // Who explains it less well may lose the last that it stood for.
            self.touched.incidents.extend(able);
            if let Some(before) = before {
                self.unfold(key, &before, cause.as_ref());
            }
            if let Some(symptom) = self.symptoms.get_mut(key) {
                symptom.cause = cause;
            }
        }
    }

    fn unfold(&mut self, key: &str, from: &IncidentKey, to: Option<&IncidentKey>) {
        let now = self.now;
        let better = to
            .and_then(|k| self.incidents.get(k))
            .map(|i| format!("explained by {} ({})", i.diagnosis.title, i.diagnosis.code));
        let Some(incident) = self.incidents.get_mut(from) else { return };
        // What is over keeps its account.
        if !incident.open() {
            return;
        }
        incident.symptoms.remove(key);
        if from.code == UNEXPLAINED
            && let Some(better) = better
        {
            incident.cleared = Some((now, better));
        }
        self.touched.incidents.insert(from.clone());
    }

    /// Open findings that explain a symptom of this one too, but less well.
    pub(crate) fn runners_up(&self, key: &IncidentKey, incident: &Incident) -> Vec<&Incident> {
        let own: Vec<&Symptom> = incident.symptoms.iter().filter_map(|s| self.symptoms.get(s)).collect();
        if own.is_empty() {
            return Vec::new();
        }
        self.incidents
            .accounting()
            .filter(|(k, i)| *k != key && i.open() && own.iter().any(|s| rank(i, s).is_some()))
            .map(|(_, i)| i)
            .collect()
    }
}

/// How well a cause accounts for a symptom, the greater the better; None where it does not.
pub(crate) fn rank(incident: &Incident, symptom: &Symptom) -> Option<(u8, bool, Reverse<usize>)> {
    if let Some(resolution) = &incident.resolved
        && (symptom.until.is_none() || symptom.since > resolution.at)
    {
        return None;
    }
    if symptom.until.is_some_and(|at| at.saturating_add(AFTERGLOW) < incident.onset) {
        return None;
    }
    let explains = incident.diagnosis.explains.iter().zip(incident.reaches.iter());
    let nearest = explains
        .filter(|(e, reach)| {
            glob::matches(&e.source, symptom.source)
                && glob::matches(&e.name, &symptom.name)
                && reach.holds(symptom.key())
        })
        .map(|(e, _)| distance(&e.reach))
        .min()?;
    let in_time = incident.onset <= symptom.since.saturating_add(SLACK);
    Some((incident.diagnosis.confidence, in_time, Reverse(nearest)))
}
