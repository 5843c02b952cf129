//! A node of which nothing is heard any more: what its journal said last tells a machine that is gone from a kubelet
//! that ended, was locked out, or is cut off.

use kwhy_sdk::{Condition, Evidence, ObjectRef, Remedy, Signal, World, clock, hours, minutes};

use crate::{
    line,
    node::Node,
    ready::{Cause, DOWN, EXPIRED, Gone, RUNTIME, STOPPED, journal, short, watch},
    streak::{Repeated, Streak},
    word,
};

/// How far around the loss of a node its journal tells of it.
const AROUND: u64 = minutes(20);

/// A kubelet that is turned away says so at each try, some seconds apart; after such a silence it is over.
pub(crate) const HEARD: u64 = minutes(3);
/// A restart of the API server takes less.
const LASTS: u64 = minutes(4);

/// What a kubelet says when it is turned away or does not start.
const LOST: [&str; 6] = [
    line::UNREACHABLE,
    line::UNAUTHORIZED,
    line::SERVER_CERTIFICATE,
    line::CLIENT_CERTIFICATE,
    line::FAILED_TO_RUN,
    line::UNIT,
];
/// What it says of itself while it is not ready.
const NOT_READY: [&str; 4] = [line::RUNTIME, line::RUNTIME_SANITY, line::PLEG, line::CNI];

/// The newest line of these patterns within some minutes.
fn newest(world: &World<'_>, id: &ObjectRef, patterns: &[&str], after: u64) -> Option<Signal> {
    let since = world.ago(HEARD).max(after);
    let all =
        patterns.iter().filter_map(|p| world.about(id, "self", "kubelet", p, since, 1).into_iter().next());
    all.max_by_key(|l| (l.at, l.id.clone()))
}

/// Since when a kubelet of which only the journal is known complains of something that keeps its node from being ready, at a
/// stretch until now.
pub(crate) fn complains(world: &World<'_>, id: &ObjectRef, after: u64) -> Option<u64> {
    let key = format!("away/{}", id.name);
    let lines = [newest(world, id, &LOST, after), newest(world, id, &NOT_READY, after)];
    let newest = lines.iter().flatten().map(|l| l.at).max()?;
    let (began, last): (u64, u64) = world.recall(&key).unwrap_or((newest, newest));
    let began = if last + HEARD < newest { newest } else { began };
    world.remember(&key, &(began, newest), hours(2));
    (newest + HEARD > world.now() && began + LASTS <= world.now()).then_some(began)
}

/// Why, where nothing but the journal is known; none where it does not tell at the moment, as between two starts.
pub(crate) fn by_journal(world: &World<'_>, node: &Node, gone: &Gone) -> Option<Cause> {
    let journal = Journal { world, node, from: world.ago(HEARD).max(gone.since.saturating_sub(AROUND)) };
    if newest(world, &node.id, &LOST, 0).is_some() {
        let known = locked_out(&journal).or_else(|| refuses(&journal)).or_else(|| ended(&journal));
        return known.or_else(|| cut_off(&journal, gone));
    }
    let said = newest(world, &node.id, &NOT_READY, 0)?;
    let message = match said.name.as_str() {
        line::PLEG => format!("PLEG is not healthy: {}", line::why(&said)),
        line::CNI => format!(
            "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:{}",
            line::why(&said)
        ),
        _ => "container runtime is down".to_owned(),
    };
    let ready = Condition { status: "False".to_owned(), message, since: gone.since, ..Condition::default() };
    Some(word::cause(world, &node.saying(ready), gone))
}

/// What the node's journal tells of a lost node.
struct Journal<'a> {
    world: &'a World<'a>,
    node: &'a Node,
    from: u64,
}

impl Journal<'_> {
    /// Lines of a pattern, newest first.
    fn said(&self, pattern: &str) -> Vec<Signal> {
        self.world.about(&self.node.id, "self", "kubelet", pattern, self.from, 3)
    }

    /// With which line of a pattern it began, for the evidence.
    fn first(&self, pattern: &str) -> Option<Evidence> {
        Repeated::of(self.world, &self.node.id, pattern, self.from).map(|said| said.evidence(60))
    }
}

