//! Host ports: each can be used once a node.

use kwhy_sdk::{Diagnosis, Evidence, Json, ObjectRef, Remedy};

use crate::{code, finding::Case};

/// The host ports of a pod's spec.
fn ports(containers: &Json) -> Vec<i64> {
    let all = containers.list("").into_iter().flat_map(|c| c.list("/ports"));
    let mut ports: Vec<i64> = all.map(|p| p.number("/hostPort")).filter(|p| *p > 0).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

impl Case<'_> {
    pub(crate) fn host_port(&self) -> Diagnosis {
        let wanted = ports(&self.world.read(&self.told, "/spec/containers").unwrap_or_default());
        let numbers: Vec<String> = wanted.iter().map(ToString::to_string).collect();
        let list = match numbers.as_slice() {
            [] => "a host port".to_owned(),
            [one] => format!("host port {one}"),
            all => format!("host ports {}", all.join(", ")),
        };
        let holders = self.holders(&wanted);
        let own = holders.iter().any(|(_, workload)| workload.is(&self.workload));
        let mut d = self.about(
            code::HOST_PORT,
            92,
            format!("{} wants {list}, taken on every node that it may go to", self.workload.path()),
            format!("A host port can be used once a node, and each node that may take a pod of {} has one that holds it already", self.named()),
        );
        let others: Vec<String> = {
            let mut others: Vec<String> = holders
                .iter()
                .filter(|(_, workload)| !workload.is(&self.workload))
                .map(|(_, workload)| format!("{} {}", workload.kind, workload.path()))
                .collect();
            others.sort();
            others.dedup();
            others
        };
        d.explanation.push_str(&match (own, others.as_slice()) {
            (true, []) => ": its own.".to_owned(),
            (false, []) => ".".to_owned(),
            (true, others) => format!(": its own and those of {}.", others.join(", ")),
            (false, others) => format!(": those of {}.", others.join(", ")),
        });
        let surge = own && self.surges();
        if surge {
            d.explanation.push_str(" Its rolling update starts the new pod before it ends an old one (maxSurge), so the new one waits for a port that the old one keeps.");
        }
        if !numbers.is_empty() {
            let text = format!("hostPort {}", numbers.join(", "));
            d.evidence.push(Evidence::object(&self.told, text, 40, "what it wants"));
        }
        for (pod, _) in holders.iter().take(4) {
            d.evidence.push(Evidence::object(pod, "holds the port", 40, "on a node that it may go to"));
        }
        if surge {
            d.remedies.push(
                Remedy::new(
                    "let the update end an old pod before it starts a new one: maxSurge 0, maxUnavailable 1",
                )
                .command(self.kubectl(
                    "patch",
                    r#" -p '{"spec":{"strategy":{"rollingUpdate":{"maxSurge":0,"maxUnavailable":1}}}}'"#,
                ))
                .caution("one pod less serves while the update goes on"),
            );
        } else if own {
            d.remedies.push(
                Remedy::new(format!(
                    "run no more replicas than the {} nodes that may take them",
                    self.meant().len()
                ))
                .command(self.kubectl("scale", &format!(" --replicas={}", self.meant().len()))),
            );
        }
        d.remedies.push(
            Remedy::new("use a Service in place of the host port, or another port")
                .command(self.kubectl("edit", "")),
        );
        d
    }

    fn surges(&self) -> bool {
        let strategy = self.world.read(&self.workload, "/spec/strategy").unwrap_or_default();
        let surge = strategy.at("/rollingUpdate/maxSurge").shown();
        self.workload.kind == "Deployment"
            && strategy.text("/type") != "Recreate"
            && !matches!(surge.as_str(), "0" | "0%")
            && self.world.related(&self.workload, "owned").len() > 1
    }

    /// Pods that hold one of the ports on a node that it may go to, each with its workload.
    fn holders(&self, wanted: &[i64]) -> Vec<(ObjectRef, ObjectRef)> {
        let pods = self.meant().into_iter().flat_map(|place| self.world.related(&place.id, "pod"));
        let holds = |pod: &ObjectRef| {
            let held = ports(&self.world.read(pod, "/spec/containers").unwrap_or_default());
            held.iter().any(|port| wanted.contains(port))
        };
        pods.filter(holds).map(|pod| (pod.clone(), self.world.workload(&pod))).take(20).collect()
    }
}
