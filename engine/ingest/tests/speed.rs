//! The speed that a large kubelet log is read with. Not part of a usual run, as an unoptimised build or a busy machine
//! says nothing: `cargo test --release -p kwhy-ingest --test speed -- --ignored`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]

use std::{fmt::Write as _, fs, time::Instant};

use kwhy_ingest::capture::{Interest, read};

struct Nothing;

impl Interest for Nothing {
    fn wants_line(&self, _: &str, _: &str, _: &str) -> bool {
        false
    }
}

#[test]
#[ignore = "needs an optimised build and a quiet machine"]
fn unwanted_lines_are_read_at_more_than_1_5_million_a_second() {
    const LINES: u32 = 1_000_000;
    let dir = tempfile::tempdir().unwrap();
    let mut log = String::new();
    for line in 0..LINES {
        let (minute, second) = (line / 60 % 60, line % 60);
        writeln!(log, "Apr 24 13:{minute:02}:{second:02} kal kubelet[27916]: I0424 13:{minute:02}:{second:02}.{line:06}   27916 kubelet_volumes.go:163] \"Cleaned up orphaned pod volumes dir\" podUID=\"196ff41f-4770-456a-8998-291735df6d52\" path=\"/var/lib/kubelet/pods/196ff41f-4770-456a-8998-291735df6d52/volumes\"").unwrap();
    }
    fs::create_dir(dir.path().join("kubelet")).unwrap();
    fs::write(dir.path().join("kubelet/kal.log"), &log).unwrap();
    let start = Instant::now();
    let capture = read(dir.path(), &Nothing).unwrap();
    let rate = f64::from(LINES) / start.elapsed().as_secs_f64();
    assert_eq!((capture.lines_read, capture.signals.len()), (u64::from(LINES), 0));
    println!("{rate:.0} lines/s");
    assert!(rate > 1_500_000.0, "{rate:.0} lines/s");
}
