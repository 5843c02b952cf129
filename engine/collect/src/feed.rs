//! A capture as a live source: its signals, in their order, at the pace at which they happened or faster.
//!
//! Hidden here: how signals are cut into batches so that neither the order nor the pace suffers. The cut depends on
//! the signals and the speed alone, never on how fast the sink is, so feeding again makes the same messages.

use std::{fmt, str::FromStr, time::Duration};

use kwhy_bus::{TooLarge, batches};
use kwhy_proto::{
    Timestamp, millis,
    v1::{Signal, SignalBatch},
};
use tokio::{
    pin, select,
    time::{Instant, sleep_until},
};

use crate::Sink;

/// Signals that are due within one such stretch of real time go out together at its end.
const STRETCH: Duration = Duration::from_millis(100);

/// Most batches that are handed over at a time: what is still on its way when the feed is stopped.
const WINDOW: usize = 1024;

/// How fast time passes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// As fast as the sink takes it.
    Max,
    /// So many seconds of the capture in one of real time: 1 as it happened, 60 a minute a second.
    Times(f64),
}

/// Slower or faster than this is a mistake rather than a wish.
const FACTORS: std::ops::RangeInclusive<f64> = 0.001..=1_000_000.0;

/// A text that is no speed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no speed; write `max`, or a factor of real time between 0.001 and 1000000 such as 60")]
pub struct BadSpeed(String);

impl FromStr for Speed {
    type Err = BadSpeed;

    /// Reads `max`, `60` or `60x`.
    fn from_str(text: &str) -> Result<Speed, BadSpeed> {
        if text == "max" {
            return Ok(Speed::Max);
        }
        let factor = text.strip_suffix('x').unwrap_or(text).parse().ok();
        factor
            .filter(|factor| FACTORS.contains(factor))
            .map(Speed::Times)
            .ok_or_else(|| BadSpeed(text.chars().take(40).collect()))
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Speed::Max => f.write_str("max"),
            Speed::Times(factor) => write!(f, "{factor}x"),
        }
    }
}

/// How far a feed has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Signals handed over and acknowledged.
    pub sent: usize,
    /// All there are, the end tick counted.
    pub total: usize,
    /// Time of the capture that is reached.
    pub at: Timestamp,
}

/// What became of a feed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "signals that are too large were not stored"]
pub struct Fed {
    /// Signals handed over and acknowledged.
    pub signals: usize,
    /// Messages stored.
    pub stored: u64,
    /// Messages that were stored before.
    pub known: u64,
    /// Messages that NATS does not take. They are missing.
    pub too_large: Vec<TooLarge>,
    /// Stopped before the end.
    pub stopped: bool,
}

/// Publishes `signals` in exactly the given order, which should be that of [`kwhy_proto::order`], and then `end`, the
/// tick after which nothing more is known. The first signal is due at once, each other as long after it as its time
/// says; one whose time lies before that of its predecessor is due with it.
///
/// When `stop` is done, nothing more is handed over; the call returns when what is on its way is acknowledged.
///
/// # Errors
/// What the sink says. Feeding the same again is safe: signals are known by their ids.
pub async fn feed<S: Sink>(
    sink: &S,
    signals: Vec<Signal>,
    end: Signal,
    speed: Speed,
    stop: impl Future<Output = ()>,
    mut progress: impl FnMut(Progress),
) -> Result<Fed, S::Error> {
    let total = signals.len() + 1;
    let mut plan = plan(signals.into_iter().chain([end]), speed).peekable();
    let start = Instant::now();
    let mut fed = Fed::default();
    pin!(stop);
    while let Some(next) = plan.peek() {
        select! {
            biased;
            () = &mut stop => {
                fed.stopped = true;
                break;
            }
            () = sleep_until(start + next.due) => {}
        }
        let elapsed = start.elapsed();
        let mut window: Vec<SignalBatch> = Vec::new();
        let (mut count, mut at) = (0, Timestamp::default());
        while let Some(next) = plan.next_if(|next| window.len() < WINDOW && next.due <= elapsed) {
            count += next.batch.signals.len();
            at = next.batch.signals.last().and_then(|signal| signal.at).unwrap_or(at);
            window.push(next.batch);
        }
        let published = sink.publish(window).await?;
        fed.signals += count;
        fed.stored += published.stored;
        fed.known += published.known;
        fed.too_large.extend(published.too_large);
        progress(Progress { sent: fed.signals, total, at });
    }
    Ok(fed)
}

/// A batch and when it goes out, counted from the start.
#[derive(Debug, PartialEq)]
struct Planned {
    due: Duration,
    batch: SignalBatch,
}

