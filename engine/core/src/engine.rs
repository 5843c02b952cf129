//! Signals as they arrive go in, finding revisions come out.
//!
//! What arrives late, within the lateness window, is put where it belongs: the engine goes back to a state before it
//! and replays what came after, so the last revisions do not depend on the order of arrival and nothing has to wait
//! for the window to pass. What arrives twice counts once.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use kwhy_proto::{
    millis, order,
    v1::{Finding, LogRequest, Signal, Status, signal::Body},
};
use serde::{Deserialize, Serialize};

use crate::{
    answers::Answers,
    correlator::{Env, State},
    entries::{Entries, Entry},
    heard::Heard,
    history::Register,
    input::{Input, Inputs},
    late::{self, Late},
    matching::{MatchError, Matcher},
    rule::{Failure, Rules},
    settings::Settings,
    snapshot::Judged,
    symptom::Symptom,
    unexplained::UNEXPLAINED,
};

/// Work between two states that the engine can go back to: what a replay costs weighs against what it costs to go on
/// from a state that is shared with a checkpoint.
const CHECKPOINT: usize = 1024;
/// Two checkpoints need none between them that lie closer together than this part of their age.
const SPARE: u64 = 2;
/// Nor than this part of the lateness: the oldest lies so much further back at most, and all that has changed since is held.
const SPARE_AT_THE_END: u64 = 8;
/// Weight of a signal that a rule may be called with. A warning that no rule wants is counted and weighs 1.
const WEIGHT: usize = 16;

/// Something an operator should read, that is no finding.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A call of a rule failed.
    RuleFailed {
        /// Name of the rule.
        rule: String,
        /// Why.
        failure: Failure,
    },
    /// A signal whose object is no JSON.
    Unreadable {
        /// Its id.
        signal: String,
        /// Where it came from.
        origin: String,
    },
}

/// What became of the alerts, for the last line of a report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// Different alerts heard of, without heartbeats.
    pub alerts: usize,
    /// Of these, folded under a cause.
    pub explained: usize,
    /// Of these, listed as unexplained or not yet explained.
    pub unexplained: usize,
    /// Since when the heartbeat of each Prometheus has been silent, ms; None while it is heard.
    pub heartbeats: BTreeMap<String, Option<u64>>,
    /// Nodes that stand in the cluster.
    pub nodes: usize,
    /// Signals taken in.
    pub signals: u64,
    /// Signals that came a second time.
    pub duplicates: u64,
    /// Signals that came after the lateness window; used, but they change no past.
    pub late: u64,
}

/// Time, rank of the source, id: see [`kwhy_proto::order`].
pub(crate) type Order = (u64, u8, Arc<str>);

/// A place in the log from which signals come: whoever keeps the log numbers them, upwards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) number: u64,
    /// Newest time heard of before anything that stands here.
    pub(crate) frontier: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) revision: u32,
    pub(crate) content: Arc<Finding>,
}

/// The correlation engine of one cluster.
#[derive(Debug)]
pub struct Engine<R> {
    pub(crate) rules: R,
    pub(crate) settings: Settings,
    matcher: Arc<Matcher>,
    pub(crate) state: State,
    /// What was applied since the oldest checkpoint, in order.
    pub(crate) entries: Entries,
    /// States to go back to, each with the order of the last signal in it.
    pub(crate) checkpoints: VecDeque<(Order, State)>,
    since_checkpoint: usize,
    inputs: Inputs,
    /// Where the signals that come now stand in the log.
    pub(crate) place: Place,
    /// Last place of what is told a second time, until it has been: nothing of it is published again.
    pub(crate) retold: Option<u64>,
    /// What was published comes from elsewhere than from what the engine knows.
    pub(crate) adopted: Option<Judged>,
    /// Newest time heard of.
    pub(crate) frontier: u64,
    late: Late,
    /// What came late and is neither among the entries nor in the state yet.
    pub(crate) waiting: BTreeMap<Order, Entry>,
    /// What is among the entries and not yet in the state.
    news: BTreeSet<Order>,
    answers: Answers,
    pub(crate) heard: Heard,
    pub(crate) published: BTreeMap<String, Published>,
    notices: Vec<Notice>,
    /// Contents of findings that came about and were not told yet, in order.
    pub(crate) fresh: Vec<Arc<Finding>>,
    /// Where the signals of all states are kept.
    pub(crate) register: Register,
    asks: Vec<LogRequest>,
    /// What was asked for, with when: a replay asks again.
    pub(crate) asked: BTreeMap<String, u64>,
    pub(crate) counts: (u64, u64, u64),
}

