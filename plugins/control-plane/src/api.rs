//! `control-plane.apiserver-slow`: those who need the API server wait for it in vain, and nothing below it tells why.

use kwhy_sdk::{
    Diagnosis, Evidence, Explains, ObjectRef, Program, Remedy, Signal, Step, World, hours, minutes,
};

use crate::{
    WINDOW, line,
    part::{Part, cluster, firing, lines, told_by_any},
};

pub(crate) const SLOW: &str = "control-plane.apiserver-slow";

/// Alerts that measure it.
pub(crate) const ALERTS: [&str; 4] =
    ["KubeAPIErrorBudgetBurn", "KubeAPITerminatedRequests", "KubeAPILatencyHigh", "KubeAPIErrorsHigh"];

/// The API server does not answer in time, by two kinds of witnesses.
pub(crate) fn slow(world: &World<'_>, since: u64) -> Option<Diagnosis> {
    let alerts = firing(world, &ALERTS, world.ago(hours(24 * 7)));
    let first = alerts.iter().map(|a| a.at).min().map_or(since, |at| at.saturating_sub(WINDOW));
    let since = since.min(first.max(world.ago(hours(3))));
    let unanswered = told_by_any(world, line::TIMED_OUT, since);
    let waits = lines(world, "kubelet", line::WAITS, since);
    let leases: Vec<Signal> =
        lines(world, "log", line::LEASE, since).into_iter().filter(|l| !l.field("why").is_empty()).collect();
    let nodes = nodes(&waits);
    // One node alone that waits has a bad way to the API server.
    let all = world.list("Node", "").len();
    let lasted = longest(&waits);
    let kubelets = (nodes.len() >= 2 || (all == 1 && waits.len() >= 3)) && lasted >= HICCUP;
    let witnesses = [!unanswered.is_empty(), kubelets, !leases.is_empty()].iter().filter(|w| **w).count();
    let many = kubelets && waits.len() >= 5 && lasted >= minutes(2);
    if witnesses == 0 || (alerts.is_empty() && witnesses < 2 && !many) {
        return None;
    }
    let servers = Part::ApiServer.pods(world);
    let ill = servers.iter().find(|p| p.ready_since().is_none());
    let anew =
        |p: &&Program| p.restarts() > 0 && p.running_since().is_some_and(|at| at + minutes(60) > world.now());
    let server = ill.or(servers.iter().find(anew)).or(servers.first());
    let refused: Vec<&Signal> = waits.iter().filter(|l| !l.field("server").is_empty()).collect();
    let refused = refused.first().filter(|_| refused.len() * 2 > waits.len()).map(|l| l.field("server"));
    // Servers that work, and an address that is none of theirs: it is what stands before them.
    let before =
        refused.map(host).filter(|at| !servers.is_empty() && ill.is_none() && !belongs(world, &servers, at));
    let server = server.filter(|_| before.is_none());
    let root = server.map_or_else(|| cluster(world), |p| p.id.clone());
    let mut d = Diagnosis::new(SLOW, root.clone());
    let sum =
        45 + 12 * witnesses + if alerts.is_empty() { 0 } else { 15 } + if ill.is_some() { 8 } else { 0 };
    d.confidence = u8::try_from(sum.min(86)).unwrap_or(86);
    d.severity =
        if alerts.iter().any(|a| a.field("severity") == "critical") || ill.is_some() || before.is_some() {
            "critical"
        } else {
            "warning"
        }
        .to_owned();
    d.title = match refused {
        Some(at) => format!("The API server cannot be reached: nothing answers at {at}"),
        None => "The API server does not answer in time".to_owned(),
    };
    let mut who: Vec<String> = Vec::new();
    if kubelets {
        who.push(format!("the kubelets of {} nodes", nodes.len()));
    }
    if !leases.is_empty() {
        who.push("controllers that renew their leases".to_owned());
    }
    if !unanswered.is_empty() {
        who.push("its own requests to etcd".to_owned());
    }
    let fares = match (server, ill) {
        (_, Some(p)) => format!(" Its pod on {} is {}.", p.node(), p.fares()),
        (Some(p), None) if p.restarts() > 0 => {
            format!(" Its pod on {} was restarted {} times.", p.node(), p.restarts())
        }
        _ => String::new(),
    };
    d.explanation = match refused {
        Some(at) if before.is_some() => {
            d.confidence = d.confidence.max(80);
            format!(
                "{} are turned away at {at}, which is the address of no node. kube-apiserver is ready on {}: what stands before \
                 it does not lead there, be it a load balancer, haproxy, or an address that keepalived or kube-vip should hold.",
                capital(&who.join(", ")),
                servers.iter().map(Program::node).collect::<Vec<_>>().join(", ")
            )
        }
        Some(at) => format!(
            "{} are turned away at {at}: kube-apiserver does not run there, or what stands before it leads nowhere.{fares}",
            capital(&who.join(", "))
        ),
        None => format!(
            "{} waited in vain.{fares} Nothing in what etcd says of its disk tells why: a client that asks too \
         much, too little memory or processor time on the control plane, or the network between them is next to look at.",
            capital(&who.join(", "))
        ),
    };
    d.evidence.extend(alerts.iter().take(2).map(|a| Evidence::signal(a, 50, "measured")));
    d.evidence
        .extend(unanswered.iter().take(2).map(|l| Evidence::signal(l, 40, "etcd gave no answer in time")));
    d.evidence.extend(waits.iter().take(2).map(|l| Evidence::signal(l, 30, "a kubelet that waits")));
    d.evidence
        .extend(leases.iter().take(1).map(|l| Evidence::signal(l, 30, "a lease that could not be renewed")));
    d.explains = ALERTS.map(|name| Explains::alert(name, &root, "cluster")).into();
    for part in [Part::ApiServer, Part::ControllerManager, Part::Scheduler] {
        for pod in part.pods(world) {
            d.explains.push(Explains::event("Unhealthy", &pod.id, "self"));
            if part != Part::ApiServer {
                d.explains.push(Explains::alert("KubePodCrashLooping", &pod.id, "self"));
                d.explains.push(Explains::event("BackOff", &pod.id, "self"));
            }
        }
    }
    // A node whose kubelet is turned away looks cut off.
    for node in &nodes {
        d.explains.push(Explains::finding("node.down", &ObjectRef::new("Node", "", node), "self"));
    }
    d.path = vec![Step::new(&root, "", "does not answer in time")];
    if let (Some(at), Some(host)) = (refused, before) {
        d.path = vec![Step::new(&root, "", format!("nothing answers at {at}"))];
        d.remedies = vec![
            Remedy::new(format!("see who should hold {host}, and whether it runs: the load balancer, keepalived or kube-vip"))
                .command("kubectl get pods -A -o wide | grep -E 'kube-vip|keepalived|haproxy'")
                .command(format!("for m in {}; do ssh $m \"hostname; ip -brief address | grep -F {host}; systemctl is-active keepalived haproxy\"; done", servers.iter().map(Program::node).collect::<Vec<_>>().join(" ")))
                .command(format!("curl -ksS https://{at}/livez?verbose")),
        ];
        return Some(d);
    }
    if let Some(at) = refused {
        let host = host(at);
        d.remedies = vec![
            Remedy::new(format!("see on {host} whether kube-apiserver runs, and what it said last"))
                .command(format!("ssh {host} 'sudo crictl ps -a --name kube-apiserver; sudo crictl logs --tail 30 $(sudo crictl ps -aq --name kube-apiserver | head -1)'"))
                .command(format!("ssh {host} sudo journalctl -u kubelet -n 50 --no-pager     # k3s and rke2: -u k3s, -u rke2-server"))
                .command(format!("curl -ksS https://{at}/livez?verbose")),
        ];
        return Some(d);
    }
    d.remedies = vec![
        Remedy::new("see who asks so much of it, and what waits")
            .command("kubectl get --raw /metrics | grep -E 'apiserver_(current_inflight_requests|flowcontrol_current_inqueue_requests)'")
            .command("kubectl get --raw /readyz?verbose"),
        Remedy::new("see what the machines of the control plane are short of")
            .command("kubectl top node --sort-by=cpu")
            .command("kubectl -n kube-system get pods -l tier=control-plane -o wide"),
    ];
    Some(d)
}

