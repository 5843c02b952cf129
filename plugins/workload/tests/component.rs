//! The module that becomes a component: what it imports, how large it is.

use std::{path::Path, process::Command};

/// Largest module that is still quick to load; the host takes 4 MiB.
const LARGEST: usize = 768 << 10;

#[test]
fn the_module_imports_only_the_contract_and_is_small() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let build = ["build", "--profile", "pack", "--target", "wasm32-unknown-unknown", "-p", "kwhy-workload"];
    let target = root.join("target");
    let done = Command::new(env!("CARGO"))
        .args(build)
        .arg("--target-dir")
        .arg(&target)
        .current_dir(&root)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let module = std::fs::read(target.join("wasm32-unknown-unknown/pack/kwhy_workload.wasm")).unwrap();
    let mut imports = Vec::new();
    for payload in wasmparser::Parser::new(0).parse_all(&module) {
        if let wasmparser::Payload::ImportSection(section) = payload.unwrap() {
            imports.extend(section.into_imports().map(|i| i.unwrap().module.to_owned()));
        }
    }
    imports.sort();
    imports.dedup();
    let contract = ["graph", "history", "log", "state"].map(|i| format!("kwhy:rules/{i}@0.1.0"));
    assert!(imports.iter().all(|i| contract.contains(i)), "no WASI and nothing else: {imports:?}");
    let encoder = wit_component::ComponentEncoder::default().module(&module).unwrap();
    let component = encoder.validate(true).encode().unwrap();
    assert!(component.len() < LARGEST, "the component has grown to {} bytes", component.len());
}
