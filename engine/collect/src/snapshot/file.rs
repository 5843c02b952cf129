//! A `List` of Kubernetes, written item by item.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::SnapshotError;

/// A list that is being written.
pub(super) struct List {
    path: PathBuf,
    file: BufWriter<File>,
    count: usize,
}

impl List {
    pub(super) fn create(path: &Path) -> Result<Self, SnapshotError> {
        let path = path.to_owned();
        let open = || {
            let mut file = BufWriter::new(File::create(&path)?);
            file.write_all(b"{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[")?;
            Ok(file)
        };
        match open() {
            Ok(file) => Ok(Self { path, file, count: 0 }),
            Err(source) => Err(SnapshotError::Write { path, source }),
        }
    }

    pub(super) fn add(&mut self, item: &Value) -> Result<(), SnapshotError> {
        let between: &[u8] = if self.count == 0 { b"\n" } else { b",\n" };
        self.count += 1;
        let written = self
            .file
            .write_all(between)
            .and_then(|()| serde_json::to_writer(&mut self.file, item).map_err(io::Error::from));
        written.map_err(|source| SnapshotError::Write { path: self.path.clone(), source })
    }

    /// Ends the file; gives the number of items.
    pub(super) fn finish(mut self) -> Result<usize, SnapshotError> {
        let ended = self.file.write_all(b"\n]}\n").and_then(|()| self.file.flush());
        ended.map_err(|source| SnapshotError::Write { path: self.path, source })?;
        Ok(self.count)
    }
}
