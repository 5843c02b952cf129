//! The pure machine: signals in the order of their times go in, findings come out. Lateness, repeats and revision
//! numbers are [`crate::engine`]'s business.
//!
//! A clone is cheap (persistent maps), which is what makes it possible to go back when a late signal arrives.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    answers::Answers,
    ask::Asked,
    change,
    engine::Notice,
    graph::Graph,
    history::{History, Register},
    incident::{Incident, IncidentKey},
    incidents::Incidents,
    input::Input,
    key::Key,
    kin,
    matching::Matcher,
    object::Object,
    relation::Relation,
    rule::{Rejection, RuleSignal, Rules},
    settings::Settings,
    state::StateTable,
    subject,
    symptom::{Heartbeat, Symptom, is_heartbeat, is_steering},
    template::{First, Templates},
    timer::{Due, Timers},
    verdict::Health,
    wire,
};
use imbl::{OrdMap, OrdSet};
use kwhy_proto::{
    millis,
    v1::{Alert, Event, Finding, LogRequest, ObjectRef, Signal, signal::Body},
};
use serde::{Deserialize, Serialize};

/// How often old history is forgotten, ms of log time.
const SWEEP: u64 = 5 * 60_000;

/// What one step needs besides the state: the same for every step.
pub(crate) struct Env<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) matcher: &'a Matcher,
    pub(crate) rules: &'a mut dyn Rules,
    pub(crate) notices: &'a mut Vec<Notice>,
    /// Contents of findings that come about, in order.
    pub(crate) fresh: &'a mut Vec<Arc<Finding>>,
    /// Where signals are kept.
    pub(crate) register: &'a mut Register,
    /// Logs that somebody with access to the cluster should fetch.
    pub(crate) asks: &'a mut Vec<LogRequest>,
    /// What rules answered before.
    pub(crate) answers: &'a mut Answers,
}

/// Which incidents and symptoms a step has touched, so that only these are looked at again.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Touched {
    /// Ends of edges of the graph that came or went.
    pub(crate) moved: BTreeSet<Key>,
    pub(crate) incidents: BTreeSet<IncidentKey>,
    pub(crate) symptoms: BTreeSet<String>,
    /// A cause that was over is no cause any more: all symptoms are to be folded anew when things settle the next time.
    pub(crate) all_symptoms: bool,
}

/// Everything the core knows at one log time.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) now: u64,
    /// Log time of the first signal: what lies before was not observed.
    pub(crate) began: u64,
    /// Log time of the last signal.
    pub(crate) heard: u64,
    pub(crate) graph: Graph,
    pub(crate) history: History,
    pub(crate) templates: Templates,
    pub(crate) symptoms: OrdMap<String, Symptom>,
    pub(crate) incidents: Incidents,
    pub(crate) rejections: OrdMap<(Key, String), (u64, Arc<Rejection>)>,
    /// Heartbeats by Prometheus.
    pub(crate) heartbeats: OrdMap<String, Heartbeat>,
    pub(crate) timers: Timers,
    pub(crate) memory: OrdMap<usize, StateTable>,
    pub(crate) health: OrdMap<usize, Health>,
    /// By pod and container.
    pub(crate) asked: OrdMap<(Key, String), Asked>,
    /// The newest content of every finding, without a revision number.
    #[serde(with = "wire")]
    pub(crate) findings: OrdMap<String, Arc<Finding>>,
    pub(crate) touched: Touched,
    /// How many calls of rules were made.
    #[serde(skip)]
    pub(crate) calls: u64,
}

impl State {
    /// Lets log time pass up to `to`, firing what falls due on the way.
    pub(crate) fn advance(&mut self, to: u64, env: &mut Env<'_>) {
        while let Some((at, due)) = self.timers.take(to) {
            // Where nothing else is due for years, one sweep at their end forgets as much as all of them.
            let at = if due == Due::Sweep { self.timers.last_slot(at, SWEEP, to) } else { at };
            self.now = self.now.max(at);
            self.fire(due, env);
            self.settle(env);
        }
        self.now = self.now.max(to);
    }

    fn fire(&mut self, due: Due, env: &mut Env<'_>) {
        match due {
            Due::Expiry(key) => {
                let now = self.now;
                if let Some(symptom) = self.symptoms.get_mut(&key)
                    && symptom.until.is_none()
                    && symptom.expires.is_some_and(|at| at <= now)
                {
                    symptom.until = symptom.expires.take();
                    self.touched.symptoms.insert(key);
                }
            }
            Due::Grace(key) => {
                if let Some(symptom) = self.symptoms.get_mut(&key) {
                    symptom.overdue = true;
                    self.touched.symptoms.insert(key);
                }
            }
            Due::Assertion(key) | Due::HoldDown(key) => {
                self.touched.incidents.insert(key);
            }
            Due::Wake { rule, id, subject } => {
                let subject = subject.map(|(key, uid)| ObjectRef { uid, ..key.to_ref() });
                let signal = RuleSignal {
                    id: format!("timer/{rule}/{id}/{}", self.now),
                    source: "timer".to_owned(),
                    name: id,
                    at: self.now,
                    subject,
                    ..RuleSignal::default()
                };
                self.call(rule, signal, env);
            }
            Due::Unready(pod) => self.ask(&pod, env),
            Due::Sweep => {
                env.answers.give_up();
                self.sweep(env.settings);
            }
        }
    }

