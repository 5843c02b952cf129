//! What `deploy/` holds is what Kubernetes takes, what this kwhy takes, and it works as it is written there.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its ground gives way"
)]

use std::fs;

use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, StatefulSet},
    core::v1::{ConfigMap, Namespace, Secret, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    rbac::v1::{ClusterRole, ClusterRoleBinding},
};
use kwhy_tests::{Background, Ended, Kwhy, NatsServer, apiserver::ApiServer, get, here, nats_server};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// The files that are applied.
const FILES: [&str; 5] = ["kwhy.yaml", "nats.yaml", "nodes.yaml", "prometheus.yaml", "rbac.yaml"];

fn text(file: &str) -> String {
    fs::read_to_string(here("../deploy").join(file)).expect("a file")
}

fn documents(text: &str) -> Vec<Value> {
    let documents = serde_norway::Deserializer::from_str(text);
    documents.map(|document| serde::Deserialize::deserialize(document).expect("YAML")).collect()
}

fn manifests() -> Vec<Value> {
    FILES.iter().flat_map(|file| documents(&text(file))).collect()
}

fn str_at<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn list_at<'v>(value: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn name(manifest: &Value) -> String {
    format!("{} {}", str_at(manifest, "/kind"), str_at(manifest, "/metadata/name"))
}

/// What of a manifest the API's own type does not know, and why it does not take it.
fn misfits(manifest: &Value) -> Vec<String> {
    match (str_at(manifest, "/apiVersion"), str_at(manifest, "/kind")) {
        ("apps/v1", "DaemonSet") => unknown::<DaemonSet>(manifest),
        ("apps/v1", "Deployment") => unknown::<Deployment>(manifest),
        ("apps/v1", "StatefulSet") => unknown::<StatefulSet>(manifest),
        ("networking.k8s.io/v1", "NetworkPolicy") => unknown::<NetworkPolicy>(manifest),
        ("rbac.authorization.k8s.io/v1", "ClusterRole") => unknown::<ClusterRole>(manifest),
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding") => unknown::<ClusterRoleBinding>(manifest),
        ("v1", "ConfigMap") => unknown::<ConfigMap>(manifest),
        ("v1", "Namespace") => unknown::<Namespace>(manifest),
        ("v1", "Secret") => unknown::<Secret>(manifest),
        ("v1", "Service") => unknown::<Service>(manifest),
        ("v1", "ServiceAccount") => unknown::<ServiceAccount>(manifest),
        // No type of Kubernetes itself; what matters of it is looked at below.
        ("monitoring.coreos.com/v1alpha1", "AlertmanagerConfig") => Vec::new(),
        (version, kind) => vec![format!("{version} {kind} is no type that is known here")],
    }
}

fn unknown<T: DeserializeOwned + Serialize>(manifest: &Value) -> Vec<String> {
    match serde_json::from_value::<T>(manifest.clone()) {
        Ok(typed) => {
            let mut lost = Vec::new();
            compare(manifest, &serde_json::to_value(typed).expect("JSON"), String::new(), &mut lost);
            lost
        }
        Err(error) => vec![error.to_string()],
    }
}

/// Places of one value that the other does not have.
fn compare(written: &Value, taken: &Value, place: String, lost: &mut Vec<String>) {
    match (written, taken) {
        (Value::Object(fields), _) => {
            for (name, value) in fields {
                compare(value, &taken[name], format!("{place}/{name}"), lost);
            }
        }
        (Value::Array(items), _) => {
            for (at, item) in items.iter().enumerate() {
                compare(item, &taken[at], format!("{place}/{at}"), lost);
            }
        }
        _ if written == taken => {}
        _ => lost.push(place),
    }
}

#[test]
fn every_manifest_is_what_kubernetes_takes() {
    for manifest in manifests() {
        assert_eq!(misfits(&manifest), [""; 0], "{}", name(&manifest));
    }
}

/// The twin: misspelt fields are found, and values of another type.
#[test]
fn a_field_that_kubernetes_does_not_know_is_found() {
    let broken = text("kwhy.yaml")
        .replace("readOnlyRootFilesystem", "readOnlyRootFileSystem")
        .replace("replicas: 1", "replicas: one");
    let misfits: Vec<String> = documents(&broken).iter().flat_map(misfits).collect();
    assert!(misfits.len() == 1 && misfits[0].contains("\"one\""), "{misfits:?}");
    let broken = broken.replace("replicas: one", "replicas: 1");
    let misfits: Vec<String> = documents(&broken).iter().flat_map(self::misfits).collect();
    assert_eq!(misfits, ["/spec/template/spec/containers/0/securityContext/readOnlyRootFileSystem"]);
}