/// Cuts signals into batches none of which spans more than a stretch of real time. Due times never go back.
fn plan(signals: impl Iterator<Item = Signal>, speed: Speed) -> impl Iterator<Item = Planned> {
    let mut first = None;
    let mut latest = Duration::ZERO;
    let mut signals = signals
        .map(move |signal| {
            let at = signal.at.as_ref().map_or(0, millis);
            let offset = at.saturating_sub(*first.get_or_insert(at));
            latest = latest.max(due(offset, speed));
            (latest, signal)
        })
        .peekable();
    std::iter::from_fn(move || {
        let (due, first) = signals.next()?;
        let mut together = vec![first];
        // With no pace there is one stretch; what is looked at together is bounded nonetheless.
        while together.len() < WINDOW
            && let Some((_, signal)) = signals.next_if(|next| next.0 == due)
        {
            together.push(signal);
        }
        Some(batches(together).map(move |batch| Planned { due, batch }))
    })
    .flatten()
}

/// When something that lies `offset` milliseconds after the first signal goes out: at the end of its stretch.
fn due(offset: u64, speed: Speed) -> Duration {
    let Speed::Times(factor) = speed else { return Duration::ZERO };
    let stretch = STRETCH.as_millis() as f64;
    // Saturates, and gives 0 where the factor is not a number.
    let stretches = (offset as f64 / factor.clamp(*FACTORS.start(), *FACTORS.end()) / stretch).ceil() as u32;
    STRETCH.saturating_mul(stretches)
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, future::pending};

    use kwhy_proto::timestamp;
    use proptest::prelude::*;
    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::sink::tests::{Failure, Recorder};

    const T0: u64 = 1_587_731_400_000;

    fn event(id: &str, after: u64) -> Signal {
        Signal { id: id.into(), source: "event".into(), at: Some(timestamp(T0 + after)), ..Signal::default() }
    }

    fn line(position: usize, after: u64) -> Signal {
        Signal { id: format!("kubelet/kal/{position:08}"), source: "kubelet".into(), ..event("", after) }
    }

    fn end(after: u64) -> Signal {
        Signal { id: "tick/end".into(), source: "tick".into(), ..event("", after) }
    }

    async fn run(sink: &Recorder, signals: Vec<Signal>, end: Signal, speed: Speed) -> Fed {
        feed(sink, signals, end, speed, pending(), |_| ()).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn at_factor_one_signals_come_as_they_happened_and_the_end_tick_last() {
        let sink = Recorder::new();
        let fed = run(
            &sink,
            vec![event("a", 0), event("b", 10_000), event("c", 10_050)],
            end(60_000),
            Speed::Times(1.0),
        )
        .await;
        let expected = [(0, "a"), (10_000, "b"), (10_100, "c"), (60_000, "tick/end")];
        assert_eq!(sink.times(), expected.map(|(at, id)| (at, id.to_owned())));
        assert_eq!((fed.signals, fed.stored, fed.stopped), (4, 4, false));
    }

    #[tokio::test(start_paused = true)]
    async fn at_factor_sixty_a_minute_passes_in_a_second() {
        let sink = Recorder::new();
        let _fed = run(
            &sink,
            vec![event("a", 0), event("b", 60_000), event("c", 1_800_000)],
            end(3_600_000),
            Speed::Times(60.0),
        )
        .await;
        let at: Vec<u128> = sink.times().into_iter().map(|(at, _)| at).collect();
        assert_eq!(at, [0, 1_000, 30_000, 60_000]);
    }

    #[tokio::test(start_paused = true)]
    async fn at_full_speed_no_time_passes() {
        let sink = Recorder::new();
        let signals: Vec<Signal> = (0..5000).map(|n| event(&format!("e{n}"), n * 60_000)).collect();
        let _fed = run(&sink, signals, end(1 << 40), Speed::Max).await;
        assert_eq!(sink.times().len(), 5001);
        assert!(sink.times().iter().all(|(at, _)| *at == 0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_given_order_stands_even_where_times_go_back() {
        let sink = Recorder::new();
        let _fed = run(
            &sink,
            vec![event("a", 5_000), event("b", 9_000), event("c", 0), event("d", 9_500)],
            end(0),
            Speed::Times(1.0),
        )
        .await;
        let expected = [(0, "a"), (4_000, "b"), (4_000, "c"), (4_500, "d"), (4_500, "tick/end")];
        assert_eq!(sink.times(), expected.map(|(at, id)| (at, id.to_owned())));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_sink_is_caught_up_with_in_the_same_messages() {
        let signals: Vec<Signal> = (0..50).map(|n| line(n, n as u64 * 40)).collect();
        let sink = Recorder { delay: Duration::from_secs(1), ..Recorder::new() };
        let slow = run(&sink, signals.clone(), end(2_000), Speed::Times(1.0)).await;
        assert_eq!(
            sink.times().last(),
            Some(&(2_000, "tick/end".to_owned())),
            "not later than the last of its windows"
        );
        let quick = run(&Recorder::new(), signals, end(2_000), Speed::Times(1.0)).await;
        assert_eq!(
            slow.stored, quick.stored,
            "messages are cut alike, or a second feed would not be known as such"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_log_is_not_held_back_to_fill_a_batch() {
        let sink = Recorder::new();
        let _fed =
            run(&sink, vec![line(1, 0), line(2, 30_000), line(3, 30_001)], end(40_000), Speed::Times(1.0))
                .await;
        let at: Vec<u128> = sink.times().into_iter().map(|(at, _)| at).collect();
        assert_eq!(at, [0, 30_000, 30_100, 40_000]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_it_after_what_was_sent_is_acknowledged() {
        let sink = Recorder { delay: Duration::from_millis(700), ..Recorder::new() };
        let signals = vec![event("a", 0), event("b", 10_000), event("c", 20_000)];
        // While b is on its way.
        let stop = sleep(Duration::from_millis(10_300));
        let fed = feed(&sink, signals, end(30_000), Speed::Times(1.0), stop, |_| ()).await.unwrap();
        assert_eq!(sink.ids(), ["a", "b"]);
        assert_eq!((fed.signals, fed.stopped), (2, true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_is_heard_while_waiting_and_at_full_speed() {
        let sink = Recorder::new();
        let stop = sleep(Duration::from_secs(1));
        let fed =
            feed(&sink, vec![event("a", 0), event("b", 1 << 40)], end(0), Speed::Times(1.0), stop, |_| ());
        let fed = timeout(Duration::from_secs(2), fed).await.expect("it does not wait for b").unwrap();
        assert!(fed.stopped);
        let none = feed(&sink, vec![event("x", 0)], end(0), Speed::Max, std::future::ready(()), |_| ())
            .await
            .unwrap();
        assert_eq!((none.signals, none.stopped), (0, true));
    }

    #[tokio::test(start_paused = true)]
    async fn progress_counts_to_the_total_and_tells_the_time_reached() {
        let seen = RefCell::new(Vec::new());
        let signals = vec![event("a", 0), event("b", 1_000)];
        let _fed = feed(&Recorder::new(), signals, end(3_000), Speed::Times(1.0), pending(), |p| {
            seen.borrow_mut().push(p)
        })
        .await
        .unwrap();
        let expected = [(1, T0), (2, T0 + 1_000), (3, T0 + 3_000)];
        assert_eq!(
            seen.into_inner(),
            expected.map(|(sent, at)| Progress { sent, total: 3, at: timestamp(at) })
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_sink_refuses_is_told() {
        let sink = Recorder { giant: "b", ..Recorder::new() };
        let fed = run(&sink, vec![event("a", 0), event("b", 0)], end(0), Speed::Max).await;
        assert_eq!(fed.too_large.iter().map(|large| large.id.as_str()).collect::<Vec<_>>(), ["b"]);
        let sink = Recorder::failing([true]);
        let error =
            feed(&sink, vec![event("a", 0)], end(0), Speed::Max, pending(), |_| ()).await.unwrap_err();
        assert_eq!(error, Failure { passes: true });
    }

    #[test]
    fn speeds_are_read_and_nonsense_is_refused() {
        assert_eq!("max".parse(), Ok(Speed::Max));
        assert_eq!("60".parse(), Ok(Speed::Times(60.0)));
        assert_eq!("0.5x".parse(), Ok(Speed::Times(0.5)));
        for bad in ["", "x", "0", "-1", "nan", "inf", "1e300", "fast", "60xx"] {
            assert!(bad.parse::<Speed>().is_err(), "{bad}");
        }
        assert!(
            "fast".parse::<Speed>().unwrap_err().to_string().starts_with("`fast` is no speed; write `max`")
        );
    }

    proptest! {
        #[test]
        fn no_plan_loses_moves_or_delays_a_signal(
            steps in prop::collection::vec((prop::bool::ANY, 0..200_000_u64), 0..300),
            factor in prop_oneof![Just(f64::NAN), Just(f64::INFINITY), 0.0001..1e7],
        ) {
            let signals: Vec<Signal> = steps
                .iter()
                .enumerate()
                .map(|(n, (log, after))| if *log { line(n, *after) } else { event(&format!("e{n}"), *after) })
                .collect();
            for speed in [Speed::Max, Speed::Times(factor)] {
                let planned: Vec<Planned> = plan(signals.clone().into_iter(), speed).collect();
                prop_assert!(planned.is_sorted_by_key(|planned| planned.due));
                let out: Vec<Signal> = planned.into_iter().flat_map(|planned| planned.batch.signals).collect();
                prop_assert_eq!(&out, &signals);
            }
        }

        #[test]
        fn any_speed_that_is_written_is_read_again(factor in 0.001..1e6) {
            let speed = Speed::Times(factor);
            prop_assert_eq!(speed.to_string().parse(), Ok(speed));
        }

        #[test]
        fn no_text_of_a_speed_panics(text in "\\PC*") {
            let _ = text.parse::<Speed>();
        }
    }
}
