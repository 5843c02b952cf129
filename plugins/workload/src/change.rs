//! What was changed shortly before a workload fell ill: its template, or the ConfigMaps and Secrets it uses.

use kwhy_sdk::{Evidence, Json, ObjectRef, Signal, World, hours, is_stamp, parse_time, stamp_variable};

use crate::{
    pod::Pod,
    words::{ROLLOUT, short, spoken},
};

/// How far back a change may lie; the history of the host goes no further.
const WINDOW: u64 = hours(2);

/// One field of a template with its old and its new value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    /// The container; empty for fields of the pod.
    pub(crate) container: String,
    /// `image`, `env.LOG_LEVEL`, `resources.limits.memory`.
    pub(crate) name: String,
    pub(crate) old: String,
    pub(crate) new: String,
}

impl Field {
    pub(crate) fn words(&self) -> String {
        let value = |v: &str| if v.is_empty() { "nothing".to_owned() } else { short(v, 80) };
        let name = if self.container.is_empty() || self.name == "image" {
            self.name.clone()
        } else {
            format!("{} of {}", self.name, self.container)
        };
        format!("{name} {} → {}", value(&self.old), value(&self.new))
    }
}

/// A new version of a template.
#[derive(Debug, Clone)]
pub(crate) struct Rollout {
    pub(crate) of: ObjectRef,
    pub(crate) at: u64,
    /// Never empty: what changes no container is no rollout here.
    pub(crate) fields: Vec<Field>,
    signal: Option<Signal>,
}

impl Rollout {
    pub(crate) fn words(&self) -> String {
        let all: Vec<String> = self.fields.iter().take(4).map(Field::words).collect();
        let more = if self.fields.len() > 4 {
            format!(" and {} more", self.fields.len() - 4)
        } else {
            String::new()
        };
        format!("{}{more}", all.join(", "))
    }

    pub(crate) fn evidence(&self, weight: i8, note: &str) -> Evidence {
        match &self.signal {
            Some(signal) => Evidence::signal(signal, weight, note).citing(self.words()),
            None => Evidence::object(&self.of, self.words(), weight, note),
        }
    }

    pub(crate) fn field(&self, container: &str, name: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.container == container && f.name == name)
    }
}

/// The last change of the template that this pod was made from, if it was made by one within the window.
pub(crate) fn rollout(world: &World<'_>, pod: &Pod) -> Option<Rollout> {
    let holder = &pod.holder;
    let since = world.ago(WINDOW);
    let mut found = None;
    if matches!(holder.kind.as_str(), "Deployment" | ROLLOUT) {
        found = between_replica_sets(world, pod).filter(|r| r.at >= since);
    }
    let watched = world.changes(holder, "self", since, 20).into_iter().find_map(|change| {
        let written = change.fields.iter().filter(|f| !is_stamp(world, holder, f));
        let fields: Vec<Field> = written.filter_map(|f| of_pointer(&f.name, &f.value, pod)).collect();
        // A pod made before the change runs the former template.
        let made = pod.created() + 1000 >= change.at - change.at % 1000;
        (made && !fields.is_empty()).then(|| Rollout {
            of: holder.clone(),
            at: change.at,
            fields,
            signal: Some(change),
        })
    });
    match (found, watched) {
        (Some(sets), Some(seen)) if seen.at.abs_diff(sets.at) < hours(1) => {
            Some(Rollout { fields: sets.fields, ..seen })
        }
        (found, watched) => found.or(watched),
    }
}

fn revision(world: &World<'_>, set: &ObjectRef) -> (i64, u64) {
    let meta = world.read(set, "/metadata").unwrap_or_default();
    let noted = ["deployment.kubernetes.io~1revision", "rollout.argoproj.io~1revision"];
    let revision =
        noted.iter().find_map(|name| meta.text(&format!("/annotations/{name}")).parse().ok()).unwrap_or(0);
    (revision, parse_time(meta.text("/creationTimestamp")).unwrap_or(0))
}

