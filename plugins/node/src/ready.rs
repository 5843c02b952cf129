//! Why a node is not ready: one cause of several, by what the node controller wrote, what the kubelet wrote of itself
//! (`pkg/kubelet/runtime.go`, `nodestatus/setters.go`), and what it said last in its journal.

use kwhy_sdk::{
    Diagnosis, Evidence, ObjectRef, Remedy, Signal, Step, Verdict, Wake, World, clock, minutes, seconds,
};

use crate::{
    LOOK,
    felt::{self, Load},
    line,
    memory::Held,
    node::Node,
    told,
};

pub(crate) const DOWN: &str = "node.down";
pub(crate) const STOPPED: &str = "node.kubelet-stopped";
pub(crate) const RUNTIME: &str = "node.container-runtime-down";
pub(crate) const CNI: &str = "node.cni-not-ready";
pub(crate) const PLEG: &str = "node.pleg-unhealthy";
pub(crate) const EXPIRED: &str = "node.certificate-expired";
/// Of a node that is not ready one of them holds, and a better known cause carries the finding on.
pub(crate) const CODES: [&str; 6] = [DOWN, STOPPED, RUNTIME, CNI, PLEG, EXPIRED];

/// How long a node may be away before it counts: a restart of the kubelet or a quick reboot takes less.
const SETTLE: u64 = minutes(2);
/// How long a new node may take to get its network.
const JOINING: u64 = minutes(5);
/// How far around the loss of a node its journal tells of it.
const AROUND: u64 = minutes(20);

/// What is wrong, before it is put in words.
struct Cause {
    code: &'static str,
    confidence: u8,
    title: String,
    what: String,
    lines: Vec<Signal>,
    remedies: Vec<Remedy>,
}

/// Since when the node is not ready, and who says so.
struct Gone {
    since: u64,
    /// By its status; else only an event or an alert tells, after the status was last seen.
    by_status: bool,
    told: Vec<Signal>,
}

/// Judges one node from the facts as they stand now.
pub(crate) fn judge(world: &World<'_>, held: &mut Held, id: &ObjectRef) -> Verdict {
    let mut verdict = Verdict::default();
    let Some(node) = Node::load(world, id) else {
        held.clear(&mut verdict, &CODES, id, "the node was removed from the cluster");
        return verdict;
    };
    let Some(gone) = gone(world, &node) else {
        let because = format!("node {} is ready since {}", id.name, clock(node.ready.since));
        held.clear(&mut verdict, &CODES, id, &because);
        return verdict;
    };
    let joining = node.ready.status == "False" && node.created + JOINING > world.now();
    let due = if joining { node.created + JOINING } else { gone.since + SETTLE };
    if due > world.now() && !CODES.iter().any(|c| held.holds(c, id)) {
        verdict.wakes.push(Wake { id: LOOK.into(), subject: Some(id.clone()), at: due });
        return verdict;
    }
    let cause = cause(world, &node, &gone);
    let load = Load::of(world, id, gone.since);
    let diagnosis = put(world, &node, &gone, cause, &load);
    held.assert(&mut verdict, diagnosis);
    verdict
}

fn gone(world: &World<'_>, node: &Node) -> Option<Gone> {
    let horizon = minutes(60);
    let told = |name: &str, source: &str| {
        world
            .about(&node.id, "self", source, name, world.ago(horizon), 5)
            .into_iter()
            .find(|s| s.state != "resolved")
    };
    let events = told("NodeNotReady", "event");
    if matches!(node.ready.status.as_str(), "False" | "Unknown") {
        let told = events.into_iter().filter(|e| e.at + minutes(5) > node.ready.since).collect();
        return Some(Gone { since: node.ready.since, by_status: true, told });
    }
    if node.ready.status != "True" || node.ready.since == 0 {
        return None;
    }
    // A status that was last seen before: the event or the alert is newer.
    let back = told("NodeReady", "event").map_or(0, |e| e.at).max(node.ready.since);
    let alerts = ["KubeNodeUnreachable", "KubeNodeNotReady"].iter().filter_map(|name| {
        let all = world.about(&node.id, "self", "alert", name, world.ago(horizon), 5);
        // The newest word on it counts.
        all.into_iter().next().filter(|a| a.state == "firing" && a.at > back + minutes(15))
    });
    let told: Vec<Signal> = events.into_iter().filter(|e| e.at > back).chain(alerts).collect();
    // An alert has waited for a quarter of an hour before it fires.
    let began = |s: &Signal| if s.source == "alert" { s.at.saturating_sub(minutes(15)) } else { s.at };
    let since = told.iter().map(began).min()?;
    Some(Gone { since, by_status: false, told })
}

