//! What to type so that metrics-server gets its metrics, with the names of this cluster in it.

use kwhy_sdk::{ObjectRef, Remedy, World};

use crate::{
    list,
    server::{CA_FLAG, INSECURE_FLAG, Pod, TYPES_FLAG, is_metrics_server},
};

/// A place in the command line of a workload's template.
struct Slot {
    pointer: String,
    op: &'static str,
    value: String,
}

fn slot(world: &World<'_>, workload: &ObjectRef, flag: &str, value: &str) -> Slot {
    let word = if value.is_empty() { format!("--{flag}") } else { format!("--{flag}={value}") };
    let template = world.read(workload, "/spec/template/spec").unwrap_or_default();
    let containers = template.list("/containers");
    let place = containers.iter().position(is_metrics_server).unwrap_or(0);
    let container = containers.get(place).cloned().unwrap_or_default();
    let base = format!("/spec/template/spec/containers/{place}");
    for field in ["args", "command"] {
        let words = container.texts(&format!("/{field}"));
        let is = |w: &String| {
            let bare = w.trim_start_matches('-');
            bare == flag || bare.strip_prefix(flag).is_some_and(|rest| rest.starts_with('='))
        };
        if let Some(at) = words.iter().position(is) {
            let apart = words.get(at).is_some_and(|w| !w.contains('=')) && !value.is_empty();
            let (at, value) = if apart { (at + 1, value.to_owned()) } else { (at, word) };
            return Slot { pointer: format!("{base}/{field}/{at}"), op: "replace", value };
        }
    }
    // Arguments go where there are some: a list that is not there cannot be added to.
    for field in ["args", "command"] {
        if container.has(&format!("/{field}/0")) {
            return Slot { pointer: format!("{base}/{field}/-"), op: "add", value: word };
        }
    }
    Slot { pointer: format!("{base}/args"), op: "add", value: format!("[{word}]") }
}

fn patch(workload: &ObjectRef, slot: &Slot) -> String {
    let kind = workload.kind.to_ascii_lowercase();
    let value = if slot.value.starts_with('[') {
        format!("[\"{}\"]", slot.value.trim_matches(['[', ']']))
    } else {
        format!("\"{}\"", slot.value)
    };
    format!(
        "kubectl -n {} patch {kind} {} --type=json -p '[{{\"op\":\"{}\",\"path\":\"{}\",\"value\":{value}}}]'",
        workload.namespace, workload.name, slot.op, slot.pointer
    )
}

/// Who else writes the workload, so that a change by hand may be undone.
fn managed(world: &World<'_>, workload: &ObjectRef) -> String {
    let labels = world.read(workload, "/metadata/labels").unwrap_or_default();
    let helm = labels.text("/heritage") == "Helm" || labels.text("/app.kubernetes.io~1managed-by") == "Helm";
    if helm {
        "; Helm manages this Deployment, so put it into the chart's args, too".to_owned()
    } else {
        String::new()
    }
}

/// Ask by address instead of by name.
pub(crate) fn by_address(world: &World<'_>, workload: &ObjectRef) -> Remedy {
    let slot = slot(world, workload, TYPES_FLAG, "InternalIP");
    Remedy::new(format!(
        "let metrics-server ask the kubelets by address, which needs no DNS: --{TYPES_FLAG}=InternalIP"
    ))
    .command(patch(workload, &slot))
    .caution(format!(
        "the kubelets' certificates must then name these addresses; where the next error is an x509 one, see the \
         certificates of the kubelets{}",
        managed(world, workload)
    ))
}

/// Make the names known.
pub(crate) fn known_names(names: &[String]) -> Remedy {
    Remedy::new(format!(
        "or make the DNS that the cluster's DNS forwards to know the names {}, so that pods can look them up",
        list(names)
    ))
    .command(format!(
        "kubectl run dns-check --rm -it --restart=Never --image=busybox -- nslookup {}",
        names.first().map_or("", String::as_str)
    ))
}

/// What a certificate from the cluster brings.
pub(crate) enum Wanted {
    /// The addresses of the node in it.
    Addresses,
    /// A signature that metrics-server trusts.
    Signature,
}

