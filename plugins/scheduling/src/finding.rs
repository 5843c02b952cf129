//! A cause in words: title, evidence, what it explains and how to mend it.

use kwhy_sdk::{Diagnosis, Evidence, Explains, ObjectRef, Remedy, Signal, Step, World, clock, hours};

use crate::{cause::Cause, code, place::Place, wish::Wish};

/// Alerts of a workload that runs nowhere, besides those of its pods that wait.
const NOWHERE: [&str; 3] = ["KubeHpaReplicasMismatch", "TargetDown", "KubeAggregatedAPI*"];

/// A workload with pods that nobody takes.
pub(crate) struct Case<'a> {
    pub(crate) world: &'a World<'a>,
    pub(crate) workload: ObjectRef,
    /// The pods that wait, the oldest first.
    pub(crate) pods: Vec<ObjectRef>,
    /// The one of them that the scheduler has spoken of, its words, and the event that brought them.
    pub(crate) told: ObjectRef,
    pub(crate) message: String,
    pub(crate) event: Option<Signal>,
    /// An autoscaler's word why it adds no node.
    pub(crate) refusal: Option<Signal>,
    pub(crate) since: u64,
    pub(crate) wish: Wish,
    pub(crate) places: Vec<Place>,
}

impl Case<'_> {
    pub(crate) fn first(&self) -> &ObjectRef {
        self.pods.first().unwrap_or(&self.workload)
    }

    pub(crate) fn named(&self) -> String {
        format!("{} {}", self.workload.kind, self.workload.path())
    }

    /// What was changed in the workload in the two hours before the pods began to wait, in fields that matter.
    pub(crate) fn change(&self, matter: &[&str]) -> Option<(Signal, String, String)> {
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

    pub(crate) fn meant(&self) -> Vec<&Place> {
        self.places.iter().filter(|p| p.meant()).collect()
    }

    /// `kubectl -n shop … deployment web`, where kubectl can do that to the workload.
    pub(crate) fn kubectl(&self, verb: &str, rest: &str) -> String {
        let kind = self.workload.kind.to_ascii_lowercase();
        format!("kubectl -n {} {verb} {kind} {}{rest}", self.workload.namespace, self.workload.name)
    }

    pub(crate) fn undo(&self, changed: bool) -> Option<Remedy> {
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
            Cause::Closed(taint, nodes) => self.closed(taint, nodes),
            Cause::Unfinished(key, nodes) => self.unfinished(key, nodes),
            Cause::Down(nodes) if nodes.is_empty() && !self.told_down() => self.shut("not ready"),
            Cause::Pressed(nodes) if nodes.is_empty() => self.shut("short of memory, disk or process ids"),
            Cause::Down(_) | Cause::Pressed(_) | Cause::Claim | Cause::Unknown => return None,
        };
        // Without the nodes only the scheduler's words count.
        if self.places.is_empty() {
            d.confidence = d.confidence.min(75);
        }
        if !self.world.pods(&self.workload).iter().any(|p| self.world.condition(p, "Ready").holds()) {
            d.severity = "critical".into();
        }
        if self.gives_way() {
            d.severity = "info".into();
        }
        let mut evidence = match &self.event {
            Some(event) => vec![Evidence::signal(event, 70, "the scheduler's own words")],
            None => vec![Evidence::object(&self.told, &self.message, 70, "the scheduler's own words")],
        };
        evidence.append(&mut d.evidence);
        if let Some(refusal) = &self.refusal {
            evidence.push(Evidence::signal(refusal, 30, "the autoscaler's own words"));
            d.explanation.push_str(&format!(" The autoscaler adds no node: {}.", declined(&refusal.message)));
            d.remedies.extend(grow(&refusal.message));
        }
        d.evidence = evidence;
        d.explains.extend(Explains::waiting(&self.workload, "workload"));
        d.explains.extend(NOWHERE.map(|name| Explains::alert(name, &self.workload, "workload")));
        for pod in &self.pods {
            d.explains.push(Explains::event("FailedScheduling", pod, "self"));
        }
        d.supersedes = code::ALL.iter().filter(|c| **c != d.code).map(|c| (*c).to_owned()).collect();
        if d.path.is_empty() {
            d.path.push(Step::new(&self.workload, "", ""));
        }
        // A step that was there already is where the next one branches off.
        for pod in self.pods.iter().take(3) {
            d.path.push(Step::new(&self.workload, "", ""));
            d.path.push(Step::new(pod, "owned", "no node takes it"));
        }
        // Not how long until now: that would be another text at every call.
        let since = clock(self.since);
        let who = match self.pods.len() {
            1 => format!("Pod {} waits", self.first().name),
            n => format!("{n} pods wait"),
        };
        d.explanation.push_str(&format!(" {who} for a node since {since}."));
        Some(d)
    }

    /// Whether the pods hold room that others may take at any time, and nobody complains that they have to: a priority
    /// below that of every pod which names none is given to placeholders.
    fn gives_way(&self) -> bool {
        let low = |pod: &ObjectRef| self.world.read(pod, "/spec/priority").is_some_and(|p| p.number("") < 0);
        let day = self.world.ago(hours(24));
        let alerts = || self.world.about(&self.workload, "workload", "alert", "*", day, 50);
        !self.pods.is_empty() && self.pods.iter().all(low) && !alerts().iter().any(|a| a.state == "firing")
    }

    /// Whether the control plane tells of a node that is down, whose own finding says more.
    fn told_down(&self) -> bool {
        let told = |source: &str, name: &str| {
            !self.world.about(self.first(), "cluster", source, name, self.world.ago(hours(1)), 1).is_empty()
        };
        told("event", "NodeNotReady") || told("alert", "KubeNode*")
    }

    /// Nodes that keep pods off for a state of their own, where no node was shown.
    fn shut(&self, state: &str) -> Diagnosis {
        let whose = self.named();
        let title = format!("No node takes {whose}: nodes are {state}");
        let explanation = format!(
            "The scheduler names taints that the control plane gives to nodes which are {state}. What is the matter with \
             them, the nodes themselves tell."
        );
        let mut d = self.about(code::TAINT, 65, title, explanation);
        d.remedies = vec![
            Remedy::new("see which nodes it is, and what their conditions say")
                .command("kubectl get nodes")
                .command("kubectl describe nodes | grep -A12 -i '^Conditions'"),
        ];
        d
    }

    pub(crate) fn about(&self, code: &str, confidence: u8, title: String, explanation: String) -> Diagnosis {
        let mut d = Diagnosis::new(code, self.workload.clone());
        (d.confidence, d.title, d.explanation) = (confidence, title, explanation);
        d
    }
}

