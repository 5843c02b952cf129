//! One `kwhy run` that lives as long as the chaos does, loses its connection again and again, and must not grow.

use std::{fs, path::PathBuf};

use crate::{CLUSTER, Client, Engine, Kwhy, NatsServer, Proxy, Stored, memory, nats_server};

/// What a process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Resident memory, MiB.
    pub memory: u64,
    /// Open files and sockets.
    pub files: usize,
    /// Threads.
    pub threads: usize,
}

impl Held {
    fn by(process: u32) -> Self {
        let entries = |what: &str| {
            fs::read_dir(format!("/proc/{process}/{what}")).map_or(0, |entries| entries.flatten().count())
        };
        Self { memory: memory::resident(process), files: entries("fd"), threads: entries("task") }
    }

    /// Whether this is no more than `before`, but for what comes and goes.
    #[must_use]
    pub fn is_flat_since(self, before: Self) -> bool {
        self.memory <= before.memory + before.memory / 4 + 16
            && self.files <= before.files + 8
            && self.threads <= before.threads + 8
    }
}

/// Storms before which nothing is compared: what is filled once is full by then.
pub(super) const WARM: usize = 2;
/// Connections that are cut in a storm.
const CUTS: usize = 5;

pub(super) struct Soak {
    _kwhy: Kwhy,
    _server: NatsServer,
    proxy: Proxy,
    client: Client,
    engine: Engine,
    log: Vec<Stored>,
    held: Vec<Held>,
}

impl Soak {
    pub(super) fn start(client: Client, kwhy: Kwhy, server: NatsServer, log: Vec<Stored>) -> Self {
        let proxy = Proxy::to(&server.url);
        let config: PathBuf = kwhy.write("soak.yaml", "engine:\n  snapshot_every: 1s\n");
        let engine = kwhy.engine(&[&"--nats", &proxy.url, &"--cluster", &CLUSTER, &"--config", &config]);
        Self { _kwhy: kwhy, _server: server, proxy, client, engine, log, held: Vec::new() }
    }

    pub(super) async fn new(log: Vec<Stored>) -> Self {
        let server = NatsServer::start(&nats_server());
        let client = Client::connect(&server.url).await;
        Self::start(client, Kwhy::new(), server, log)
    }

    /// Sends it the whole log once more and cuts its connections meanwhile.
    pub(super) async fn storm(&mut self) {
        let storm = self.held.len();
        for part in self.log.chunks(self.log.len().div_ceil(CUTS).max(1)) {
            for message in part {
                let mut again = message.clone();
                if let Some(id) = again.headers.get_mut("Nats-Msg-Id") {
                    id.insert_str(0, &format!("{storm}/"));
                }
                let _sequence = self.client.keep(&again).await;
            }
            self.proxy.cut();
        }
        self.engine.catch_up(&self.client, CLUSTER).await;
        self.held.push(Held::by(self.engine.process.id()));
    }

    /// What it holds, and what is wrong with that.
    pub(super) fn judge(self) -> (String, Vec<String>) {
        let ended = self.engine.process.terminate();
        let mut faults = Vec::new();
        if ended.code != Some(0) {
            faults.push(format!("the soaked kwhy ended with {:?}: {}", ended.code, ended.stderr));
        }
        let (Some(before), Some(after)) = (self.held.get(WARM), self.held.last()) else {
            return ("too few storms to say anything".to_owned(), faults);
        };
        if !after.is_flat_since(*before) {
            faults
                .push(format!("grown: {before:?} after {WARM} storms, {after:?} after {}", self.held.len()));
        }
        let said = format!(
            "{} storms; memory {} MiB then {}, files {} then {}, threads {} then {}",
            self.held.len(),
            before.memory,
            after.memory,
            before.files,
            after.files,
            before.threads,
            after.threads
        );
        (said, faults)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_and_goes_is_flat_and_what_only_grows_is_not() {
        let before = Held { memory: 100, files: 20, threads: 10 };
        assert!(Held { memory: 130, files: 24, threads: 12 }.is_flat_since(before));
        for grown in
            [Held { memory: 142, ..before }, Held { files: 29, ..before }, Held { threads: 19, ..before }]
        {
            assert!(!grown.is_flat_since(before), "{grown:?}");
        }
    }
}
