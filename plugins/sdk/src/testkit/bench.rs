//! Feeds inputs to one rule as the host would and keeps account of what it says.

use std::collections::BTreeMap;

use regex::Regex;

use super::{Cluster, Input, any_glob};
use crate::{
    Clearing, Context, Diagnosis, Field, ObjectRef, Rejection, Rule, Signal, Subscription, Verdict, Wake,
};

/// Id, literal and regex of a pattern.
type Compiled = (String, String, Regex);

/// A rule on the bench. Every call is made twice, on an instance that has seen the earlier calls and on a fresh one:
/// a rule that answers differently keeps something in itself that the host does not know of.
pub struct Bench<R> {
    warm: R,
    config: String,
    subscriptions: Vec<(Subscription, Vec<Compiled>)>,
    cluster: Cluster,
    standing: BTreeMap<(String, String), Diagnosis>,
    rejections: BTreeMap<String, Rejection>,
    cleared: Vec<Clearing>,
    /// By time, id and subject: several subjects may be looked at again at one time.
    wakes: BTreeMap<(u64, String, [String; 3]), Wake>,
}

impl<R: Rule + Default> Default for Bench<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: Rule + Default> Bench<R> {
    /// A rule with an empty cluster.
    ///
    /// # Panics
    /// If a pattern of the rule is no regex.
    #[must_use]
    pub fn new() -> Self {
        let warm = R::default();
        let compile = |s: Subscription| {
            let patterns = s.patterns.iter().map(|p| {
                let regex = Regex::new(&p.regex);
                assert!(regex.is_ok(), "pattern {} of the rule is no regex: {}", p.id, p.regex);
                assert!(!p.literal.is_empty(), "pattern {} has no literal", p.id);
                regex.ok().map(|r| (p.id.clone(), p.literal.clone(), r))
            });
            let patterns = patterns.flatten().collect();
            (s, patterns)
        };
        let subscriptions = warm.describe().subscriptions.into_iter().map(compile).collect();
        Self {
            warm,
            config: String::new(),
            subscriptions,
            cluster: Cluster::default(),
            standing: BTreeMap::new(),
            rejections: BTreeMap::new(),
            cleared: Vec::new(),
            wakes: BTreeMap::new(),
        }
    }

    /// Configures the rule.
    ///
    /// # Errors
    /// The rule's own words.
    pub fn configure(&mut self, json: &str) -> Result<(), String> {
        json.clone_into(&mut self.config);
        self.warm.configure(json)
    }

    /// Lets one thing happen. Timers that are due before it go off first.
    ///
    /// # Errors
    /// The rule's own words.
    pub fn feed(&mut self, input: &Input) -> Result<(), String> {
        self.until(input.at())?;
        self.cluster.now = self.cluster.now.max(input.at());
        match input {
            Input::Object { at, change, listed, json } => {
                self.cluster.put(*at, json, change == "DELETED", *listed);
                match input.object_signal() {
                    Some(signal) if self.wanted(&signal) => self.call(&signal),
                    _ => Ok(()),
                }
            }
            Input::Signal(signal) if matches!(signal.source.as_str(), "log" | "kubelet") => {
                for hit in self.matches(signal) {
                    self.cluster.record(hit.clone());
                    self.call(&hit)?;
                }
                Ok(())
            }
            Input::Signal(signal) => {
                self.cluster.record(signal.clone());
                if self.wanted(signal) { self.call(signal) } else { Ok(()) }
            }
        }
    }