/// The host of `host:port`.
fn host(at: &str) -> &str {
    at.rsplit_once(':').map_or(at, |(host, _)| host).trim_matches(['[', ']'])
}

/// Whether it is the address or name of a node, or of an API server's pod.
fn belongs(world: &World<'_>, servers: &[Program], host: &str) -> bool {
    let of_server = |p: &Program| p.node() == host || p.pod.text("/status/podIP") == host;
    servers.iter().any(of_server)
        || world.list("Node", "").iter().any(|node| {
            let addresses = world.read(node, "/status/addresses").unwrap_or_default().list("");
            node.name == host || addresses.iter().any(|a| a.text("/address") == host)
        })
}

/// Kubelets that are put off for no longer meet a restart.
const HICCUP: u64 = minutes(1);

/// How long they were put off at a stretch, at most.
fn longest(waits: &[Signal]) -> u64 {
    let mut times: Vec<u64> = waits.iter().map(|l| l.at).collect();
    times.sort_unstable();
    let (mut most, mut began, mut last) = (0, 0, 0);
    for at in times {
        if at > last + minutes(2) {
            began = at;
        }
        last = at;
        most = most.max(last - began);
    }
    most
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

fn nodes(waits: &[Signal]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for node in waits.iter().filter_map(|l| l.subject.as_ref()).map(|s| s.name.clone()) {
        if !out.contains(&node) {
            out.push(node);
        }
    }
    out
}