fn cause(world: &World<'_>, node: &Node, gone: &Gone) -> Cause {
    let name = &node.id.name;
    let from = gone.since.saturating_sub(AROUND);
    let said = |pattern: &str| -> Vec<Signal> { world.about(&node.id, "self", "kubelet", pattern, from, 3) };
    let message = &node.ready.message;
    if node.ready.status == "False" {
        return by_own_word(world, node, gone, message, &said);
    }
    let expired = said(line::CLIENT_CERTIFICATE);
    if let Some(first) = expired.first() {
        let until = match first.field("expired") {
            "" => String::new(),
            at => format!(" (valid until {at})"),
        };
        return Cause {
            code: EXPIRED,
            confidence: 94,
            title: format!("The kubelet of {name} has lost its way in: its client certificate has expired"),
            what: format!(
                "The kubelet's client certificate{until} has expired, so the API server takes no word of it and the \
                 node counts as lost, though the machine runs."
            ),
            lines: expired,
            remedies: vec![renew(node), watch(node)],
        };
    }
    let server = said(line::SERVER_CERTIFICATE);
    if let Some(first) = server.iter().find(|l| l.field("side") == "after") {
        return Cause {
            code: EXPIRED,
            confidence: 88,
            title: format!("The kubelet of {name} refuses the API server: its serving certificate has expired"),
            what: format!(
                "The certificate that the API server shows was valid until {}; the kubelet does not talk to it any \
                 more and the node counts as lost.",
                first.field("limit")
            ),
            lines: server.clone(),
            remedies: vec![
                Remedy::new("look at the certificates of the control plane and renew those that are over")
                    .command("sudo kubeadm certs check-expiration     # on a control plane node")
                    .command("sudo kubeadm certs renew all")
                    .caution(
                        "the control plane's static pods have to be started anew to take up renewed certificates",
                    ),
            ],
        };
    }
    let mut stopped = said(line::FAILED_TO_RUN);
    stopped.extend(said(line::UNIT));
    if let Some(first) = stopped.first() {
        let why = stopped.iter().map(|l| l.field("why")).find(|w| !w.is_empty()).unwrap_or("");
        let why_words = if why.is_empty() { String::new() } else { format!(": {why}") };
        return Cause {
            code: STOPPED,
            confidence: 95,
            title: format!("The kubelet of {name} does not run{}", short(&why_words)),
            what: format!(
                "The machine lives and its journal says at {} that the kubelet has ended{why_words}. Since then \
                 nobody reports for the node, so it counts as lost.",
                clock(first.at)
            ),
            lines: stopped,
            remedies: vec![
                Remedy::new(format!("start the kubelet of {name} and read why it ended"))
                    .command(format!(
                        "ssh {} sudo journalctl -u {} -n 100 --no-pager",
                        node.host(),
                        node.unit()
                    ))
                    .command(format!("ssh {} sudo systemctl restart {}", node.host(), node.unit())),
            ],
        };
    }
    let never = node.ready.reason == "NodeStatusNeverUpdated";
    let last = node.ready.heartbeat;
    let silent = if never {
        "Its kubelet never posted a status".to_owned()
    } else if last > 0 && gone.by_status {
        format!("Its kubelet last reported at {} and has been silent since", clock(last))
    } else {
        "Its kubelet has stopped posting node status".to_owned()
    };
    Cause {
        code: DOWN,
        confidence: if gone.by_status { 96 } else { 85 },
        title: format!("Node {name} is down: its kubelet stopped posting status"),
        what: format!(
            "{silent}; at {} the node was marked not ready. The machine, its network or its kubelet is gone; nothing \
             that was seen tells which.",
            clock(gone.since)
        ),
        lines: Vec::new(),
        remedies: down(node),
    }
}

