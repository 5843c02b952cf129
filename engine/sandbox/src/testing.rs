//! Rules as text, most of them hostile, for tests here and from outside. Behind the feature `testing`.
//!
//! The texts lie in `tests/fixtures/`, one hostile idea a file; what they have in common is added here.
#![allow(clippy::panic, clippy::expect_used, reason = "a broken fixture shall end the test that uses it")]

use std::fmt::Write as _;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const CONTRACT: &str = include_str!("../../../wit/0.1.0/kwhy-rules.wit");

macro_rules! fixtures {
    ($($name:literal),*) => {
        /// Name and text of every fixture.
        pub const FIXTURES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../tests/fixtures/", $name, ".wat")))),*];
    };
}

fixtures!(
    "bloated",
    "clock",
    "configured",
    "counts",
    "dice",
    "dice-p1",
    "dumb",
    "echo",
    "files",
    "files-p1",
    "floods-calls",
    "floods-findings",
    "floods-log",
    "floods-text",
    "grows",
    "lies",
    "loops",
    "nosy",
    "panics",
    "parrot",
    "recurses",
    "refuses",
    "remembers"
);

/// The fixture as the bytes of a rule file: a component, or, where that cannot be made of it, a core module.
///
/// # Panics
/// Where there is no fixture of that name.
#[must_use]
pub fn fixture(name: &str) -> Vec<u8> {
    if text(name).contains("(component") {
        return wat::parse_str(text(name)).expect("fixtures are valid text");
    }
    let module = module(name);
    let encoded = ComponentEncoder::default().module(&module).and_then(|mut e| e.encode());
    encoded.unwrap_or(module)
}

/// The rule `echo` as one of another version, which finds its cause to be a warning: people are told of it.
///
/// # Panics
/// Never while the fixture is valid.
#[must_use]
pub fn loud_echo(version: &str) -> Vec<u8> {
    let body = text("echo")
        .replace("infoEcho of a signal", "warningEcho of a signal")
        .replace("(i32.const 1132) (i32.const 4)", "(i32.const 1132) (i32.const 7)")
        .replace("(i32.const 1140) (i32.const 2052)", "(i32.const 1140) (i32.const 2055)");
    let module = assemble("echo", version, &body);
    ComponentEncoder::default().module(&module).and_then(|mut e| e.encode()).expect("a component")
}

/// The fixture as a core module that says which contract it was built against, as a compiler leaves it.
///
/// # Panics
/// Where there is no fixture of that name.
#[must_use]
pub fn module(name: &str) -> Vec<u8> {
    assemble(name, "0.1.0", text(name))
}

fn assemble(name: &str, version: &str, body: &str) -> Vec<u8> {
    let full = body.replace("(;prelude;)", &prelude(name, version, body));
    let mut module = wat::parse_str(full).unwrap_or_else(|e| panic!("{name}.wat: {e}"));
    let mut resolve = Resolve::default();
    let package = resolve.push_source("kwhy-rules.wit", CONTRACT).expect("the contract is valid");
    let world = resolve.select_world(&[package], Some("rule-plugin")).expect("the contract has the world");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("it can be embedded");
    module
}

fn text(name: &str) -> &'static str {
    let found = FIXTURES.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("no fixture {name}")).1
}

/// Memory, allocator, `describe` and `configure`, as far as `body` does not bring its own.
fn prelude(name: &str, version: &str, body: &str) -> String {
    let schema = if body.contains("#configure") { "{}" } else { "" };
    let texts = [name, version, &format!("{name}.cause"), "The cause of the fixture", "alert", schema]
        .map(str::to_owned);
    // The descriptor at 16, its one code at 56, its one subscription at 88, the texts from 136 on.
    let mut next = 136;
    let places = texts.each_ref().map(|t| {
        let at = next;
        next += t.len();
        [at, t.len()]
    });
    let [name, version, code, title, source, schema] = places;
    let words = [name, version, [56, 1], [88, 1], schema, code, title, [0; 2], [0; 2], source];
    let words = words.as_flattened().iter().chain(&[0; 10]);
    let mut data = String::new();
    for byte in words.flat_map(|w| u32::try_from(*w).expect("small").to_le_bytes()) {
        write!(data, "\\{byte:02x}").expect("a string takes all");
    }
    data.push_str(&texts.concat());
    let mut prelude = String::new();
    let mut unless = |own: &str, text: &str| {
        if !body.contains(own) {
            prelude.push_str(text);
        }
    };
    unless("(memory (export", r#"(memory (export "memory") 2)"#);
    unless(
        "#describe",
        r#"(func (export "kwhy:rules/rule@0.1.0#describe") (result i32) (global.get $descriptor))"#,
    );
    unless(
        "#configure",
        r#"(func (export "kwhy:rules/rule@0.1.0#configure") (param i32 i32) (result i32) (i32.const 0))"#,
    );
    if body.contains("#examine") {
        prelude.push_str(
            r#"(func (export "cabi_post_kwhy:rules/rule@0.1.0#examine") (param i32)
                 (global.set $heap (i32.const 65536)))"#,
        );
    }
    let [code, code_length] = code;
    format!(
        r#"{prelude}
        (global $descriptor i32 (i32.const 16))
        (global $code i32 (i32.const {code}))
        (global $code_length i32 (i32.const {code_length}))
        (global $heap (mut i32) (i32.const 65536))
        (data (i32.const 16) "{data}")
        (func (export "cabi_realloc") (param $old i32) (param $had i32) (param $align i32) (param $size i32)
          (result i32)
          (local $at i32)
          (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
          (global.set $heap (i32.add (local.get $at) (local.get $size)))
          (local.get $at))"#
    )
}
