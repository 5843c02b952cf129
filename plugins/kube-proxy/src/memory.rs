//! What the pack remembers between calls: which alerts fire (a long-standing one is told once and then forgotten by the
//! history), which edits of the configuration no pod has taken up yet, and what is held true. How pods fare and what
//! their settings say is read anew each time.

use kwhy_sdk::{
    Json, ObjectRef, Signal, World, hours,
    serde_json::{Value, json},
};

use crate::{
    component::Component,
    instance::setting,
    loopback::{Seen, Stale},
};

const KEY: &str = "watched";
/// Alerts of this kind stand for weeks where nobody minds them.
const KEEP: u64 = hours(24 * 30);
/// Most edits of a configuration that are kept.
const EDITS: usize = 8;

/// Kind, namespace, name.
pub(crate) type Id = (String, String, String);

pub(crate) fn id(object: &ObjectRef) -> Id {
    (object.kind.clone(), object.namespace.clone(), object.name.clone())
}

pub(crate) fn object(id: &Id) -> ObjectRef {
    ObjectRef::new(&id.0, &id.1, &id.2)
}

fn id_of(json: &Json) -> Id {
    (json.text("/0").to_owned(), json.text("/1").to_owned(), json.text("/2").to_owned())
}

/// An alert that fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Firing {
    pub(crate) component: Component,
    pub(crate) name: String,
    pub(crate) subject: Id,
    /// The labels that tell it from its like.
    labels: String,
}

impl Firing {
    pub(crate) fn of(component: Component, alert: &Signal, subject: &ObjectRef) -> Self {
        let labels = ["job", "namespace", "service", "pod", "instance", "prometheus", "cluster"]
            .map(|l| alert.field(l));
        Self { component, name: alert.name.clone(), subject: id(subject), labels: labels.join("|") }
    }

    /// Whether it is the same alert, as whatever object it was understood.
    fn is(&self, other: &Self) -> bool {
        (self.component, &self.name, &self.labels) == (other.component, &other.name, &other.labels)
    }
}

/// An edit of kube-proxy's ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) map: Id,
    pub(crate) at: u64,
    pub(crate) signal: String,
    /// The edited lines, with `-` and `+`.
    pub(crate) lines: String,
    /// What `metricsBindAddress` was before, empty for the default; none where the edit left it alone.
    pub(crate) old: Option<String>,
}

impl Edit {
    /// What the signal changed, where the ConfigMap is kube-proxy's.
    pub(crate) fn of(world: &World<'_>, signal: &Signal, map: &ObjectRef) -> Option<Self> {
        let texts = world.read(map, "/data")?.map("");
        texts.iter().find(|(_, text)| text.contains("KubeProxyConfiguration"))?;
        let changes = world.changes(map, "self", signal.at, 5);
        let change = changes.into_iter().find(|c| c.at == signal.at && c.name == "MODIFIED")?;
        let diffs: Vec<&str> = change.fields.iter().map(|f| f.value.as_str()).collect();
        let all = diffs.concat();
        let before = |mark: char| {
            let lines = all.lines().filter_map(|l| l.strip_prefix(mark));
            lines.map(str::trim_start).find_map(|l| setting(l, "metricsBindAddress"))
        };
        let old = before('-').map(|(_, value)| value).or_else(|| before('+').map(|_| String::new()));
        let lines: Vec<&str> = all.lines().take(4).collect();
        Some(Self { map: id(map), at: change.at, signal: signal.id.clone(), lines: lines.join("\n"), old })
    }

    /// The first edited line in words: `says `mode: ipvs` instead of `mode: iptables``.
    pub(crate) fn change(&self) -> String {
        let with = |mark: char| self.lines.lines().find_map(|l| l.strip_prefix(mark)).map_or("", str::trim);
        match (with('-'), with('+')) {
            ("", "") => "says something else now".to_owned(),
            (gone, "") => format!("does not say `{gone}` any more"),
            ("", new) => format!("now says `{new}`"),
            (gone, new) => format!("now says `{new}` instead of `{gone}`"),
        }
    }
}

/// A component, and code and root of what is held true of it.
type Held = (Component, (String, Id));

/// All that is remembered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    pub(crate) alerts: Vec<Firing>,
    pub(crate) edits: Vec<Edit>,
    held: Vec<Held>,
}

