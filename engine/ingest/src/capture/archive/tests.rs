//! What is taken out of archives, and what is not.

use std::{fs, io::Write};

use flate2::{Compression, write::GzEncoder};
use zip::write::SimpleFileOptions;

use super::*;

type Entry<'e> = (&'e str, tar::EntryType, &'e [u8]);

const FILE: tar::EntryType = tar::EntryType::Regular;

fn tarred(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, kind, content) in entries {
        let mut header = tar::Header::new_ustar();
        // Written as they are: the library would not write names that lead outside.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        if kind.is_symlink() {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        tar.append(&header, *content).unwrap();
    }
    tar.into_inner().unwrap()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(content).unwrap();
    packed.finish().unwrap()
}

fn zipped(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    for (name, content) in entries {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

type Files = Vec<(String, String)>;

/// What is taken out: names and contents, and what is told.
fn out(packed: &[u8], limits: Limits) -> Result<(Files, Vec<String>), String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("packed");
    fs::write(&path, packed).unwrap();
    let mut problems = Problems::default();
    let unpacked = unpack(&path, |name| !name.ends_with(".html"), limits, &mut problems)
        .map_err(|error| anyhow(&error))?;
    let read = |(name, path): &(String, PathBuf)| (name.clone(), fs::read_to_string(path).unwrap());
    let told = problems.into_list().iter().map(ToString::to_string).collect();
    Ok((unpacked.files.iter().map(read).collect(), told))
}

fn anyhow(error: &ArchiveError) -> String {
    let source = std::error::Error::source(error).map(|source| format!(": {source}"));
    format!("{error}{}", source.unwrap_or_default())
}

fn small() -> Limits {
    Limits { entries: 10, file: 1 << 20, total: 4 << 20, small: 1 << 16, ratio: 100 }
}

#[test]
fn files_that_are_wanted_are_taken_out_of_each_kind_of_archive() {
    let tar =
        tarred(&[("./a//b.json", FILE, b"1"), ("x.html", FILE, b"2"), ("d", tar::EntryType::Directory, b"")]);
    let expected = vec![("a/b.json".to_owned(), "1".to_owned())];
    let zip = zipped(&[("a\\b.json", b"1"), ("x.html", b"2")]);
    for packed in [gzip(&tar), zip, tar] {
        assert_eq!(out(&packed, small()), Ok((expected.clone(), Vec::new())));
    }
}

#[test]
fn links_and_devices_are_passed_over() {
    let tar = tarred(&[
        ("a.log", tar::EntryType::Symlink, b""),
        ("b.log", tar::EntryType::Link, b""),
        ("c.log", tar::EntryType::Fifo, b""),
        ("d.log", FILE, b"x"),
    ]);
    assert_eq!(out(&tar, small()).unwrap().0, [("d.log".to_owned(), "x".to_owned())]);
}

#[test]
fn names_that_lead_outside_are_refused() {
    for name in ["../x.log", "a/../../x.log", "/x.log"] {
        let told = format!("refused: `{name}` in it leads out of it, which no tool that collects writes");
        assert_eq!(out(&tarred(&[(name, FILE, b"x")]), small()), Err(told.clone()));
        assert_eq!(out(&zipped(&[(name, b"x")]), small()), Err(told));
    }
}

#[test]
fn what_unpacks_to_far_too_much_is_refused_and_the_twin_without_the_limit_is_not() {
    let zeros = vec![b'0'; 900_000];
    let zip = zipped(&[("a.log", &zeros)]);
    for packed in [gzip(&tarred(&[("x.html", FILE, &zeros)])), zip] {
        let told = out(&packed, small()).unwrap_err();
        assert!(
            told.starts_with(&format!("refused: {} bytes that unpack to more than ", packed.len())),
            "{told}"
        );
        assert!(out(&packed, Limits { ratio: u64::MAX, ..small() }).is_ok());
    }
    let six = zeros.repeat(6);
    assert!(out(&tarred(&[("a.html", FILE, &six)]), small()).is_ok(), "a tar is no larger than it is");
    assert!(out(&gzip(&tarred(&[("a.html", FILE, &six)])), Limits { ratio: u64::MAX, ..small() }).is_err());
}

#[test]
fn a_file_that_is_too_large_is_left_out_and_said() {
    let tar = tarred(&[("a.log", FILE, &vec![b'0'; 2 << 20]), ("b.log", FILE, b"x")]);
    let (files, told) = out(&tar, small()).unwrap();
    assert_eq!(files, [("b.log".to_owned(), "x".to_owned())]);
    assert_eq!(told, ["a.log: larger than 1 MiB, left out"]);
}

#[test]
fn too_many_entries_are_refused() {
    let many: Vec<Entry<'_>> = (0..11).map(|_| ("a.html", FILE, &b""[..])).collect();
    assert_eq!(out(&tarred(&many), small()), Err("refused: more than 10 entries in it".to_owned()));
}

#[test]
fn an_archive_that_is_cut_off_gives_the_files_before() {
    let tar = tarred(&[("a.log", FILE, b"x"), ("b.log", FILE, &[b'y'; 3000])]);
    let (files, told) = out(&tar[..2000], small()).unwrap();
    assert_eq!(files, [("a.log".to_owned(), "x".to_owned()), ("b.log".to_owned(), "y".repeat(464))]);
    let why = "b.log ends after 464 of 3000 bytes";
    assert_eq!(told, [format!("packed: cut off or damaged, the 2 entries up to there are used: {why}")]);
    assert!(out(&gzip(&tar)[..20], small()).unwrap_err().starts_with("cut off or damaged: "));
    assert!(out(&zipped(&[("a.log", b"x")])[..40], small()).unwrap_err().starts_with("cut off or damaged: "));
}

#[test]
fn what_is_no_archive_says_what_would_be_one() {
    let told = "neither a directory nor an archive (.tar, .tar.gz, .tgz or .zip)";
    for other in [&b""[..], b"{\"items\": []}", &gzip(b"{}"), &[0; 600]] {
        assert_eq!(out(other, small()), Err(told.to_owned()));
    }
    let xz = out(b"\xfd7zXZ\0", small()).unwrap_err();
    assert_eq!(xz, "packed with xz, which kwhy does not read; unpack it and name the directory");
}
