//! What a kubelet's journal says of a pod that nobody has shown: why its container is not there, at each try.
//!
//! `Error syncing pod` of pkg/kubelet/pod_workers.go, structured since 1.20, with the reasons of
//! pkg/kubelet/kuberuntime/kuberuntime_manager.go and pkg/kubelet/images/types.go. Each is put as the event that the same
//! kubelet makes of it.

use kwhy_sdk::{Field, ObjectRef, Pattern, Signal, World, hours};

use crate::words::{between, quoted};

/// A line of the kubelet about a container that it cannot start.
pub(crate) const LINE: &str = "workload-unsynced";

/// How far back lines count, and how many of the cluster are read.
const LOOKBACK: u64 = hours(2);
const MOST: u32 = 400;

pub(crate) fn pattern() -> Pattern {
    Pattern::new(
        LINE,
        "Error syncing pod",
        r#"Error syncing pod.*failed to \\*"StartContainer\\*" for \\*"(?P<container>[^"\\]+)\\*" with (?P<reason>\w+): (?P<why>.*)"#,
    )
}

/// `pod="shop/api-0"`, or `("api-0_shop(uid)")` before 1.20.
pub(crate) fn pod(line: &Signal) -> Option<ObjectRef> {
    let text = line.message.as_str();
    let structured =
        text.rsplit_once(" pod=\"").and_then(|(_, rest)| rest.split('"').next()?.split_once('/'));
    let (namespace, name) = structured.or_else(|| {
        let (name, rest) = between(text, "(\"", "(")?.split_once('_')?;
        Some((rest, name))
    })?;
    Some(ObjectRef::new("Pod", namespace, name))
}

/// The lines about a pod as the events that they stand for, the newest first.
pub(crate) fn events(world: &World<'_>, id: &ObjectRef) -> Vec<Signal> {
    let cluster = ObjectRef::new("Cluster", "", world.cluster());
    let lines = world.about(&cluster, "cluster", "kubelet", LINE, world.ago(LOOKBACK), MOST);
    let own = lines.into_iter().filter(|l| pod(l).is_some_and(|p| p.is(id)));
    own.filter_map(|line| event(&line, id)).collect()
}

fn event(line: &Signal, id: &ObjectRef) -> Option<Signal> {
    let why = line.field("why").rsplit_once(" pod=\"").map_or(line.field("why"), |(why, _)| why);
    let mut why = why.to_owned();
    while why.contains("\\\"") {
        why = why.replace("\\\"", "\"").replace("\\\\", "\\");
    }
    // The whole is quoted, and may end with something that is quoted itself.
    let why = why.trim();
    let why = why.strip_prefix('"').and_then(|w| w.strip_suffix('"')).unwrap_or(why);
    let (name, message) = match line.field("reason") {
        "CrashLoopBackOff" | "ImagePullBackOff" => ("BackOff", why.to_owned()),
        "ErrImagePull" => {
            let image = quoted(why, "image ").or_else(|| quoted(why, "reference "));
            let image = image.map_or(String::new(), |image| format!(" \"{image}\""));
            ("Failed", format!("Failed to pull image{image}: {why}"))
        }
        _ => ("Failed", format!("Error: {why}")),
    };
    let field = |name: &str, value: &str| Field { name: name.to_owned(), value: value.to_owned() };
    Some(Signal {
        name: name.to_owned(),
        source: "event".to_owned(),
        state: "Warning".to_owned(),
        subject: Some(id.clone()),
        message,
        fields: vec![
            field("container", line.field("container")),
            field("reporter", "kubelet"),
            field("reporter-host", line.subject.as_ref().map_or("", |n| n.name.as_str())),
        ],
        ..line.clone()
    })
}