impl<R: Rules> Engine<R> {
    /// An engine that has seen nothing.
    ///
    /// # Errors
    /// A [`MatchError`] if a rule's subscription cannot be compiled.
    pub fn new(settings: Settings, rules: R) -> Result<Self, MatchError> {
        let matcher = Arc::new(Matcher::new(rules.descriptors())?);
        Ok(Self::with_matcher(settings, rules, matcher))
    }

    /// The same where what these rules want is compiled already.
    #[must_use]
    pub fn with_matcher(settings: Settings, rules: R, matcher: Arc<Matcher>) -> Self {
        let answers = Answers::new(settings.recorded);
        Self {
            rules,
            settings,
            matcher,
            answers,
            state: State::default(),
            entries: Entries::default(),
            checkpoints: VecDeque::from([((0, 0, Arc::from("")), State::default())]),
            since_checkpoint: 0,
            inputs: Inputs::default(),
            place: Place::default(),
            retold: None,
            adopted: None,
            frontier: 0,
            late: Late::default(),
            waiting: BTreeMap::new(),
            news: BTreeSet::new(),
            heard: Heard::default(),
            published: BTreeMap::new(),
            notices: Vec::new(),
            fresh: Vec::new(),
            register: Register::default(),
            asks: Vec::new(),
            asked: BTreeMap::new(),
            counts: (0, 0, 0),
        }
    }

    /// What the rules want, for readers that would rather not make a signal of every line.
    #[must_use]
    pub fn matcher(&self) -> Arc<Matcher> {
        self.matcher.clone()
    }

