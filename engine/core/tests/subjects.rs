//! What every alert of the common rule sets is about, however its labels came to it: one row of
//! `data/subjects.tsv` an alert, each in all ways in which Prometheus labels its targets and in clusters that kwhy
//! knows more or less of.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};

use kwhy_core::{
    Engine, Settings,
    rule::{Call, Descriptor, Failure, Reply, Rules},
};
use kwhy_proto::{
    timestamp,
    v1::{Alert, ObjectChange, ObjectRef, Signal, signal::Body},
};
use serde_json::{Value, json};

const START: u64 = 1_700_000_000_000;

/// No rules: what nobody explains is listed with its subject.
struct Nothing;

impl Rules for Nothing {
    fn descriptors(&self) -> &[Descriptor] {
        &[]
    }

    fn examine(&mut self, _rule: usize, _call: Call) -> Result<Reply, Failure> {
        unreachable!("there is no rule")
    }
}

type Labels = BTreeMap<String, String>;

fn labels(text: &str) -> Labels {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

// ---- the cluster ----

type Object = (&'static str, &'static str, String, Value);

fn owned(kind: &str, name: &str) -> Value {
    json!([{"kind": kind, "name": name, "controller": true}])
}

/// A Deployment with one pod, `NAME-1-a`, and its Service where it has one.
fn deployment(
    out: &mut Vec<Object>,
    namespace: &'static str,
    name: &str,
    ip: &str,
    node: &str,
    served: bool,
) {
    let selector = json!({"app.kubernetes.io/name": name});
    out.push(("Deployment", namespace, name.into(), json!({"spec": {"replicas": 1}})));
    let set = format!("{name}-1");
    let meta = json!({"ownerReferences": owned("Deployment", name)});
    out.push(("ReplicaSet", namespace, set.clone(), json!({"metadata": meta})));
    let meta = json!({"labels": selector, "ownerReferences": owned("ReplicaSet", &set)});
    let pod =
        json!({"metadata": meta, "spec": {"nodeName": node}, "status": {"phase": "Running", "podIP": ip}});
    out.push(("Pod", namespace, format!("{set}-a"), pod));
    if served {
        service(out, namespace, name, json!({"app.kubernetes.io/name": name}), &selector);
    }
}

fn stateful(out: &mut Vec<Object>, name: &str, ip: &str) {
    out.push(("StatefulSet", "monitoring", name.into(), json!({})));
    let meta = json!({"labels": {"app": name}, "ownerReferences": owned("StatefulSet", name)});
    let pod =
        json!({"metadata": meta, "spec": {"nodeName": "w1"}, "status": {"phase": "Running", "podIP": ip}});
    out.push(("Pod", "monitoring", format!("{name}-0"), pod));
    service(out, "monitoring", name, json!({"app.kubernetes.io/name": name}), &json!({"app": name}));
}

fn service(out: &mut Vec<Object>, namespace: &'static str, name: &str, labels: Value, selector: &Value) {
    let json = json!({"metadata": {"labels": labels}, "spec": {"selector": selector}});
    out.push(("Service", namespace, name.into(), json));
}

/// A pod on the network of its node.
fn host_pod(
    namespace: &'static str,
    name: &str,
    owner: Value,
    labels: Value,
    node: &str,
    extra: Value,
) -> Object {
    let mut spec = json!({"nodeName": node, "hostNetwork": true});
    spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let meta = json!({"labels": labels, "ownerReferences": owner});
    let status = json!({"phase": "Running", "podIP": address(node)});
    ("Pod", namespace, name.into(), json!({"metadata": meta, "spec": spec, "status": status}))
}

fn address(node: &str) -> &'static str {
    match node {
        "cp1" => "192.168.0.1",
        "w1" => "192.168.0.11",
        _ => "192.168.0.12",
    }
}

