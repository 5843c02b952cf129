//! A signal that waits until all are in order. The objects of a large cluster wait together, and their texts would be
//! half of all the memory that reading takes, so they are packed meanwhile.

use kwhy_proto::v1::{ObjectChange, Signal, signal::Body};

/// A signal whose object is packed; [`Waiting::unpacked`] has all of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiting {
    signal: Box<Signal>,
    /// The text of the object, packed; none where there is no object.
    json: Option<Box<[u8]>>,
}

impl Waiting {
    pub(super) fn new(mut signal: Signal) -> Self {
        let json = text(&mut signal).map(std::mem::take);
        let json = json.map(|json| lz4_flex::compress_prepend_size(json.as_bytes()).into_boxed_slice());
        Self { signal: Box::new(signal), json }
    }

    /// The signal as it was.
    #[must_use]
    pub fn unpacked(self) -> Signal {
        let Self { mut signal, json } = self;
        // It was packed in this process, and from text.
        let unpacked = json.and_then(|json| lz4_flex::decompress_size_prepended(&json).ok());
        if let (Some(json), Some(unpacked)) = (text(&mut signal), unpacked) {
            *json = String::from_utf8(unpacked).unwrap_or_default();
        }
        *signal
    }

    /// All but the text of its object.
    #[must_use]
    pub fn head(&self) -> &Signal {
        &self.signal
    }

    /// The same, to be changed.
    pub(super) fn change(&mut self) -> &mut Signal {
        &mut self.signal
    }

    /// What it tells of an object, to be compared: its version, and its text as it is packed.
    pub(super) fn state_of_object(&self) -> Option<(String, Box<[u8]>)> {
        let Some(Body::Object(change)) = &self.signal.body else { return None };
        Some((change.resource_version.clone(), self.json.clone()?))
    }
}

fn text(signal: &mut Signal) -> Option<&mut String> {
    if let Some(Body::Object(ObjectChange { json, .. })) = &mut signal.body { Some(json) } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_signal_is_the_same_after_it_has_waited(json in ".{0,300}", repeated in 1_usize..50, packed in any::<bool>()) {
            let change = ObjectChange { json: json.repeat(repeated), ..ObjectChange::default() };
            let body = packed.then_some(Body::Object(change));
            let signal = Signal { id: "object/1".to_owned(), body, ..Signal::default() };
            let waiting = Waiting::new(signal.clone());
            prop_assert_eq!(&waiting.head().id, &signal.id);
            prop_assert_eq!(waiting.unpacked(), signal);
        }
    }
}
