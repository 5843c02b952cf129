//! Volumes that can be used on some nodes only: a disk of one zone, a directory of one node.

use kwhy_sdk::{Diagnosis, Evidence, Json, ObjectRef, Remedy, Step, World};

use crate::{
    code,
    finding::Case,
    wish::{meets, words},
};

/// Labels by which volumes said their zone before they had a node affinity.
const OLD: [&str; 2] = ["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"];

/// A volume that a pod has claimed, with where it can be used.
#[derive(Debug, Clone)]
pub(crate) struct Bound {
    pub(crate) claim: ObjectRef,
    pub(crate) volume: ObjectRef,
    terms: Vec<Json>,
}

impl Bound {
    /// Those of a pod's volumes that are bound to some nodes.
    pub(crate) fn all(world: &World<'_>, spec: &Json, namespace: &str) -> Vec<Self> {
        let names = spec.list("/volumes").into_iter();
        let names = names.map(|v| v.text("/persistentVolumeClaim/claimName").to_owned());
        let claims =
            names.filter(|n| !n.is_empty()).map(|n| ObjectRef::new("PersistentVolumeClaim", namespace, &n));
        claims.filter_map(|claim| Self::of(world, claim)).collect()
    }

    fn of(world: &World<'_>, claim: ObjectRef) -> Option<Self> {
        let name = world.read(&claim, "/spec/volumeName")?;
        let volume = ObjectRef::new("PersistentVolume", "", name.text(""));
        let required = world.read(&volume, "/spec/nodeAffinity/required").unwrap_or_default();
        let mut terms = required.list("/nodeSelectorTerms");
        if terms.is_empty() {
            let labels = world.read(&volume, "/metadata/labels").unwrap_or_default().map("");
            let zones = labels.iter().filter(|(key, _)| OLD.contains(&key.as_str()));
            terms.extend(zones.map(|(key, zones)| {
                let zones: Vec<&str> = zones.split("__").collect();
                let condition = serde_json::json!({"key": key, "operator": "In", "values": zones});
                Json::new(serde_json::json!({"matchExpressions": [condition]}))
            }));
        }
        (!terms.is_empty()).then_some(Self { claim, volume, terms })
    }

    pub(crate) fn reaches(&self, name: &str, labels: &[(String, String)]) -> bool {
        self.terms.iter().any(|term| meets(term, name, labels))
    }

    /// `topology.kubernetes.io/zone In (eu-1c)`.
    fn place(&self) -> String {
        self.terms.iter().map(words).collect::<Vec<_>>().join(" or ")
    }

    /// The one node that it lies on.
    fn host(&self) -> Option<String> {
        let [term] = self.terms.as_slice() else { return None };
        let all = [term.list("/matchExpressions"), term.list("/matchFields")].concat();
        let by_name = |e: &&Json| matches!(e.text("/key"), "kubernetes.io/hostname" | "metadata.name");
        let mut values = all.iter().find(by_name)?.texts("/values");
        (values.len() == 1).then(|| values.remove(0))
    }
}

impl Case<'_> {
    pub(crate) fn volume_elsewhere(&self) -> Diagnosis {
        let far: Vec<&Bound> = self
            .wish
            .volumes
            .iter()
            .filter(|v| !self.places.iter().any(|p| p.selected && v.reaches(&p.id.name, &p.labels)))
            .collect();
        let mut d = self.about(
            code::SELECTOR,
            if far.is_empty() { 60 } else { 75 },
            format!("The volume of {} lies where its pods cannot go", self.workload.path()),
            "The volume can be used on some nodes only (a disk of one zone or node), and those do not take the pod.".to_owned(),
        );
        let Some(first) = far.first() else {
            d.remedies.push(look());
            return d;
        };
        d.explanation = format!("A pod of {} can only run where its volumes are.", self.named());
        for volume in &far {
            let (name, place) = (&volume.volume.name, volume.place());
            let exists = self.places.iter().any(|p| volume.reaches(&p.id.name, &p.labels));
            let none = if exists { "no node there is selected by the pod" } else { "no node is there" };
            d.explanation.push_str(&format!(
                " Volume {name} of claim {} can be used where {place}: {none}.",
                volume.claim.name
            ));
            d.evidence.push(Evidence::object(&volume.volume, place, 50, "where it can be used"));
        }
        d.path = vec![
            Step::new(&first.volume, "", "can be used on some nodes only"),
            Step::new(&first.claim, "used-by", ""),
            Step::new(&self.workload, "", ""),
        ];
        let claim = &first.claim;
        match first.host() {
            Some(host) => {
                d.remedies.push(Remedy::new(format!(
                    "bring node {host} back under that name: the data lies on it"
                )));
                d.remedies.push(
                    Remedy::new(format!(
                        "or, if {host} is lost, let go of the volume; the pod gets a new one, empty"
                    ))
                    .command(format!("kubectl -n {} delete pvc {} --wait=false", claim.namespace, claim.name))
                    .command(format!("kubectl -n {} delete pod {}", self.told.namespace, self.told.name))
                    .caution("what is on the volume is lost, unless there is a copy or a replica of it"),
                );
            }
            None => {
                d.remedies.push(
                    Remedy::new(format!("add a node where {}", first.place()))
                        .command("kubectl get nodes -L topology.kubernetes.io/zone"),
                );
                d.remedies.push(
                    Remedy::new("or move the data: a snapshot of the volume, and a claim made from it in a zone that has nodes")
                        .command(format!("kubectl -n {} get pvc {} -o yaml", claim.namespace, claim.name)),
                );
            }
        }
        d.remedies.push(look());
        d
    }
}

fn look() -> Remedy {
    Remedy::new("see where each volume can be used")
        .command("kubectl get pv -o custom-columns=NAME:.metadata.name,CLAIM:.spec.claimRef.name,NODES:.spec.nodeAffinity.required.nodeSelectorTerms[*].matchExpressions[*].values")
}