fn cluster() -> Vec<Object> {
    let mut out: Vec<Object> = Vec::new();
    for node in ["cp1", "w1", "w2"] {
        let addresses = json!([
            {"type": "InternalIP", "address": address(node)},
            {"type": "Hostname", "address": node},
            {"type": "InternalDNS", "address": format!("{node}.lan")},
        ]);
        out.push(("Node", "", node.into(), json!({"status": {"addresses": addresses}})));
        let labels = json!({"k8s-app": "kube-proxy"});
        let (owner, name) = (owned("DaemonSet", "kube-proxy"), format!("kube-proxy-{node}"));
        out.push(host_pod("kube-system", &name, owner, labels, node, json!({})));
        let spec = json!({
            "hostPID": true,
            "containers": [{"name": "node-exporter", "ports": [{"containerPort": 9100}]}],
            "volumes": [{"name": "sys", "hostPath": {"path": "/sys"}}, {"name": "root", "hostPath": {"path": "/"}}],
        });
        let labels = json!({"app.kubernetes.io/name": "node-exporter"});
        let (owner, name) = (owned("DaemonSet", "node-exporter"), format!("node-exporter-{node}"));
        out.push(host_pod("monitoring", &name, owner, labels, node, spec));
    }
    for component in ["kube-apiserver", "kube-scheduler", "kube-controller-manager", "etcd"] {
        let labels = json!({"component": component, "tier": "control-plane"});
        let name = format!("{component}-cp1");
        out.push(host_pod("kube-system", &name, owned("Node", "cp1"), labels, "cp1", json!({})));
    }
    for (job, labels) in [
        ("kube-scheduler", json!({"component": "kube-scheduler"})),
        ("kube-controller-manager", json!({"component": "kube-controller-manager"})),
        ("kube-etcd", json!({"component": "etcd"})),
        ("kube-proxy", json!({"k8s-app": "kube-proxy"})),
    ] {
        service(&mut out, "kube-system", &format!("stack-{job}"), json!({"jobLabel": job}), &labels);
    }
    service(&mut out, "kube-system", "stack-kubelet", json!({"k8s-app": "kubelet"}), &json!({}));
    let labels = json!({"component": "apiserver", "provider": "kubernetes"});
    service(&mut out, "default", "kubernetes", labels, &json!({}));
    out.push(("DaemonSet", "kube-system", "kube-proxy".into(), json!({})));
    out.push(("DaemonSet", "monitoring", "node-exporter".into(), json!({})));
    let name = json!({"app.kubernetes.io/name": "node-exporter"});
    service(&mut out, "monitoring", "node-exporter", name.clone(), &name);

    deployment(&mut out, "monitoring", "kube-state-metrics", "10.0.0.5", "w1", true);
    deployment(&mut out, "monitoring", "prometheus-operator", "10.0.0.6", "w1", true);
    deployment(&mut out, "monitoring", "grafana", "10.0.0.7", "w2", true);
    // Called as one in another namespace.
    deployment(&mut out, "monitoring", "web", "10.0.0.8", "w2", false);
    deployment(&mut out, "shop", "web", "10.0.0.9", "w1", true);
    stateful(&mut out, "prometheus-k8s", "10.0.0.30");
    stateful(&mut out, "alertmanager-main", "10.0.0.40");
    // A pod that is over and had the address of one that runs.
    let over = json!({"status": {"phase": "Succeeded", "podIP": "10.0.0.9"}, "spec": {"nodeName": "w1"}});
    out.push(("Pod", "batch", "a-former-one".into(), over));
    for (kind, namespace, name) in [
        ("StatefulSet", "shop", "db"),
        ("DaemonSet", "shop", "agent"),
        ("Job", "shop", "import"),
        ("CronJob", "shop", "nightly"),
        ("HorizontalPodAutoscaler", "shop", "web-scaler"),
        ("PodDisruptionBudget", "shop", "web-budget"),
        ("PersistentVolumeClaim", "shop", "data-db-0"),
        ("ResourceQuota", "shop", "limits"),
        ("PersistentVolume", "", "pv-7"),
        ("APIService", "", "v1beta1.metrics.k8s.io"),
        ("Certificate", "shop", "web-tls"),
    ] {
        out.push((kind, namespace, name.into(), json!({})));
    }
    out
}

/// The cluster as somebody sees it who collects only what most do.
fn usual(objects: Vec<Object>) -> Vec<Object> {
    let kinds = ["Node", "Pod", "ReplicaSet", "Deployment", "StatefulSet", "DaemonSet", "Service"];
    objects.into_iter().filter(|o| kinds.contains(&o.0)).collect()
}

