//! apt: the last resort for what neither cargo, rustup nor pip can bring.

use std::{
    cell::Cell,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::{in_path, say};
use crate::command::{command, quiet};

#[derive(Default)]
pub(super) struct Apt {
    updated: Cell<bool>,
}

impl Apt {
    /// Installs packages system-wide; `why` ends the line that says so. Removes nothing that is there.
    pub(super) fn install(&self, packages: &[&str], why: &str) -> Result<()> {
        let by_hand =
            format!("apt-get update && apt-get install -y --no-install-recommends {}", packages.join(" "));
        if in_path("apt-get").is_none() {
            bail!(
                "{} needed ({why}), and there is no apt-get here: install the like and run this again",
                packages.join(" and ")
            );
        }
        if !is_root() {
            bail!(
                "{} needed ({why}), which takes root: run `{by_hand}` as root, then this again",
                packages.join(" and ")
            );
        }
        say(&format!("apt-get install {}: {why}", packages.join(" ")));
        self.update()?;
        let options = ["install", "-y", "--no-install-recommends", "--no-remove"];
        quiet(apt_get(&options).args(packages)).with_context(|| format!("`{by_hand}` may tell more"))?;
        Ok(())
    }

    /// Fetches one package without installing it, unpacks it into `dir` and returns that.
    pub(super) fn unpack(&self, package: &str, dir: &Path) -> Result<PathBuf> {
        if in_path("apt-get").is_none() {
            bail!("there is no apt-get here");
        }
        if is_root() {
            self.update()?;
        }
        let _ = std::fs::remove_dir_all(dir);
        let debs = dir.join("deb");
        std::fs::create_dir_all(&debs).with_context(|| format!("cannot create {}", debs.display()))?;
        quiet(apt_get(&["download", package]).current_dir(&debs))?;
        let deb = std::fs::read_dir(&debs)?.next().context("apt-get downloaded nothing")??.path();
        quiet(command("dpkg", ["-x"]).arg(&deb).arg(dir))?;
        std::fs::remove_dir_all(&debs)?;
        Ok(dir.to_owned())
    }

    /// A new machine has no package lists, and old lists name files that are gone.
    fn update(&self) -> Result<()> {
        if !self.updated.replace(true) {
            quiet(&mut apt_get(&["update"]))?;
        }
        Ok(())
    }
}

fn apt_get(args: &[&str]) -> Command {
    let mut apt = command("apt-get", ["-o", "DPkg::Lock::Timeout=600"]);
    apt.args(args).env("DEBIAN_FRONTEND", "noninteractive");
    apt
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
