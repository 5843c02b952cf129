//! Rule packs: crate → wasm32 module → component, in `target/packs`, where the build of the kwhy binary finds them.
//!
//! Beside the components lies [`MANIFEST`]: the packs' names, one a line. A file whose bytes would not change is not
//! written, so that nothing is embedded again for nothing.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

use crate::{
    command::{cargo, line, outcome},
    project::{Pack, Project},
    setup::WasmTarget,
};

/// The list of packs in `target/packs`
const MANIFEST: &str = "packs.txt";

/// Largest component of a built-in pack: 100 KiB more are half a second of compiling at the first run. The host takes
/// 4 MiB.
const LARGEST: usize = 768 << 10;

/// What the interfaces of the contract are called, whatever their version
const CONTRACT: &str = "kwhy:rules/";

/// Builds all packs and says what changed.
pub(crate) fn build(project: &Project, wasm: &WasmTarget) -> Result<()> {
    let packages: Vec<&str> = project.packs().iter().map(|pack| pack.package.as_str()).collect();
    let modules = modules(project, wasm, &packages, None)?;
    let dir = project.target().join("packs");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    for pack in project.packs() {
        let component = component_of(&modules, &pack.package)?;
        let file = dir.join(file_name(&pack.name));
        let changed = write_if_changed(&file, &component)?;
        println!(
            "pack {:<16} {:>7} bytes  {}{}",
            pack.name,
            component.len(),
            project.short(&file).display(),
            if changed { "" } else { " (unchanged)" }
        );
    }
    remove_former(&dir, project.packs())?;
    write_if_changed(&dir.join(MANIFEST), manifest(project.packs()).as_bytes())?;
    Ok(())
}

/// A rule that is no pack, built with a variable of the environment set.
pub(crate) fn rule(
    project: &Project,
    wasm: &WasmTarget,
    package: &str,
    setting: (&str, &str),
) -> Result<Vec<u8>> {
    component_of(&modules(project, wasm, &[package], Some(setting))?, package)
}

fn component_of(modules: &BTreeMap<String, PathBuf>, package: &str) -> Result<Vec<u8>> {
    let path = modules.get(package).with_context(|| {
        format!("{package} gives no module: its [lib] needs crate-type = [\"cdylib\", \"rlib\"]")
    })?;
    let module = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    component(&module).with_context(|| format!("{package} is not a rule component"))
}

/// The wasm module of each package
fn modules(
    project: &Project,
    wasm: &WasmTarget,
    packages: &[&str],
    setting: Option<(&str, &str)>,
) -> Result<BTreeMap<String, PathBuf>> {
    let mut build = cargo([
        "build",
        "--profile=pack",
        "--target=wasm32-unknown-unknown",
        "--lib",
        "--message-format=json-render-diagnostics",
    ]);
    for package in packages {
        build.args(["-p", package]);
    }
    build.envs(setting);
    build.current_dir(project.root()).env("CARGO_ENCODED_RUSTFLAGS", rustflags(project.root()));
    wasm.apply(&mut build);
    println!("$ {}", line(&build));
    let output =
        build.stderr(Stdio::inherit()).stdin(Stdio::null()).output().context("cannot run cargo build")?;
    ensure!(output.status.success(), "`{}` failed ({})", line(&build), outcome(output.status));
    Ok(artifacts(&String::from_utf8_lossy(&output.stdout)))
}

/// A pack's digest names it in every finding, so its bytes may not depend on where it was built or on the flags of
/// whoever builds it: the encoded form wins over all others.
fn rustflags(root: &Path) -> String {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let remap = |path: &Path, to: &str| format!("--remap-path-prefix={}={to}", path.display());
    let flags: Vec<String> =
        home.iter().map(|home| remap(home, "/cargo")).chain([remap(root, "/kwhy")]).collect();
    flags.join("\x1f")
}

/// Package name → .wasm file, from cargo's JSON messages
fn artifacts(messages: &str) -> BTreeMap<String, PathBuf> {
    let mut modules = BTreeMap::new();
    for message in messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        if message.get("reason").and_then(Value::as_str) != Some("compiler-artifact") {
            continue;
        }
        let manifest = message.get("manifest_path").and_then(Value::as_str).map(Path::new);
        let files = message.get("filenames").and_then(Value::as_array).into_iter().flatten();
        let module = files.filter_map(Value::as_str).find(|file| file.ends_with(".wasm"));
        let package = message.get("package_id").and_then(Value::as_str).and_then(package_name);
        if let (Some(module), Some(package), Some(_)) = (module, package, manifest) {
            modules.insert(package.to_owned(), PathBuf::from(module));
        }
    }
    modules
}

/// `path+file:///w/plugins/coredns#kwhy-coredns@0.1.0` → `kwhy-coredns`; the name is left out where it is the folder's
fn package_name(id: &str) -> Option<&str> {
    let (url, version) = id.rsplit_once('#')?;
    match version.split_once('@') {
        Some((name, _)) => Some(name),
        None => url.rsplit('/').next(),
    }
}

