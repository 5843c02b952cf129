//! What to type so that metrics can be read, with the names of this cluster in it.

use kwhy_sdk::{ObjectRef, Remedy, World};

use crate::{
    address,
    component::Component,
    instance::{Listening, Told},
    loopback::{Copy, Seen, nodes},
};

/// How the pods of a workload are made anew.
pub(crate) fn restart(workload: &ObjectRef) -> String {
    let kind = workload.kind.to_ascii_lowercase();
    match workload.kind.as_str() {
        "DaemonSet" | "Deployment" | "StatefulSet" => {
            format!("kubectl -n {} rollout restart {kind} {}", workload.namespace, workload.name)
        }
        _ => format!("kubectl -n {} delete {kind} {}", workload.namespace, workload.name),
    }
}

/// Let the component listen where Prometheus asks; best first.
pub(crate) fn listen(world: &World<'_>, seen: &Seen, hidden: &[&Copy], listening: &Listening) -> Vec<Remedy> {
    let Some(first) = hidden.first() else { return Vec::new() };
    let component = seen.component;
    let first_remedy = match &listening.told {
        Told::Map { map, .. } => in_map(world, map, &first.instance.workload, listening),
        _ if first.instance.is_static() && !on_talos(world, first) => {
            in_manifest(world, component, hidden, listening)
        }
        _ if on_talos(world, first) => in_machine_config(component, hidden, listening),
        told => in_workload(component, &first.instance.workload, told, listening),
    };
    vec![first_remedy, unwatched(component)]
}

fn exposed(component: Component) -> String {
    let port = component.port();
    match component {
        // These ask for a token that may read /metrics.
        Component::Scheduler | Component::ControllerManager => {
            format!("port {port} is then open to all who reach the node; it still asks them for a token")
        }
        _ => format!(
            "port {port} asks for no password: let a firewall admit only Prometheus where others can reach the nodes"
        ),
    }
}

fn in_map(world: &World<'_>, map: &ObjectRef, workload: &ObjectRef, listening: &Listening) -> Remedy {
    let any = address::any(&listening.address);
    let port = listening.address.rsplit_once(':').map_or("10249", |(_, port)| port);
    let line = format!("metricsBindAddress: \"{any}:{port}\"");
    let labels = world.read(map, "/metadata/labels").unwrap_or_default();
    let manager =
        match (labels.text("/app.kubernetes.io~1managed-by"), labels.text("/eks.amazonaws.com~1component")) {
            ("", "") => String::new(),
            ("", _) => {
                "; on EKS make the same change in the configuration of the kube-proxy add-on".to_owned()
            }
            (tool, _) => format!("; {tool} manages this ConfigMap, so make the same change there"),
        };
    Remedy::new(format!(
        "let kube-proxy serve its metrics on the node's addresses: put `{line}` into ConfigMap {} and restart kube-proxy, \
         which reads it at its start only",
        map.path()
    ))
    .command(format!("kubectl -n {} edit configmap {}     # {line}", map.namespace, map.name))
    .command(restart(workload))
    .caution(format!("{}{manager}", exposed(Component::Proxy)))
}

/// Talos writes the manifests of these components from the machine configuration; its nodes have no shell.
fn on_talos(world: &World<'_>, copy: &Copy) -> bool {
    let node = ObjectRef::new("Node", "", copy.instance.node());
    world.read(&node, "/status/nodeInfo").unwrap_or_default().text("/osImage").starts_with("Talos")
}

fn in_machine_config(component: Component, hidden: &[&Copy], listening: &Listening) -> Remedy {
    let (key, flag, any) = (section(component), component.flag(), address::any(&listening.address));
    let value = match component {
        Component::Proxy => format!("{any}:{}", component.port()),
        Component::Etcd => format!("http://{any}:{}", component.port()),
        _ => any.to_owned(),
    };
    let patch = format!("{{\"cluster\":{{\"{key}\":{{\"extraArgs\":{{\"{flag}\":\"{value}\"}}}}}}}}");
    let addresses = ips(hidden);
    let mut remedy = Remedy::new(format!(
        "let {} serve its metrics on the node's addresses: `cluster.{key}.extraArgs.{flag}: {value}` in the machine \
         configuration of the control plane",
        component.name()
    ))
    .command(format!("talosctl -n {addresses} patch machineconfig -p '{patch}'"));
    if component == Component::Proxy {
        // What is bootstrapped once is written again only by an upgrade.
        remedy =
            remedy.command("talosctl upgrade-k8s --to <version that runs>     # writes the DaemonSet anew");
    }
    remedy.caution(exposed(component))
}

