//! A node that is ready and yet gives its pods no network: the plugin fails for each sandbox that the runtime makes
//! (containerd `failed to setup network for sandbox`, dockershim `networkPlugin cni failed`, cri-o `failed to create pod
//! network sandbox`).

use kwhy_sdk::{
    Diagnosis, Evidence, Explains, ObjectRef, Remedy, Signal, Step, Verdict, Wake, World, clock, minutes,
};

use crate::{
    LOOK, felt, last,
    node::Node,
    range,
    ready::{CNI, CODES, short},
    word::network_pod,
};

/// A plugin that starts, or a pod's first tries, take less.
const PATIENCE: u64 = minutes(2);
/// An event is repeated while the trouble lasts, at last every five minutes: what was not heard of for longer is over.
const HEARD: u64 = minutes(12);
/// How the runtimes say that it was the network.
const NETWORK: [&str; 6] = [
    "failed to setup network for sandbox",
    "failed to create pod network sandbox",
    "networkPlugin cni failed",
    "NetworkPlugin cni failed",
    "to CNI network",
    "failed to find plugin",
];
/// How the plugins say that they have no address left.
const NO_ADDRESS: [&str; 8] = [
    "no IP addresses available in range set",
    AWS_WORDS,
    "no available IP",
    "No more free IP",
    "range is full",
    "IPAM Pool",
    "No more free affine blocks",
    "Assigned 0 out of",
];
const AWS_WORDS: &str = "failed to assign an IP address to container";
/// Calico gives each node blocks of pools that all of them share.
const CALICO_WORDS: [&str; 2] = ["No more free affine blocks", "Assigned 0 out of"];

/// Looks at the pods of a ready node that get no sandbox; none where all is well or it is too early to say.
pub(crate) fn judge(world: &World<'_>, node: &Node, verdict: &mut Verdict) -> Option<Diagnosis> {
    let id = &node.id;
    let events = world.about(id, "on-node", "event", "FailedCreatePodSandBox", world.ago(minutes(30)), 50);
    let mut failed: Vec<(ObjectRef, Signal)> = Vec::new();
    for event in events.into_iter().filter(|e| NETWORK.iter().any(|w| e.message.contains(w))) {
        let Some(pod) = event.subject.clone() else { continue };
        if !failed.iter().any(|(p, _)| p.is(&pod)) && waits(world, &pod, &event) {
            failed.push((pod, event));
        }
    }
    let first = failed.iter().map(|(_, e)| e.began()).min()?;
    if world.now() < first + PATIENCE {
        verdict.wakes.push(Wake { id: LOOK.into(), subject: Some(id.clone()), at: first + PATIENCE });
        return None;
    }
    let (_, event) = failed.first()?;
    Some(put(world, node, &failed, reason(&event.message), first))
}

fn put(world: &World<'_>, node: &Node, failed: &[(ObjectRef, Signal)], why: &str, first: u64) -> Diagnosis {
    let (id, name) = (&node.id, &node.id.name);
    let no_address = NO_ADDRESS.iter().any(|w| why.contains(w));
    let plugin = network_pod(world, id);
    let mut d = Diagnosis::new(CNI, id.clone());
    d.severity = "critical".into();
    d.confidence = if failed.len() > 1 || plugin.as_ref().is_some_and(|(_, ready)| !ready) { 91 } else { 84 };
    let no_range = range::used_up(world, node);
    d.title = if no_range.is_some() {
        range::title(node)
    } else if no_address {
        format!("Node {name} has no address left for pods: {}", short(why))
    } else {
        format!("Node {name} gives pods no network: {}", short(why))
    };
    let names: Vec<&str> = failed.iter().take(4).map(|(p, _)| p.name.as_str()).collect();
    d.explanation = format!(
        "{name} is ready, but its CNI plugin has failed for every new sandbox since {}: {why}. {} cannot start there{}.",
        clock(first),
        names.join(", "),
        match &plugin {
            Some((pod, true)) => format!("; the network's pod {} is ready all the same", pod.path()),
            Some((pod, false)) => format!("; the network's pod {} is not ready", pod.path()),
            None => String::new(),
        }
    );
    if let Some(event) = &no_range {
        d.explanation.push_str(&range::words(node));
        d.evidence.push(Evidence::signal(event, 80, "no range is left"));
        d.explains.push(Explains::event(range::EVENT, id, "self"));
    }
    d.evidence
        .extend(failed.iter().take(3).map(|(_, e)| Evidence::signal(e, 70, "no network for the sandbox")));
    if let Some((pod, ready)) = &plugin {
        let state = if *ready { "ready" } else { "not ready" };
        d.evidence.push(Evidence::object(
            pod,
            format!("{} is {state}", pod.path()),
            30,
            "the network's pod on the node",
        ));
        d.evidence.extend(last::evidence(world, pod).filter(|_| !ready));
    }
    d.explains.push(Explains::event("FailedCreatePodSandBox", id, "on-node"));
    d.explains.push(felt::elsewhere(CNI, id));
    for (pod, _) in failed {
        d.explains.extend(felt::still(&world.workload(pod)));
    }
    if let Some((pod, false)) = &plugin {
        let workload = world.workload(pod);
        d.explains.extend(felt::still(&workload));
        d.explains.push(Explains::finding("workload.*", &workload, "self"));
    }
    d.supersedes = CODES.iter().filter(|c| **c != CNI).map(|c| (*c).to_owned()).collect();
    d.path = vec![Step::new(id, "", "its network plugin fails")];
    let logs = match &plugin {
        Some((pod, _)) => {
            format!("kubectl -n {} logs {} --all-containers --tail=50", pod.namespace, pod.name)
        }
        None => format!(
            "kubectl get pods -A -o wide --field-selector spec.nodeName={name} | grep -i -E 'cni|calico|flannel|cilium|weave|aws-node'"
        ),
    };
    let (todo, look) = if no_address { addresses(node, why) } else { installed(node) };
    let mut remedy = Remedy::new(todo).command(logs);
    // A plugin whose pod runs on asks with a token of its own that lies on the node and that the pod renews.
    let turned_away = why.contains("Unauthorized");
    if turned_away {
        d.explanation.push_str(" The plugin asks the API server with a token that lies on the node and that its pod renews; the one that lies there is not valid any more.");
    }
    if let Some((pod, _)) = plugin.as_ref().filter(|(_, ready)| !ready || turned_away) {
        remedy = remedy
            .command(format!("kubectl -n {} delete pod {}     # it is made anew", pod.namespace, pod.name));
    }
    let plugin = plugin.map(|(pod, _)| pod);
    d.remedies = if no_range.is_some() {
        vec![range::remedy()]
    } else {
        range::none_given(world, node, plugin.as_ref()).into_iter().chain([remedy.command(look)]).collect()
    };
    d
}