/// Status False is the kubelet's own word: it lives and says what is missing.
fn by_own_word(
    world: &World<'_>,
    node: &Node,
    gone: &Gone,
    message: &str,
    said: &dyn Fn(&str) -> Vec<Signal>,
) -> Cause {
    let name = &node.id.name;
    let base = |code, confidence, title: String, what: String, lines, remedies| Cause {
        code,
        confidence,
        title,
        what,
        lines,
        remedies,
    };
    let runtime = ["container runtime is down", "container runtime not ready", "RuntimeReady=false"];
    if runtime.iter().any(|m| message.contains(m)) {
        let mut lines = said(line::SOCKET);
        lines.extend(said(line::RUNTIME_SANITY));
        let socket = lines.iter().map(|l| l.field("socket")).find(|s| !s.is_empty()).unwrap_or("");
        let by = if node.runtime.is_empty() { "container runtime".to_owned() } else { node.runtime.clone() };
        let at = if socket.is_empty() { String::new() } else { format!(" at {socket}") };
        return base(
            RUNTIME,
            95,
            format!("The container runtime of node {name} is down"),
            format!(
                "The kubelet of {name} runs but gets no answer from {by}{at} since {}; it can neither start nor \
                 check a container, so the node is not ready.",
                clock(gone.since)
            ),
            lines,
            vec![
                Remedy::new(format!("look why {} ended on {name} and start it", node.runtime_unit()))
                    .command(format!(
                        "ssh {} sudo journalctl -u {} -n 100 --no-pager",
                        node.host(),
                        node.runtime_unit()
                    ))
                    .command(format!("ssh {} sudo systemctl restart {}", node.host(), node.runtime_unit()))
                    .caution(
                        "running containers go on while containerd or cri-o restarts; with docker they end",
                    ),
                watch(node),
            ],
        );
    }
    if message.contains("PLEG is not healthy") {
        return base(
            PLEG,
            92,
            format!("Node {name} is not ready: PLEG is not healthy, the runtime answers too slowly"),
            format!(
                "The kubelet of {name} could not list its containers within three minutes ({message}). Too many \
                 containers, a slow disk or a hung runtime are the usual reasons."
            ),
            said(line::PLEG),
            vec![
                Remedy::new(format!("see what hangs on {name}: load, disk and the runtime's own list"))
                    .command(format!(
                        "ssh {} 'uptime; iostat -x 1 3; time sudo crictl ps | wc -l'",
                        node.host()
                    )),
                Remedy::new("then start the runtime and the kubelet anew")
                    .command(format!("ssh {} sudo systemctl restart {}", node.host(), node.runtime_unit()))
                    .caution("with docker the node's containers end"),
            ],
        );
    }
    if message.contains("network not ready") || message.contains("NetworkPluginNotReady") {
        return no_network(world, node, gone, message, said(line::CNI));
    }
    let shutting = message.contains("node is shutting down");
    base(
        DOWN,
        if shutting { 85 } else { 80 },
        if shutting {
            format!("Node {name} is shutting down")
        } else {
            format!("Node {name} is not ready: {}", short(message))
        },
        format!("The kubelet of {name} says since {}: {message}.", clock(gone.since)),
        Vec::new(),
        vec![
            Remedy::new(format!("read what the kubelet of {name} complains of"))
                .command(format!("kubectl describe node {name}"))
                .command(format!("ssh {} sudo journalctl -u {} -n 100 --no-pager", node.host(), node.unit())),
        ],
    )
}

fn no_network(world: &World<'_>, node: &Node, gone: &Gone, message: &str, lines: Vec<Signal>) -> Cause {
    let name = &node.id.name;
    let plugin = network_pod(world, &node.id);
    let (who, restart) = match &plugin {
        Some((pod, ready)) => (
            format!(
                " Its network pod {} {}.",
                pod.path(),
                if *ready { "is ready all the same" } else { "is not ready" }
            ),
            format!("kubectl -n {} logs {} --all-containers --tail=50", pod.namespace, pod.name),
        ),
        None => (
            format!(" No pod on {name} installs a network: none mounts /etc/cni of the node."),
            format!("kubectl get pods -A -o wide --field-selector spec.nodeName={name}"),
        ),
    };
    Cause {
        code: CNI,
        confidence: 93,
        title: format!("Node {name} has no pod network: the CNI plugin is not ready"),
        what: format!(
            "The kubelet of {name} says since {}: {message}.{who} Until a configuration lies in /etc/cni/net.d, pods \
             without the host's network cannot start there.",
            clock(gone.since)
        ),
        lines,
        remedies: vec![
            Remedy::new(
                "mend the network plugin's pod on the node; it writes the configuration when it starts",
            )
            .command(restart)
            .command(format!("ssh {} ls -l /etc/cni/net.d /opt/cni/bin", node.host())),
        ],
    }
}

/// The pod of the node that brings the network: it mounts /etc/cni of the host.
fn network_pod(world: &World<'_>, node: &ObjectRef) -> Option<(ObjectRef, bool)> {
    world.related(node, "pod").into_iter().find_map(|pod| {
        let volumes = world.read(&pod, "/spec/volumes")?;
        volumes.list("").iter().find(|v| v.text("/hostPath/path").starts_with("/etc/cni"))?;
        let conditions = world.read(&pod, "/status/conditions").unwrap_or_default();
        let ready =
            conditions.list("").iter().any(|c| c.text("/type") == "Ready" && c.text("/status") == "True");
        Some((pod, ready))
    })
}

