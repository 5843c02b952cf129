//! Nodes that are closed: to this pod by a taint, or to all new ones by a cordon.

use kwhy_sdk::{Diagnosis, Evidence, ObjectRef, Remedy, Step, hours};

use crate::{code, finding::Case};

impl Case<'_> {
    pub(crate) fn tainted(&self, taints: &[(String, String)]) -> Diagnosis {
        let list: Vec<String> =
            taints.iter().map(|(k, v)| if v.is_empty() { k.clone() } else { format!("{k}={v}") }).collect();
        let words =
            if list.is_empty() { "taints".to_owned() } else { format!("the taint {}", list.join(", ")) };
        let change = self.change(&["tolerations", "nodeSelector", "affinity"]);
        let mut d = self.about(
            code::TAINT,
            94,
            format!("{} does not tolerate {words} of the nodes it could go to", self.workload.path()),
            format!(
                "Every node that the pods of {} may select bears {words}, and they have no toleration for it.",
                self.named()
            ),
        );
        for place in self.places.iter().filter(|p| p.selected && !p.taints.is_empty()).take(4) {
            let text: Vec<String> = place.taints.iter().map(|(k, v)| format!("{k}={v}")).collect();
            d.evidence.push(Evidence::object(
                &place.id,
                format!("taint {}", text.join(", ")),
                50,
                "not tolerated",
            ));
            let new = self.world.changes(&place.id, "self", self.since.saturating_sub(hours(2)), 5);
            if let Some(tainting) =
                new.iter().find(|c| c.fields.iter().any(|f| f.name.contains("/spec/taints")))
            {
                d.evidence.push(Evidence::signal(tainting, 40, "tainted shortly before"));
            }
        }
        if let Some((signal, what, _)) = &change {
            d.evidence.push(Evidence::signal(signal, 40, "changed before").citing(what));
        }
        let (key, value) = taints.first().cloned().unwrap_or_else(|| ("<key>".to_owned(), String::new()));
        let node = self.places.iter().find(|p| p.selected).map_or("<node>", |p| p.id.name.as_str());
        let operator = if value.is_empty() {
            r#""operator":"Exists""#.to_owned()
        } else {
            format!(r#""operator":"Equal","value":"{value}""#)
        };
        let patch = format!(
            r#"{{"spec":{{"template":{{"spec":{{"tolerations":[{{"key":"{key}",{operator}}}]}}}}}}}}"#
        );
        let tolerate = Remedy::new(format!("if its pods belong on those nodes, let them tolerate {key}"));
        d.remedies.push(if self.workload.kind == "Pod" {
            tolerate
        } else {
            tolerate
                .command(self.kubectl("patch", &format!(" --type merge -p '{patch}'")))
                .caution("a merge patch replaces the tolerations that are there")
        });
        d.remedies.push(
            Remedy::new("or, if the taint is not meant any more, take it off the node")
                .command(format!("kubectl taint nodes {node} {key}-"))
                .caution("every other pod may go there then, too"),
        );
        d
    }

    pub(crate) fn cordoned(&self, nodes: &[ObjectRef]) -> Diagnosis {
        let list = named(nodes, "a cordoned node");
        let (is, has) = if nodes.len() > 1 { ("are", "have") } else { ("is", "has") };
        let mut d = self.about(
            code::CORDONED,
            90,
            format!("{} waits for {list}, which {is} cordoned", self.workload.path()),
            format!("{list} {has} room for the pod and may take it, but {is} closed for new pods (cordoned); no other node takes it."),
        );
        self.at_node(&mut d, nodes, "cordoned");
        for node in nodes.iter().take(4) {
            d.evidence.push(Evidence::object(node, "unschedulable: true", 60, "closed for new pods"));
            let changes = self.world.changes(node, "self", self.since.saturating_sub(hours(2)), 5);
            let cordon = changes.iter().find(|c| c.fields.iter().any(|f| f.name == "/spec/unschedulable"));
            let told = self.world.about(
                node,
                "self",
                "event",
                "NodeNotSchedulable",
                self.since.saturating_sub(hours(24)),
                1,
            );
            d.evidence.extend(cordon.or(told.first()).map(|c| Evidence::signal(c, 40, "cordoned then")));
        }
        let names: Vec<&str> = nodes.iter().map(|n| n.name.as_str()).collect();
        let names = if names.is_empty() { "<node>".to_owned() } else { names.join(" ") };
        d.remedies = vec![
            Remedy::new("when the work on it is done, open the node again")
                .command(format!("kubectl uncordon {names}"))
                .caution("somebody may have closed it for a reason: ask first"),
        ];
        d
    }

    /// Nodes that were tainted shortly before.
    pub(crate) fn closed(&self, (key, value): &(String, String), nodes: &[ObjectRef]) -> Diagnosis {
        let list = named(nodes, "a tainted node");
        let taint = if value.is_empty() { key.clone() } else { format!("{key}={value}") };
        let (was, has) = if nodes.len() > 1 { ("were", "have") } else { ("was", "has") };
        let mut d = self.about(
            code::TAINT,
            88,
            format!("{} waits for {list}, which {was} tainted {taint}", self.workload.path()),
            format!("{list} {has} room for the pod and may take it, but {was} given the taint {taint} shortly before, which it does not tolerate; no other node takes it."),
        );
        self.at_node(&mut d, nodes, "tainted");
        for node in nodes.iter().take(4) {
            d.evidence.push(Evidence::object(node, format!("taint {taint}"), 50, "not tolerated"));
            let changes = self.world.changes(node, "self", self.since.saturating_sub(hours(2)), 20);
            let tainting =
                changes.iter().find(|c| c.fields.iter().any(|f| f.name.starts_with("/spec/taints")));
            d.evidence.extend(tainting.map(|c| Evidence::signal(c, 50, "tainted then")));
        }
        let names: Vec<&str> = nodes.iter().map(|n| n.name.as_str()).collect();
        d.remedies = vec![
            Remedy::new("when the work on it is done, take the taint off again")
                .command(format!("kubectl taint nodes {} {key}-", names.join(" ")))
                .caution("somebody may have set it for a reason: ask first"),
        ];
        d
    }

    /// Nodes that bear a taint until an agent or controller has done its part.
    pub(crate) fn unfinished(&self, key: &str, nodes: &[ObjectRef]) -> Diagnosis {
        let list = named(nodes, "the nodes");
        let (has, bears, them) = match nodes.len() {
            1 => ("has", "bears", "it"),
            _ => ("have", "bear", "them"),
        };
        let (who, remedy) = finisher(key);
        let mut d = self.about(
            code::TAINT,
            85,
            format!("{} waits for {list}, which still {bears} the taint {key}", self.workload.path()),
            format!("{list} {has} room for the pod, but {who} has not taken the taint {key} off {them} yet; until then only pods that tolerate it are placed there."),
        );
        self.at_node(&mut d, nodes, "not fit for use yet");
        for node in nodes.iter().take(4) {
            d.evidence.push(Evidence::object(node, format!("taint {key}"), 60, "not taken off yet"));
        }
        d.remedies =
            vec![remedy.caution(
                "a toleration in the workload would only place it on a node that does not work yet",
            )];
        d
    }

    /// Puts the diagnosis on the first of the nodes: what waits for the same nodes is told of together.
    fn at_node(&self, d: &mut Diagnosis, nodes: &[ObjectRef], state: &str) {
        if let Some(node) = nodes.first() {
            d.root = node.clone();
            d.path = vec![Step::new(node, "", state), Step::new(&self.workload, "", "")];
        }
    }
}

