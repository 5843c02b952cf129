//! k3s runs these components inside its own process: there is no pod to look at, they listen on loopback unless k3s is
//! told otherwise, and each node says in an annotation what it was told.

use kwhy_sdk::{Condition, Diagnosis, Evidence, Explains, Json, ObjectRef, Remedy, Step, World};

use crate::{
    address, bare,
    component::Component,
    list,
    loopback::CODE,
    memory::{Firing, object},
};

const ARGS: &str = "/metadata/annotations/k3s.io~1node-args";

struct Member {
    id: ObjectRef,
    json: Json,
}

impl Member {
    /// Whether this node runs the component inside k3s.
    fn runs(&self, component: Component) -> bool {
        let role = |name: &str| self.json.has(&format!("/metadata/labels/node-role.kubernetes.io~1{name}"));
        match component {
            Component::Proxy => true,
            Component::Etcd => role("etcd"),
            _ => role("control-plane") || role("master"),
        }
    }

    fn words(&self) -> Vec<String> {
        let parsed = kwhy_sdk::serde_json::from_str(self.json.text(ARGS)).unwrap_or_default();
        Json::new(parsed).texts("")
    }

    /// Whether it was told to show the component's metrics.
    fn shows(&self, component: Component) -> bool {
        let words = self.words();
        if component == Component::Etcd {
            let place = words.iter().position(|w| w.starts_with("--etcd-expose-metrics"));
            return place.is_some_and(|at| {
                let off = |w: Option<&String>| w.is_some_and(|w| w.ends_with("false"));
                !off(words.get(at)) && !off(words.get(at + 1).filter(|w| !w.starts_with('-')))
            });
        }
        let flag = format!("--{}-arg", component.name());
        let key = format!("{}=", component.flag());
        let given = words.iter().enumerate().filter_map(|(i, w)| match w.strip_prefix(&flag)? {
            "" => words.get(i + 1).map(String::as_str),
            rest => rest.strip_prefix('='),
        });
        let last = given.filter_map(|v| v.trim_start_matches('-').strip_prefix(&key)).next_back();
        last.is_some_and(|value| !address::is_loopback(value))
    }

    fn ready(&self) -> bool {
        Condition::of(&self.json, "Ready").holds()
    }
}

/// One finding for all components whose alerts fire, where every node runs k3s.
pub(crate) fn diagnose(world: &World<'_>, firing: &[Firing]) -> Option<Diagnosis> {
    let nodes: Vec<Member> = world
        .list("Node", "")
        .into_iter()
        .filter_map(|id| Some(Member { json: world.read(&id, "")?, id }))
        .collect();
    let k3s = |m: &Member| m.json.text("/status/nodeInfo/kubeletVersion").contains("+k3s");
    if nodes.is_empty() || !nodes.iter().all(|m| k3s(m) && m.ready()) {
        return None;
    }
    // Something else may have taken the annotations away: then only the default speaks.
    let told = nodes.iter().all(|m| m.json.has(ARGS));
    let mut found: Vec<(Component, Vec<&Member>)> = Vec::new();
    for component in Component::ALL {
        let hidden: Vec<&Member> =
            nodes.iter().filter(|m| m.runs(component) && !m.shows(component)).collect();
        if firing.iter().any(|f| f.component == component) && !hidden.is_empty() {
            found.push((component, hidden));
        }
    }
    let (_, hidden) = found.first()?;
    let first = hidden.first()?;
    let names: Vec<String> = found.iter().map(|(c, _)| c.name().to_owned()).collect();
    let all = list(&names);
    let mut diagnosis = Diagnosis::new(CODE, bare(&first.id));
    diagnosis.confidence = if told { 85 } else { 65 };
    diagnosis.title =
        format!("k3s serves the metrics of {all} on 127.0.0.1 only, where Prometheus cannot reach them");
    diagnosis.explanation = format!(
        "k3s runs {all} inside its own process and lets them answer for metrics on the loopback address unless it is told \
         otherwise; {}. The components themselves are well: all {} nodes are ready.",
        if told {
            "the arguments of its nodes do not say otherwise"
        } else {
            "what its nodes were told is not known here"
        },
        nodes.len(),
    );
    if told {
        let excerpt = format!("k3s.io/node-args: {}", first.json.text(ARGS));
        let excerpt: String = excerpt.chars().take(300).collect();
        let note = "sets no other address for the metrics";
        diagnosis.evidence.push(Evidence::object(&first.id, excerpt, 40, note));
    }
    let version = first.json.text("/status/nodeInfo/kubeletVersion");
    diagnosis.evidence.push(Evidence::object(&first.id, version, 10, "the node is ready"));
    for (component, _) in &found {
        let own = component.own_alerts().iter();
        diagnosis.explains.extend(own.map(|name| Explains::alert(name, &diagnosis.root, "cluster")));
    }
    for alert in firing.iter().filter(|f| found.iter().any(|(c, _)| *c == f.component)) {
        let subject = object(&alert.subject);
        if !matches!(subject.kind.as_str(), "Cluster" | "Namespace") {
            diagnosis.explains.push(Explains::alert(&alert.name, &subject, "self"));
        }
    }
    diagnosis.path.push(Step::new(&first.id, "", "ready; k3s shows no metrics of its components"));
    diagnosis.remedies.push(remedy(&found));
    Some(diagnosis)
}

fn remedy(found: &[(Component, Vec<&Member>)]) -> Remedy {
    let mut lines = Vec::new();
    let mut nodes: Vec<String> = Vec::new();
    for (component, hidden) in found {
        lines.push(match component {
            Component::Etcd => "etcd-expose-metrics: true".to_owned(),
            Component::Proxy => "kube-proxy-arg: [\"metrics-bind-address=0.0.0.0\"]".to_owned(),
            other => format!("{}-arg: [\"{}=0.0.0.0\"]", other.name(), other.flag()),
        });
        for member in hidden {
            if !nodes.contains(&member.id.name) {
                nodes.push(member.id.name.clone());
            }
        }
    }
    let on = list(&nodes);
    let mut remedy = Remedy::new(format!(
        "let k3s serve these metrics on the node's addresses: put {} into /etc/rancher/k3s/config.yaml and restart k3s",
        list(&lines.iter().map(|l| format!("`{l}`")).collect::<Vec<_>>())
    ));
    for line in &lines {
        remedy = remedy.command(format!("sudoedit /etc/rancher/k3s/config.yaml     # on {on}: {line}"));
    }
    remedy
        .command(format!("sudo systemctl restart k3s     # on {on}; k3s-agent on a worker"))
        .caution("one node after the other; the metrics of kube-proxy and etcd ask for no password")
}
