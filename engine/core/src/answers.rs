//! What rules answered, so that a replay asks anew only those that would see something else.
//!
//! A late signal is put in its place by replaying what came after it, and most of that has nothing to do with it. Of each
//! call is kept what the rule looked at ([`crate::seen`]) and what it answered. A replay keeps account of what is otherwise
//! than it was: signals that were not there, slots of a rule's memory that were written otherwise, calls that were not made
//! or are not made any more. A call that looked at none of that is answered as before; all else is asked anew, so what
//! follows is what would follow if everything were. Where the graph is otherwise everything is asked anew.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    key::Key,
    lookup::Lookup,
    print::print,
    rule::{RuleSignal, Verdict},
    seen::{self, Seen, Token},
    state::{StateTable, Write},
};

/// Most calls of which the answer is kept.
const MOST: usize = 8192;

/// What a rule was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Question {
    rule: usize,
    /// Log time, ms.
    now: u64,
    /// Of the signal.
    print: u64,
}

/// What a rule answered, and what that rests on.
#[derive(Debug)]
pub(crate) struct Answer {
    question: Question,
    rests_on: Box<[Token]>,
    on_all_signals: bool,
    /// It is not to be given a second time.
    unique: bool,
    growth: usize,
    pub(crate) verdict: Verdict,
    pub(crate) writes: Vec<Write>,
}

/// What is otherwise than it was when the answers were given.
#[derive(Debug, Default)]
struct Otherwise {
    tokens: Lookup<Token, ()>,
    signals: bool,
}

impl Otherwise {
    fn add(&mut self, tokens: impl IntoIterator<Item = Token>) {
        for token in tokens {
            self.tokens.insert(token, ());
        }
    }
}

/// The answers that hold of the log as it is known, the newest last.
#[derive(Debug)]
pub(crate) struct Answers {
    /// Nothing is kept where nothing is ever replayed.
    off: bool,
    /// Each with how many calls were made before it.
    kept: VecDeque<(u64, Arc<Answer>)>,
    /// Of all calls from this one on the answers are kept.
    from: u64,
    /// In a replay: the answers of before, of calls that were not made again yet.
    before: VecDeque<Arc<Answer>>,
    otherwise: Option<Otherwise>,
    /// What is taken in now was not there before.
    news: bool,
    /// The answer of before to what is asked anew.
    doubted: Option<Arc<Answer>>,
}

impl Answers {
    pub(crate) fn new(off: bool) -> Self {
        Self {
            off,
            kept: VecDeque::new(),
            from: 0,
            before: VecDeque::new(),
            otherwise: None,
            news: false,
            doubted: None,
        }
    }

    /// What a rule is asked, where its answer is to be kept.
    pub(crate) fn question(&self, rule: usize, now: u64, signal: &RuleSignal) -> Option<Question> {
        if self.off {
            return None;
        }
        Some(Question { rule, now, print: print(signal) })
    }

    /// A replay begins, from a state in which so many `calls` had been made.
    pub(crate) fn go_back(&mut self, calls: u64) {
        let known = calls >= self.from;
        let at = self.kept.partition_point(|(number, _)| *number < calls);
        self.before = self.kept.split_off(at).into_iter().map(|(_, answer)| answer).collect();
        self.otherwise = Some(Otherwise::default());
        if !known {
            self.kept.clear();
            self.from = calls;
            self.before.clear();
        }
    }

    /// The replay is over.
    pub(crate) fn caught_up(&mut self) {
        self.before.clear();
        self.otherwise = None;
    }

    /// What is replayed next was, or was not, there before.
    pub(crate) fn news(&mut self, news: bool) {
        self.news = news;
    }

    /// Whether what is taken in was not there before.
    pub(crate) fn is_news(&self) -> bool {
        self.news
    }

    /// Everything is asked anew from here to the end of the replay.
    pub(crate) fn give_up(&mut self) {
        self.before.clear();
        self.doubted = None;
    }

    /// Whether some answer of before may still hold.
    pub(crate) fn may_hold(&self) -> bool {
        !self.before.is_empty()
    }

    /// Whether what was said of an object is otherwise.
    pub(crate) fn is_otherwise(&self, key: &Key) -> bool {
        self.otherwise.as_ref().is_some_and(|otherwise| otherwise.tokens.contains(&seen::of_object(key)))
    }

    /// What was said of an object of this topic is otherwise.
    pub(crate) fn said_otherwise(&mut self, key: &Key, source: &str, name: &str) {
        let Some(otherwise) = &mut self.otherwise else { return };
        otherwise.signals = true;
        let tokens = [seen::of_object(key), seen::of_both(key, source, name), seen::of_topic(source, name)];
        otherwise.add(tokens);
    }

    /// The answer of before, where it holds.
    pub(crate) fn again(&mut self, question: &Question, memory: &StateTable) -> Option<Arc<Answer>> {
        self.doubted = None;
        while self.before.front().is_some_and(|answer| answer.question.now < question.now) {
            self.not_made_again();
        }
        let mut now = self.before.iter().take_while(|answer| answer.question.now == question.now);
        let position = now.position(|answer| answer.question == *question)?;
        (0..position).for_each(|_| self.not_made_again());
        let answer = self.before.pop_front()?;
        if self.holds(&answer, memory) {
            return Some(answer);
        }
        self.doubted = Some(answer);
        None
    }

