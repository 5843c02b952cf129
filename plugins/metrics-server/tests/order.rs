//! In whichever order lines, pods, API and alerts arrive, the last word is the same.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod small;

use std::sync::LazyLock;

use kwhy_sdk::{Diagnosis, testkit::Input};
use proptest::prelude::*;
use small::{
    BY_ADDRESS, NO_API, NO_SAN, NO_SAN_FORD, api, api_down, at, failed, healthy, hpa_failed, only, pod_of,
    run,
};

fn incident() -> Vec<Input> {
    vec![
        Input::changed(at("09:00:00"), pod_of("a", &[BY_ADDRESS], "08:00:00", "")),
        Input::changed(at("09:00:30"), api(false, "09:00:30", "MissingEndpoints")),
        failed("09:01:00", "a", "kal", NO_SAN),
        failed("09:01:00", "a", "ford", NO_SAN_FORD),
        failed("09:01:15", "a", "kal", NO_SAN),
        hpa_failed("09:01:20", NO_API),
        api_down("09:04:00"),
    ]
}

fn last_word(tail: &[Input]) -> Diagnosis {
    let mut bench = run(healthy(&[BY_ADDRESS]).iter().chain(tail));
    bench.until(at("09:10:00")).unwrap();
    only(&bench)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_last_verdict_does_not_depend_on_the_order_of_arrival(order in Just(incident()).prop_shuffle()) {
        static EXPECTED: LazyLock<Diagnosis> = LazyLock::new(|| last_word(&incident()));
        prop_assert_eq!(&last_word(&order), &*EXPECTED);
    }
}