impl Memory {
    /// None where nothing has happened yet, which is the cheap and usual case.
    pub(crate) fn load(world: &World<'_>) -> Option<Self> {
        let json = world.recall::<Json>(KEY)?;
        let component = |j: &Json| Component::of_name(j.text("/component"));
        let alerts = json.list("/alerts");
        let alerts = alerts.iter().filter_map(|a| {
            Some(Firing {
                component: component(a)?,
                name: a.text("/name").to_owned(),
                subject: id_of(&a.at("/subject")),
                labels: a.text("/labels").to_owned(),
            })
        });
        let edits = json.list("/edits");
        let edits = edits.iter().map(|e| Edit {
            map: id_of(&e.at("/map")),
            at: u64::try_from(e.number("/at")).unwrap_or(0),
            signal: e.text("/signal").to_owned(),
            lines: e.text("/lines").to_owned(),
            old: e.has("/old").then(|| e.text("/old").to_owned()),
        });
        let held = json.list("/held");
        let held = held
            .iter()
            .filter_map(|h| Some((component(h)?, (h.text("/code").to_owned(), id_of(&h.at("/root"))))));
        Some(Self { alerts: alerts.collect(), edits: edits.collect(), held: held.collect() })
    }

    /// By hand, because derived code for these few fields costs a component twenty kilobytes.
    pub(crate) fn save(&self, world: &World<'_>) {
        if self.alerts.is_empty() && self.edits.is_empty() && self.held.is_empty() {
            world.forget(KEY);
            return;
        }
        let alerts = self.alerts.iter().map(|a| {
            json!({"component": a.component.name(), "name": a.name, "subject": a.subject, "labels": a.labels})
        });
        let edits = self
            .edits
            .iter()
            .map(|e| json!({"map": e.map, "at": e.at, "signal": e.signal, "lines": e.lines, "old": e.old}));
        let held = self
            .held
            .iter()
            .map(|(c, (code, root))| json!({"component": c.name(), "code": code, "root": root}));
        let all = json!({
            "alerts": alerts.collect::<Value>(),
            "edits": edits.collect::<Value>(),
            "held": held.collect::<Value>(),
        });
        world.remember(KEY, &all, KEEP);
    }

    /// Takes in that an alert fires or has ended.
    pub(crate) fn hear(&mut self, alert: Firing, fires: bool) {
        self.alerts.retain(|a| !a.is(&alert));
        if fires {
            // In a fixed order: which of two came first must not show.
            let place = self.alerts.partition_point(|a| (&a.name, &a.labels) < (&alert.name, &alert.labels));
            self.alerts.insert(place, alert);
        }
    }

    pub(crate) fn edited(&mut self, edit: Option<Edit>) {
        let Some(edit) = edit.filter(|e| self.edits.iter().all(|known| known.signal != e.signal)) else {
            return;
        };
        let place = self.edits.partition_point(|e| e.at <= edit.at);
        self.edits.insert(place, edit);
        if self.edits.len() > EDITS {
            self.edits.remove(0);
        }
    }

    pub(crate) fn of(&self, component: Component) -> impl Iterator<Item = &Firing> {
        self.alerts.iter().filter(move |a| a.component == component)
    }

    /// Whether there is anything to judge of a component.
    pub(crate) fn watches(&self, component: Component) -> bool {
        self.of(component).next().is_some()
            || self.held(component).is_some()
            || (component == Component::Proxy && !self.edits.is_empty())
    }

    pub(crate) fn held(&self, component: Component) -> Option<(String, Id)> {
        self.held.iter().find(|(c, _)| *c == component).map(|(_, held)| held.clone())
    }

    pub(crate) fn hold(&mut self, component: Component, what: Option<(String, Id)>) {
        self.held.retain(|(c, _)| *c != component);
        self.held.extend(what.map(|w| (component, w)));
    }

    /// Drops the edits that every copy has taken up.
    pub(crate) fn forget_applied(&mut self, seen: &Seen) {
        if seen.component == Component::Proxy && !seen.copies.is_empty() {
            let waiting = seen.copies.iter().any(|c| matches!(c.stale, Stale::Edited(_)));
            self.edits.retain(|_| waiting);
        }
    }
}
