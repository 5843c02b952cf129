//! What is taken as a rule, and the one clear error for what is not.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test ends that way")]

mod support;

use kwhy_core::rule::{Failure, Rules as _};
use kwhy_sandbox::{Form, Limits, LoadError, Sandbox, Settings, Source, testing};
use support::{assert_echo, call, load, sandbox, signal};

fn refused(bytes: &[u8]) -> LoadError {
    let mut sandbox = sandbox();
    let error = sandbox.load(&Source { name: "rules/bad.wasm", bytes }, None).unwrap_err();
    assert!(error.to_string().starts_with("rules/bad.wasm: "), "it names the file: {error}");
    assert!(!error.to_string().contains('\n'), "it is one line: {error}");
    assert_eq!(sandbox.descriptors().len(), 1, "it adds nothing");
    assert_echo(&mut sandbox);
    error
}

#[test]
fn files_of_the_host_are_refused_by_name() {
    let message = refused(&testing::fixture("files")).to_string();
    assert!(
        message.contains("imports `wasi:filesystem/preopens@0.2.3`, which asks for files; "),
        "{message}"
    );
    let message = refused(&testing::fixture("files-p1")).to_string();
    assert!(
        message.contains("imports `wasi_snapshot_preview1::path_open`, which asks for files; "),
        "{message}"
    );
}

#[test]
fn a_core_module_is_made_a_component() {
    let mut sandbox = sandbox();
    let bytes = testing::module("counts");
    let source = Source { name: "counts", bytes: &bytes };
    assert_eq!(sandbox.inspect(&source).unwrap().form, Form::Module);
    sandbox.load(&source, None).unwrap();
    assert_eq!(sandbox.examine(1, call(vec![signal("")])).unwrap().verdict.wakes.len(), 1);
}

#[test]
fn an_inspection_tells_what_a_rule_is_and_asks_for() {
    let bytes = testing::fixture("remembers");
    let told = sandbox().inspect(&Source { name: "r", bytes: &bytes }).unwrap();
    assert_eq!((told.form, told.size), (Form::Component, bytes.len()));
    assert_eq!(told.imports, ["kwhy:rules/state@0.1.0"], "imports equal needs");
    let d = told.descriptor;
    assert_eq!((d.name.as_str(), d.version.as_str()), ("remembers", "0.1.0"));
    assert_eq!(d.digest.len(), 64);
    assert_eq!(d.codes.first().map(|c| c.code.as_str()), Some("remembers.cause"));
    assert_eq!(d.subscriptions.first().map(|s| s.source.as_str()), Some("alert"));
}

#[test]
fn size_is_checked_before_anything_else() {
    let bytes = testing::fixture("counts");
    let mut sandbox = sandbox();
    let limits = Limits { file_bytes: bytes.len() - 1, ..Limits::default() };
    let source = Source { name: "big", bytes: &bytes };
    let error = sandbox.load_with(&source, None, limits.clone()).unwrap_err();
    let (size, limit) = (bytes.len(), bytes.len() - 1);
    assert_eq!(error, LoadError::TooLarge { file: "big".to_owned(), size, limit });
    let limits = Limits { file_bytes: bytes.len(), ..limits };
    assert_eq!(sandbox.load_with(&source, None, limits), Ok(()), "its size is all that was wrong");
}

#[test]
fn native_code_is_never_taken() {
    let dir = tempfile::tempdir().unwrap();
    let mut sandbox =
        Sandbox::new(Settings { cache: Some(dir.path().to_owned()), ..Settings::default() }).unwrap();
    load(&mut sandbox, "echo", None).unwrap();
    let entry = std::fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
    let code = std::fs::read(entry).unwrap();
    // Past the header of the cache stands what wasmtime would run.
    let native = code.get(48..).unwrap();
    assert_eq!(refused(native), LoadError::Precompiled { file: "rules/bad.wasm".to_owned() });
}

