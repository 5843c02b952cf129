//! The cluster of a capture as other tools would have collected it at its end, in their layouts: `kubectl cluster-info
//! dump`, `oc adm must-gather`, a support bundle of troubleshoot.sh.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;

/// A log of a container, each line behind its time.
#[derive(Debug)]
struct Log {
    namespace: String,
    pod: String,
    container: String,
    previous: bool,
    text: String,
}

impl Log {
    /// As `kubectl logs` prints it without `--timestamps`.
    fn bare(&self) -> String {
        self.text
            .lines()
            .fold(String::new(), |all, line| all + line.split_once(' ').map_or("", |(_, text)| text) + "\n")
    }
}

/// What a cluster holds.
#[derive(Debug)]
pub struct Cluster {
    /// By kind, namespace and name, in the state they ended in.
    objects: BTreeMap<[String; 3], Value>,
    events: Vec<Value>,
    logs: Vec<Log>,
    /// Kubelet logs of all nodes, one behind the other.
    kubelet: Vec<String>,
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn key(object: &Value) -> [String; 3] {
    ["/kind", "/metadata/namespace", "/metadata/name"].map(|pointer| text(object, pointer))
}

fn below(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
    all.sort();
    all
}

/// A file of a capture, which may be packed as NAME.gz.
fn read(path: &Path) -> Option<String> {
    let packed = PathBuf::from(format!("{}.gz", path.display()));
    let bytes = fs::read(path).or_else(|_| fs::read(packed)).ok()?;
    let mut text = Vec::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut text).expect("a whole file");
    } else {
        text = bytes;
    }
    Some(String::from_utf8_lossy(&text).into_owned())
}

