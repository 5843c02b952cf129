//! One file that is followed: reading what is new, noticing that it is not the same any more, saying where to go on.

use std::{fs::File, io, os::unix::fs::FileExt, path::PathBuf, sync::Arc, time::Instant};

use super::{Found, Place, TELLING};
use crate::logs::{
    lines::Splitter,
    positions::{FileAt, Mark, Print},
    trouble::Trouble,
};

/// Of a longer line only the start is kept; a message is cut far below.
pub(super) const LONGEST: usize = 64 * 1024;
/// Bytes that tell a file by its start.
pub(super) const HEAD: usize = 256;
/// Shorter pieces of it, for a file that was shortened.
const HEADS: [usize; 3] = [32, 64, 128];
/// Bytes that tell that it was read up to here.
const TAIL: usize = 64;
/// Most that is read of a file before the next one has its turn.
const TURN: u64 = 1 << 20;

/// A file that is held open.
#[derive(Debug)]
pub(super) struct Tailed {
    pub(super) place: Place,
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) device: u64,
    pub(super) inode: u64,
    /// Up to where it was read.
    pub(super) read: u64,
    pub(super) splitter: Splitter,
    /// Its first bytes, as far as they were read.
    pub(super) head: Vec<u8>,
    /// The last bytes that were read.
    pub(super) tail: Vec<u8>,
    /// Since when its name belongs to another file, or nothing was read of it since.
    pub(super) left: Option<Instant>,
    pub(super) begin: Option<u64>,
}

/// Up to `length` bytes from a place on; fewer where there are no more.
pub(super) fn bytes_at(file: &File, at: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
        match file.read_at(room, at + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    bytes.truncate(filled);
    bytes
}

/// The bytes before a place that tell that a file was read up to there.
pub(super) fn last_bytes(file: &File, at: u64) -> Vec<u8> {
    let length = TAIL.min(usize::try_from(at).unwrap_or(TAIL));
    bytes_at(file, at - length as u64, length)
}

impl Tailed {
    /// Reads what is new. True where it stopped before the end.
    pub(super) fn step(
        &mut self,
        now: Instant,
        block: &mut [u8],
        next: &mut dyn FnMut() -> (u64, Arc<str>),
        out: &mut dyn FnMut(Found<'_>),
    ) -> bool {
        let mut turn = 0;
        loop {
            let Ok(size) = self.file.metadata().map(|meta| meta.len()) else { return false };
            let read = match self.file.read_at(block, self.read) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let path = self.place.path.to_string();
                    out(Found::Trouble(Trouble::Unreadable { path, reason: error.to_string() }));
                    return false;
                }
            };
            // After the reading: what was read before a truncation is what was written.
            if size < self.read || !self.is_the_same(size) {
                self.truncated(size, next, out);
                continue;
            }
            if read == 0 {
                return false;
            }
            let bytes = block.get(..read).unwrap_or_default();
            self.take(bytes, out);
            if self.left.is_some() {
                // It is still written to.
                self.left = Some(now);
            }
            turn += read as u64;
            if turn >= TURN {
                return true;
            }
        }
    }

    fn is_the_same(&self, size: u64) -> bool {
        if self.read == 0 {
            return true;
        }
        let head = self.head.len().min(usize::try_from(size).unwrap_or(usize::MAX));
        self.head.get(..head) == Some(&bytes_at(&self.file, 0, head))
            && bytes_at(&self.file, self.read - self.tail.len() as u64, self.tail.len()) == self.tail
    }

    /// The file is another one from here on: its lines get a name of their own.
    fn truncated(
        &mut self,
        size: u64,
        next: &mut dyn FnMut() -> (u64, Arc<str>),
        out: &mut dyn FnMut(Found<'_>),
    ) {
        let Place { number: old, name, path } = self.place.clone();
        out(Found::Lost {
            file: Some(old),
            id: format!("truncated/{name}-{:012x}", self.read),
            reason: format!(
                "{path} was truncated after byte {}; what was not read until then is gone",
                self.read
            ),
        });
        out(Found::Mark(Mark::Done(old)));
        let start = self.head.len().min(usize::try_from(size).unwrap_or(usize::MAX));
        let kept = size < self.read
            && size >= TELLING
            && self.head.get(..start) == Some(&bytes_at(&self.file, 0, start));
        let (number, name) = next();
        self.place = Place { number, name, path };
        self.splitter = Splitter::new(LONGEST);
        self.begin = None;
        // Shortened rather than begun anew: what is left of it was read.
        self.read = if kept { size } else { 0 };
        self.head.truncate(if kept { start } else { 0 });
        self.tail = last_bytes(&self.file, self.read);
        self.mark(out);
    }

    fn take(&mut self, bytes: &[u8], out: &mut dyn FnMut(Found<'_>)) {
        let room = HEAD.saturating_sub(self.head.len());
        if self.read == self.head.len() as u64 {
            self.head.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
        }
        let mut at = self.read - self.splitter.pending();
        let (place, begin) = (&self.place, self.begin);
        self.splitter.feed(bytes, |line| {
            let start = at;
            at += line.length;
            out(Found::Line { file: place, at: start, line, begin });
        });
        self.read += bytes.len() as u64;
        self.tail.extend_from_slice(bytes.get(bytes.len().saturating_sub(TAIL)..).unwrap_or_default());
        let surplus = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..surplus);
        self.mark(out);
    }

    /// The file will not be written to any more: its last line may have no end.
    pub(super) fn last_words(&mut self, out: &mut dyn FnMut(Found<'_>)) {
        let at = self.read - self.splitter.pending();
        if let Some(line) = self.splitter.take() {
            out(Found::Line { file: &self.place, at, line, begin: self.begin });
        }
    }

    /// Says where the file can be gone on with: at the end of the last whole line.
    pub(super) fn mark(&self, out: &mut dyn FnMut(Found<'_>)) {
        let offset = self.read - self.splitter.pending();
        let head =
            self.head.get(..usize::try_from(offset).unwrap_or(HEAD).min(self.head.len())).unwrap_or_default();
        let lengths = HEADS.iter().copied().filter(|length| *length < head.len()).chain([head.len()]);
        let at = FileAt {
            path: self.path.clone(),
            device: self.device,
            inode: self.inode,
            offset,
            head: lengths.filter_map(|length| head.get(..length)).map(Print::of).collect(),
            tail: Print::of(&last_bytes(&self.file, offset)),
        };
        out(Found::Mark(Mark::File(self.place.number, at)));
    }
}