    fn holds(&self, answer: &Answer, memory: &StateTable) -> bool {
        let Some(otherwise) = &self.otherwise else { return false };
        let signals = otherwise.signals && answer.on_all_signals;
        let moved = signals || answer.rests_on.iter().any(|token| otherwise.tokens.contains(token));
        !answer.unique && !moved && memory.has_room_for(answer.growth)
    }

    /// A call of before was not made again.
    fn not_made_again(&mut self) {
        if let Some(answer) = self.before.pop_front() {
            self.written_otherwise(answer.question.rule, &answer.writes);
        }
    }

    fn written_otherwise<'a>(&mut self, rule: usize, writes: impl IntoIterator<Item = &'a Write>) {
        if let Some(otherwise) = &mut self.otherwise {
            otherwise.add(writes.into_iter().map(|write| seen::of_slot(rule, &write.slot)));
        }
    }

    /// What was asked has been answered.
    pub(crate) fn answered(
        &mut self,
        number: u64,
        question: Question,
        seen: Seen,
        verdict: &Verdict,
        memory: &StateTable,
    ) {
        let writes = memory.written(&seen.written);
        self.differ(question.rule, &writes);
        let Seen { mut tokens, all_signals, growth, full, .. } = seen;
        tokens.sort_unstable();
        tokens.dedup();
        let answer = Answer {
            question,
            rests_on: tokens.into(),
            on_all_signals: all_signals,
            unique: full,
            growth,
            verdict: verdict.clone(),
            writes,
        };
        self.keep(number, Arc::new(answer));
    }

    /// What was asked has found no answer.
    pub(crate) fn failed(&mut self, rule: usize) {
        self.differ(rule, &[]);
    }

    /// What was written is not what was written before.
    fn differ(&mut self, rule: usize, writes: &[Write]) {
        if self.otherwise.is_none() {
            return;
        }
        let before = self.doubted.take();
        let before = before.as_ref().map_or(&[][..], |answer| &answer.writes);
        let new = writes.iter().filter(|write| !before.contains(write));
        let gone = before.iter().filter(|write| !writes.contains(write));
        self.written_otherwise(rule, new.chain(gone));
    }

    /// The answer holds, of the call of that number.
    pub(crate) fn keep(&mut self, number: u64, answer: Arc<Answer>) {
        self.kept.push_back((number, answer));
        if self.kept.len() > MOST
            && let Some((first, _)) = self.kept.pop_front()
        {
            self.from = first + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A call at log time `now` that looks at slots of its memory and writes to some.
    struct Made {
        now: u64,
        looked: &'static str,
        wrote: Option<&'static str>,
    }

    const MADE: [Made; 3] = [
        Made { now: 1, looked: "a", wrote: Some("b") },
        Made { now: 2, looked: "b", wrote: Some("c") },
        Made { now: 3, looked: "d", wrote: None },
    ];

    fn question(answers: &Answers, now: u64) -> Question {
        answers.question(0, now, &RuleSignal::default()).unwrap()
    }

    fn answer(answers: &mut Answers, number: u64, made: &Made) {
        let asked = question(answers, made.now);
        let written = made.wrote.iter().map(|slot| (*slot).to_owned()).collect();
        let tokens = vec![seen::of_slot(0, made.looked)];
        let seen = Seen { tokens, written, ..Seen::default() };
        answers.answered(number, asked, seen, &Verdict::default(), &StateTable::default());
    }

    fn given() -> Answers {
        let mut answers = Answers::new(false);
        (0..).zip(&MADE).for_each(|(number, made)| answer(&mut answers, number, made));
        answers
    }

    /// Which of the calls are answered as before, where some are not made again.
    fn again(answers: &mut Answers, made: impl Fn(u64) -> bool) -> Vec<u64> {
        let made = MADE.iter().map(|m| m.now).filter(|now| made(*now));
        made.filter(|now| {
            let asked = question(answers, *now);
            answers.again(&asked, &StateTable::default()).is_some()
        })
        .collect()
    }

    #[test]
    fn where_nothing_is_otherwise_everything_is_answered_as_before() {
        let mut answers = given();
        answers.go_back(0);
        assert_eq!(again(&mut answers, |_| true), [1, 2, 3]);
        answers.caught_up();
        assert!(again(&mut answers, |_| true).is_empty(), "not in a replay");
    }

    #[test]
    fn what_rests_on_a_call_that_is_not_made_again_is_asked_anew() {
        let mut answers = given();
        answers.go_back(0);
        assert_eq!(again(&mut answers, |now| now != 1), [3]);
    }

    #[test]
    fn what_rests_on_what_a_new_call_writes_is_asked_anew() {
        let mut answers = given();
        answers.go_back(0);
        let new = Made { now: 0, looked: "x", wrote: Some("d") };
        assert!(answers.again(&question(&answers, 0), &StateTable::default()).is_none());
        answer(&mut answers, 0, &new);
        assert_eq!(again(&mut answers, |_| true), [1, 2]);
    }

    #[test]
    fn before_the_first_answer_that_is_kept_there_is_nothing_to_go_by() {
        let mut answers = given();
        (3..3 + MOST as u64).for_each(|n| answer(&mut answers, n, &Made { now: n, ..MADE[2] }));
        answers.go_back(1);
        assert!(!answers.may_hold());
    }
}