    fn sweep(&mut self, settings: &Settings) {
        let horizon = self.now.saturating_sub(settings.window);
        self.history.forget(horizon);
        let moved = self.graph.forget(horizon, |key| self.history.hears_of(key));
        self.forget_trees(&moved);
        self.templates.forget(horizon);
        self.forget_asked(horizon);
        let stale = self.rejections.iter().filter(|(_, (at, _))| *at < horizon).map(|(k, _)| k.clone());
        for slot in stale.collect::<Vec<_>>() {
            self.rejections.remove(&slot);
        }
        let over = |i: &Incident| i.resolved.as_ref().is_some_and(|r| r.at < horizon);
        let gone: Vec<IncidentKey> = self
            .incidents
            .iter()
            .filter(|(_, i)| over(i) && i.symptoms.is_empty())
            .map(|(k, _)| k.clone())
            .collect();
        for key in gone {
            // The episode number must outlive the incident, so only its bulk goes.
            if let Some(incident) = self.incidents.get_mut(&key) {
                incident.path = Arc::default();
                incident.tree = Arc::default();
                incident.path_of = None;
                incident.reaches = Arc::default();
                incident.passed = OrdSet::new();
                incident.folded_by = None;
            }
        }
        let ended: Vec<String> = self
            .symptoms
            .iter()
            .filter(|(_, s)| s.until.is_some_and(|at| at < horizon))
            .map(|(k, _)| k.clone())
            .collect();
        for key in ended {
            self.symptoms.remove(&key);
        }
        self.timers.add(self.now + SWEEP, Due::Sweep);
    }

    /// Takes in one signal. Its time is not before the last one's, but for late ones, which change the past of the
    /// graph and history and leave log time where it is. `wanted` says of a log line whether a rule may want it.
    pub(crate) fn apply(&mut self, input: &Input, wanted: bool, env: &mut Env<'_>) {
        let signal = &input.signal;
        let at = signal.at.as_ref().map_or(self.now, millis);
        if self.began == 0 {
            self.began = at;
            self.heard = at;
            self.timers.add(at + SWEEP, Due::Sweep);
        }
        self.advance(at, env);
        self.hear(env);
        let edits = self.graph.edits();
        match &signal.body {
            Some(Body::Object(_)) => self.object(signal, input.object.as_ref(), env),
            Some(Body::Event(event)) => self.event(signal, event, env),
            Some(Body::Alert(alert)) => self.alert(signal, alert, env),
            Some(Body::Log(_)) => self.line(signal, wanted, env),
            Some(Body::Gap(gap)) => self.gap(signal, gap, env),
            // A tick only lets time pass.
            None => {}
        }
        if env.answers.is_news() && self.graph.edits() != edits {
            env.answers.give_up();
        }
        self.settle(env);
        // What falls due at this very time.
        self.advance(self.now, env);
    }

    fn object(&mut self, signal: &Signal, object: Option<&Arc<Object>>, env: &mut Env<'_>) {
        let Some(reference) = &signal.subject else { return };
        let Some(object) = object else {
            env.notices.push(Notice::Unreadable { signal: signal.id.clone(), origin: signal.origin.clone() });
            return;
        };
        let at = signal.at.as_ref().map_or(self.now, millis);
        let key = object.key.clone();
        let known = self.graph.get(&key);
        let object = if signal.name == "DELETED" {
            // A list that no longer has it says nothing of its last state, so the last that was told stands.
            let last = known.filter(|known| signal.state == "listed" && known.uid == reference.uid);
            let resource_version = object.resource_version.clone();
            let last = Object::clone(last.unwrap_or(object));
            Arc::new(Object { resource_version, deleted: Some(at), ..last })
        } else {
            object.clone()
        };
        if known.is_some_and(|o| {
            o.deleted == object.deleted
                && o.uid == object.uid
                && o.resource_version == object.resource_version
                && !o.resource_version.is_empty()
        }) {
            // A relist brings what is known already.
            return;
        }
        if object.deleted.is_some() && known.is_some_and(|o| o.uid != object.uid && !object.uid.is_empty()) {
            // The deletion of a former object of this name, told after its successor was created.
            return;
        }
        let change = change::between(known, &object, at, signal.state == "listed");
        self.touched.moved.extend(self.graph.put(object));
        let watching = self.incidents.open().filter(|(_, i)| i.watches(&key)).map(|(k, _)| k.clone());
        for watching in watching.collect::<Vec<_>>() {
            // Its tree says what state the object is in.
            self.forget_tree(&watching);
            self.touched.incidents.insert(watching);
        }
        let mut fields = Vec::new();
        if let Some(mut change) = change {
            change.signal.clone_from(&signal.id);
            change.origin.clone_from(&signal.origin);
            fields.clone_from(&change.fields);
            self.history.record_change(change);
        }
        let subject = Some(self.graph.to_ref(&key));
        self.tell(signal, subject, fields, env);
        if key.kind == "Pod" {
            self.ask(&key, env);
        }
    }

