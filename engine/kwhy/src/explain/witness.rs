//! Rules that are watched while they run: what one of them was called with, what it said of one code, what it thought.

use std::collections::BTreeMap;

use kwhy_core::{
    matching::asks_for,
    rule::{Call, CodeInfo, Descriptor, Failure, Reply, RuleSignal, Rules, Subscription},
};
use kwhy_proto::v1::ObjectRef;

/// How often something was said, and when last.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Times {
    pub(crate) times: u64,
    pub(crate) last: u64,
}

impl Times {
    fn count(&mut self, at: u64) {
        self.times += 1;
        self.last = self.last.max(at);
    }
}

/// One thing that a rule asks for: a name or a pattern of one of its subscriptions.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) subscription: Subscription,
    /// Event reason, alert name (globs) or pattern id; empty for all.
    pub(crate) name: String,
    pub(crate) heard: Times,
    pub(crate) last: Option<RuleSignal>,
}

/// What was seen of the rule that declares the code.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) info: CodeInfo,
    pub(crate) rule: Descriptor,
    pub(crate) asked: Vec<Asked>,
    /// Calls with a signal that it asked for, and with a timer of its own.
    pub(crate) calls: u64,
    pub(crate) wakes: u64,
    pub(crate) diagnosed: Times,
    /// Root and reason of each time that it ruled the code out, or took it back.
    pub(crate) ruled_out: BTreeMap<(String, String), (ObjectRef, Times)>,
    pub(crate) cleared: BTreeMap<(String, String), (ObjectRef, Times)>,
    /// What it found unmet, in its own words.
    pub(crate) unmet: BTreeMap<String, Times>,
    pub(crate) failures: BTreeMap<String, Times>,
}

/// Rules, one of which is watched.
#[derive(Debug)]
pub(crate) struct Witness<R> {
    rules: R,
    watched: usize,
    /// Signal of the call that has just failed: it is tried again.
    failed: Option<String>,
    pub(crate) seen: Seen,
}

impl<R: Rules> Witness<R> {
    /// Watches the rule that declares `code`; none where no rule does.
    pub(crate) fn new(rules: R, code: &str) -> Option<Self> {
        let declares = |rule: &Descriptor| rule.codes.iter().find(|info| info.code == code).cloned();
        let (watched, info) =
            rules.descriptors().iter().enumerate().find_map(|(n, rule)| Some((n, declares(rule)?)))?;
        let rule = rules.descriptors().get(watched)?.clone();
        let asked = rule.subscriptions.iter().flat_map(split).collect();
        Some(Self { rules, watched, failed: None, seen: Seen { info, rule, asked, ..Seen::default() } })
    }

    fn heard(&mut self, call: &Call) {
        for signal in &call.signals {
            if self.failed.as_ref() == Some(&signal.id) {
                continue;
            }
            if signal.source == "timer" {
                self.seen.wakes += 1;
                continue;
            }
            self.seen.calls += 1;
            for asked in &mut self.seen.asked {
                if asks_for(&asked.subscription, signal, &call.world) {
                    asked.heard.count(signal.at);
                    asked.last = Some(signal.clone());
                }
            }
        }
    }

    fn said(&mut self, reply: &Reply, now: u64) {
        let code = &self.seen.info.code;
        let verdict = &reply.verdict;
        for _ in verdict.diagnoses.iter().filter(|diagnosis| diagnosis.code == *code) {
            self.seen.diagnosed.count(now);
        }
        let told = |root: &ObjectRef, because: &str| {
            ((format!("{}/{}/{}", root.kind, root.namespace, root.name), because.to_owned()), root.clone())
        };
        for it in verdict.rejections.iter().filter(|rejection| rejection.code == *code) {
            let (key, root) = told(&it.root, &it.because);
            self.seen.ruled_out.entry(key).or_insert((root, Times::default())).1.count(now);
        }
        for it in verdict.cleared.iter().filter(|clearing| clearing.code == *code) {
            let (key, root) = told(&it.root, &it.because);
            self.seen.cleared.entry(key).or_insert((root, Times::default())).1.count(now);
        }
        for thought in &reply.thoughts {
            let Some((about, words)) = thought.strip_prefix("unmet ").and_then(|rest| rest.split_once(' '))
            else {
                continue;
            };
            if about == code {
                self.seen.unmet.entry(words.to_owned()).or_default().count(now);
            }
        }
    }
}

impl<R: Rules> Rules for Witness<R> {
    fn descriptors(&self) -> &[Descriptor] {
        self.rules.descriptors()
    }

    fn examine(&mut self, rule: usize, call: Call) -> Result<Reply, Failure> {
        if rule != self.watched {
            return self.rules.examine(rule, call);
        }
        self.heard(&call);
        let now = call.context.now;
        let id = call.signals.first().map(|signal| signal.id.clone());
        let answer = self.rules.examine(rule, call);
        match &answer {
            Ok(reply) => {
                self.failed = None;
                self.said(reply, now);
            }
            Err(_) if self.failed != id => self.failed = id,
            // The second try has failed too.
            Err(failure) => {
                self.failed = None;
                self.seen.failures.entry(failure.to_string()).or_default().count(now);
            }
        }
        answer
    }
}

