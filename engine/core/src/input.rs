//! Signals as the state takes them in: an object is read, once, however often its signal is replayed.

use std::sync::Arc;

use kwhy_proto::v1::{ObjectChange, Signal, signal::Body};

use crate::{json::Interner, key::Key, object::Object};

/// A signal whose object is read.
#[derive(Debug)]
pub struct Input {
    pub(crate) signal: Signal,
    /// As if it stood in the cluster. None where the signal is about no object or its JSON cannot be read.
    pub(crate) object: Option<Arc<Object>>,
}

/// Makes inputs of signals, and keeps once what is the same in their objects. It needs nothing of what an engine knows, so
/// a thread of its own may read ahead of it.
#[derive(Debug, Default)]
pub struct Inputs(Interner);

impl Inputs {
    /// Reads a signal.
    pub fn read(&mut self, mut signal: Signal) -> Input {
        let object = match (&signal.subject, &mut signal.body) {
            (Some(subject), Some(Body::Object(change))) => self.object(Key::from(subject), change),
            _ => None,
        };
        Input { signal, object }
    }

    fn object(&mut self, key: Key, change: &mut ObjectChange) -> Option<Arc<Object>> {
        // The text is not needed any more, and it is the larger part of the signal.
        let json = self.0.read(&std::mem::take(&mut change.json)).ok()?;
        Some(Arc::new(Object::new(key, &change.resource_version, json, None)))
    }
}