/// Workloads: what has a template of pods.
fn workloads() -> Vec<Value> {
    manifests().into_iter().filter(|manifest| manifest.pointer("/spec/template").is_some()).collect()
}

#[test]
fn what_manifests_name_of_each_other_is_there() {
    let all = manifests();
    let is_there = |kind: &str, namespace: &str, name: &str| {
        all.iter().any(|it| {
            str_at(it, "/kind") == kind
                && str_at(it, "/metadata/namespace") == namespace
                && str_at(it, "/metadata/name") == name
        })
    };
    for manifest in &all {
        let namespace = str_at(manifest, "/metadata/namespace");
        let in_place =
            namespace.is_empty() || namespace == "monitoring" || is_there("Namespace", "", namespace);
        assert!(in_place, "namespace of {}", name(manifest));
    }
    for workload in workloads() {
        let namespace = str_at(&workload, "/metadata/namespace");
        let called = name(&workload);
        let pod = workload.pointer("/spec/template").expect("a template");
        assert_eq!(
            workload.pointer("/spec/selector/matchLabels"),
            pod.pointer("/metadata/labels"),
            "{called}"
        );
        let account = str_at(pod, "/spec/serviceAccountName");
        assert!(account.is_empty() || is_there("ServiceAccount", namespace, account), "{called}: {account}");
        let claims = list_at(&workload, "/spec/volumeClaimTemplates").map(|it| str_at(it, "/metadata/name"));
        let volumes: Vec<&str> =
            list_at(pod, "/spec/volumes").map(|it| str_at(it, "/name")).chain(claims).collect();
        for volume in list_at(pod, "/spec/volumes") {
            let map = str_at(volume, "/configMap/name");
            assert!(map.is_empty() || is_there("ConfigMap", namespace, map), "{called}: {map}");
        }
        for container in list_at(pod, "/spec/containers") {
            let ports: Vec<&str> = list_at(container, "/ports").map(|it| str_at(it, "/name")).collect();
            for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
                let port = str_at(container, &format!("/{probe}/httpGet/port"));
                assert!(port.is_empty() || ports.contains(&port), "{called}: {port}");
            }
            for mount in list_at(container, "/volumeMounts") {
                assert!(volumes.contains(&str_at(mount, "/name")), "{called}: {mount}");
            }
        }
    }
    for service in all.iter().filter(|it| str_at(it, "/kind") == "Service") {
        let selected = workloads().into_iter().find(|workload| {
            workload.pointer("/spec/template/metadata/labels") == service.pointer("/spec/selector")
        });
        let pods = selected.unwrap_or_else(|| panic!("pods of {}", name(service)));
        let ports: Vec<&str> =
            list_at(&pods, "/spec/template/spec/containers/0/ports").map(|it| str_at(it, "/name")).collect();
        for port in list_at(service, "/spec/ports") {
            assert!(ports.contains(&str_at(port, "/targetPort")), "{}: {port}", name(service));
        }
    }
}

#[test]
fn no_pod_may_more_than_it_needs() {
    for workload in workloads() {
        let called = name(&workload);
        let spec = workload.pointer("/spec/template/spec").expect("a pod");
        assert_eq!(str_at(spec, "/securityContext/seccompProfile/type"), "RuntimeDefault", "{called}");
        for part in ["hostNetwork", "hostPID", "hostIPC"] {
            assert_eq!(spec.get(part), None, "{called}");
        }
        // Logs of nodes belong to root; the namespace of those who read them says that it is privileged.
        let root = spec.pointer("/securityContext/runAsNonRoot") != Some(&Value::Bool(true));
        assert_eq!(root, str_at(&workload, "/kind") == "DaemonSet", "{called}");
        for container in list_at(spec, "/containers") {
            let at = |pointer: &str| container.pointer(&format!("/securityContext{pointer}"));
            assert_eq!(at("/allowPrivilegeEscalation"), Some(&Value::Bool(false)), "{called}");
            assert_eq!(at("/readOnlyRootFilesystem"), Some(&Value::Bool(true)), "{called}");
            assert_eq!(at("/capabilities/drop/0"), Some(&Value::from("ALL")), "{called}");
            assert!(container.pointer("/resources/limits/memory").is_some(), "{called}");
            for mount in list_at(container, "/volumeMounts") {
                let hosts = list_at(spec, "/volumes").find(|it| it["name"] == mount["name"]);
                let host = hosts.map(|it| str_at(it, "/hostPath/path")).unwrap_or_default();
                let read_only = mount.get("readOnly") == Some(&Value::Bool(true));
                assert!(host.is_empty() || host == "/var/lib/kwhy" || read_only, "{called}: {host}");
            }
        }
    }
}