fn last(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Cluster {
    /// The cluster of a capture.
    ///
    /// # Panics
    /// Where the capture cannot be read.
    #[must_use]
    pub fn of(capture: &Path) -> Self {
        let list = |name: &str| {
            let text = read(&capture.join(name)).unwrap_or_else(|| r#"{"items": []}"#.to_owned());
            let mut list: Value = serde_json::from_str(&text).expect("a list");
            list.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default()
        };
        let mut objects: BTreeMap<_, _> = list("objects.json").into_iter().map(|o| (key(&o), o)).collect();
        let mut events = list("events.json");
        let changes = read(&capture.join("changes.ndjson")).unwrap_or_default();
        for change in changes.lines().map(|line| serde_json::from_str::<Value>(line).expect("a change")) {
            let object = change.get("object").cloned().unwrap_or_default();
            match text(&change, "/type").as_str() {
                _ if text(&object, "/kind") == "Event" => events.push(object),
                "DELETED" => drop(objects.remove(&key(&object))),
                _ => drop(objects.insert(key(&object), object)),
            }
        }
        let mut logs = Vec::new();
        for namespace in below(&capture.join("pods")) {
            for pod in below(&namespace) {
                for file in below(&pod) {
                    let name = last(&file).replace(".gz", "").replace(".log", "");
                    logs.push(Log {
                        namespace: last(&namespace),
                        pod: last(&pod),
                        container: name.replace(".previous", ""),
                        previous: name.ends_with(".previous"),
                        text: read(&file).expect("a log"),
                    });
                }
            }
        }
        let kubelet = below(&capture.join("kubelet"))
            .iter()
            .flat_map(|file| {
                let log = read(file).expect("a log");
                log.lines().map(str::to_owned).collect::<Vec<_>>()
            })
            .collect();
        Self { objects, events, logs, kubelet }
    }

    fn namespaces(&self) -> Vec<String> {
        let mut all: Vec<String> = self.objects.keys().map(|[_, namespace, _]| namespace.clone()).collect();
        all.extend(self.events.iter().map(|event| text(event, "/metadata/namespace")));
        all.retain(|namespace| !namespace.is_empty());
        all.sort();
        all.dedup();
        all
    }

    fn list(&self, kind: &str, namespace: &str) -> Value {
        let items = self.objects.iter().filter(|([of, within, _], _)| of == kind && within == namespace);
        let items: Vec<&Value> = items.map(|(_, object)| object).collect();
        json!({"kind": format!("{kind}List"), "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items})
    }

    fn events_of(&self, namespace: &str) -> Value {
        let items = self.events.iter().filter(|event| text(event, "/metadata/namespace") == namespace);
        let items: Vec<&Value> = items.collect();
        json!({"kind": "EventList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items})
    }

    /// As `kubectl cluster-info dump -A --output-directory=DIR` writes it, with `-o yaml` where wanted.
    pub fn cluster_dump(&self, dir: &Path, yaml: bool) {
        let print = |name: String, value: &Value| {
            if yaml {
                put_yaml(&dir.join(name + ".yaml"), value)
            } else {
                put_json(&dir.join(name + ".json"), value)
            }
        };
        print("nodes".to_owned(), &self.list("Node", ""));
        for namespace in self.namespaces() {
            print(format!("{namespace}/events"), &self.events_of(&namespace));
            for (kind, file) in [
                ("ReplicationController", "replication-controllers"),
                ("Service", "services"),
                ("DaemonSet", "daemonsets"),
                ("Deployment", "deployments"),
                ("ReplicaSet", "replicasets"),
                ("Pod", "pods"),
            ] {
                print(format!("{namespace}/{file}"), &self.list(kind, &namespace));
            }
        }
        for ([kind, namespace, pod], object) in &self.objects {
            if kind != "Pod" {
                continue;
            }
            let mut all = String::new();
            for list in ["/spec/initContainers", "/spec/containers"] {
                for container in object.pointer(list).and_then(Value::as_array).into_iter().flatten() {
                    let name = text(container, "/name");
                    let of = format!("logs for container {name} of pod {namespace}/{pod} ====\n");
                    let log = self.logs.iter().find(|log| {
                        !log.previous && (&log.namespace, &log.pod, &log.container) == (namespace, pod, &name)
                    });
                    all +=
                        &format!("==== START {of}{}==== END {of}", log.map_or_else(String::new, Log::bare));
                }
            }
            put(&dir.join(namespace).join(pod).join("logs.txt"), &all);
        }
    }

    /// As `oc adm must-gather` writes it, in a folder of the image within `dir`.
    pub fn must_gather(&self, dir: &Path) {
        let dir = dir.join("registry-example-org-must-gather-sha256-0123abcd");
        put(&dir.join("version"), "openshift/must-gather\n4.14.0\n");
        put(&dir.join("event-filter.html"), "<!doctype html>\n");
        for ([kind, namespace, name], object) in &self.objects {
            let api = text(object, "/apiVersion");
            let group = api.split_once('/').map_or("core", |(group, _)| group);
            let plural = plural(kind);
            if namespace.is_empty() {
                put_yaml(&dir.join(format!("cluster-scoped-resources/{group}/{plural}/{name}.yaml")), object);
                continue;
            }
            let within = dir.join("namespaces").join(namespace);
            put_yaml(&within.join(format!("{group}/{plural}.yaml")), &self.list(kind, namespace));
            if kind == "Pod" && text(object, "/status/phase") == "Running" {
                put_yaml(&within.join(format!("pods/{name}/{name}.yaml")), object);
            }
        }
        for namespace in self.namespaces() {
            let within = dir.join("namespaces").join(&namespace);
            put_yaml(&within.join("core/events.yaml"), &self.events_of(&namespace));
            let own = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            put_yaml(&within.join(format!("{namespace}.yaml")), &own);
        }
        for log in &self.logs {
            let Log { namespace, pod, container, previous, text } = log;
            let file = if *previous { "previous.log" } else { "current.log" };
            put(
                &dir.join(format!("namespaces/{namespace}/pods/{pod}/{container}/{container}/logs/{file}")),
                text,
            );
        }
        let mut lines: Vec<&str> =
            self.kubelet.iter().map(String::as_str).filter(|line| !line.starts_with("-- ")).collect();
        // As `oc adm node-logs` puts the nodes together.
        lines.sort_unstable();
        put(&dir.join("host_service_logs/masters/kubelet_service.log"), &(lines.join("\n") + "\n"));
    }

    /// As `support-bundle` writes it, in a folder of its own within `dir`. Items of old bundles do not say what they are.
    pub fn support_bundle(&self, dir: &Path, old: bool) {
        let dir = dir.join("support-bundle-2024-01-02T03_04_05");
        put(&dir.join("version.yaml"), "apiVersion: troubleshoot.sh/v1beta2\nkind: SupportBundle\n");
        put(&dir.join("analysis.json"), "[]");
        let within = dir.join("cluster-resources");
        let print = |file: &Path, list: Value| {
            let mut list = list;
            if old {
                let mut items = list.get_mut("items").map(Value::take).unwrap_or_default();
                for item in items.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
                    item.remove("kind");
                    item.remove("apiVersion");
                }
                list = items;
            }
            put_json(file, &list);
        };
        for (kind, file) in
            [("Node", "nodes"), ("PersistentVolume", "pvs"), ("StorageClass", "storage-classes")]
        {
            print(&within.join(file).with_extension("json"), self.list(kind, ""));
        }
        put_json(&within.join("custom-resource-definitions.json"), &json!({"kind": "x", "items": [1]}));
        put_json(&within.join("pods-errors.json"), &json!(["nothing of use"]));
        for namespace in self.namespaces() {
            let file = format!("{namespace}.json");
            print(&within.join("events").join(&file), self.events_of(&namespace));
            for (kind, folder) in [
                ("ConfigMap", "configmaps"),
                ("DaemonSet", "daemonsets"),
                ("Deployment", "deployments"),
                ("Endpoints", "endpoints"),
                ("Job", "jobs"),
                ("PersistentVolumeClaim", "pvcs"),
                ("Pod", "pods"),
                ("ReplicaSet", "replicasets"),
                ("Service", "services"),
                ("StatefulSet", "statefulsets"),
            ] {
                print(&within.join(folder).join(&file), self.list(kind, &namespace));
            }
        }
        for log in &self.logs {
            let end = if log.previous { "-previous.log" } else { ".log" };
            let Log { namespace, pod, container, .. } = log;
            put(&within.join(format!("pods/logs/{namespace}/{pod}/{container}{end}")), &log.bare());
        }
    }
}

fn plural(kind: &str) -> String {
    let kind = kind.to_lowercase();
    if kind.ends_with('s') && !kind.ends_with("ss") {
        kind
    } else if kind.ends_with("ss") {
        kind + "es"
    } else if let Some(stem) = kind.strip_suffix("cy") {
        stem.to_owned() + "cies"
    } else {
        kind + "s"
    }
}

fn put(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().expect("a folder around it")).expect("a folder");
    fs::write(path, content).expect("a file");
}

fn put_json(path: &Path, value: &Value) {
    put(path, &(serde_json::to_string_pretty(value).expect("JSON") + "\n"));
}

fn put_yaml(path: &Path, value: &Value) {
    put(path, &format!("---\n{}", serde_norway::to_string(value).expect("YAML")));
}

/// Packs a folder as .tar.gz, with itself as the first part of all names.
///
/// # Panics
/// Where it cannot be written.
pub fn tar_gz(folder: &Path, to: &Path) {
    let file = GzEncoder::new(File::create(to).expect("a file"), Compression::fast());
    let mut tar = tar::Builder::new(file);
    tar.append_dir_all(last(folder), folder).expect("a tar");
    tar.into_inner().and_then(GzEncoder::finish).expect("a tar");
}

/// Packs a folder as .zip, with its own name left out.
///
/// # Panics
/// Where it cannot be written.
pub fn zip(folder: &Path, to: &Path) {
    let mut zip = zip::ZipWriter::new(File::create(to).expect("a file"));
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for path in below(&next) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).expect("below it").to_string_lossy().into_owned();
            zip.start_file(name, SimpleFileOptions::default()).expect("a zip");
            zip.write_all(&fs::read(&path).expect("a file")).expect("a zip");
        }
    }
    zip.finish().expect("a zip");
}
