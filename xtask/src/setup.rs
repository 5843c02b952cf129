//! What a machine may lack, each brought only if missing: one line says what comes and why, and a second run has
//! nothing left to do. All of it lands in `target/tools` but for what only the system can hold (apt, rustup).

mod apt;
mod journal;
mod nats;
mod prometheus;
mod python;
mod wasm;

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

pub(crate) use self::wasm::WasmTarget;
use self::{apt::Apt, prometheus::Alerting, python::Venv};
use crate::{
    command::{cargo, command, quiet},
    project::Project,
};

pub(crate) struct Setup<'p> {
    project: &'p Project,
    tools: PathBuf,
    apt: Apt,
    /// Held until the end, so that two runs do not install over each other.
    _lock: File,
}

/// What the tests from outside are told, each by an environment variable
pub(crate) struct TestTools {
    nats_server: PathBuf,
    old_nats_server: PathBuf,
    journal_remote: PathBuf,
    alerting: Alerting,
    python: PathBuf,
}

impl<'p> Setup<'p> {
    pub(crate) fn new(project: &'p Project) -> Result<Self> {
        let tools = project.target().join("tools");
        fs::create_dir_all(&tools).with_context(|| format!("cannot create {}", tools.display()))?;
        let lock = File::create(tools.join("lock"))?;
        if lock.try_lock().is_err() {
            println!("set-up: waiting for another cargo xtask");
            lock.lock().context("cannot lock target/tools/lock")?;
        }
        Ok(Self { project, tools, apt: Apt::default(), _lock: lock })
    }

    pub(crate) fn tools(&self) -> &Path {
        &self.tools
    }

    /// The target that rule packs are built for
    pub(crate) fn wasm_target(&self) -> Result<WasmTarget> {
        wasm::target(&self.apt)
    }

    /// A nats-server that kwhy accepts
    pub(crate) fn nats_server(&self) -> Result<PathBuf> {
        nats::server(&self.tools, &self.venv())
    }

    /// What makes journal files of text
    pub(crate) fn journal_remote(&self) -> Result<PathBuf> {
        journal::remote(&self.tools, &self.apt)
    }

    /// rustfmt and clippy, which a minimal toolchain lacks
    pub(crate) fn rust_components(&self) -> Result<()> {
        for (component, program) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
            if quiet(&mut cargo([program, "--version"])).is_ok() {
                continue;
            }
            say(&format!("rustup component add {component}: `cargo {program}` is part of the tests"));
            quiet(&mut command("rustup", ["component", "add", component])).with_context(|| {
                format!(
                    "`cargo {program}` is missing: install the toolchain's {component} and run this again"
                )
            })?;
        }
        Ok(())
    }

    pub(crate) fn test_tools(&self) -> Result<TestTools> {
        let venv = self.venv();
        venv.requirements(&self.project.root().join("tests/requirements.txt"))?;
        Ok(TestTools {
            nats_server: self.nats_server()?,
            old_nats_server: nats::old_server(&self.tools, &venv, &self.apt)?,
            journal_remote: self.journal_remote()?,
            alerting: prometheus::alerting(&self.tools, &self.apt)?,
            python: venv.python(),
        })
    }

    /// The Python that reads the answer keys
    pub(crate) fn python(&self) -> Result<PathBuf> {
        let venv = self.venv();
        venv.requirements(&self.project.root().join("tests/requirements.txt"))?;
        Ok(venv.python())
    }

    fn venv(&self) -> Venv<'_> {
        Venv::new(self.tools.join("venv"), &self.apt)
    }
}

impl TestTools {
    pub(crate) fn python(&self) -> &Path {
        &self.python
    }

    pub(crate) fn apply(&self, command: &mut Command) {
        command
            .env("KWHY_NATS_SERVER", &self.nats_server)
            .env("KWHY_OLD_NATS_SERVER", &self.old_nats_server)
            .env("KWHY_JOURNAL_REMOTE", &self.journal_remote)
            .env("KWHY_PROMETHEUS", &self.alerting.prometheus)
            .env("KWHY_ALERTMANAGER", &self.alerting.alertmanager)
            .env("KWHY_AMTOOL", &self.alerting.amtool)
            .env("KWHY_PYTHON", &self.python);
    }
}

/// One line before something is brought
fn say(what: &str) {
    println!("set-up: {what}");
}

/// Points `link` at `to`, whatever it pointed at before.
fn relink(to: &Path, link: &Path) -> Result<()> {
    match fs::remove_file(link) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            bail!("cannot replace {}: {error}", link.display())
        }
        _ => symlink(to, link).with_context(|| format!("cannot create {}", link.display())),
    }
}

/// The first program of that name in PATH
fn in_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_pointed_anew_even_if_it_dangles() {
        let dir = std::env::temp_dir().join(format!("kwhy-xtask-link-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let link = dir.join("tool");
        relink(Path::new("/nowhere/at/all"), &link).unwrap();
        fs::write(dir.join("real"), "x").unwrap();
        relink(&dir.join("real"), &link).unwrap();
        assert_eq!(fs::read_to_string(&link).unwrap(), "x");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn programs_are_found_in_path() {
        assert!(in_path("sh").is_some());
        assert_eq!(in_path("no-such-program"), None);
    }
}
