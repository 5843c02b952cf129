//! A process that ends anywhere and another that goes on from its snapshot: together they say what one would have said.

use std::sync::Arc;

use kwhy_core::{Engine, Settings, matching::Matcher, rule::Rules as _, snapshot::Resumed};
use kwhy_proto::v1::{Finding, Signal};
use kwhy_sandbox::Sandbox;

use crate::{
    late,
    play::{Lent, Recorded, captures, packs},
    random::Random,
    seeded,
};

/// Signals that stand at one place of the log.
const BATCH: usize = 7;

/// The log of a capture, in the order of arrival: what stands at place 1, at place 2 …
fn log(capture: &Recorded, random: &mut Random) -> Vec<Vec<Signal>> {
    late(capture, random).chunks(BATCH).map(<[Signal]>::to_vec).collect()
}

/// Engines on the same packs, what these want compiled once.
struct Lab {
    packs: Sandbox,
    matcher: Arc<Matcher>,
}

impl Lab {
    fn new() -> Self {
        let packs = packs();
        let matcher = Arc::new(Matcher::new(packs.descriptors()).expect("a matcher"));
        Self { packs, matcher }
    }

    fn engine(&mut self, capture: &Recorded) -> Engine<Lent<'_>> {
        Engine::with_matcher(Settings::new(&capture.cluster), Lent(&mut self.packs), self.matcher.clone())
    }
}

/// What is said of the log from a place on.
fn tell(engine: &mut Engine<Lent<'_>>, log: &[Vec<Signal>], from: u64, through: u64) -> Vec<Finding> {
    let mut said = Vec::new();
    for place in from..=through {
        engine.stands_at(place);
        let signals = log[usize::try_from(place).expect("a place") - 1].clone();
        said.extend(signals.into_iter().flat_map(|signal| engine.apply(signal)));
    }
    said
}

/// Says the first part of the log, ends, starts from its snapshot and says the rest. `again` decides what is told again.
fn broken_off(
    lab: &mut Lab,
    capture: &Recorded,
    log: &[Vec<Signal>],
    stops: &[u64],
    again: impl Fn(Resumed) -> Resumed,
) -> Vec<Finding> {
    let (mut said, mut snapshot, mut at) = (Vec::new(), None::<Vec<u8>>, 0);
    for stop in stops.iter().copied().chain([log.len() as u64]) {
        let mut engine = lab.engine(capture);
        if let Some(snapshot) = &snapshot {
            let resumed = engine.restore("test", snapshot).expect("a snapshot of ours");
            assert_eq!(resumed.through, at);
            let Resumed { from, through } = again(resumed);
            assert_eq!(tell(&mut engine, log, from, through), [], "{}: said before", capture.name);
            assert_eq!(engine.caught_up(), [], "{}: nothing is new", capture.name);
        }
        said.extend(tell(&mut engine, log, at + 1, stop));
        (snapshot, at) = (Some(engine.snapshot("test").encode().expect("bytes")), stop);
    }
    said
}

/// Every third capture, another third for each seed.
fn some() -> impl Iterator<Item = Recorded> {
    captures().into_iter().skip(usize::try_from(seeded(0) % 3).unwrap_or_default()).step_by(3)
}

fn stops(log: &[Vec<Signal>], random: &mut Random) -> Vec<u64> {
    let mut stops: Vec<u64> = (0..3).map(|_| 1 + random.below(log.len() as u64 - 1)).collect();
    stops.sort_unstable();
    stops
}

#[test]
fn three_processes_one_after_the_other_say_what_one_says() {
    let mut lab = Lab::new();
    for (seed, capture) in (seeded(800)..).zip(some()) {
        let mut random = Random(seed);
        let log = log(&capture, &mut random);
        let whole = tell(&mut lab.engine(&capture), &log, 1, log.len() as u64);
        let stops = stops(&log, &mut random);
        let parts = broken_off(&mut lab, &capture, &log, &stops, |resumed| resumed);
        assert!(parts == whole, "{} broken off at {stops:?} of {} (seed {seed})", capture.name, log.len());
    }
}

/// The twin: what came after the oldest state that one can go back to is in no snapshot.
#[test]
fn a_process_that_is_not_told_again_what_came_last_says_something_else() {
    let mut lab = Lab::new();
    let differ = (seeded(800)..).zip(some()).filter(|(seed, capture)| {
        let mut random = Random(*seed);
        let log = log(capture, &mut random);
        let whole = tell(&mut lab.engine(capture), &log, 1, log.len() as u64);
        let half = [log.len() as u64 / 2];
        let forgets = |resumed: Resumed| Resumed { from: resumed.through + 1, ..resumed };
        broken_off(&mut lab, capture, &log, &half, forgets) != whole
    });
    assert!(differ.count() >= 3);
}
