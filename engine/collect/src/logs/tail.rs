//! Files that are followed through everything that happens to log files: rotation by renaming, by copying and
//! truncating, deletion, reuse of an inode, and a restart in between.
//!
//! A file is known by device and inode as long as it is held open, since nothing else can get its inode then. Across a
//! restart its first bytes and the last bytes that were read must be the same as well. Both are looked at again whenever
//! bytes were read: a file that was truncated and has grown past the old place looks like one that has only grown.
//!
//! What cannot be noticed: a file that comes and goes, or is truncated, before it was looked at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, Metadata},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    lines::{Line, Splitter},
    positions::{FileAt, Mark, Positions, Print},
    shown,
    trouble::Trouble,
};

/// How long the file of a name that is another one by now is still read: its writer may not have noticed yet.
pub(crate) const ROTATE_WAIT: Duration = Duration::from_secs(5);
/// How often patterns are tried again.
const REFRESH: Duration = Duration::from_secs(2);
/// Of a longer line only the start is kept; a message is cut far below.
const LONGEST: usize = 64 * 1024;
/// Bytes that tell a file by its start.
const HEAD: usize = 256;
/// Shorter pieces of it, for a file that was shortened.
const HEADS: [usize; 3] = [32, 64, 128];
/// Bytes that tell that it was read up to here.
const TAIL: usize = 64;
/// Read at once.
const BLOCK: usize = 64 * 1024;
/// Most that is read of a file before the next one has its turn.
const TURN: u64 = 1 << 20;
/// A shorter rest of a truncated file says nothing about whether its start was kept.
const TELLING: u64 = 32;

/// What is found in files.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// A line of the file of this name, with its place. Lines before `begin` (ms) are of no interest.
    Line { file: &'a Place, at: u64, line: Line, begin: Option<u64> },
    /// Bytes may be missing; `id` is the same when the same loss is met again.
    Lost { file: Option<u64>, id: String, reason: String },
    /// Where a file can be gone on with.
    Mark(Mark),
    /// Something that the operator should know.
    Trouble(Trouble),
    /// What was met before is over.
    Well(Trouble),
}

/// How the lines of a file are called.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) number: u64,
    pub(crate) name: Arc<str>,
    pub(crate) path: Arc<str>,
}

#[derive(Debug)]
struct Tailed {
    place: Place,
    path: PathBuf,
    file: File,
    device: u64,
    inode: u64,
    /// Up to where it was read.
    read: u64,
    splitter: Splitter,
    /// Its first bytes, as far as they were read.
    head: Vec<u8>,
    /// The last bytes that were read.
    tail: Vec<u8>,
    /// Since when its name belongs to another file, or nothing was read of it since.
    left: Option<Instant>,
    begin: Option<u64>,
}

/// Whether a pattern of files can be used.
///
/// # Errors
/// What is the matter with it.
pub fn check_pattern(pattern: &str) -> Result<(), String> {
    glob::Pattern::new(pattern).map(|_| ()).map_err(|error| error.to_string())
}

/// Follows files.
#[derive(Debug)]
pub(crate) struct Tailer {
    patterns: Vec<String>,
    epoch: u64,
    next: u64,
    open: Vec<Tailed>,
    /// Files that were followed before the restart and are not found again yet.
    kept: BTreeMap<u64, FileAt>,
    refreshed: Option<Instant>,
    /// Lines before it are left out in files that were there at the very first start, ms.
    begin: Option<u64>,
    started: bool,
    rotate_wait: Duration,
    block: Vec<u8>,
}

impl Tailer {
    /// Goes on where the positions are. `begin`: the very first start, with the time from which on lines are of
    /// interest, ms.
    pub(crate) fn new(patterns: Vec<String>, positions: &Positions, begin: Option<u64>) -> Tailer {
        Tailer {
            patterns,
            epoch: positions.epoch,
            next: positions.next_file,
            open: Vec::new(),
            kept: positions.files.clone(),
            refreshed: None,
            begin,
            started: false,
            rotate_wait: ROTATE_WAIT,
            block: vec![0; BLOCK],
        }
    }