    /// Log time: the newest time of a signal that was taken in, ms.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.frontier
    }

    /// The rules that it calls.
    pub fn rules(&self) -> &R {
        &self.rules
    }

    /// Says where in the log the signals stand that come next. The numbers are the caller's, and rise.
    pub fn stands_at(&mut self, number: u64) {
        if number != self.place.number {
            self.place = Place { number, frontier: self.frontier };
        }
    }

    /// Takes in one signal and gives back the finding revisions that follow from it, in a fixed order.
    pub fn apply(&mut self, signal: Signal) -> Vec<Finding> {
        let (at, rank, id) = order(&signal);
        if self.settings.recorded {
            let input = self.inputs.read(signal);
            return self.apply_recorded(&input);
        }
        let known = self.heard.of(id);
        if self.retold.is_none() {
            *(if known { &mut self.counts.1 } else { &mut self.counts.0 }) += 1;
        }
        if known {
            return Vec::new();
        }
        let mut key: Order = (at, rank, Arc::from(id));
        let weight = self.weight(&signal);
        if weight == 0 {
            if at <= self.frontier {
                return Vec::new();
            }
            self.frontier = at;
            if let Some(first) = self.late.take_due(at) {
                return self.go_back(&first);
            }
            self.with_env(|state, env| state.advance(at, env));
            return self.emit();
        }
        self.heard.hear(id, self.frontier.max(at), self.place.number);
        let too_late = at.saturating_add(self.settings.lateness) < self.frontier;
        let last = self.entries.last();
        let in_order = too_late || (at >= self.frontier && last.is_none_or(|last| key > *last));
        if too_late {
            self.counts.2 += u64::from(self.retold.is_none());
            key = (self.frontier, u8::MAX, key.2);
        }
        self.frontier = self.frontier.max(at);
        if self.retold.is_some() && self.checkpoints.front().is_some_and(|(base, _)| key <= *base) {
            // The state that was restored has it in it.
            return Vec::new();
        }
        let (place, input) = (self.place, Arc::new(self.inputs.read(signal)));
        let entry = Entry { order: key.clone(), weight, place, input };
        if !in_order {
            let after = self.entries.count_after(&key);
            self.waiting.insert(key.clone(), entry);
            return match self.late.add(key, after, self.frontier) {
                Some(first) => self.go_back(&first),
                None => Vec::new(),
            };
        }
        self.entries.push(entry.clone());
        if let Some(first) = self.late.take_due(self.frontier) {
            self.news.insert(key);
            return self.go_back(&first);
        }
        self.take_in(entry);
        self.emit()
    }

    /// Takes in a signal that neither comes late nor again, as where [`Settings::recorded`] holds. The state is shared with
    /// no other then, so it changes in place.
    pub fn apply_recorded(&mut self, input: &Input) -> Vec<Finding> {
        self.counts.0 += 1;
        self.frontier = self.frontier.max(time_of(&input.signal));
        match self.weight(&input.signal) {
            0 => {
                let to = self.frontier;
                self.with_env(|state, env| state.advance(to, env));
            }
            weight => self.with_env(|state, env| state.apply(input, weight == WEIGHT, env)),
        }
        self.emit()
    }

    /// Findings as they stand, the newest revision of each, in the order of their ids.
    pub fn findings(&self) -> impl Iterator<Item = Finding> {
        self.published.values().map(|p| Finding { revision: p.revision, ..(*p.content).clone() })
    }

    /// What became of the alerts.
    #[must_use]
    pub fn account(&self) -> Account {
        let counts = |s: &&Symptom| s.is_alert() && (s.fired || s.cause.is_some());
        let alerts: Vec<&Symptom> = self.state.symptoms.values().filter(counts).collect();
        let explained =
            alerts.iter().filter(|s| s.cause.as_ref().is_some_and(|c| c.code != UNEXPLAINED)).count();
        let (signals, duplicates, late) = self.counts;
        Account {
            alerts: alerts.len(),
            explained,
            unexplained: alerts.len() - explained,
            heartbeats: self
                .state
                .heartbeats
                .iter()
                .map(|(from, heartbeat)| (from.clone(), heartbeat.silent_since(self.frontier)))
                .collect(),
            nodes: self.state.graph.of_kind("Node", "").filter(|o| o.deleted.is_none()).count(),
            signals,
            duplicates,
            late,
        }
    }

    /// What an operator should read since this was last asked.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Which logs would tell why pods fail, since this was last asked; each is asked for once.
    pub fn take_asks(&mut self) -> Vec<LogRequest> {
        let forget = self.frontier.saturating_sub(self.settings.window);
        self.asked.retain(|_, at| *at >= forget);
        let mut asks = std::mem::take(&mut self.asks);
        asks.retain(|ask| {
            let at = ask.at.as_ref().map_or(0, millis);
            self.asked.insert(ask.id.clone(), at).is_none()
        });
        asks
    }

    /// How much a signal may set going; 0 where it can change nothing but the time.
    fn weight(&self, signal: &Signal) -> usize {
        match &signal.body {
            None => 0,
            Some(Body::Log(_)) if self.matcher.wants_line(&signal.source, &signal.message) => WEIGHT,
            Some(Body::Log(_)) => usize::from(matches!(signal.state.as_str(), "W" | "E" | "F")),
            Some(_) => WEIGHT,
        }
    }

    pub(crate) fn with_env(&mut self, step: impl FnOnce(&mut State, &mut Env<'_>)) {
        let mut env = Env {
            settings: &self.settings,
            matcher: &self.matcher,
            rules: &mut self.rules,
            notices: &mut self.notices,
            fresh: &mut self.fresh,
            register: &mut self.register,
            asks: &mut self.asks,
            answers: &mut self.answers,
        };
        step(&mut self.state, &mut env);
    }

    fn take_in(&mut self, entry: Entry) {
        let wanted = entry.weight == WEIGHT;
        self.with_env(|state, env| state.apply(&entry.input, wanted, env));
        self.checkpoint(entry.order, entry.weight);
    }

    fn checkpoint(&mut self, last: Order, weight: usize) {
        self.since_checkpoint += weight;
        if self.since_checkpoint < CHECKPOINT {
            return;
        }
        self.since_checkpoint = 0;
        self.checkpoints.push_back((last, self.state.clone()));
        self.thin_out();
        // The oldest checkpoint must lie before everything that may still come late, or came and waits.
        let horizon = self.frontier.saturating_sub(self.settings.lateness).saturating_sub(late::WAIT);
        while self.checkpoints.get(1).is_some_and(|((at, _, _), _)| *at < horizon) {
            self.checkpoints.pop_front();
        }
        if let Some((first, _)) = self.checkpoints.front() {
            self.entries.forget(first);
        }
        self.entries.pack(self.frontier);
        self.heard.forget(self.frontier.saturating_sub(self.settings.window));
    }

    /// Gives up checkpoints that save little: to go back to the one before takes half longer at most. Each holds all
    /// that has changed since.
    fn thin_out(&mut self) {
        let (now, apart) = (self.frontier, self.settings.lateness / SPARE_AT_THE_END);
        let mut kept: VecDeque<(Order, State)> = VecDeque::new();
        let mut all = std::mem::take(&mut self.checkpoints).into_iter().peekable();
        while let Some(checkpoint) = all.next() {
            let spare = match (kept.back(), all.peek()) {
                (Some(((before, ..), _)), Some(((after, ..), _))) => {
                    after.saturating_sub(*before) < (now.saturating_sub(*after) / SPARE).min(apart)
                }
                _ => false,
            };
            if !spare {
                kept.push_back(checkpoint);
            }
        }
        self.checkpoints = kept;
    }

    /// Replays what came after the `first` of the late signals, with them in their places.
    fn go_back(&mut self, first: &Order) -> Vec<Finding> {
        while self.checkpoints.len() > 1 && self.checkpoints.back().is_some_and(|(at, _)| at >= first) {
            self.checkpoints.pop_back();
        }
        let Some((base, state)) = self.checkpoints.back() else { return Vec::new() };
        let base = base.clone();
        self.state = state.clone();
        self.answers.go_back(self.state.calls);
        self.since_checkpoint = 0;
        // What lies before waits for another replay.
        let late = self.waiting.split_off(&base);
        self.news.extend(late.keys().cloned());
        self.entries.insert(late.into_values().collect(), &mut self.inputs);
        let (packed, open) = self.entries.after(&base);
        for block in packed {
            let entries = block.unpack(&mut self.inputs);
            entries.into_iter().filter(|entry| entry.order > base).for_each(|entry| self.replay(entry));
        }
        open.into_iter().for_each(|entry| self.replay(entry));
        let frontier = self.frontier;
        self.with_env(|state, env| state.advance(frontier, env));
        self.answers.caught_up();
        self.reconcile()
    }

    fn replay(&mut self, entry: Entry) {
        let news = self.news.remove(&entry.order);
        self.answers.news(news);
        self.take_in(entry);
        self.answers.news(false);
    }

    /// Revisions of the contents that came about in order.
    fn emit(&mut self) -> Vec<Finding> {
        let fresh = std::mem::take(&mut self.fresh);
        if self.retold.is_some() {
            return Vec::new();
        }
        fresh.into_iter().filter_map(|content| self.publish(content)).collect()
    }

    /// Revisions that bring what was published to what a replay has found.
    fn reconcile(&mut self) -> Vec<Finding> {
        self.reconcile_but(|_, _| false)
    }

    /// The same but for what `stands` as it was published, whatever was found of it.
    pub(crate) fn reconcile_but(
        &mut self,
        stands: impl Fn(&Finding, Option<&Arc<Finding>>) -> bool,
    ) -> Vec<Finding> {
        self.fresh.clear();
        if self.retold.is_some() {
            return Vec::new();
        }
        let found = &self.state.findings;
        let standing = |id: &str| self.published.get(id).is_some_and(|p| stands(&p.content, found.get(id)));
        let contents: Vec<Arc<Finding>> = found.values().filter(|f| !standing(&f.id)).cloned().collect();
        let gone = self
            .published
            .iter()
            .filter(|(id, p)| !found.contains_key(*id) && p.content.resolution != WITHDRAWN && !standing(id));
        let gone: Vec<Arc<Finding>> = gone.map(|(_, p)| p.content.clone()).collect();
        let mut out: Vec<Finding> = contents.into_iter().filter_map(|c| self.publish(c)).collect();
        for content in gone {
            let now = Some(kwhy_proto::timestamp(self.frontier));
            let content = Arc::new(Finding {
                status: Status::Resolved.into(),
                resolved_at: now,
                updated_at: now,
                resolution: WITHDRAWN.to_owned(),
                ..(*content).clone()
            });
            out.extend(self.publish(content));
        }
        out
    }

    fn publish(&mut self, content: Arc<Finding>) -> Option<Finding> {
        let revision = match self.published.get(&content.id) {
            Some(known) if known.content == content => return None,
            Some(known) => known.revision + 1,
            None => 1,
        };
        self.published.insert(content.id.clone(), Published { revision, content: content.clone() });
        Some(Finding { revision, ..(*content).clone() })
    }
}