fn named(nodes: &[ObjectRef], none: &str) -> String {
    let names: Vec<&str> = nodes.iter().map(|n| n.name.as_str()).collect();
    if names.is_empty() { none.to_owned() } else { names.join(", ") }
}

/// Who takes a taint off a new node, and how to see why it has not.
fn finisher(key: &str) -> (String, Remedy) {
    let pods = |words: &str, filter: &str| {
        Remedy::new(words).command(format!("kubectl get pods -A -o wide | grep -E '{filter}'"))
    };
    match key {
        "node.cloudprovider.kubernetes.io/uninitialized" => (
            "the cloud controller manager".to_owned(),
            pods(
                "see whether the cloud controller manager runs and knows the nodes: the kubelet was started with --cloud-provider=external and waits for it",
                "cloud-controller|ccm",
            ),
        ),
        "node.kubernetes.io/network-unavailable" => (
            "the network's controller".to_owned(),
            pods(
                "see whether the pod network's agent runs on those nodes",
                "calico|flannel|cilium|weave|canal|kube-router",
            ),
        ),
        "karpenter.sh/unregistered" => (
            "Karpenter".to_owned(),
            Remedy::new("see why Karpenter has not registered the node")
                .command("kubectl get nodeclaims -o wide"),
        ),
        _ => {
            let agent = key.split('/').next().unwrap_or(key).trim_start_matches("node.");
            let word = agent.split('.').next().unwrap_or(agent);
            (format!("the agent of {agent}"), pods("see why the agent is not ready on those nodes", word))
        }
    }
}

/// One diagnosis of the same cause at the same root for several workloads, in their order.
pub(crate) fn together(all: Vec<(ObjectRef, Diagnosis)>) -> Diagnosis {
    let count = all.len();
    let names: Vec<String> = all.iter().map(|(w, _)| format!("{} {}", w.kind, w.path())).collect();
    let (worst, surest) =
        (all.iter().any(|(_, d)| d.severity == "critical"), all.iter().map(|(_, d)| d.confidence).max());
    let mut all = all.into_iter();
    let Some((first, mut d)) = all.next() else { return Diagnosis::default() };
    d.title =
        d.title.replacen(&format!("{} waits for", first.path()), &format!("{count} workloads wait for"), 1);
    d.explanation.push_str(&format!(" So do pods of {}.", names.get(1..).unwrap_or_default().join(", ")));
    if worst {
        d.severity = "critical".into();
    }
    d.confidence = surest.unwrap_or(d.confidence);
    for (_, other) in all {
        d.evidence.extend(other.evidence.into_iter().take(1));
        d.explains.extend(other.explains);
        d.path.extend(other.path);
    }
    d
}
