//! A program that runs in a pod: one of the pod's containers, how it fares, what it is told and what it reads.

use crate::{Condition, Json, ObjectRef, World, command_line, parse_time};

/// A standing pod with the one of its containers that a rule is about.
#[derive(Debug, Clone)]
pub struct Program {
    /// The pod, with its uid.
    pub id: ObjectRef,
    /// All of the pod.
    pub pod: Json,
    /// The container's entry in the spec.
    pub container: Json,
}

impl Program {
    /// The pod if it stands and `pick` finds the container in it.
    #[must_use]
    pub fn load(world: &World<'_>, id: &ObjectRef, pick: impl Fn(&Json) -> Option<Json>) -> Option<Self> {
        if !world.exists(id) {
            return None;
        }
        let pod = world.read(id, "")?;
        let container = pick(&pod)?;
        let uid = pod.text("/metadata/uid").to_owned();
        Some(Self { id: ObjectRef { uid, ..ObjectRef::new("Pod", &id.namespace, &id.name) }, pod, container })
    }

    /// Name of the container.
    #[must_use]
    pub fn container_name(&self) -> &str {
        self.container.text("/name")
    }

    /// Image of the container.
    #[must_use]
    pub fn image(&self) -> &str {
        self.container.text("/image")
    }

    /// Name of the node; empty while the pod has none.
    #[must_use]
    pub fn node(&self) -> &str {
        self.pod.text("/spec/nodeName")
    }

    /// Whether the pod is being deleted.
    #[must_use]
    pub fn terminating(&self) -> bool {
        self.pod.has("/metadata/deletionTimestamp")
    }

    /// Whether the pod is at its end and runs no more.
    #[must_use]
    pub fn ended(&self) -> bool {
        matches!(self.pod.text("/status/phase"), "Succeeded" | "Failed")
    }

    /// When the pod was made, ms.
    #[must_use]
    pub fn made(&self) -> Option<u64> {
        parse_time(self.pod.text("/metadata/creationTimestamp"))
    }

    /// The words of the command line.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        command_line(&self.container)
    }

    /// Since when the pod is ready, ms; none while it is not.
    #[must_use]
    pub fn ready_since(&self) -> Option<u64> {
        let ready = Condition::of(&self.pod, "Ready");
        ready.holds().then_some(ready.since)
    }

    /// The same as the API server wrote it.
    #[must_use]
    pub fn ready_at(&self) -> Option<String> {
        let conditions = self.pod.list("/status/conditions");
        let ready = conditions.iter().find(|c| c.text("/type") == "Ready" && c.text("/status") == "True")?;
        Some(ready.text("/lastTransitionTime").to_owned())
    }

    /// The container's entry in the status.
    #[must_use]
    pub fn status(&self) -> Json {
        let all = self.pod.list("/status/containerStatuses");
        all.into_iter().find(|s| s.text("/name") == self.container_name()).unwrap_or_default()
    }

    /// How often the container was restarted.
    #[must_use]
    pub fn restarts(&self) -> i64 {
        self.status().number("/restartCount")
    }

    /// Since when the container's present run lasts, ms.
    #[must_use]
    pub fn running_since(&self) -> Option<u64> {
        parse_time(self.status().text("/state/running/startedAt"))
    }

    /// When the container's last run ended, ms; none where it has had no other run.
    #[must_use]
    pub fn last_ended(&self) -> Option<u64> {
        parse_time(self.status().text("/lastState/terminated/finishedAt"))
    }

    /// Whether the pod's own state says that the program keeps ending.
    #[must_use]
    pub fn keeps_ending(&self) -> bool {
        let status = self.status();
        let ended = |state: &str| status.number(&format!("/{state}/terminated/exitCode")) != 0;
        self.ready_since().is_none()
            && (status.text("/state/waiting/reason") == "CrashLoopBackOff"
                || ended("state")
                || ended("lastState"))
    }

    /// Why the container does not run, in one word; empty while it does.
    #[must_use]
    pub fn waiting_reason(&self) -> String {
        self.status().text("/state/waiting/reason").to_owned()
    }

    /// What the kubelet says of the container that does not run; empty while it does.
    #[must_use]
    pub fn waiting(&self) -> String {
        let status = self.status();
        let (reason, message) = (status.text("/state/waiting/reason"), status.text("/state/waiting/message"));
        if message.is_empty() { reason.to_owned() } else { format!("{reason}: {message}") }
    }

    /// `not ready, restarted 52 times`.
    #[must_use]
    pub fn fares(&self) -> String {
        let ready = if self.ready_since().is_some() { "ready" } else { "not ready" };
        match self.restarts() {
            0 => ready.to_owned(),
            1 => format!("{ready}, restarted once"),
            n => format!("{ready}, restarted {n} times"),
        }
    }

    /// The ConfigMap or Secret that shows the file at `path` to the program, and the key.
    #[must_use]
    pub fn mounted(&self, path: &str) -> Option<(ObjectRef, String)> {
        let volumes = self.pod.list("/spec/volumes");
        // The longest mount path wins, as it does in the container.
        let mut best: Option<(usize, ObjectRef, String)> = None;
        for mount in self.container.list("/volumeMounts") {
            let at = mount.text("/mountPath").trim_end_matches('/');
            let inside = path.strip_prefix(at).and_then(|rest| rest.strip_prefix('/'));
            let file = match (mount.text("/subPath"), inside) {
                ("", Some(file)) => file.to_owned(),
                ("", None) => continue,
                (sub, _) if path == at => sub.to_owned(),
                (sub, Some(file)) => format!("{sub}/{file}"),
                _ => continue,
            };
            let Some(volume) = volumes.iter().find(|v| v.text("/name") == mount.text("/name")) else {
                continue;
            };
            let found = sources(volume).into_iter().find_map(|(kind, name, source)| {
                let items = source.list("/items");
                let item = items.iter().find(|i| i.text("/path") == file);
                // Where items are listed, nothing else of the object is shown.
                let key = match item {
                    Some(item) => item.text("/key").to_owned(),
                    None if items.is_empty() => file.clone(),
                    None => return None,
                };
                Some((ObjectRef::new(kind, &self.id.namespace, &name), key))
            });
            if let Some((object, key)) = found.filter(|_| best.as_ref().is_none_or(|(n, ..)| *n < at.len())) {
                best = Some((at.len(), object, key));
            }
        }
        best.map(|(_, object, key)| (object, key))
    }
}

