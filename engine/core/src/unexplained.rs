//! Alerts that no rule explains: one INFO finding for each top-level owner, with all that is known. kwhy keeps the
//! account and does not page again for what Alertmanager pages already.

use std::{collections::BTreeSet, sync::Arc};

use kwhy_proto::{timestamp, v1};

use crate::{
    correlator::{Env, State},
    history::Record,
    incident::{Incident, IncidentKey, stable},
    key::Key,
    reach::{Reach, reach},
    rule::Diagnosis,
    words,
};

/// Code of these findings.
pub(crate) const UNEXPLAINED: &str = "unexplained.alerts";
/// How long before the onset something must have happened to be shown, ms.
const BEFORE: u64 = 60 * 60_000;
/// Most events and most new kinds of message shown.
const MOST: usize = 4;

impl State {
    /// Makes sure that an unexplained finding for this root is open.
    pub(crate) fn keep_account(&mut self, key: &IncidentKey, env: &Env<'_>) {
        let incident = match self.incidents.get(key) {
            Some(known) if known.open() => return,
            Some(known) => {
                let over = known.resolved.as_ref().map_or(0, |r| r.at);
                if self.now.saturating_sub(over) <= env.settings.reopen {
                    Incident { resolved: None, quiet: None, cleared: None, path_of: None, ..known.clone() }
                } else {
                    self.fresh_incident(key, known.episode + 1, env)
                }
            }
            None => self.fresh_incident(key, 1, env),
        };
        self.incidents.insert(key, incident);
    }

    /// Something was said about an object: an open unexplained finding of its workload shows it.
    pub(crate) fn show_unexplained(&mut self, object: &Key) {
        let key = IncidentKey { root: stable(&self.graph, object), code: UNEXPLAINED.to_owned() };
        if self.incidents.get(&key).is_some_and(Incident::open) {
            self.touched.incidents.insert(key);
        }
    }

    /// Writes what is known into an unexplained incident.
    pub(crate) fn describe_unexplained(&self, key: &IncidentKey, incident: &mut Incident) {
        let alerts: BTreeSet<String> =
            incident.symptoms.iter().filter_map(|s| self.symptoms.get(s)).map(|s| s.name.clone()).collect();
        let alerts: Vec<String> = alerts.into_iter().collect();
        if alerts.is_empty() {
            // Moved under a cause: the words stay as they were.
            return;
        }
        let root = self.graph.to_ref(&key.root);
        let within = match reach(&self.graph, &key.root, "workload") {
            Reach::Objects(set) => set,
            _ => imbl::OrdSet::unit(key.root.clone()),
        };
        let since = incident.onset.saturating_sub(BEFORE);
        let mut evidence = self.last_warnings(&within, since);
        evidence.extend(self.new_messages(&within, since));
        incident.evidence = Arc::new(evidence);
        incident.diagnosis = Arc::new(Diagnosis {
            code: UNEXPLAINED.to_owned(),
            title: format!("no rule explains {} on {}", words::list(&alerts), key.root),
            explanation: format!(
                "{} on {} and no rule knows why.",
                if alerts.len() == 1 { "An alert fires" } else { "Alerts fire" },
                key.root
            ),
            root,
            severity: "info".to_owned(),
            ..Diagnosis::default()
        });
    }

    fn last_warnings(&self, within: &imbl::OrdSet<Key>, since: u64) -> Vec<v1::Evidence> {
        let Some(events) = self.history.wanted("event", "*") else { return Vec::new() };
        let all = within.iter().flat_map(|k| self.history.of(k, &events, since)).map(Record::unpacked);
        let mut warnings: Vec<_> = all.filter(|(signal, _)| signal.state == "Warning").collect();
        warnings.sort_by(|(a, _), (b, _)| (b.at, &b.id).cmp(&(a.at, &a.id)));
        let shown = warnings.into_iter().take(MOST).map(|(signal, origin)| v1::Evidence {
            excerpt: format!("{}: {}", signal.name, signal.message),
            signal: signal.id,
            object: signal.subject,
            weight: 0,
            note: "warning".to_owned(),
            at: Some(timestamp(signal.at)),
            source: "event".to_owned(),
            origin,
        });
        shown.collect()
    }

    fn new_messages(&self, within: &imbl::OrdSet<Key>, since: u64) -> Vec<v1::Evidence> {
        let new =
            within.iter().flat_map(|k| self.templates.new_since(k, since).into_iter().map(move |t| (k, t)));
        let shown = new.take(MOST).map(|(key, t)| v1::Evidence {
            signal: t.first.signal.clone(),
            object: Some(self.graph.to_ref(key)),
            excerpt: t.first.message.clone(),
            weight: 0,
            note: format!("new kind of message, {}×", t.count),
            at: Some(timestamp(t.first.at)),
            source: t.first.source.clone(),
            origin: t.first.origin.clone(),
        });
        shown.collect()
    }
}
