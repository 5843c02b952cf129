//! JSON as the graph keeps it: what is the same is there once.
//!
//! The pods of a workload repeat its template almost whole, and a watch repeats an object for every word of its status.
//! [`Interner`] hands out one copy of each text, list and map, so a thousand states of objects take the room of what
//! tells them apart. It is a cache: what is handed out is equal with it or without it.

use std::{
    fmt,
    hash::{BuildHasher, BuildHasherDefault, Hash, Hasher},
    sync::Arc,
};

use hashbrown::HashTable;
use rustc_hash::FxHasher;
use serde::{
    Serialize, Serializer,
    de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor},
    ser::{SerializeMap, SerializeSeq},
};
use serde_json::Number;

/// Longest text that is looked up; a longer one is rarely there twice.
const LONGEST: usize = 256;
/// Entries after which the interner first looks for those that nobody else holds.
const FIRST_SWEEP: usize = 1 << 14;

/// A map, sorted by name, each name once.
type Entries = Arc<[(Arc<str>, Json)]>;

/// A value of JSON; a clone is cheap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(Number),
    String(Arc<str>),
    Array(Arc<[Json]>),
    Object(Entries),
}

impl Json {
    /// The value of that name in an object.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        let entries = self.as_object()?;
        let at = entries.binary_search_by(|(k, _)| k.as_ref().cmp(name)).ok()?;
        entries.get(at).map(|(_, value)| value)
    }

    /// The value at an RFC 6901 pointer.
    pub(crate) fn pointer(&self, pointer: &str) -> Option<&Self> {
        if pointer.is_empty() {
            return Some(self);
        }
        pointer.strip_prefix('/')?.split('/').try_fold(self, |value, step| match value {
            Self::Object(_) if step.contains('~') => value.get(&step.replace("~1", "/").replace("~0", "~")),
            Self::Object(_) => value.get(step),
            Self::Array(list) => list.get(index(step)?),
            _ => None,
        })
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    pub(crate) fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value) = self { Some(*value) } else { None }
    }

    pub(crate) fn as_i64(&self) -> Option<i64> {
        if let Self::Number(number) = self { number.as_i64() } else { None }
    }

    pub(crate) fn as_array(&self) -> Option<&[Self]> {
        if let Self::Array(list) = self { Some(list) } else { None }
    }

    pub(crate) fn as_object(&self) -> Option<&[(Arc<str>, Self)]> {
        if let Self::Object(entries) = self { Some(entries) } else { None }
    }
}

/// An index of a list as RFC 6901 has it: without a sign or leading zeros.
fn index(step: &str) -> Option<usize> {
    let plain = step.bytes().all(|b| b.is_ascii_digit()) && (step == "0" || !step.starts_with('0'));
    step.parse().ok().filter(|_| plain)
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(number) => number.serialize(serializer),
            Self::String(text) => serializer.serialize_str(text),
            Self::Array(list) => {
                let mut seq = serializer.serialize_seq(Some(list.len()))?;
                list.iter().try_for_each(|item| seq.serialize_element(item))?;
                seq.end()
            }
            Self::Object(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                entries.iter().try_for_each(|(name, value)| map.serialize_entry(&**name, value))?;
                map.end()
            }
        }
    }
}

impl Json {
    /// Compact JSON with sorted names; none where it cannot be written, which no fragment of an object can come to.
    pub(crate) fn written(&self) -> Option<String> {
        // Room for most of what rules ask for, so that it need not grow.
        let mut out = Vec::with_capacity(1 << 10);
        serde_json::to_writer(&mut out, self).ok()?;
        String::from_utf8(out).ok()
    }
}

/// As compact JSON.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written().ok_or(fmt::Error)?)
    }
}

/// One copy of everything that is the same.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    texts: HashTable<Arc<str>>,
    arrays: HashTable<Arc<[Json]>>,
    objects: HashTable<Entries>,
    hasher: BuildHasherDefault<FxHasher>,
    /// Entries at which it is swept next.
    sweep_at: usize,
    /// Lists and maps that are being read, the innermost last.
    items: Vec<Json>,
    entries: Vec<(Arc<str>, Json)>,
}

