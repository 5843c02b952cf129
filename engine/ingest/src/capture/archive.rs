//! A capture or a dump that is packed: .tar, .tar.gz, .tgz and .zip, told by their first bytes.
//!
//! An archive is written by somebody else. Only files that a layout knows are unpacked, into a folder that goes away
//! after the reading and under names that are made here, so nothing in the archive decides where anything is written.
//! Links and other things that are no file are passed over. How much is unpacked is bounded.

use std::{
    cell::Cell,
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    rc::Rc,
};

use flate2::read::MultiGzDecoder;
use tempfile::TempDir;
use zip::{ZipArchive, result::ZipError};

use super::problem::Problems;

/// How much is taken out of an archive.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Entries, whatever they are.
    pub(super) entries: usize,
    /// Bytes of one file.
    pub(super) file: u64,
    /// Bytes in all, read over or kept.
    pub(super) total: u64,
    /// Up to here nobody asks how small it was packed.
    pub(super) small: u64,
    /// Bytes for each byte of the archive. Logs and lists of objects pack to a tenth or a fiftieth.
    pub(super) ratio: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 1_000_000, file: 1 << 30, total: 16 << 30, small: 64 << 20, ratio: 300 }
    }
}

/// Why nothing is taken out of an archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Some other file.
    #[error("neither a directory nor an archive (.tar, .tar.gz, .tgz or .zip)")]
    NotOne,
    /// An archive that is packed in a way that is not read.
    #[error("packed with {0}, which kwhy does not read; unpack it and name the directory")]
    Packing(&'static str),
    /// A zip with a password.
    #[error("protected by a password; unpack it and name the directory")]
    Password,
    /// A name with `..` or from the root.
    #[error("refused: `{name}` in it leads out of it, which no tool that collects writes")]
    Outside {
        /// The name as it stands there.
        name: String,
    },
    /// More entries than any dump has.
    #[error("refused: more than {limit} entries in it")]
    Entries {
        /// How many there may be.
        limit: usize,
    },
    /// It unpacks to more than it should.
    #[error(
        "refused: {packed} bytes that unpack to more than {unpacked}; if you trust it, unpack it and name the directory"
    )]
    Bomb {
        /// Its size.
        packed: u64,
        /// Bytes that had come out when it was left.
        unpacked: u64,
    },
    /// Cut off or damaged before anything of use.
    #[error("cut off or damaged")]
    Damaged(#[source] io::Error),
    /// No room, or no right.
    #[error("cannot be unpacked into {}", folder.display())]
    Room {
        /// Where it was to go.
        folder: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// What was taken out.
#[derive(Debug)]
pub(super) struct Unpacked {
    /// Names in the archive, and where the files are now.
    pub(super) files: Vec<(String, PathBuf)>,
    /// Where they are, for as long as this lives.
    _folder: TempDir,
}

/// Takes the files out of an archive whose names are `wanted`. One that is cut off gives those before.
pub(super) fn unpack(
    path: &Path,
    wanted: impl Fn(&str) -> bool,
    limits: Limits,
    problems: &mut Problems,
) -> Result<Unpacked, ArchiveError> {
    let mut file = File::open(path).map_err(ArchiveError::Damaged)?;
    let packed = file.metadata().map_err(ArchiveError::Damaged)?.len();
    let folder =
        tempfile::tempdir().map_err(|source| ArchiveError::Room { folder: std::env::temp_dir(), source })?;
    let meter = Meter { packed, limits, passed: Rc::default(), over: Rc::default() };
    let mut out = Out { folder, files: Vec::new(), entries: 0, wanted, meter, problems };
    let mut head = Vec::with_capacity(BLOCK);
    file.by_ref().take(BLOCK as u64).read_to_end(&mut head).map_err(ArchiveError::Damaged)?;
    file.seek(SeekFrom::Start(0)).map_err(ArchiveError::Damaged)?;
    let result = match Packing::of(&head) {
        Packing::Zip => unzip(file, &mut out),
        Packing::Tar => untar(BufReader::with_capacity(BUFFER, file), &mut out),
        Packing::Gzip => {
            let mut inside = out.meter.meter(MultiGzDecoder::new(BufReader::with_capacity(BUFFER, file)));
            let mut head = Vec::with_capacity(BLOCK);
            let read = inside.by_ref().take(BLOCK as u64).read_to_end(&mut head);
            match (Packing::of(&head), read) {
                (Packing::Tar, _) => untar(io::Cursor::new(head).chain(inside), &mut out),
                (_, Err(error)) => Err(ArchiveError::Damaged(error)),
                _ => Err(ArchiveError::NotOne),
            }
        }
        Packing::Other(name) => Err(ArchiveError::Packing(name)),
        Packing::None => Err(ArchiveError::NotOne),
    };
    out.end(path, result)
}

/// Size of a tar header.
const BLOCK: usize = 512;
const BUFFER: usize = 256 * 1024;

enum Packing {
    Zip,
    Tar,
    Gzip,
    Other(&'static str),
    None,
}

impl Packing {
    fn of(head: &[u8]) -> Self {
        match head {
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Self::Zip,
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', ..] => Self::Other("xz"),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Other("zstd"),
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Other("bzip2"),
            [b'7', b'z', 0xbc, 0xaf, ..] => Self::Other("7-Zip"),
            _ if head.get(257..262) == Some(b"ustar") => Self::Tar,
            _ => Self::None,
        }
    }
}

/// Counts what comes out of an archive, over all of its readers.
#[derive(Clone)]
struct Meter {
    packed: u64,
    limits: Limits,
    passed: Rc<Cell<u64>>,
    over: Rc<Cell<bool>>,
}

impl Meter {
    fn meter<R>(&self, source: R) -> Metered<R> {
        Metered { source, meter: self.clone() }
    }

    fn count(&self, bytes: usize) -> io::Result<()> {
        let passed = self.passed.get().saturating_add(bytes as u64);
        self.passed.set(passed);
        let Limits { total, small, ratio, .. } = self.limits;
        if passed > total || (passed > small && passed > self.packed.saturating_mul(ratio)) {
            self.over.set(true);
            return Err(io::Error::other("too much comes out of it"));
        }
        Ok(())
    }
}

struct Metered<R> {
    source: R,
    meter: Meter,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(room)?;
        self.meter.count(read)?;
        Ok(read)
    }
}

/// What of the files is on disk so far.
struct Out<'p, W> {
    folder: TempDir,
    files: Vec<(String, PathBuf)>,
    entries: usize,
    wanted: W,
    meter: Meter,
    problems: &'p mut Problems,
}

impl<W: Fn(&str) -> bool> Out<'_, W> {
    /// The name under which an entry is known here, if it is one to be taken out.
    fn entry(&mut self, name: &str, is_file: bool) -> Result<Option<String>, ArchiveError> {
        self.entries += 1;
        if self.entries > self.meter.limits.entries {
            return Err(ArchiveError::Entries { limit: self.meter.limits.entries });
        }
        let name = plain(name)?;
        Ok((is_file && (self.wanted)(&name)).then_some(name))
    }

    /// `size` is what there should be of it.
    fn take(&mut self, name: String, size: u64, source: impl Read) -> io::Result<()> {
        let limit = self.meter.limits.file;
        let path = self.folder.path().join(format!("{}", self.files.len()));
        // A sparse file grows without anything being read.
        let written = io::copy(&mut source.take(limit.saturating_add(1)), &mut File::create(&path)?)?;
        if written > limit {
            self.problems.file(&name, format_args!("larger than {} MiB, left out", limit >> 20));
            std::fs::remove_file(path)?;
            return Ok(());
        }
        let cut = (written < size).then(|| format!("{name} ends after {written} of {size} bytes"));
        self.files.push((name, path));
        cut.map_or(Ok(()), |cut| Err(io::Error::new(io::ErrorKind::UnexpectedEof, cut)))
    }

    fn end(self, path: &Path, result: Result<(), ArchiveError>) -> Result<Unpacked, ArchiveError> {
        if self.meter.over.get() {
            let (packed, unpacked) = (self.meter.packed, self.meter.passed.get());
            return Err(ArchiveError::Bomb { packed, unpacked });
        }
        match result {
            Err(ArchiveError::Damaged(error)) if !self.files.is_empty() => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let entries = self.entries;
                self.problems.file(
                    &name,
                    format_args!("cut off or damaged, the {entries} entries up to there are used: {error}"),
                );
            }
            Err(error) => return Err(error),
            Ok(()) => {}
        }
        Ok(Unpacked { files: self.files, _folder: self.folder })
    }
}