/// Why the node is lost.
pub(crate) fn cause(world: &World<'_>, node: &Node, gone: &Gone) -> Cause {
    let journal = Journal { world, node, from: gone.since.saturating_sub(AROUND) };
    locked_out(&journal)
        .or_else(|| refuses(&journal))
        .or_else(|| ended(&journal))
        .or_else(|| cut_off(&journal, gone))
        .unwrap_or_else(|| silent(node, gone))
}

/// The kubelet's own certificate is over: it ends, or the API server does not know it.
fn locked_out(journal: &Journal<'_>) -> Option<Cause> {
    let (node, name) = (journal.node, &journal.node.id.name);
    let mut lines = journal.said(line::CLIENT_CERTIFICATE);
    let measured: Vec<Signal> =
        ["KubeletClientCertificateExpiration", "KubeletClientCertificateRenewalErrors"]
            .iter()
            .flat_map(|a| journal.world.about(&node.id, "self", "alert", a, journal.world.ago(hours(24)), 3))
            .filter(|a| a.state == "firing")
            .collect();
    let confidence = match (lines.is_empty(), measured.is_empty()) {
        (false, _) => 94,
        (true, false) => 90,
        // A certificate of another authority is turned away in the same words.
        (true, true) => 80,
    };
    let expired = lines.first().map(|l| l.field("expired").to_owned()).unwrap_or_default();
    lines.extend(journal.said(line::UNAUTHORIZED));
    let first = lines.first()?;
    let until = match expired.as_str() {
        "" => String::new(),
        at => format!(" (valid until {at})"),
    };
    let what = if confidence == 80 {
        format!(
            "The API server answers the kubelet of {name} with Unauthorized since {}: its client certificate has expired, \
             or belongs to another authority. So its word does not count and the node counts as lost, though the machine \
             runs.",
            clock(first.at)
        )
    } else {
        format!(
            "The kubelet's client certificate{until} has expired, so the API server takes no word of it and the node \
             counts as lost, though the machine runs."
        )
    };
    let patterns = [line::CLIENT_CERTIFICATE, line::UNAUTHORIZED];
    let mut said: Vec<Evidence> = patterns.iter().filter_map(|pattern| journal.first(pattern)).collect();
    said.extend(self::journal(&measured));
    Some(Cause {
        code: EXPIRED,
        confidence,
        fails: true,
        title: format!("The kubelet of {name} has lost its way in: its client certificate has expired"),
        what,
        said,
        remedies: vec![renew(node), watch(node)],
    })
}

/// The API server shows a certificate that is over.
fn refuses(journal: &Journal<'_>) -> Option<Cause> {
    let name = &journal.node.id.name;
    let lines = journal.said(line::SERVER_CERTIFICATE);
    let first = lines.iter().find(|l| l.field("side") != "before")?;
    let until = match first.field("limit") {
        "" => "has expired".to_owned(),
        limit => format!("was valid until {limit}"),
    };
    Some(Cause {
        code: EXPIRED,
        confidence: 88,
        fails: true,
        title: format!("The kubelet of {name} refuses the API server: its serving certificate has expired"),
        what: format!(
            "The certificate that the API server shows {until}; the kubelet does not talk to it any more and the node \
             counts as lost."
        ),
        said: journal.first(line::SERVER_CERTIFICATE).into_iter().collect(),
        remedies: vec![
            Remedy::new("look at the certificates of the control plane and renew those that are over")
                .command("sudo kubeadm certs check-expiration     # on a control plane node")
                .command("sudo kubeadm certs renew all")
                .caution(
                    "the control plane's static pods have to be started anew to take up renewed certificates",
                ),
        ],
    })
}

