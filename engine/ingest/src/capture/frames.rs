//! A list in JSON cut into the bytes of its items, without understanding them.
//!
//! A reader that understands as it reads takes the bytes one by one, and of a list of hundreds of megabytes that is most
//! of the work. Here brackets and quotes are looked for alone; each item is then a slice that a parser runs through.
//! Only lists as API servers and kubectl write them are cut. Whatever else it is, and wherever something is wrong, the
//! caller is told to read the document in the other way, which knows all of JSON and what is wrong with it.

use std::io::Read;

use serde::de::IgnoredAny;

/// How much is read at once.
const CHUNK: usize = 256 * 1024;
/// Most that may stand outside of items.
const MOST_AROUND: usize = 16 << 20;
/// Largest item: ten times what etcd stores.
const LARGEST: usize = 16 << 20;

/// The document is not as it is expected, or cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Irregular;

/// Passes on the bytes of each item, which may refuse them, and gives back what stood around them: the document with
/// empty lists.
pub(super) fn cut(
    mut source: impl Read,
    mut item: impl FnMut(&[u8]) -> Result<(), Irregular>,
) -> Result<Vec<u8>, Irregular> {
    let mut cutter = Cutter::default();
    let mut buffer: Vec<u8> = Vec::new();
    loop {
        // What is kept is an item that has begun.
        let kept = buffer.len();
        if kept > LARGEST {
            return Err(Irregular);
        }
        buffer.resize(kept + CHUNK, 0);
        let fresh = buffer.get_mut(kept..).ok_or(Irregular)?;
        let read = source.read(fresh).map_err(|_| Irregular)?;
        buffer.truncate(kept + read);
        if read == 0 {
            let whole = cutter.depth == 0 && !cutter.in_string && kept == 0;
            return if whole { Ok(cutter.around) } else { Err(Irregular) };
        }
        let begun = cutter.pass(&buffer, kept, &mut item)?;
        buffer.drain(..begun);
    }
}

/// What is known of the document so far.
#[derive(Default)]
struct Cutter {
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// Of the items, where within them.
    items: Option<usize>,
    /// An item has begun; it stands at the beginning of what is kept.
    in_item: bool,
    /// Whether the last thing in the list was a comma; none at its beginning.
    comma: Option<bool>,
    /// The last text on the top level, while nothing but a colon follows it.
    name: Vec<u8>,
    named: bool,
    /// What stands outside of items.
    around: Vec<u8>,
}

impl Cutter {
    /// Looks at what has been read since `from`. Returns where the item begins that is not at its end yet.
    fn pass(
        &mut self,
        buffer: &[u8],
        from: usize,
        item: &mut impl FnMut(&[u8]) -> Result<(), Irregular>,
    ) -> Result<usize, Irregular> {
        let mut at = from;
        // Where the item begins, else where it was last told what stands around.
        let mut start = if self.in_item { 0 } else { from };
        while let Some(rest) = buffer.get(at..).filter(|rest| !rest.is_empty()) {
            if self.in_string {
                at += self.string(rest);
                continue;
            }
            let Some(skip) = rest.iter().position(|byte| !is_space(*byte)) else { break };
            at += skip;
            let byte = rest.get(skip).copied().ok_or(Irregular)?;
            let on_items = self.items == Some(self.depth);
            match byte {
                b'"' if on_items => return Err(Irregular),
                b'"' => {
                    self.in_string = true;
                    if self.depth == 1 {
                        self.name.clear();
                        self.named = false;
                    }
                }
                b'{' | b'[' => {
                    if on_items {
                        self.alternate(Some(true), false)?;
                        self.keep_around(buffer, start, at)?;
                        (start, self.in_item) = (at, true);
                    }
                    let list = byte == b'[' && self.items.is_none();
                    let wanted = self.depth == 0 || (self.depth == 1 && self.named && self.name == b"items");
                    self.depth += 1;
                    if list && wanted {
                        self.keep_around(buffer, start, at + 1)?;
                        start = at + 1;
                        self.check_beginning()?;
                        (self.items, self.comma) = (Some(self.depth), None);
                    }
                }
                b'}' | b']' => {
                    if on_items && (byte == b'}' || self.comma == Some(true)) {
                        return Err(Irregular);
                    }
                    if on_items {
                        self.items = None;
                    }
                    self.depth = self.depth.checked_sub(1).ok_or(Irregular)?;
                    if self.in_item && self.items == Some(self.depth) {
                        item(buffer.get(start..=at).ok_or(Irregular)?)?;
                        (start, self.in_item) = (at + 1, false);
                    }
                }
                b':' => self.named = self.depth == 1,
                b',' => {
                    // The comma between items belongs to none of them.
                    if on_items {
                        self.alternate(Some(false), true)?;
                        self.keep_around(buffer, start, at)?;
                        start = at + 1;
                    }
                    if self.depth == 1 {
                        self.named = false;
                    }
                }
                _ if on_items => return Err(Irregular),
                _ => {}
            }
            at += 1;
        }
        if self.in_item {
            return Ok(start);
        }
        self.keep_around(buffer, start, buffer.len())?;
        Ok(buffer.len())
    }

