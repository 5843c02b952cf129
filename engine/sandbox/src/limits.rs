//! How much a rule may use, and where compiled code is kept.

use std::{path::PathBuf, time::Duration};

/// What a [`crate::Sandbox`] is made with.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Directory for compiled code, made if absent. It must belong to the user alone, since what lies in it is run as
    /// native code; where it does not, it is not used. `None`: every start compiles anew.
    pub cache: Option<PathBuf>,
    /// Limits of every rule that is not loaded with its own.
    pub limits: Limits,
}

/// Limits of one rule. All but `watchdog` are counted the same on every machine, so they decide the same in a replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Size of the file, bytes; checked before anything is parsed, since compiling is not metered.
    pub file_bytes: usize,
    /// Linear memory, bytes.
    pub memory_bytes: usize,
    /// Elements of one table.
    pub table_elements: usize,
    /// Core instances that a component may consist of; as many memories and tables.
    pub instances: usize,
    /// Fuel of a call, of `describe` and of `configure`: about one per instruction.
    pub fuel_base: u64,
    /// Fuel added for each signal of a call.
    pub fuel_per_signal: u64,
    /// Wall time after which a call is aborted because the host is too slow; less than a second counts as a second.
    pub watchdog: Duration,
    /// Host calls in one call. A reply counts one more for every 4 KiB.
    pub host_calls: u64,
    /// Bytes that the rule may hand over in one host call or as its result, before they are looked at.
    pub transfer_bytes: usize,
    /// Diagnoses, rejections, clearings and wakes of one verdict together.
    pub verdict_items: usize,
    /// Size of one verdict, bytes: its texts and 8 for each value.
    pub verdict_bytes: usize,
    /// Log lines of one call; more are dropped and counted.
    pub log_lines: usize,
    /// Bytes of one log line; more are cut.
    pub log_line_bytes: usize,
    /// Bytes of all log lines of one call; lines past it are dropped and counted.
    pub log_bytes: usize,
    /// Calls after which an instance is replaced by a fresh one. 1 gives every call its own.
    pub calls_per_instance: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 4 << 20,
            memory_bytes: 32 << 20,
            table_elements: 20_000,
            instances: 16,
            fuel_base: 100_000_000,
            fuel_per_signal: 10_000_000,
            watchdog: Duration::from_secs(10),
            host_calls: 10_000,
            transfer_bytes: 2 << 20,
            verdict_items: 64,
            verdict_bytes: 256 << 10,
            log_lines: 64,
            log_line_bytes: 1 << 10,
            log_bytes: 16 << 10,
            calls_per_instance: 10_000,
        }
    }
}

impl Limits {
    /// Shortest watchdog: below it a busy machine would abort honest calls.
    const SHORTEST_WATCHDOG: Duration = Duration::from_secs(1);

    pub(crate) fn fuel(&self, signals: usize) -> u64 {
        self.fuel_base.saturating_add(self.fuel_per_signal.saturating_mul(signals as u64))
    }

    pub(crate) fn watchdog(&self) -> Duration {
        self.watchdog.max(Self::SHORTEST_WATCHDOG)
    }

    pub(crate) fn memory_mib(&self) -> u64 {
        (self.memory_bytes >> 20) as u64
    }
}
