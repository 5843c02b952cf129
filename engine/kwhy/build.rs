//! Lists the built rule packs, so that the binary carries them.

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    // `target/packs`: the target directory is above OUT_DIR, wherever it was put.
    let mut above = out.ancestors().map(|dir| dir.join("packs")).enumerate();
    let Some((depth, packs)) = above.find(|(_, dir)| dir.join("packs.txt").is_file()) else {
        println!(
            "cargo::error=the rule packs are not built; run `cargo xtask packs` first (it sets up what is missing)"
        );
        return;
    };
    if let Err(error) = list(&packs, &out, depth) {
        println!(
            "cargo::error=cannot embed the rule packs of {}: {error}; run `cargo xtask packs`",
            packs.display()
        );
    }
}

fn list(packs: &Path, out: &Path, depth: usize) -> std::io::Result<()> {
    let manifest = packs.join("packs.txt");
    println!("cargo::rerun-if-changed={}", manifest.display());
    let mut code = fs::File::create(out.join("packs.rs"))?;
    writeln!(code, "pub(crate) const PACKS: &[(&str, &[u8])] = &[")?;
    for name in fs::read_to_string(&manifest)?.lines().filter(|l| !l.is_empty()) {
        let file = packs.join(format!("{name}.wasm"));
        println!("cargo::rerun-if-changed={}", file.display());
        fs::metadata(&file)?;
        // Relative to OUT_DIR, so that a target directory that was moved or copied embeds its own packs.
        let place = format!("/{}packs/{name}.wasm", "../".repeat(depth));
        writeln!(code, "    ({name:?}, include_bytes!(concat!(env!(\"OUT_DIR\"), {place:?}))),")?;
    }
    writeln!(code, "];")
}