fn added((kind, namespace, name, mut json): Object) -> Signal {
    let uid = format!("uid-{kind}-{namespace}-{name}");
    json["metadata"]["uid"] = json!(uid);
    Signal {
        id: format!("object/{uid}"),
        source: "object".into(),
        name: "ADDED".into(),
        state: "listed".into(),
        at: Some(timestamp(START)),
        subject: Some(ObjectRef { kind: kind.into(), namespace: namespace.into(), name, uid }),
        body: Some(Body::Object(ObjectChange { json: json.to_string(), resource_version: "1".into() })),
        ..Default::default()
    }
}

/// The object that an alert with these labels is listed under; `-` where it is no symptom at all.
fn subject(cluster: &[Object], name: &str, labels: &Labels) -> String {
    let mut engine = Engine::new(Settings::new("lab"), Nothing).unwrap();
    for object in cluster {
        engine.apply(added(object.clone()));
    }
    let body = Alert {
        identity: name.into(),
        labels: labels.clone(),
        starts_at: Some(timestamp(START)),
        ..Default::default()
    };
    engine.apply(Signal {
        id: "alert".into(),
        source: "alert".into(),
        name: name.into(),
        state: "firing".into(),
        at: Some(timestamp(START + 1000)),
        body: Some(Body::Alert(body)),
        ..Default::default()
    });
    let end = Some(timestamp(START + 120_000));
    engine.apply(Signal { id: "tick".into(), source: "tick".into(), at: end, ..Default::default() });
    let found: Vec<String> = engine
        .findings()
        .flat_map(|f| f.symptoms)
        .map(|s| s.object.unwrap_or_default())
        .map(|o| match o.namespace.as_str() {
            "" => format!("{} {}", o.kind, o.name),
            namespace => format!("{} {namespace}/{}", o.kind, o.name),
        })
        .collect();
    assert!(found.len() < 2, "{found:?}");
    found.into_iter().next().unwrap_or("-".to_owned())
}

// ---- how labels come about ----

/// Labels that a target gets through its ServiceMonitor, and the node of its pod where it is a pod.
fn target(exporter: &str) -> (Labels, &'static str) {
    let (text, node) = match exporter {
        "ksm" => (
            "namespace=monitoring,pod=kube-state-metrics-1-a,service=kube-state-metrics,endpoint=http,\
             instance=10.0.0.5:8080,job=kube-state-metrics,container=kube-state-metrics",
            "w1",
        ),
        "kubelet" => (
            "namespace=kube-system,service=stack-kubelet,endpoint=https-metrics,instance=192.168.0.11:10250,\
             job=kubelet,node=w1,metrics_path=/metrics",
            "",
        ),
        "node" => (
            "namespace=monitoring,pod=node-exporter-w1,service=node-exporter,endpoint=https,\
             instance=192.168.0.11:9100,job=node-exporter,container=kube-rbac-proxy",
            "w1",
        ),
        "apiserver" => (
            "namespace=default,service=kubernetes,endpoint=https,instance=192.168.0.1:6443,job=apiserver",
            "",
        ),
        "scheduler" => (
            "namespace=kube-system,pod=kube-scheduler-cp1,service=stack-kube-scheduler,\
             endpoint=http-metrics,instance=192.168.0.1:10259,job=kube-scheduler,container=kube-scheduler",
            "cp1",
        ),
        "controller-manager" => (
            "namespace=kube-system,pod=kube-controller-manager-cp1,service=stack-kube-controller-manager,\
             endpoint=http-metrics,instance=192.168.0.1:10257,job=kube-controller-manager",
            "cp1",
        ),
        "etcd" => (
            "namespace=kube-system,pod=etcd-cp1,service=stack-kube-etcd,endpoint=http-metrics,\
             instance=192.168.0.1:2381,job=kube-etcd,container=etcd",
            "cp1",
        ),
        "kube-proxy" => (
            "namespace=kube-system,pod=kube-proxy-w1,service=stack-kube-proxy,endpoint=http-metrics,\
             instance=192.168.0.11:10249,job=kube-proxy,container=kube-proxy",
            "w1",
        ),
        "prometheus" => (
            "namespace=monitoring,pod=prometheus-k8s-0,service=prometheus-k8s,endpoint=web,\
             instance=10.0.0.30:9090,job=prometheus-k8s,container=prometheus",
            "w1",
        ),
        "alertmanager" => (
            "namespace=monitoring,pod=alertmanager-main-0,service=alertmanager-main,endpoint=web,\
             instance=10.0.0.40:9093,job=alertmanager-main,container=alertmanager",
            "w1",
        ),
        "operator" => (
            "namespace=monitoring,pod=prometheus-operator-1-a,service=prometheus-operator,endpoint=https,\
             instance=10.0.0.6:8443,job=prometheus-operator,container=kube-rbac-proxy",
            "w1",
        ),
        "grafana" => (
            "namespace=monitoring,pod=grafana-1-a,service=grafana,endpoint=http,instance=10.0.0.7:3000,\
             job=grafana,container=grafana",
            "w2",
        ),
        "web" => (
            "namespace=shop,pod=web-1-a,service=web,endpoint=http,instance=10.0.0.9:8080,job=web,container=web",
            "w1",
        ),
        "none" => ("", ""),
        other => unreachable!("no exporter {other}"),
    };
    (labels(&text.replace(' ', "")), node)
}

