//! What to type against a forwarding loop, with the names of this cluster in it.

use kwhy_sdk::{ObjectRef, Remedy, World};

use crate::server::{Config, Pod};

const KEEP_LOOP: &str = "do not remove the loop plugin: it is what told you; without it CoreDNS would send each query round until its memory is used up";
const K3S: &str = "k3s writes this ConfigMap anew at each start; what is to stay belongs into ConfigMap coredns-custom (keys *.override and *.server), which its Corefile imports";
const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";

/// The workload and the pods of it that loop.
pub(crate) struct Broken<'a> {
    pub(crate) workload: &'a ObjectRef,
    pub(crate) pods: Vec<&'a Pod>,
    /// Whether any other pod of the workload is well.
    pub(crate) others_well: bool,
}

impl Broken<'_> {
    /// Starts the looping pods anew: crash-looping ones wait up to five minutes otherwise, and a pod keeps the
    /// resolv.conf that it was made with.
    fn restart(&self) -> String {
        let namespace = &self.workload.namespace;
        let rolls = matches!(self.workload.kind.as_str(), "Deployment" | "DaemonSet" | "StatefulSet");
        if rolls && (!self.others_well || self.pods.len() > 3) {
            let kind = self.workload.kind.to_ascii_lowercase();
            return format!("kubectl -n {namespace} rollout restart {kind} {}", self.workload.name);
        }
        let names: Vec<&str> = self.pods.iter().map(|p| p.id.name.as_str()).collect();
        format!("kubectl -n {namespace} delete pod {}", names.join(" "))
    }
}

/// Who undoes an edit of the ConfigMap by hand, and where the change stays instead; none where nobody is known to.
pub(crate) fn undone(world: &World<'_>, map: &ObjectRef) -> Option<String> {
    let meta = world.read(map, "/metadata").unwrap_or_default();
    let tool = meta.text("/labels/app.kubernetes.io~1managed-by");
    if !tool.is_empty() {
        return Some(format!("{tool} manages this ConfigMap, so make the same change in its values"));
    }
    // k3s applies its manifests at each start. Fleet and others of Rancher mark what they apply with the same keys.
    let owner = meta.text("/annotations/objectset.rio.cattle.io~1owner-gvk");
    let addon = owner.starts_with("k3s.cattle.io/") || owner.is_empty() && is_of_k3s(world, map);
    addon.then(|| K3S.to_owned())
}

/// Where nobody has shown annotations: the ConfigMap by the name that k3s gives it, in a cluster of k3s.
fn is_of_k3s(world: &World<'_>, map: &ObjectRef) -> bool {
    let version = |node: &ObjectRef| world.text(node, "/status/nodeInfo/kubeletVersion").unwrap_or_default();
    map.path() == "kube-system/coredns" && world.list("Node", "").iter().any(|n| version(n).contains("+k3s"))
}

/// Edit the Corefile: `old` is its line now, `upstream` the servers known to work elsewhere, empty where none are.
pub(crate) fn edit_corefile(
    world: &World<'_>,
    config: &Config,
    old: &str,
    upstream: &[String],
    whose: &str,
    broken: &Broken<'_>,
) -> Remedy {
    let zone = old.split_whitespace().nth(1).unwrap_or(".");
    let servers =
        if upstream.is_empty() { "<address of your DNS server>".to_owned() } else { upstream.join(" ") };
    let known = if upstream.is_empty() { String::new() } else { format!(" ({whose})") };
    let caution = match undone(world, &config.map) {
        Some(undone) => format!("{KEEP_LOOP}; {undone}"),
        None => KEEP_LOOP.to_owned(),
    };
    Remedy::new(format!(
        "give CoreDNS an upstream that is not itself: in the Corefile put `forward {zone} {servers}`{known} in place of `{old}`"
    ))
    .command(format!(
        "kubectl -n {} edit configmap {}     # forward {zone} {servers}",
        config.map.namespace, config.map.name
    ))
    .command(broken.restart())
    .caution(caution)
}

/// Give the kubelet of the nodes a resolv.conf without loopback addresses.
pub(crate) fn kubelet_resolv_conf(world: &World<'_>, nodes: &[String], broken: &Broken<'_>) -> Remedy {
    let on = nodes.join(", ");
    let first = ObjectRef::new("Node", "", nodes.first().map_or("", String::as_str));
    let version = world.read(&first, "/status/nodeInfo").unwrap_or_default();
    let version = version.text("/kubeletVersion");
    let (file, line, service) = if version.contains("+k3s") {
        (
            "/etc/rancher/k3s/config.yaml",
            format!("kubelet-arg: [\"resolv-conf={RESOLVED}\"]"),
            "k3s, or k3s-agent on a worker",
        )
    } else if version.contains("+rke2") {
        (
            "/etc/rancher/rke2/config.yaml",
            format!("kubelet-arg: [\"resolv-conf={RESOLVED}\"]"),
            "rke2-server or rke2-agent",
        )
    } else {
        ("/var/lib/kubelet/config.yaml", format!("resolvConf: {RESOLVED}"), "kubelet")
    };
    let unit = service.split([',', ' ']).next().unwrap_or(service);
    Remedy::new(format!(
        "or give the kubelet of {on} a resolv.conf without loopback addresses (`resolvConf` in its configuration): \
         {RESOLVED} where systemd-resolved puts 127.0.0.53 into /etc/resolv.conf, else a file that lists the real servers"
    ))
    .command(format!("sudoedit {file}     # on {on}: {line}"))
    .command(format!("sudo systemctl restart {unit}     # on {on}{}", if unit == service { String::new() } else { format!(" ({service})") }))
    .command(broken.restart())
    .caution("other pods with dnsPolicy Default on the node get the new servers when they are made anew")
}

/// Give the pods the node's resolver instead of the cluster DNS.
pub(crate) fn dns_policy(broken: &Broken<'_>) -> Remedy {
    let workload = broken.workload;
    let remedy = Remedy::new(
        "set dnsPolicy of CoreDNS to Default, so that /etc/resolv.conf in its pods is the node's and not the cluster DNS",
    );
    let remedy = if workload.kind == "Pod" {
        remedy
    } else {
        let kind = workload.kind.to_ascii_lowercase();
        let patch = r#"{"spec":{"template":{"spec":{"dnsPolicy":"Default"}}}}"#;
        remedy.command(format!(
            "kubectl -n {} patch {kind} {} --type merge -p '{patch}'",
            workload.namespace, workload.name
        ))
    };
    remedy.caution(KEEP_LOOP)
}