fn installed(node: &Node) -> (String, String) {
    (
        format!("mend the network plugin of {}: its pod tells what it lacks", node.id.name),
        format!("ssh {} ls -l /etc/cni/net.d /opt/cni/bin", node.host()),
    )
}

/// Where addresses come from and who holds them, by whose words say that there are none.
fn addresses(node: &Node, why: &str) -> (String, String) {
    let name = &node.id.name;
    if CALICO_WORDS.iter().any(|w| why.contains(w)) {
        (
            "give Calico more addresses: another IPPool or smaller blocks, or set free those that nobody uses any more; nodes share the pools".to_owned(),
            "kubectl get ippools.crd.projectcalico.org -o custom-columns=NAME:.metadata.name,CIDR:.spec.cidr,BLOCK:.spec.blockSize,OFF:.spec.disabled\ncalicoctl ipam show --show-blocks\ncalicoctl ipam check     # addresses that leaked".to_owned(),
        )
    } else if why.contains(AWS_WORDS) {
        (
            format!("see whether the subnet of {name} has free addresses, or its interfaces can hold no more: prefix delegation gives more to a node, WARM_IP_TARGET keeps fewer in store, another subnet gives more to all"),
            "aws ec2 describe-subnets --query 'Subnets[].[SubnetId,CidrBlock,AvailableIpAddressCount]' --output table\nkubectl -n kube-system set env daemonset/aws-node --list | grep -E 'WARM_|MINIMUM_IP|ENABLE_PREFIX|CUSTOM_NETWORK'".to_owned(),
        )
    } else {
        (
            format!(
                "free addresses on {name} or give it more: fewer pods, a larger range, more addresses at the cloud's interface"
            ),
            format!(
                "ssh {} 'sudo ls /var/lib/cni/networks/* | wc -l'     # leases of host-local; compare with: sudo crictl pods -q | wc -l",
                node.host()
            ),
        )
    }
}

/// The pod has not got its sandbox yet. Of one that nobody has shown it must have been said again, and nothing since
/// that tells of a container.
fn waits(world: &World<'_>, pod: &ObjectRef, event: &Signal) -> bool {
    if world.only_told(pod) {
        let again = event.at > event.began() || event.field("count").parse().unwrap_or(1) > 1;
        let since = |name: &str| !world.about(pod, "self", "event", name, event.at, 1).is_empty();
        return again
            && event.at + HEARD > world.now()
            && !["Pulling", "Pulled", "Created", "Started"].iter().any(|name| since(name));
    }
    if !world.exists(pod) {
        return false;
    }
    let status = world.read(pod, "/status").unwrap_or_default();
    status.text("/phase") == "Pending" && status.text("/podIP").is_empty()
}

/// What the plugin itself said: runtimes wrap it.
fn reason(message: &str) -> &str {
    ["(add): ", "\" network: ", "CNI network \"", "desc = "]
        .iter()
        .find_map(|mark| message.rsplit_once(mark).map(|(_, rest)| rest))
        .unwrap_or(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugins_own_words_are_found_in_each_runtimes_wrapping() {
        for (message, expected) in [
            (
                r#"Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox "0f": plugin type="calico" failed (add): stat x: no such file"#,
                "stat x: no such file",
            ),
            (
                r#"rpc error: code = Unknown desc = failed to set up sandbox container "9" network for pod "a": networkPlugin cni failed to set up pod "a_b" network: open /run/flannel/subnet.env: no such file or directory"#,
                "open /run/flannel/subnet.env: no such file or directory",
            ),
            ("no mark at all", "no mark at all"),
        ] {
            assert_eq!(reason(message), expected);
        }
    }
}
