//! What a file is and wants, told from its bytes alone: nothing is compiled for a rule that will not be taken.

use wasmparser::{Encoding, Parser, Payload};

use crate::{error::LoadError, loading::Form};

/// The package of the contract, and the part of its version that must fit.
const PACKAGE: &str = "kwhy:rules/";
const VERSION: &str = "0.1.";
/// What may be imported from it.
const INTERFACES: [&str; 5] = [TYPES, "graph", "history", "state", "log"];
/// Carries no function, so it gives nothing.
const TYPES: &str = "types";
/// What must be exported from it.
const RULE: &str = "rule";
/// Prefix of the sections in which wit-bindgen leaves the contract that a core module was built against.
const CONTRACT_SECTION: &str = "component-type";

const NO_WASI: &str = "build it without WASI: Rust for wasm32-unknown-unknown, C without wasi-sdk, JavaScript with all \
     features of componentize-js disabled, Python with componentize-py --stub-wasi";
const NO_BROWSER: &str = "a crate in it is built for browsers: switch that feature off (often `js` or `wasm_js` of getrandom, \
     `wasmbind` of chrono)";
const NO_SYMBOLS: &str = "link what is missing: a rule finds no library on the host";
const NEWER: &str = "build it against wit/0.1.0/kwhy-rules.wit, or use a newer kwhy";
const NOTHING_ELSE: &str = "build it without that import";

/// What imports ask for, by prefix; the first line that fits. The order is also how telling an import is: a rule built
/// with WASI imports a dozen interfaces, and the files say more than the error codes of its streams.
const WANTS: [(&str, &str, &str); 20] = [
    ("wasi:filesystem/", "files", NO_WASI),
    ("wasi:sockets/", "the network", NO_WASI),
    ("wasi:http/", "the network", NO_WASI),
    ("wasi:tls/", "the network", NO_WASI),
    ("wasi_snapshot_preview1::path_", "files", NO_WASI),
    ("wasi_snapshot_preview1::sock_", "the network", NO_WASI),
    ("wasi:clocks/", "a clock", NO_WASI),
    ("wasi:random/", "randomness", NO_WASI),
    ("wasi_snapshot_preview1::clock_", "a clock", NO_WASI),
    ("wasi_snapshot_preview1::random_", "randomness", NO_WASI),
    ("wasi:cli/environment", "environment variables", NO_WASI),
    ("wasi_snapshot_preview1::environ_", "environment variables", NO_WASI),
    ("wasi_snapshot_preview1::fd_", "files, among them standard output", NO_WASI),
    ("wasi:cli/", "the process and its terminal", NO_WASI),
    ("wasi:io/", "input and output", NO_WASI),
    ("wasi", "the operating system", NO_WASI),
    ("wbg::", "JavaScript", NO_BROWSER),
    ("__wbindgen_", "JavaScript", NO_BROWSER),
    ("env::", "symbols that the linker did not find", NO_SYMBOLS),
    (PACKAGE, "an interface that this kwhy does not have", NEWER),
];

/// What a file says of itself on its outside.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outline {
    pub(crate) form: Form,
    /// Names of imported interfaces; in a core module those of functions outside the contract are `module::name`.
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
    /// Whether a core module says which contract it was built against.
    has_contract: bool,
}