/// Containers that run kwhy, with the names of their workloads.
fn kwhys() -> Vec<(String, Vec<String>)> {
    let mut all = Vec::new();
    for workload in workloads() {
        for container in list_at(&workload, "/spec/template/spec/containers") {
            if str_at(container, "/image").starts_with("kwhy:") {
                let args = list_at(container, "/args").map(|it| it.as_str().expect("a text").to_owned());
                all.push((name(&workload), args.collect()));
            }
        }
    }
    all
}

/// Whether kwhy takes these arguments: it reads them from the first to the last, and this is the last.
fn asked_for_help(args: &[String]) -> Ended {
    let kwhy = Kwhy::new();
    let mut command = kwhy.command(&[]);
    command.args(args).arg("--help");
    Background::start(command).wait()
}

#[test]
fn every_flag_of_a_manifest_is_one_of_kwhy() {
    let kwhys = kwhys();
    assert_eq!(kwhys.len(), 2, "{kwhys:?}");
    for (workload, args) in kwhys {
        let ended = asked_for_help(&args);
        assert_eq!(ended.code, Some(0), "{workload}: {}", ended.stderr);
        let misspelt: Vec<String> = args.iter().map(|arg| arg.replace("--nats", "--natz")).collect();
        assert_eq!(asked_for_help(&misspelt).code, Some(2), "the twin");
    }
}

fn configurations() -> Vec<String> {
    let maps = manifests().into_iter().filter(|it| str_at(it, "/kind") == "ConfigMap");
    maps.filter_map(|it| it.pointer("/data/kwhy.yaml")?.as_str().map(str::to_owned)).collect()
}

#[test]
fn every_key_of_a_configuration_is_one_of_kwhy() {
    let reads = |config: &str| {
        let kwhy = Kwhy::new();
        let file = kwhy.write("given.yaml", config);
        kwhy.run(&[&"--config", &file, &"rule", &"list"])
    };
    let configurations = configurations();
    assert_eq!(configurations.len(), 2);
    for config in configurations {
        let ended = reads(&config);
        assert_eq!(ended.code, Some(0), "{config}\n{}", ended.stderr);
        // What stands there to be put in.
        let filled: Vec<String> = config
            .lines()
            .map(|line| match line.split_once("# ") {
                Some((before, key))
                    if before.trim().is_empty() && key.contains(": ") && !key.contains("With this") =>
                {
                    format!("{before}{key}")
                }
                _ => line.to_owned(),
            })
            .collect();
        assert_ne!(filled.join("\n"), config.trim_end(), "there is one such key in each");
        let ended = reads(&filled.join("\n"));
        assert_eq!(ended.code, Some(0), "{filled:?}\n{}", ended.stderr);
        assert_eq!(reads(&format!("{config}surprise: 1\n")).code, Some(2), "the twin");
    }
}

#[test]
fn prometheus_and_alertmanager_are_told_of_the_service_that_there_is() {
    let all = manifests();
    let find = |called: &str| all.iter().find(|it| name(it) == called).expect("a manifest");
    let service = find("Service kwhy");
    let port = service.pointer("/spec/ports/0/port").expect("a port");
    let address = format!("kwhy.{}.svc:{port}", str_at(service, "/metadata/namespace"));
    let listed = documents(str_at(find("Secret kwhy-alertmanager"), "/stringData/kwhy.yaml"));
    assert_eq!(str_at(&listed[0], "/0/static_configs/0/targets/0"), address);
    let webhook = str_at(find("AlertmanagerConfig kwhy"), "/spec/receivers/0/webhookConfigs/0/url");
    assert_eq!(webhook, format!("http://{address}/webhook"));
    let page = fs::read_to_string(here("../docs/alerts.md")).expect("the page");
    assert!(page.contains(&format!("targets: [\"{address}\"]")) && page.contains(webhook), "{address}");
}

