//! The engine, its configuration and the watchdog's clock, built in one place: epochs without a ticker would abort
//! no call, a ticker without epochs would be idle.

use std::{
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::Duration,
};

use wasmtime::{Config, Engine, WasmFeatures};

use crate::error::SandboxError;

/// Resolution of the watchdog.
const TICK: Duration = Duration::from_millis(10);

/// An engine whose epoch advances while this lives.
pub(crate) struct Runtime {
    pub(crate) engine: Engine,
    stop: Option<Sender<()>>,
    ticker: Option<JoinHandle<()>>,
}

impl Runtime {
    pub(crate) fn new() -> Result<Self, SandboxError> {
        let engine =
            Engine::new(&config()).map_err(|e| SandboxError::Runtime { message: format!("{e:#}") })?;
        let (stop, stopped) = mpsc::channel();
        let ticked = engine.clone();
        // A thread of the system, not a task: when all workers are busy in rules, the clock must still go.
        let ticker = thread::Builder::new()
            .name("kwhy-watchdog".to_owned())
            .spawn(move || {
                while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    ticked.increment_epoch();
                }
            })
            .map_err(SandboxError::Watchdog)?;
        Ok(Self { engine, stop: Some(stop), ticker: Some(ticker) })
    }

    /// Ticks until `time` has passed for certain.
    pub(crate) fn ticks(time: Duration) -> u64 {
        u64::try_from(time.as_millis() / TICK.as_millis()).unwrap_or(u64::MAX - 1) + 1
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(ticker) = self.ticker.take() {
            // The thread cannot panic; if it did, there is nothing left to stop.
            let _ = ticker.join();
        }
    }
}

/// Everything that a rule could tell apart between two machines or two versions is said here, not left to a default.
fn config() -> Config {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .concurrency_support(false)
        .shared_memory(false)
        .gc_support(false)
        // Nothing walks the stack of a rule, so neither is needed; without them compiled code is smaller.
        .generate_address_map(false)
        .native_unwind_info(false)
        .parallel_compilation(true)
        .wasm_component_model(true)
        .wasm_relaxed_simd(false)
        .relaxed_simd_deterministic(true)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_gc(false)
        .wasm_stack_switching(false)
        .wasm_shared_everything_threads(false)
        .wasm_wide_arithmetic(false)
        .wasm_custom_page_sizes(false)
        .wasm_features(WasmFeatures::THREADS | WasmFeatures::EXCEPTIONS | WasmFeatures::CM_ASYNC, false);
    config
}