/// Reads the outline of `bytes`.
pub(crate) fn outline(file: &str, bytes: &[u8]) -> Result<Outline, LoadError> {
    let broken = |message: String| LoadError::Broken { file: file.to_owned(), message };
    if !bytes.starts_with(b"\0asm") {
        return Err(broken(not_wasm(bytes)));
    }
    let mut outline =
        Outline { form: Form::Module, imports: Vec::new(), exports: Vec::new(), has_contract: false };
    let mut depth = 0_u32;
    let cut = |e: wasmparser::BinaryReaderError| broken(format!("is broken WebAssembly: {e}"));
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(cut)? {
            Payload::Version { encoding, .. } => {
                depth += 1;
                if depth == 1 && encoding == Encoding::Component {
                    outline.form = Form::Component;
                }
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ if depth != 1 => {}
            Payload::ComponentImportSection(section) => {
                for import in section {
                    outline.imports.push(import.map_err(cut)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    outline.exports.push(export.map_err(cut)?.name.name.to_owned());
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.map_err(cut)?;
                    let ours = import.module.starts_with(PACKAGE);
                    outline.imports.push(if ours {
                        import.module.to_owned()
                    } else {
                        format!("{}::{}", import.module, import.name)
                    });
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let name = export.map_err(cut)?.name;
                    if let Some((interface, _)) = name.split_once('#')
                        && !interface.starts_with("cabi_post_")
                    {
                        outline.exports.push(interface.to_owned());
                    }
                }
            }
            Payload::CustomSection(section) => {
                outline.has_contract |= section.name().starts_with(CONTRACT_SECTION);
            }
            _ => {}
        }
    }
    for names in [&mut outline.imports, &mut outline.exports] {
        names.sort();
        names.dedup();
    }
    Ok(outline)
}

/// Refuses what asks for more than the contract gives or is no rule of this contract.
pub(crate) fn admit(file: &str, outline: &Outline) -> Result<(), LoadError> {
    let file = || file.to_owned();
    let foreign: Vec<&String> = outline.imports.iter().filter(|i| !granted(i)).collect();
    if let Some((import, (_, wants, advice))) =
        foreign.iter().map(|i| (*i, wanted(i))).min_by_key(|(_, (rank, ..))| *rank)
    {
        if let Some(found) = other_version(import) {
            return Err(LoadError::Version { file: file(), found });
        }
        let others = match foreign.len() - 1 {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        return Err(LoadError::Import { file: file(), import: import.clone(), others, wants, advice });
    }
    let not_a_rule = |message: &str| Err(LoadError::NotARule { file: file(), message: message.to_owned() });
    if outline.form == Form::Module && !outline.has_contract {
        return not_a_rule("a core module without the section that names its contract (component-type)");
    }
    let mut rules = outline.exports.iter().filter_map(|e| interface(e).filter(|(name, _)| *name == RULE));
    match rules.next() {
        Some((_, version)) if version.starts_with(VERSION) => Ok(()),
        Some((_, version)) => {
            Err(LoadError::Version { file: file(), found: format!("kwhy:rules@{version}") })
        }
        None => not_a_rule("it does not export kwhy:rules/rule@0.1"),
    }
}

/// Interface and version of a name of our package.
fn interface(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(PACKAGE)?.split_once('@')
}

fn granted(import: &str) -> bool {
    interface(import)
        .is_some_and(|(name, version)| INTERFACES.contains(&name) && version.starts_with(VERSION))
}

/// Whether an import only names types.
pub(crate) fn is_types(import: &str) -> bool {
    interface(import).is_some_and(|(name, _)| name == TYPES)
}

/// The version of our package that an import asks for, where it is another one.
fn other_version(import: &str) -> Option<String> {
    let (_, version) = interface(import)?;
    (!version.starts_with(VERSION)).then(|| format!("kwhy:rules@{version}"))
}

/// Rank, thing and advice for an import that is not granted.
fn wanted(import: &str) -> (usize, &'static str, &'static str) {
    WANTS
        .iter()
        .enumerate()
        .find(|(_, (prefix, ..))| import.starts_with(prefix))
        .map_or((WANTS.len(), "something outside the contract", NOTHING_ELSE), |(i, (_, wants, advice))| {
            (i, *wants, *advice)
        })
}

fn not_wasm(bytes: &[u8]) -> String {
    let start = String::from_utf8_lossy(bytes.get(..64).unwrap_or(bytes));
    let start = start.trim_start();
    if bytes.is_empty() {
        "is empty".to_owned()
    } else if start.starts_with("(module") || start.starts_with("(component") || start.starts_with(";;") {
        "is WebAssembly text; make it binary with `wasm-tools parse FILE -o rule.wasm`".to_owned()
    } else {
        "is not WebAssembly; a rule is a .wasm file".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_either_an_outline_or_an_error_that_names_the_file(
            component: bool,
            sections in proptest::collection::vec((0_u8..14, proptest::collection::vec(any::<u8>(), 0..40)), 0..6),
        ) {
            let mut bytes = if component { *b"\0asm\x0d\0\x01\0" } else { *b"\0asm\x01\0\0\0" }.to_vec();
            for (id, content) in sections {
                bytes.extend([id, u8::try_from(content.len()).unwrap()]);
                bytes.extend(content);
            }
            if let Err(e) = outline("rules/x.wasm", &bytes) {
                prop_assert!(e.to_string().starts_with("rules/x.wasm: is broken WebAssembly: "), "{e}");
            }
        }
    }

    fn refused(imports: &[&str]) -> String {
        let outline = Outline {
            form: Form::Component,
            imports: imports.iter().map(|&i| i.to_owned()).collect(),
            exports: vec!["kwhy:rules/rule@0.1.0".to_owned()],
            has_contract: false,
        };
        admit("r.wasm", &outline).map_or_else(|e| e.to_string(), |()| String::new())
    }

    #[test]
    fn the_most_telling_import_is_named_with_what_it_wants() {
        let message = refused(&[
            "wasi:io/error@0.2.3",
            "wasi:clocks/wall-clock@0.2.3",
            "wasi:filesystem/preopens@0.2.3",
        ]);
        assert!(
            message.starts_with(
                "r.wasm: imports `wasi:filesystem/preopens@0.2.3` and 2 more, which asks for files; "
            ),
            "{message}"
        );
        assert!(message.contains("wasm32-unknown-unknown"), "it says how to build without: {message}");
    }

    #[test]
    fn any_patch_version_of_the_contract_is_taken_and_no_other() {
        assert_eq!(refused(&["kwhy:rules/graph@0.1.7", "kwhy:rules/types@0.1.0"]), "");
        for other in ["kwhy:rules/graph@0.2.0", "kwhy:rules/graph@1.1.0", "kwhy:rules/graph@0.10.0"] {
            assert!(refused(&[other]).contains("this kwhy speaks kwhy:rules@0.1"), "{other}");
        }
        assert!(refused(&["kwhy:rules/bodies@0.1.0"]).contains("does not have"));
        assert!(refused(&["kwhy:rules/graph"]).contains("imports `kwhy:rules/graph`"), "a version is needed");
        assert!(refused(&["evil:kwhy/graph@0.1.0"]).contains("outside the contract"));
    }

    #[test]
    fn each_family_of_imports_has_its_own_advice() {
        assert!(refused(&["__wbindgen_placeholder__::__wbindgen_describe"]).contains("getrandom"));
        assert!(refused(&["env::malloc"]).contains("link what is missing"));
        assert!(refused(&["wasi_snapshot_preview1::path_open"]).contains("files"));
    }

    #[test]
    fn what_is_not_webassembly_is_told_apart() {
        let message = |bytes: &[u8]| outline("f", bytes).unwrap_err().to_string();
        assert_eq!(message(b""), "f: is empty");
        assert!(message(b"(module)").contains("wasm-tools parse"));
        assert_eq!(message(b"\x1f\x8b\x08"), "f: is not WebAssembly; a rule is a .wasm file");
        assert!(message(b"\0asm\x01\0\0\0\x01\x7f").contains("broken WebAssembly"));
    }
}
