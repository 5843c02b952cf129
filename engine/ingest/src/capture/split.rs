//! The quick way through a `List` of Kubernetes: the text of its items is found by brackets and quotes alone, and only
//! one item a time is read as JSON. It takes lists that are as they should be; for any other there is [`super::list`],
//! which knows to say what is wrong and where.

use std::{io::Read, ops::Range};

use memchr::memchr2;
use serde_json::Value;

use super::{list::List, skim::skim};

/// How much is read at once.
const CHUNK: usize = if cfg!(test) { 16 } else { 256 * 1024 };

/// Reads a list and passes on each item. Where something is not as it should be, the number of items passed on so far.
pub(super) fn read(source: impl Read, item: &mut dyn FnMut(Value)) -> Result<List, u32> {
    let mut text = Text { source, buffer: Vec::new(), at: 0, ended: false };
    let mut passed = 0;
    document(&mut text, &mut passed, item).ok_or(passed)
}

fn document<R: Read>(text: &mut Text<R>, passed: &mut u32, item: &mut dyn FnMut(Value)) -> Option<List> {
    let mut list = List::default();
    text.expect(b'{')?;
    if text.next()? == b'}' {
        text.at += 1;
    } else {
        loop {
            let name = text.value()?;
            let name = text.get(name)?.to_vec();
            text.expect(b':')?;
            match (name.as_slice(), text.next()?) {
                (b"\"items\"", b'[') => {
                    list.has_items = true;
                    items(text, passed, item)?;
                }
                (b"\"items\"", _) => return None,
                (b"\"kind\"", _) => {
                    let kind = text.value()?;
                    list.kind = serde_json::from_slice(text.get(kind)?).ok()?;
                }
                // Only what is ignored anyway may stay unread.
                (name, _) => {
                    serde_json::from_slice::<&str>(name).ok()?;
                    let other = text.value()?;
                    serde_json::from_slice::<serde::de::IgnoredAny>(text.get(other)?).ok()?;
                }
            }
            match text.take()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
    }
    // An object alone is a list of one; there is no need to be quick with it.
    (list.has_items && text.next().is_none()).then_some(list)
}

fn items<R: Read>(text: &mut Text<R>, passed: &mut u32, item: &mut dyn FnMut(Value)) -> Option<()> {
    text.expect(b'[')?;
    if text.next()? == b']' {
        text.at += 1;
        return Some(());
    }
    loop {
        let found = text.value()?;
        let mut json = serde_json::Deserializer::from_slice(text.get(found)?);
        let value = skim(&mut json).ok()?;
        json.end().ok()?;
        *passed = passed.saturating_add(1);
        item(value);
        match text.take()? {
            b',' => {}
            b']' => return Some(()),
            _ => return None,
        }
    }
}

/// What was read of the source and not passed on yet.
struct Text<R> {
    source: R,
    buffer: Vec<u8>,
    /// Where in the buffer it goes on.
    at: usize,
    ended: bool,
}

impl<R: Read> Text<R> {
    fn get(&self, range: Range<usize>) -> Option<&[u8]> {
        self.buffer.get(range)
    }

    /// Reads more behind what is there, and drops what is done with. None at the end, and where the source fails.
    fn more(&mut self) -> Option<()> {
        if self.ended {
            return None;
        }
        self.buffer.drain(..self.at);
        self.at = 0;
        let held = self.buffer.len();
        self.buffer.resize(held + CHUNK, 0);
        let read = self.source.read(self.buffer.get_mut(held..)?);
        self.buffer.truncate(held + read.as_ref().map_or(0, |n| *n));
        match read {
            Ok(0) | Err(_) => {
                self.ended = true;
                None
            }
            Ok(_) => Some(()),
        }
    }

    /// The next byte that is no blank; it stays.
    fn next(&mut self) -> Option<u8> {
        loop {
            let rest = self.buffer.get(self.at..).unwrap_or_default();
            if let Some(blanks) = rest.iter().position(|b| !matches!(b, b' ' | b'\n' | b'\r' | b'\t')) {
                self.at += blanks;
                return self.buffer.get(self.at).copied();
            }
            self.at = self.buffer.len();
            self.more()?;
        }
    }

    fn take(&mut self) -> Option<u8> {
        let byte = self.next()?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, wanted: u8) -> Option<()> {
        (self.take()? == wanted).then_some(())
    }

    /// Where the next value stands, which is in the buffer as a whole then.
    fn value(&mut self) -> Option<Range<usize>> {
        self.next()?;
        let mut scan = Scan::default();
        loop {
            if let Some(length) = scan.end(self.buffer.get(self.at..)?) {
                let from = self.at;
                self.at += length;
                return Some(from..self.at);
            }
            self.more()?;
        }
    }
}

/// How far a value was looked through.
#[derive(Default)]
struct Scan {
    at: usize,
    depth: u32,
    quoted: bool,
}

impl Scan {
    /// The end of the value that begins the text, if it is there.
    fn end(&mut self, text: &[u8]) -> Option<usize> {
        while let Some(rest) = text.get(self.at..).filter(|rest| !rest.is_empty()) {
            if self.quoted {
                let Some(found) = memchr2(b'"', b'\\', rest) else {
                    self.at = text.len();
                    return None;
                };
                if rest.get(found) == Some(&b'\\') {
                    if found + 1 >= rest.len() {
                        // What it escapes is not here yet.
                        self.at += found;
                        return None;
                    }
                    self.at += found + 2;
                    continue;
                }
                self.at += found + 1;
                self.quoted = false;
            } else {
                let Some(found) =
                    rest.iter().position(|b| matches!(b, b'"' | b'{' | b'}' | b'[' | b']' | b','))
                else {
                    self.at = text.len();
                    return None;
                };
                let byte = rest.get(found).copied().unwrap_or_default();
                if self.depth == 0 && found > 0 {
                    // A number or a word, ended by what follows it.
                    return Some(self.at + found);
                }
                match byte {
                    b'"' => self.quoted = true,
                    b'{' | b'[' => self.depth += 1,
                    b',' if self.depth == 0 => return Some(self.at + found),
                    b',' => {}
                    _ if self.depth == 0 => return Some(self.at + found),
                    _ => self.depth -= 1,
                }
                self.at += found + 1;
                if self.quoted {
                    continue;
                }
                if byte == b',' {
                    continue;
                }
            }
            if self.depth == 0 && !self.quoted {
                return Some(self.at);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::capture::list;

    /// Gives out a few bytes a time.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
            let take = self.1.min(self.0.len()).min(room.len());
            room[..take].copy_from_slice(&self.0[..take]);
            self.0 = &self.0[take..];
            Ok(take)
        }
    }

    fn quick(text: &str, drip: usize) -> (Vec<Value>, Result<String, u32>) {
        let mut all = Vec::new();
        let read = read(Drip(text.as_bytes(), drip), &mut |item| all.push(item));
        (all, read.map(|list| list.kind))
    }

    #[test]
    fn items_are_found_whatever_stands_in_their_texts() {
        let text = r#" {"kind":"List", "metadata":{"x":[1]}, "items": [ {"a":"}]\"{\\", "b":[{},{"c":-1.5e3}]} , {"metadata":{"name":"n","managedFields":[{"f":{}}]}} ] } "#;
        for drip in [1, 2, 3, 7, 1000] {
            let (all, kind) = quick(text, drip);
            let expected = [
                serde_json::json!({"a": "}]\"{\\", "b": [{}, {"c": -1500.0}]}),
                serde_json::json!({"metadata": {"name": "n"}}),
            ];
            assert_eq!((all.as_slice(), kind), (&expected[..], Ok("List".to_owned())));
        }
    }

    #[test]
    fn what_is_not_as_it_should_be_is_left_to_the_slow_way() {
        for (text, passed) in [
            (r#"{"items":[{},{"a":1}"#, 2),
            (r#"{"items":[{},{"a":}]}"#, 1),
            (r#"{"items":[{}]} x"#, 1),
            (r#"{"items":[{} {}]}"#, 1),
            (r#"{"items":null}"#, 0),
            ("[{}]", 0),
            ("", 0),
        ] {
            assert_eq!(quick(text, 5).1, Err(passed), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_the_quick_way_takes_the_slow_way_takes_as_well(
            parts in prop::collection::vec(prop_oneof![
                Just("{"), Just("}"), Just("["), Just("]"), Just("{\"items\":["), Just("{}"), Just(","), Just(":"), Just("\"a\""),
                Just("\"\\\\\""), Just("\"\\\"\""), Just("1"), Just("null"), Just(" "), Just("\"items\""), Just("{\"a\":1}"),
            ], 0..14),
            drip in 1usize..9,
        ) {
            let text = parts.concat();
            let (quickly, kind) = quick(&text, drip);
            let mut slowly = Vec::new();
            let (_, result) = list::slow(text.as_bytes(), &mut |item| slowly.push(item));
            prop_assert!(slowly.len() >= quickly.len());
            prop_assert_eq!(&slowly[..quickly.len()], &quickly[..]);
            if kind.is_ok() {
                prop_assert!(result.is_ok());
                prop_assert_eq!(slowly, quickly);
            }
        }
    }
}
