//! Which rules want a signal: all their log patterns in one automaton for each kind of log, event and alert names by
//! glob.

use std::{cell::OnceCell, collections::BTreeMap};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use kwhy_proto::v1::Signal;
use regex::Regex;

use crate::{
    glob,
    graph::Graph,
    key::Key,
    rule::{Descriptor, Pattern, RuleSignal, Subscription},
    sieve::Sieve,
    world::World,
};

/// Most bytes of literals for which an automaton is made that takes one step a byte. It takes a few hundred bytes of
/// memory for each; one for more literals is slower and smaller.
const QUICK: usize = 128 << 10;

/// A rule whose subscription cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum MatchError {
    /// A pattern without a literal would have to be tried on every line.
    #[error("rule {rule}: pattern {pattern} has no literal")]
    NoLiteral {
        /// Name of the rule.
        rule: String,
        /// Id of the pattern.
        pattern: String,
    },
    /// A regex that the engine does not take.
    #[error("rule {rule}: pattern {pattern} is no valid regex")]
    Regex {
        /// Name of the rule.
        rule: String,
        /// Id of the pattern.
        pattern: String,
        /// What the regex engine says.
        #[source]
        source: Box<regex::Error>,
    },
    /// Too many or too large literals.
    #[error("the literals of all patterns together are too large")]
    Literals {
        /// What the automaton's builder says.
        #[source]
        source: Box<aho_corasick::BuildError>,
    },
}

/// A pattern of a rule, ready to run.
#[derive(Debug)]
struct Compiled {
    rule: usize,
    subscription: usize,
    id: String,
    regex: Option<Regex>,
}

/// A pattern of one rule found in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) rule: usize,
    pub(crate) pattern: String,
    /// Named groups, sorted by name.
    pub(crate) captures: Vec<(String, String)>,
}

/// The patterns of all rules for one kind of log.
#[derive(Debug)]
struct Lines {
    sieve: Option<Sieve>,
    literals: AhoCorasick,
    patterns: Vec<Compiled>,
}

impl Lines {
    fn new(patterns: Vec<(String, Compiled)>) -> Result<Self, MatchError> {
        let (literals, patterns): (Vec<String>, Vec<Compiled>) = patterns.into_iter().unzip();
        let sieve = Sieve::new(literals.iter().map(String::as_str));
        // Behind a sieve its speed hardly counts.
        let quick = sieve.is_none() && literals.iter().map(String::len).sum::<usize>() <= QUICK;
        let literals = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .kind(Some(if quick { AhoCorasickKind::DFA } else { AhoCorasickKind::ContiguousNFA }))
            .build(&literals)
            .map_err(|source| MatchError::Literals { source: Box::new(source) })?;
        Ok(Self { sieve, literals, patterns })
    }

    fn want(&self, message: &str) -> bool {
        self.sieve.as_ref().is_none_or(|sieve| sieve.may_hold(message)) && self.literals.is_match(message)
    }

    /// The patterns whose literals occur, each once, in order.
    fn found(&self, message: &str) -> impl Iterator<Item = &Compiled> {
        let mut found: Vec<usize> =
            self.literals.find_overlapping_iter(message).map(|m| m.pattern().as_usize()).collect();
        found.sort_unstable();
        found.dedup();
        found.into_iter().filter_map(|i| self.patterns.get(i))
    }
}

/// All subscriptions of all rules.
#[derive(Debug)]
pub struct Matcher {
    subscriptions: Vec<(usize, Subscription)>,
    /// By source.
    lines: BTreeMap<String, Lines>,
}

impl Matcher {
    /// Compiles the subscriptions of the rules, in their order.
    ///
    /// # Errors
    /// A [`MatchError`] that names the rule and the pattern.
    pub fn new(rules: &[Descriptor]) -> Result<Self, MatchError> {
        let mut subscriptions = Vec::new();
        let mut patterns: BTreeMap<String, Vec<(String, Compiled)>> = BTreeMap::new();
        for (rule, descriptor) in rules.iter().enumerate() {
            for subscription in &descriptor.subscriptions {
                for Pattern { id, literal, regex } in &subscription.patterns {
                    let name = || (descriptor.name.clone(), id.clone());
                    if literal.is_empty() {
                        let (rule, pattern) = name();
                        return Err(MatchError::NoLiteral { rule, pattern });
                    }
                    let compiled = if regex.is_empty() { None } else { Some(Regex::new(regex)) };
                    let regex = compiled.transpose().map_err(|source| {
                        let (rule, pattern) = name();
                        MatchError::Regex { rule, pattern, source: Box::new(source) }
                    })?;
                    let compiled =
                        Compiled { rule, subscription: subscriptions.len(), id: id.clone(), regex };
                    patterns
                        .entry(subscription.source.clone())
                        .or_default()
                        .push((literal.clone(), compiled));
                }
                subscriptions.push((rule, subscription.clone()));
            }
        }
        let compiled = patterns.into_iter().map(|(source, patterns)| Ok((source, Lines::new(patterns)?)));
        let lines = compiled.collect::<Result<_, MatchError>>()?;
        Ok(Self { subscriptions, lines })
    }

