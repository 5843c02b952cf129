//! Alone in its process, since it counts threads.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test ends that way")]

use std::{fs, thread, time::Duration, time::Instant};

use kwhy_sandbox::{Sandbox, Settings};

/// Waits until as many watchdogs run: a thread gets its name, and leaves the list, a moment after it starts or ends.
#[track_caller]
fn assert_watchdogs(expected: usize) {
    let count = || {
        let tasks = fs::read_dir("/proc/self/task").unwrap().filter_map(Result::ok);
        tasks
            .filter(|t| fs::read_to_string(t.path().join("comm")).is_ok_and(|n| n == "kwhy-watchdog\n"))
            .count()
    };
    let give_up = Instant::now() + Duration::from_secs(10);
    while count() != expected {
        assert!(Instant::now() < give_up, "{} watchdogs run, not {expected}", count());
        thread::yield_now();
    }
}

#[test]
fn each_sandbox_has_one_watchdog_that_ends_with_it() {
    let one = Sandbox::new(Settings::default()).unwrap();
    let two = Sandbox::new(Settings::default()).unwrap();
    assert_watchdogs(2);
    drop(one);
    assert_watchdogs(1);
    drop(two);
    assert_watchdogs(0);
}
