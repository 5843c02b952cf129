//! Lines of a file that may be huge, compressed, cut off or not text at all.
//!
//! Hides the buffer, gzip and the bound on a line's length. A line is lent from the buffer, so reading allocates
//! nothing; it also says which byte follows it, as a continuation line cannot be told from the line before it.

use std::{
    fs::File,
    io::{self, Cursor, Read},
    path::Path,
};

/// What of a file is looked at to tell text from other things.
const HEAD: usize = 4096;
/// Size of the buffer, and so the length up to which a line costs no copy.
const BUFFER: usize = 256 * 1024;

/// Opens a file; one that starts like gzip is unpacked, whatever its name.
///
/// # Errors
/// What the operating system says.
pub fn open(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    let mut file = File::open(path)?;
    let mut magic = Vec::with_capacity(2);
    file.by_ref().take(2).read_to_end(&mut magic)?;
    let gzip = magic == [0x1f, 0x8b];
    let whole = Cursor::new(magic).chain(file);
    Ok(if gzip {
        Box::new(flate2::read::MultiGzDecoder::new(io::BufReader::with_capacity(BUFFER, whole)))
    } else {
        Box::new(whole)
    })
}

/// Why a file is not worth reading as text.
#[derive(Debug, thiserror::Error)]
pub enum NotText {
    /// Not one byte.
    #[error("is empty")]
    Empty,
    /// Mostly control characters.
    #[error("is binary, not text")]
    Binary,
    /// What PowerShell's `>` writes.
    #[error("is UTF-16; save it as UTF-8")]
    Utf16,
    /// Not even its start can be read.
    #[error("cannot be read")]
    Unreadable(#[source] io::Error),
}

/// Looks at the start of `source` and gives back a reader of the whole, without a byte order mark.
///
/// # Errors
/// [`NotText`] where the start shows that no line of it could be used.
pub fn text(mut source: Box<dyn Read + Send>) -> Result<Box<dyn Read + Send>, NotText> {
    let mut head = Vec::with_capacity(HEAD);
    if let Err(error) = source.by_ref().take(HEAD as u64).read_to_end(&mut head)
        && head.is_empty()
    {
        return Err(NotText::Unreadable(error));
    }
    if head.is_empty() {
        return Err(NotText::Empty);
    }
    if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
        return Err(NotText::Utf16);
    }
    let odd = head.iter().filter(|b| matches!(b, 0..=8 | 14..=26 | 28..=31)).count();
    // A head that ends inside a character is still text.
    let broken = std::str::from_utf8(&head).is_err_and(|error| error.error_len().is_some());
    if odd * 10 > head.len() || (broken && head.contains(&0)) {
        return Err(NotText::Binary);
    }
    if head.starts_with(&[0xef, 0xbb, 0xbf]) {
        head.drain(..3);
    }
    Ok(Box::new(Cursor::new(head).chain(source)))
}

/// One line, without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its bytes; of a line over the limit only the first.
    pub bytes: &'a [u8],
    /// The first byte of the next line, where there is one.
    pub next: Option<u8>,
    /// Whether the line was longer than the limit.
    pub cut: bool,
}

/// Reads line after line.
#[derive(Debug)]
pub struct Lines<R> {
    source: R,
    buffer: Vec<u8>,
    /// The bytes not yet handed out are `buffer[start..end]`.
    start: usize,
    end: usize,
    done: bool,
    failure: Option<io::Error>,
    limit: usize,
    long: Vec<u8>,
}

impl<R: Read> Lines<R> {
    /// Lines of `source`; of a longer one, only the first `limit` bytes are kept.
    pub fn new(source: R, limit: usize) -> Self {
        Self {
            source,
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            done: false,
            failure: None,
            limit,
            long: Vec::new(),
        }
    }

    /// The error that ended the reading early; the lines before it were whole.
    pub fn failure(&self) -> Option<&io::Error> {
        self.failure.as_ref()
    }