/// systemd or the kubelet itself says that it has ended, and nothing says that it runs again.
fn ended(journal: &Journal<'_>) -> Option<Cause> {
    let (node, name) = (journal.node, &journal.node.id.name);
    if let Some(streak) = Streak::of(journal.world, &node.id, journal.from) {
        let why = &streak.why;
        let said = self::journal(&[streak.line(&node.id)]);
        if let Some(cause) = no_runtime(node, why, &said) {
            return Some(cause);
        }
        let words = if why.is_empty() { String::new() } else { format!(": {why}") };
        return Some(Cause {
            code: STOPPED,
            confidence: 95,
            fails: true,
            title: format!("The kubelet of {name} does not run{}", short(&words)),
            what: format!(
                "The machine lives and its journal says at {} that the kubelet has ended{words}. Since then nobody \
                 reports for the node, so it counts as lost.",
                clock(streak.since)
            ),
            said,
            remedies: mend(node, why),
        });
    }
    let started = journal.said(line::UNIT_STARTED).first().map_or(0, |l| l.at);
    let stopped = journal.said(line::UNIT_STOPPED);
    let last = stopped.first().filter(|l| l.at >= started)?;
    Some(Cause {
        code: STOPPED,
        confidence: 85,
        fails: false,
        title: format!("The kubelet of {name} was stopped at {}", clock(last.at)),
        what: format!(
            "systemd ended the kubelet of {name} in order at {} and has not started it since: somebody stopped it, or the \
             machine was shut down. Nobody reports for the node, so it counts as lost.",
            clock(last.at)
        ),
        said: self::journal(&stopped),
        remedies: vec![start(node)],
    })
}

/// From 1.24 on a kubelet ends where it finds no runtime at its start.
fn no_runtime(node: &Node, why: &str, said: &[Evidence]) -> Option<Cause> {
    let words =
        ["CRI v1 runtime API", "runtime API version", "validate service connection", "to get runtime"];
    if !words.iter().any(|w| why.contains(w)) {
        return None;
    }
    let name = &node.id.name;
    let no_plugin = why.contains("unknown service runtime.v1");
    let what = if no_plugin {
        "the runtime is there and offers no CRI of the version that this kubelet speaks: containerd's cri plugin is \
         switched off, or the runtime is too old"
    } else {
        "the runtime does not answer"
    };
    let unit = node.runtime_unit_at(why);
    let mut remedy = Remedy::new(format!("mend {unit} on {name}; the kubelet starts by itself then"))
        .command(format!("ssh {} sudo journalctl -u {unit} -n 100 --no-pager", node.host()));
    if no_plugin {
        remedy = remedy.command(format!(
            "ssh {} sudo grep -n disabled_plugins /etc/containerd/config.toml     # cri must not stand there",
            node.host()
        ));
    }
    let remedy = remedy.command(format!("ssh {} sudo systemctl restart {unit}", node.host()));
    Some(Cause {
        code: RUNTIME,
        confidence: 94,
        fails: true,
        title: format!("The kubelet of {name} does not start: it finds no container runtime"),
        what: format!("The kubelet ends at each start, since {what}: {why}. Nobody reports for the node."),
        said: said.to_vec(),
        remedies: vec![remedy, watch(node)],
    })
}

/// The kubelet runs and cannot reach the API server.
fn cut_off(journal: &Journal<'_>, gone: &Gone) -> Option<Cause> {
    let (node, name) = (journal.node, &journal.node.id.name);
    let lines = journal.said(line::UNREACHABLE);
    // Once is a restart of the API server; after the loss it is the reason.
    let last = lines.first().filter(|l| lines.len() > 1 && l.at + minutes(2) > gone.since)?;
    let why = line::why(last);
    // Where the journal is all that tells, each line of it would tell another time.
    let at = if gone.told.is_empty() && !gone.by_status {
        String::new()
    } else {
        format!(" at {}", clock(last.at))
    };
    Some(Cause {
        code: DOWN,
        confidence: 92,
        fails: false,
        title: format!("Node {name} is cut off: its kubelet does not reach the API server ({})", short(&why)),
        what: format!(
            "The kubelet of {name} runs, and its journal says{at}: {why}. Its status does not arrive, so the node is not \
             ready since {} for want of a sign: its network, a firewall, the load balancer or the address of the API server \
             stands between.",
            clock(gone.since)
        ),
        said: self::journal(&lines),
        remedies: vec![
            Remedy::new(format!("see from {name} whether the API server answers, and by which way"))
                .command(format!(
                    "ssh {} 'sudo grep server: /etc/kubernetes/kubelet.conf; ip route'",
                    node.host()
                ))
                .command(format!("ssh {} sudo journalctl -u {} -n 50 --no-pager", node.host(), node.unit())),
            watch(node),
        ],
    })
}