/// Addresses of the nodes, as talosctl takes them.
fn ips(copies: &[&Copy]) -> String {
    let all: Vec<&str> = copies.iter().map(|c| c.instance.host_ip()).filter(|ip| !ip.is_empty()).collect();
    all.join(",")
}

/// What kubeadm and Talos call the component in their configuration.
fn section(component: Component) -> &'static str {
    match component {
        Component::Proxy => "proxy",
        Component::Scheduler => "scheduler",
        Component::ControllerManager => "controllerManager",
        Component::Etcd => "etcd",
    }
}

fn in_workload(component: Component, workload: &ObjectRef, told: &Told, listening: &Listening) -> Remedy {
    let new = new_flag(component, told, listening, "");
    let kind = workload.kind.to_ascii_lowercase();
    Remedy::new(format!(
        "let {} serve its metrics on the node's addresses: give it `{new}`; its pods are then rolled over",
        component.name()
    ))
    .command(format!("kubectl -n {} edit {kind} {}     # {new}", workload.namespace, workload.name))
    .caution(exposed(component))
}

/// The word of the command line as it should be.
fn new_flag(component: Component, told: &Told, listening: &Listening, node_ip: &str) -> String {
    let any = address::any(&listening.address);
    let flag = component.flag();
    match (component, told) {
        // Its liveness probe goes on asking at the loopback address.
        (Component::Etcd, _) if !node_ip.is_empty() => {
            format!("--{flag}={},http://{node_ip}:{}", listening.address, component.port())
        }
        (Component::Etcd, _) => format!("--{flag}=http://{any}:{}", component.port()),
        (Component::Proxy, _) => format!("--{flag}={any}:{}", component.port()),
        _ => format!("--{flag}={any}"),
    }
}

fn in_manifest(world: &World<'_>, component: Component, hidden: &[&Copy], listening: &Listening) -> Remedy {
    let name = component.name();
    let on = nodes(hidden);
    let node = hidden.first().map_or("", |c| c.instance.node());
    let info = world.read(&ObjectRef::new("Node", "", node), "/status/nodeInfo").unwrap_or_default();
    let single = if let [only] = hidden { only.instance.host_ip() } else { "" };
    let new = new_flag(component, &listening.told, listening, single);
    let value = new.trim_start_matches('-');
    if info.text("/kubeletVersion").contains("+rke2") {
        let key = if component == Component::Etcd { "etcd-arg".to_owned() } else { format!("{name}-arg") };
        let line = if component == Component::Etcd {
            "etcd-expose-metrics: true".to_owned()
        } else {
            format!("{key}: [\"{value}\"]")
        };
        return Remedy::new(format!(
            "let {name} serve its metrics on the node's addresses (`{value}`), then restart RKE2"
        ))
        .command(format!("sudoedit /etc/rancher/rke2/config.yaml     # on {on}: {line}"))
        .command(format!("sudo systemctl restart rke2-server     # on {on}; rke2-agent on a worker"))
        .caution(format!("one node after the other; {}", exposed(component)));
    }
    let manifest = format!("/etc/kubernetes/manifests/{name}.yaml");
    let edit = match &listening.told {
        Told::Flag(old) if old.contains('=') => {
            format!("sudo sed -i 's#{old}#{new}#' {manifest}     # on {on}")
        }
        _ => format!("sudoedit {manifest}     # on {on}: {new}"),
    };
    let section = match component {
        Component::Etcd => "etcd.local.extraArgs".to_owned(),
        other => format!("{}.extraArgs", section(other)),
    };
    let each = if component == Component::Etcd {
        "one member after the other, since each of them restarts"
    } else {
        "kubeadm writes the manifest anew at an upgrade, hence the second command"
    };
    Remedy::new(format!(
        "let {name} serve its metrics on the node's addresses: `{new}` in its manifest on {on}; the pod is then restarted by itself"
    ))
    .command(edit)
    .command(format!("kubectl -n kube-system edit configmap kubeadm-config     # {section}: {value}"))
    .caution(format!("{each}; {}", exposed(component)))
}

fn unwatched(component: Component) -> Remedy {
    let key = match component {
        Component::Proxy => "kubeProxy",
        Component::Scheduler => "kubeScheduler",
        Component::ControllerManager => "kubeControllerManager",
        Component::Etcd => "kubeEtcd",
    };
    Remedy::new(format!(
        "or, where nobody needs these metrics, let nobody ask for them: `{key}.enabled: false` in the values of \
         kube-prometheus-stack takes target and alerts away"
    ))
}