/// Resolution of a finding that only stood because a signal had not arrived yet.
pub const WITHDRAWN: &str = "withdrawn: a signal that arrived late shows that it did not hold";

/// Milliseconds of a signal's own time; 0 where it has none.
#[must_use]
pub fn time_of(signal: &Signal) -> u64 {
    signal.at.as_ref().map_or(0, millis)
}

#[cfg(test)]
mod tests {
    use kwhy_proto::{
        timestamp,
        v1::{Event, ObjectRef},
    };

    use super::*;
    use crate::rule::{Call, Descriptor, Reply};

    struct NoRules;

    impl Rules for NoRules {
        fn descriptors(&self) -> &[Descriptor] {
            &[]
        }

        fn examine(&mut self, _rule: usize, _call: Call) -> Result<Reply, Failure> {
            Ok(Reply::default())
        }
    }

    fn event(at: u64) -> Signal {
        Signal {
            id: format!("event/{at}"),
            source: "event".into(),
            name: "Pulled".into(),
            at: Some(timestamp(at)),
            subject: Some(ObjectRef { kind: "Pod".into(), name: "web".into(), ..ObjectRef::default() }),
            body: Some(Body::Event(Event::default())),
            ..Signal::default()
        }
    }

    #[test]
    fn for_a_signal_that_waits_at_the_end_of_the_lateness_there_is_a_state_from_before_it() {
        let mut engine = Engine::new(Settings::new("lab"), NoRules).unwrap();
        let lateness = engine.settings.lateness;
        let mut at = 0;
        let mut on = |engine: &mut Engine<NoRules>| {
            at += 50;
            let _none = engine.apply(event(at));
        };
        (0..20_000).for_each(|_| on(&mut engine));
        // Until the second state is about to be old enough to be the first.
        while engine.frontier + 100 <= engine.checkpoints[1].0.0 + lateness {
            on(&mut engine);
        }
        let late = engine.frontier - lateness;
        let _none = engine.apply(Signal { id: "event/late".into(), ..event(late) });
        on(&mut engine);
        engine.since_checkpoint = CHECKPOINT - 1;
        on(&mut engine);
        assert!(!engine.waiting.is_empty(), "it waits");
        assert!(engine.checkpoints[0].0.0 < late, "{} and {late}", engine.checkpoints[0].0.0);
    }

    #[test]
    fn of_many_signals_few_former_states_are_kept_and_one_from_before_the_lateness() {
        let mut engine = Engine::new(Settings::new("lab"), NoRules).unwrap();
        let lateness = engine.settings.lateness;
        for n in 0..20_000 {
            let _none = engine.apply(event(n * 50));
        }
        let ages: Vec<u64> = engine.checkpoints.iter().map(|((at, ..), _)| engine.frontier - at).collect();
        assert!(ages.len() < 40, "{ages:?}");
        assert!(ages[0] >= lateness && ages[0] < lateness + lateness / 4, "{ages:?}");
        // To go back by any time is to go back by half more at most, or by what lies between two checkpoints.
        for pair in ages.windows(2) {
            assert!(pair[0] - pair[1] <= pair[0] / 2 + 2 * 64 * 50, "{ages:?}");
        }
    }
}