fn untar<W: Fn(&str) -> bool>(source: impl Read, out: &mut Out<'_, W>) -> Result<(), ArchiveError> {
    let mut archive = tar::Archive::new(source);
    for entry in archive.entries().map_err(ArchiveError::Damaged)? {
        let entry = entry.map_err(ArchiveError::Damaged)?;
        let is_file = entry.header().entry_type().is_file();
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if let Some(name) = out.entry(&name, is_file)? {
            out.take(name, entry.size(), entry).map_err(ArchiveError::Damaged)?;
        }
    }
    Ok(())
}

fn unzip<W: Fn(&str) -> bool>(file: File, out: &mut Out<'_, W>) -> Result<(), ArchiveError> {
    let bad = |error: ZipError| match error {
        ZipError::Io(error) => ArchiveError::Damaged(error),
        ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) => ArchiveError::Password,
        ZipError::CompressionMethodNotSupported(_) => ArchiveError::Packing("a method other than deflate"),
        other => ArchiveError::Damaged(io::Error::other(other)),
    };
    let mut archive = ZipArchive::new(BufReader::with_capacity(BUFFER, file)).map_err(bad)?;
    for at in 0..archive.len() {
        let entry = archive.by_index(at).map_err(bad)?;
        // Some tools on Windows write their own separator.
        let name = entry.name().map_err(bad)?.replace('\\', "/");
        let is_file = entry.is_file();
        if let Some(name) = out.entry(&name, is_file)? {
            let (size, metered) = (entry.size(), out.meter.meter(entry));
            out.take(name, size, metered).map_err(ArchiveError::Damaged)?;
        }
    }
    Ok(())
}

/// A name without `.` and doubled slashes.
fn plain(name: &str) -> Result<String, ArchiveError> {
    let mut parts = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err(ArchiveError::Outside { name: crate::text::name(name) }),
            part => parts.push(part),
        }
    }
    if name.starts_with('/') {
        return Err(ArchiveError::Outside { name: crate::text::name(name) });
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests;
