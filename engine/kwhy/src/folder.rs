//! The folder into which a capture is written: new or empty, and for its owner alone, as it tells much of a cluster.

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use kwhy_collect::clock;
use kwhy_ingest::time;
use kwhy_proto::timestamp;

/// Makes the folder that was named, or one named after what is written and when.
pub(crate) fn make(named: Option<PathBuf>, what: &str) -> Result<PathBuf> {
    let dir = named.unwrap_or_else(|| {
        let now = time::rfc3339(&timestamp(clock::wall() / 1000 * 1000));
        // A colon is no part of a name everywhere.
        PathBuf::from(format!("kwhy-{what}-{}", now.replace(':', "-")))
    });
    if dir.exists() {
        let mut entries =
            fs::read_dir(&dir).with_context(|| format!("cannot write into {}", dir.display()))?;
        if entries.next().is_some() {
            bail!("{} is not empty; name a new directory", dir.display());
        }
        return Ok(dir);
    }
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
    made.with_context(|| format!("cannot make {}", dir.display()))?;
    Ok(dir)
}

/// Takes a folder away again into which nothing was written that is of use.
pub(crate) fn forget(dir: &Path) {
    // Files that were begun are there; others cannot be, as it was empty.
    for file in ["objects.json", "events.json", "signals.ndjson"] {
        let _ = fs::remove_file(dir.join(file));
    }
    let _ = fs::remove_dir(dir);
}
