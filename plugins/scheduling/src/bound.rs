//! What the workload itself demands of a node: labels, other pods near or far.

use std::cmp::Reverse;

use kwhy_sdk::{Diagnosis, Evidence, Remedy, clock, hours};

use crate::{code, finding::Case, relabelled::Lost, wish::Unmet};

/// Labels that a kubelet sets by what its machine is.
const IMMUTABLE: [&str; 3] = ["kubernetes.io/arch", "kubernetes.io/os", "kubernetes.io/hostname"];

impl Case<'_> {
    pub(crate) fn nowhere(&self) -> Diagnosis {
        let demands = self.wish.demands();
        let unmet = self.wish.unmet(&self.places);
        let change = self.change(&["nodeSelector", "affinity"]);
        // Of a pod that nobody has shown only the scheduler knows what it demands.
        let unknown = demands.is_empty();
        let mut text = if unknown {
            format!("The pods of {} have a node selector or node affinity; ", self.named())
        } else {
            format!("The pods of {} demand nodes with {demands}; ", self.named())
        };
        text.push_str(&match (self.places.len(), unmet.is_empty()) {
            (0, _) => "no node meets that.".to_owned(),
            (n, true) if n > 1 => format!("none of the {n} nodes meets all of that at once."),
            (n, _) => format!("none of the {n} nodes meets that."),
        });
        for instead in unmet.iter().filter_map(Unmet::instead) {
            text.push_str(&format!(" Instead {instead}."));
        }
        let left = self.left();
        if let Some((node, at, _)) = &left {
            text.push_str(&format!(
                " Its pods ran on {}, which left the cluster at {}.",
                node.name,
                clock(*at)
            ));
        }
        let lost = self.lost(&unmet);
        text.extend(lost.iter().map(Lost::told));
        if let Some((signal, what, _)) = &change {
            text.push_str(&format!(" So it is since the change at {}: {what}.", clock(signal.at)));
        }
        let mut d = self.about(
            code::SELECTOR,
            95,
            if unknown {
                format!("No node meets the node selector or affinity of {}", self.workload.path())
            } else {
                format!("No node has the labels that {} selects: {demands}", self.workload.path())
            },
            text,
        );
        if let Some((signal, what, _)) = &change {
            d.evidence
                .push(Evidence::signal(signal, 60, "changed before the pods began to wait").citing(what));
        }
        if !unknown {
            d.evidence.push(Evidence::object(
                self.first(),
                format!("demands {demands}"),
                50,
                "its selector and affinity",
            ));
        }
        d.evidence.extend(
            left.iter().map(|(_, _, gone)| Evidence::signal(gone, 40, "the node that its pods ran on left")),
        );
        d.evidence.extend(
            lost.iter().map(|lost| Evidence::signal(&lost.change, 70, "a node lost what is selected")),
        );
        for place in self.places.iter().filter(|_| lost.is_none()) {
            let relabelled = self.world.changes(&place.id, "self", self.since.saturating_sub(hours(2)), 5);
            d.evidence
                .extend(relabelled.first().map(|c| Evidence::signal(c, 10, "this node was changed before")));
        }
        d.remedies.extend(match &lost {
            Some(lost) => Some(lost.remedy()),
            None => unmet.iter().find_map(|u| self.correct(u)),
        });
        d.remedies.push(
            Remedy::new(
                "compare the labels of the nodes with what it selects, and correct the one that is wrong",
            )
            .command("kubectl get nodes --show-labels")
            .command(self.kubectl("edit", "")),
        );
        if let Some((key, value)) = unmet.iter().find_map(|u| Some((&u.key, u.wanted.first()?)))
            && !IMMUTABLE.contains(&key.as_str())
            && lost.is_none()
        {
            // What came in the place of a node that left is younger than the others.
            let open = self.places.iter().filter(|p| p.open);
            let node = match &left {
                Some(_) => open.max_by_key(|p| (self.made(&p.id), Reverse(&p.id.name))),
                None => open.min_by_key(|p| &p.id.name),
            };
            let node = node.map_or("<node>", |p| p.id.name.as_str());
            d.remedies.push(
                Remedy::new("or label the node that is meant")
                    .command(format!("kubectl label node {node} {key}={value}")),
            );
        }
        d.remedies.extend(self.undo(change.is_some()));
        d
    }

    /// What to do about one condition, where the nodes have something in its place.
    fn correct(&self, unmet: &Unmet) -> Option<Remedy> {
        let (key, values) = unmet.instead.as_ref()?;
        let (node, has) = unmet.node.as_ref()?;
        if key == "kubernetes.io/arch" {
            return Some(Remedy::new(format!(
                "build its image for {has} too and select {key}={has}, or add a node of architecture {}",
                unmet.wanted.join(" or ")
            )));
        }
        if *key == unmet.key {
            let wanted = unmet.wanted.join(", ");
            return Some(Remedy::new(format!(
                "select a value that nodes have ({key}={}) or give a node {key}={wanted}; node {node} has {has}",
                values.join(", ")
            )));
        }
        Some(
            Remedy::new(format!(
                "the nodes write {key} where it selects {}: node {node} has {key}={has}; correct the selector",
                unmet.key
            ))
            .command(self.kubectl("edit", "")),
        )
    }

    pub(crate) fn neighbours(&self) -> Diagnosis {
        let replicas = self.world.read(&self.workload, "/spec/replicas").unwrap_or_default().number("");
        let change = self.change(&["affinity", "/spec/replicas"]);
        let nodes = self.meant().len();
        let mut d = self.about(
            code::SELECTOR,
            85,
            format!("The rules of {} about other pods leave no node", self.workload.path()),
            format!(
                "Each of the {nodes} nodes that a pod of {} may go to holds a pod that must not be near, or lacks one that must be{}.",
                self.named(),
                if replicas > 0 { format!("; {replicas} replicas are wanted") } else { String::new() }
            ),
        );
        if let Some((signal, what, _)) = &change {
            d.evidence.push(Evidence::signal(signal, 40, "changed before").citing(what));
        }
        d.remedies = vec![
            Remedy::new("run no more replicas than there are nodes for them, or make the rule a preference (preferredDuringScheduling…)")
                .command(self.kubectl("get", " -o jsonpath='{.spec.template.spec.affinity}'"))
                .command(self.kubectl("edit", ""))
                .caution("with a preference two of them can end up on one node and fail with it"),
        ];
        d.remedies.extend(self.undo(change.is_some()));
        d
    }
}