/// A subscription by its names, or by the ids of its patterns.
fn split(subscription: &Subscription) -> Vec<Asked> {
    let mut names: Vec<String> = match subscription.patterns.is_empty() {
        true => subscription.names.clone(),
        false => subscription.patterns.iter().map(|pattern| pattern.id.clone()).collect(),
    };
    names.dedup();
    if names.is_empty() {
        names.push(String::new());
    }
    let asked = |name: String| Asked {
        subscription: Subscription {
            patterns: subscription.patterns.iter().filter(|it| it.id == name).cloned().collect(),
            names: if subscription.names.is_empty() { Vec::new() } else { vec![name.clone()] },
            ..subscription.clone()
        },
        name,
        heard: Times::default(),
        last: None,
    };
    names.into_iter().map(asked).collect()
}

#[cfg(test)]
mod tests {
    use kwhy_core::rule::{Context, Pattern, Rejection, Verdict};

    use super::*;

    /// A rule that fails on signals called so, and thinks something of all others.
    struct Stub(Vec<Descriptor>);

    impl Rules for Stub {
        fn descriptors(&self) -> &[Descriptor] {
            &self.0
        }

        fn examine(&mut self, _rule: usize, call: Call) -> Result<Reply, Failure> {
            let names: Vec<&str> = call.signals.iter().map(|signal| signal.name.as_str()).collect();
            if names == ["Broken"] {
                return Err(Failure::Refused { message: "cannot".to_owned() });
            }
            let rejection = |code: &str| Rejection {
                code: code.to_owned(),
                because: "it is well".to_owned(),
                ..Rejection::default()
            };
            let rejections = vec![rejection("p.c"), rejection("p.d")];
            let thoughts = ["unmet p.c Pod shop/web-0: no limit", "unmet p.cc x", "p.c"];
            Ok(Reply {
                verdict: Verdict { rejections, ..Verdict::default() },
                thoughts: thoughts.map(str::to_owned).into(),
                ..Reply::default()
            })
        }
    }

    fn witness() -> Witness<Stub> {
        let code = |code: &str| CodeInfo { code: code.to_owned(), ..CodeInfo::default() };
        let wants = |source: &str, names: &[&str], patterns: &[&str]| Subscription {
            source: source.to_owned(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            patterns: patterns
                .iter()
                .map(|id| Pattern { id: (*id).to_owned(), ..Pattern::default() })
                .collect(),
            ..Subscription::default()
        };
        let watched = Descriptor {
            name: "p".to_owned(),
            codes: vec![code("p.c"), code("p.d")],
            subscriptions: vec![
                wants("event", &["BackOff", "Fail*"], &[]),
                wants("log", &[], &["oops", "oops", "panic"]),
                wants("object", &[], &[]),
            ],
            ..Descriptor::default()
        };
        Witness::new(Stub(vec![Descriptor::default(), watched]), "p.c").unwrap()
    }

    fn call(source: &str, name: &str) -> Call {
        let signal = RuleSignal {
            id: format!("{source}/{name}"),
            source: source.to_owned(),
            name: name.to_owned(),
            at: 5,
            ..RuleSignal::default()
        };
        Call {
            context: Context { now: 7, ..Context::default() },
            signals: vec![signal],
            world: kwhy_core::world::World::default(),
            state: kwhy_core::state::StateTable::default(),
        }
    }

    #[test]
    fn what_came_is_counted_by_name_and_pattern() {
        let mut witness = witness();
        for (source, name) in
            [("event", "BackOff"), ("event", "BackOff"), ("event", "Failed"), ("log", "oops")]
        {
            witness.examine(1, call(source, name)).unwrap();
        }
        witness.examine(1, call("timer", "later")).unwrap();
        witness.examine(0, call("log", "panic")).unwrap();
        let heard: Vec<(&str, u64)> =
            witness.seen.asked.iter().map(|it| (it.name.as_str(), it.heard.times)).collect();
        assert_eq!(heard, [("BackOff", 2), ("Fail*", 1), ("oops", 1), ("panic", 0), ("", 0)]);
        assert_eq!(
            (witness.seen.calls, witness.seen.wakes),
            (4, 1),
            "the other rule is none of its business"
        );
    }

    #[test]
    fn only_what_is_said_of_the_code_counts() {
        let mut witness = witness();
        witness.examine(1, call("event", "BackOff")).unwrap();
        witness.examine(1, call("event", "Failed")).unwrap();
        let unmet: Vec<(&str, u64, u64)> =
            witness.seen.unmet.iter().map(|(words, it)| (words.as_str(), it.times, it.last)).collect();
        assert_eq!(unmet, [("Pod shop/web-0: no limit", 2, 7)]);
        let ruled_out: Vec<u64> = witness.seen.ruled_out.values().map(|(_, times)| times.times).collect();
        assert_eq!(ruled_out, [2]);
    }

    #[test]
    fn a_call_that_is_tried_again_counts_once() {
        let mut witness = witness();
        for _ in 0..2 {
            witness.examine(1, call("event", "Broken")).unwrap_err();
        }
        let failures: Vec<(&str, u64)> =
            witness.seen.failures.iter().map(|(words, it)| (words.as_str(), it.times)).collect();
        assert_eq!((witness.seen.calls, failures), (1, vec![("said: cannot", 1)]));
    }

    #[test]
    fn a_code_that_no_rule_declares_has_no_witness() {
        assert!(Witness::new(Stub(Vec::new()), "p.c").is_none());
    }
}
