//! The programs of the control plane, told by what their containers run.

use kwhy_sdk::{Json, ObjectRef, Program, Signal, World, command_line, image_name};

/// Where kubeadm and all that follow it put them.
pub(crate) const NAMESPACE: &str = "kube-system";

/// Where its parts lie though no kubelet runs them by itself.
const NAMESPACES: [&str; 2] = [NAMESPACE, "openshift-etcd"];

/// A kubelet runs it from a file of its own, as it does with the control plane.
fn is_static(world: &World<'_>, pod: &ObjectRef) -> bool {
    let metadata = world.read(pod, "/metadata").unwrap_or_default();
    metadata.has("/annotations/kubernetes.io~1config.mirror")
        || metadata.list("/ownerReferences").iter().any(|o| o.text("/kind") == "Node")
}

/// A program of the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Etcd,
    ApiServer,
    ControllerManager,
    Scheduler,
}

impl Part {
    const ALL: [Self; 4] = [Self::Etcd, Self::ApiServer, Self::ControllerManager, Self::Scheduler];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
        }
    }

    fn runs_in(self, container: &Json) -> bool {
        let program = |word: &String| word.rsplit('/').next() == Some(self.name());
        image_name(container.text("/image")) == self.name()
            || command_line(container).iter().take(3).any(program)
    }

    /// What a pod runs of it. Other programs bring an etcd of their own, which is no part of the control plane.
    pub(crate) fn of(world: &World<'_>, pod: &ObjectRef) -> Option<Self> {
        if !NAMESPACES.contains(&pod.namespace.as_str()) && !is_static(world, pod) {
            return None;
        }
        let containers = world.read(pod, "/spec/containers")?.list("");
        Self::ALL.into_iter().find(|part| containers.iter().any(|c| part.runs_in(c)))
    }

    /// All standing pods of it, sorted by name.
    pub(crate) fn pods(self, world: &World<'_>) -> Vec<Program> {
        let pick = |pod: &Json| pod.list("/spec/containers").into_iter().find(|c| self.runs_in(c));
        let may = |pod: &&ObjectRef| pod.name.contains(self.name().trim_start_matches("kube-"));
        let pods = world.list("Pod", NAMESPACE);
        let all = pods.iter().filter(may).filter_map(|p| Program::load(world, p, pick));
        all.filter(|p| !p.terminating() && !p.ended()).collect()
    }
}

/// `etcdctl` inside a member's pod with the certificates that lie there: kubeadm's, or those of rke2.
pub(crate) fn etcdctl(world: &World<'_>, member: &ObjectRef) -> String {
    let spec = world.text(member, "/spec").unwrap_or_default();
    let (ca, cert, key) = if spec.contains("/rke2/") || spec.contains("rancher/") {
        let dir = "/var/lib/rancher/rke2/server/tls/etcd";
        (
            format!("{dir}/server-ca.crt"),
            format!("{dir}/server-client.crt"),
            format!("{dir}/server-client.key"),
        )
    } else {
        let dir = "/etc/kubernetes/pki/etcd";
        (format!("{dir}/ca.crt"), format!("{dir}/server.crt"), format!("{dir}/server.key"))
    };
    format!(
        "kubectl -n {NAMESPACE} exec {} -- etcdctl --endpoints=https://127.0.0.1:2379 --cacert={ca} --cert={cert} --key={key}",
        member.name
    )
}

/// Lines of a pattern over the whole cluster, newest first.
pub(crate) fn lines(world: &World<'_>, source: &str, pattern: &str, since: u64) -> Vec<Signal> {
    world.about(&cluster(world), "cluster", source, pattern, since, 200)
}

/// Lines of a pattern that a part told, newest first.
pub(crate) fn told(world: &World<'_>, part: Part, pattern: &str, since: u64) -> Vec<Signal> {
    told_by(world, &[part], pattern, since)
}

/// Lines of a pattern that any part of the control plane told, newest first: others have an etcd of their own.
pub(crate) fn told_by_any(world: &World<'_>, pattern: &str, since: u64) -> Vec<Signal> {
    told_by(world, &Part::ALL, pattern, since)
}

fn told_by(world: &World<'_>, parts: &[Part], pattern: &str, since: u64) -> Vec<Signal> {
    let mut known: Vec<(ObjectRef, bool)> = Vec::new();
    let mut all = lines(world, "log", pattern, since);
    all.retain(|line| {
        let Some(pod) = &line.subject else { return false };
        if let Some((_, is)) = known.iter().find(|(p, _)| p.is(pod)) {
            return *is;
        }
        let is = Part::of(world, pod).is_some_and(|part| parts.contains(&part));
        known.push((pod.clone(), is));
        is
    });
    all
}

/// Alerts of these names that fire, each object once, newest first.
pub(crate) fn firing(world: &World<'_>, names: &[&str], since: u64) -> Vec<Signal> {
    let mut out: Vec<Signal> = Vec::new();
    for name in names {
        let mut seen: Vec<Vec<(String, String)>> = Vec::new();
        for alert in world.about(&cluster(world), "cluster", "alert", name, since, 50) {
            let labels: Vec<(String, String)> =
                alert.fields.iter().map(|f| (f.name.clone(), f.value.clone())).collect();
            if !seen.contains(&labels) {
                seen.push(labels);
                if alert.state != "resolved" {
                    out.push(alert);
                }
            }
        }
    }
    out
}

/// The cluster itself.
pub(crate) fn cluster(world: &World<'_>) -> ObjectRef {
    ObjectRef::new("Cluster", "", world.cluster())
}

/// The pod that told most of the lines, with how many.
pub(crate) fn loudest(lines: &[Signal]) -> Option<(ObjectRef, usize)> {
    let mut count: Vec<(ObjectRef, usize)> = Vec::new();
    for pod in lines.iter().filter_map(|l| l.subject.as_ref()) {
        match count.iter_mut().find(|(p, _)| p.is(pod)) {
            Some((_, n)) => *n += 1,
            None => count.push((pod.clone(), 1)),
        }
    }
    count.into_iter().max_by(|(a, n), (b, m)| n.cmp(m).then_with(|| b.name.cmp(&a.name)))
}

/// The node of a pod, or what the pod is called where it is not known.
pub(crate) fn node_of(world: &World<'_>, pod: &ObjectRef) -> String {
    let node = world.read(pod, "/spec/nodeName").unwrap_or_default();
    if node.text("").is_empty() { pod.name.clone() } else { node.text("").to_owned() }
}