/// The ReplicaSet of the pod and the one before it.
pub(crate) fn replica_sets(world: &World<'_>, pod: &Pod) -> Option<(ObjectRef, Option<ObjectRef>)> {
    let own = world.owners(&pod.id).into_iter().find(|o| o.kind == "ReplicaSet")?;
    let mine = revision(world, &own);
    let mut best: Option<((i64, u64), ObjectRef)> = None;
    for set in
        world.related(&pod.holder, "owned").into_iter().filter(|o| o.kind == "ReplicaSet" && !o.is(&own))
    {
        let its = revision(world, &set);
        if its < mine && best.as_ref().is_none_or(|(b, _)| *b < its) {
            best = Some((its, set));
        }
    }
    Some((own, best.map(|(_, set)| set)))
}

fn between_replica_sets(world: &World<'_>, pod: &Pod) -> Option<Rollout> {
    let (own, former) = replica_sets(world, pod)?;
    let former = former?;
    let new = world.read(&own, "/spec/template/spec")?;
    let old = world.read(&former, "/spec/template/spec")?;
    let fields = differences(&old, &new);
    let at = revision(world, &own).1;
    (!fields.is_empty()).then(|| Rollout { of: pod.holder.clone(), at, fields, signal: None })
}

/// Fields of a container that change what it does.
const FIELDS: [(&str, &str); 12] = [
    ("/image", "image"),
    ("/command", "command"),
    ("/args", "args"),
    ("/envFrom", "envFrom"),
    ("/ports", "ports"),
    ("/workingDir", "workingDir"),
    ("/volumeMounts", "volumeMounts"),
    ("/securityContext", "securityContext"),
    ("/livenessProbe", "livenessProbe"),
    ("/readinessProbe", "readinessProbe"),
    ("/startupProbe", "startupProbe"),
    ("/lifecycle", "lifecycle"),
];
const OF_POD: [(&str, &str); 5] = [
    ("/volumes", "volumes"),
    ("/securityContext", "securityContext"),
    ("/serviceAccountName", "serviceAccountName"),
    ("/hostNetwork", "hostNetwork"),
    ("/dnsPolicy", "dnsPolicy"),
];

/// What differs between two pod specs, container by container.
pub(crate) fn differences(old: &Json, new: &Json) -> Vec<Field> {
    let mut out = Vec::new();
    let mut compare = |container: &str, name: &str, a: String, b: String| {
        if a != b {
            out.push(Field { container: container.into(), name: name.into(), old: a, new: b });
        }
    };
    for list in ["/initContainers", "/containers"] {
        let olds = old.list(list);
        for after in new.list(list) {
            let name = after.text("/name");
            let Some(before) = olds.iter().find(|c| c.text("/name") == name) else {
                compare(name, "container", String::new(), after.text("/image").to_owned());
                continue;
            };
            for (pointer, field) in FIELDS {
                compare(name, field, before.at(pointer).shown(), after.at(pointer).shown());
            }
            for part in ["requests", "limits"] {
                for what in ["memory", "cpu"] {
                    let pointer = format!("/resources/{part}/{what}");
                    compare(
                        name,
                        &format!("resources.{part}.{what}"),
                        before.at(&pointer).shown(),
                        after.at(&pointer).shown(),
                    );
                }
            }
            let (a, b) = (env(before), env(&after));
            for (key, value) in &b {
                let was = a.iter().find(|(k, _)| k == key).map_or(String::new(), |(_, v)| v.clone());
                compare(name, &format!("env.{key}"), was, value.clone());
            }
            for (key, value) in a.iter().filter(|(k, _)| b.iter().all(|(o, _)| o != k)) {
                compare(name, &format!("env.{key}"), value.clone(), String::new());
            }
        }
    }
    for (pointer, field) in OF_POD {
        compare("", field, old.at(pointer).shown(), new.at(pointer).shown());
    }
    out
}

/// The variables of a container but for those that only say that it shall start anew.
fn env(container: &Json) -> Vec<(String, String)> {
    let mut all = container.list("/env");
    all.retain(|e| !stamp_variable(e.text("/name")));
    let value =
        |e: &Json| if e.has("/valueFrom") { e.at("/valueFrom").shown() } else { e.text("/value").to_owned() };
    all.iter().map(|e| (e.text("/name").to_owned(), value(e))).collect()
}

