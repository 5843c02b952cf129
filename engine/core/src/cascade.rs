//! Findings that are the effect of another cause: they are folded under it, and it takes over the account of their
//! alerts. So a database that dies of its image is one finding, with the shops in other namespaces that miss it.

use std::{cmp::Reverse, collections::BTreeSet};

use crate::{
    correlator::State,
    fold::rank,
    glob,
    incident::{FINDING, Incident, IncidentKey},
    reach::distance,
    symptom::Symptom,
    unexplained::UNEXPLAINED,
};

/// How much later than its effect a cause may seem to begin, ms: the effect may be noticed first.
const LAG: u64 = 5 * 60_000;
/// Longest chain of causes; further ones stand alone.
const LONGEST: usize = 8;

impl State {
    /// Finds what each of these incidents is the effect of. Returns them with all whose account changes with theirs.
    pub(crate) fn subordinate_all(&mut self, touched: BTreeSet<IncidentKey>) -> BTreeSet<IncidentKey> {
        let mut touched = touched;
        let mut todo = touched.clone();
        if touched
            .iter()
            .any(|key| self.incidents.get(key).is_some_and(|i| i.open() && i.explains_findings()))
        {
            todo.extend(self.incidents.open().map(|(k, _)| k.clone()));
        }
        for _ in 0..LONGEST {
            let mut next = BTreeSet::new();
            for key in &todo {
                let Some(incident) = self.incidents.get(key) else { continue };
                let (id, before) = (incident.id.clone(), incident.under.clone());
                let above = self.above(key, incident);
                if above != before {
                    touched.insert(key.clone());
                    if incident.diagnosis.severity == "info" {
                        // What a remark has taken from others goes where the remark goes.
                        next.extend(touched.iter().filter(|k| *k != key).cloned());
                    }
                    // Those under it move with it.
                    next.extend(self.incidents.under(&id).map(|(k, _)| k.clone()));
                    self.incidents.set_under(key, above.clone());
                }
                if touched.contains(key) {
                    let parents =
                        [before, above].into_iter().flatten().filter_map(|id| self.incidents.of_id(&id));
                    touched.extend(parents.cloned());
                }
            }
            if next.is_empty() {
                break;
            }
            todo = next;
        }
        touched
    }

    /// Keys of the symptoms that an incident accounts for: its own, and the alerts of what is folded under it.
    pub(crate) fn account<'a>(&'a self, incident: &'a Incident) -> BTreeSet<&'a str> {
        let mut account: BTreeSet<&str> = incident.symptoms.iter().map(String::as_str).collect();
        for (_, other) in self.incidents.under(&incident.id) {
            let alerts =
                other.symptoms.iter().filter(|s| self.symptoms.get(*s).is_some_and(Symptom::is_alert));
            account.extend(alerts.map(String::as_str));
        }
        account
    }

    /// Id of the finding that an incident is folded under: the uppermost, so that there is one level only.
    fn above(&self, key: &IncidentKey, incident: &Incident) -> Option<String> {
        if !incident.open() {
            return incident.under.clone();
        }
        let (_, parent) = self.cause_of(key, incident).or_else(|| self.stolen(key, incident))?;
        let top = match &parent.under {
            Some(id) if *id != incident.id => id.clone(),
            // Each explains the other: the one that stands above stays there.
            Some(_) => return None,
            None => parent.id.clone(),
        };
        Some(top)
    }

    /// The best of the open findings that say that they explain this one.
    fn cause_of(&self, key: &IncidentKey, incident: &Incident) -> Option<(&IncidentKey, &Incident)> {
        let lies_in = |other: &Incident| {
            let explains = other.diagnosis.explains.iter().zip(other.reaches.iter());
            let holding = explains.filter(|(e, reach)| {
                e.source == FINDING && glob::matches(&e.name, &key.code) && reach.holds(&key.root)
            });
            holding.map(|(e, _)| distance(&e.reach)).min()
        };
        self.incidents
            .explaining()
            .filter(|(k, other)| {
                *k != key
                    && other.open()
                    && other.onset <= incident.onset.saturating_add(LAG)
                    && !quieter(other, incident)
            })
            .filter_map(|(k, other)| {
                Some(((other.diagnosis.confidence, Reverse(lies_in(other)?), Reverse(k)), (k, other)))
            })
            .max_by(|(a, _), (b, _)| a.cmp(b))
            .map(|(_, found)| found)
    }

    /// The finding that explains better all that this one could be known by.
    fn stolen(&self, key: &IncidentKey, incident: &Incident) -> Option<(&IncidentKey, &Incident)> {
        if incident.diagnosis.explains.is_empty() {
            return None;
        }
        let alerts_left =
            incident.symptoms.iter().any(|s| self.symptoms.get(s).is_some_and(Symptom::is_alert));
        if alerts_left {
            return None;
        }
        let other = |alerts: bool| {
            self.symptoms
                .values()
                .filter(|s| s.is_alert() == alerts && rank(incident, s).is_some())
                .filter_map(|s| s.cause.as_ref().filter(|c| *c != key && c.code != UNEXPLAINED))
                .filter_map(|k| self.incidents.get_key_value(k))
                // A remark under a cause that is said aloud speaks for that cause.
                .find(|(_, i)| !quieter(self.top(i), incident))
        };
        // With not even a warning of its own it has nothing to add.
        other(true).or_else(|| if incident.symptoms.is_empty() { other(false) } else { None })
    }

    /// The finding that an incident stands under, else itself.
    fn top<'a>(&'a self, incident: &'a Incident) -> &'a Incident {
        let parent = incident.under.as_deref().and_then(|id| self.incidents.of_id(id));
        parent.and_then(|key| self.incidents.get(key)).unwrap_or(incident)
    }
}

/// A mere remark cannot silence a cause.
fn quieter(incident: &Incident, than: &Incident) -> bool {
    incident.diagnosis.severity == "info" && than.diagnosis.severity != "info"
}
