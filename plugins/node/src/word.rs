//! A node that is not ready by its kubelet's own word: it lives, and says what is missing (`pkg/kubelet/runtime.go`,
//! `nodestatus/setters.go`).

use kwhy_sdk::{ObjectRef, Remedy, Signal, World, clock, image_name, minutes};

use crate::{
    line,
    node::Node,
    range,
    ready::{CNI, Cause, DOWN, Gone, PLEG, RUNTIME, journal, short, watch},
};

/// What the kubelet says is missing.
pub(crate) fn cause(world: &World<'_>, node: &Node, gone: &Gone) -> Cause {
    let name = &node.id.name;
    let message = &node.ready.message;
    let from = gone.since.saturating_sub(minutes(20));
    let said = |pattern: &str| -> Vec<Signal> { world.about(&node.id, "self", "kubelet", pattern, from, 3) };
    let base = |code, confidence, title: String, what: String, lines: Vec<Signal>, remedies| Cause {
        code,
        confidence,
        fails: code == RUNTIME,
        title,
        what,
        said: journal(&lines),
        remedies,
    };
    let runtime = ["container runtime is down", "container runtime not ready", "RuntimeReady=false"];
    if runtime.iter().any(|m| message.contains(m)) {
        let mut lines = said(&format!("{}*", line::SOCKET));
        lines.extend(said(line::RUNTIME_SANITY));
        let socket = lines.iter().map(|l| l.field("socket")).find(|s| !s.is_empty()).unwrap_or("");
        let by = if node.runtime.is_empty() { "container runtime".to_owned() } else { node.runtime.clone() };
        let unit = node.runtime_unit_at(socket);
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
                Remedy::new(format!("look why {unit} ended on {name} and start it"))
                    .command(format!("ssh {} sudo journalctl -u {unit} -n 100 --no-pager", node.host()))
                    .command(format!("ssh {} sudo systemctl restart {unit}", node.host()))
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

fn no_network(world: &World<'_>, node: &Node, gone: &Gone, message: &str, mut lines: Vec<Signal>) -> Cause {
    let no_range = range::used_up(world, node);
    let name = &node.id.name;
    let plugin = network_pod(world, &node.id);
    let (who, restart) = match &plugin {
        Some((pod, ready)) => (
            format!(
                " Its network pod {} {}.{}",
                pod.path(),
                if *ready { "is ready all the same" } else { "is not ready" },
                held_up(world, pod).map_or(String::new(), |why| format!(" It waits: {why}."))
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
        fails: false,
        title: match &no_range {
            Some(_) => range::title(node),
            None => format!("Node {name} has no pod network: the CNI plugin is not ready"),
        },
        what: format!(
            "The kubelet of {name} says since {}: {message}.{who}{} Until a configuration lies in /etc/cni/net.d, pods \
             without the host's network cannot start there.",
            clock(gone.since),
            if no_range.is_some() { range::words(node) } else { String::new() }
        ),
        remedies: if no_range.is_some() {
            vec![range::remedy()]
        } else {
            let mend = Remedy::new(
                "mend the network plugin's pod on the node; it writes the configuration when it starts",
            )
            .command(restart)
            .command(format!("ssh {} ls -l /etc/cni/net.d /opt/cni/bin", node.host()));
            let plugin = plugin.map(|(pod, _)| pod);
            range::none_given(world, node, plugin.as_ref()).into_iter().chain([mend]).collect()
        },
        said: {
            lines.splice(0..0, no_range);
            journal(&lines)
        },
    }
}

/// What a container of the pod waits for, in the kubelet's words.
pub(crate) fn held_up(world: &World<'_>, pod: &ObjectRef) -> Option<String> {
    let status = world.read(pod, "/status").unwrap_or_default();
    let all = [status.list("/initContainerStatuses"), status.list("/containerStatuses")].concat();
    let told = |reason: &str| !matches!(reason, "" | "ContainerCreating" | "PodInitializing");
    let waits = all.iter().find(|c| told(c.text("/state/waiting/reason")))?;
    let (reason, message) = (waits.text("/state/waiting/reason"), waits.text("/state/waiting/message"));
    Some(format!("{reason}: {message}").trim_end_matches([':', ' ', '.']).to_owned())
}

/// Where the pods of network plugins lay down configuration, programs and state on the host.
const PLUGIN_PATHS: [&str; 5] = ["/etc/cni", "/opt/cni", "/var/lib/cni", "/run/flannel", "/var/lib/calico"];
/// How their images are called where nothing of the host is mounted under those names.
const PLUGIN_IMAGES: [&str; 9] =
    ["calico", "flannel", "cilium", "weave", "amazon-k8s-cni", "antrea", "kube-router", "ovn", "canal"];

/// The pod of the node that brings the network, and whether it is ready. Another pod that lays down a plugin, as multus
/// does, counts where no other is to be found.
pub(crate) fn network_pod(world: &World<'_>, node: &ObjectRef) -> Option<(ObjectRef, bool)> {
    let pods = world.related(node, "pod");
    let mounts = |pod: &&ObjectRef| {
        let volumes = world.read(pod, "/spec/volumes").unwrap_or_default().list("");
        volumes.iter().any(|v| PLUGIN_PATHS.iter().any(|p| v.text("/hostPath/path").starts_with(p)))
    };
    let named = |pod: &&ObjectRef| {
        let containers = world.read(pod, "/spec/containers").unwrap_or_default().list("");
        let daemon = world.workload(pod).kind == "DaemonSet";
        daemon
            && containers
                .iter()
                .any(|c| PLUGIN_IMAGES.iter().any(|i| image_name(c.text("/image")).contains(i)))
    };
    let pod = pods.iter().find(mounts).or_else(|| pods.iter().find(named))?;
    Some((pod.clone(), world.condition(pod, "Ready").holds()))
}