#[test]
fn images_are_of_versions_that_will_do() {
    let least = [2, 12, 7];
    let nats = workloads().into_iter().find(|it| name(it) == "StatefulSet nats").expect("NATS");
    let image = str_at(&nats, "/spec/template/spec/containers/0/image");
    let version = image.trim_start_matches("nats:").trim_end_matches("-alpine").split('.');
    let version: Vec<u32> = version.map(|part| part.parse().expect("a number")).collect();
    assert!(version.as_slice() >= least.as_slice(), "{image}");
    let cargo = fs::read_to_string(here("../Cargo.toml")).expect("the workspace");
    let rust =
        cargo.split("rust-version = \"").nth(1).and_then(|rest| rest.split('"').next()).expect("a version");
    let docker = text("Dockerfile");
    assert!(docker.contains(&format!("FROM rust:{rust}-")), "{rust}");
    assert!(docker.contains(" systemd "), "journalctl is in it");
}

/// The deployed arguments and configuration of a workload, with what a cluster would give them.
struct Deployed {
    kwhy: Kwhy,
    process: Background,
}

impl Deployed {
    fn start(
        workload: &str,
        nats: &NatsServer,
        password: &str,
        edit: impl Fn(String) -> String,
        env: &[(&str, &str)],
    ) -> Self {
        let kwhy = Kwhy::new();
        let (_, args) = kwhys().into_iter().find(|(called, _)| called == workload).expect("a workload");
        let maps = manifests();
        let map = workload.split_once(' ').map(|(_, name)| format!("ConfigMap {name}"));
        let map = maps.iter().find(|it| Some(name(it)) == map).expect("its configuration");
        let file = kwhy.write("given.yaml", edit(str_at(map, "/data/kwhy.yaml").to_owned()));
        let address = nats.url.trim_start_matches("nats://");
        let args = args.iter().map(|arg| match arg.strip_prefix("--config=") {
            Some(_) => format!("--config={}", file.display()),
            None => arg.replace("$(NATS_PASSWORD)", password).replace("nats.kwhy.svc:4222", address),
        });
        let mut command = kwhy.command(&[]);
        command.args(args).envs(env.iter().copied());
        let process = Background::start(command);
        Self { kwhy, process }
    }
}

#[tokio::test]
async fn it_runs_as_it_is_deployed() {
    let maps = manifests();
    let config = maps.iter().find(|it| name(it) == "ConfigMap nats").expect("NATS");
    let config = str_at(config, "/data/nats.conf")
        .replace("8222", "-1")
        .replace("store_dir: /data", "")
        .replace("$ENGINE_PASSWORD", "engine-s3cret")
        .replace("$NODE_PASSWORD", "node-s3cret");
    let nats = NatsServer::with(&nats_server(), &config);
    let server = ApiServer::start();
    let home = Kwhy::new();
    let kubeconfig = server.kubeconfig(&home.home(""));

    let local =
        |config: String| config.replace("/var/cache/kwhy", "cache").replace("0.0.0.0:9096", "127.0.0.1:0");
    let kubeconfig = kubeconfig.display().to_string();
    let engine =
        Deployed::start("Deployment kwhy", &nats, "engine-s3cret", local, &[("KUBECONFIG", &kubeconfig)]);
    let url = engine.process.wait_for("its address", |line| line.strip_prefix("alerts: ").map(str::to_owned));
    engine.process.wait_for("line `ready`", |line| (line == "ready").then_some(()));
    let workload = workloads().into_iter().find(|it| name(it) == "Deployment kwhy").expect("it");
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let path = str_at(&workload, &format!("/spec/template/spec/containers/0/{probe}/httpGet/path"));
        assert_eq!(get(&format!("{url}{path}")).status, 200, "{probe}");
    }

    let data = home.home("data").display().to_string();
    let local =
        |config: String| config.replace("/var/lib/kwhy", &data).replace("0.0.0.0:9097", "127.0.0.1:0");
    let node = Deployed::start("DaemonSet kwhy-nodes", &nats, "node-s3cret", local, &[("NODE_NAME", "n1")]);
    node.process.wait_for("the node", |line| line.starts_with("logs of node n1: journal").then_some(()));
    let url = node.process.wait_for("its probes", |line| line.strip_prefix("probes: ").map(str::to_owned));
    assert_eq!(get(&format!("{url}/-/healthy")).status, 200);
    // Whether this machine has a journal to be read is not what is tried here.
    assert!([200, 503].contains(&get(&format!("{url}/-/ready")).status));
    node.process.wait_for("line `ready`", |line| (line == "ready").then_some(()));
    let ended = node.process.terminate();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);

    // The user of nodes may publish, and nothing else.
    let as_node = nats.url.replace("nats://", "nats://node:node-s3cret@");
    let refused = node.kwhy.run(&[&"tail", &"--nats", &as_node, &"--count", &"1"]);
    assert_ne!(refused.code, Some(0), "{}", refused.stdout);
    let ended = engine.process.terminate();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    drop(engine.kwhy);
}