    /// Looks at all files once and says what is new. True where there is more than it had time for.
    pub(crate) fn poll(&mut self, now: Instant, out: &mut dyn FnMut(Found<'_>)) -> bool {
        if !self.started {
            self.resume(out);
        }
        if self.refreshed.is_none_or(|last| now.duration_since(last) >= REFRESH) {
            self.refreshed = Some(now);
            self.discover(out);
        }
        self.names(now, out);
        self.started = true;
        self.begin = None;

        let mut more = false;
        let mut block = std::mem::take(&mut self.block);
        for tailed in &mut self.open {
            more |= tailed.step(now, &mut block, &mut || number(&mut self.next, self.epoch), out);
        }
        self.block = block;
        let wait = self.rotate_wait;
        self.open.retain_mut(|tailed| {
            let over = tailed.left.is_some_and(|since| now.duration_since(since) >= wait);
            if over {
                tailed.last_words(out);
                out(Found::Mark(Mark::Done(tailed.place.number)));
            }
            !over
        });
        more
    }

    /// Finds again what was followed before a restart, under its name or, renamed meanwhile, beside it.
    fn resume(&mut self, out: &mut dyn FnMut(Found<'_>)) {
        for (number, at) in std::mem::take(&mut self.kept) {
            let siblings = at.path.parent().map(fs::read_dir);
            let siblings = siblings.into_iter().flatten().flatten().flatten().map(|entry| entry.path());
            let here = std::iter::once(at.path.clone()).chain(siblings.filter(|path| *path != at.path));
            let found = here.into_iter().find_map(|path| {
                let file = File::open(&path).ok()?;
                let meta = file.metadata().ok().filter(Metadata::is_file)?;
                ((meta.dev(), meta.ino()) == (at.device, at.inode)).then_some((path, file, meta))
            });
            let place = Place { number, name: name(self.epoch, number), path: shown(&at.path).into() };
            let gone = |what: &str| Found::Lost {
                file: None,
                id: format!("gone/{}-{:012x}", place.name, at.offset),
                reason: format!("{} {what} while kwhy did not run, after byte {}", place.path, at.offset),
            };
            let Some((path, file, meta)) = found else {
                out(gone("was removed or replaced"));
                out(Found::Mark(Mark::Done(number)));
                continue;
            };
            let size = meta.len();
            let told = |print: &&Print| print.length as u64 <= size;
            let same_head = at
                .head
                .iter()
                .filter(told)
                .all(|print| Print::of(&bytes_at(&file, 0, print.length)) == *print);
            let tail = at.offset.saturating_sub(at.tail.length as u64);
            let same = size >= at.offset
                && same_head
                && Print::of(&bytes_at(&file, tail, at.tail.length)) == at.tail;
            // Shortened rather than begun anew: what is left of it was read.
            let kept = size < at.offset
                && same_head
                && at.head.iter().any(|print| print.length as u64 >= TELLING && told(&print));
            if !same {
                out(gone("was truncated or replaced"));
                out(Found::Mark(Mark::Done(number)));
            }
            if same || kept {
                let read = at.offset.min(size);
                let place = Place { path: shown(&path).into(), ..place };
                let (device, inode) = (at.device, at.inode);
                let mut tailed = Tailed {
                    place,
                    path,
                    device,
                    inode,
                    read,
                    splitter: Splitter::new(LONGEST),
                    head: bytes_at(&file, 0, HEAD.min(usize::try_from(read).unwrap_or(HEAD))),
                    tail: last_bytes(&file, read),
                    file,
                    left: None,
                    begin: None,
                };
                if kept {
                    let (number, name) = self::number(&mut self.next, self.epoch);
                    tailed.place = Place { number, name, ..tailed.place };
                    tailed.mark(out);
                }
                self.open.push(tailed);
            }
        }
    }

    /// Opens what matches and is not open yet.
    fn discover(&mut self, out: &mut dyn FnMut(Found<'_>)) {
        let patterns = self.patterns.clone();
        for pattern in &patterns {
            let mut any = false;
            // Patterns were looked at when they were read.
            for path in glob::glob(pattern).into_iter().flatten().flatten() {
                any |= self.consider(&path, out);
            }
            let trouble = Trouble::NoFile { pattern: pattern.clone() };
            out(if any { Found::Well(trouble) } else { Found::Trouble(trouble) });
        }
    }

    /// Opens a path unless what stands there is open. True where it is a file that can be read.
    fn consider(&mut self, path: &Path, out: &mut dyn FnMut(Found<'_>)) -> bool {
        let unreadable = |reason: String| Trouble::Unreadable { path: shown(path), reason };
        if ["gz", "zst", "xz", "bz2"].iter().any(|end| path.extension().is_some_and(|have| have == *end)) {
            return false;
        }
        let opened = File::open(path).and_then(|file| file.metadata().map(|meta| (file, meta)));
        let (file, meta) = match opened {
            Ok((_, meta)) if !meta.is_file() => return false,
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return false,
            Err(error) => {
                out(Found::Trouble(unreadable(error.to_string())));
                return false;
            }
        };
        let id = (meta.dev(), meta.ino());
        if let Some(known) = self.open.iter_mut().find(|tailed| (tailed.device, tailed.inode) == id) {
            if known.path != path {
                // Renamed; it may come to its end under the new name.
                known.path = path.to_owned();
                known.left = None;
            }
            return true;
        }
        if bytes_at(&file, 0, 2) == [0x1f, 0x8b] {
            out(Found::Trouble(unreadable("it is compressed".to_owned())));
            return false;
        }
        out(Found::Well(unreadable(String::new())));
        let (number, name) = number(&mut self.next, self.epoch);
        self.open.push(Tailed {
            place: Place { number, name, path: shown(path).into() },
            path: path.to_owned(),
            file,
            device: id.0,
            inode: id.1,
            read: 0,
            splitter: Splitter::new(LONGEST),
            head: Vec::new(),
            tail: Vec::new(),
            left: None,
            begin: self.begin,
        });
        true
    }

    /// Looks whether names still belong to the files that were opened by them; another file is opened at once.
    fn names(&mut self, now: Instant, out: &mut dyn FnMut(Found<'_>)) {
        let mut moved = BTreeSet::new();
        for tailed in &mut self.open {
            let same = fs::metadata(&tailed.path)
                .is_ok_and(|meta| (meta.dev(), meta.ino()) == (tailed.device, tailed.inode));
            if same {
                tailed.left = None;
            } else if tailed.left.is_none() {
                tailed.left = Some(now);
                moved.insert(tailed.path.clone());
            }
        }
        if moved.is_empty() {
            return;
        }
        // Where it went to may match as well, and must be known before it could be taken for a new one.
        self.discover(out);
        for path in moved {
            self.consider(&path, out);
        }
    }
}

fn number(next: &mut u64, epoch: u64) -> (u64, Arc<str>) {
    let number = *next;
    *next += 1;
    (number, name(epoch, number))
}

/// Sorts by the order in which files were opened.
fn name(epoch: u64, number: u64) -> Arc<str> {
    format!("f{epoch:012x}{number:06x}").into()
}

/// Up to `length` bytes from a place on; fewer where there are no more.
fn bytes_at(file: &File, at: u64, length: usize) -> Vec<u8> {
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
fn last_bytes(file: &File, at: u64) -> Vec<u8> {
    let length = TAIL.min(usize::try_from(at).unwrap_or(TAIL));
    bytes_at(file, at - length as u64, length)
}

impl Tailed {
    /// Reads what is new. True where it stopped before the end.
    fn step(
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
    fn last_words(&mut self, out: &mut dyn FnMut(Found<'_>)) {
        let at = self.read - self.splitter.pending();
        if let Some(line) = self.splitter.take() {
            out(Found::Line { file: &self.place, at, line, begin: self.begin });
        }
    }

    /// Says where the file can be gone on with: at the end of the last whole line.
    fn mark(&self, out: &mut dyn FnMut(Found<'_>)) {
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

#[cfg(test)]
mod tests;
