//! Compiled rules are kept: a start pays for the compiler once.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its ground gives way"
)]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::PathBuf,
};

use kwhy_sandbox::testing::fixture;
use kwhy_tests::{Ended, Kwhy, coredns_loop};

/// An entry of the cache. Written anew it is another file, even where it holds the same.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    file: u64,
    written: (i64, i64),
    content: Vec<u8>,
}

fn entries(kwhy: &Kwhy) -> BTreeMap<PathBuf, Entry> {
    let entry = |path: PathBuf| {
        let meta = fs::metadata(&path).expect("an entry");
        let written = (meta.mtime(), meta.mtime_nsec());
        let content = fs::read(&path).expect("an entry");
        (path, Entry { file: meta.ino(), written, content })
    };
    kwhy.cached().into_iter().map(entry).collect()
}

fn diagnosed(kwhy: &Kwhy) -> Ended {
    let ended = kwhy.diagnose(&coredns_loop());
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), ""));
    ended
}

#[test]
fn a_second_start_compiles_nothing() {
    let kwhy = Kwhy::with_cold_cache();
    assert_eq!(kwhy.cached(), Vec::<PathBuf>::new());
    let cold = diagnosed(&kwhy);
    let entries_then = entries(&kwhy);
    assert!(!entries_then.is_empty(), "the built-in packs are kept");
    assert_eq!(diagnosed(&kwhy), cold);
    assert_eq!(entries(&kwhy), entries_then, "nothing was written: nothing was compiled");
}

/// The twin of the test above: what is not in the cache is compiled and put there.
#[test]
fn a_rule_that_is_new_is_compiled_once() {
    let kwhy = Kwhy::with_warm_cache();
    let _warm = diagnosed(&kwhy);
    let built_in = entries(&kwhy);
    kwhy.write("rules/parrot.wasm", fixture("parrot"));
    let rules = kwhy.home("rules");
    let with_parrot = || kwhy.run(&[&"diagnose", &coredns_loop(), &"--rules", &rules, &"--output", &"json"]);
    let first = with_parrot();
    let both = entries(&kwhy);
    assert_eq!(both.len(), built_in.len() + 1);
    assert!(built_in.iter().all(|(path, entry)| both[path] == *entry), "the others are left alone");
    assert_eq!(with_parrot(), first);
    assert_eq!(entries(&kwhy), both);
}

#[test]
fn a_broken_entry_is_replaced_and_changes_nothing() {
    let kwhy = Kwhy::with_cold_cache();
    let before = diagnosed(&kwhy);
    let whole = entries(&kwhy);
    // The shortest is made anew fastest.
    let entry = whole.keys().min_by_key(|path| whole[*path].content.len()).expect("an entry");
    let content = &whole[entry].content;
    let flipped = |at: usize| {
        let mut bytes = content.clone();
        bytes[at] ^= 0x40;
        bytes
    };
    for (what, broken) in [
        ("a bit in the code", flipped(content.len() / 2)),
        ("a bit in the head", flipped(20)),
        ("cut", content[..content.len() / 3].to_vec()),
        ("empty", Vec::new()),
        ("something else", b"#!/bin/sh\n".repeat(1000)),
    ] {
        fs::write(entry, &broken).expect("it can be broken");
        assert_eq!(diagnosed(&kwhy), before, "{what}");
        let mended = entries(&kwhy);
        assert_eq!(mended.keys().collect::<Vec<_>>(), whole.keys().collect::<Vec<_>>(), "{what}");
        assert_ne!(mended[entry].content, broken, "{what}: it is replaced");
        assert_eq!(diagnosed(&kwhy), before, "{what}");
        assert_eq!(entries(&kwhy), mended, "{what}: and good again");
    }
}

#[test]
fn a_cache_that_others_can_write_to_is_not_used() {
    let kwhy = Kwhy::with_warm_cache();
    let before = diagnosed(&kwhy);
    let dir = kwhy.cached()[0].parent().expect("a folder").to_owned();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).expect("it is ours");
    let whole = entries(&kwhy);
    let ended = kwhy.diagnose(&coredns_loop());
    assert_eq!((ended.code, ended.stdout), (before.code, before.stdout));
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("other users can write to it"), "{}", ended.stderr);
    assert_eq!(entries(&kwhy), whole);
}
