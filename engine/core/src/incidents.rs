//! All incidents, found by key, by the id of their finding, and by what they are folded under. A clone is cheap.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};

use crate::incident::{Incident, IncidentKey};

/// Incidents and the ways to find them without walking through all.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Incidents {
    all: OrdMap<Arc<IncidentKey>, Arc<Incident>>,
    by_id: OrdMap<Arc<str>, Arc<IncidentKey>>,
    /// Finding above, and what is folded under it.
    under: OrdSet<(Arc<str>, Arc<IncidentKey>)>,
    /// Those that say that they explain other findings.
    explaining: OrdSet<Arc<IncidentKey>>,
    /// Those that say that they explain anything. Most of an alert storm are accounts of what nothing explains.
    accounting: OrdSet<Arc<IncidentKey>>,
}

impl Incidents {
    pub(crate) fn get(&self, key: &IncidentKey) -> Option<&Incident> {
        self.all.get(key).map(|incident| &**incident)
    }

    pub(crate) fn get_key_value(&self, key: &IncidentKey) -> Option<(&IncidentKey, &Incident)> {
        self.all.get_key_value(key).map(|(key, incident)| (&**key, &**incident))
    }

    /// To change anything but what it is found by: its id, what it is folded under, what it explains.
    pub(crate) fn get_mut(&mut self, key: &IncidentKey) -> Option<&mut Incident> {
        self.all.get_mut(key).map(Arc::make_mut)
    }

    /// In the order of their keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&IncidentKey, &Incident)> {
        self.all.iter().map(|(key, incident)| (&**key, &**incident))
    }

    pub(crate) fn open(&self) -> impl Iterator<Item = (&IncidentKey, &Incident)> {
        self.iter().filter(|(_, incident)| incident.open())
    }

    pub(crate) fn of_id(&self, id: &str) -> Option<&IncidentKey> {
        self.by_id.get(id).map(|key| &**key)
    }

    /// What is folded under the finding of that id.
    pub(crate) fn under(&self, id: &str) -> impl Iterator<Item = (&IncidentKey, &Incident)> {
        let own: Arc<str> = Arc::from(id);
        let from = (own.clone(), Arc::new(IncidentKey::default()));
        let keys = self.under.range(from..).take_while(move |(above, _)| *above == own);
        keys.filter_map(|(_, key)| self.get_key_value(key))
    }

    /// Those that may explain other findings, in the order of their keys.
    pub(crate) fn explaining(&self) -> impl Iterator<Item = (&IncidentKey, &Incident)> {
        self.explaining.iter().filter_map(|key| self.get_key_value(key))
    }

    /// Those that may account for symptoms, in the order of their keys.
    pub(crate) fn accounting(&self) -> impl Iterator<Item = (&IncidentKey, &Incident)> {
        self.accounting.iter().filter_map(|key| self.get_key_value(key))
    }

    pub(crate) fn insert(&mut self, key: &IncidentKey, incident: Incident) {
        let key = match self.all.get_key_value(key) {
            Some((key, old)) => {
                let (key, old) = (key.clone(), old.clone());
                if old.id != incident.id {
                    self.by_id.remove(&*old.id);
                    self.by_id.insert(Arc::from(&*incident.id), key.clone());
                }
                if old.under != incident.under {
                    self.lift(&key, &old);
                    self.fold(&key, &incident);
                }
                key
            }
            None => {
                let key = Arc::new(key.clone());
                self.by_id.insert(Arc::from(&*incident.id), key.clone());
                self.fold(&key, &incident);
                key
            }
        };
        if incident.explains_findings() {
            self.explaining.insert(key.clone());
        } else {
            self.explaining.remove(&*key);
        }
        if incident.explains_anything() {
            self.accounting.insert(key.clone());
        } else {
            self.accounting.remove(&*key);
        }
        self.all.insert(key, Arc::new(incident));
    }

    pub(crate) fn remove(&mut self, key: &IncidentKey) -> Option<Incident> {
        let (key, incident) = self.all.remove_with_key(key)?;
        self.by_id.remove(&*incident.id);
        self.explaining.remove(&*key);
        self.accounting.remove(&*key);
        self.lift(&key, &incident);
        Some(Arc::unwrap_or_clone(incident))
    }

    pub(crate) fn set_under(&mut self, key: &IncidentKey, above: Option<String>) {
        if let Some(known) = self.get(key) {
            let incident = Incident { under: above, ..known.clone() };
            self.insert(key, incident);
        }
    }

    fn fold(&mut self, key: &Arc<IncidentKey>, incident: &Incident) {
        if let Some(above) = &incident.under {
            self.under.insert((Arc::from(&**above), key.clone()));
        }
    }

    fn lift(&mut self, key: &Arc<IncidentKey>, incident: &Incident) {
        if let Some(above) = &incident.under {
            self.under.remove(&(Arc::from(&**above), key.clone()));
        }
    }
}
