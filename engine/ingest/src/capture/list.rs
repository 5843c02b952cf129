//! A `List` of Kubernetes, item by item. A file that is cut off or goes wrong somewhere still gives the items before
//! that place, and one of hundreds of megabytes is never in memory as a whole. YAML, as other tools write it, is held as
//! a whole and bounded for that.
//!
//! An object alone is taken for a list of one, and so is what `jq .items` leaves of a list.

use std::{
    fmt,
    io::{BufReader, Read},
    panic::resume_unwind,
    sync::mpsc,
    thread,
};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::{
    frames::{self, Irregular},
    skim::{Skim, skim},
};

/// How much is read at once.
const BUFFER: usize = 256 * 1024;
/// Bytes of items that are handed over at once, and how often that may be before they are parsed.
const BATCH: usize = 256 << 10;
const WAITING: usize = 4;
/// Largest file of YAML. Reading it takes some ten times as much memory.
const YAML: u64 = 64 << 20;

/// What was in the file besides its items.
#[derive(Debug, Default)]
pub(super) struct List {
    /// `List`, `PodList`; empty where the file does not say.
    pub(super) kind: String,
    /// Whether there was a list of items at all.
    pub(super) has_items: bool,
}

/// Why the reading ended before the end of the file.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error(transparent)]
    Json(serde_json::Error),
    #[error(transparent)]
    Yaml(serde_norway::Error),
    #[error(transparent)]
    Io(std::io::Error),
    #[error("larger than {} MiB of YAML; collect it as JSON", YAML >> 20)]
    Large,
}

impl Ended {
    /// Whether there is no more of it, rather than something else.
    pub(super) fn is_cut(&self) -> bool {
        match self {
            Self::Json(error) => error.is_eof() || error.is_io(),
            Self::Io(_) => true,
            Self::Yaml(_) | Self::Large => false,
        }
    }
}

/// Reads a list in JSON and passes on each item. None where it cannot be opened; it may be opened twice.
pub(super) fn json<R: Read + Send>(
    mut open: impl FnMut() -> Option<R>,
    item: &mut dyn FnMut(Value),
) -> Option<(List, Result<(), Ended>)> {
    let mut given = 0_usize;
    let mut give = |value| {
        given += 1;
        item(value);
    };
    let around = cut(open()?, |bytes| {
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let value = skim(&mut json).and_then(|value| json.end().map(|()| value));
        give(value.map_err(|_| Irregular)?);
        Ok(())
    });
    if let Ok(around) = around {
        let (list, result) = document(around.as_slice(), &mut give);
        if result.is_ok() {
            return Some((list, result));
        }
    }
    // It is no plain list, or something is wrong with it: this way tells what and where.
    let mut again = given;
    Some(document(open()?, &mut |value| match again.checked_sub(1) {
        Some(rest) => again = rest,
        None => item(value),
    }))
}

/// Cuts a list into the bytes of its items while another thread takes those that have been cut: each is half of the work.
fn cut(
    source: impl Read + Send,
    mut item: impl FnMut(&[u8]) -> Result<(), Irregular>,
) -> Result<Vec<u8>, Irregular> {
    let (sender, receiver) = mpsc::sync_channel(WAITING);
    thread::scope(|scope| {
        let cutting = scope.spawn(move || {
            let mut batch = Batch::default();
            let around = frames::cut(source, |bytes| {
                batch.bytes.extend_from_slice(bytes);
                batch.ends.push(batch.bytes.len());
                if batch.bytes.len() < BATCH {
                    return Ok(());
                }
                // Who has found something wrong takes no more.
                sender.send(std::mem::take(&mut batch)).map_err(|_| Irregular)
            });
            // What comes before a place where something is wrong counts.
            let _ = sender.send(batch);
            around
        });
        let taken = receiver.into_iter().try_for_each(|batch| batch.items().try_for_each(&mut item));
        let around = cutting.join().unwrap_or_else(|panic| resume_unwind(panic));
        taken.and(around)
    })
}

/// Items one after the other.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Batch {
    fn items(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).filter_map(|(start, end)| self.bytes.get(*start..*end))
    }
}

/// Reads a document of JSON byte by byte and passes on each item of its list.
fn document(source: impl Read, item: &mut dyn FnMut(Value)) -> (List, Result<(), Ended>) {
    let mut list = List::default();
    let mut json = serde_json::Deserializer::from_reader(BufReader::with_capacity(BUFFER, source));
    let result = Document { list: &mut list, item }.deserialize(&mut json).and_then(|()| json.end());
    (list, result.map_err(Ended::Json))
}

/// Reads a list in YAML, or several, and passes on each item.
pub(super) fn yaml(source: impl Read, item: &mut dyn FnMut(Value)) -> (List, Result<(), Ended>) {
    let mut list = List::default();
    let mut text = String::new();
    let result = match source.take(YAML + 1).read_to_string(&mut text) {
        Err(error) => Err(Ended::Io(error)),
        Ok(length) if length as u64 > YAML => Err(Ended::Large),
        Ok(_) => serde_norway::Deserializer::from_str(&text)
            .try_for_each(|document| Document { list: &mut list, item }.deserialize(document))
            .map_err(Ended::Yaml),
    };
    (list, result)
}