impl Interner {
    /// Reads one value.
    pub(crate) fn read(&mut self, json: &str) -> Result<Json, serde_json::Error> {
        self.sweep();
        self.items.clear();
        self.entries.clear();
        let mut source = serde_json::Deserializer::from_str(json);
        let value = Reading(self).deserialize(&mut source)?;
        source.end()?;
        Ok(value)
    }

    fn text(&mut self, text: &str) -> Arc<str> {
        if text.len() > LONGEST {
            return text.into();
        }
        let hash = self.hasher.hash_one(text);
        if let Some(known) = self.texts.find(hash, |known| **known == *text) {
            return known.clone();
        }
        let new: Arc<str> = text.into();
        let hasher = &self.hasher;
        self.texts.insert_unique(hash, new.clone(), |t| hasher.hash_one(&**t));
        new
    }

    /// The list of the items read since `from`.
    fn array(&mut self, from: usize) -> Json {
        let items = self.items.get(from..).unwrap_or_default();
        let hash = hash_items(&self.hasher, items);
        let known = self.arrays.find(hash, |known| same(known, items, same_value)).cloned();
        let array = known.unwrap_or_else(|| {
            let new: Arc<[Json]> = items.into();
            let hasher = &self.hasher;
            self.arrays.insert_unique(hash, new.clone(), |a| hash_items(hasher, a));
            new
        });
        self.items.truncate(from);
        Json::Array(array)
    }

    /// The map of the entries read since `from`. Of a name that stands twice the last counts.
    fn object(&mut self, from: usize) -> Json {
        let read = self.entries.get_mut(from..).unwrap_or_default();
        if !read.is_sorted_by(|(a, _), (b, _)| a < b) {
            read.sort_by(|(a, _), (b, _)| a.cmp(b));
            let mut own = self.entries.split_off(from);
            own.reverse();
            own.dedup_by(|(a, _), (b, _)| a == b);
            own.reverse();
            self.entries.append(&mut own);
        }
        let entries = self.entries.get(from..).unwrap_or_default();
        let hash = hash_entries(&self.hasher, entries);
        let same_entry =
            |(a, x): &(Arc<str>, Json), (b, y): &(Arc<str>, Json)| Arc::ptr_eq(a, b) && same_value(x, y);
        let known = self.objects.find(hash, |known| same(known, entries, same_entry)).cloned();
        let object = known.unwrap_or_else(|| {
            let new: Entries = entries.into();
            let hasher = &self.hasher;
            self.objects.insert_unique(hash, new.clone(), |o| hash_entries(hasher, o));
            new
        });
        self.entries.truncate(from);
        Json::Object(object)
    }

    /// Lets go of what nobody else holds, once as much has come as was left the last time.
    fn sweep(&mut self) {
        let held = self.texts.len() + self.arrays.len() + self.objects.len();
        if held < self.sweep_at.max(FIRST_SWEEP) {
            return;
        }
        // What is held only by a map that goes now goes the next time.
        self.objects.retain(|o| Arc::strong_count(o) > 1);
        self.arrays.retain(|a| Arc::strong_count(a) > 1);
        self.texts.retain(|t| Arc::strong_count(t) > 1);
        self.sweep_at = 2 * (self.texts.len() + self.arrays.len() + self.objects.len());
    }
}

/// Parts are compared and hashed by where they lie: they have been through the interner themselves.
fn same<T>(known: &[T], new: &[T], same: impl Fn(&T, &T) -> bool) -> bool {
    known.len() == new.len() && known.iter().zip(new).all(|(a, b)| same(a, b))
}

fn same_value(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::String(a), Json::String(b)) => Arc::ptr_eq(a, b),
        (Json::Array(a), Json::Array(b)) => Arc::ptr_eq(a, b),
        (Json::Object(a), Json::Object(b)) => Arc::ptr_eq(a, b),
        _ => a == b,
    }
}

fn hash_items(hasher: &impl BuildHasher, items: &[Json]) -> u64 {
    let mut state = hasher.build_hasher();
    items.iter().for_each(|item| hash_value(item, &mut state));
    state.finish()
}

fn hash_entries(hasher: &impl BuildHasher, entries: &[(Arc<str>, Json)]) -> u64 {
    let mut state = hasher.build_hasher();
    for (name, value) in entries {
        Arc::as_ptr(name).addr().hash(&mut state);
        hash_value(value, &mut state);
    }
    state.finish()
}