fn silent(node: &Node, gone: &Gone) -> Cause {
    let name = &node.id.name;
    let last = node.ready.heartbeat;
    let silent = if node.ready.reason == "NodeStatusNeverUpdated" {
        "Its kubelet never posted a status".to_owned()
    } else if last > 0 && gone.by_status {
        format!("Its kubelet last reported at {} and has been silent since", clock(last))
    } else {
        "Its kubelet has stopped posting node status".to_owned()
    };
    Cause {
        code: DOWN,
        confidence: if gone.by_status { 96 } else { 85 },
        fails: false,
        title: format!("Node {name} is down: its kubelet stopped posting status"),
        what: format!(
            "{silent}; at {} the node was marked not ready. The machine, its network or its kubelet is gone; nothing \
             that was seen tells which.",
            clock(gone.since)
        ),
        said: Vec::new(),
        remedies: down(node),
    }
}

/// What mends a kubelet that ends at its start, by the reason it gives.
fn mend(node: &Node, why: &str) -> Vec<Remedy> {
    let (name, host) = (&node.id.name, node.host());
    let mut out = Vec::new();
    if why.contains("swap") {
        out.push(
            Remedy::new(format!("switch the swap of {name} off, now and at the next boot"))
                .command(format!("ssh {host} 'sudo swapoff -a; sudo sed -i \"/ swap / s/^/#/\" /etc/fstab'"))
                .command(format!("ssh {host} sudo systemctl restart {}", node.unit())),
        );
    } else if let Some(flag) = why.split("unknown flag: ").nth(1) {
        let flag = flag.trim_matches(['"', ' ', '.']);
        out.push(
            Remedy::new(format!(
                "take {flag} out of the kubelet's flags on {name}: this version does not know it any more"
            ))
            .command(format!(
                "ssh {host} sudo grep -rn -e {flag} /var/lib/kubelet/kubeadm-flags.env /etc/default/kubelet /etc/sysconfig/kubelet /etc/systemd/system/kubelet.service.d"
            ))
            .command(format!("ssh {host} 'sudo systemctl daemon-reload; sudo systemctl restart {}'", node.unit())),
        );
    } else if why.contains("kubelet config")
        || why.contains("Kubelet config")
        || why.contains("kubelet flags")
    {
        out.push(
            Remedy::new(format!("mend the kubelet's configuration on {name}, or let kubeadm write it anew"))
                .command(format!("ssh {host} sudo cat /var/lib/kubelet/config.yaml"))
                .command(format!("ssh {host} sudo kubeadm upgrade node phase kubelet-config"))
                .command(format!("ssh {host} sudo systemctl restart {}", node.unit())),
        );
    }
    if why.contains("no space left on device") {
        out.push(
            Remedy::new(format!("free space on the disk of {name} on which the kubelet keeps its state"))
                .command(format!(
                    "ssh {host} 'df -h /var/lib/kubelet /var; df -i /var/lib/kubelet; sudo du -xhd2 /var/lib /var/log | sort -h | tail'"
                ))
                .command(format!("ssh {host} sudo journalctl --vacuum-size=200M"))
                .command(format!("ssh {host} sudo systemctl restart {}", node.unit())),
        );
    }
    out.push(start(node));
    out
}

fn start(node: &Node) -> Remedy {
    Remedy::new(format!("start the kubelet of {} and read why it ended", node.id.name))
        .command(format!("ssh {} sudo journalctl -u {} -n 100 --no-pager", node.host(), node.unit()))
        .command(format!("ssh {} sudo systemctl restart {}", node.host(), node.unit()))
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
