//! Up to where each log was read and stored, kept on disk.
//!
//! The file is written beside its place, synced and renamed, so there is always a whole one. It is written only after
//! NATS has acknowledged what stands before the positions in it.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    shown,
    trouble::{Told, Trouble},
};

/// What is written now; another one is not understood.
const VERSION: u32 = 1;

/// Where to go on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Positions {
    version: u32,
    /// Whose logs these are; positions of another node say nothing.
    node: String,
    /// When the positions were begun, ms. Part of the ids of lines of files, so that positions that were lost do not make
    /// new lines look like old ones.
    pub(crate) epoch: u64,
    /// Number of the file that is opened next.
    pub(crate) next_file: u64,
    /// Cursor of the last entry of the journal.
    pub(crate) journal: Option<String>,
    /// Files that are followed, by number.
    pub(crate) files: BTreeMap<u64, FileAt>,
}

/// Up to where a file was read, and what tells that it is still the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileAt {
    pub(crate) path: PathBuf,
    pub(crate) device: u64,
    pub(crate) inode: u64,
    /// Bytes that were read, up to the end of a whole line.
    pub(crate) offset: u64,
    /// The first bytes, in several lengths: of a file that was shortened the longer ones say nothing.
    pub(crate) head: Vec<Print>,
    /// The last bytes before the offset.
    pub(crate) tail: Print,
}

/// A few bytes of a file, as their number and a digest: positions are no place for what a log says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Print {
    pub(crate) length: usize,
    digest: String,
}

impl Print {
    pub(crate) fn of(bytes: &[u8]) -> Print {
        let digest = Sha256::digest(bytes).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Print { length: bytes.len(), digest }
    }
}

/// A step of a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The journal is read up to this cursor.
    Journal(String),
    /// The file of this number is read up to here.
    File(u64, FileAt),
    /// The file of this number is done with.
    Done(u64),
}

impl Positions {
    pub(crate) fn apply(&mut self, mark: Mark) {
        match mark {
            Mark::Journal(cursor) => self.journal = Some(cursor),
            Mark::File(number, at) => {
                self.next_file = self.next_file.max(number + 1);
                self.files.insert(number, at);
            }
            Mark::Done(number) => {
                self.next_file = self.next_file.max(number + 1);
                self.files.remove(&number);
            }
        }
    }
}

/// Why positions cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The folder or a file in it cannot be made.
    #[error("cannot keep positions in {path}; name a folder that can be written (data_dir)")]
    Folder {
        /// The folder.
        path: String,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// Two would send the same lines and overwrite each other's positions.
    #[error("another kwhy reads the logs of node {node} with the positions in {path}")]
    InUse {
        /// The node.
        node: String,
        /// The folder.
        path: String,
    },
}

/// The file that holds positions.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    positions: Positions,
    /// Nothing was kept before.
    new: bool,
    _lock: File,
}

impl Store {
    /// Opens the positions of a node, or begins new ones at `now`, ms.
    pub(crate) fn open(dir: &Path, node: &str, now: u64, told: &Told) -> Result<Store, StateError> {
        let folder = |source| StateError::Folder { path: shown(dir), source };
        fs::create_dir_all(dir).map_err(folder)?;
        let name = kwhy_bus::subject::token(node);
        let lock = File::create(dir.join(format!("kubelet-{name}.lock"))).map_err(folder)?;
        if lock.try_lock().is_err() {
            return Err(StateError::InUse { node: node.to_owned(), path: shown(dir) });
        }
        let path = dir.join(format!("kubelet-{name}.json"));
        let fresh =
            || Positions { version: VERSION, node: node.to_owned(), epoch: now, ..Positions::default() };
        let unusable = |reason: String| -> Option<Positions> {
            told.tell(&Trouble::Positions { path: shown(&path), reason });
            None
        };
        let kept: Option<Positions> = match fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice::<Positions>(&bytes) {
                Ok(kept) if kept.version != VERSION => unusable(format!("version {}", kept.version)),
                Ok(kept) if kept.node != node => unusable(format!("they are of node {}", kept.node)),
                Ok(kept) => Some(kept),
                Err(error) => unusable(error.to_string()),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(folder(error)),
        };
        let new = kept.is_none();
        let mut positions = kept.unwrap_or_else(fresh);
        if positions.journal.as_deref().is_some_and(|cursor| kwhy_ingest::journal::position(cursor).is_none())
        {
            unusable("not a cursor of the journal".to_owned());
            positions.journal = None;
        }
        let store = Store { path, positions, new, _lock: lock };
        // Now rather than when the first lines are stored: a folder that cannot be written is wrong from the start.
        store.snapshot().and_then(|snapshot| snapshot.write()).map_err(folder)?;
        Ok(store)
    }

