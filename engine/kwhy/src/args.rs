//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use kwhy_collect::feed::Speed;

use crate::node_logs;
use crate::since::Since;

/// Says why a Kubernetes cluster hurts: joins events, alerts and logs on the graph of its objects and names the cause.
#[derive(Debug, Parser)]
#[command(
    name = "kwhy",
    version,
    max_term_width = 100,
    after_help = "Start here:\n  \
        kwhy diagnose DIR                what is wrong in a recorded incident, and what to type\n  \
        kwhy run                         correlate what arrives over NATS (starts a nats-server if none is named)\n  \
        kwhy collect kube                watch a Kubernetes cluster from a process of its own\n  \
        kwhy collect kubelet             read the logs of this node: kubelet, runtime, kernel\n  \
        kwhy collect alerts              take alerts from Prometheus and Alertmanager\n  \
        kwhy feed DIR --nats URL         play a recorded incident into NATS\n  \
        kwhy tail --nats URL             watch findings as they come\n  \
        kwhy capture                     write down the cluster of your kubeconfig, to be diagnosed or sent on\n  \
        kwhy record --nats URL           write down what has arrived over NATS\n  \
        kwhy replay --rules DIR          what other rules would have said of it\n  \
        kwhy explain FINDING             what makes kwhy believe it, or with --code why it did not\n  \
        kwhy rule list                   every cause that kwhy knows\n  \
        kwhy doctor                      what is missing for findings, and what mends it\n\n\
        Exit status: 0 nothing above INFO, 1 findings, 2 wrong usage or configuration, 3 nothing could be read.\n\
        RUST_LOG=kwhy=debug shows what happens inside."
)]
pub(crate) struct CommandLine {
    /// Configuration; without it ./kwhy.yaml if there is one
    #[arg(long, global = true, value_name = "FILE", env = "KWHY_CONFIG")]
    pub(crate) config: Option<PathBuf>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Whose signals and findings, and where they are.
#[derive(Debug, Args)]
pub(crate) struct Of {
    /// NATS server, overrides nats.url
    #[arg(long, value_name = "URL")]
    pub(crate) nats: Option<String>,
    /// What the cluster is called in signals and findings, overrides cluster
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Find the causes in a recorded incident: files in a directory or an archive, no cluster and no NATS needed
    #[command(
        after_help = "DIR holds what kubectl, journalctl and Alertmanager print, each file optional and .gz allowed:\n  \
        objects.json       kubectl get nodes,pods,rs,deploy,ds,sts,cm,svc -A -o json\n  \
        events.json        kubectl get events -A -o json\n  \
        alerts.json        GET /api/v2/alerts of Alertmanager\n  \
        kubelet/NODE.log   journalctl -u kubelet (-o short, short-iso or json), or the kubelet's own log file\n  \
        pods/NS/POD/CONTAINER.log and .previous.log   kubectl logs --timestamps [--previous]\n  \
        changes.ndjson, alerts.ndjson, capture.yaml   see tests/captures/FORMAT.md\n\n\
        Or it is what another tool has collected, which is known by its files:\n  \
        kubectl cluster-info dump -A --output-directory=DIR [-o yaml]\n  \
        oc adm must-gather, oc adm inspect\n  \
        a support bundle of troubleshoot.sh\n\
        All of these may be packed: .tar, .tar.gz, .tgz, .zip.\n\n\
        Example: kwhy diagnose tests/captures/a1-coredns-loop"
    )]
    Diagnose {
        /// The capture or dump
        dir: PathBuf,
        #[command(flatten)]
        output: Output,
        /// Folder with further rules (*.wasm); may be given again
        #[arg(long, value_name = "DIR")]
        rules: Vec<PathBuf>,
        /// Leave out the rules that kwhy brings, to see what those of --rules say alone
        #[arg(long, requires = "rules")]
        only_rules: bool,
    },
    /// Correlate what arrives over NATS and publish findings; without nats.url it starts its own nats-server
    Run {
        #[command(flatten)]
        of: Of,
        /// Folder with further rules (*.wasm); may be given again
        #[arg(long, value_name = "DIR")]
        rules: Vec<PathBuf>,
        /// Folder for the store of the own nats-server, overrides data_dir
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
        /// Address for probes and Prometheus (/-/healthy, /-/ready, /metrics), overrides probes.listen
        #[arg(long, value_name = "IP:PORT")]
        listen: Option<SocketAddr>,
    },
    /// Watch one live source and publish what it says as signals
    Collect {
        #[command(subcommand)]
        command: CollectCommand,
    },
    /// Play a recorded incident into NATS, as if it happened now
    Feed {
        /// The capture
        dir: PathBuf,
        /// NATS server, overrides nats.url
        #[arg(long, value_name = "URL")]
        nats: Option<String>,
        /// How many times as fast as it happened, or `max`
        #[arg(long, value_name = "FACTOR|max", default_value = "1")]
        speed: Speed,
    },
    /// Write the cluster of your kubeconfig into a directory that `kwhy diagnose` reads
    #[command(
        after_help = "Written are objects and events as they stand, and the logs of containers that crash or stay unready: of each \
        the last 2000 lines, of 300 logs at most. Of Secrets only the names of their keys are kept, and credentials in log \
        lines are masked. What you may not read is told in a line each and left out. kube.context of the configuration \
        names another context.\n\n\
        Examples:\n  \
        kwhy capture incident && kwhy diagnose incident\n  \
        kwhy capture incident --namespace shop --alertmanager http://localhost:9093"
    )]
    Capture {
        /// Where to write it, a new or empty directory; without it one named after the time
        dir: Option<PathBuf>,
        /// Only this namespace; may be given again
        #[arg(long, short, value_name = "NAME")]
        namespace: Vec<String>,
        /// Take all logs of this namespace, also of containers that are well; may be given again
        #[arg(long, value_name = "NAMESPACE")]
        logs_of: Vec<String>,
        /// Take the alerts of this Alertmanager, too
        #[arg(long, value_name = "URL")]
        alertmanager: Option<String>,
        /// Take the kubelet's log of the last hour from the journal of this machine, which must be a node (kubelet.units,
        /// kubelet.journal_directory)
        #[arg(long)]
        kubelet: bool,
        /// Name of the cluster, overrides cluster
        #[arg(long, value_name = "NAME")]
        cluster: Option<String>,
    },
    /// Write what has arrived over NATS into a directory that `kwhy diagnose` reads
    #[command(
        after_help = "Written are the signals of one cluster that are stored on KWHY_IN when it is called. With --from \
        those before that time are left out, but for the last state of each object and the alerts that were firing.\n\n\
        Example: kwhy record incident --nats nats://127.0.0.1:4222 --from 2h && kwhy diagnose incident"
    )]
    Record {
        /// Where to write it, a new or empty directory; without it one named after the time
        dir: Option<PathBuf>,
        #[command(flatten)]
        of: Of,
        /// Where to begin: a time as 2024-03-19T10:00:00Z, or how long ago as 2h or 90m
        #[arg(long, value_name = "TIME")]
        from: Option<Since>,
    },
    /// Put the recorded signals through these rules and show which findings would differ from those that are stored
    #[command(
        after_help = "All of KWHY_IN is read, up to where the running engine has come, and nothing is published. Findings that began before the \
        oldest signal that is still stored are not compared.\n\n\
        Exit status: 0 nothing differs, 1 something does.\n\n\
        Example: kwhy replay --rules new-rules --from 24h"
    )]
    Replay {
        #[command(flatten)]
        of: Of,
        /// Folder with further rules (*.wasm); may be given again
        #[arg(long, value_name = "DIR")]
        rules: Vec<PathBuf>,
        /// Compare only findings that changed since: a time as 2024-03-19T10:00:00Z, or how long ago as 2h or 90m
        #[arg(long, value_name = "TIME")]
        from: Option<Since>,
        #[command(flatten)]
        output: Output,
    },
    /// Show findings as they are published, those already stored first
    Tail {
        /// NATS server, overrides nats.url
        #[arg(long, value_name = "URL")]
        nats: Option<String>,
        #[command(flatten)]
        output: Output,
        /// End after this many finding revisions
        #[arg(long, value_name = "N")]
        count: Option<u64>,
    },
    /// Show what makes kwhy believe a finding, or why it did not name a cause
    #[command(
        override_usage = "kwhy explain FINDING [--capture DIR | --nats URL]\n       kwhy explain --code CODE --capture DIR",
        after_help = "FINDING is the id of a finding as `--output json` shows it, the first letters of it, or its code \
        where only one finding has it.\n\n\
        Shown are, from the cause to the symptoms, the objects on the way, each with the words that tell of it: when, \
        which source, where to look it up; then what speaks against it, and which other causes were ruled out and why. \
        --output json prints one object: finding (kwhy.v1.Finding), steps with their signs, further, against, effects.\n\n\
        --code tells why a cause was not named: what its rule ruled out or found unmet and where, which stronger cause \
        was named instead, and what the rule asks for that never came. As JSON: answer (named, folded, over, carriedOn, \
        failed, ruledOut, notMet or notHeard), findings, ruledOut, lesser, unmet, cleared, failures, asked, sources.\n\n\
        Examples:\n  \
        kwhy explain coredns.forward-loop --capture tests/captures/a1-coredns-loop\n  \
        kwhy explain --code coredns.upstream-timeout --capture tests/captures/a1-coredns-loop\n  \
        kwhy explain f3c1 --nats nats://127.0.0.1:4222"
    )]
    Explain {
        /// Its id, the first letters of it, or its code
        #[arg(required_unless_present = "code", conflicts_with = "code")]
        finding: Option<String>,
        /// Say why this cause was not named in the recorded incident
        #[arg(long, value_name = "CODE", requires = "capture")]
        code: Option<String>,
        /// The recorded incident in which it was found; without it the findings that are stored in NATS
        #[arg(long, value_name = "DIR", conflicts_with = "nats")]
        capture: Option<PathBuf>,
        /// NATS server, overrides nats.url
        #[arg(long, value_name = "URL")]
        nats: Option<String>,
        /// text for people, json for programs: one object
        #[arg(long, value_enum, default_value = "text")]
        output: Format,
        /// Folder with further rules (*.wasm); may be given again
        #[arg(long, value_name = "DIR")]
        rules: Vec<PathBuf>,
    },
    /// Say what is missing for findings: NATS, permissions, alerts, the journal, Slack, each with what mends it
    #[command(
        after_help = "Nothing is changed and nothing is posted; streams that do not exist yet are made.\n\n\
        Exit status: 0 nothing is missing, 1 something is.\n\
        --output json prints one look a line: check, state (ok, missing, off), said, mend."
    )]
    Doctor {
        #[command(flatten)]
        of: Of,
        /// text for people, json for programs: one look a line
        #[arg(long, value_enum, default_value = "text")]
        output: Format,
    },
    /// The rules: what they know and where they come from
    Rule {
        #[command(subcommand)]
        command: RuleCommand,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum CollectCommand {
    /// The alerts that Prometheus and Alertmanager send
    #[command(
        after_help = "Prometheus sends to POST /api/v2/alerts where this address is listed under alerting.alertmanagers, \
        Alertmanager to POST /webhook as a webhook receiver. Both hear 200 when all of a request is stored, 503 while NATS \
        does not take it. docs/alerts.md has both configurations, and the keys of `alerts:` in kwhy.yaml.\n\n\
        `kwhy run` with alerts.listen does the same in one process.\n\n\
        Example: kwhy collect alerts --listen 127.0.0.1:9096 --nats nats://127.0.0.1:4222"
    )]
    Alerts {
        /// Address to listen on, overrides alerts.listen
        #[arg(long, value_name = "IP:PORT", value_parser = address)]
        listen: Option<SocketAddr>,
        #[command(flatten)]
        of: Of,
    },
    /// The objects and events of a Kubernetes cluster, by watches
    #[command(
        after_help = "The cluster is that of the kubeconfig (KUBECONFIG, ~/.kube/config), or the one in which kwhy runs as \
        a pod. deploy/rbac.yaml holds the permissions; one that is missing is told with the rule that grants it, and the \
        other kinds are watched meanwhile. Of Secrets only the names of their keys leave this process.\n\n\
        `kwhy run` with kube.watch: true does the same in one process.\n\n\
        Example: kwhy collect kube --nats nats://nats:4222 --cluster lab"
    )]
    Kube {
        #[command(flatten)]
        of: Of,
        /// Context of the kubeconfig, overrides kube.context
        #[arg(long, value_name = "NAME")]
        context: Option<String>,
        /// Address for probes and Prometheus (/-/healthy, /-/ready, /metrics), overrides probes.listen
        #[arg(long, value_name = "IP:PORT")]
        listen: Option<SocketAddr>,
    },
    /// The logs of this node: kubelet, container runtime and kernel, from the journal and from files
    #[command(
        after_help = "Lines are sent in batches; up to where they were sent is kept in the data folder and moved on only when NATS \
        has stored them, so a restart loses nothing. What is lost all the same (a vacuumed journal, a truncated file, more \
        lines than lines_per_second) is told here and as a `gap` signal. Secrets are masked before anything is sent.\n\n\
        It needs no right in NATS but to publish on kwhy.in.CLUSTER.> and to hear its answers. The keys of `kubelet:` in \
        kwhy.yaml and the configuration of a leaf node are in docs/node-logs.md.\n\n\
        `kwhy run` with kubelet.journal: true or kubelet.files does the same in one process.\n\n\
        Examples:\n  \
        kwhy collect kubelet --journal --nats nats://127.0.0.1:4222 --cluster homelab\n  \
        kwhy collect kubelet --file '/var/log/kubelet*.log' --node kal"
    )]
    Kubelet {
        #[command(flatten)]
        logs: node_logs::Given,
        #[command(flatten)]
        of: Of,
        /// Address for probes and Prometheus (/-/healthy, /-/ready, /metrics), overrides probes.listen
        #[arg(long, value_name = "IP:PORT")]
        listen: Option<SocketAddr>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RuleCommand {
    /// All rules, built in and your own, with the causes that each can name
    #[command(after_help = "Your own rules are those of `rules:` in kwhy.yaml and of --rules.\n\
        --output json prints one rule a line: name, version, digest (sha256 of the file), file where it is not built in,\n\
        and codes: code, title, versions of the software that can show it, references.\n\n\
        Example: kwhy rule list --output json | jq -r '.codes[] | [.code, .title] | @tsv'")]
    List {
        /// text for people, json for programs: one rule a line
        #[arg(long, value_enum, default_value = "text")]
        output: Format,
        /// Folder with further rules (*.wasm); may be given again
        #[arg(long, value_name = "DIR")]
        rules: Vec<PathBuf>,
    },
}

#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Output {
    /// text for people, json for programs: one finding revision a line
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

/// An address to listen on.
fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "write an address and a port, as 127.0.0.1:9096 or [::]:9096")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        CommandLine::command().debug_assert();
    }
}