fn put(world: &World<'_>, node: &Node, gone: &Gone, cause: Cause, load: &Load) -> Diagnosis {
    let name = &node.id.name;
    let mut d = Diagnosis::new(cause.code, node.id.clone());
    d.title = cause.title;
    // A node that was cordoned first is being worked on.
    d.severity = if node.cordoned { "info" } else { "critical" }.into();
    d.confidence = cause.confidence;
    d.supersedes = CODES.iter().filter(|c| **c != cause.code).map(|c| (*c).to_owned()).collect();
    d.supersedes.push(told::CGROUP.to_owned());
    let moved = load.moved();
    let mut text = cause.what;
    if !load.pods.is_empty() {
        text.push_str(&format!(" {} pods stand on {name}", load.pods.len()));
        if !moved.is_empty() {
            let names: Vec<String> =
                moved.iter().take(6).map(|w| format!("{} {}", w.kind, w.path())).collect();
            let more = if moved.len() > 6 { format!(" and {} more", moved.len() - 6) } else { String::new() };
            text.push_str(&format!(", of {}{more}", names.join(", ")));
        }
        text.push('.');
    }
    if !load.stranded.is_empty() {
        let names: Vec<&str> = load.stranded.iter().take(4).map(|s| s.pod.name.as_str()).collect();
        text.push_str(&format!(
            " The replacements {} find no other place: {name} is what they lack.",
            names.join(", ")
        ));
    }
    if node.cordoned {
        text.push_str(" It is cordoned, so somebody is probably at work on it.");
    }
    d.explanation = text;
    d.evidence.extend(gone.told.iter().map(|s| Evidence::signal(s, 60, "the control plane says so")));
    let quote = node.ready.quote("Ready");
    let note = format!("since {}", clock(node.ready.since));
    d.evidence.push(Evidence::object(&node.id, quote, if gone.by_status { 80 } else { -10 }, note));
    for line in cause.lines.iter().take(3) {
        d.evidence.push(Evidence::signal(line, 60, "the node's journal"));
    }
    for stranded in load.stranded.iter().take(3) {
        if let Some(why) = &stranded.why {
            d.evidence.push(Evidence::signal(why, 20, "a replacement finds no other place"));
        }
    }
    d.explains = felt::explains(world, node, load, gone.since.saturating_sub(seconds(60)));
    d.path = vec![Step::new(&node.id, "", state(node, gone))];
    d.remedies = cause.remedies;
    d
}

fn state(node: &Node, gone: &Gone) -> String {
    let reason = if gone.by_status { node.ready.reason.as_str() } else { "NodeNotReady" };
    format!("not ready since {}: {reason}", clock(gone.since))
}

fn down(node: &Node) -> Vec<Remedy> {
    let name = &node.id.name;
    vec![
        Remedy::new(format!("see whether the machine {name} lives: power, console, network; then its kubelet"))
            .command(format!("ping -c 3 {}", node.host()))
            .command(format!("ssh {} sudo systemctl status {}", node.host(), node.unit()))
            .command(format!("ssh {} sudo journalctl -u {} -n 100 --no-pager", node.host(), node.unit())),
        Remedy::new(format!(
            "if {name} is switched off and stays so, let its StatefulSet pods and volumes go to other nodes"
        ))
        .command(format!(
            "kubectl taint nodes {name} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute     # 1.28 and later"
        ))
        .caution(
            "only when the machine is surely off: a pod that still runs there would write to the same volume as its \
             successor",
        ),
    ]
}

fn renew(node: &Node) -> Remedy {
    Remedy::new(format!(
        "give the kubelet of {} a new client certificate: with a fresh bootstrap token, or by joining it anew",
        node.id.name
    ))
    .command("kubeadm token create --print-join-command     # on a control plane node")
    .command(format!(
        "ssh {} 'sudo openssl x509 -noout -enddate -in /var/lib/kubelet/pki/kubelet-client-current.pem'",
        node.host()
    ))
    .command(format!("ssh {} sudo systemctl restart {}", node.host(), node.unit()))
}

fn watch(node: &Node) -> Remedy {
    Remedy::new("then see the node come back").command(format!("kubectl get node {} -w", node.id.name))
}

/// The first words, for a title.
fn short(text: &str) -> String {
    let text = text.trim_end_matches('.');
    match text.char_indices().nth(90) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or(text)),
        None => text.to_owned(),
    }
}
