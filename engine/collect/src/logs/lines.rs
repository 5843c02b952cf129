//! Lines of a stream that comes bit by bit: what is whole is given out, what is over-long is cut.

/// A line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Its first bytes.
    pub(crate) bytes: Vec<u8>,
    /// Bytes that it took, with its end.
    pub(crate) length: u64,
    /// Only a part of it was kept.
    pub(crate) cut: bool,
}

/// Cuts bytes into lines.
#[derive(Debug)]
pub(crate) struct Splitter {
    limit: usize,
    held: Vec<u8>,
    length: u64,
}

impl Splitter {
    /// Of a line longer than `limit` only its start is kept.
    pub(crate) fn new(limit: usize) -> Splitter {
        Splitter { limit, held: Vec::new(), length: 0 }
    }

    /// Takes bytes in and gives out the lines that end in them.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut out: impl FnMut(Line)) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(end);
            bytes = rest.get(1..).unwrap_or_default();
            self.hold(line);
            self.length += 1;
            if let Some(line) = self.take() {
                out(line);
            }
        }
        self.hold(bytes);
    }

    /// Bytes of the line that has not ended yet.
    pub(crate) fn pending(&self) -> u64 {
        self.length
    }

    /// Gives out what is held as a line, ended or not.
    pub(crate) fn take(&mut self) -> Option<Line> {
        if self.length == 0 {
            return None;
        }
        let length = std::mem::take(&mut self.length);
        let mut bytes = std::mem::take(&mut self.held);
        let cut = bytes.len() as u64 + 1 < length;
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        Some(Line { bytes, length, cut })
    }

    fn hold(&mut self, bytes: &[u8]) {
        let room = self.limit.saturating_sub(self.held.len());
        self.held.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
        self.length += bytes.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_long_line_is_cut_and_the_next_is_whole() {
        let mut splitter = Splitter::new(4);
        let mut lines = Vec::new();
        splitter.feed(b"abc\r\nabcdefgh\nx", |line| lines.push(line));
        assert_eq!(lines[0], Line { bytes: b"abc".to_vec(), length: 5, cut: false });
        assert_eq!(lines[1], Line { bytes: b"abcd".to_vec(), length: 9, cut: true });
        assert_eq!(splitter.pending(), 1);
        assert_eq!(splitter.take(), Some(Line { bytes: b"x".to_vec(), length: 1, cut: false }));
        assert_eq!(splitter.take(), None);
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_they_come(parts in prop::collection::vec("[a-c\\n]{0,20}", 0..20)) {
            let whole = parts.concat();
            let (mut one, mut many) = (Splitter::new(6), Splitter::new(6));
            let (mut at_once, mut bit_by_bit) = (Vec::new(), Vec::new());
            one.feed(whole.as_bytes(), |line| at_once.push(line));
            for part in &parts {
                many.feed(part.as_bytes(), |line| bit_by_bit.push(line));
            }
            let bytes: u64 = at_once.iter().map(|line| line.length).sum();
            prop_assert_eq!(bytes + one.pending(), whole.len() as u64);
            prop_assert_eq!(at_once, bit_by_bit);
        }
    }
}
