//! The scenarios of `tests/data/opensre-eks-synthetic` as captures: what tools of EKS and Datadog gave in shapes of their
//! own, put back into the shape that Kubernetes and Alertmanager give. Shapes are translated and nothing is added: what
//! a tool left out (owners, uids, requests, images, times of conditions) stays out. `answer.yml` is never read for it.
#![allow(clippy::indexing_slicing, reason = "what is put into a JSON object that was just made cannot fail")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Kwhy, here};

/// One scenario.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Name of its folder.
    pub name: String,
    dir: PathBuf,
    base: Option<PathBuf>,
    evidence: Vec<String>,
}

/// What the scenario's author holds for the truth.
#[derive(Debug, Clone, Deserialize)]
pub struct Answer {
    /// `healthy` where nothing is wrong.
    pub root_cause_category: String,
    /// A diagnosis in full.
    pub model_response: String,
}

#[derive(Deserialize)]
struct Meta {
    base: Option<String>,
    available_evidence: Option<Vec<String>>,
}

/// All scenarios, by name.
///
/// # Panics
/// Where one cannot be read.
#[must_use]
pub fn scenarios() -> Vec<Scenario> {
    let all = here("data/opensre-eks-synthetic");
    let entries = fs::read_dir(&all).expect("the data set");
    let mut dirs: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    dirs.sort();
    dirs.iter().map(|dir| Scenario::read(dir)).collect()
}

