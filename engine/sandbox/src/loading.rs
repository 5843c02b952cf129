//! From the bytes of a file to a rule that can be called, cheapest checks first.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use kwhy_core::rule::{self, Failure};
use sha2::{Digest as _, Sha256};
use wasmtime::{
    Engine,
    component::{Component, Linker},
};
use wit_component::ComponentEncoder;

use crate::{
    bindings::{RulePluginPre, all, exported},
    cache::Cache,
    check::{self, Outline},
    error::LoadError,
    host::Host,
    limits::Limits,
    rule::Program,
};

/// Sources of signals that a rule can subscribe to.
const SOURCES: [&str; 5] = ["event", "object", "alert", "kubelet", "log"];
/// Most codes and subscriptions of one rule, each.
const DECLARATIONS: usize = 1_024;
/// Most patterns of one rule: all of them are looked for at once, so their number costs memory and no time.
const PATTERNS: usize = 4_096;

/// A file that may be a rule.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// What messages call it: the path, or `built-in coredns`.
    pub name: &'a str,
    /// Its content.
    pub bytes: &'a [u8],
}

/// What kind of WebAssembly a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A component.
    Component,
    /// A core module that says which contract it was built against; made a component when it is loaded.
    Module,
}

/// What a file says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// Component or core module.
    pub form: Form,
    /// Length of the file, bytes.
    pub size: usize,
    /// Interfaces that it imports, sorted: all that it can ask for. Without `types`, which cannot be called.
    pub imports: Vec<String>,
    /// Name, version, digest, codes and subscriptions.
    pub descriptor: rule::Descriptor,
}

/// What loading needs besides the file.
pub(crate) struct Loader<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) linker: &'a Linker<Host>,
    pub(crate) cache: Option<&'a Cache>,
}

impl Loader<'_> {
    /// Checks, compiles and asks the rule what it is.
    pub(crate) fn load(
        &self,
        source: &Source<'_>,
        limits: &Arc<Limits>,
    ) -> Result<(Program, Inspection), LoadError> {
        let Source { name, bytes } = *source;
        let file = || name.to_owned();
        if bytes.len() > limits.file_bytes {
            return Err(LoadError::TooLarge { file: file(), size: bytes.len(), limit: limits.file_bytes });
        }
        if Engine::detect_precompiled(bytes).is_some() {
            return Err(LoadError::Precompiled { file: file() });
        }
        let outline = check::outline(name, bytes)?;
        check::admit(name, &outline)?;
        let digest = Sha256::digest(bytes);
        let component = self.component(name, bytes, &digest, outline.form)?;
        let unfit = |e: wasmtime::Error| LoadError::NotARule { file: file(), message: format!("{e:#}") };
        let pre = self.linker.instantiate_pre(&component).and_then(RulePluginPre::new).map_err(unfit)?;
        let program = Program::new(self.engine.clone(), pre, name, Arc::clone(limits));
        let described =
            program.describe().map_err(|failure| LoadError::Describe { file: file(), failure })?;
        let descriptor = descriptor(described, hex(&digest))
            .map_err(|message| LoadError::Descriptor { file: file(), message })?;
        let Outline { form, mut imports, .. } = outline;
        imports.retain(|i| !check::is_types(i));
        Ok((program, Inspection { form, size: bytes.len(), imports, descriptor }))
    }

    fn component(&self, name: &str, bytes: &[u8], digest: &[u8], form: Form) -> Result<Component, LoadError> {
        // The encoder belongs to the kwhy version, and so do the names of entries: the file's own digest will do.
        if let Some(found) = self.cache.and_then(|c| c.load(self.engine, digest)) {
            return Ok(found);
        }
        // Broken bytes have made compilers panic before; that must not take the host along.
        let compiled = catch_unwind(AssertUnwindSafe(|| {
            let encoded = match form {
                Form::Component => None,
                Form::Module => Some(componentize(bytes)?),
            };
            Component::from_binary(self.engine, encoded.as_deref().unwrap_or(bytes))
                .map_err(|e| format!("{e:#}"))
        }))
        .unwrap_or_else(|panic| Err(format!("the compiler panicked: {}", words(&*panic))));
        let component = compiled.map_err(|e| LoadError::Broken {
            file: name.to_owned(),
            message: format!("is broken WebAssembly or uses a feature that rules may not use: {e}"),
        })?;
        if let Some(cache) = self.cache {
            cache.store(self.engine, digest, &component);
        }
        Ok(component)
    }
}

/// Wraps a core module into a component by the contract in its custom section.
fn componentize(module: &[u8]) -> Result<Vec<u8>, String> {
    let encoder = ComponentEncoder::default().validate(true).module(module);
    encoder.and_then(|mut e| e.encode()).map_err(|e| format!("{e:#}"))
}

/// What a panic said.
pub(crate) fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The descriptor in the core's types, or which rule of the contract it breaks.
fn descriptor(d: exported::Descriptor, digest: String) -> Result<rule::Descriptor, String> {
    if !is_name(&d.name) {
        return Err(format!("name {:?} is not of the form `kube-proxy`", d.name));
    }
    if d.version.is_empty() || d.version.len() > 64 || d.version.contains(|c: char| !c.is_ascii_graphic()) {
        return Err(format!("version {:?} is not of the form `1.2.3`", d.version));
    }
    let patterns = d.subscriptions.iter().map(|s| s.patterns.len()).sum::<usize>();
    for (what, count, limit) in [
        ("codes", d.codes.len(), DECLARATIONS),
        ("subscriptions", d.subscriptions.len(), DECLARATIONS),
        ("patterns", patterns, PATTERNS),
    ] {
        if count > limit {
            return Err(format!("{count} {what}, the limit is {limit}"));
        }
    }
    if d.codes.is_empty() {
        return Err("it declares no codes, so it could diagnose nothing".to_owned());
    }
    if d.subscriptions.is_empty() {
        return Err("it subscribes to nothing, so it would never be called".to_owned());
    }
    for (i, c) in d.codes.iter().enumerate() {
        if !c.code.split_once('.').is_some_and(|(pack, cause)| is_name(pack) && is_name(cause)) {
            return Err(format!("code {:?} is not of the form `pack.cause`", c.code));
        }
        if d.codes.iter().take(i).any(|earlier| earlier.code == c.code) {
            return Err(format!("code {} is declared twice", c.code));
        }
        if c.title.trim().is_empty() {
            return Err(format!("code {} has no title", c.code));
        }
    }
    if let Some(s) = d.subscriptions.iter().find(|s| !SOURCES.contains(&s.source.as_str())) {
        return Err(format!("subscription to source {:?}, not one of {SOURCES:?}", s.source));
    }
    Ok(rule::Descriptor {
        name: d.name,
        version: d.version,
        digest,
        codes: all(d.codes),
        subscriptions: all(d.subscriptions),
        config_schema: d.config_schema,
    })
}

/// Lower-case words joined by dashes: names end up in subjects, labels and file names.
fn is_name(name: &str) -> bool {
    name.len() <= 63
        && name.split('-').all(|word| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        })
}

/// The error of a call that a file makes fail while it is loaded.
pub(crate) fn configure_error(file: &str, rule: &str, failure: Failure) -> LoadError {
    LoadError::Configure { file: file.to_owned(), rule: rule.to_owned(), failure }
}
