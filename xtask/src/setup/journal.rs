//! systemd-journal-remote: makes journal files of text, with any cursor, boot and bytes, for the tests of reading one.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use super::{apt::Apt, in_path, say};
use crate::command::{command, quiet};

/// Where distributions put it
const PLACES: [&str; 2] = ["/usr/lib/systemd/systemd-journal-remote", "/lib/systemd/systemd-journal-remote"];

/// `target/tools/systemd-journal-remote`: the machine's, else Debian's, unpacked and not installed
pub(super) fn remote(tools: &Path, apt: &Apt) -> Result<PathBuf> {
    if in_path("journalctl").is_none() {
        apt.install(&["systemd"], "the tests read journal files with the real journalctl")?;
    }
    let link = tools.join("systemd-journal-remote");
    if works(&link) {
        return Ok(link);
    }
    if let Some(place) = PLACES.iter().map(Path::new).find(|place| works(place)) {
        say(&format!("target/tools/systemd-journal-remote is {}", place.display()));
        super::relink(place, &link)?;
        return Ok(link);
    }
    say(
        "apt-get download systemd-journal-remote into target/tools/journal-remote: it makes journal files for tests",
    );
    let program = apt.unpack("systemd-journal-remote", &tools.join("journal-remote"))?;
    let library = apt.unpack("libmicrohttpd12", &tools.join("journal-remote-http"))?;
    let program = PLACES
        .iter()
        .map(|place| program.join(place.trim_start_matches('/')))
        .find(|place| place.is_file())
        .context("the package holds no systemd-journal-remote")?;
    // It wants a library of the machine's systemd, which has it, and one that came along.
    let libraries = find(&library, "libmicrohttpd.so.12").context("the package holds no libmicrohttpd")?;
    let script =
        format!("#!/bin/sh\nLD_LIBRARY_PATH={} exec {} \"$@\"\n", quoted(&libraries), quoted(&program));
    fs::remove_file(&link).ok();
    fs::write(&link, script).with_context(|| format!("cannot write {}", link.display()))?;
    fs::set_permissions(&link, fs::Permissions::from_mode(0o755))?;
    if !works(&link) {
        // Where its version and that of the machine's systemd are too far apart.
        apt.install(
            &["systemd-journal-remote"],
            "it makes journal files for tests, and Debian's does not run unpacked",
        )?;
        let place = PLACES.iter().map(Path::new).find(|place| works(place));
        let Some(place) = place else { bail!("systemd-journal-remote does not run here") };
        super::relink(place, &link)?;
    }
    Ok(link)
}

fn works(program: &Path) -> bool {
    program.exists() && quiet(&mut command(&program.to_string_lossy(), ["--version"])).is_ok()
}

/// The folder below `dir` that holds a file of that name
fn find(dir: &Path, name: &str) -> Option<PathBuf> {
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).ok()?.flatten() {
            let path = entry.path();
            if entry.file_name() == name {
                return Some(folder);
            }
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    None
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_below_a_folder() {
        let dir = std::env::temp_dir().join(format!("kwhy-xtask-find-{}", std::process::id()));
        fs::create_dir_all(dir.join("a/b")).unwrap();
        fs::write(dir.join("a/b/x.so"), "").unwrap();
        assert_eq!(find(&dir, "x.so"), Some(dir.join("a/b")));
        assert_eq!(find(&dir, "y.so"), None);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_path_is_one_word_of_a_script() {
        assert_eq!(quoted(Path::new("/a b/it's")), "'/a b/it'\\''s'");
    }
}
