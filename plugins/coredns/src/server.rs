//! A pod that runs CoreDNS: how it is told from others, how it fares, where its Corefile and its resolv.conf come from.

use std::{
    net::{IpAddr, SocketAddr},
    ops::Deref,
};

use kwhy_sdk::{Json, ObjectRef, Program, World, flag};

use crate::corefile::{self, Forward, Server};

/// A CoreDNS pod as it stands now.
#[derive(Debug, Clone)]
pub(crate) struct Pod(Program);

impl Deref for Pod {
    type Target = Program;

    fn deref(&self) -> &Program {
        &self.0
    }
}

/// The ConfigMap entry that a pod reads its Corefile from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) map: ObjectRef,
    pub(crate) servers: Vec<Server>,
}

/// Where the file comes from that a `forward` line names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resolver {
    /// The kubelet hands the node's own resolver configuration to the pod, or it is mounted from the node.
    Node,
    /// The kubelet writes the cluster DNS into it, which is CoreDNS itself.
    ClusterDns,
    /// The pod's `dnsConfig` lists its servers.
    Listed(Vec<IpAddr>),
    /// It comes out of the image or a volume that cannot be looked into.
    Unknown,
}

/// One upstream of a `forward` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    File(String),
    Address(IpAddr, u16),
    Other(String),
}

impl Pod {
    /// The pod if it stands and runs CoreDNS.
    pub(crate) fn load(world: &World<'_>, id: &ObjectRef) -> Option<Self> {
        Program::load(world, id, coredns_container).map(Self)
    }

    fn host_network(&self) -> bool {
        self.pod.is_true("/spec/hostNetwork")
    }

    pub(crate) fn dns_policy(&self) -> &str {
        match self.pod.text("/spec/dnsPolicy") {
            "" => "ClusterFirst",
            given => given,
        }
    }

    /// The pod's own addresses; of a pod in the host's network they are the node's.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        let mut all: Vec<String> =
            self.pod.list("/status/podIPs").iter().map(|p| p.text("/ip").to_owned()).collect();
        all.push(self.pod.text("/status/podIP").to_owned());
        all.iter().filter_map(|a| a.parse().ok()).collect()
    }

    /// Where the Corefile comes from: the ConfigMap entry mounted at the path of `-conf`, else one that is called so.
    pub(crate) fn config(&self, world: &World<'_>) -> Option<Config> {
        let wanted = self.conf_path();
        let mounts = self.container.list("/volumeMounts");
        let mut best: Option<(bool, ObjectRef, String)> = None;
        for volume in self.pod.list("/spec/volumes") {
            let projected = volume.list("/projected/sources");
            let sources = projected.iter().map(|s| s.at("/configMap")).chain([volume.at("/configMap")]);
            for source in sources.filter(|s| s.has("/name")) {
                let map = ObjectRef::new("ConfigMap", &self.id.namespace, source.text("/name"));
                for (key, path) in entries(world, &map, &source) {
                    let mut mounted = mounts.iter().filter(|m| m.text("/name") == volume.text("/name"));
                    let exact = mounted.any(|m| {
                        let at = m.text("/mountPath").trim_end_matches('/');
                        let whole = m.text("/subPath") == path && at == wanted;
                        whole || (!m.has("/subPath") && format!("{at}/{path}") == wanted)
                    });
                    let named = key.starts_with("Corefile") || path.starts_with("Corefile");
                    if exact || (named && best.is_none()) {
                        best = Some((exact, map.clone(), key));
                    }
                    if exact {
                        break;
                    }
                }
            }
            if best.as_ref().is_some_and(|(exact, ..)| *exact) {
                break;
            }
        }
        let (_, map, key) = best?;
        let json = world.read(&map, "").unwrap_or_default();
        let data = json.map("/data");
        let text = data.iter().find(|(k, _)| *k == key).map_or("", |(_, text)| text.as_str());
        let uid = json.text("/metadata/uid").to_owned();
        Some(Config { map: ObjectRef { uid, ..map }, servers: corefile::parse(text) })
    }

    /// The file that it reads its configuration from.
    pub(crate) fn conf_path(&self) -> String {
        flag(&self.words(), "conf").filter(|path| !path.is_empty()).unwrap_or_else(|| "Corefile".to_owned())
    }

    /// Who writes the file at `path` that CoreDNS reads its upstreams from. The rules for /etc/resolv.conf are the
    /// kubelet's: GetPodDNS in kubernetes/pkg/kubelet/network/dns/dns.go.
    pub(crate) fn resolver(&self, path: &str) -> Resolver {
        let mounts = self.container.list("/volumeMounts");
        let over = mounts.iter().find(|m| {
            let at = m.text("/mountPath").trim_end_matches('/');
            path == at || path.strip_prefix(at).is_some_and(|rest| rest.starts_with('/'))
        });
        if let Some(mount) = over {
            let volumes = self.pod.list("/spec/volumes");
            let volume = volumes.iter().find(|v| v.text("/name") == mount.text("/name"));
            return if volume.is_some_and(|v| v.has("/hostPath")) {
                Resolver::Node
            } else {
                Resolver::Unknown
            };
        }
        if path != "/etc/resolv.conf" {
            return Resolver::Unknown;
        }
        let listed = self.pod.texts("/spec/dnsConfig/nameservers");
        let listed: Vec<IpAddr> = listed.iter().filter_map(|s| s.parse().ok()).collect();
        match self.dns_policy() {
            "None" => Resolver::Listed(listed),
            "ClusterFirstWithHostNet" => Resolver::ClusterDns,
            "ClusterFirst" if !self.host_network() => Resolver::ClusterDns,
            // The kubelet puts the servers of dnsConfig behind those of the node.
            _ => Resolver::Node,
        }
    }

    /// Standing Services that lead to this pod, with their cluster addresses.
    pub(crate) fn services(&self, world: &World<'_>) -> Vec<(ObjectRef, Vec<IpAddr>)> {
        let around = world.related(&self.id, "selected-by").into_iter().filter(|o| o.kind == "Service");
        around
            .map(|service| {
                let spec = world.read(&service, "/spec").unwrap_or_default();
                let mut all = spec.texts("/clusterIPs");
                all.push(spec.text("/clusterIP").to_owned());
                let addresses = all.iter().filter_map(|a| a.parse().ok()).collect();
                (service, addresses)
            })
            .collect()
    }
}