struct Document<'a> {
    list: &'a mut List,
    item: &'a mut dyn FnMut(Value),
}

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, document: D) -> Result<(), D::Error> {
        document.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a List of Kubernetes")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        // All of it, as long as it may be an object.
        let mut object = Some(Map::new());
        while let Some(key) = map.next_key::<String>()? {
            match (key.as_str(), &mut object) {
                ("items", _) => {
                    object = None;
                    self.list.has_items = true;
                    map.next_value_seed(Items(self.item))?;
                }
                ("kind", object) => {
                    let kind: Value = map.next_value()?;
                    self.list.kind = kind.as_str().unwrap_or_default().to_owned();
                    if let Some(object) = object {
                        object.insert(key, kind);
                    }
                }
                ("metadata", Some(object)) => {
                    let metadata = map.next_value_seed(Skim::Metadata)?;
                    object.insert(key, metadata);
                }
                (_, Some(object)) => {
                    object.insert(key, map.next_value()?);
                }
                (_, None) => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let named =
            |object: &Map<String, Value>| object.get("metadata").is_some_and(|m| m.get("name").is_some());
        if let Some(object) = object.filter(|object| object.contains_key("kind") && named(object)) {
            self.list.has_items = true;
            (self.item)(Value::Object(object));
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<(), A::Error> {
        self.list.has_items = true;
        Items(self.item).visit_seq(items)
    }
}

struct Items<'a>(&'a mut dyn FnMut(Value));

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, items: D) -> Result<(), D::Error> {
        items.deserialize_any(self)
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
        while let Some(item) = items.next_element_seed(Skim::Object)? {
            (self.0)(item);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use serde_json::json;

    use super::{Ended, List, Read, Value, YAML, document, json as read, yaml};

    /// What is read, which must be what is read byte by byte.
    fn items(text: &str) -> (Vec<Value>, List, Result<(), String>) {
        let (mut all, mut slowly) = (Vec::new(), Vec::new());
        let (list, result) = read(|| Some(text.as_bytes()), &mut |item| all.push(item)).unwrap();
        let (same_list, same_result) = document(text.as_bytes(), &mut |item| slowly.push(item));
        let result = result.map_err(|error| error.to_string());
        assert_eq!(all, slowly, "{text}");
        assert_eq!((&list.kind, list.has_items), (&same_list.kind, same_list.has_items), "{text}");
        assert_eq!(result, same_result.map_err(|error| error.to_string()), "{text}");
        (all, list, result)
    }

    #[test]
    fn a_list_that_goes_wrong_gives_the_same_however_it_is_read() {
        let whole =
            json!({"kind": "PodList", "items": [{"kind": "Pod", "x": ["}", "\\\""]}, {"y": 2.5}], "z": {}});
        for text in [whole.to_string(), format!("{whole:#}")] {
            for end in 0..text.len() {
                let _ = items(&text[..end]);
            }
            for at in 0..text.len() {
                for odd in ["}", "]", ",", "\"", "7", " {}", "\\"] {
                    let _ = items(&format!("{}{odd}{}", &text[..at], &text[at..]));
                }
            }
        }
    }

    #[test]
    fn a_list_that_is_cut_off_gives_the_items_before() {
        let (all, _, result) = items("{\"items\": [1,\n 2, [3");
        assert_eq!(all, [1, 2]);
        assert_eq!(result.unwrap_err(), "EOF while parsing a list at line 2 column 6");
    }

    #[test]
    fn managed_fields_of_items_are_read_over() {
        let (all, list, result) = items(
            r#"{"items": [{"metadata": {"name": "n", "managedFields": [{"time": "x"}]}, "spec": {"managedFields": 1}}], "kind": "PodList"}"#,
        );
        assert_eq!(all, [json!({"metadata": {"name": "n"}, "spec": {"managedFields": 1}})]);
        assert!(result.is_ok() && list.kind == "PodList");
    }

    #[test]
    fn other_json_has_no_items() {
        assert!(!items("{\"kind\": \"Pod\", \"metadata\": {\"items\": []}}").1.has_items);
        assert!(items("7").2.is_err());
        assert!(items("{\"items\": null, \"kind\": \"PodList\"}").1.has_items);
    }

    #[test]
    fn an_object_and_a_bare_array_are_lists() {
        let pod = json!({"kind": "Pod", "metadata": {"name": "n"}, "spec": {"x": 1}});
        assert_eq!(items(&json!([pod, 2]).to_string()).0, [pod.clone(), json!(2)]);
        assert_eq!(items(&pod.to_string()).0, [pod]);
    }

    #[test]
    fn yaml_gives_what_json_gives() {
        let text = "apiVersion: v1\nitems:\n- metadata:\n    name: n\n    managedFields:\n    - time: x\n  spec: {x: 1, y: [true, \"2020\"]}\nkind: PodList\n---\nkind: Node\nmetadata: {name: k}\n";
        let mut all = Vec::new();
        let (list, result) = yaml(text.as_bytes(), &mut |item| all.push(item));
        assert!(result.is_ok() && list.has_items, "{result:?}");
        assert_eq!(
            all,
            [
                json!({"metadata": {"name": "n"}, "spec": {"x": 1, "y": [true, "2020"]}}),
                json!({"kind": "Node", "metadata": {"name": "k"}})
            ]
        );
    }

    #[test]
    fn yaml_that_grows_as_it_is_read_is_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..12 {
            let last = format!("*a{}", n - 1);
            bomb += &format!("a{n}: &a{n} [{}]\n", vec![last; 8].join(", "));
        }
        let (_, result) = yaml(bomb.as_bytes(), &mut |_| {});
        assert!(result.unwrap_err().to_string().contains("repetition limit"));
        let (_, result) = yaml(io::repeat(b'#').take(YAML + 1), &mut |_| {});
        assert!(matches!(result, Err(Ended::Large)));
    }
}
