//! A capture as the API server would have told it, at another time.

use std::{fs, path::Path};

use kwhy_proto::Timestamp;
use serde_json::Value;

/// The objects, events and changes of a capture with all their times moved.
#[derive(Debug)]
pub struct Shifted {
    /// As they stood at the beginning.
    pub objects: Vec<Value>,
    /// Events of core/v1.
    pub events: Vec<Value>,
    /// Later states of objects, in order: as in a watch event, and the object.
    pub changes: Vec<(String, Value)>,
}

/// Reads a capture and moves every time in it so that `from`, which stands in it, becomes `to`.
///
/// # Panics
/// Where the capture cannot be read.
#[must_use]
pub fn shifted(capture: &Path, from: &str, to: Timestamp) -> Shifted {
    let from = time(from).expect("a time");
    let by = to.seconds - from.seconds;
    let read = |name: &str| fs::read_to_string(capture.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let items = |name: &str| {
        let mut list: Value = serde_json::from_str(&read(name)).expect("JSON");
        shift(&mut list, by);
        match list["items"].take() {
            Value::Array(items) => items,
            other => panic!("{name} holds no list: {other}"),
        }
    };
    let changes = read("changes.ndjson");
    let changes = changes.lines().map(|line| {
        let mut change: Value = serde_json::from_str(line).expect("JSON");
        shift(&mut change, by);
        (change["type"].as_str().expect("a type").to_owned(), change["object"].take())
    });
    Shifted { objects: items("objects.json"), events: items("events.json"), changes: changes.collect() }
}

/// A time as RFC 3339 writes it.
#[must_use]
pub fn time(text: &str) -> Option<Timestamp> {
    serde_json::from_value(text.into()).ok()
}

fn shift(value: &mut Value, by: i64) {
    match value {
        Value::String(text) => {
            if text.ends_with('Z')
                && let Some(time) = time(text)
            {
                *text = Timestamp { seconds: time.seconds + by, ..time }.to_string();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| shift(item, by)),
        Value::Object(fields) => fields.values_mut().for_each(|field| shift(field, by)),
        _ => {}
    }
}
