//! Nodes without room: a request beyond any of them, resources that are taken, and the number of pods.

use kwhy_sdk::{Diagnosis, Evidence, Explains, ObjectRef, Remedy, Step, clock};

use crate::{
    code,
    finding::{Case, escaped},
    message::ATTACHABLE,
    place::Place,
    quantity::{self, Amount},
};

impl Case<'_> {
    pub(crate) fn too_large(&self, resource: &str) -> Diagnosis {
        let asks = quantity::show(resource, self.wish.request(resource).unwrap_or(0));
        let meant = self.meant();
        let largest = meant.iter().filter_map(|p| Some((p.capacity(resource)?, p))).fold(
            None::<(Amount, &&Place)>,
            |best, next| match best {
                Some(known) if known.0 >= next.0 => Some(known),
                _ => Some(next),
            },
        );
        let most = largest.map_or(0, |(value, _)| value);
        let where_ = largest.map_or(String::new(), |(_, p)| format!(" ({})", p.id.name));
        let shown = quantity::show(resource, most);
        let none = most <= 0;
        if none && let Some(idle) = meant.iter().find(|p| p.installed(resource).is_some_and(|n| n > 0)) {
            return self.idle(resource, idle);
        }
        let title = if none {
            format!("{} asks for {resource}, which no node offers", self.workload.path())
        } else {
            format!("{} asks for {asks} of {resource}; the largest node has {shown}", self.workload.path())
        };
        if none && let Some(plugin) = self.plugin(resource) {
            return self.withdrawn(resource, &plugin, meant.len());
        }
        let change = self
            .change(&[&format!("requests/{}", escaped(resource)), &format!("limits/{}", escaped(resource))]);
        let mut text = format!(
            "A pod of {} requests {asks} of {resource}. {} No node can ever take it, however empty.",
            self.named(),
            if none {
                format!("None of the {} nodes it may go to offers {resource}.", meant.len())
            } else {
                format!(
                    "{} at most {shown}{where_}.",
                    match meant.len() {
                        1 => "The node it may go to has".to_owned(),
                        n => format!("The {n} nodes it may go to have"),
                    }
                )
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
            let offers = quantity::show(resource, place.capacity(resource).unwrap_or(0));
            d.evidence.push(Evidence::object(
                &place.id,
                format!("allocatable {resource}: {offers}"),
                40,
                "all that the node has",
            ));
        }
        let old = change.as_ref().map(|(_, _, old)| old.as_str()).filter(|o| quantity::parse(o).is_some());
        if none && resource.contains('/') {
            d.remedies.push(
                Remedy::new(format!("let a node offer {resource}: machines that have it, and the device plugin that tells the kubelet of it"))
                    .command("kubectl get daemonsets -A | grep -i -E 'device|plugin'")
                    .command(format!("kubectl get nodes -o custom-columns='NAME:.metadata.name,OFFERS:.status.allocatable.{}'", resource.replace('.', "\\."))),
            );
        } else {
            d.remedies.push(self.lower(resource, old, &shown));
        }
        d.remedies.extend(self.undo(change.is_some()));
        if !none {
            d.remedies.push(Remedy::new(format!(
                "or, if it needs that much, add a larger node (more than {asks} of {resource} free)"
            )));
        }
        d
    }

    /// The DaemonSet that offers devices of that maker, if not all of its pods are ready.
    fn plugin(&self, resource: &str) -> Option<ObjectRef> {
        let (maker, _) = resource.split_once('/')?;
        let maker = maker.split('.').next().filter(|m| m.len() > 2)?;
        let offers = |of: &ObjectRef| {
            let images = self.world.read(of, "/spec/template/spec/containers").unwrap_or_default();
            let names: Vec<String> = images.list("").iter().map(|c| c.text("/image").to_owned()).collect();
            let plugin = |text: &str| {
                text.contains("device-plugin") && (text.contains(maker) || of.name.contains(maker))
            };
            plugin(&of.name) || names.iter().any(|image| plugin(image))
        };
        self.world.list("DaemonSet", "").into_iter().filter(offers).find(|of| {
            let status = self.world.read(of, "/status").unwrap_or_default();
            status.number("/numberReady") < status.number("/desiredNumberScheduled")
        })
    }

    /// No node offers it, and the plugin that would does not run.
    fn withdrawn(&self, resource: &str, plugin: &ObjectRef, nodes: usize) -> Diagnosis {
        let name = format!("{} {}", plugin.kind, plugin.path());
        let mut d = self.about(
            code::of(resource),
            90,
            format!("{} gets no {resource}: {name}, which offers it, does not run", self.workload.path()),
            format!("None of the {nodes} nodes that the pod may go to offers {resource}. A kubelet offers what a device plugin registers with it, and not all pods of {name} are ready."),
        );
        d.root = plugin.clone();
        d.path =
            vec![Step::new(plugin, "", "not all of its pods are ready"), Step::new(&self.workload, "", "")];
        let status = self.world.read(plugin, "/status").unwrap_or_default();
        let excerpt = format!(
            "{} of {} ready",
            status.number("/numberReady"),
            status.number("/desiredNumberScheduled")
        );
        d.evidence.push(Evidence::object(plugin, excerpt, 50, "the device plugin"));
        for alert in ["KubeDaemonSet*", "KubePodCrashLooping", "KubePodNotReady", "KubeContainerWaiting"] {
            d.explains.push(Explains::alert(alert, plugin, "workload"));
        }
        d.explains.push(Explains::finding("workload.*", plugin, "self"));
        d.remedies = vec![
            Remedy::new(format!(
                "mend {name}: why its pods do not run, its log tells; then the driver on the node"
            ))
            .command(format!("kubectl -n {} get pods -o wide | grep {}", plugin.namespace, plugin.name))
            .command(format!(
                "kubectl -n {} logs daemonset/{} --all-containers --tail=50",
                plugin.namespace, plugin.name
            )),
        ];
        d
    }

    /// The node has the devices, but whoever offers them has withdrawn them.
    fn idle(&self, resource: &str, place: &Place) -> Diagnosis {
        let node = &place.id.name;
        let has = quantity::show(resource, place.installed(resource).unwrap_or(0));
        let mut d = self.about(
            code::of(resource),
            92,
            format!("{} asks for {resource}, which node {node} has but does not offer", self.workload.path()),
            format!("Node {node} has {has} of {resource} (capacity), and none of it can be used (allocatable 0): its device plugin has withdrawn them or found them unhealthy. No other node that the pod may go to has any."),
        );
        d.path = vec![
            Step::new(&place.id, "", format!("{resource}: {has} installed, 0 allocatable")),
            Step::new(&self.workload, "", ""),
        ];
        let excerpt = format!("capacity {resource}: {has}, allocatable {resource}: 0");
        d.evidence.push(Evidence::object(&place.id, excerpt, 60, "installed, but not offered"));
        d.remedies = vec![
            Remedy::new(format!("see why the device plugin of {resource} does not offer what {node} has: its pod's log, then the driver"))
                .command(format!("kubectl get pods -A -o wide --field-selector spec.nodeName={node} | grep -i plugin"))
                .command(format!("ssh {node} sudo dmesg | tail -50")),
            Remedy::new("when the devices are well, start the plugin's pod anew; it registers them with the kubelet"),
        ];
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

    pub(crate) fn full(&self, resource: &str) -> Diagnosis {
        // Where the pod was never seen, only the scheduler knows what it asks for.
        let asks = self.wish.request(resource).map(|amount| quantity::show(resource, amount));
        let mut free: Vec<(Amount, &Place)> =
            self.meant().into_iter().filter_map(|p| Some((p.free(resource)?, p))).collect();
        // Where the objects seen leave room, not all pods were seen: the scheduler knows better.
        let wanted = self.wish.request(resource).unwrap_or(Amount::MAX);
        let known = !free.iter().any(|(value, _)| *value >= wanted);
        if !known {
            free.clear();
        }
        let most = free.iter().fold(0, |most, (value, _)| (*value).max(most));
        let change = self.change(&["requests/", "limits/", "/spec/replicas"]);
        let mut text = match self.meant().as_slice() {
            [only] => format!(
                "Node {}, the only one that may take the pod of {}, has not enough {resource} left beside what stands there",
                only.id.name,
                self.named()
            ),
            _ => format!(
                "The nodes that may take a pod of {} have not enough {resource} left beside what stands there",
                self.named()
            ),
        };
        text.push_str(&asks.as_ref().map_or_else(String::new, |asks| format!(": it asks for {asks}")));
        text.push_str(&match free.is_empty() {
            true => ".".to_owned(),
            false => format!(", at most {} is free.", quantity::show(resource, most)),
        });
        if let Some((signal, what, _)) = &change {
            text.push_str(&format!(" Changed before, at {}: {what}.", clock(signal.at)));
        }
        let amount =
            asks.as_ref().map_or_else(|| format!("enough {resource}"), |a| format!("{a} of {resource}"));
        let title = format!("No node has {amount} left for {}", self.workload.path());
        let mut d = self.about(code::of(resource), if known { 88 } else { 78 }, title, text);
        d.path.push(Step::new(&self.workload, "", format!("requests {amount}")));
        if let Some((signal, what, _)) = &change {
            d.evidence
                .push(Evidence::signal(signal, 40, "changed before the pods began to wait").citing(what));
        }
        for (value, place) in free.iter().take(4) {
            let text = format!("{resource} free: {}", quantity::show(resource, (*value).max(0)));
            d.evidence.push(Evidence::object(&place.id, text, 40, "requests of its pods taken off"));
        }
        d.remedies.push(
            Remedy::new(format!(
                "see who holds the {resource} and give some back: fewer replicas or smaller requests"
            ))
            .command(match self.meant().as_slice() {
                [only] => format!("kubectl describe node {}", only.id.name),
                _ => "kubectl describe nodes | grep -A8 'Allocated resources'".to_owned(),
            })
            .command(self.kubectl("get", " -o yaml")),
        );
        self.tell_preempted(&mut d, resource, &amount);
        if let Some((node, at, gone)) = self.left() {
            // All that ran there waits for one thing, and is told of together.
            d.root = node.clone();
            d.title = format!(
                "{} waits for {resource}: node {}, on which it ran, left the cluster",
                self.workload.path(),
                node.name
            );
            d.explanation.push_str(&format!(
                " Its pods ran on node {}, which left the cluster at {}.",
                node.name,
                clock(at)
            ));
            d.evidence.push(Evidence::signal(&gone, 50, "the node that its pods ran on left"));
            d.path = vec![
                Step::new(&node, "", "left the cluster"),
                Step::new(&self.workload, "", format!("requests {amount}")),
            ];
            d.remedies.insert(0, Remedy::new(format!("bring {} back, or a node like it", node.name)));
        }
        if self.workload.kind == "DaemonSet" {
            d.remedies.push(
                Remedy::new("or, if every node needs it more than what stands there, give it a priorityClassName of higher priority: the scheduler then makes room on the node")
                    .command(self.kubectl("edit", ""))
                    .caution("pods of lower priority are evicted for it"),
            );
        }
        let old = change.as_ref().map(|(_, _, old)| old.as_str()).filter(|o| quantity::parse(o).is_some());
        if self.workload.kind != "Pod" && resource != ATTACHABLE {
            d.remedies.push(self.lower(
                resource,
                old.filter(|_| change.as_ref().is_some_and(|(_, w, _)| w.contains("requests"))),
                "what is free",
            ));
        }
        d.remedies.push(Remedy::new(format!("or add a node with {amount} free")));
        d
    }

    pub(crate) fn too_many_pods(&self) -> Diagnosis {
        let meant = self.meant();
        let mut d = self.about(
            code::TOO_MANY_PODS,
            92,
            format!("The nodes that may take {} hold as many pods as they may", self.workload.path()),
            "The kubelet of each node allows a fixed number of pods (maxPods, 110 by default), and it is reached; CPU and memory do not matter then.".to_owned(),
        );
        let mut counts = Vec::new();
        for place in meant.iter().take(4) {
            let Some(most) = place.most_pods() else { continue };
            let standing = place.standing.filter(|standing| *standing >= most);
            counts.extend(standing.map(|standing| format!("{} holds {standing} of {most}", place.id.name)));
            let text = format!("allocatable pods: {most}");
            d.evidence.push(Evidence::object(&place.id, text, 40, "most that it may hold"));
        }
        if !counts.is_empty() {
            d.explanation.push_str(&format!(" {}.", counts.join(", ")));
        }
        for place in &meant {
            d.explains.push(Explains::alert("KubeletTooManyPods", &place.id, "self"));
        }
        d.remedies.push(
            Remedy::new("remove pods that are not needed, or add a node").command(
                "kubectl get pods -A --no-headers -o custom-columns=NODE:.spec.nodeName | sort | uniq -c | sort -n",
            ),
        );
        // There the number follows from the addresses that the instance's interfaces have.
        let aws = ObjectRef::new("DaemonSet", "kube-system", "aws-node");
        if self.world.exists(&aws) {
            d.remedies.push(
                Remedy::new("or let the VPC CNI give addresses by prefix, and raise maxPods of the node group with it")
                    .command("kubectl -n kube-system set env daemonset aws-node ENABLE_PREFIX_DELEGATION=true")
                    .caution("only nodes made anew, of a Nitro instance type, take more pods then"),
            );
        } else {
            d.remedies.push(
                Remedy::new("or raise maxPods in the kubelet's configuration")
                    .command("sudoedit /var/lib/kubelet/config.yaml     # on the node: maxPods")
                    .caution("the node's pod address range must have room for them"),
            );
        }
        d
    }
}