/// The component of a module that was built with wit-bindgen, checked to ask for nothing but the contract
fn component(module: &[u8]) -> Result<Vec<u8>> {
    let component = ComponentEncoder::default().validate(true).module(module)?.encode()?;
    ensure!(
        component.len() <= LARGEST,
        "it has {} bytes, more than the {LARGEST} that still load quickly: what has grown? (serde derives and sorting do)",
        component.len()
    );
    let interface = interface(&component)?;
    let foreign: Vec<&str> =
        interface.imports.iter().map(String::as_str).filter(|name| !name.starts_with(CONTRACT)).collect();
    ensure!(
        foreign.is_empty(),
        "it imports {}: a rule may import {CONTRACT}* only (build it without std's files, clocks and threads)",
        foreign.join(", ")
    );
    let rule = format!("{CONTRACT}rule");
    if !interface.exports.iter().any(|name| name.split('@').next() == Some(rule.as_str())) {
        bail!("it does not export {rule}: does it call the export macro of kwhy-sdk?");
    }
    Ok(component)
}

#[derive(Debug, Default)]
struct Interface {
    imports: Vec<String>,
    exports: Vec<String>,
}

/// What the outermost component imports and exports; the components and modules inside are its own affair.
fn interface(component: &[u8]) -> Result<Interface> {
    let mut interface = Interface::default();
    let mut depth = 0u32;
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    interface.imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    interface.exports.push(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(interface)
}

fn file_name(pack: &str) -> String {
    format!("{pack}.wasm")
}

/// What the build of the binary reads: the names of the packs, sorted, one a line
fn manifest(packs: &[Pack]) -> String {
    packs.iter().map(|pack| format!("{}\n", pack.name)).collect()
}

/// A component whose pack is gone would otherwise be embedded for ever.
fn remove_former(dir: &Path, packs: &[Pack]) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let wanted = name == MANIFEST || packs.iter().any(|pack| file_name(&pack.name) == name);
        if !wanted {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

/// Whether the file had to be written
fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<bool> {
    match fs::read(path) {
        Ok(there) if there == bytes => return Ok(false),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
    // Whoever reads meanwhile sees the old file or the new one, never half of one.
    let new = path.with_extension("new");
    fs::write(&new, bytes).with_context(|| format!("cannot write {}", new.display()))?;
    fs::rename(&new, path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(name: &str) -> Pack {
        Pack { name: name.to_owned(), package: format!("kwhy-{name}") }
    }

    /// A folder of its own for each test
    fn folder(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("kwhy-xtask-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn the_manifest_lists_the_packs_one_a_line() {
        assert_eq!(manifest(&[pack("coredns"), pack("node")]), "coredns\nnode\n");
    }

    #[test]
    fn the_module_of_each_package_is_taken_from_cargos_messages() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","package_id":"registry+https://x#serde@1.0.1","manifest_path":"/r/Cargo.toml","filenames":["/t/libserde.rlib"]}"#,
            "\n",
            r#"{"reason":"compiler-artifact","package_id":"path+file:///w/plugins/coredns#kwhy-coredns@0.1.0","manifest_path":"/w/plugins/coredns/Cargo.toml","filenames":["/t/libkwhy_coredns.rlib","/t/kwhy_coredns.wasm"]}"#,
            "\nnot json\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        let found = artifacts(messages);
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            [("kwhy-coredns".to_owned(), PathBuf::from("/t/kwhy_coredns.wasm"))]
        );
    }

    #[test]
    fn a_package_named_as_its_folder_is_known_too() {
        assert_eq!(package_name("path+file:///w/plugins/node#0.1.0"), Some("node"));
        assert_eq!(package_name("path+file:///w/plugins/node#kwhy-node@0.1.0"), Some("kwhy-node"));
    }

    #[test]
    fn a_file_with_the_same_bytes_is_not_written_again() {
        let dir = folder("write");
        let file = dir.join("a.wasm");
        assert!(write_if_changed(&file, b"one").unwrap());
        let written = fs::metadata(&file).unwrap().modified().unwrap();
        assert!(!write_if_changed(&file, b"one").unwrap());
        assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), written);
        assert!(write_if_changed(&file, b"two").unwrap());
        assert_eq!(fs::read(&file).unwrap(), b"two");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn the_component_of_a_pack_that_is_gone_is_removed() {
        let dir = folder("former");
        for name in ["coredns.wasm", "gone.wasm", MANIFEST] {
            fs::write(dir.join(name), name).unwrap();
        }
        remove_former(&dir, &[pack("coredns")]).unwrap();
        let mut left: Vec<_> =
            fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, ["coredns.wasm", MANIFEST]);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn only_the_outermost_imports_and_exports_count() {
        let component = wat::parse_str(
            r#"(component
                (import "kwhy:rules/log" (instance))
                (import "wasi:cli/exit" (instance))
                (core module (import "env" "inner" (func)))
                (component (import "nested" (instance))))"#,
        )
        .unwrap();
        let found = interface(&component).unwrap();
        assert_eq!(found.imports, ["kwhy:rules/log", "wasi:cli/exit"]);
        assert!(found.exports.is_empty());
    }

    #[test]
    fn a_module_without_the_contract_is_refused() {
        let error = component(b"\0asm\x01\0\0\0").unwrap_err();
        assert!(format!("{error:#}").contains("does not export kwhy:rules/rule"), "{error:#}");
    }

    #[test]
    fn bytes_that_are_no_module_are_refused() {
        assert!(component(b"ELF").is_err());
    }
}
