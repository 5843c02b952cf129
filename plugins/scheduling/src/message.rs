//! The grammar of the scheduler's verdict on a pod: `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) …. preemption: …`.
//!
//! Composed by `FitError.Error` (pkg/scheduler/framework/types.go, in 1.19 core/generic_scheduler.go) from the reasons of
//! the plugins in pkg/scheduler/framework/plugins. The reasons were reworded over time; all wordings from 1.15 on are known.

/// Volumes that a node can attach still, as a resource.
pub(crate) const ATTACHABLE: &str = "attachable volumes";

/// Why a node does not take the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Bar {
    /// `Insufficient cpu`, with the resource's name.
    Insufficient(String),
    TooManyPods,
    /// An untolerated taint; its key is empty since 1.35 says no more which.
    Taint(String),
    Cordoned,
    /// nodeSelector, node affinity or a named node.
    Selector,
    /// Another pod has to be near.
    Affinity,
    /// Another pod must not be near.
    AntiAffinity,
    Spread,
    HostPort,
    /// The pod's volume is bound to other nodes.
    VolumePlace,
    /// Anything else about volumes and claims.
    Volume,
    /// Words that are not known.
    Other,
}

/// What the scheduler said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfit {
    /// Nodes that were looked at.
    pub(crate) nodes: usize,
    /// Bars with the number of nodes that have them, in the order of the message.
    pub(crate) bars: Vec<(usize, Bar)>,
}

impl Unfit {
    pub(crate) fn has(&self, wanted: impl Fn(&Bar) -> bool) -> bool {
        self.bars.iter().any(|(_, bar)| wanted(bar))
    }

    /// Nodes with a bar of that kind.
    pub(crate) fn count(&self, wanted: impl Fn(&Bar) -> bool) -> usize {
        self.bars.iter().filter(|(_, bar)| wanted(bar)).map(|(n, _)| n).sum()
    }
}

/// Reads a message of FailedScheduling; none where it is no verdict on nodes.
pub(crate) fn parse(message: &str) -> Option<Unfit> {
    if message.contains("no nodes available to schedule pods") {
        return Some(Unfit { nodes: 0, bars: Vec::new() });
    }
    // Errors of the volume binder come without numbers.
    let Some((before, rest)) = message.split_once(" nodes are available:") else {
        let volume = message.contains("PersistentVolumeClaim") || message.contains("persistentvolumeclaim");
        return volume.then(|| Unfit { nodes: 0, bars: vec![(0, Bar::Volume)] });
    };
    let nodes = before.rsplit('/').next()?.trim().parse().ok()?;
    // A reason never holds a full stop and a blank; what follows is about preemption.
    let body = rest.split(". ").next().unwrap_or(rest).trim().trim_end_matches('.');
    let bars = parts(body).into_iter().filter(|p| !p.is_empty()).map(|part| {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let (number, words) = part.split_at_checked(digits).unwrap_or(("", part));
        (number.parse().unwrap_or(nodes), bar(words.trim()))
    });
    Some(Unfit { nodes, bars: bars.collect() })
}

/// Splits at commas before a number: a reason may hold commas of its own.
fn parts(body: &str) -> Vec<&str> {
    let (mut out, mut start) = (Vec::new(), 0);
    for (at, _) in body.match_indices(", ") {
        let next = body.get(at + 2..).unwrap_or("");
        let digits = next.bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 && next.get(digits..).is_some_and(|rest| rest.starts_with(' ')) {
            out.push(body.get(start..at).unwrap_or(""));
            start = at + 2;
        }
    }
    out.push(body.get(start..).unwrap_or(""));
    out
}