    /// What stands before the items must be right before any of them is passed on.
    fn check_beginning(&self) -> Result<(), Irregular> {
        let end: &[u8] = if self.depth == 1 { b"]" } else { b"]}" };
        let closed = [self.around.as_slice(), end].concat();
        serde_json::from_slice::<IgnoredAny>(&closed).map(drop).map_err(|_| Irregular)
    }

    /// Items and commas take turns; an item may also come first.
    fn alternate(&mut self, after: Option<bool>, now: bool) -> Result<(), Irregular> {
        let fits = self.comma == after || (self.comma.is_none() && !now);
        self.comma = Some(now);
        if fits { Ok(()) } else { Err(Irregular) }
    }

    /// Within a string: how many bytes are passed.
    fn string(&mut self, rest: &[u8]) -> usize {
        if self.escaped {
            self.escaped = false;
            return 1;
        }
        let end = memchr::memchr2(b'"', b'\\', rest);
        if self.depth == 1 && self.name.len() < 16 {
            self.name.extend(rest.iter().take(end.unwrap_or(rest.len())).take(16));
        }
        let Some(end) = end else { return rest.len() };
        if rest.get(end) == Some(&b'"') {
            self.in_string = false;
        } else {
            self.escaped = true;
        }
        end + 1
    }

    fn keep_around(&mut self, buffer: &[u8], from: usize, to: usize) -> Result<(), Irregular> {
        let part = buffer.get(from..to).ok_or(Irregular)?;
        // Within the list there is nothing but space: what is left of it is empty.
        self.around.extend_from_slice(part);
        if self.around.len() > MOST_AROUND { Err(Irregular) } else { Ok(()) }
    }
}

/// Space between the parts of JSON, which is most of an indented list.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// Bytes that come in portions.
    struct Portions<'a>(&'a [u8], usize);

    impl Read for Portions<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let now = self.1.min(self.0.len()).min(into.len());
            let (first, rest) = self.0.split_at(now);
            into[..now].copy_from_slice(first);
            self.0 = rest;
            Ok(now)
        }
    }

    fn cut_in(text: &str, portion: usize) -> Result<(Vec<String>, String), Irregular> {
        let mut items = Vec::new();
        let around = cut(Portions(text.as_bytes(), portion), |bytes| {
            items.push(String::from_utf8(bytes.to_vec()).unwrap());
            Ok(())
        })?;
        Ok((items, String::from_utf8(around).unwrap()))
    }

    #[test]
    fn each_item_is_cut_out_and_the_rest_is_a_document_without() {
        let text = r#"{"kind": "List", "items": [ {"a": "}\"{"}, {"items": [1]} ], "metadata": {}}"#;
        for portion in 1..text.len() {
            let (items, around) = cut_in(text, portion).unwrap();
            assert_eq!(items, [r#"{"a": "}\"{"}"#, r#"{"items": [1]}"#]);
            let around: Value = serde_json::from_str(&around).unwrap();
            assert_eq!(around, json!({"kind": "List", "items": [], "metadata": {}}));
        }
    }

    #[test]
    fn an_object_alone_has_no_items_to_cut_out() {
        let pod = r#"{"kind": "Pod", "spec": {"items": [{"x": 1}], "also": ["items", {}]}}"#;
        assert_eq!(cut_in(pod, 3).unwrap(), (Vec::new(), pod.to_owned()));
        let bare = cut_in("[{}, {\"x\": 1}]\n", 3).unwrap();
        assert_eq!(bare.0, ["{}", "{\"x\": 1}"]);
    }

    #[test]
    fn what_is_cut_off_or_holds_no_objects_is_left_to_the_other_way() {
        for text in [
            "{\"items\": [{}",
            "{\"items\": [1]}",
            "{\"items\": [\"x\"]}",
            "{}}",
            "{\"items\": [{}}",
            "{\"x",
            "[{} {}]",
            "[{},]",
            "[,{}]",
            "[{},,{}]",
        ] {
            assert_eq!(cut_in(text, 5), Err(Irregular), "{text}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            "[ -~ä\n\"\\\\]{0,12}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("items|kind|[a-z\"\\\\]{0,3}", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Where a document is cut, its items and what is around them are what it holds.
        #[test]
        fn what_is_cut_is_what_was_whole(document in any_json(), pretty: bool, portion in 1_usize..40) {
            let text = if pretty { format!("{document:#}") } else { document.to_string() };
            if let Ok((items, around)) = cut_in(&text, portion) {
                let items: Vec<Value> = items.iter().map(|item| serde_json::from_str(item).unwrap()).collect();
                let mut around: Value = serde_json::from_str(&around).unwrap();
                let list = if around.is_array() { Some(&mut around) } else { around.get_mut("items").filter(|l| l.is_array()) };
                if let Some(list) = list {
                    prop_assert_eq!(&*list, &json!([]));
                    *list = Value::from(items);
                } else {
                    prop_assert!(items.is_empty());
                }
                prop_assert_eq!(around, document);
            }
        }
    }
}