    /// Feeds all inputs in the order given.
    ///
    /// # Errors
    /// The rule's own words.
    pub fn feed_all<'a>(&mut self, inputs: impl IntoIterator<Item = &'a Input>) -> Result<(), String> {
        inputs.into_iter().try_for_each(|i| self.feed(i))
    }

    /// A bench to which all inputs were fed in the order given.
    ///
    /// # Panics
    /// If the rule reports an error.
    #[must_use]
    pub fn fed<'a>(inputs: impl IntoIterator<Item = &'a Input>) -> Self {
        let mut bench = Self::new();
        let done = bench.feed_all(inputs);
        assert!(done.is_ok(), "the rule reports an error: {done:?}");
        bench
    }

    /// The one diagnosis that stands.
    ///
    /// # Panics
    /// If none stands or several do.
    #[must_use]
    pub fn only(&self) -> Diagnosis {
        assert_eq!(self.standing.len(), 1, "{:#?}", self.diagnoses());
        self.standing.values().next().cloned().unwrap_or_default()
    }

    /// Lets time pass up to `at`, with the timers due until then.
    ///
    /// # Errors
    /// The rule's own words.
    pub fn until(&mut self, at: u64) -> Result<(), String> {
        while let Some((due, wake)) = self.wakes.first_key_value().map(|((due, ..), w)| (*due, w.clone())) {
            if due > at {
                break;
            }
            self.wakes.pop_first();
            self.cluster.now = self.cluster.now.max(due);
            self.call(&Signal {
                id: format!("timer/{}/{due}", wake.id),
                source: "timer".into(),
                name: wake.id,
                at: due,
                subject: wake.subject,
                ..Signal::default()
            })?;
        }
        self.cluster.now = self.cluster.now.max(at);
        Ok(())
    }

    /// What the rule holds true now, by code and root.
    #[must_use]
    pub fn diagnoses(&self) -> Vec<&Diagnosis> {
        self.standing.values().collect()
    }

    /// The diagnosis of that code that stands now.
    #[must_use]
    pub fn standing(&self, code: &str) -> Option<&Diagnosis> {
        self.standing.values().find(|d| d.code == code)
    }

    /// What the rule took back, in order.
    #[must_use]
    pub fn cleared(&self) -> &[Clearing] {
        &self.cleared
    }

    /// The last rejection of that code.
    #[must_use]
    pub fn rejected(&self, code: &str) -> Option<&Rejection> {
        self.rejections.get(code)
    }

    /// The cluster as it is now.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    fn call(&mut self, signal: &Signal) -> Result<(), String> {
        let context = Context { now: self.cluster.now, cluster: "test".into() };
        let staged = self.cluster.clone();
        let mut fresh = R::default();
        if !self.config.is_empty() {
            fresh.configure(&self.config)?;
        }
        let signals = std::slice::from_ref(signal);
        let verdict = crate::examine(&self.warm, &self.cluster, &context, signals)?;
        let again = crate::examine(&fresh, &staged, &context, signals)?;
        assert!(
            verdict == again,
            "a fresh instance of the rule says something else of {}: {again:#?}",
            signal.id
        );
        self.keep(verdict);
        Ok(())
    }

    fn keep(&mut self, verdict: Verdict) {
        let at = |code: &str, root: &ObjectRef| (code.to_owned(), format!("{}/{}", root.kind, root.path()));
        for cleared in verdict.cleared {
            self.standing.remove(&at(&cleared.code, &cleared.root));
            self.cleared.push(cleared);
        }
        for diagnosis in verdict.diagnoses {
            for former in &diagnosis.supersedes {
                self.standing.remove(&at(former, &diagnosis.root));
            }
            self.standing.insert(at(&diagnosis.code, &diagnosis.root), diagnosis);
        }
        for rejection in verdict.rejections {
            self.rejections.insert(rejection.code.clone(), rejection);
        }
        for wake in verdict.wakes {
            self.wakes.retain(|_, w| w.id != wake.id || w.subject != wake.subject);
            let subject = wake.subject.clone().unwrap_or_default();
            let subject = [subject.kind, subject.namespace, subject.name];
            self.wakes.insert((wake.at, wake.id.clone(), subject), wake);
        }
    }

    /// The line as each pattern of the rule that matches it makes it a signal.
    fn matches(&self, line: &Signal) -> Vec<Signal> {
        let mut found: Vec<Signal> = Vec::new();
        for (subscription, patterns) in &self.subscriptions {
            if subscription.source != line.source || !self.about(subscription, line.subject.as_ref()) {
                continue;
            }
            for (id, literal, regex) in patterns {
                let hit = if line.message.contains(literal.as_str()) {
                    regex.captures(&line.message)
                } else {
                    None
                };
                let Some(groups) = hit.filter(|_| found.iter().all(|s| s.name != *id)) else { continue };
                let mut signal = Signal { name: id.clone(), ..line.clone() };
                let named =
                    regex.capture_names().flatten().filter_map(|n| Some((n, groups.name(n)?.as_str())));
                signal.fields.extend(named.map(|(n, v)| Field { name: n.into(), value: v.into() }));
                signal.fields.sort_by(|a, b| a.name.cmp(&b.name));
                found.push(signal);
            }
        }
        found
    }

    fn wanted(&self, signal: &Signal) -> bool {
        self.subscriptions.iter().any(|(s, _)| {
            s.source == signal.source
                && s.patterns.is_empty()
                && any_glob(&s.names, &signal.name)
                && self.about(s, signal.subject.as_ref())
        })
    }

    fn about(&self, wanted: &Subscription, subject: Option<&ObjectRef>) -> bool {
        let Some(subject) = subject else {
            return wanted.kinds.is_empty() && wanted.namespaces.is_empty() && wanted.workloads.is_empty();
        };
        (wanted.kinds.is_empty() || wanted.kinds.contains(&subject.kind))
            && any_glob(&wanted.namespaces, &subject.namespace)
            && (any_glob(&wanted.workloads, &subject.name)
                || any_glob(&wanted.workloads, &self.cluster.top_name(subject)))
    }
}