/// An autoscaler's reason without its preamble, and only the beginning of a long one.
fn declined(message: &str) -> String {
    let reason = message
        .strip_prefix("pod didn't trigger scale-up")
        .or_else(|| message.strip_prefix("Failed to schedule pod,"))
        .unwrap_or(message);
    let reason = reason.trim_matches([':', ' ', '.']);
    let end = reason.char_indices().nth(160).map_or(reason.len(), |(at, _)| at);
    match reason.get(..end) {
        Some("") | None => "it names no reason".to_owned(),
        Some(all) if all.len() == reason.len() => all.to_owned(),
        Some(part) => format!("{part}…"),
    }
}

/// What lets an autoscaler add nodes that has reached its limit.
fn grow(message: &str) -> Option<Remedy> {
    if message.contains("max node group size reached") || message.contains("max cluster") {
        return Some(Remedy::new(
            "or raise the largest size of the node group, which the cluster autoscaler has reached",
        ));
    }
    message.contains("exceed limits for").then(|| {
        Remedy::new("or raise the limits of the NodePool, which Karpenter has reached")
            .command("kubectl get nodepools -o custom-columns=NAME:.metadata.name,LIMITS:.spec.limits,USED:.status.resources")
    })
}

pub(crate) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn dotted(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~")
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "(none)" } else { text }
}
