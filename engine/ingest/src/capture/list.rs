//! A `List` of Kubernetes, item by item. A file that is cut off or goes wrong somewhere still gives the items before
//! that place, and one of hundreds of megabytes is never in memory as a whole.

use std::{fmt, io::Read};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::split;

/// What was in the file besides its items.
#[derive(Debug, Default)]
pub(super) struct List {
    /// `List`, `PodList`; empty where the file does not say.
    pub(super) kind: String,
    /// Whether there was a list of items at all.
    pub(super) has_items: bool,
}

/// Reads a list and passes on each item; `open` opens it, again where the quick way comes to something that it does not
/// take. The error says where the reading ended, if before the end. None where it cannot be opened.
pub(super) fn read(
    mut open: impl FnMut() -> Option<Box<dyn Read>>,
    item: &mut dyn FnMut(Value),
) -> Option<(List, Result<(), serde_json::Error>)> {
    let passed = match split::read(open()?, item) {
        Ok(list) => return Some((list, Ok(()))),
        Err(passed) => passed,
    };
    let mut number = 0u32;
    Some(slow(open()?, &mut |value| {
        number = number.saturating_add(1);
        if number > passed {
            item(value);
        }
    }))
}

/// [`read`] by one pass of the JSON reader over all of it.
pub(super) fn slow(source: impl Read, item: &mut dyn FnMut(Value)) -> (List, Result<(), serde_json::Error>) {
    let mut list = List::default();
    let mut json =
        serde_json::Deserializer::from_reader(std::io::BufReader::with_capacity(64 * 1024, source));
    let result = Document { list: &mut list, item }.deserialize(&mut json).and_then(|()| json.end());
    (list, result)
}

struct Document<'a> {
    list: &'a mut List,
    item: &'a mut dyn FnMut(Value),
}

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a List of Kubernetes")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "kind" => self.list.kind = map.next_value::<Value>()?.as_str().unwrap_or_default().to_owned(),
                "items" => {
                    self.list.has_items = true;
                    map.next_value_seed(Items(self.item))?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

struct Items<'a>(&'a mut dyn FnMut(Value));

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of items")
    }

    /// An empty list of Go is null.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element()? {
            (self.0)(item);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(text: &str) -> (Vec<Value>, List, Result<(), String>) {
        let mut all = Vec::new();
        let (list, result) = slow(text.as_bytes(), &mut |item| all.push(item));
        (all, list, result.map_err(|error| error.to_string()))
    }

    #[test]
    fn a_list_that_is_cut_off_gives_the_items_before() {
        let (all, _, result) = items("{\"items\": [1,\n 2, [3");
        assert_eq!(all, [1, 2]);
        assert_eq!(result.unwrap_err(), "EOF while parsing a list at line 2 column 6");
    }

    #[test]
    fn other_json_has_no_items() {
        assert!(!items("{\"kind\": \"Pod\", \"metadata\": {\"items\": []}}").1.has_items);
        assert!(items("[1]").2.is_err());
        assert!(items("{\"items\": null, \"kind\": \"PodList\"}").1.has_items);
    }
}