    pub(crate) fn positions(&self) -> &Positions {
        &self.positions
    }

    pub(crate) fn is_new(&self) -> bool {
        self.new
    }

    pub(crate) fn apply(&mut self, marks: impl IntoIterator<Item = Mark>) {
        marks.into_iter().for_each(|mark| self.positions.apply(mark));
    }

    pub(crate) fn path(&self) -> String {
        shown(&self.path)
    }

    /// The positions as they are now, ready to be written.
    pub(crate) fn snapshot(&self) -> io::Result<Snapshot> {
        Ok(Snapshot { path: self.path.clone(), bytes: serde_json::to_vec(&self.positions)? })
    }
}

/// Positions on their way to disk.
pub(crate) struct Snapshot {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Snapshot {
    /// Writes them so that the file is whole whatever happens.
    pub(crate) fn write(&self) -> io::Result<()> {
        let beside = self.path.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(&self.bytes)?;
        file.sync_data()?;
        fs::rename(&beside, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::Health;

    fn quiet() -> Told {
        Told::new(|_| (), Health::default())
    }

    #[test]
    fn positions_are_there_again_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), "kal", 7, &quiet()).unwrap();
        assert!(store.is_new());
        let at = FileAt {
            path: "/var/log/kubelet.log".into(),
            device: 1,
            inode: 2,
            offset: 3,
            head: vec![Print::of(b"abc")],
            tail: Print::of(b"bc"),
        };
        store.apply([
            Mark::Journal("s=a;i=1;t=1".into()),
            Mark::File(4, at.clone()),
            Mark::File(5, at.clone()),
        ]);
        store.apply([Mark::Done(5)]);
        store.snapshot().unwrap().write().unwrap();
        drop(store);
        let store = Store::open(dir.path(), "kal", 99, &quiet()).unwrap();
        assert!(!store.is_new());
        let positions = store.positions();
        assert_eq!((positions.epoch, positions.next_file), (7, 6));
        assert_eq!(positions.journal.as_deref(), Some("s=a;i=1;t=1"));
        assert_eq!(positions.files, BTreeMap::from([(4, at)]));
    }

    #[test]
    fn two_do_not_share_positions() {
        let dir = tempfile::tempdir().unwrap();
        let _first = Store::open(dir.path(), "kal", 0, &quiet()).unwrap();
        let second = Store::open(dir.path(), "kal", 0, &quiet());
        assert!(matches!(second, Err(StateError::InUse { .. })), "{second:?}");
        assert!(Store::open(dir.path(), "ford", 0, &quiet()).is_ok(), "another node is another matter");
    }

    #[test]
    fn what_cannot_be_read_is_told_and_begun_anew() {
        for kept in [
            "",
            "{\"version\":",
            "{\"version\":9,\"node\":\"kal\",\"epoch\":1,\"next_file\":0,\"journal\":null,\"files\":{}}",
        ] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("kubelet-kal.json"), kept).unwrap();
            let said = std::sync::Arc::new(std::sync::Mutex::new(0));
            let count = said.clone();
            let told = Told::new(move |_| *count.lock().unwrap() += 1, Health::default());
            let store = Store::open(dir.path(), "kal", 5, &told).unwrap();
            assert!(store.is_new() && store.positions().epoch == 5, "{kept}");
            assert_eq!(*said.lock().unwrap(), 1, "{kept}");
        }
    }
}
