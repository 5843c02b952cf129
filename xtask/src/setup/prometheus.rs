//! Prometheus, Alertmanager and amtool for the tests of the receiver of alerts: what is in PATH, else Debian's, unpacked
//! and not installed, so that no service starts.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use super::{apt::Apt, in_path, relink, say};
use crate::command::{command, quiet};

/// Where the three are, each a link in `target/tools`
pub(super) struct Alerting {
    pub(super) prometheus: PathBuf,
    pub(super) alertmanager: PathBuf,
    pub(super) amtool: PathBuf,
}

/// A program, the names it goes by in PATH, and where it is in which package of Debian
struct Program {
    link: &'static str,
    names: &'static [&'static str],
    package: &'static str,
    unpacked: &'static str,
}

const PROMETHEUS: Program = Program {
    link: "prometheus",
    names: &["prometheus"],
    package: "prometheus",
    unpacked: "usr/bin/prometheus",
};
const ALERTMANAGER: Program = Program {
    link: "alertmanager",
    names: &["alertmanager", "prometheus-alertmanager"],
    package: "prometheus-alertmanager",
    unpacked: "usr/share/prometheus/alertmanager/alertmanager",
};
const AMTOOL: Program = Program {
    link: "amtool",
    names: &["amtool"],
    package: "prometheus-alertmanager",
    unpacked: "usr/bin/amtool",
};

pub(super) fn alerting(tools: &Path, apt: &Apt) -> Result<Alerting> {
    Ok(Alerting {
        prometheus: program(&PROMETHEUS, tools, apt)?,
        alertmanager: program(&ALERTMANAGER, tools, apt)?,
        amtool: program(&AMTOOL, tools, apt)?,
    })
}

fn program(program: &Program, tools: &Path, apt: &Apt) -> Result<PathBuf> {
    let link = tools.join(program.link);
    if runs(&link) {
        return Ok(link);
    }
    if let Some(path) = program.names.iter().find_map(|name| in_path(name)).filter(|path| runs(path)) {
        say(&format!("target/tools/{} is {} of this machine", program.link, path.display()));
        relink(&path, &link)?;
        return Ok(link);
    }
    let dir = tools.join("debian").join(program.package);
    let unpacked = dir.join(program.unpacked);
    if !runs(&unpacked) {
        say(&format!(
            "apt-get download {} into target/tools/debian: alerts are tested with the real thing",
            program.package
        ));
        let by_hand = || {
            let names = program.names.join(" or ");
            format!("put {names} into PATH (https://prometheus.io/download) and run this again")
        };
        apt.unpack(program.package, &dir).with_context(by_hand)?;
        if program.package == ALERTMANAGER.package {
            beside_its_templates(&dir).with_context(by_hand)?;
        }
    }
    relink(&unpacked, &link)?;
    ensure!(runs(&link), "{} of Debian's package {} does not run here", program.link, program.package);
    Ok(link)
}

/// Debian's Alertmanager reads its templates from /usr/share, where only an installed package puts them. A copy of it
/// gets a relative path of the same length and lies in the folder of the templates, from where it is to be started.
fn beside_its_templates(dir: &Path) -> Result<()> {
    const FOLDER: &[u8] = b"/usr/share/prometheus/alertmanager";
    let mut program = fs::read(dir.join("usr/bin/prometheus-alertmanager"))?;
    let mut from = 0;
    while let Some(at) = find(program.get(from..).unwrap_or_default(), FOLDER) {
        let path = program.get_mut(from + at..from + at + FOLDER.len()).unwrap_or_default();
        path.fill(b'/');
        path.iter_mut().take(1).for_each(|first| *first = b'.');
        from += at + FOLDER.len();
    }
    let copy = dir.join(ALERTMANAGER.unpacked);
    fs::write(&copy, program).with_context(|| format!("cannot write {}", copy.display()))?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let starts = bytes.iter().enumerate().filter(|(_, byte)| Some(*byte) == wanted.first());
    starts.map(|(at, _)| at).find(|at| bytes.get(*at..).is_some_and(|rest| rest.starts_with(wanted)))
}

fn runs(program: &Path) -> bool {
    program.is_file() && quiet(&mut command(&program.to_string_lossy(), ["--version"])).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_does_not_run() {
        assert!(!runs(Path::new("/nowhere/prometheus")));
    }

    #[test]
    fn bytes_are_found_where_they_are() {
        assert_eq!(find(b"aab/usr", b"ab"), Some(1));
        assert_eq!(find(b"aab", b"abc"), None);
    }

    #[test]
    fn a_program_is_copied_beside_its_templates_and_looks_for_them_there() {
        let dir = std::env::temp_dir().join(format!("kwhy-xtask-templates-{}", std::process::id()));
        for folder in ["usr/bin", "usr/share/prometheus/alertmanager"] {
            fs::create_dir_all(dir.join(folder)).unwrap();
        }
        let path = "/usr/share/prometheus/alertmanager";
        fs::write(dir.join("usr/bin/prometheus-alertmanager"), format!("a{path}b{path}/ui")).unwrap();
        beside_its_templates(&dir).unwrap();
        let here = format!(".{}", "/".repeat(path.len() - 1));
        let copied = fs::read_to_string(dir.join(ALERTMANAGER.unpacked)).unwrap();
        assert_eq!(copied, format!("a{here}b{here}/ui"));
        fs::remove_dir_all(dir).unwrap();
    }
}
