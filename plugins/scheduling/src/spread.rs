//! The topology spread of a workload: which domain lacks pods, and why its nodes take none.

use kwhy_sdk::{Diagnosis, Evidence, Json, Remedy};

use crate::{code, finding::Case, place::Place};

/// A domain of a constraint.
struct Domain<'a> {
    name: &'a str,
    /// Pods of the workload in it.
    pods: usize,
    nodes: Vec<&'a Place>,
}

impl Case<'_> {
    pub(crate) fn spread(&self) -> Diagnosis {
        let constraints = self.world.read(&self.told, "/spec/topologySpreadConstraints").unwrap_or_default();
        let mut constraints = constraints.list("");
        constraints.retain(|c| c.text("/whenUnsatisfiable") != "ScheduleAnyway");
        let change = self.change(&["topologySpreadConstraints", "/spec/replicas"]);
        let mut d = self.about(
            code::SPREAD,
            85,
            format!("The topology spread of {} leaves no node", self.workload.path()),
            format!("On every node that has room one more pod of {} would make its spread more uneven than maxSkew allows.", self.named()),
        );
        if let Some((signal, what, _)) = &change {
            d.evidence.push(Evidence::signal(signal, 40, "changed before").citing(what));
        }
        let mut tainted = false;
        for constraint in &constraints {
            tainted |= self.lacking(constraint, &mut d);
        }
        if tainted {
            d.remedies.push(
                Remedy::new("let the spread leave out nodes whose taints the pods do not tolerate: nodeTaintsPolicy: Honor in the constraint (Kubernetes 1.26 and later)")
                    .command(self.kubectl("edit", "")),
            );
        }
        d.remedies.push(
            Remedy::new("give the domain that lacks pods a node that can take them, or let the rule give way (whenUnsatisfiable: ScheduleAnyway)")
                .command(self.kubectl("get", " -o jsonpath='{.spec.template.spec.topologySpreadConstraints}'"))
                .command(self.kubectl("edit", "")),
        );
        d.remedies.extend(self.undo(change.is_some()));
        d
    }

    /// Says how the pods stand in the domains of one constraint; whether taints keep them out of the emptiest.
    fn lacking(&self, constraint: &Json, d: &mut Diagnosis) -> bool {
        let key = constraint.text("/topologyKey");
        let domains = self.domains(key);
        let Some(least) = domains.iter().map(|d| d.pods).min() else {
            if !self.places.is_empty() {
                d.explanation.push_str(&format!(" No node has the label {key} by which it is spread."));
                d.evidence.push(Evidence::object(
                    &self.told,
                    format!("topologyKey: {key}"),
                    50,
                    "no node has that label",
                ));
            }
            return false;
        };
        let counts: Vec<String> =
            domains.iter().take(8).map(|d| format!("{} has {}", d.name, d.pods)).collect();
        let skew = constraint.number("/maxSkew").max(1);
        d.explanation.push_str(&format!(" By {key} its pods may differ by {skew}: {}.", counts.join(", ")));
        let mut tainted = false;
        for domain in domains.iter().filter(|d| d.pods == least).take(3) {
            let bars: Vec<(&&Place, String)> =
                domain.nodes.iter().filter_map(|p| Some((p, p.bar(&self.wish)?))).collect();
            if bars.len() < domain.nodes.len() {
                continue;
            }
            tainted |= domain.nodes.iter().all(|p| !p.taints.is_empty());
            for (place, bar) in bars.iter().take(3) {
                d.explanation.push_str(&format!(" In {} node {} {bar}.", domain.name, place.id.name));
                d.evidence.push(Evidence::object(
                    &place.id,
                    format!("{} {bar}", place.id.name),
                    50,
                    format!("the place of the next pod by {key}"),
                ));
            }
        }
        tainted
    }

    /// The domains of the nodes that the pod selects, as the scheduler counts them, sorted.
    fn domains(&self, key: &str) -> Vec<Domain<'_>> {
        let mut domains: Vec<Domain<'_>> = Vec::new();
        for place in self.places.iter().filter(|p| p.selected) {
            let Some(name) = place.label(key) else { continue };
            let at = domains.partition_point(|d| d.name < name);
            match domains.get_mut(at).filter(|d| d.name == name) {
                Some(known) => known.nodes.push(place),
                None => domains.insert(at, Domain { name, pods: 0, nodes: vec![place] }),
            }
        }
        for pod in self.world.pods(&self.workload) {
            let node = self.world.read(&pod, "/spec/nodeName").unwrap_or_default();
            if self.world.read(&pod, "/metadata/deletionTimestamp").is_some_and(|t| t.has("")) {
                continue;
            }
            let home = domains.iter_mut().find(|d| d.nodes.iter().any(|p| p.id.name == node.text("")));
            if let Some(domain) = home {
                domain.pods += 1;
            }
        }
        domains
    }
}
