//! The wasm32-unknown-unknown target: installed, by rustup, or std built from Debian's sources of the compiler.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use super::{apt::Apt, in_path, say};
use crate::command::{command, quiet};

const TARGET: &str = "wasm32-unknown-unknown";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_PACKAGES: [&str; 2] = ["rustc-web", "rust-web-src"];

/// How packs are compiled on this machine
pub(crate) enum WasmTarget {
    /// The toolchain has the target.
    Installed,
    /// Debian's compiler with std from its source package; its linker is the toolchain's.
    Debian { linker: PathBuf },
}

impl WasmTarget {
    pub(crate) fn apply(&self, cargo: &mut Command) {
        if let Self::Debian { linker } = self {
            cargo
                .arg("-Zbuild-std=std,panic_abort")
                .env("RUSTC", DEBIAN_RUSTC)
                // -Z on a stable cargo
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
    }
}

/// The ways, in the order of preference; the environment can ask for one, which is how the others are tested.
pub(super) fn target(apt: &Apt) -> Result<WasmTarget> {
    let wish = std::env::var("KWHY_WASM_TOOLCHAIN").unwrap_or_default();
    match wish.as_str() {
        "" => {
            if installed() {
                return Ok(WasmTarget::Installed);
            }
            // Where it was brought once, rustup has failed once.
            if debian_has_std_sources() {
                return debian(apt);
            }
            let no_rustup = match by_rustup() {
                Ok(target) => return Ok(target),
                Err(error) => error.to_string().lines().next().unwrap_or_default().to_owned(),
            };
            debian(apt).with_context(|| {
                format!(
                    "no way to the {TARGET} target: {no_rustup}; `rustup target add {TARGET}` brings it where rustup can download"
                )
            })
        }
        "installed" => {
            ensure!(installed(), "KWHY_WASM_TOOLCHAIN=installed, but the toolchain lacks {TARGET}");
            Ok(WasmTarget::Installed)
        }
        "rustup" => by_rustup(),
        "debian" => debian(apt),
        other => bail!("KWHY_WASM_TOOLCHAIN={other}: it is installed, rustup or debian"),
    }
}

fn installed() -> bool {
    let Ok(dir) = quiet(&mut rustc(&["--print", "target-libdir", "--target", TARGET])) else { return false };
    holds_std(Path::new(dir.trim()))
}

fn holds_std(libdir: &Path) -> bool {
    fs::read_dir(libdir).is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
    })
}

fn by_rustup() -> Result<WasmTarget> {
    ensure!(in_path("rustup").is_some(), "there is no rustup here");
    say(&format!("rustup target add {TARGET}: rule packs are WebAssembly"));
    quiet(&mut command("rustup", ["target", "add", TARGET]))?;
    ensure!(installed(), "rustup added {TARGET} to another toolchain than the one in use");
    Ok(WasmTarget::Installed)
}

fn debian(apt: &Apt) -> Result<WasmTarget> {
    if !debian_has_std_sources() {
        apt.install(
            &DEBIAN_PACKAGES,
            "their sources give the std that rule packs, which are WebAssembly, need",
        )?;
        ensure!(debian_has_std_sources(), "Debian's rust-web-src holds no std for {DEBIAN_RUSTC}");
    }
    Ok(WasmTarget::Debian { linker: linker()? })
}

fn debian_has_std_sources() -> bool {
    quiet(&mut command(DEBIAN_RUSTC, ["--print", "sysroot"])).is_ok_and(|sysroot| {
        Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/std/Cargo.toml").is_file()
    })
}

/// Debian's compiler comes without a linker for wasm; a rustup toolchain has one.
fn linker() -> Result<PathBuf> {
    let sysroot = quiet(&mut rustc(&["--print", "sysroot"]))?;
    let host = quiet(&mut rustc(&["--print", "host-tuple"]))?;
    let own = Path::new(sysroot.trim()).join("lib/rustlib").join(host.trim()).join("bin/rust-lld");
    if own.is_file() {
        return Ok(own);
    }
    ["rust-lld", "wasm-ld"]
        .into_iter()
        .find_map(in_path)
        .context("no linker for WebAssembly: neither rust-lld in the toolchain nor wasm-ld in PATH")
}

fn rustc(args: &[&str]) -> Command {
    command(&std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned()), args)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_without_std_is_not_there() {
        // What rustc names as a target's folder need not exist, and an empty one is what a removed target leaves.
        let dir = std::env::temp_dir().join(format!("kwhy-xtask-std-{}", std::process::id()));
        assert!(!holds_std(&dir));
        fs::create_dir_all(&dir).unwrap();
        assert!(!holds_std(&dir));
        fs::write(dir.join("libstd-0123.rlib"), "").unwrap();
        assert!(holds_std(&dir));
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn only_debians_compiler_changes_the_build() {
        let mut cargo = command("cargo", ["build"]);
        WasmTarget::Installed.apply(&mut cargo);
        assert_eq!(cargo.get_envs().count(), 0);
        WasmTarget::Debian { linker: "/x/rust-lld".into() }.apply(&mut cargo);
        assert!(cargo.get_args().any(|arg| arg == "-Zbuild-std=std,panic_abort"));
        assert!(cargo.get_envs().any(|(key, value)| key == "RUSTC" && value == Some(DEBIAN_RUSTC.as_ref())));
    }
}
