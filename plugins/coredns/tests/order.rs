//! In whichever order log, pods, events and edits arrive, the last word is the same.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod small;

use std::sync::LazyLock;

use kwhy_sdk::{Diagnosis, Rejection, testkit::Input};
use proptest::prelude::*;
use serde_json::json;
use small::{
    Fares::{Crashing, Ready},
    TIMEOUT, at, cluster, coredns, corefile, fatal, map, only, pod, run,
};

fn incident() -> Vec<Input> {
    let slow = "[ERROR] plugin/errors: 2 updates.example.net. AAAA: read udp 10.244.1.2:57181->192.168.7.1:53: i/o timeout";
    vec![
        Input::changed(at("08:40:00"), coredns("coredns-a", "kal", &Crashing(7), json!({}))),
        Input::changed(at("08:40:00"), coredns("coredns-bb", "ford", &Ready("08:00:00"), json!({}))),
        Input::line(at("08:40:30"), &pod("coredns-a"), "coredns", "CoreDNS-1.11.1"),
        fatal("08:41:00", "coredns-a"),
        Input::event(
            at("08:41:05"),
            &pod("coredns-a"),
            "BackOff",
            "Warning",
            "Back-off restarting failed container",
            31,
        ),
        Input::line(at("08:42:00"), &pod("coredns-bb"), "coredns", slow),
        Input::changed(at("09:09:00"), coredns("coredns-a", "kal", &Crashing(12), json!({}))),
    ]
}

fn last_word(tail: &[Input]) -> (Diagnosis, Option<Rejection>) {
    let start = cluster(&corefile("forward . /etc/resolv.conf"));
    let mut bench = run(start.iter().chain(tail));
    // A line that comes before its pod is looked for again by a timer.
    bench.until(at("09:10:00")).unwrap();
    (only(&bench), bench.rejected(TIMEOUT).cloned())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_last_verdict_does_not_depend_on_the_order_of_arrival(order in Just(incident()).prop_shuffle()) {
        static EXPECTED: LazyLock<(Diagnosis, Option<Rejection>)> = LazyLock::new(|| last_word(&incident()));
        prop_assert_eq!(&last_word(&order), &*EXPECTED);
    }

    #[test]
    fn an_edit_clears_it_wherever_it_arrives(order in Just(incident()).prop_shuffle(), place in 0usize..8) {
        let start = cluster(&corefile("forward . /etc/resolv.conf"));
        let mut tail = order;
        let edit = Input::changed(at("09:08:00"), map(&corefile("forward . 1.1.1.1")));
        tail.insert(place.min(tail.len()), edit);
        let mut bench = run(start.iter().chain(&tail));
        bench.until(at("09:10:00")).unwrap();
        prop_assert!(bench.diagnoses().is_empty(), "{:#?}", bench.diagnoses());
    }
}