/// One way in which Prometheus may be set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// honor_labels, targets without `container`: the stable/prometheus-operator chart.
    Honoured,
    /// honor_labels, with `container`: kube-prometheus-stack.
    WithContainer,
    /// The target of kube-state-metrics has no pod, service, endpoint and namespace: kube-prometheus.
    Dropped,
    /// Targets also get the node of their pod.
    NodeAttached,
    /// The node exporter's instance is the name of the node.
    InstanceIsNode,
    /// `instance` is a full name of the node.
    InstanceIsFullName,
    /// No honor_labels.
    Renamed,
    /// Scraped by annotations, with the labels of the prometheus chart of old.
    Annotations,
    /// The same, now.
    AnnotationsOfPods,
}

const WAYS: [Way; 9] = [
    Way::Honoured,
    Way::WithContainer,
    Way::Dropped,
    Way::NodeAttached,
    Way::InstanceIsNode,
    Way::InstanceIsFullName,
    Way::Renamed,
    Way::Annotations,
    Way::AnnotationsOfPods,
];

/// The labels of a series, as the rule's expression sees it.
fn series(way: Way, exporter: &str, metric: &Labels) -> Labels {
    let (mut target, node) = target(exporter);
    let mut rename = false;
    match way {
        Way::WithContainer => {}
        Way::Honoured => drop(target.remove("container")),
        Way::Dropped => {
            if exporter == "ksm" {
                target.retain(|k, _| !["pod", "service", "endpoint", "namespace"].contains(&k.as_str()));
            }
        }
        Way::NodeAttached => {
            if !node.is_empty() {
                target.insert("node".into(), node.into());
            }
        }
        Way::InstanceIsNode | Way::InstanceIsFullName => {
            let name = if way == Way::InstanceIsNode { "w1" } else { "w1.lan:9100" };
            if exporter == "node" {
                target.insert("instance".into(), name.into());
            }
            if exporter == "kubelet" {
                target.insert("instance".into(), name.into());
                target.remove("node");
            }
        }
        Way::Renamed => rename = true,
        Way::Annotations | Way::AnnotationsOfPods => {
            let mut old = Labels::new();
            for (from, to) in [
                ("namespace", "kubernetes_namespace"),
                ("service", "kubernetes_name"),
                ("node", "kubernetes_io_hostname"),
                ("instance", "instance"),
                ("job", "job"),
            ] {
                old.extend(target.get(from).map(|v| (to.to_owned(), v.clone())));
            }
            if way == Way::AnnotationsOfPods {
                old.remove("kubernetes_name");
                old.extend(target.get("pod").map(|v| ("kubernetes_pod_name".to_owned(), v.clone())));
            }
            target = old;
        }
    }
    for (name, value) in metric {
        let clash = rename && target.contains_key(name);
        target.insert(if clash { format!("exported_{name}") } else { name.clone() }, value.clone());
    }
    target
}

/// What the expression leaves of them.
fn left(series: &Labels, rule: &str) -> Labels {
    let mut kept = series.clone();
    if let Some(names) = rule.strip_prefix("by ") {
        kept.retain(|k, _| names.split(',').any(|n| n == k));
    } else if let Some(names) = rule.strip_prefix("without ") {
        kept.retain(|k, _| !names.split(',').any(|n| n == k));
    } else {
        assert_eq!(rule, "*");
    }
    kept
}

