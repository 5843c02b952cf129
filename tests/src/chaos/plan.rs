//! What is done in which round, drawn from the seed alone.

use std::{fmt, str::FromStr, time::Duration};

use fastrand::Rng;

/// What is done to kwhy and its server in a round. The number is that of `docs/fault-tests.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// 1: `kwhy run` is killed again and again, with and without one that stands by.
    EngineKilled,
    /// 2: the same log on two servers, once in one go and once with a new start in between.
    Twice,
    /// 6: nats-server is killed under load and started again on its store.
    ServerKilled,
    /// 11: the disk of nats-server is full for a while.
    DiskFull,
    /// 19: of three nats-servers the leader is killed again and again.
    LeaderKilled,
    /// 20: one of three nats-servers is cut off from the others.
    CutOff,
    /// 21: nats-server stands still.
    ServerStopped,
    /// 22: the connection to NATS is dead, and nobody says so.
    HalfOpen,
    /// 40: very many alerts of different objects.
    Flood,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 9] = [
        Self::EngineKilled,
        Self::Twice,
        Self::ServerKilled,
        Self::DiskFull,
        Self::LeaderKilled,
        Self::CutOff,
        Self::ServerStopped,
        Self::HalfOpen,
        Self::Flood,
    ];
    /// Those that take some seconds.
    pub const QUICK: [Self; 5] =
        [Self::EngineKilled, Self::Twice, Self::ServerKilled, Self::ServerStopped, Self::Flood];

    /// Its number and a name, as `--only` takes it.
    #[must_use]
    pub fn name(self) -> (u8, &'static str) {
        match self {
            Self::EngineKilled => (1, "engine-killed"),
            Self::Twice => (2, "same-log-twice"),
            Self::ServerKilled => (6, "server-killed"),
            Self::DiskFull => (11, "disk-full"),
            Self::LeaderKilled => (19, "leader-killed"),
            Self::CutOff => (20, "server-cut-off"),
            Self::ServerStopped => (21, "server-stopped"),
            Self::HalfOpen => (22, "half-open"),
            Self::Flood => (40, "flood"),
        }
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let is_called = |fault: &Self| fault.name().1 == name || fault.name().0.to_string() == name;
        Self::ALL.into_iter().find(is_called).ok_or_else(|| {
            let all: Vec<&str> = Self::ALL.iter().map(|fault| fault.name().1).collect();
            format!("no fault is called so: {}", all.join(", "))
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, name) = self.name();
        write!(f, "{number} {name}")
    }
}

/// Something is done when so much of the log was sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Blow {
    /// Part of the log, 0 to 1.
    pub(super) after: f64,
    /// For how long it lasts, or how long is waited before it.
    pub(super) pause: Duration,
    /// Which of two it hits.
    pub(super) second: bool,
}

/// A round.
#[derive(Debug, Clone, PartialEq)]
pub struct Round {
    /// The how manieth.
    pub number: usize,
    /// What is done.
    pub fault: Fault,
    /// Which capture is the log, of so many as there are.
    pub(super) log: usize,
    /// Whether another `kwhy run` stands by.
    pub(super) standby: bool,
    /// When it is done.
    pub(super) blows: Vec<Blow>,
    /// Of very many, how many.
    pub(super) many: u32,
}

/// The rounds of a seed, without end: every fault once in an order that is drawn, and again. `long`: as long and as much
/// as it takes, else as little as shows anything.
pub(super) fn rounds(seed: u64, faults: &[Fault], long: bool, logs: usize) -> impl Iterator<Item = Round> {
    let mut random = Rng::with_seed(seed);
    let mut order: Vec<Fault> = faults.to_vec();
    let mut left: Vec<Fault> = Vec::new();
    (1..).map(move |number| {
        if left.is_empty() {
            random.shuffle(&mut order);
            left.clone_from(&order);
        }
        let fault = left.pop().unwrap_or(Fault::EngineKilled);
        draw(number, fault, &mut random, long, logs)
    })
}

fn draw(number: usize, fault: Fault, random: &mut Rng, long: bool, logs: usize) -> Round {
    let (blows, shortest, longest) = match fault {
        Fault::EngineKilled => (random.usize(if long { 4..12 } else { 3..5 }), 0, 400),
        Fault::ServerKilled => (random.usize(if long { 3..20 } else { 2..4 }), 0, 50),
        Fault::Twice => (random.usize(1..3), 0, 100),
        Fault::ServerStopped if long => (1, 40_000, 41_000),
        Fault::ServerStopped => (1, 2_000, 3_000),
        Fault::HalfOpen => (1, 1_000, 10_000),
        Fault::LeaderKilled => (if long { random.usize(2..6) } else { 1 }, 1_000, 3_000),
        Fault::CutOff if long => (random.usize(1..4), 2_000, 15_000),
        Fault::CutOff => (1, 2_000, 4_000),
        Fault::DiskFull => (1, 1_000, if long { 10_000 } else { 2_000 }),
        Fault::Flood => (0, 0, 1),
    };
    let mut blows: Vec<Blow> = (0..blows)
        .map(|_| Blow {
            after: random.f64(),
            pause: Duration::from_millis(random.u64(shortest..longest)),
            second: random.bool(),
        })
        .collect();
    blows.sort_by(|a, b| a.after.total_cmp(&b.after));
    Round {
        number,
        fault,
        log: random.usize(..logs.max(1)),
        standby: random.bool(),
        blows,
        many: if long { random.u32(2_000..6_000) } else { random.u32(300..500) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(seed: u64) -> Vec<Round> {
        rounds(seed, &Fault::ALL, true, 60).take(40).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_rounds_and_another_one_others() {
        assert_eq!(some(7), some(7));
        assert_ne!(some(7), some(8));
    }

    #[test]
    fn a_fault_is_known_by_its_number_and_by_its_name() {
        for fault in Fault::ALL {
            let (number, name) = fault.name();
            assert_eq!((number.to_string().parse(), name.parse()), (Ok(fault), Ok(fault)));
        }
        assert!("7".parse::<Fault>().is_err_and(|error| error.contains("half-open")));
    }

    #[test]
    fn every_fault_comes_once_before_one_comes_again() {
        let mut first: Vec<Fault> = some(3).iter().take(Fault::ALL.len()).map(|round| round.fault).collect();
        first.sort();
        let mut all = Fault::ALL;
        all.sort();
        assert_eq!(first, all);
    }
}
