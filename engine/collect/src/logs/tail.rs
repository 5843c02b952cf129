//! Files that are followed through everything that happens to log files: rotation by renaming, by copying and
//! truncating, deletion, reuse of an inode, and a restart in between.
//!
//! A file is known by device and inode as long as it is held open, since nothing else can get its inode then. Across a
//! restart its first bytes and the last bytes that were read must be the same as well. Both are looked at again whenever
//! bytes were read: a file that was truncated and has grown past the old place looks like one that has only grown.
//!
//! What cannot be noticed: a file that comes and goes, or is truncated, before it was looked at once.

mod tailed;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use self::tailed::{HEAD, LONGEST, Tailed, bytes_at, last_bytes};
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
/// Read at once.
const BLOCK: usize = 64 * 1024;
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

#[cfg(test)]
mod tests;