/// A changed field from its pointer in the template and its `- old`, `+ new` lines; none for what changes no container.
fn of_pointer(pointer: &str, diff: &str, pod: &Pod) -> Option<Field> {
    let template = if pod.holder.kind == "CronJob" {
        "/spec/jobTemplate/spec/template/spec"
    } else {
        "/spec/template/spec"
    };
    let rest = pointer.strip_prefix(template)?;
    let side = |mark: &str| diff.lines().filter_map(|l| l.strip_prefix(mark)).collect::<Vec<_>>().join(" ");
    let (old, new) = (side("- "), side("+ "));
    let mut parts = rest.trim_start_matches('/').splitn(3, '/');
    let (list, at, field) = (parts.next()?, parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    if !matches!(list, "containers" | "initContainers") {
        let kept = OF_POD.iter().any(|(p, _)| *p == format!("/{list}"));
        return kept.then(|| Field {
            container: String::new(),
            name: rest.trim_start_matches('/').replace('/', "."),
            old,
            new,
        });
    }
    let container = pod.json.text(&format!("/spec/{list}/{at}/name")).to_owned();
    let top = field.split('/').next().unwrap_or("");
    if matches!(top, "imagePullPolicy" | "terminationMessagePath" | "terminationMessagePolicy") {
        return None;
    }
    let mut name = field.replace('/', ".");
    if let Some(index) = field.strip_prefix("env/").and_then(|r| r.split('/').next()) {
        name = format!("env.{}", pod.json.text(&format!("/spec/{list}/{at}/env/{index}/name")));
    } else if matches!(top, "args" | "command") {
        name = top.to_owned();
    }
    Some(Field { container, name, old, new })
}

/// An edit of something that a pod reads.
#[derive(Debug, Clone)]
pub(crate) struct Edit {
    pub(crate) of: ObjectRef,
    pub(crate) at: u64,
    /// Keys of its data that changed.
    pub(crate) keys: Vec<String>,
    /// Removed and added lines; empty for a Secret, whose values are never shown.
    pub(crate) removed: Vec<String>,
    pub(crate) added: Vec<String>,
    signal: Signal,
}

impl Edit {
    pub(crate) fn words(&self) -> String {
        let mut lines: Vec<String> = self.removed.iter().map(|l| format!("- {}", l.trim())).collect();
        lines.extend(self.added.iter().map(|l| format!("+ {}", l.trim())));
        lines.truncate(6);
        if lines.is_empty() {
            format!("{} edited: {}", spoken(&self.of), self.keys.join(", "))
        } else {
            lines.join("\n")
        }
    }

    pub(crate) fn evidence(&self, weight: i8, note: &str) -> Evidence {
        Evidence::signal(&self.signal, weight, note).citing(self.words())
    }
}

/// Edits of the ConfigMaps and Secrets that a pod uses, newest first, up to `until`.
pub(crate) fn edits(world: &World<'_>, pod: &Pod, until: u64) -> Vec<Edit> {
    let mut all: Vec<Edit> = Vec::new();
    for used in world.related(&pod.id, "uses") {
        if !matches!(used.kind.as_str(), "ConfigMap" | "Secret") || used.name == "kube-root-ca.crt" {
            continue;
        }
        for signal in world.changes(&used, "self", world.ago(WINDOW), 10) {
            if signal.name != "MODIFIED" || signal.at > until {
                continue;
            }
            let data: Vec<_> = signal.fields.iter().filter(|f| any_data(&f.name)).collect();
            let key =
                |name: &str| name.splitn(3, '/').nth(2).unwrap_or("").replace("~1", "/").replace("~0", "~");
            let lines = |mark: &str| -> Vec<String> {
                data.iter()
                    .flat_map(|f| f.value.lines())
                    .filter_map(|l| l.strip_prefix(mark))
                    .map(str::to_owned)
                    .collect()
            };
            if data.is_empty() {
                continue;
            }
            let keys = data.iter().map(|f| key(&f.name)).collect();
            let (removed, added) = (lines("- "), lines("+ "));
            all.push(Edit { of: used.clone(), at: signal.at, keys, removed, added, signal });
        }
    }
    // Newest first; of one time by name, as `related` gives them.
    let mut sorted: Vec<Edit> = Vec::new();
    for edit in all {
        let place = sorted.iter().position(|e| e.at < edit.at).unwrap_or(sorted.len());
        sorted.insert(place, edit);
    }
    sorted
}

fn any_data(pointer: &str) -> bool {
    ["/data/", "/binaryData/", "/stringData/"].iter().any(|p| pointer.starts_with(p))
}
