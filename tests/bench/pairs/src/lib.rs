//! The rule of workload W1: message A and then message B about the same pod within five minutes is a finding, once in
//! ten minutes. An ordinary rule in all but its number of pairs, which `KWHY_BENCH_PAIRS` sets when it is built
//! (default 100), since what a rule wants is said before it is configured.

mod messages;

use kwhy_sdk::{
    Descriptor, Diagnosis, Evidence, Pattern, Rule, Signal, Subscription, Verdict, World, minutes,
};

/// B counts if an A of the same pair and pod came at most this long before.
const WINDOW: u64 = minutes(5);
/// One finding of a pair and pod in this time.
const DEDUPE: u64 = minutes(10);

/// The rule.
#[derive(Debug, Default)]
pub struct Pairs;

kwhy_sdk::export!(Pairs);

/// How many pairs it was built with.
fn count() -> usize {
    option_env!("KWHY_BENCH_PAIRS").and_then(|text| text.parse().ok()).unwrap_or(100)
}

fn code(pair: &str) -> String {
    format!("bench-pairs.pair-{pair}")
}

impl Rule for Pairs {
    fn describe(&self) -> Descriptor {
        let mut descriptor = Descriptor::new("bench-pairs", env!("CARGO_PKG_VERSION"));
        let mut patterns = Vec::new();
        for pair in 0..count() {
            let (first, second) = messages::of(pair);
            descriptor = descriptor.code(&code(&pair.to_string()), "A and then B on one pod", "any", &[]);
            // klog quotes the message, so nothing longer or shorter can be meant.
            patterns.push(Pattern::new(&format!("a{pair}"), &format!("\"{first}\""), ""));
            patterns.push(Pattern::new(&format!("b{pair}"), &format!("\"{second}\""), ""));
        }
        descriptor.wants(Subscription::kubelet(patterns).kinds(&["Pod"]))
    }

    fn on_signal(&self, world: &World<'_>, signal: &Signal) -> Result<Verdict, String> {
        let Some(pod) = &signal.subject else { return Ok(Verdict::default()) };
        let Some((side, pair)) = signal.name.split_at_checked(1) else { return Ok(Verdict::default()) };
        let (first, last) = (format!("a{pair} {}", pod.path()), format!("f{pair} {}", pod.path()));
        if side == "a" {
            // Kept for a moment longer than it counts: what happened just so long ago still does.
            world.remember(&first, &(signal.at, &signal.id), WINDOW + 1);
            return Ok(Verdict::default());
        }
        let since = world.recall::<(u64, String)>(&first).filter(|(at, _)| signal.at - at <= WINDOW);
        let Some((_, before)) = since else { return Ok(Verdict::default()) };
        if world.recall::<u64>(&last).is_some_and(|at| signal.at - at < DEDUPE) {
            return Ok(Verdict::default());
        }
        world.remember(&last, &signal.at, DEDUPE);
        let (a, b) = messages::of(pair.parse().map_err(|_| format!("no pair {pair}"))?);
        let mut diagnosis = Diagnosis::new(&code(pair), pod.clone());
        diagnosis.confidence = 80;
        diagnosis.title = format!("{b} on {}", pod.path());
        diagnosis.explanation = format!("The kubelet said \"{a}\" of the pod and then \"{b}\".");
        diagnosis.evidence = vec![
            Evidence { signal: Some(before), ..Evidence::object(pod, a, 50, "came first") },
            Evidence::signal(signal, 50, "followed"),
        ];
        Ok(Verdict { diagnoses: vec![diagnosis], ..Verdict::default() })
    }
}
