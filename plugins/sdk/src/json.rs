//! Reading Kubernetes JSON: whatever is absent or of another type reads as empty, as in the API itself.

use std::{fmt, rc::Rc};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, SeqAccess, Visitor},
    ser::{SerializeMap as _, SerializeSeq as _},
};
use serde_json::{Number, Value};

/// A fragment of an object. Pointers are RFC 6901, relative to the fragment. A clone is cheap, and so is a fragment of a
/// fragment: nothing is copied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Json(Node);

#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Node {
    #[default]
    Null,
    Bool(bool),
    Number(Number),
    Text(Rc<str>),
    List(Rc<[Json]>),
    /// Sorted by name, each name once.
    Map(Rc<[(Rc<str>, Json)]>),
}

impl Json {
    /// Wraps a value.
    #[must_use]
    pub fn new(value: Value) -> Self {
        Self(match value {
            Value::Null => Node::Null,
            Value::Bool(value) => Node::Bool(value),
            Value::Number(number) => Node::Number(number),
            Value::String(text) => Node::Text(text.into()),
            Value::Array(list) => Node::List(list.into_iter().map(Self::new).collect()),
            // Its map is ordered.
            Value::Object(map) => {
                Node::Map(map.into_iter().map(|(name, value)| (name.into(), Self::new(value))).collect())
            }
        })
    }

