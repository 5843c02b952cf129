//! Whose writes an Elasticsearch refuses that has no room: its clients, told by the host that they name. Another one may
//! have no room at the same time.

use kwhy_sdk::{Explains, Json, ObjectRef, Signal, World, hours};

use crate::full::{BLOCKED, FLOOD};

/// What those see whose writes are refused by the pods that use a full claim.
pub(crate) fn felt(world: &World<'_>, id: &ObjectRef, users: &[ObjectRef]) -> Vec<Explains> {
    let server = Server::of(world, users);
    let lines = |name: &str| world.about(id, "cluster", "log", name, world.ago(hours(1)), 50);
    let told = |line: &Signal| line.subject.clone().unwrap_or_default();
    let alone = lines(FLOOD).iter().all(|line| server.has(world, &told(line)));
    let mut workloads: Vec<ObjectRef> = Vec::new();
    for line in lines(BLOCKED) {
        let pod = told(&line);
        let workload = world.workload(&pod);
        let known = workloads.iter().any(|known| known.is(&workload));
        if !known && (alone || server.is_named(world, &pod, &line)) {
            workloads.push(workload);
        }
    }
    let of = |workload: &ObjectRef| {
        let weak = ["workload.readiness-failing", "workload.exit-on-start"];
        let findings = weak.map(|code| Explains::finding(code, workload, "self"));
        Explains::waiting(workload, "workload").chain(findings).collect::<Vec<_>>()
    };
    workloads.iter().flat_map(of).collect()
}

/// The pods of one Elasticsearch and the Services that lead to it.
struct Server {
    pods: Vec<ObjectRef>,
    services: Vec<ObjectRef>,
}

impl Server {
    fn of(world: &World<'_>, pods: &[ObjectRef]) -> Self {
        let mut services: Vec<ObjectRef> = Vec::new();
        for service in pods.iter().flat_map(|pod| world.related(pod, "selected-by")) {
            if service.kind == "Service" && !services.iter().any(|known| known.is(&service)) {
                services.push(service);
            }
        }
        Self { pods: pods.to_vec(), services }
    }

    /// Whether a pod is one of its own.
    fn has(&self, world: &World<'_>, pod: &ObjectRef) -> bool {
        let led = |service: &ObjectRef| world.related(service, "selects").iter().any(|p| p.is(pod));
        self.pods.iter().any(|own| own.is(pod)) || self.services.iter().any(led)
    }

    /// Whether a client speaks of it in what it logs, or is told of it by its settings.
    fn is_named(&self, world: &World<'_>, client: &ObjectRef, line: &Signal) -> bool {
        let settings = settings(world, client);
        let mut all = self.services.iter().chain(&self.pods);
        all.any(|host| {
            let named = |text: &str| names(text, host, &client.namespace);
            named(&line.message) || settings.iter().any(|text| named(text))
        })
    }
}

/// What a pod's containers are given: arguments, variables, and the ConfigMaps that they read.
fn settings(world: &World<'_>, pod: &ObjectRef) -> Vec<String> {
    let containers = world.read(pod, "/spec/containers").unwrap_or_default().list("");
    let of = |c: &Json| {
        let values = c.list("/env").iter().map(|e| e.text("/value").to_owned()).collect();
        [c.texts("/command"), c.texts("/args"), values].concat()
    };
    let mut all: Vec<String> = containers.iter().flat_map(of).collect();
    for map in world.related(pod, "uses").iter().filter(|o| o.kind == "ConfigMap") {
        all.extend(world.read(map, "/data").unwrap_or_default().map("").into_iter().map(|(_, text)| text));
    }
    all
}

/// Whether a text names the host: by its bare name only where it is read in the same namespace.
fn names(text: &str, host: &ObjectRef, namespace: &str) -> bool {
    let own = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let near = host.namespace == namespace;
    text.match_indices(host.name.as_str()).any(|(at, name)| {
        let begins = !text.get(..at).unwrap_or("").ends_with(own);
        let rest = text.get(at + name.len()..).unwrap_or("");
        let far = rest.strip_prefix('.').and_then(|rest| rest.strip_prefix(host.namespace.as_str()));
        let whole = far.is_some_and(|rest| !rest.starts_with(|c| own(c) && c != '.'));
        // A pod is called by its name and that of its Service.
        let of_pod = host.kind == "Pod" && rest.starts_with('.');
        begins && (whole || (near && (of_pod || !rest.starts_with(own))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_named_by_its_service_or_pod_and_not_by_a_longer_name() {
        let es = ObjectRef::new("Service", "logging", "es");
        for (text, namespace, expected) in [
            ("http://es:9200", "logging", true),
            ("es", "logging", true),
            ("http://es.logging:9200", "shop", true),
            ("https://es.logging.svc.cluster.local:9200", "shop", true),
            ("http://es:9200", "shop", false),
            ("http://es.logging-2:9200", "shop", false),
            ("http://es-audit:9200", "logging", false),
            ("http://audit-es:9200", "logging", false),
            ("http://es.example.com", "logging", false),
        ] {
            assert_eq!(names(text, &es, namespace), expected, "{text} in {namespace}");
        }
        let pod = ObjectRef::new("Pod", "logging", "es-0");
        assert!(names("http://es-0.es:9200", &pod, "logging"));
        assert!(!names("http://es-01:9200", &pod, "logging"));
    }
}
