//! A cause in words: title, evidence, what it explains and how to mend it.

use kwhy_sdk::{Diagnosis, Evidence, Explains, ObjectRef, Remedy, Signal, Step, World, clock, hours};

use crate::{
    cause::Cause,
    code,
    place::{Place, Wish},
    quantity,
};

/// Alerts of a workload whose pods wait.
const WAITING: [&str; 10] = [
    "KubePodNotReady",
    "KubeContainerWaiting",
    "KubeDeployment*",
    "KubeStatefulSet*",
    "KubeDaemonSet*",
    "KubeJobNotCompleted",
    "KubeHpaReplicasMismatch",
    "KubePdbNotEnoughHealthyPods",
    "TargetDown",
    "KubeAggregatedAPI*",
];

/// A workload with pods that nobody takes.
pub(crate) struct Case<'a> {
    pub(crate) world: &'a World<'a>,
    pub(crate) workload: ObjectRef,
    /// The pods that wait, the oldest first.
    pub(crate) pods: Vec<ObjectRef>,
    /// The scheduler's words on the first, and the event that brought them.
    pub(crate) message: String,
    pub(crate) event: Option<Signal>,
    pub(crate) since: u64,
    pub(crate) wish: Wish,
    pub(crate) places: Vec<Place>,
}

impl Case<'_> {
    fn first(&self) -> &ObjectRef {
        self.pods.first().unwrap_or(&self.workload)
    }

    fn named(&self) -> String {
        format!("{} {}", self.workload.kind, self.workload.path())
    }

    /// What was changed in the workload in the two hours before the pods began to wait, in fields that matter.
    fn change(&self, matter: &[&str]) -> Option<(Signal, String, String)> {
        let from = self.since.saturating_sub(hours(2));
        let all = self.world.changes(&self.workload, "self", from, 20);
        all.into_iter().filter(|c| c.at <= self.since + 60_000).find_map(|change| {
            let field =
                matter.iter().find_map(|m| change.fields.iter().find(|f| f.name.contains(m)))?.clone();
            let side = |mark: &str| {
                let lines = field.value.lines().filter_map(|l| l.strip_prefix(mark));
                lines.collect::<Vec<_>>().join(", ")
            };
            let text = format!("{} {} → {}", dotted(&field.name), or_none(&side("- ")), or_none(&side("+ ")));
            Some((change, text, side("- ")))
        })
    }

    fn meant(&self) -> Vec<&Place> {
        self.places.iter().filter(|p| p.meant()).collect()
    }

    /// `kubectl -n shop … deployment web`, where kubectl can do that to the workload.
    fn kubectl(&self, verb: &str, rest: &str) -> String {
        let kind = self.workload.kind.to_ascii_lowercase();
        format!("kubectl -n {} {verb} {kind} {}{rest}", self.workload.namespace, self.workload.name)
    }

    fn undo(&self, changed: bool) -> Option<Remedy> {
        let rolls = matches!(self.workload.kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet");
        (changed && rolls).then(|| {
            Remedy::new("or take the change back")
                .command(format!(
                    "kubectl -n {} rollout undo {}/{}",
                    self.workload.namespace,
                    self.workload.kind.to_ascii_lowercase(),
                    self.workload.name
                ))
                .caution("where a tool applies the manifests, take it back there, or it will come again")
        })
    }

    /// The finding; none for causes that others tell of.
    pub(crate) fn diagnosis(&self, cause: &Cause) -> Option<Diagnosis> {
        let mut d = match cause {
            Cause::TooLarge(resource) => self.too_large(resource),
            Cause::Full(resource) => self.full(resource),
            Cause::TooManyPods => self.too_many_pods(),
            Cause::Tainted(taints) => self.tainted(taints),
            Cause::Nowhere => self.nowhere(),
            Cause::Neighbours => self.neighbours(),
            Cause::VolumeElsewhere => self.volume_elsewhere(),
            Cause::Spread => self.spread(),
            Cause::HostPort => self.host_port(),
            Cause::Cordoned(nodes) => self.cordoned(nodes),
            Cause::Down(_) | Cause::Pressed(_) | Cause::Claim | Cause::Unknown => return None,
        };
        // Without the nodes only the scheduler's words count.
        if self.places.is_empty() {
            d.confidence = d.confidence.min(75);
        }
        if !self.world.pods(&self.workload).iter().any(|p| ready(self.world, p)) {
            d.severity = "critical".into();
        }
        let mut evidence = match &self.event {
            Some(event) => vec![Evidence::signal(event, 70, "the scheduler's own words")],
            None => vec![Evidence::object(self.first(), &self.message, 70, "the scheduler's own words")],
        };
        evidence.append(&mut d.evidence);
        d.evidence = evidence;
        d.explains = WAITING.map(|name| Explains::alert(name, &self.workload, "workload")).into();
        for pod in &self.pods {
            d.explains.push(Explains::event("FailedScheduling", pod, "self"));
        }
        d.supersedes = code::ALL.iter().filter(|c| **c != d.code).map(|c| (*c).to_owned()).collect();
        if d.path.is_empty() {
            d.path.push(Step::new(&self.workload, "", ""));
        }
        d.path.extend(self.pods.iter().take(3).map(|p| Step::new(p, "owned", "no node takes it")));
        // Not how long until now: that would be another text at every call.
        let since = clock(self.since);
        let who = match self.pods.len() {
            1 => format!("Pod {} waits", self.first().name),
            n => format!("{n} pods wait"),
        };
        d.explanation.push_str(&format!(" {who} for a node since {since}."));
        Some(d)
    }

    fn about(&self, code: &str, confidence: u8, title: String, explanation: String) -> Diagnosis {
        let mut d = Diagnosis::new(code, self.workload.clone());
        (d.confidence, d.title, d.explanation) = (confidence, title, explanation);
        d
    }

    fn too_large(&self, resource: &str) -> Diagnosis {
        let asks = quantity::show(resource, self.wish.request(resource).unwrap_or(0.0));
        let meant = self.meant();
        let largest = meant.iter().filter_map(|p| Some((p.capacity(resource)?, p))).fold(
            None::<(f64, &&Place)>,
            |best, next| match best {
                Some(known) if known.0 >= next.0 => Some(known),
                _ => Some(next),
            },
        );
        let most = largest.map_or(0.0, |(value, _)| value);
        let where_ = largest.map_or(String::new(), |(_, p)| format!(" ({})", p.id.name));
        let shown = quantity::show(resource, most);
        let none = most <= 0.0;
        let title = if none {
            format!("{} asks for {resource}, which no node offers", self.workload.path())
        } else {
            format!("{} asks for {asks} of {resource}; the largest node has {shown}", self.workload.path())
        };
        let change = self
            .change(&[&format!("requests/{}", escaped(resource)), &format!("limits/{}", escaped(resource))]);
        let mut text = format!(
            "A pod of {} requests {asks} of {resource}. {} No node can ever take it, however empty.",
            self.named(),
            if none {
                format!("None of the {} nodes it may go to offers {resource}.", meant.len())
            } else {
                format!("The {} nodes it may go to have at most {shown}{where_}.", meant.len())
            }
        );
        if let Some((signal, what, _)) = &change {
            text.push_str(&format!(" So it is since the change at {}: {what}.", clock(signal.at)));
        }
        let mut d = self.about(code::of(resource), 97, title, text);
        d.path.push(Step::new(&self.workload, "", format!("requests {asks} of {resource}")));
        if let Some((signal, what, _)) = &change {
            d.evidence
                .push(Evidence::signal(signal, 60, "changed before the pods began to wait").citing(what));
        }
        d.evidence.push(Evidence::object(
            self.first(),
            format!("requests {resource}: {asks}"),
            50,
            "what it asks for",
        ));
        for place in meant.iter().take(4) {
            let offers = quantity::show(resource, place.capacity(resource).unwrap_or(0.0));
            d.evidence.push(Evidence::object(
                &place.id,
                format!("allocatable {resource}: {offers}"),
                40,
                "all that the node has",
            ));
        }
        let old = change.as_ref().map(|(_, _, old)| old.as_str()).filter(|o| quantity::parse(o).is_some());
        d.remedies.push(self.lower(resource, old, &shown));
        d.remedies.extend(self.undo(change.is_some()));
        if !none {
            d.remedies.push(Remedy::new(format!(
                "or, if it needs that much, add a larger node (more than {asks} of {resource} free)"
            )));
        }
        d
    }

    fn lower(&self, resource: &str, old: Option<&str>, most: &str) -> Remedy {
        let to = old.unwrap_or("<what it needs>");
        let before = old.map_or(String::new(), |o| format!(" (it was {o})"));
        let remedy =
            Remedy::new(format!("lower the {resource} request to what a node has, at most {most}{before}"));
        if self.workload.kind == "Pod" {
            return remedy.command(format!(
                "kubectl -n {} get pod {} -o yaml",
                self.workload.namespace, self.workload.name
            ));
        }
        let mut rest = format!(" --requests={resource}={to}");
        if self.has_limit(resource) {
            rest.push_str(&format!(" --limits={resource}={to}"));
        }
        remedy.command(self.kubectl("set resources", &rest)).caution(
            "sets it for all containers of the workload: choose one with -c NAME; where a tool applies the manifests, change it there too",
        )
    }

    fn has_limit(&self, resource: &str) -> bool {
        let containers = self.world.read(self.first(), "/spec/containers").unwrap_or_default();
        let pointer = format!("/resources/limits/{}", escaped(resource));
        containers.list("").iter().any(|c| c.has(&pointer))
    }

    fn full(&self, resource: &str) -> Diagnosis {
        let asks = quantity::show(resource, self.wish.request(resource).unwrap_or(0.0));
        let mut free: Vec<(f64, &Place)> =
            self.meant().into_iter().filter_map(|p| Some((p.free(resource)?, p))).collect();
        // Where the objects seen leave room, not all pods were seen: the scheduler knows better.
        let wanted = self.wish.request(resource).unwrap_or(f64::MAX);
        let known = !free.iter().any(|(value, _)| *value >= wanted);
        if !known {
            free.clear();
        }
        let most = free.iter().fold(0.0_f64, |most, (value, _)| most.max(*value));
        let change = self.change(&["requests/", "limits/", "/spec/replicas"]);
        let mut text = format!(
            "The nodes that may take a pod of {} have not enough {resource} left beside what stands there: it asks for {asks}",
            self.named()
        );
        text.push_str(&match free.is_empty() {
            true => ".".to_owned(),
            false => format!(", at most {} is free.", quantity::show(resource, most)),
        });
        if let Some((signal, what, _)) = &change {
            text.push_str(&format!(" Changed before, at {}: {what}.", clock(signal.at)));
        }
        let title = format!("No node has {asks} of {resource} left for {}", self.workload.path());
        let mut d = self.about(code::of(resource), if known { 88 } else { 78 }, title, text);
        d.path.push(Step::new(&self.workload, "", format!("requests {asks} of {resource}")));
        if let Some((signal, what, _)) = &change {
            d.evidence
                .push(Evidence::signal(signal, 40, "changed before the pods began to wait").citing(what));
        }
        for (value, place) in free.iter().take(4) {
            let text = format!("{resource} free: {}", quantity::show(resource, value.max(0.0)));
            d.evidence.push(Evidence::object(&place.id, text, 40, "requests of its pods taken off"));
        }
        d.remedies.push(
            Remedy::new(format!(
                "see who holds the {resource} and give some back: fewer replicas or smaller requests"
            ))
            .command("kubectl describe nodes | grep -A8 'Allocated resources'")
            .command(self.kubectl("get", " -o yaml")),
        );
        let old = change.as_ref().map(|(_, _, old)| old.as_str()).filter(|o| quantity::parse(o).is_some());
        if self.workload.kind != "Pod" {
            d.remedies.push(self.lower(
                resource,
                old.filter(|_| change.as_ref().is_some_and(|(_, w, _)| w.contains("requests"))),
                "what is free",
            ));
        }
        d.remedies.push(Remedy::new(format!("or add a node with more than {asks} of {resource}")));
        d
    }

    fn too_many_pods(&self) -> Diagnosis {
        let mut d = self.about(
            code::TOO_MANY_PODS,
            92,
            format!("The nodes that may take {} hold as many pods as they may", self.workload.path()),
            "The kubelet of each node allows a fixed number of pods (maxPods, 110 by default), and it is reached; CPU and memory do not matter then.".to_owned(),
        );
        for place in self.meant().iter().take(4) {
            let pods = place.capacity("pods").unwrap_or(0.0);
            d.evidence.push(Evidence::object(
                &place.id,
                format!("allocatable pods: {pods}"),
                40,
                "most that it may hold",
            ));
        }
        d.remedies = vec![
            Remedy::new("remove pods that are not needed, or spread them over more nodes").command(
                "kubectl get pods -A -o wide --no-headers | awk '{print $8}' | sort | uniq -c | sort -n",
            ),
            Remedy::new("or raise maxPods in the kubelet's configuration")
                .caution("the node's pod address range must have room for them"),
        ];
        d
    }

    fn tainted(&self, taints: &[(String, String)]) -> Diagnosis {
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

    fn nowhere(&self) -> Diagnosis {
        let demands = self.wish.demands();
        let change = self.change(&["nodeSelector", "affinity"]);
        let mut text = format!("The pods of {} demand nodes with {demands}; ", self.named());
        text.push_str(&match self.places.len() {
            0 => "no node meets that.".to_owned(),
            n => format!("none of the {n} nodes meets that."),
        });
        if let Some((signal, what, _)) = &change {
            text.push_str(&format!(" So it is since the change at {}: {what}.", clock(signal.at)));
        }
        let mut d = self.about(
            code::SELECTOR,
            95,
            format!("No node has what {} selects: {demands}", self.workload.path()),
            text,
        );
        if let Some((signal, what, _)) = &change {
            d.evidence
                .push(Evidence::signal(signal, 60, "changed before the pods began to wait").citing(what));
        }
        d.evidence.push(Evidence::object(
            self.first(),
            format!("demands {demands}"),
            50,
            "its selector and affinity",
        ));
        for place in &self.places {
            let relabelled = self.world.changes(&place.id, "self", self.since.saturating_sub(hours(2)), 5);
            d.evidence
                .extend(relabelled.first().map(|c| Evidence::signal(c, 10, "this node was changed before")));
        }
        let label = demands.split([';', ' ']).next().unwrap_or("").to_owned();
        d.remedies.push(
            Remedy::new(
                "compare the labels of the nodes with what it selects, and correct the one that is wrong",
            )
            .command("kubectl get nodes --show-labels")
            .command(self.kubectl("edit", "")),
        );
        if label.contains('=') {
            d.remedies.push(
                Remedy::new("or label the node that is meant")
                    .command(format!("kubectl label node <node> {label}")),
            );
        }
        d.remedies.extend(self.undo(change.is_some()));
        d
    }

    fn neighbours(&self) -> Diagnosis {
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

    fn volume_elsewhere(&self) -> Diagnosis {
        let volumes = self.world.read(self.first(), "/spec/volumes").unwrap_or_default();
        let claims: Vec<ObjectRef> = volumes
            .list("")
            .iter()
            .map(|v| {
                ObjectRef::new(
                    "PersistentVolumeClaim",
                    &self.workload.namespace,
                    v.text("/persistentVolumeClaim/claimName"),
                )
            })
            .filter(|c| !c.name.is_empty())
            .collect();
        let names: Vec<&str> = claims.iter().map(|c| c.name.as_str()).collect();
        let mut d = self.about(
            code::SELECTOR,
            80,
            format!("The volume of {} lies where its pods cannot go", self.workload.path()),
            format!(
                "The volume of {} can be used on some nodes only (local disk or zone), and those do not take the pod.",
                if names.is_empty() { self.first().name.clone() } else { format!("claim {}", names.join(", ")) }
            ),
        );
        for claim in &claims {
            let volume = self.world.read(claim, "/spec/volumeName").unwrap_or_default();
            let pv = ObjectRef::new("PersistentVolume", "", volume.text(""));
            let affinity = self.world.read(&pv, "/spec/nodeAffinity").unwrap_or_default();
            if affinity.has("") {
                d.evidence.push(Evidence::object(&pv, affinity.shown(), 40, "where it can be used"));
            }
        }
        d.remedies = vec![
            Remedy::new("see where the volume lies and let the pod go there: node back, taint tolerated, room made")
                .command("kubectl get pv -o custom-columns=NAME:.metadata.name,CLAIM:.spec.claimRef.name,NODES:.spec.nodeAffinity.required.nodeSelectorTerms[*].matchExpressions[*].values"),
        ];
        d
    }

    fn spread(&self) -> Diagnosis {
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
        d.remedies = vec![
            Remedy::new("give the domain that lacks pods a node that can take them, or let the rule give way (whenUnsatisfiable: ScheduleAnyway)")
                .command(self.kubectl("get", " -o jsonpath='{.spec.template.spec.topologySpreadConstraints}'"))
                .command(self.kubectl("edit", "")),
        ];
        d
    }

    fn host_port(&self) -> Diagnosis {
        let containers = self.world.read(self.first(), "/spec/containers").unwrap_or_default();
        let ports: Vec<String> = containers
            .list("")
            .iter()
            .flat_map(|c| c.list("/ports"))
            .map(|p| p.number("/hostPort"))
            .filter(|p| *p > 0)
            .map(|p| p.to_string())
            .collect();
        let list = if ports.is_empty() {
            "a host port".to_owned()
        } else {
            format!("host port {}", ports.join(", "))
        };
        let mut d = self.about(
            code::HOST_PORT,
            92,
            format!("{} wants {list}, which is taken on every node", self.workload.path()),
            format!("A host port can be used once a node. Every node that may take a pod of {} has one that holds {list} already.", self.named()),
        );
        d.evidence.push(Evidence::object(
            self.first(),
            format!("hostPort {}", ports.join(", ")),
            40,
            "what it wants",
        ));
        for holder in self.holders(&ports) {
            d.evidence.push(Evidence::object(&holder, "holds the port", 40, "on a node that it may go to"));
        }
        d.remedies = vec![
            Remedy::new("use a Service instead of a host port, run no more replicas than nodes, or update with maxSurge 0 so that the old pod goes first")
                .command(self.kubectl("edit", "")),
        ];
        d
    }

    fn holders(&self, ports: &[String]) -> Vec<ObjectRef> {
        let mut out = Vec::new();
        for pod in self.meant().iter().flat_map(|p| self.world.related(&p.id, "pod")) {
            let containers = self.world.read(&pod, "/spec/containers").unwrap_or_default();
            let holds = containers
                .list("")
                .iter()
                .flat_map(|c| c.list("/ports"))
                .any(|p| p.number("/hostPort") > 0 && ports.contains(&p.number("/hostPort").to_string()));
            if holds && out.len() < 4 {
                out.push(pod);
            }
        }
        out
    }

    fn cordoned(&self, nodes: &[ObjectRef]) -> Diagnosis {
        let names: Vec<&str> = nodes.iter().map(|n| n.name.as_str()).collect();
        let list = if names.is_empty() { "a cordoned node".to_owned() } else { names.join(", ") };
        let mut d = self.about(
            code::CORDONED,
            90,
            format!("{} waits for {list}, which is cordoned", self.workload.path()),
            format!("{list} has room for the pod and is what it may use, but is closed for new pods (cordoned); no other node takes it."),
        );
        if let [node] = nodes {
            d.root = node.clone();
            d.path = vec![Step::new(node, "", "cordoned"), Step::new(&self.workload, "", "")];
        }
        for node in nodes.iter().take(4) {
            d.evidence.push(Evidence::object(node, "unschedulable: true", 60, "closed for new pods"));
            let changes = self.world.changes(node, "self", self.since.saturating_sub(hours(2)), 5);
            let cordon = changes.iter().find(|c| c.fields.iter().any(|f| f.name == "/spec/unschedulable"));
            d.evidence.extend(cordon.map(|c| Evidence::signal(c, 40, "cordoned then")));
        }
        let node = names.first().copied().unwrap_or("<node>");
        d.remedies = vec![
            Remedy::new("when the work on it is done, open the node again")
                .command(format!("kubectl uncordon {node}"))
                .caution("somebody may have closed it for a reason: ask first"),
        ];
        d
    }
}

fn ready(world: &World<'_>, pod: &ObjectRef) -> bool {
    let conditions = world.read(pod, "/status/conditions").unwrap_or_default();
    conditions.list("").iter().any(|c| c.text("/type") == "Ready" && c.text("/status") == "True")
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn dotted(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~")
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "(none)" } else { text }
}
