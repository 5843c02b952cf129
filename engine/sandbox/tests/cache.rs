//! Compiled code is kept, and nothing that lies in the cache can harm a start.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test ends that way")]

mod support;

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use kwhy_sandbox::{Sandbox, Settings};
use support::{assert_echo, load};

fn start(dir: &Path) {
    let mut sandbox = Sandbox::new(Settings { cache: Some(dir.to_owned()), ..Settings::default() }).unwrap();
    load(&mut sandbox, "echo", None).unwrap();
    assert_echo(&mut sandbox);
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect()
}

/// The one entry, and a number that a new file in its place would change.
fn entry(dir: &Path) -> (PathBuf, u64) {
    let all = entries(dir);
    let [path] = all.as_slice() else { panic!("one entry: {all:?}") };
    (path.clone(), fs::symlink_metadata(path).unwrap().ino())
}

#[test]
fn the_second_start_uses_what_the_first_one_compiled() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("deep/code");
    start(&dir);
    let (path, first) = entry(&dir);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    start(&dir);
    assert_eq!(entry(&dir).1, first, "nothing was written again");
}

#[test]
fn a_broken_entry_is_thrown_away_and_made_anew() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 7] = [
        ("short", |p| fs::write(p, &fs::read(p).unwrap()[..1000]).unwrap()),
        ("empty", |p| fs::write(p, b"").unwrap()),
        ("other layout", |p| {
            fs::write(p, b"\x7fELF and a lot more than the header is long, so that it is not short").unwrap()
        }),
        ("changed", |p| {
            let mut bytes = fs::read(p).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(p, bytes).unwrap();
        }),
        ("writable by others", |p| fs::set_permissions(p, fs::Permissions::from_mode(0o622)).unwrap()),
        ("a link to another file", |p| {
            let aside = p.with_extension("aside");
            fs::rename(p, &aside).unwrap();
            symlink(&aside, p).unwrap();
        }),
        ("what the runtime does not take", |p| {
            use sha2::Digest as _;
            let mut bytes = fs::read(p).unwrap();
            bytes.truncate(48);
            bytes.extend_from_slice(&[7; 5000]);
            let hash = sha2::Sha256::digest(&bytes[48..]);
            bytes[16..48].copy_from_slice(&hash);
            fs::write(p, bytes).unwrap();
        }),
    ];
    for (what, harm) in harms {
        let dir = tempfile::tempdir().unwrap();
        start(dir.path());
        let (path, _) = entry(dir.path());
        let good = fs::read(&path).unwrap();
        harm(&path);
        start(dir.path());
        let meta = fs::symlink_metadata(&path).unwrap();
        assert!(meta.is_file() && meta.mode() & 0o777 == 0o600, "{what}: a fresh entry stands in its place");
        assert_eq!(fs::read(&path).unwrap().len(), good.len(), "{what}");
        start(dir.path());
        let again = fs::symlink_metadata(&path).unwrap();
        assert_eq!(again.ino(), meta.ino(), "{what}: and that one is used");
    }
}

#[test]
fn a_directory_that_others_can_write_to_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    start(dir.path());
    assert_eq!(entries(dir.path()), [] as [PathBuf; 0]);
}

#[test]
fn a_place_where_nothing_can_be_kept_only_costs_time() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    start(&file.join("code"));
}

#[test]
fn two_starts_at_once_leave_one_whole_entry() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| start(dir.path()));
        }
    });
    let (_, kept) = entry(dir.path());
    start(dir.path());
    assert_eq!(entry(dir.path()).1, kept);
}