    fn event(&mut self, signal: &Signal, event: &Event, env: &mut Env<'_>) {
        let Some(subject) = signal.subject.clone() else { return };
        let key = Key::from(&subject);
        let ms =
            |t: &Option<kwhy_proto::Timestamp>| t.as_ref().map_or(String::new(), |t| millis(t).to_string());
        let mut fields = vec![
            ("container".to_owned(), event.container.clone()),
            ("count".to_owned(), event.count.max(1).to_string()),
            ("first-at".to_owned(), ms(&event.first_at)),
            ("init".to_owned(), if event.init { "true".to_owned() } else { String::new() }),
            ("last-at".to_owned(), ms(&event.last_at)),
            ("reporter".to_owned(), event.reporter.clone()),
            ("reporter-host".to_owned(), event.instance.clone()),
        ];
        fields.retain(|(_, value)| !value.is_empty());
        self.kin(signal, event, &key);
        let told = rule_signal(signal, Some(subject.clone()), fields);
        self.remember(&key, &told, &signal.origin, None, env);
        if signal.state == "Warning" {
            self.show_unexplained(&key);
            let slot = format!("event/{key}/{}", signal.name);
            match self.symptoms.get_mut(&slot) {
                Some(known) => {
                    known.message.clone_from(&signal.message);
                    known.signal.clone_from(&signal.id);
                }
                None => {
                    self.symptoms
                        .insert(slot.clone(), Symptom::warning(signal, event, subject.clone(), self.now));
                }
            }
            self.touched.symptoms.insert(slot);
        }
        for rule in env.matcher.signals(&self.graph, signal, Some(&key)) {
            self.call(rule, told.clone(), env);
        }
    }

    /// Keeps what was said of an object.
    fn remember(
        &mut self,
        key: &Key,
        told: &RuleSignal,
        origin: &str,
        rule: Option<usize>,
        env: &mut Env<'_>,
    ) {
        let answers = &mut *env.answers;
        if answers.may_hold() {
            let full = self.history.is_full(key);
            if answers.is_news() || (full && answers.is_otherwise(key)) {
                answers.said_otherwise(key, &told.source, &told.name);
                if full {
                    // What it pushes out may be of any topic.
                    self.history.topics_of(key).for_each(|(s, n)| answers.said_otherwise(key, s, n));
                }
            }
        }
        if self.history.record(key, told, origin, rule, self.now, env.register) {
            env.answers.give_up();
        }
    }

    /// What an event tells of the relations of objects that nobody has shown.
    fn kin(&mut self, signal: &Signal, event: &Event, key: &Key) {
        let mut moved = self.graph.hear_of(key);
        if let Some(made) = kin::made(signal) {
            moved.extend(self.graph.suppose(&made, Relation::Owner, key));
        }
        if key.kind == "Pod"
            && let Some(node) = kin::node(signal, &event.reporter, &event.instance)
        {
            moved.extend(self.graph.suppose(key, Relation::Node, &node));
        }
        self.touched.moved.extend(moved);
    }

