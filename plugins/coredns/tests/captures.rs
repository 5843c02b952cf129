//! The rule on captures of real software output: what it must say, and where it must keep silent.

use std::path::Path;

use kwhy_coredns::Coredns;
use kwhy_sdk::testkit::{Bench, read_capture};

const CODE: &str = "coredns.forward-loop";

fn run(name: &str) -> Bench<Coredns> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/captures").join(name);
    let inputs = read_capture(&dir).unwrap();
    assert!(!inputs.is_empty(), "{} holds nothing", dir.display());
    let mut bench = Bench::new();
    bench.feed_all(&inputs).unwrap();
    bench
}

#[test]
fn show() {
    let b = run("a1-coredns-loop");
    println!(
        "{:#?} {:#?} calls {}",
        b.diagnoses(),
        b.rejected("coredns.upstream-timeout"),
        b.cluster().host_calls()
    );
    let b = run("a1-fixed");
    println!("{:#?} {:#?}", b.diagnoses(), b.cleared());
    let b = run("a1-near-miss");
    println!("{:#?} {:#?}", b.diagnoses(), b.cleared());
}