/// Kind and name of the ConfigMaps and Secrets of a volume, each with its entry.
fn sources(volume: &Json) -> Vec<(&'static str, String, Json)> {
    let mut entries = vec![
        ("ConfigMap", volume.at("/configMap"), "/name"),
        ("Secret", volume.at("/secret"), "/secretName"),
    ];
    for projected in volume.list("/projected/sources") {
        entries.push(("ConfigMap", projected.at("/configMap"), "/name"));
        entries.push(("Secret", projected.at("/secret"), "/name"));
    }
    let named = entries.into_iter().filter(|(_, entry, name)| entry.has(name));
    named.map(|(kind, entry, name)| (kind, entry.text(name).to_owned(), entry)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn program() -> Program {
        let pod = json!({
            "spec": {"volumes": [
                {"name": "config", "configMap": {"name": "main", "items": [{"key": "Corefile", "path": "Corefile"}]}},
                {"name": "custom", "projected": {"sources": [{"configMap": {"name": "more"}}, {"secret": {"name": "hidden", "items": [{"key": "k", "path": "ca.crt"}]}}]}},
                {"name": "whole", "secret": {"secretName": "tls"}},
            ]},
            "status": {"conditions": [{"type": "Ready", "status": "False"}], "containerStatuses": [{"name": "c", "restartCount": 3, "lastState": {"terminated": {"exitCode": 1}}}]},
        });
        let container = json!({"name": "c", "volumeMounts": [
            {"name": "config", "mountPath": "/etc/coredns"},
            {"name": "custom", "mountPath": "/etc/coredns/custom/"},
            {"name": "whole", "mountPath": "/one/tls.crt", "subPath": "tls.crt"},
        ]});
        Program { id: ObjectRef::new("Pod", "ns", "p"), pod: Json::new(pod), container: Json::new(container) }
    }

    #[test]
    fn a_file_is_traced_to_the_key_that_it_comes_from() {
        let of = |path: &str| program().mounted(path).map(|(o, key)| format!("{} {} {key}", o.kind, o.name));
        assert_eq!(of("/etc/coredns/Corefile").as_deref(), Some("ConfigMap main Corefile"));
        assert_eq!(of("/etc/coredns/NodeHosts"), None, "only the listed items are shown");
        assert_eq!(of("/etc/coredns/custom/a.override").as_deref(), Some("ConfigMap more a.override"));
        assert_eq!(of("/one/tls.crt").as_deref(), Some("Secret tls tls.crt"));
        assert_eq!(of("/etc/resolv.conf"), None);
    }

    #[test]
    fn how_it_fares_is_read_from_the_pods_own_state() {
        let program = program();
        assert!(program.keeps_ending());
        assert_eq!(program.fares(), "not ready, restarted 3 times");
    }
}
