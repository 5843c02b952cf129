//! The rules of this run: the built-in packs, then those of the folders that were named.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use kwhy_core::rule::Rules;
use kwhy_sandbox::{Sandbox, Settings, Source};

use crate::{cache, config::Config};

include!(concat!(env!("OUT_DIR"), "/packs.rs"));

/// How many of the loaded rules, the first ones, kwhy brings itself.
pub(crate) const BUILT_IN: usize = PACKS.len();

/// Loads all rules. One of a user's that is refused is reported in a line and left out; the others go on.
pub(crate) fn load(config: &Config, more: &[PathBuf]) -> Result<Sandbox> {
    let mut sandbox = sandbox(config)?;
    let built_in: Vec<Source<'_>> = PACKS.iter().map(|(name, bytes)| Source { name, bytes }).collect();
    sandbox.load_all(&built_in).context("a built-in pack")?;
    add(sandbox, config, more)
}

/// Loads the user's rules alone.
pub(crate) fn only(config: &Config, more: &[PathBuf]) -> Result<Sandbox> {
    add(sandbox(config)?, config, more)
}

fn sandbox(config: &Config) -> Result<Sandbox> {
    Ok(Sandbox::new(Settings { cache: cache::dir(config), ..Settings::default() })?)
}

fn add(mut sandbox: Sandbox, config: &Config, more: &[PathBuf]) -> Result<Sandbox> {
    let folders = config.rules.iter().chain(more);
    for file in folders.map(|dir| files(dir)).collect::<Result<Vec<_>>>()?.into_iter().flatten() {
        let name = file.display().to_string();
        let bytes = match fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) => {
                eprintln!("kwhy: rule {name} left out: {error}");
                continue;
            }
        };
        if let Err(error) = sandbox.load(&Source { name: &name, bytes: &bytes }, None) {
            eprintln!("kwhy: rule left out: {:#}", anyhow::Error::new(error));
        }
    }
    tracing::debug!(rules = sandbox.descriptors().len(), "Rules loaded.");
    Ok(sandbox)
}

/// The `*.wasm` files of a folder, sorted, because the order of rules is part of what a run is.
fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("rules folder {}", dir.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("rules folder {}", dir.display()))?.path();
        if path.extension().is_some_and(|e| e == "wasm") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