#[test]
fn what_is_webassembly_but_no_rule_is_told_so() {
    let message = |bytes: &[u8]| refused(bytes).to_string();
    assert!(message(b"\0asm\x01\0\0\0").contains("core module without the section that names its contract"));
    assert!(message(b"\0asm\x0d\0\x01\0").contains("it does not export kwhy:rules/rule@0.1"));
    assert!(message(&testing::fixture("dumb")).contains("examine"), "{}", message(&testing::fixture("dumb")));
}

#[test]
fn a_rule_of_another_contract_is_told_which_one_is_spoken() {
    let mut other = testing::fixture("counts");
    let (from, to) = (b"kwhy:rules/rule@0.1.0", b"kwhy:rules/rule@0.2.0");
    let places: Vec<usize> = (0..other.len()).filter(|&i| other[i..].starts_with(from)).collect();
    assert!(!places.is_empty());
    for at in places {
        other[at..at + to.len()].copy_from_slice(to);
    }
    let message = refused(&other).to_string();
    assert!(message.contains("is made for kwhy:rules@0.2.0, this kwhy speaks kwhy:rules@0.1"), "{message}");
}

#[test]
fn broken_bytes_give_an_error_and_no_panic() {
    let good = testing::fixture("remembers");
    let mut sandbox = Sandbox::new(Settings::default()).unwrap();
    let mut taken = 0;
    for step in 1..48 {
        let cut = good.get(..good.len() * step / 48).unwrap();
        assert!(sandbox.load(&Source { name: "cut", bytes: cut }, None).is_err(), "cut at {}", cut.len());
        let mut flipped = good.clone();
        flipped[good.len() * step / 48] ^= 0x55;
        // Some bytes are only names or text; then it is still a rule.
        taken += usize::from(sandbox.inspect(&Source { name: "flipped", bytes: &flipped }).is_ok());
    }
    assert!(taken < 47, "most bytes matter");
}

#[test]
fn a_rule_sees_no_cluster_while_it_is_asked_what_it_is() {
    let error = refused(&testing::fixture("nosy"));
    let failure = Failure::Trap { message: "called graph.exists outside of examine".to_owned() };
    assert_eq!(error, LoadError::Describe { file: "rules/bad.wasm".to_owned(), failure });
}

#[test]
fn memory_is_bounded_before_a_rule_says_who_it_is() {
    let error = refused(&testing::fixture("bloated"));
    let failure = Failure::Memory { limit_mib: 32 };
    assert_eq!(error, LoadError::Describe { file: "rules/bad.wasm".to_owned(), failure });
    let mut lifted = sandbox();
    let source = Source { name: "b", bytes: &testing::fixture("bloated") };
    let limits = Limits { memory_bytes: 64 << 20, ..Limits::default() };
    assert_eq!(lifted.load_with(&source, None, limits), Ok(()));
}

#[test]
fn a_name_can_be_loaded_once() {
    let mut sandbox = sandbox();
    let error = load(&mut sandbox, "echo", None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "echo.wasm: a rule named echo is already loaded from echo.wasm; load only one of them"
    );
}

#[test]
fn a_configuration_reaches_every_instance_of_the_rule() {
    let mut sandbox = sandbox();
    let source = Source { name: "configured", bytes: &testing::fixture("configured") };
    let limits = Limits { calls_per_instance: 1, ..Limits::default() };
    sandbox.load_with(&source, Some(r#"{"limit":7}"#), limits).unwrap();
    for _ in 0..3 {
        let reply = sandbox.examine(1, call(vec![signal("")])).unwrap();
        assert_eq!(reply.verdict.wakes.first().map(|w| w.at), Some(11));
    }
}

#[test]
fn a_configuration_that_does_not_fit_is_an_error_when_the_rule_is_loaded() {
    let mut sandbox = sandbox();
    let error = load(&mut sandbox, "configured", None).unwrap_err();
    let message = "configured.wasm: rule configured: configuration: the rule said: key `limit` is missing";
    assert_eq!(error.to_string(), message);
    let error = load(&mut sandbox, "counts", Some("{}")).unwrap_err();
    assert_eq!(error.to_string(), "counts.wasm: rule counts takes no configuration; remove it");
}