/// The value of a flag on a pod's command line.
pub(crate) fn flag_of(pod: &Pod, name: &str) -> Option<String> {
    flag(&pod.words(), name)
}

/// Keys of a ConfigMap and the paths under which a volume shows them.
fn entries(world: &World<'_>, map: &ObjectRef, source: &Json) -> Vec<(String, String)> {
    let items = source.list("/items");
    if !items.is_empty() {
        return items.iter().map(|i| (i.text("/key").to_owned(), i.text("/path").to_owned())).collect();
    }
    let data = world.read(map, "/data").unwrap_or_default().map("");
    data.into_iter().map(|(key, _)| (key.clone(), key)).collect()
}

/// The container that runs CoreDNS: by its image (node-local-dns embeds CoreDNS), else by a Corefile among its
/// arguments, else by the labels that every known manifest gives to the cluster DNS.
pub(crate) fn coredns_container(pod: &Json) -> Option<Json> {
    let containers = pod.list("/spec/containers");
    let image = |c: &&Json| {
        let image = c.text("/image").split('@').next().unwrap_or("");
        let base = image.rsplit('/').next().unwrap_or("").split(':').next().unwrap_or("");
        base.contains("coredns") || base.contains("dns-node-cache") || base == "node-cache"
    };
    let told =
        |c: &&Json| [c.texts("/command"), c.texts("/args")].concat().iter().any(|a| a.ends_with("/Corefile"));
    let labels = pod.at("/metadata/labels");
    let labelled =
        labels.text("/k8s-app") == "kube-dns" || labels.text("/app.kubernetes.io~1name") == "coredns";
    let found = containers.iter().find(image).or(containers.iter().find(told));
    found.or(containers.first().filter(|_| labelled)).cloned()
}

/// What a TO argument of `forward` names; the forms are those of coredns/plugin/pkg/parse.
pub(crate) fn target(to: &str) -> Target {
    let (scheme, host) = to.split_once("://").map_or(("dns", to), |(s, h)| (s, h));
    let default = match scheme {
        "tls" | "quic" => 853,
        "https" | "grpc" => 443,
        _ => 53,
    };
    if host.contains('/') {
        return Target::File(host.to_owned());
    }
    // `9.9.9.9%dns.quad9.net:10853`: the name between is for TLS or an IPv6 zone.
    let plain = match host.split_once('%') {
        Some((ip, rest)) => {
            let port = rest.rsplit_once(':').map_or(String::new(), |(_, p)| format!(":{p}"));
            format!("{ip}{}{port}", if ip.starts_with('[') { "]" } else { "" })
        }
        None => host.to_owned(),
    };
    if let Ok(address) = plain.parse::<SocketAddr>() {
        return Target::Address(address.ip(), address.port());
    }
    match plain.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(ip) => Target::Address(ip, default),
        Err(_) => Target::Other(to.to_owned()),
    }
}

/// Whether a query to this address stays inside the pod.
pub(crate) fn stays_inside(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback() || ip.is_unspecified()
}

/// The upstreams of a `forward` line.
pub(crate) fn targets(forward: &Forward) -> Vec<Target> {
    forward.to.iter().map(|t| target(t)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_a_file_an_address_or_something_else() {
        let address = |text: &str, port| Target::Address(text.parse().unwrap(), port);
        assert_eq!(target("/etc/resolv.conf"), Target::File("/etc/resolv.conf".into()));
        assert_eq!(target("127.0.0.53"), address("127.0.0.53", 53));
        assert_eq!(target("dns://10.0.0.1:5353"), address("10.0.0.1", 5353));
        assert_eq!(target("tls://9.9.9.9%dns.quad9.net"), address("9.9.9.9", 853));
        assert_eq!(target("tls://9.9.9.9%dns.quad9.net:10853"), address("9.9.9.9", 10853));
        assert_eq!(target("[::1]:53"), address("::1", 53));
        assert_eq!(target("::1"), address("::1", 53));
        assert_eq!(target("{$UPSTREAM}"), Target::Other("{$UPSTREAM}".into()));
    }

    #[test]
    fn loopback_in_any_form_stays_inside() {
        for inside in ["127.0.0.1", "127.0.0.53", "::1", "0.0.0.0", "::ffff:127.0.0.1"] {
            assert!(stays_inside(inside.parse().unwrap()), "{inside}");
        }
        assert!(!stays_inside("10.96.0.10".parse().unwrap()));
    }
}
