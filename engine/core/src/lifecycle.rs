//! Open, quiet, resolved: when a finding is over, and what may have ended it.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    change::Change,
    condition,
    correlator::{Env, State},
    incident::{Incident, IncidentKey, MadeFrom, Resolution},
    key::Key,
    path,
    settings::Settings,
    symptom::Symptom,
    timer::Due,
    unexplained::UNEXPLAINED,
    words,
};

/// A change this long before the symptoms stopped may have stopped them, ms.
const FIX_WINDOW: u64 = 30 * 60_000;

impl State {
    /// Looks at one open incident again: its tree, whether it still shows, whether it is over.
    pub(crate) fn live(&mut self, key: &IncidentKey, env: &Env<'_>) {
        let Some(incident) = self.incidents.get(key).filter(|i| i.open()) else { return };
        let mut incident = incident.clone();
        let account = self.account(&incident);
        let own: Vec<&Symptom> = account.iter().filter_map(|s| self.symptoms.get(*s)).collect();
        let targets: BTreeSet<Key> = own.iter().map(|s| s.key().clone()).collect();
        let root = Key::from(&incident.diagnosis.root);
        incident.onset = own.iter().map(|s| s.since).chain([incident.onset]).min().unwrap_or(self.now);
        if incident.path_of.as_ref().is_none_or(|from| from.targets != targets) {
            let (path, seen) = path::tree(&self.graph, &root, &incident.diagnosis.path, &targets);
            incident.tree = Arc::new(path.iter().filter_map(|s| s.object.as_ref()).map(Key::from).collect());
            incident.path = Arc::new(path);
            incident.path_of = Some(Arc::new(MadeFrom { targets, seen }));
        }
        let firing = own.iter().any(|s| s.firing());
        let ended = own.iter().filter(|s| s.is_alert()).filter_map(|s| s.until).max();
        // A diagnosis that was withdrawn, and to which nothing is left, does not live on the illness of others.
        let withdrawn = incident.cleared.is_some() && own.is_empty();
        let ill = key.code != UNEXPLAINED
            && !withdrawn
            && incident.tree.iter().any(|key| self.graph.get(key).is_some_and(|o| condition::ill(o)));
        if incident.ill && !ill {
            incident.ill_until = Some(self.now);
        }
        incident.ill = ill;
        if key.code == UNEXPLAINED && incident.symptoms.is_empty() {
            let because =
                incident.cleared.take().map_or_else(|| "nothing is left to explain".to_owned(), |(_, b)| b);
            incident.resolved = Some(Resolution { at: self.now, because, fix: None });
            self.touched.all_symptoms |= incident.explains_anything();
        } else if firing || ill {
            if incident.quiet.take().is_some() {
                incident.flaps += 1;
            }
        } else if incident.cleared.is_some()
            || key.code == UNEXPLAINED
            || self.now >= self.stands_until(incident.asserted, env.settings)
            || ended.is_some()
        {
            let cleared = incident.cleared.as_ref().map(|(at, _)| *at);
            let shown = [ended, incident.ill_until, cleared].into_iter().flatten().max();
            let over = shown.unwrap_or(incident.asserted);
            let due = over + env.settings.hold_down;
            incident.quiet = Some(over);
            if due <= self.now {
                incident.resolved = Some(self.resolution(&incident, over));
                self.touched.all_symptoms |= incident.explains_anything();
            } else {
                self.timers.add(due, Due::HoldDown(key.clone()));
            }
        }
        self.incidents.insert(key, incident);
    }

    /// How long a diagnosis stands by itself that was made at log time `asserted`.
    pub(crate) fn stands_until(&self, asserted: u64, settings: &Settings) -> u64 {
        asserted + settings.assertion + self.lull(asserted, settings)
    }

    /// Takes note that edges of these objects came or went: trees that were made by them are made anew when their
    /// incident is looked at next.
    pub(crate) fn forget_trees(&mut self, moved: &BTreeSet<Key>) {
        let stale = self.incidents.open().filter(|(_, i)| i.tree_stands_on(moved)).map(|(k, _)| k.clone());
        for key in stale.collect::<Vec<_>>() {
            self.forget_tree(&key);
        }
    }

    pub(crate) fn forget_tree(&mut self, key: &IncidentKey) {
        if let Some(incident) = self.incidents.get_mut(key) {
            incident.path_of = None;
        }
    }

    fn resolution(&self, incident: &Incident, over: u64) -> Resolution {
        let fix = self.fix(incident, over);
        let cleared = incident.cleared.as_ref().map(|(_, because)| because.as_str());
        let shown = !incident.symptoms.is_empty() || incident.ill_until.is_some();
        let because = match (&fix, cleared) {
            (Some(change), _) => format!(
                "the symptoms stopped {} after {} was changed ({}): confirmed fix",
                words::duration(over.saturating_sub(change.at)),
                change.key,
                change.summary
            ),
            (None, Some(because)) => because.to_owned(),
            (None, None) if shown => {
                "the symptoms stopped; no change that could have ended them was seen".to_owned()
            }
            (None, None) => format!("not seen again since {}", words::clock(incident.asserted)),
        };
        Resolution { at: over, because, fix }
    }

    /// The change after which the symptoms stopped: the one that made the rule withdraw its diagnosis, else the last.
    fn fix(&self, incident: &Incident, over: u64) -> Option<Arc<Change>> {
        if incident.symptoms.is_empty() && incident.ill_until.is_none() {
            return None;
        }
        let from = incident.onset.max(over.saturating_sub(FIX_WINDOW));
        let related = self.related(incident);
        let candidates =
            || self.history.changes(from).filter(|c| c.at > from && c.at <= over && related.contains(&c.key));
        let withdrew = incident.cleared.as_ref().and_then(|(at, _)| candidates().find(|c| c.at == *at));
        withdrew.or_else(|| candidates().next()).cloned()
    }

    /// Objects whose changes matter to an incident: those of its tree and the configuration that they use.
    pub(crate) fn related(&self, incident: &Incident) -> BTreeSet<Key> {
        let mut related = BTreeSet::new();
        for key in incident.tree.iter() {
            let uses = self.graph.related(key, "uses").into_iter();
            related.extend(
                uses.filter(|k| matches!(k.kind.as_str(), "ConfigMap" | "Secret" | "PersistentVolumeClaim")),
            );
            related.insert(key.clone());
        }
        related
    }
}