    /// What stands at a pointer.
    fn find(&self, pointer: &str) -> Option<&Self> {
        if pointer.is_empty() {
            return Some(self);
        }
        pointer.strip_prefix('/')?.split('/').try_fold(self, |at, step| match &at.0 {
            Node::Map(_) if step.contains('~') => at.named(&step.replace("~1", "/").replace("~0", "~")),
            Node::Map(_) => at.named(step),
            Node::List(list) => list.get(step.parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// What stands under a name of a map.
    fn named(&self, name: &str) -> Option<&Self> {
        let Node::Map(entries) = &self.0 else { return None };
        let at = entries.binary_search_by(|(known, _)| known.as_ref().cmp(name)).ok()?;
        entries.get(at).map(|(_, value)| value)
    }

    fn items(&self) -> &[Self] {
        if let Node::List(list) = &self.0 { list } else { &[] }
    }

    fn as_text(&self) -> Option<&str> {
        if let Node::Text(text) = &self.0 { Some(text) } else { None }
    }

    /// The fragment at a pointer; null where there is none.
    #[must_use]
    pub fn at(&self, pointer: &str) -> Self {
        self.find(pointer).cloned().unwrap_or_default()
    }

    /// The string at a pointer; empty where there is none.
    #[must_use]
    pub fn text(&self, pointer: &str) -> &str {
        self.find(pointer).and_then(Self::as_text).unwrap_or("")
    }

    /// The whole number at a pointer; 0 where there is none, as Kubernetes omits zeroes.
    #[must_use]
    pub fn number(&self, pointer: &str) -> i64 {
        match self.find(pointer) {
            Some(Self(Node::Number(number))) => number.as_i64().unwrap_or(0),
            _ => 0,
        }
    }

    /// Whether `true` stands at a pointer.
    #[must_use]
    pub fn is_true(&self, pointer: &str) -> bool {
        matches!(self.find(pointer), Some(Self(Node::Bool(true))))
    }

    /// Whether anything but null stands at a pointer.
    #[must_use]
    pub fn has(&self, pointer: &str) -> bool {
        self.find(pointer).is_some_and(|found| found.0 != Node::Null)
    }

    /// The items of the list at a pointer.
    #[must_use]
    pub fn list(&self, pointer: &str) -> Vec<Self> {
        self.find(pointer).map_or_else(Vec::new, |list| list.items().to_vec())
    }

    /// The first item of a list that has a text at a pointer.
    pub(crate) fn item(&self, pointer: &str, text: &str) -> Option<Self> {
        self.items().iter().find(|item| item.find(pointer).and_then(Self::as_text) == Some(text)).cloned()
    }

    /// The strings of the list at a pointer; others are left out.
    #[must_use]
    pub fn texts(&self, pointer: &str) -> Vec<String> {
        let all = self.find(pointer).map_or(&[][..], Self::items).iter();
        all.filter_map(|item| item.as_text().map(str::to_owned)).collect()
    }

    /// Names and strings of the map at a pointer, sorted by name.
    #[must_use]
    pub fn map(&self, pointer: &str) -> Vec<(String, String)> {
        let Some(Self(Node::Map(entries))) = self.find(pointer) else { return Vec::new() };
        entries.iter().filter_map(|(k, v)| Some((k.to_string(), v.as_text()?.to_owned()))).collect()
    }

    /// The fragment as text: a string as it is, nothing for null, all else as JSON.
    #[must_use]
    pub fn shown(&self) -> String {
        match &self.0 {
            Node::Null => String::new(),
            Node::Text(text) => text.to_string(),
            _ => serde_json::to_string(self).unwrap_or_default(),
        }
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Node::Null => to.serialize_unit(),
            Node::Bool(value) => to.serialize_bool(*value),
            Node::Number(number) => number.serialize(to),
            Node::Text(text) => to.serialize_str(text),
            Node::List(list) => {
                let mut seq = to.serialize_seq(Some(list.len()))?;
                list.iter().try_for_each(|item| seq.serialize_element(item))?;
                seq.end()
            }
            Node::Map(entries) => {
                let mut map = to.serialize_map(Some(entries.len()))?;
                entries.iter().try_for_each(|(name, value)| map.serialize_entry(&**name, value))?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reading)
    }
}

struct Reading;

/// A name in a map.
struct Name(Rc<str>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E>(self, text: &str) -> Result<Name, E> {
                Ok(Name(text.into()))
            }
        }

        from.deserialize_str(Text)
    }
}

impl<'de> Visitor<'de> for Reading {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json(Node::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json(Node::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json(Node::Number(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json(Node::Number(value.into())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json(Number::from_f64(value).map_or(Node::Null, Node::Number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json(Node::Text(text.into())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Json(Node::List(items.into())))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut entries: Vec<(Rc<str>, Json)> = Vec::new();
        while let Some((Name(name), value)) = map.next_entry::<Name, Json>()? {
            // The host gives them in order. Of a name that stands twice the last counts.
            match entries.last() {
                Some((last, _)) if *last >= name => {
                    match entries.binary_search_by(|(known, _)| known.cmp(&name)) {
                        Ok(at) => {
                            if let Some(entry) = entries.get_mut(at) {
                                entry.1 = value;
                            }
                        }
                        Err(at) => entries.insert(at, (name, value)),
                    }
                }
                _ => entries.push((name, value)),
            }
        }
        Ok(Json(Node::Map(entries.into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_or_of_another_type_reads_as_empty() {
        let json = Json::new(serde_json::json!({"a": {"b": "x", "n": 3, "l": ["p", 1]}, "z": null}));
        assert_eq!(json.text("/a/b"), "x");
        assert_eq!(json.text("/a/n"), "");
        assert_eq!(json.number("/a/n"), 3);
        assert_eq!(json.number("/a/b/c"), 0);
        assert_eq!(json.texts("/a/l"), ["p"]);
        assert_eq!(json.map("/a"), [("b".to_owned(), "x".to_owned())]);
        let unsorted: Value = serde_json::from_str(r#"{"z": "1", "a": "2"}"#).unwrap();
        assert_eq!(Json::new(unsorted).map("").first().map(|(k, _)| k.clone()), Some("a".to_owned()));
        assert!(json.has("/a") && !json.has("/z") && !json.has("/y"));
        assert_eq!(json.at("/a").text("/b"), "x");
        assert!(json.list("/a").is_empty());
        assert_eq!((json.at("/a/b").shown(), json.at("/z").shown()), ("x".to_owned(), String::new()));
        assert_eq!(json.at("/a/l").shown(), r#"["p",1]"#);
    }

    #[test]
    fn what_is_read_is_what_serde_json_reads() {
        let text = r#"{"z": 1, "a": {"~": [1.5, -2, null, true], "b/c": "x"}, "z": 2}"#;
        let (read, value): (Json, Value) =
            (serde_json::from_str(text).unwrap(), serde_json::from_str(text).unwrap());
        assert_eq!(read, Json::new(value.clone()));
        assert_eq!(read.shown(), value.to_string());
        assert_eq!((read.text("/a/b~1c"), read.number("/a/~0/1"), read.number("/z")), ("x", -2, 2));
    }
}
