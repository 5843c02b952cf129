//! Compiled code on disk, so that a start does not compile again what has not changed.
//!
//! What is read here runs as native code, so it is trusted by two things: the directory and the file belong to the
//! user alone, and the file holds what was written (its hash stands in front). An entry that fails either, or that the
//! runtime does not take, is thrown away and made anew: the cache never makes a start fail.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    hash::{Hash as _, Hasher},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use sha2::{Digest as _, Sha256};
use tracing::{debug, warn};
use wasmtime::{Engine, component::Component};

/// First bytes of an entry; another layout gets another number.
const MAGIC: &[u8; 16] = b"kwhy code 1\n\0\0\0\0";
/// Length of the hash after it.
const HASH: usize = 32;
/// Larger than any rule compiles to.
const LARGEST: u64 = 1 << 30;
/// Entries kept; the oldest go first. Versions of rules and of kwhy come and go.
const ENTRIES: usize = 256;

/// A directory of compiled code.
pub(crate) struct Cache {
    dir: PathBuf,
}

impl Cache {
    /// The cache in `dir`, or none where the directory cannot be trusted or made.
    pub(crate) fn open(dir: &Path) -> Option<Self> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        match made.and_then(|()| fs::metadata(dir)).and_then(|m| private(&m)) {
            Ok(()) => Some(Self { dir: dir.to_owned() }),
            Err(e) => {
                warn!(dir = %dir.display(), error = %e, "no cache for compiled rules; every start compiles them anew");
                None
            }
        }
    }

    /// The code of the component with this sha256.
    pub(crate) fn load(&self, engine: &Engine, digest: &[u8]) -> Option<Component> {
        let path = self.path(engine, digest);
        let code = match read(&path) {
            Ok(code) => code,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return None,
            Err(e) => return discard(&path, &e.to_string()),
        };
        native::component(engine, &code).or_else(|message| discard(&path, &message).ok_or(())).ok()
    }

    /// Keeps `component`. A failure costs only the next start.
    pub(crate) fn store(&self, engine: &Engine, digest: &[u8], component: &Component) {
        let path = self.path(engine, digest);
        let written =
            component.serialize().map_err(io::Error::other).and_then(|code| self.write(&path, &code));
        if let Err(e) = written {
            warn!(path = %path.display(), error = %e, "cannot keep a compiled rule; the next start compiles it anew");
        }
        self.prune();
    }

    /// Whole or not at all: another process may read at any moment, and this one may end at any moment.
    fn write(&self, path: &Path, code: &[u8]) -> io::Result<()> {
        static WRITES: AtomicU64 = AtomicU64::new(0);
        let unique = format!("{}-{}.tmp", process::id(), WRITES.fetch_add(1, Ordering::Relaxed));
        let temporary = path.with_extension(unique);
        // What an earlier process of this number left behind.
        let _ = fs::remove_file(&temporary);
        let result = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).and_then(
            |mut file| {
                file.write_all(MAGIC)?;
                file.write_all(&Sha256::digest(code))?;
                file.write_all(code)?;
                fs::rename(&temporary, path)
            },
        );
        if result.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        result
    }

    /// Named by all that the code depends on: the component, and version, configuration and processor of the engine.
    fn path(&self, engine: &Engine, digest: &[u8]) -> PathBuf {
        let mut key = Hash(Sha256::new());
        key.write(MAGIC);
        key.write(env!("CARGO_PKG_VERSION").as_bytes());
        engine.precompile_compatibility_hash().hash(&mut key);
        key.write(digest);
        self.dir.join(format!("{}.code", crate::loading::hex(&key.0.finalize())))
    }

    fn prune(&self) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        let mut entries: Vec<(SystemTime, PathBuf)> = entries
            .filter_map(|e| e.ok())
            .filter_map(|e| Some((e.metadata().ok()?.modified().ok()?, e.path())))
            .filter(|(_, path)| path.extension().is_some_and(|e| e == "code" || e == "tmp"))
            .collect();
        entries.sort();
        let surplus = entries.len().saturating_sub(ENTRIES);
        for (_, path) in entries.into_iter().take(surplus) {
            let _ = fs::remove_file(path);
        }
    }
}

/// The code in an entry, checked.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let bad = |message| Err(io::Error::new(io::ErrorKind::InvalidData, message));
    let mut file: File = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0))
        .open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() || meta.len() > LARGEST {
        return bad("no file of a fitting size");
    }
    private(&meta)?;
    let mut head = [0; MAGIC.len() + HASH];
    file.read_exact(&mut head)?;
    let (magic, hash) = head.split_at(MAGIC.len());
    if magic != MAGIC {
        return bad("another layout");
    }
    let mut code = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0));
    file.read_to_end(&mut code)?;
    if Sha256::digest(&code).as_slice() != hash {
        return bad("not what was written");
    }
    Ok(code)
}

/// Whether only this user can have written it.
fn private(meta: &fs::Metadata) -> io::Result<()> {
    let denied = |message| Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return denied("it belongs to another user");
    }
    if meta.mode() & 0o022 != 0 {
        return denied("other users can write to it");
    }
    Ok(())
}

fn discard<T>(path: &Path, why: &str) -> Option<T> {
    debug!(path = %path.display(), why, "a compiled rule is thrown away and made anew");
    let _ = fs::remove_file(path);
    None
}

/// Feeds what `Hash` yields into sha256. Good for one machine, which is all that a cache is for.
struct Hash(Sha256);

impl Hasher for Hash {
    fn finish(&self) -> u64 {
        0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

/// The one unsafe call of this crate.
mod native {
    use wasmtime::{Engine, component::Component};

    /// Takes compiled code as it is, after the runtime's own check of version and configuration.
    #[allow(unsafe_code, reason = "compiled code cannot be verified, only be known to be one's own")]
    pub(super) fn component(engine: &Engine, code: &[u8]) -> Result<Component, String> {
        // SAFETY: `code` was written by `Cache::store` from `Component::serialize`: the caller has checked that the
        // file belongs to this user alone and that its content has the hash it was written with. It is copied here,
        // so a later change of the file changes nothing.
        unsafe { Component::deserialize(engine, code) }.map_err(|e| format!("{e:#}"))
    }
}
