//! What hangs on metrics-server: its pods, the metrics API, the autoscalers. They say whether the lines in the log hurt
//! anybody, and they are what the cause explains.

use kwhy_sdk::{Evidence, Explains, ObjectRef, Signal, World, minutes, parse_time};

use crate::{
    memory::{MOST, Memory, object},
    server::{Pod, is_metrics_server},
};

/// How long an event or the end of a run speaks for the present.
const RECENT: u64 = minutes(15);

/// The APIService of the metrics API.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    pub(crate) id: ObjectRef,
    /// Whether its condition says that it is not available.
    pub(crate) missing: bool,
    pub(crate) reason: String,
    pub(crate) message: String,
    /// Since when, ms.
    pub(crate) since: u64,
    pub(crate) service: ObjectRef,
}

impl Api {
    /// Whether a name is that of the metrics API (`v1beta1.metrics.k8s.io`), not one for custom or external metrics.
    pub(crate) fn is(name: &str) -> bool {
        name.split_once('.').is_some_and(|(_, group)| group == "metrics.k8s.io")
    }

    /// The APIService that stands in the cluster.
    pub(crate) fn find(world: &World<'_>) -> Option<Self> {
        let id = world.list("APIService", "").into_iter().find(|a| Self::is(&a.name))?;
        let json = world.read(&id, "")?;
        let conditions = json.list("/status/conditions");
        let available = conditions.iter().find(|c| c.text("/type") == "Available");
        let text = |pointer: &str| available.map_or("", |c| c.text(pointer));
        Some(Self {
            missing: text("/status") == "False",
            reason: text("/reason").to_owned(),
            message: text("/message").to_owned(),
            since: parse_time(text("/lastTransitionTime")).unwrap_or(0),
            service: ObjectRef::new(
                "Service",
                json.text("/spec/service/namespace"),
                json.text("/spec/service/name"),
            ),
            id,
        })
    }

    /// The workloads behind it that run metrics-server: those that its Service selects, else by what they run.
    pub(crate) fn servers(&self, world: &World<'_>) -> Vec<ObjectRef> {
        let mut found: Vec<ObjectRef> = Vec::new();
        let selected = world.related(&self.service, "selects");
        let of_pods = selected.iter().filter(|p| Pod::load(world, p).is_some()).map(|p| world.workload(p));
        let deployments = world.list("Deployment", &self.service.namespace);
        let of_template = deployments.into_iter().filter(|d| {
            let containers = world.read(d, "/spec/template/spec").unwrap_or_default().list("/containers");
            containers.iter().any(is_metrics_server)
        });
        for workload in of_pods.chain(of_template) {
            if !found.iter().any(|f| f.is(&workload)) {
                found.push(workload);
            }
        }
        found
    }
}

/// What the cluster shows of a metrics-server that does not serve.
#[derive(Debug, Clone)]
pub(crate) struct Impact {
    pub(crate) api: Option<Api>,
    probe: Option<Signal>,
    autoscaler: Option<Signal>,
    /// Whether a pod is not ready or was restarted a short while ago.
    unsteady: bool,
    alerts: bool,
}

impl Impact {
    pub(crate) fn look(world: &World<'_>, memory: &Memory, pods: &[Pod]) -> Self {
        let recent = world.ago(RECENT);
        let unsteady = |p: &Pod| {
            p.ready_since().is_none()
                || p.last_ended().is_some_and(|at| at >= recent)
                || !p.waiting_reason().is_empty()
        };
        let probe = |p: &Pod| world.about(&p.id, "self", "event", "Unhealthy", recent, 1).into_iter().next();
        let scaled = memory.autoscalers.iter().find_map(|a| {
            let told = world.about(&object(a), "self", "event", "FailedGetResourceMetric", recent, 1);
            told.into_iter().find(misses_metrics)
        });
        Self {
            api: Api::find(world),
            probe: pods.iter().find_map(probe),
            autoscaler: scaled,
            unsteady: pods.iter().any(unsteady),
            alerts: !memory.alerts.is_empty(),
        }
    }

    /// Whether anything but the log says that metrics-server does not serve.
    pub(crate) fn agrees(&self) -> bool {
        let missing = self.api.as_ref().is_some_and(|a| a.missing);
        self.unsteady || missing || self.alerts || self.probe.is_some() || self.autoscaler.is_some()
    }

    /// The same as evidence.
    pub(crate) fn evidence(&self, pods: &[Pod]) -> Vec<Evidence> {
        let mut all = Vec::new();
        if let Some(pod) = pods.iter().find(|p| p.ready_since().is_none()).or(pods.first()) {
            let waiting = pod.waiting_reason();
            let excerpt =
                if waiting.is_empty() { pod.fares() } else { format!("{}, {waiting}", pod.fares()) };
            let weight = if self.unsteady { 25 } else { 0 };
            all.push(Evidence::object(&pod.id, excerpt, weight, format!("on node {}", pod.node())));
        }
        if let Some(event) = &self.probe {
            let count = event.field("count");
            let times = if count.is_empty() || count == "1" { String::new() } else { format!(" ×{count}") };
            let said = format!("{}{times}: {}", event.name, event.message);
            let note = "metrics-server says itself that it has no metrics to serve";
            all.push(Evidence::signal(event, 20, note).citing(said));
        }
        if let Some(api) = self.api.as_ref().filter(|a| a.missing) {
            let excerpt = format!("{}: {}", api.reason, api.message);
            all.push(Evidence::object(&api.id, excerpt, 20, "the metrics API is not available"));
        }
        if let Some(event) = &self.autoscaler {
            all.push(Evidence::signal(event, 10, "an autoscaler that has no metrics to act on"));
        }
        all
    }
}

/// Whether an autoscaler's event is about the metrics API, not about a request that its pods do not make.
pub(crate) fn misses_metrics(event: &Signal) -> bool {
    event.message.contains("resource metrics API")
}

/// What a metrics-server that does not serve accounts for.
pub(crate) fn explains(memory: &Memory, workload: &ObjectRef, api: Option<&Api>) -> Vec<Explains> {
    let mut all: Vec<Explains> = Vec::new();
    if workload.kind != "APIService" {
        let alerts = [
            "KubeDeployment*",
            "KubeDaemonSet*",
            "KubePod*",
            "KubePdb*",
            "KubeContainerWaiting",
            "Kubernetes*CrashLooping",
            "Kubernetes*Mismatch",
            "KubernetesPodNotHealthy",
            "*AggregatedAPI*",
            "TargetDown",
        ];
        all.extend(alerts.iter().map(|name| Explains::alert(name, workload, "workload")));
        all.extend(["BackOff", "Unhealthy"].iter().map(|name| Explains::event(name, workload, "workload")));
    }
    all.extend(api.map(|api| Explains::alert("*AggregatedAPI*", &api.id, "self")));
    for alert in &memory.alerts {
        // Rules of old are understood as about the namespace that they name beside the API.
        let explains = Explains::alert(&alert.name, &object(&alert.subject), "self");
        if !all.contains(&explains) {
            all.push(explains);
        }
    }
    let events = ["FailedGetResourceMetric", "FailedComputeMetricsReplicas"];
    if memory.autoscalers.len() > MOST {
        all.extend(events.iter().map(|name| Explains::event(name, workload, "cluster")));
        return all;
    }
    for autoscaler in memory.autoscalers.iter().map(object) {
        all.extend(events.iter().map(|name| Explains::event(name, &autoscaler, "self")));
        all.push(Explains::alert("KubeHpaReplicasMismatch", &autoscaler, "self"));
    }
    all
}
