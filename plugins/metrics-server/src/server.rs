//! A pod that runs metrics-server: how it is told from others, how it fares, what it was told on its command line.

use kwhy_sdk::{Json, ObjectRef, World, command_line, flag, image_name, parse_time};

/// The order in which addresses are tried unless another is set (`pkg/utils/address_resolver.go`).
const DEFAULT_TYPES: [&str; 5] = ["Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP"];
pub(crate) const TYPES_FLAG: &str = "kubelet-preferred-address-types";
pub(crate) const CA_FLAG: &str = "kubelet-certificate-authority";
pub(crate) const INSECURE_FLAG: &str = "kubelet-insecure-tls";

/// Whether a container runs metrics-server, by its image or its program.
pub(crate) fn is_metrics_server(container: &Json) -> bool {
    let program = |word: &String| word.rsplit('/').next() == Some("metrics-server");
    image_name(container.text("/image")).contains("metrics-server")
        || command_line(container).iter().take(3).any(program)
}

/// A metrics-server pod as it stands now.
#[derive(Debug, Clone)]
pub(crate) struct Pod {
    pub(crate) id: ObjectRef,
    json: Json,
    container: Json,
}

impl Pod {
    /// The pod if it stands, is not being deleted and runs metrics-server.
    pub(crate) fn load(world: &World<'_>, id: &ObjectRef) -> Option<Self> {
        if !world.exists(id) {
            return None;
        }
        let json = world.read(id, "")?;
        let container = json.list("/spec/containers").into_iter().find(is_metrics_server)?;
        if json.has("/metadata/deletionTimestamp")
            || matches!(json.text("/status/phase"), "Succeeded" | "Failed")
        {
            return None;
        }
        let uid = json.text("/metadata/uid").to_owned();
        Some(Self {
            id: ObjectRef { uid, ..ObjectRef::new("Pod", &id.namespace, &id.name) },
            json,
            container,
        })
    }

    pub(crate) fn container_name(&self) -> &str {
        self.container.text("/name")
    }

    pub(crate) fn node(&self) -> &str {
        self.json.text("/spec/nodeName")
    }

    pub(crate) fn made(&self) -> &str {
        self.json.text("/metadata/creationTimestamp")
    }

    /// Which state of its template it was made from.
    pub(crate) fn template(&self) -> &str {
        self.json.text("/metadata/labels/pod-template-hash")
    }

    pub(crate) fn words(&self) -> Vec<String> {
        command_line(&self.container)
    }

    /// Since when the pod is ready, ms; none while it is not.
    pub(crate) fn ready_since(&self) -> Option<u64> {
        let conditions = self.json.list("/status/conditions");
        let ready = conditions.iter().find(|c| c.text("/type") == "Ready" && c.text("/status") == "True")?;
        Some(parse_time(ready.text("/lastTransitionTime")).unwrap_or(0))
    }

    fn status(&self) -> Json {
        let all = self.json.list("/status/containerStatuses");
        all.into_iter().find(|s| s.text("/name") == self.container_name()).unwrap_or_default()
    }

    pub(crate) fn restarts(&self) -> i64 {
        self.status().number("/restartCount")
    }

    /// When its last run ended, ms; none where it has had no other run.
    pub(crate) fn ended(&self) -> Option<u64> {
        parse_time(self.status().text("/lastState/terminated/finishedAt"))
    }

    /// Why its container does not run; empty while it does.
    pub(crate) fn waiting(&self) -> String {
        self.status().text("/state/waiting/reason").to_owned()
    }

    /// `not ready, restarted 9 times`.
    pub(crate) fn fares(&self) -> String {
        let ready = if self.ready_since().is_some() { "ready" } else { "not ready" };
        match self.restarts() {
            0 => ready.to_owned(),
            1 => format!("{ready}, restarted once"),
            n => format!("{ready}, restarted {n} times"),
        }
    }

    /// The kinds of address that it tries, in order, and the word that says so; empty for the default.
    pub(crate) fn address_types(&self) -> (Vec<String>, String) {
        let words = self.words();
        match flag(&words, TYPES_FLAG).filter(|v| !v.is_empty()) {
            Some(value) => {
                let types = value.split(',').map(|t| t.trim().to_owned()).collect();
                (types, format!("--{TYPES_FLAG}={value}"))
            }
            None => (DEFAULT_TYPES.iter().map(|t| (*t).to_owned()).collect(), String::new()),
        }
    }

    /// The file of the CA that the kubelets' certificates are checked against, where one is set.
    pub(crate) fn ca_file(&self) -> Option<String> {
        flag(&self.words(), CA_FLAG).filter(|v| !v.is_empty())
    }

    /// The ConfigMap or Secret that is mounted at `path`, and the key.
    pub(crate) fn mounted(&self, path: &str) -> Option<(ObjectRef, String)> {
        for mount in self.container.list("/volumeMounts") {
            let at = mount.text("/mountPath").trim_end_matches('/');
            let Some(file) = path.strip_prefix(at).and_then(|rest| rest.strip_prefix('/')) else { continue };
            let volumes = self.json.list("/spec/volumes");
            let volume = volumes.iter().find(|v| v.text("/name") == mount.text("/name"))?;
            for (kind, source, name) in [
                ("ConfigMap", volume.at("/configMap"), "/name"),
                ("Secret", volume.at("/secret"), "/secretName"),
            ] {
                if source.has(name) {
                    let items = source.list("/items");
                    let item = items.iter().find(|i| i.text("/path") == file);
                    let key = item.map_or(file, |i| i.text("/key"));
                    return Some((
                        ObjectRef::new(kind, &self.id.namespace, source.text(name)),
                        key.to_owned(),
                    ));
                }
            }
        }
        None
    }
}