fn bar(words: &str) -> Bar {
    if let Some(resource) = words.strip_prefix("Insufficient ") {
        return Bar::Insufficient(resource.to_owned());
    }
    let has = |part: &str| words.contains(part);
    // Each node attaches so many volumes of a kind and no more.
    if has("max volume count") {
        return Bar::Insufficient(ATTACHABLE.to_owned());
    }
    if words == "Too many pods" {
        Bar::TooManyPods
    } else if has("untolerated taint") || has("that the pod didn't tolerate") {
        // `{key: value}` from 1.18 on, nothing before and since 1.35.
        let inside = words.split_once('{').and_then(|(_, r)| r.split_once([':', '}'])).map_or("", |(k, _)| k);
        Bar::Taint(inside.to_owned())
    } else if has("were unschedulable") {
        Bar::Cordoned
    } else if has("existing pods anti-affinity") || has("pod anti-affinity rules") {
        Bar::AntiAffinity
    } else if has("pod affinity/anti-affinity") || has("pod affinity rules") {
        // In 1.15 to 1.20 the first stands beside the one that tells which.
        Bar::Affinity
    } else if has("topology spread constraints") {
        Bar::Spread
    } else if has("free ports") {
        Bar::HostPort
    } else if has("volume node affinity conflict")
        || has("PersistentVolume's node affinity")
        || has("available volume zone")
    {
        Bar::VolumePlace
    } else if has("didn't satisfy plugin") {
        // Before it looks at single nodes, since 1.22: a plugin knows which come into question at all.
        match ["VolumeBinding", "VolumeZone", "VolumeRestrictions"].into_iter().any(has) {
            true => Bar::VolumePlace,
            false => Bar::Selector,
        }
    } else if has("node affinity")
        || has("node selector")
        || has("requested node name")
        || has("requested hostname")
    {
        Bar::Selector
    } else if has("olume") || has("pvc") || has("free storage") || has("available disk") {
        Bar::Volume
    } else {
        Bar::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars(message: &str) -> Vec<(usize, Bar)> {
        parse(message).unwrap().bars
    }

    #[test]
    fn a_verdict_is_read_up_to_its_words_on_preemption() {
        let message = "0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 2 Insufficient memory. preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod.";
        assert_eq!(
            parse(message).unwrap(),
            Unfit {
                nodes: 3,
                bars: vec![
                    (1, Bar::Taint("node-role.kubernetes.io/control-plane".into())),
                    (2, Bar::Insufficient("memory".into()))
                ]
            }
        );
    }

    #[test]
    fn the_wording_of_each_time_is_known() {
        assert_eq!(
            bars(
                "0/4 nodes are available: 1 node(s) had taint {node.kubernetes.io/unreachable: }, that the pod didn't tolerate, 3 Insufficient cpu."
            ),
            [(1, Bar::Taint("node.kubernetes.io/unreachable".into())), (3, Bar::Insufficient("cpu".into()))]
        );
        assert_eq!(
            bars("0/2 nodes are available: 2 node(s) had untolerated taint(s)."),
            [(2, Bar::Taint(String::new()))]
        );
        assert_eq!(
            bars("0/2 nodes are available: 2 node(s) had taints that the pod didn't tolerate."),
            [(2, Bar::Taint(String::new()))]
        );
        for words in [
            "node(s) didn't match node selector",
            "node(s) didn't match Pod's node affinity",
            "node(s) didn't match Pod's node affinity/selector",
        ] {
            assert_eq!(
                bars(&format!("0/5 nodes are available: 5 {words}.")),
                [(5, Bar::Selector)],
                "{words}"
            );
        }
        assert_eq!(
            bars(
                "0/2 nodes are available: 2 node(s) didn't match pod affinity/anti-affinity, 2 node(s) didn't match pod anti-affinity rules."
            ),
            [(2, Bar::Affinity), (2, Bar::AntiAffinity)]
        );
        assert_eq!(
            bars("0/2 nodes are available: 1 Too many pods, 1 node(s) were unschedulable."),
            [(1, Bar::TooManyPods), (1, Bar::Cordoned)]
        );
        assert_eq!(
            bars(
                "0/46 nodes are available: 1 Too many pods, 45 node(s) didn't satisfy plugin(s) [NodeAffinity]. preemption: 0/46 nodes are available: 1 No preemption victims found for incoming pod, 45 Preemption is not helpful for scheduling."
            ),
            [(1, Bar::TooManyPods), (45, Bar::Selector)]
        );
        assert_eq!(
            bars(
                "0/4 nodes are available: 1 Insufficient cpu, 3 node(s) didn't satisfy plugin(s) [NodeAffinity VolumeBinding]."
            ),
            [(1, Bar::Insufficient("cpu".into())), (3, Bar::VolumePlace)]
        );
        assert_eq!(
            bars("0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports."),
            [(1, Bar::HostPort)]
        );
        assert_eq!(
            bars(
                "0/9 nodes are available: 9 Insufficient nvidia.com/gpu. no new claims to deallocate, preemption: 0/9 nodes are available: 9 x."
            ),
            [(9, Bar::Insufficient("nvidia.com/gpu".into()))]
        );
    }

    #[test]
    fn what_concerns_the_pod_and_not_a_node_counts_for_all_nodes() {
        assert_eq!(
            bars(
                "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
            ),
            [(3, Bar::Volume)]
        );
        assert_eq!(
            bars("0/2 nodes are available: 2 node(s) exceed max volume count."),
            [(2, Bar::Insufficient(ATTACHABLE.into()))]
        );
        assert_eq!(bars("persistentvolumeclaim \"data\" not found"), [(0, Bar::Volume)]);
        assert_eq!(parse("no nodes available to schedule pods").unwrap().nodes, 0);
        assert_eq!(
            parse(
                "Failed to schedule pod, incompatible with nodepool \"default\", daemonset overhead={\"cpu\":\"150m\",\"pods\":\"4\"}, no instance type satisfied resources"
            ),
            None
        );
        assert_eq!(parse("skip schedule deleting pod: shop/web"), None);
    }

    #[test]
    fn no_text_breaks_the_reader() {
        for text in [
            "",
            "0/ nodes are available:",
            "0/x nodes are available: 1",
            "0/3 nodes are available:",
            "0/3 nodes are available: é, 1 é. é",
            "0/1 nodes are available: 1 node(s) had untolerated taint {",
        ] {
            let _ = parse(text);
        }
    }
}
