//! Programs in Python from `tests/python/`: other people's libraries look at what kwhy says.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Background, Ended, here, tools};

/// A script of `tests/python/` with arguments.
pub fn script<S: AsRef<OsStr>>(name: &str, args: impl IntoIterator<Item = S>) -> Command {
    let mut python = Command::new(tools::python());
    python.arg("-B").arg(here("python").join(name)).args(args);
    python
}

/// Runs a script to its end.
pub fn run<S: AsRef<OsStr>>(name: &str, args: impl IntoIterator<Item = S>) -> Ended {
    Background::start(script(name, args)).wait()
}

/// Makes the classes of `proto/` with Google's own compiler in `dir`.
///
/// # Panics
/// Where the compiler does not take a file.
pub fn protobuf_classes(dir: &Path) {
    let proto: PathBuf = here("../proto");
    let mut protoc = Command::new(tools::python());
    protoc.args(["-B", "-m", "grpc_tools.protoc", "-I"]).arg(&proto).arg("--python_out").arg(dir);
    protoc.args(["signal", "finding"].map(|name| proto.join(format!("kwhy/v1/{name}.proto"))));
    let made = Background::start(protoc).wait();
    assert_eq!((made.code, made.stderr.as_str()), (Some(0), ""), "protoc takes the files of proto/");
}
