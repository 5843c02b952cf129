//! One virtual environment for everything that comes by pip, so that nothing is installed into the system's Python.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{apt::Apt, say};
use crate::command::{command, quiet};

pub(super) struct Venv<'s> {
    dir: PathBuf,
    apt: &'s Apt,
}

impl<'s> Venv<'s> {
    pub(super) fn new(dir: PathBuf, apt: &'s Apt) -> Self {
        Self { dir, apt }
    }

    pub(super) fn python(&self) -> PathBuf {
        self.program("python")
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.dir.join("bin").join(name)
    }

    /// Installs one pinned package; the caller says so.
    pub(super) fn install(&self, requirement: &str) -> Result<()> {
        self.pip(&["--no-deps", requirement])
    }

    /// Installs one pinned package into a folder of its own, beside what the environment holds.
    pub(super) fn install_into(&self, requirement: &str, dir: &str) -> Result<()> {
        self.pip(&["--no-deps", "--upgrade", "--target", dir, requirement])
    }

    /// Installs what the file lists, unless just that is installed already.
    pub(super) fn requirements(&self, file: &Path) -> Result<()> {
        let wanted = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let stamp = self.dir.join("requirements.installed");
        if fs::read_to_string(&stamp).is_ok_and(|there| there == wanted) && self.works() {
            return Ok(());
        }
        self.create()?;
        say(
            "pip install -r tests/requirements.txt: a subscriber, Slack's block models and the answer keys need it",
        );
        let file = file.to_string_lossy();
        self.pip(&["-r", &file])?;
        fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))
    }

    fn pip(&self, args: &[&str]) -> Result<()> {
        self.create()?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"];
        quiet(command(&self.python().to_string_lossy(), pip).args(args))?;
        Ok(())
    }

    fn works(&self) -> bool {
        quiet(&mut command(&self.python().to_string_lossy(), ["-c", "import pip"])).is_ok()
    }

    fn create(&self) -> Result<()> {
        if self.works() {
            return Ok(());
        }
        say("python3 -m venv target/tools/venv: what pip brings stays out of the system");
        if self.create_with("python3").is_ok() {
            return Ok(());
        }
        // Debian's python3 comes without ensurepip. The one in PATH may be another, which the package does not mend.
        self.apt
            .install(&["python3-venv"], "Debian's python3 cannot make a virtual environment without it")?;
        self.create_with("python3").or_else(|_| self.create_with("/usr/bin/python3"))
    }

    fn create_with(&self, python: &str) -> Result<()> {
        let _ = fs::remove_dir_all(&self.dir);
        quiet(command(python, ["-m", "venv"]).arg(&self.dir))?;
        Ok(())
    }
}