/// Whether the rule can work at all in that way: it cannot where what it groups by is called otherwise.
fn makes_sense(way: Way, rule: &str, exporter: &str, metric: &Labels) -> bool {
    if rule.starts_with("without instance,pod") {
        // What else tells one pod from another keeps the members apart, and then it is about each.
        return way != Way::NodeAttached && way != Way::AnnotationsOfPods;
    }
    let Some(names) = rule.strip_prefix("by ") else { return true };
    let seen = series(way, exporter, metric);
    let usual = series(Way::WithContainer, exporter, metric);
    names.split(',').all(|n| seen.get(n) == usual.get(n))
}

struct Row<'a> {
    alert: &'a str,
    exporter: &'a str,
    metric: Labels,
    left: &'a str,
    subject: &'a str,
}

fn rows() -> Vec<Row<'static>> {
    let table = include_str!("data/subjects.tsv");
    let row = |line: &'static str| {
        let cells: Vec<&str> = line.split('\t').collect();
        let [alert, exporter, metric, left, subject] = cells.as_slice() else { unreachable!("{line}") };
        Row { alert, exporter, metric: labels(metric), left, subject }
    };
    table.lines().skip(1).map(row).collect()
}

fn check(cluster: &[Object], wanted: impl Fn(&Row<'_>, Way) -> bool) -> usize {
    let mut wrong = Vec::new();
    let mut tried = 0;
    for row in rows() {
        let ways = WAYS.into_iter().filter(|way| makes_sense(*way, row.left, row.exporter, &row.metric));
        let mut known = BTreeSet::new();
        for way in ways.filter(|way| wanted(&row, *way)) {
            let mut labels = left(&series(way, row.exporter, &row.metric), row.left);
            labels.insert("alertname".into(), row.alert.into());
            labels.insert("prometheus".into(), "monitoring/k8s".into());
            labels.insert("severity".into(), "warning".into());
            if !known.insert(labels.clone()) {
                continue;
            }
            tried += 1;
            let found = subject(cluster, row.alert, &labels);
            if found != row.subject {
                wrong.push(format!("{} {way:?}: {found}, not {}: {labels:?}", row.alert, row.subject));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {tried} wrong:\n{}", wrong.len(), wrong.join("\n"));
    tried
}

/// Whether the metric itself names what the alert is about.
fn named(row: &Row<'_>) -> bool {
    let name = row.subject.rsplit(['/', ' ']).next().unwrap();
    row.metric.values().any(|v| v == name)
}

#[test]
fn every_alert_of_the_rules_has_a_row() {
    let rules = include_str!("data/alerts.tsv").lines().skip(1).filter_map(|l| l.split('\t').next());
    let rules: BTreeSet<&str> = rules.collect();
    assert_eq!(rules.len(), 125);
    let table: BTreeSet<&str> = rows().iter().map(|r| r.alert).collect();
    assert_eq!(rules.difference(&table).collect::<Vec<_>>(), Vec::<&&str>::new());
}

#[test]
fn every_alert_is_about_what_its_row_says_however_it_is_labelled() {
    assert!(check(&cluster(), |_, _| true) > 450);
}

#[test]
fn a_kind_that_is_not_collected_is_named_all_the_same() {
    check(&usual(cluster()), |row, _| row.subject != "Namespace shop");
}

#[test]
fn an_exporter_that_the_graph_does_not_know_changes_no_subject() {
    let strangers = ["kube-state-metrics-", "node-exporter-"];
    let is_stranger = |o: &Object| o.0 == "Pod" && strangers.iter().any(|s| o.2.starts_with(s));
    let cluster: Vec<Object> = cluster().into_iter().filter(|o| !is_stranger(o)).collect();
    // Nothing but the pod's address shows that a target without a pod's name is no subject.
    let told = |row: &Row<'_>| {
        row.exporter == "ksm" && ["Namespace", "Service"].iter().any(|k| row.subject.starts_with(k))
    };
    check(&cluster, |row, _| !told(row));
}

#[test]
fn an_alert_that_names_its_subject_needs_no_graph() {
    let tried = check(&[], |row, _| {
        named(row) && !row.subject.starts_with("Namespace") && !row.subject.starts_with("Service")
    });
    assert!(tried > 150, "{tried}");
}