    /// The next line, or `None` at the end. Not an iterator, as the line lives in the buffer.
    #[expect(clippy::should_implement_trait, reason = "the line borrows from the reader")]
    pub fn next(&mut self) -> Option<Line<'_>> {
        let mut searched = 0;
        loop {
            let held = self.held();
            let tail = held.get(searched..).unwrap_or_default();
            if let Some(at) = memchr::memchr(b'\n', tail).map(|at| searched + at) {
                if at + 1 == held.len() && !self.done {
                    // The byte after the line end is wanted too.
                    searched = at;
                    self.fill();
                    continue;
                }
                let from = self.start;
                self.start += at + 1;
                return Some(self.line(from, at));
            }
            searched = held.len();
            if self.done {
                let from = self.start;
                self.start = self.end;
                // A read that failed leaves a piece of a line, which would be taken for a bad one.
                return (searched > 0 && self.failure.is_none()).then(|| self.line(from, searched));
            }
            if searched > self.limit {
                return Some(self.long_line());
            }
            self.fill();
        }
    }

    fn held(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    fn line(&self, from: usize, length: usize) -> Line<'_> {
        let whole = self.buffer.get(from..from + length).unwrap_or_default();
        let whole = whole.strip_suffix(b"\r").unwrap_or(whole);
        Line {
            bytes: whole.get(..self.limit).unwrap_or(whole),
            next: self.held().first().copied(),
            cut: whole.len() > self.limit,
        }
    }

    /// Keeps the start of the line and reads over the rest of it.
    fn long_line(&mut self) -> Line<'_> {
        self.long.clear();
        let start = self.buffer.get(self.start..self.start + self.limit).unwrap_or_default();
        self.long.extend_from_slice(start);
        loop {
            match memchr::memchr(b'\n', self.held()) {
                Some(at) => {
                    self.start += at + 1;
                    break;
                }
                None if self.done => {
                    self.start = self.end;
                    break;
                }
                None => {
                    self.start = self.end;
                    self.fill();
                }
            }
        }
        if self.start == self.end && !self.done {
            self.fill();
        }
        Line { bytes: &self.long, next: self.held().first().copied(), cut: true }
    }

    /// Reads more behind what is held, which moves to the front first.
    fn fill(&mut self) {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let Some(room) = self.buffer.get_mut(self.end..) else { return };
        loop {
            match self.source.read(room) {
                Ok(0) => self.done = true,
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.done = true;
                    self.failure = Some(error);
                }
            }
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    /// Gives out a few bytes a time, as a decompressor does.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            let take = self.1.min(self.0.len()).min(room.len());
            room[..take].copy_from_slice(&self.0[..take]);
            self.0 = &self.0[take..];
            Ok(take)
        }
    }

    fn all(source: impl Read, limit: usize) -> Vec<(Vec<u8>, Option<u8>, bool)> {
        let mut lines = Lines::new(source, limit);
        let mut out = Vec::new();
        while let Some(line) = lines.next() {
            out.push((line.bytes.to_vec(), line.next, line.cut));
        }
        out
    }

    #[test]
    fn a_line_over_the_limit_is_cut_and_the_next_is_whole() {
        let mut input = vec![b'x'; 3 * BUFFER];
        input.extend_from_slice(b"\nshort\r\n");
        let lines = all(&input[..], 1000);
        assert_eq!(lines[0], (vec![b'x'; 1000], Some(b's'), true));
        assert_eq!(lines[1], (b"short".to_vec(), None, false));
    }

    #[test]
    fn what_a_truncated_gzip_still_holds_is_read() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        for number in 0..10_000 {
            writeln!(packed, "line {number} {}", number * 7919 % 10_007).unwrap();
        }
        let packed = packed.finish().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cut.log");
        std::fs::write(&path, &packed[..packed.len() / 2]).unwrap();
        let mut lines = Lines::new(open(&path).unwrap(), 1000);
        let mut count = 0;
        while let Some(line) = lines.next() {
            assert!(line.bytes.starts_with(b"line "));
            count += 1;
        }
        assert!(count > 1000 && count < 9000, "{count} lines");
        assert_eq!(lines.failure().map(io::Error::kind), Some(io::ErrorKind::UnexpectedEof));
    }

    #[test]
    fn what_is_not_text_is_told_apart() {
        let look =
            |bytes: &'static [u8]| text(Box::new(bytes)).map(|_| ()).map_err(|error| error.to_string());
        assert_eq!(look(b"").unwrap_err(), "is empty");
        assert_eq!(look(b"\xff\xfeA\0").unwrap_err(), "is UTF-16; save it as UTF-8");
        assert_eq!(look(b"\x7fELF\x02\x01\x01\0\0\0\0\xff\xfe").unwrap_err(), "is binary, not text");
        assert!(look("größer\n".as_bytes()).is_ok());
        assert!(look(b"a latin-1 \xe4 in a line of text\n").is_ok());
        let mut all = String::new();
        text(Box::new(&b"\xef\xbb\xbf{}"[..])).unwrap().read_to_string(&mut all).unwrap();
        assert_eq!(all, "{}");
    }

    proptest! {
        #[test]
        fn lines_are_those_of_the_input(parts in prop::collection::vec("[a-c]{0,40}", 0..40), drip in 1usize..50, limit in 1usize..30, ended: bool) {
            let mut input = parts.join("\n");
            if ended && !input.is_empty() { input.push('\n'); }
            let expected: Vec<_> = input.lines().map(str::to_owned).collect();
            let got = all(Drip(input.as_bytes(), drip), limit);
            prop_assert_eq!(got.len(), expected.len());
            for (at, (line, next, cut)) in got.iter().enumerate() {
                let whole = expected[at].as_bytes();
                prop_assert_eq!(line.as_slice(), &whole[..whole.len().min(limit)]);
                prop_assert_eq!(*cut, whole.len() > limit);
                let after = expected.get(at + 1).map(|next| next.bytes().next().unwrap_or(b'\n'));
                prop_assert_eq!(*next, after);
            }
        }
    }
}
