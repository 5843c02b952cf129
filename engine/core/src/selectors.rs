//! Which objects may select a pod, without asking all that select anything.

use std::sync::Arc;

use imbl::OrdSet;

use crate::{
    json::Json,
    key::Key,
    lookup::Lookup,
    object::Object,
    relation::{SELECTING, labels_asked, selector, selects},
};

/// What selects pods, each by one of the labels that it asks for; a clone is cheap.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selectors(Lookup<String, OrdSet<Key>>);

impl Selectors {
    /// Takes note of a state of an object, in the place of the one before.
    pub(crate) fn put(&mut self, old: Option<&Object>, new: &Object) {
        if !SELECTING.contains(&new.key.kind.as_str()) {
            return;
        }
        let (before, now) = (old.and_then(place), place(new));
        if before == now {
            return;
        }
        if let Some(before) = before {
            self.leave(&before, &new.key);
        }
        if let Some(now) = now {
            self.0.or_default(now).insert(new.key.clone());
        }
    }

    /// Forgets an object.
    pub(crate) fn remove(&mut self, object: &Object) {
        if SELECTING.contains(&object.key.kind.as_str())
            && let Some(place) = place(object)
        {
            self.leave(&place, &object.key);
        }
    }

    fn leave(&mut self, place: &str, key: &Key) {
        if let Some(keys) = self.0.get_mut(place) {
            keys.remove(key);
            if keys.is_empty() {
                self.0.remove(place);
            }
        }
    }

    /// What selects a pod. `get` gives the newest state of an object.
    pub(crate) fn selecting<'a>(
        &'a self,
        pod: &'a Object,
        get: impl Fn(&Key) -> Option<&'a Arc<Object>>,
    ) -> impl Iterator<Item = &'a Key> {
        let namespace = &pod.key.namespace;
        let labels = pod.labels().into_iter().map(|(name, value)| spelled(namespace, name, value));
        let places = labels.chain([spelled(namespace, "", "")]);
        places
            .filter_map(|place| self.0.get(&place))
            .flatten()
            .filter(move |key| get(key).and_then(|o| selector(o)).is_some_and(|by| selects(by, pod)))
    }
}

/// Where an object that selects is found: at a label that it asks for, else where those are that ask for none.
fn place(object: &Object) -> Option<String> {
    let by = selector(object)?;
    let mut labels = labels_asked(by).and_then(Json::as_object).into_iter().flatten();
    let asked = labels.find_map(|(name, value)| Some((name.as_ref(), value.as_str()?)));
    let (name, value) = asked.unwrap_or_default();
    Some(spelled(&object.key.namespace, name, value))
}

fn spelled(namespace: &str, name: &str, value: &str) -> String {
    format!("{namespace}\n{name}\n{value}")
}