fn yaml<T: serde::de::DeserializeOwned>(file: &Path) -> T {
    let text = fs::read_to_string(file).expect("a file of the data set");
    serde_norway::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

impl Scenario {
    fn read(dir: &Path) -> Self {
        let meta: Meta = yaml(&dir.join("scenario.yml"));
        let base = meta.base.map(|name| dir.with_file_name(name));
        // Whatever a scenario does not say, its base says, and so with its files.
        let evidence = meta.available_evidence.or_else(|| {
            let of: Meta = yaml(&base.as_ref()?.join("scenario.yml"));
            of.available_evidence
        });
        let name = dir.file_name().expect("a name").to_string_lossy().into_owned();
        Self { name, dir: dir.to_owned(), base, evidence: evidence.expect("a list of evidence") }
    }

    /// The answer.
    #[must_use]
    pub fn answer(&self) -> Answer {
        yaml(&self.dir.join("answer.yml"))
    }

    fn file(&self, name: &str) -> Value {
        let own = self.dir.join(format!("{name}.json"));
        let inherited = self.base.as_ref().map(|base| base.join(format!("{name}.json")));
        let Some(file) = Some(own).filter(|file| file.is_file()).or(inherited) else { return Value::Null };
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    }

    /// Evidence that the scenario gives out; null for what it withholds.
    fn evidence(&self, name: &str) -> Value {
        if self.evidence.iter().any(|given| given == name) { self.file(name) } else { Value::Null }
    }

    /// Writes the scenario as a capture into the home of `kwhy`.
    #[must_use]
    pub fn capture(&self, kwhy: &Kwhy) -> PathBuf {
        let mut files: BTreeMap<String, String> = BTreeMap::new();
        let pods = self.evidence("eks_pods");
        let mut objects: Vec<Value> = items(&pods, "pods").iter().map(pod).collect();
        objects.extend(items(&self.evidence("eks_deployments"), "deployments").iter().map(deployment));
        objects.extend(items(&self.evidence("eks_node_health"), "nodes").iter().map(node));
        let events: Vec<Value> =
            items(&self.evidence("eks_events"), "warning_events").iter().map(event).collect();
        let logs = Logs { pods: items(&pods, "pods") }
            .files(&self.evidence("eks_pod_logs"), &self.evidence("datadog_logs"));
        // The tools were asked when the last that they tell of had happened.
        let now = last_time([
            &Value::from(events.clone()),
            &self.own("eks_pods"),
            &self.own("datadog_logs"),
            &self.own("eks_pod_logs"),
        ]);
        let alerts = alerts(&self.file("alert"), &self.evidence("datadog_monitors"), &now);
        files.insert("capture.yaml".to_owned(), format!("to: {now}\n"));
        files.insert(
            "objects.json".to_owned(),
            json!({"kind": "List", "apiVersion": "v1", "items": objects}).to_string(),
        );
        files.insert(
            "events.json".to_owned(),
            json!({"kind": "List", "apiVersion": "v1", "items": events}).to_string(),
        );
        files.insert("alerts.json".to_owned(), Value::from(alerts).to_string());
        files.extend(logs);
        for (name, text) in files {
            kwhy.write(&format!("{}/{name}", self.name), text);
        }
        kwhy.home(&self.name)
    }

    /// Evidence that is the scenario's own and not its base's, which was recorded on another day.
    fn own(&self, name: &str) -> Value {
        if self.dir.join(format!("{name}.json")).is_file() { self.evidence(name) } else { Value::Null }
    }
}

fn items(of: &Value, name: &str) -> Vec<Value> {
    of.get(name).and_then(Value::as_array).cloned().unwrap_or_default()
}

fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The fields that a tool gives, under the names that Kubernetes has for them; empty ones are left out, as it does.
fn renamed(of: &Value, names: &[(&str, &str)]) -> Value {
    let given =
        names.iter().filter_map(|(theirs, ours)| Some(((*ours).to_owned(), of.get(*theirs)?.clone())));
    given.filter(|(_, value)| *value != "").collect::<serde_json::Map<_, _>>().into()
}

fn pod(of: &Value) -> Value {
    let meta = renamed(
        of,
        &[("name", "name"), ("namespace", "namespace"), ("deletion_timestamp", "deletionTimestamp")],
    );
    let containers = items(of, "containers");
    let mut spec =
        json!({"containers": containers.iter().map(|c| renamed(c, &[("name", "name")])).collect::<Vec<_>>()});
    if text(of, "node_name") != "unscheduled" {
        spec["nodeName"] = text(of, "node_name").into();
    }
    let mut status = renamed(of, &[("phase", "phase"), ("start_time", "startTime")]);
    let condition = |c: &Value| {
        renamed(c, &[("type", "type"), ("status", "status"), ("reason", "reason"), ("message", "message")])
    };
    status["conditions"] = items(of, "conditions").iter().map(condition).collect();
    status["containerStatuses"] = containers.iter().map(container).collect();
    json!({"kind": "Pod", "apiVersion": "v1", "metadata": meta, "spec": spec, "status": status})
}

fn container(of: &Value) -> Value {
    let state = of.get("state").cloned().unwrap_or_default();
    let mut status = renamed(of, &[("name", "name"), ("ready", "ready"), ("restart_count", "restartCount")]);
    status["state"] = if state.get("running").is_some() {
        json!({"running": renamed(&state, &[("started_at", "startedAt")])})
    } else {
        json!({"waiting": renamed(&state, &[("reason", "reason"), ("message", "message")])})
    };
    // What runs or waits has no exit code: it is that of the run before.
    if let Some(code) = state.get("exit_code") {
        status["lastState"] = json!({"terminated": {"exitCode": code}});
    }
    status
}

fn deployment(of: &Value) -> Value {
    let names = [
        ("ready", "readyReplicas"),
        ("available", "availableReplicas"),
        ("unavailable", "unavailableReplicas"),
    ];
    json!({
        "kind": "Deployment", "apiVersion": "apps/v1",
        "metadata": renamed(of, &[("name", "name"), ("namespace", "namespace")]),
        "spec": renamed(of, &[("desired", "replicas")]),
        "status": renamed(of, &names),
    })
}

fn node(of: &Value) -> Value {
    let condition = |(theirs, kind): (&str, &str)| json!({"type": kind, "status": text(of, theirs)});
    let kinds = [
        ("ready", "Ready"),
        ("memory_pressure", "MemoryPressure"),
        ("disk_pressure", "DiskPressure"),
        ("pid_pressure", "PIDPressure"),
    ];
    json!({
        "kind": "Node", "apiVersion": "v1",
        "metadata": {"name": text(of, "name"), "labels": {"node.kubernetes.io/instance-type": text(of, "instance_type")}},
        "status": {
            "conditions": kinds.map(condition),
            "addresses": [{"type": "InternalIP", "address": text(of, "internal_ip")}],
            "capacity": renamed(of, &[("capacity_cpu", "cpu"), ("capacity_memory", "memory")]),
            "allocatable": renamed(of, &[("allocatable_cpu", "cpu"), ("allocatable_memory", "memory")]),
        },
    })
}

fn event(of: &Value) -> Value {
    let (kind, name) = text(of, "involved_object").split_once('/').unwrap_or_default();
    let mut event = renamed(
        of,
        &[
            ("reason", "reason"),
            ("message", "message"),
            ("type", "type"),
            ("count", "count"),
            ("first_time", "firstTimestamp"),
            ("last_time", "lastTimestamp"),
        ],
    );
    event["kind"] = "Event".into();
    event["metadata"] = json!({"namespace": text(of, "namespace"), "name": format!("{name}.{}.{}", text(of, "reason"), text(of, "first_time"))});
    event["involvedObject"] = json!({"kind": kind, "namespace": text(of, "namespace"), "name": name});
    event
}

/// The alert that woke somebody, and the monitors that are in the state Alert.
fn alerts(alert: &Value, monitors: &Value, now: &str) -> Vec<Value> {
    let listed = |labels: Value, annotations: Value, ends: &str| json!({"labels": labels, "annotations": annotations, "startsAt": now, "endsAt": ends, "updatedAt": now, "status": {"state": "active", "silencedBy": [], "inhibitedBy": []}});
    // An empty end is none.
    let ends = if text(alert, "state") == "normal" { now } else { "0001-01-01T00:00:00Z" };
    let of = |name: &str| alert.get(name).cloned().unwrap_or_default();
    let mut all = vec![listed(of("commonLabels"), of("commonAnnotations"), ends)];
    for monitor in items(monitors, "monitors").iter().filter(|m| text(m, "overall_state") == "Alert") {
        let tags = items(monitor, "tags");
        let tags = tags.iter().filter_map(|tag| tag.as_str()?.split_once(':'));
        let mut labels: BTreeMap<&str, &str> = tags.collect();
        labels.insert("alertname", text(monitor, "name"));
        all.push(listed(json!(labels), json!({"summary": text(monitor, "message")}), "0001-01-01T00:00:00Z"));
    }
    all
}

/// Where each line of a log was written.
struct Logs {
    pods: Vec<Value>,
}

impl Logs {
    /// Logs as files of a capture, by name.
    fn files(&self, pod_logs: &Value, collected: &Value) -> BTreeMap<String, String> {
        let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
        if pod_logs.is_object() {
            let pod = text(pod_logs, "pod_name");
            let file = format!("pods/{}/{pod}/{}.log", text(pod_logs, "namespace"), self.container(pod));
            // What stands in brackets without a time is the tool's own remark.
            let own = text(pod_logs, "logs").lines().filter(|line| !line.starts_with('['));
            lines.entry(file).or_default().extend(own.map(str::to_owned));
        }
        for entry in items(collected, "logs") {
            let line = format!("{} {}", text(&entry, "timestamp"), text(&entry, "message"));
            lines.entry(self.file_of(&entry)).or_default().push(line);
        }
        for of in lines.values_mut() {
            of.sort();
        }
        lines.into_iter().map(|(file, lines)| (file, format!("{}\n", lines.join("\n")))).collect()
    }

    fn file_of(&self, entry: &Value) -> String {
        let tags = items(entry, "tags");
        let tag =
            |name: &str| tags.iter().find_map(|tag| tag.as_str()?.strip_prefix(name)).unwrap_or_default();
        let (service, host) = (text(entry, "service"), text(entry, "host"));
        let named = [host, tag("pod_name:")];
        if let Some(pod) = self.pods.iter().find(|pod| named.contains(&text(pod, "name"))) {
            return format!(
                "pods/{}/{}/{}.log",
                text(pod, "namespace"),
                text(pod, "name"),
                self.container(text(pod, "name"))
            );
        }
        // A component of the control plane, called as static pods are.
        format!("pods/kube-system/{service}-{host}/{service}.log")
    }

    fn container(&self, pod: &str) -> String {
        let known = self.pods.iter().find(|p| text(p, "name") == pod);
        known
            .and_then(|p| Some(text(items(p, "containers").first()?, "name").to_owned()))
            .expect("a pod with a container")
    }
}

/// The last of all times that stand in these, in text or as values.
fn last_time<'a>(all: impl IntoIterator<Item = &'a Value>) -> String {
    let whole: String = all.into_iter().map(ToString::to_string).collect();
    let time = regex::Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ").expect("a pattern");
    let last = time.find_iter(&whole).map(|found| found.as_str()).max();
    last.expect("a time").to_owned()
}
