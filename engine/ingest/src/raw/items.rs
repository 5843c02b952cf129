//! Values of JSON in a body: one, several behind each other, an array of them, or a `List` of Kubernetes; watch events
//! unwrapped, and pairs of a time and a record, as Fluent Bit sends them, taken apart.

use kwhy_proto::Timestamp;
use serde_json::Value;

use super::Read;
use crate::time;

/// One value, with what stood around it.
#[derive(Debug, Default)]
pub(super) struct Item {
    pub(super) value: Value,
    /// `type` of a watch event.
    pub(super) verb: Option<String>,
    /// When, as what stood around it says.
    pub(super) at: Option<Timestamp>,
}

/// Hands on each value with its number, from 1. What follows an error in the JSON cannot be read.
pub(super) fn each(body: &[u8], read: &mut Read, mut take: impl FnMut(u32, Item, &mut Read)) {
    let mut number = 0u32;
    for value in serde_json::Deserializer::from_slice(body).into_iter::<Value>() {
        match value {
            Ok(value) => unwrap(Item { value, ..Item::default() }, 3, &mut |item| {
                number = number.saturating_add(1);
                take(number, item, read);
            }),
            Err(error) => {
                read.problem(
                    number.saturating_add(1),
                    format!("not JSON, and what follows is not read: {error}"),
                );
                return;
            }
        }
    }
}

fn unwrap(item: Item, depth: u8, take: &mut dyn FnMut(Item)) {
    let Some(less) = depth.checked_sub(1) else { return take(item) };
    match item.value {
        Value::Array(values) => match <[Value; 2]>::try_from(values) {
            // Newer Fluent Bits send [[time, metadata], record].
            Ok([when, value @ Value::Object(_)]) if when.is_number() || when.is_array() => {
                let when = when.get(0).cloned().unwrap_or(when);
                take(Item { value, at: seconds(&when).or(item.at), ..item });
            }
            Ok(values) => {
                values.into_iter().for_each(|value| unwrap(Item { value, ..Item::default() }, less, take))
            }
            Err(values) => {
                values.into_iter().for_each(|value| unwrap(Item { value, ..Item::default() }, less, take))
            }
        },
        Value::Object(mut fields) => {
            let is_list =
                fields.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
            if let (true, Some(Value::Array(values))) = (is_list, fields.remove("items")) {
                // The items of a list that a client got do not say what they are.
                let kind = fields.get("kind").and_then(Value::as_str).unwrap_or_default();
                let kind = kind.strip_suffix("List").unwrap_or_default().to_owned();
                for mut value in values {
                    if let (Some(object), false) = (value.as_object_mut(), kind.is_empty()) {
                        object.entry("kind").or_insert_with(|| Value::from(kind.clone()));
                    }
                    take(Item { value, ..Item::default() });
                }
                return;
            }
            let verb = fields.get("type").and_then(Value::as_str).map(str::to_owned);
            if let (Some(verb), Some(true)) = (verb, fields.get("object").map(Value::is_object)) {
                let at = fields.get("at").and_then(Value::as_str).and_then(time::parse);
                let value = fields.remove("object").unwrap_or_default();
                return take(Item { value, verb: Some(verb), at: at.or(item.at) });
            }
            take(Item { value: Value::Object(fields), ..item });
        }
        value => take(Item { value, ..item }),
    }
}

/// Seconds since 1970, with or without a fraction.
pub(super) fn seconds(value: &Value) -> Option<Timestamp> {
    if let Some(whole) = value.as_i64() {
        return (whole >= 0).then_some(Timestamp { seconds: whole, nanos: 0 });
    }
    let at = value.as_f64().filter(|at| (0.0..1e11).contains(at))?;
    // Saturates; the range is checked. A double holds microseconds of this century and no finer.
    let micros = (at * 1e6).round() as i64;
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1000).ok()?;
    Some(Timestamp { seconds: micros.div_euclid(1_000_000), nanos })
}