fn hash_value(value: &Json, state: &mut impl Hasher) {
    match value {
        Json::Null => 0_u8.hash(state),
        Json::Bool(value) => value.hash(state),
        Json::Number(number) => number.hash(state),
        Json::String(text) => Arc::as_ptr(text).addr().hash(state),
        Json::Array(list) => Arc::as_ptr(list).addr().hash(state),
        Json::Object(entries) => Arc::as_ptr(entries).addr().hash(state),
    }
}

/// Reads one value into an interner.
struct Reading<'a>(&'a mut Interner);

impl<'de> DeserializeSeed<'de> for Reading<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Json, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reading<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::String(self.0.text(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let from = self.0.items.len();
        while let Some(item) = list.next_element_seed(Reading(self.0))? {
            self.0.items.push(item);
        }
        Ok(self.0.array(from))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let from = self.0.entries.len();
        while let Some(name) = map.next_key_seed(Name(self.0))? {
            let value = map.next_value_seed(Reading(self.0))?;
            self.0.entries.push((name, value));
        }
        Ok(self.0.object(from))
    }
}

/// Reads the name of an entry.
struct Name<'a>(&'a mut Interner);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Arc<str>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Arc<str>, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Arc<str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, text: &str) -> Result<Arc<str>, E> {
        Ok(self.0.text(text))
    }
}

#[cfg(test)]
impl From<serde_json::Value> for Json {
    fn from(value: serde_json::Value) -> Self {
        Interner::default().read(&value.to_string()).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_is_the_same_is_there_once() {
        let mut interner = Interner::default();
        let one = interner.read(r#"{"a": {"x": [1, "t"]}, "b": "t"}"#).unwrap();
        let other = interner.read(r#"{"c": {"x": [1, "t"]}}"#).unwrap();
        let (Some(Json::Object(a)), Some(Json::Object(c))) = (one.get("a"), other.get("c")) else {
            panic!("no objects")
        };
        assert!(Arc::ptr_eq(a, c));
    }

    #[test]
    fn what_nobody_holds_any_more_is_let_go() {
        let mut interner = Interner::default();
        let kept = interner.read(r#"{"name": "kept"}"#).unwrap();
        for n in 0..4 * FIRST_SWEEP {
            interner.read(&format!(r#"{{"name": "passing-{n}"}}"#)).unwrap();
        }
        assert!(interner.objects.len() + interner.texts.len() <= FIRST_SWEEP, "{}", interner.texts.len());
        let again = interner.read(r#"{"name": "kept"}"#).unwrap();
        assert!(same_value(&kept, &again));
    }

    #[test]
    fn the_last_of_a_name_that_stands_twice_counts() {
        let read = |text| Interner::default().read(text).unwrap().to_string();
        assert_eq!(read(r#"{"b": 1, "a": 2, "b": 3, "b": [4]}"#), r#"{"a":2,"b":[4]}"#);
    }

    #[test]
    fn a_pointer_leads_through_maps_and_lists() {
        let json = Json::from(json!({"a/b": [{"c~": 7}], "": {"x": null}}));
        assert_eq!(json.pointer("/a~1b/0/c~0").and_then(Json::as_i64), Some(7));
        assert_eq!(json.pointer("//x"), Some(&Json::Null));
        for nowhere in ["a", "/a", "/a~1b/00", "/a~1b/+0", "/a~1b/1", "/a~1b/0/c~0/d"] {
            assert_eq!(json.pointer(nowhere), None, "{nowhere}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map("[a-d/~]{0,3}", inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn everything_is_given_back_as_it_was_read(values in prop::collection::vec(any_json(), 1..5)) {
            let mut interner = Interner::default();
            let kept: Vec<Json> = values.iter().map(|v| interner.read(&v.to_string()).unwrap()).collect();
            for (value, json) in values.iter().zip(&kept) {
                // A number may not survive the first reading to its last digit.
                let value: Value = serde_json::from_str(&value.to_string()).unwrap();
                prop_assert_eq!(json.to_string(), value.to_string());
                for pointer in ["", "/a", "/0", "/a/b", "/a/0", "/~1", "/b~0"] {
                    prop_assert_eq!(json.pointer(pointer).map(ToString::to_string), value.pointer(pointer).map(ToString::to_string));
                }
            }
        }
    }
}
