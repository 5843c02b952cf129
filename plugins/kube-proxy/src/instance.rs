//! A pod that runs a component: how it fares, and where its settings say that it serves metrics.

use kwhy_sdk::{Json, ObjectRef, Program, World, flag, parse_time};

use crate::component::Component;

/// Where kubeadm and all that follow it put these components.
const NAMESPACE: &str = "kube-system";

/// One running copy of a component.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) id: ObjectRef,
    pub(crate) workload: ObjectRef,
    program: Program,
}

/// Where a setting stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// An entry of a ConfigMap, with the line as it stands there; empty where it does not stand there.
    Map { map: ObjectRef, line: String },
    /// A word of the command line.
    Flag(String),
    /// Nowhere: the program's default.
    Nowhere,
}

/// The address on which metrics are served, and who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listening {
    pub(crate) address: String,
    pub(crate) told: Told,
}

impl Instance {
    /// All standing copies, sorted by name: of DaemonSets and Deployments, and static pods.
    pub(crate) fn all<'a>(
        world: &World<'_>,
        component: Component,
        namespaces: impl Iterator<Item = &'a str>,
    ) -> Vec<Self> {
        let mut places = vec![NAMESPACE.to_owned()];
        for namespace in namespaces.filter(|n| !n.is_empty()) {
            if !places.iter().any(|p| p == namespace) {
                places.push(namespace.to_owned());
            }
        }
        let mut found: Vec<Self> = Vec::new();
        for namespace in &places {
            let pods = world.list("Pod", namespace);
            found.extend(
                pods.iter()
                    .filter(|p| component.may_run(&p.name))
                    .filter_map(|p| Self::load(world, component, p)),
            );
        }
        found
    }

    fn load(world: &World<'_>, component: Component, pod: &ObjectRef) -> Option<Self> {
        let runs = |pod: &Json| pod.list("/spec/containers").into_iter().find(|c| component.runs_in(c));
        let program = Program::load(world, pod, runs).filter(|p| !p.terminating() && !p.ended())?;
        Some(Self { id: pod.clone(), workload: world.workload(pod), program })
    }

    pub(crate) fn node(&self) -> &str {
        self.program.node()
    }

    /// Whether its manifest lies on the node, not in the API.
    pub(crate) fn is_static(&self) -> bool {
        self.workload.kind == "Pod"
            && self.program.pod.has("/metadata/annotations/kubernetes.io~1config.mirror")
    }

    pub(crate) fn ready(&self) -> bool {
        self.program.ready_since().is_some()
    }

    pub(crate) fn restarts(&self) -> i64 {
        self.program.restarts()
    }

    /// Since when the program runs, as the API server writes it.
    pub(crate) fn started(&self) -> String {
        self.program.status().text("/state/running/startedAt").to_owned()
    }

    /// The same in ms.
    pub(crate) fn started_at(&self) -> Option<u64> {
        parse_time(&self.started())
    }

    /// Version of the pod's last state, a number that only grows within a cluster (etcd's revision).
    pub(crate) fn revision(&self) -> u64 {
        self.program.pod.text("/metadata/resourceVersion").parse().unwrap_or(0)
    }

    pub(crate) fn host_ip(&self) -> &str {
        self.program.pod.text("/status/hostIP")
    }

    /// Where it serves metrics by its settings as they stand now; none where they cannot be read.
    pub(crate) fn listening(&self, world: &World<'_>, component: Component) -> Option<Listening> {
        let words = self.program.words();
        let config = flag(&words, "config").filter(|f| component == Component::Proxy && !f.is_empty());
        if let Some(path) = config {
            // With --config the flags for the address are ignored (cmd/kube-proxy/app/options.go).
            let (map, text) = self.mounted(world, &path)?;
            let line = |key: &str| setting(&text, key);
            let (address, line) = match line("metricsBindAddress") {
                Some((line, value)) if !value.is_empty() => (value, line),
                other => {
                    let v6 = line("bindAddress").is_some_and(|(_, at)| at.contains(':'));
                    (default_of(component, v6), other.map(|(line, _)| line).unwrap_or_default())
                }
            };
            return Some(Listening { address, told: Told::Map { map, line } });
        }
        let name = component.flag();
        if let Some(value) = flag(&words, name) {
            let word = words.iter().rev().find(|w| w.trim_start_matches('-').starts_with(name)).cloned();
            let word = word.filter(|w| w.contains('=')).unwrap_or_else(|| format!("--{name} {value}"));
            return Some(Listening { address: value, told: Told::Flag(word) });
        }
        match component {
            Component::Proxy => {
                let v6 = flag(&words, "bind-address").is_some_and(|at| at.contains(':'));
                Some(Listening { address: default_of(component, v6), told: Told::Nowhere })
            }
            // By default these listen on all addresses, and etcd where its clients reach it.
            _ => None,
        }
    }

    /// The ConfigMap entry that is mounted at `path`, with its text.
    fn mounted(&self, world: &World<'_>, path: &str) -> Option<(ObjectRef, String)> {
        let (map, key) = self.program.mounted(path).filter(|(object, _)| object.kind == "ConfigMap")?;
        let data = world.read(&map, "/data")?.map("");
        data.into_iter().find(|(name, _)| *name == key).map(|(_, text)| (map, text))
    }
}

