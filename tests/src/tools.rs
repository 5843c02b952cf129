//! Where the programs are: named by `cargo xtask test`, else in the target folder where it puts them.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The kwhy that was built.
pub(crate) fn kwhy() -> PathBuf {
    find("KWHY_BIN", "debug/kwhy")
}

/// A nats-server that kwhy takes.
#[must_use]
pub fn nats_server() -> PathBuf {
    find("KWHY_NATS_SERVER", "tools/nats-server")
}

/// A nats-server that is too old for it.
#[must_use]
pub fn old_nats_server() -> PathBuf {
    find("KWHY_OLD_NATS_SERVER", "tools/old-nats-server")
}

/// A Prometheus.
pub(crate) fn prometheus() -> PathBuf {
    find("KWHY_PROMETHEUS", "tools/prometheus")
}

/// An Alertmanager.
pub(crate) fn alertmanager() -> PathBuf {
    find("KWHY_ALERTMANAGER", "tools/alertmanager")
}

/// Alertmanager's command line.
pub(crate) fn amtool() -> PathBuf {
    find("KWHY_AMTOOL", "tools/amtool")
}

/// systemd-journal-remote, which makes journal files of text.
#[must_use]
pub fn journal_remote() -> PathBuf {
    find("KWHY_JOURNAL_REMOTE", "tools/systemd-journal-remote")
}

/// A Python with what `tests/requirements.txt` lists.
pub(crate) fn python() -> PathBuf {
    find("KWHY_PYTHON", "tools/venv/bin/python")
}

/// The target folder: what holds the test binary that runs (`target/debug/deps/x`), or a program (`target/debug/x`).
pub(crate) fn target() -> PathBuf {
    let program = env::current_exe().expect("a program knows its own file");
    let folder = program.parent().expect("it lies somewhere");
    let folder = if folder.ends_with("deps") { folder.parent() } else { Some(folder) };
    folder.and_then(Path::parent).map(Path::to_owned).expect("it lies in the target folder")
}

fn find(variable: &str, in_target: &str) -> PathBuf {
    let file = env::var_os(variable).map_or_else(|| target().join(in_target), PathBuf::from);
    assert!(
        file.is_file(),
        "{} is missing: run `cargo xtask test`, which builds and fetches what the tests need, or set {variable}",
        file.display()
    );
    file
}