    /// Whether any rule may want the line of that source: its literal occurs. Cheap enough to ask for every line.
    #[must_use]
    pub fn wants_line(&self, source: &str, message: &str) -> bool {
        self.lines.get(source).is_some_and(|lines| lines.want(message))
    }

    /// The rules that want a log line of `subject`, one hit a rule and pattern, in order.
    pub(crate) fn lines(
        &self,
        graph: &Graph,
        source: &str,
        subject: Option<&Key>,
        message: &str,
    ) -> Vec<Hit> {
        let subject = About::new(graph, subject);
        let mut hits = Vec::new();
        for pattern in self.lines.get(source).into_iter().flat_map(|lines| lines.found(message)) {
            let Some((_, subscription)) = self.subscriptions.get(pattern.subscription) else { continue };
            if !subject.is_wanted(subscription) {
                continue;
            }
            let captures = match &pattern.regex {
                None => Vec::new(),
                Some(regex) => match regex.captures(message) {
                    None => continue,
                    Some(found) => {
                        let named = regex.capture_names().flatten();
                        let mut list: Vec<(String, String)> = named
                            .filter_map(|n| Some((n.to_owned(), found.name(n)?.as_str().to_owned())))
                            .collect();
                        list.sort();
                        list
                    }
                },
            };
            hits.push(Hit { rule: pattern.rule, pattern: pattern.id.clone(), captures });
        }
        hits.sort_by(|a, b| (a.rule, &a.pattern).cmp(&(b.rule, &b.pattern)));
        hits.dedup_by(|a, b| (a.rule, &a.pattern) == (b.rule, &b.pattern));
        hits
    }

    /// The rules that want a signal by its full name and not by a glob, each once, in order.
    pub(crate) fn named(&self, graph: &Graph, signal: &Signal, subject: &Key) -> Vec<usize> {
        let subject = About::new(graph, Some(subject));
        let mut rules: Vec<usize> = self
            .subscriptions
            .iter()
            .filter(|(_, s)| {
                s.source == signal.source && s.names.contains(&signal.name) && subject.is_wanted(s)
            })
            .map(|(rule, _)| *rule)
            .collect();
        rules.dedup();
        rules
    }

    /// The rules that want an event, alert or object signal, each once, in order.
    pub(crate) fn signals(&self, graph: &Graph, signal: &Signal, subject: Option<&Key>) -> Vec<usize> {
        let subject = About::new(graph, subject);
        let mut rules: Vec<usize> = self
            .subscriptions
            .iter()
            .filter(|(_, s)| {
                s.patterns.is_empty()
                    && s.source == signal.source
                    && subject.is_of(&s.kinds)
                    && glob::any(&s.names, &signal.name)
                    && subject.is_wanted(s)
            })
            .map(|(rule, _)| *rule)
            .collect();
        rules.dedup();
        rules
    }
}

/// Whether a signal that a rule was called with is one that this subscription asks for, seen at the time of the call.
/// A log line is known by the id of the pattern that found it.
#[must_use]
pub fn asks_for(subscription: &Subscription, signal: &RuleSignal, world: &World) -> bool {
    let named = if subscription.patterns.is_empty() {
        glob::any(&subscription.names, &signal.name)
    } else {
        subscription.patterns.iter().any(|pattern| pattern.id == signal.name)
    };
    let subject = signal.subject.as_ref().map(Key::from);
    named
        && subscription.source == signal.source
        && About::new(world.graph(), subject.as_ref()).is_wanted(subscription)
}

/// What a signal is about, as subscriptions ask for it. Many are asked of one subject, so its top-level owner is looked
/// for once.
struct About<'a> {
    graph: &'a Graph,
    subject: Option<&'a Key>,
    top: OnceCell<Key>,
}

impl<'a> About<'a> {
    fn new(graph: &'a Graph, subject: Option<&'a Key>) -> Self {
        Self { graph, subject, top: OnceCell::new() }
    }

    /// Whether the subject is of one of these kinds; none at all means any.
    fn is_of(&self, kinds: &[String]) -> bool {
        kinds.is_empty() || self.subject.is_some_and(|subject| kinds.contains(&subject.kind))
    }

    /// Whether the subject is one that the subscription asks for.
    fn is_wanted(&self, subscription: &Subscription) -> bool {
        let Some(subject) = self.subject else {
            return subscription.kinds.is_empty()
                && subscription.namespaces.is_empty()
                && subscription.workloads.is_empty();
        };
        self.is_of(&subscription.kinds)
            && glob::any(&subscription.namespaces, &subject.namespace)
            && (glob::any(&subscription.workloads, &subject.name)
                || glob::any(&subscription.workloads, &self.top.get_or_init(|| self.graph.top(subject)).name))
    }
}