/// Let the kubelets ask the cluster for their serving certificates.
pub(crate) fn server_tls_bootstrap(world: &World<'_>, nodes: &[String], wanted: &Wanted) -> Remedy {
    let on = list(nodes);
    let brings = match wanted {
        Wanted::Addresses => {
            "let the kubelets get serving certificates that name their addresses (SANs), signed by the cluster"
        }
        Wanted::Signature => {
            "let the kubelets get serving certificates signed by the cluster's CA, which metrics-server trusts by default"
        }
    };
    let first = nodes.first().map_or("", String::as_str);
    let info = world.read(&ObjectRef::new("Node", "", first), "/status/nodeInfo").unwrap_or_default();
    let csrs = "kubectl get csr -o name --field-selector spec.signerName=kubernetes.io/kubelet-serving | xargs kubectl certificate approve";
    Remedy::new(format!(
        "{brings}: serverTLSBootstrap: true in the kubelet configuration of {on}, then approve their requests"
    ))
    .command(format!(
        "kubectl -n kube-system edit configmap {}     # serverTLSBootstrap: true, for nodes to come (kubeadm)",
        kubelet_config(info.text("/kubeletVersion"))
    ))
    .command(format!("sudoedit /var/lib/kubelet/config.yaml     # on {on}: serverTLSBootstrap: true"))
    .command(format!("sudo systemctl restart kubelet     # on {on}"))
    .command(csrs)
    .caution(
        "look at the names and addresses in the requests before approving them; they come again at every renewal, so let \
         an approver such as kubelet-csr-approver do it in the long run",
    )
}

/// kubeadm's ConfigMap, which before 1.24 had the version in its name.
fn kubelet_config(version: &str) -> String {
    let minor: Option<u32> = version
        .strip_prefix("v1.")
        .and_then(|v| v.split(['.', '-', '+']).next())
        .and_then(|m| m.parse().ok());
    match minor {
        Some(minor) if minor < 24 => format!("kubelet-config-1.{minor}"),
        _ => "kubelet-config".to_owned(),
    }
}

/// Do not look at certificates at all.
pub(crate) fn insecure(world: &World<'_>, workload: &ObjectRef) -> Remedy {
    let slot = slot(world, workload, INSECURE_FLAG, "");
    Remedy::new(format!("as a stop-gap only: let metrics-server accept any certificate (--{INSECURE_FLAG})"))
        .command(patch(workload, &slot))
        .caution(format!(
            "whoever answers at a kubelet's address is then believed, and is handed metrics-server's token; take it away \
             again when the certificates are right{}",
            managed(world, workload)
        ))
}

/// Give metrics-server the CA that signed.
pub(crate) fn trusted_ca(pod: &Pod, workload: &ObjectRef, file: &str, address: &str) -> Remedy {
    let kind = workload.kind.to_ascii_lowercase();
    let issuer = format!(
        "openssl s_client -connect {address}:10250 </dev/null 2>/dev/null | openssl x509 -noout -issuer"
    );
    let restart = format!("kubectl -n {} rollout restart {kind} {}", workload.namespace, workload.name);
    let remedy = Remedy::new(format!(
        "give metrics-server the CA that signed the kubelets' certificates: put it into the file of --{CA_FLAG} ({file})"
    ))
    .command(format!("{issuer}     # who signed, asked from a node"));
    let remedy = match pod.mounted(file) {
        Some((holder, key)) => {
            let kind = holder.kind.to_ascii_lowercase();
            remedy.command(format!("kubectl -n {} edit {kind} {}     # {key}", holder.namespace, holder.name))
        }
        None => remedy,
    };
    remedy
        .command(restart)
        .caution("append it where other kubelets are signed by the CA that is there already")
}

/// Take the flag away, so that the cluster's CA counts again.
pub(crate) fn without_ca(workload: &ObjectRef) -> Remedy {
    let kind = workload.kind.to_ascii_lowercase();
    Remedy::new(format!(
        "or take --{CA_FLAG} away where the cluster's CA signed the kubelets' certificates: it is trusted by default"
    ))
    .command(format!("kubectl -n {} edit {kind} {}     # without --{CA_FLAG}", workload.namespace, workload.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubeadm_named_the_config_map_after_the_version_until_1_23() {
        assert_eq!(kubelet_config("v1.18.2"), "kubelet-config-1.18");
        assert_eq!(kubelet_config("v1.24.0"), "kubelet-config");
        assert_eq!(kubelet_config("v1.29.2+k3s1"), "kubelet-config");
        assert_eq!(kubelet_config(""), "kubelet-config");
    }
}
