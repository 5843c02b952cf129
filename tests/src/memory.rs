//! Memory of a process, as the kernel counts it.

use std::fs;

/// What it holds now, MiB.
///
/// # Panics
/// Where there is no such process.
#[must_use]
pub fn resident(process: u32) -> u64 {
    figure(process, "VmRSS:")
}

/// The most that it has held, MiB.
///
/// # Panics
/// Where there is no such process.
#[must_use]
pub fn peak(process: u32) -> u64 {
    figure(process, "VmHWM:")
}

fn figure(process: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("Linux has it, and it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("it is told");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}
