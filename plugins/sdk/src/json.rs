//! Reading Kubernetes JSON: whatever is absent or of another type reads as empty, as in the API itself.

use serde_json::Value;

/// A fragment of an object. Pointers are RFC 6901, relative to the fragment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Json(Value);

impl Json {
    /// Wraps a value.
    #[must_use]
    pub fn new(value: Value) -> Self {
        Self(value)
    }

    /// The fragment at a pointer; null where there is none.
    #[must_use]
    pub fn at(&self, pointer: &str) -> Self {
        Self(self.0.pointer(pointer).cloned().unwrap_or_default())
    }

    /// The string at a pointer; empty where there is none.
    #[must_use]
    pub fn text(&self, pointer: &str) -> &str {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap_or("")
    }

    /// The whole number at a pointer; 0 where there is none, as Kubernetes omits zeroes.
    #[must_use]
    pub fn number(&self, pointer: &str) -> i64 {
        self.0.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
    }

    /// Whether `true` stands at a pointer.
    #[must_use]
    pub fn is_true(&self, pointer: &str) -> bool {
        self.0.pointer(pointer).and_then(Value::as_bool).unwrap_or(false)
    }

    /// Whether anything but null stands at a pointer.
    #[must_use]
    pub fn has(&self, pointer: &str) -> bool {
        self.0.pointer(pointer).is_some_and(|v| !v.is_null())
    }

    /// The items of the list at a pointer.
    #[must_use]
    pub fn list(&self, pointer: &str) -> Vec<Self> {
        self.0.pointer(pointer).and_then(Value::as_array).into_iter().flatten().cloned().map(Self).collect()
    }

    /// The first item of a list that has a text at a pointer. The others are not copied for it.
    pub(crate) fn item(&self, pointer: &str, text: &str) -> Option<Self> {
        let has = |item: &&Value| item.pointer(pointer).and_then(Value::as_str) == Some(text);
        self.0.as_array()?.iter().find(has).cloned().map(Self)
    }

    /// The strings of the list at a pointer; others are left out.
    #[must_use]
    pub fn texts(&self, pointer: &str) -> Vec<String> {
        let all = self.0.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
        all.filter_map(|v| v.as_str().map(str::to_owned)).collect()
    }

    /// Names and strings of the map at a pointer, sorted by name, as serde_json keeps them.
    #[must_use]
    pub fn map(&self, pointer: &str) -> Vec<(String, String)> {
        let all = self.0.pointer(pointer).and_then(Value::as_object).into_iter().flatten();
        all.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect()
    }

    /// The fragment as text: a string as it is, nothing for null, all else as JSON.
    #[must_use]
    pub fn shown(&self) -> String {
        match &self.0 {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
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
}
