//! The pack on captures of the development corpus, and on what must stay silent.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails here")]

use std::path::Path;

use kwhy_sdk::testkit::{Bench, read_capture};
use kwhy_workload::Workload;

fn bench(name: &str) -> Bench<Workload> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/captures").join(name);
    let mut bench = Bench::new();
    bench.feed_all(&read_capture(&dir).unwrap()).unwrap();
    bench
}

#[test]
fn a_crash_after_an_edit_is_laid_to_the_config_map() {
    let bench = bench("d1-crashloop-after-configmap-change");
    let all = bench.diagnoses();
    assert_eq!(all.len(), 1, "{all:#?}");
    assert_eq!(
        (all[0].code.as_str(), all[0].root.name.as_str()),
        ("workload.config-change", "checkout-config")
    );
    for part in ["mapping values are not allowed", "+ timeout: 3s retries: 4"] {
        assert!(all[0].evidence.iter().any(|e| e.excerpt.contains(part)), "{part}: {:#?}", all[0].evidence);
    }
    assert!(all[0].remedies.iter().all(|r| !r.command.contains("rollout undo")));
}

#[test]
fn a_tag_that_does_not_exist_is_named_and_the_one_before_it_too() {
    let bench = bench("d3-imagepull-bad-tag");
    let all = bench.diagnoses();
    assert_eq!(all.len(), 1, "{all:#?}");
    assert_eq!((all[0].code.as_str(), all[0].root.name.as_str()), ("workload.image-not-found", "frontend"));
    assert!(all[0].title.contains("v2.410"));
    assert!(all[0].remedies[0].command.ends_with("frontend=ghcr.io/corner-shop/frontend:v2.40.9"));
}

#[test]
fn rollouts_jobs_and_single_failed_probes_are_silent() {
    for quiet in [
        "d7-quiet-day",
        "a1-near-miss",
        "b1-volume-ownership-noise",
        "d4-pvc-pending",
        "d6-unschedulable-resources",
    ] {
        let bench = bench(quiet);
        assert!(bench.diagnoses().is_empty(), "{quiet}: {:#?}", bench.diagnoses());
    }
}