    fn alert(&mut self, signal: &Signal, alert: &Alert, env: &mut Env<'_>) {
        if is_heartbeat(&signal.name) {
            let from = alert.labels.get("prometheus").cloned().unwrap_or_default();
            let before = self.heartbeats.get(&from).copied();
            self.heartbeats.insert(from, Heartbeat::heard(signal, alert, self.now, before));
            self.beat(signal, alert, env);
            return;
        }
        if is_steering(&signal.name) {
            return;
        }
        let cluster = &env.settings.cluster;
        let slot = format!("alert/{}", alert.identity);
        let before = self.symptoms.get(&slot).map(|s| (s.since, s.until));
        let suppressed = self.symptoms.get(&slot).is_some_and(|s| s.suppressed);
        let fired = self.symptoms.get(&slot).is_some_and(|s| s.fired);
        if let Some(known) = self.symptoms.get_mut(&slot) {
            known.update(signal, alert, self.now);
        } else {
            let subject = subject::of_alert(&self.graph, cluster, alert);
            self.symptoms.insert(slot.clone(), Symptom::alert(signal, alert, subject, self.now));
        }
        let Some(symptom) = self.symptoms.get(&slot) else { return };
        if symptom.fired && !fired {
            self.timers.add(self.now + env.settings.grace, Due::Grace(slot.clone()));
        }
        if let Some(at) = symptom.expires {
            self.timers.add(at, Due::Expiry(slot.clone()));
        }
        if symptom.suppressed != suppressed {
            self.touched.symptoms.insert(slot.clone());
        }
        if before == Some((symptom.since, symptom.until)) {
            // Sent again, nothing new but whether it is held back, which is no matter of rules.
            return;
        }
        let fields = alert.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        let subject = subject::of_alert(&self.graph, cluster, alert);
        let key = Key::from(&subject);
        self.touched.moved.extend(self.graph.hear_of(&key));
        let told = rule_signal(signal, Some(subject), fields);
        self.remember(&key, &told, &signal.origin, None, env);
        self.touched.symptoms.insert(slot);
        for rule in env.matcher.signals(&self.graph, signal, Some(&key)) {
            self.call(rule, told.clone(), env);
        }
    }

    /// Tells rules of a heartbeat, at every delivery: that it goes on is what it says. It is no symptom, so only a rule
    /// that asks for it by its full name hears of it.
    fn beat(&mut self, signal: &Signal, alert: &Alert, env: &mut Env<'_>) {
        let subject = subject::of_alert(&self.graph, &env.settings.cluster, alert);
        let key = Key::from(&subject);
        let rules = env.matcher.named(&self.graph, signal, &key);
        if rules.is_empty() {
            return;
        }
        let fields = alert.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        let told = rule_signal(signal, Some(subject), fields);
        self.remember(&key, &told, &signal.origin, None, env);
        for rule in rules {
            self.call(rule, told.clone(), env);
        }
    }

    fn line(&mut self, signal: &Signal, wanted: bool, env: &mut Env<'_>) {
        let Some(subject) = &signal.subject else { return };
        let key = Key::from(subject);
        // Whether some rule reads it or not: what an unexplained finding shows must not depend on the rules there are.
        if matches!(signal.state.as_str(), "W" | "E" | "F") {
            let at = signal.at.as_ref().map_or(self.now, millis);
            self.show_unexplained(&key);
            self.templates.count(&key, &signal.message, at, || First {
                at,
                signal: signal.id.clone(),
                origin: signal.origin.clone(),
                source: signal.source.clone(),
                message: signal.message.clone(),
            });
        }
        if !wanted {
            return;
        }
        for hit in env.matcher.lines(&self.graph, &signal.source, Some(&key), &signal.message) {
            let mut fields = log_fields(signal);
            fields.extend(hit.captures);
            fields.sort();
            let told = RuleSignal { name: hit.pattern, ..rule_signal(signal, Some(subject.clone()), fields) };
            self.remember(&key, &told, &signal.origin, Some(hit.rule), env);
            self.call(hit.rule, told, env);
        }
    }

    /// Calls the rules that want an object signal.
    fn tell(
        &mut self,
        signal: &Signal,
        subject: Option<ObjectRef>,
        fields: Vec<(String, String)>,
        env: &mut Env<'_>,
    ) {
        let key = subject.as_ref().map(Key::from);
        let rules = env.matcher.signals(&self.graph, signal, key.as_ref());
        if rules.is_empty() {
            return;
        }
        let told = rule_signal(signal, subject, fields);
        for rule in rules {
            self.call(rule, told.clone(), env);
        }
    }
}

fn log_fields(signal: &Signal) -> Vec<(String, String)> {
    let Some(Body::Log(line)) = &signal.body else { return Vec::new() };
    let mut fields: BTreeMap<String, String> = line.values.clone();
    fields.insert("node".to_owned(), line.node.clone());
    fields.insert("container".to_owned(), line.container.clone());
    fields.insert("code".to_owned(), line.code.clone());
    if line.previous {
        fields.insert("previous".to_owned(), "true".to_owned());
    }
    fields.into_iter().filter(|(_, v)| !v.is_empty()).collect()
}

fn rule_signal(signal: &Signal, subject: Option<ObjectRef>, fields: Vec<(String, String)>) -> RuleSignal {
    RuleSignal {
        id: signal.id.clone(),
        source: signal.source.clone(),
        name: signal.name.clone(),
        state: signal.state.clone(),
        at: signal.at.as_ref().map_or(0, millis),
        subject,
        message: signal.message.clone(),
        fields,
    }
}