fn default_of(component: Component, v6: bool) -> String {
    format!("{}:{}", if v6 { "[::1]" } else { "127.0.0.1" }, component.port())
}

/// A top-level setting of a KubeProxyConfiguration: the line as it stands there and its value. The file is flat where
/// it matters, so no YAML reader is needed; one that is written as JSON is read line by line too.
pub(crate) fn setting(text: &str, key: &str) -> Option<(String, String)> {
    let json = text.trim_start().starts_with('{');
    text.lines().find_map(|line| {
        if line.starts_with([' ', '\t']) && !json {
            return None;
        }
        let rest = line.trim().trim_start_matches('"').strip_prefix(key)?;
        let value = rest.trim_start_matches('"').trim_start().strip_prefix(':')?.trim();
        let quoted = value.strip_prefix(['"', '\'']).and_then(|v| v.split(['"', '\'']).next());
        let value =
            quoted.unwrap_or_else(|| value.split(" #").next().unwrap_or(value).trim_end_matches(',').trim());
        let value = if matches!(value, "null" | "~") { "" } else { value };
        Some((line.trim().trim_end_matches(',').to_owned(), value.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(text: &str) -> Option<String> {
        setting(text, "metricsBindAddress").map(|(_, v)| v)
    }

    #[test]
    fn the_address_is_read_in_every_form_that_yaml_gives_it() {
        for (line, expected) in [
            (r#"metricsBindAddress: """#, ""),
            ("metricsBindAddress:", ""),
            ("metricsBindAddress: null", ""),
            ("metricsBindAddress: 127.0.0.1:10249", "127.0.0.1:10249"),
            (r#"metricsBindAddress: "0.0.0.0:10249" # for Prometheus"#, "0.0.0.0:10249"),
            ("metricsBindAddress: 0.0.0.0:10249 # for Prometheus", "0.0.0.0:10249"),
            ("metricsBindAddress: '[::]:10249'", "[::]:10249"),
        ] {
            let text = format!("kind: KubeProxyConfiguration\nmode: \"\"\n{line}\niptables:\n  x: 1\n");
            assert_eq!(value(&text).as_deref(), Some(expected), "{line}");
        }
        assert_eq!(
            value("{\n  \"metricsBindAddress\": \"0.0.0.0:10249\",\n}").as_deref(),
            Some("0.0.0.0:10249")
        );
    }

    #[test]
    fn a_comment_a_nested_key_or_a_longer_key_is_not_the_setting() {
        assert_eq!(
            value(
                "# metricsBindAddress: 0.0.0.0\nx:\n  metricsBindAddress: 0.0.0.0\nmetricsBindAddressX: 1\n"
            ),
            None
        );
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "[a-zA-Z:\"' #\n{}\\[\\].0-9]{0,120}") {
            let _ = value(&text);
            let _ = value(&format!("metricsBindAddress: {text}"));
        }
    }
}
