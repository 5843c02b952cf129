//! When upstream timeouts are a cause, and when they are the noise of any network.

mod small;

use kwhy_sdk::testkit::Input;
use serde_json::json;
use small::{Fares::Ready, TIMEOUT, at, cluster, coredns, corefile, listed, only, pod, run};

fn line(ms: u64, name: &str, kind: &str) -> Input {
    let text = format!(
        "[ERROR] plugin/errors: 2 updates.example.net. {kind}: read udp 10.244.1.2:57181->192.168.7.1:53: i/o timeout"
    );
    Input::line(ms, &pod(name), "coredns", &text)
}

fn start() -> Vec<Input> {
    let mut all = cluster(&corefile("forward . 192.168.7.1"));
    all.push(listed(coredns("coredns-a", "kal", &Ready("08:00:00"), json!({}))));
    all.push(listed(coredns("coredns-bb", "ford", &Ready("08:00:00"), json!({}))));
    all
}

fn many(names: &[&str], kind: &str, every: usize) -> Vec<Input> {
    let mut all = start();
    let times = (at("09:00:00")..at("09:06:00")).step_by(every);
    all.extend(times.flat_map(|t| names.iter().map(move |n| line(t, n, kind)).collect::<Vec<_>>()));
    all
}

#[test]
fn timeouts_that_go_on_on_all_pods_blame_the_server_in_the_corefile_and_end_with_them() {
    let mut bench = run(&many(&["coredns-a", "coredns-bb"], "A", 5000));
    let found = only(&bench);
    assert_eq!((found.code.as_str(), found.root.kind.as_str()), (TIMEOUT, "ConfigMap"));
    assert_eq!(found.title, "The DNS server 192.168.7.1:53 does not answer CoreDNS");
    bench.until(at("09:30:00")).unwrap();
    assert!(bench.diagnoses().is_empty());
    assert_eq!(bench.cleared().len(), 1);
}

#[test]
fn timeouts_on_one_node_alone_blame_the_node() {
    let found = only(&run(&many(&["coredns-a"], "AAAA", 5000)));
    assert_eq!((found.root.kind.as_str(), found.root.name.as_str()), ("Node", "kal"));
}

#[test]
fn a_few_timeouts_and_those_of_the_loop_probe_say_nothing() {
    assert!(run(&many(&["coredns-a", "coredns-bb"], "A", 60_000)).diagnoses().is_empty());
    assert!(run(&many(&["coredns-a", "coredns-bb"], "HINFO", 2000)).diagnoses().is_empty());
}

#[test]
fn a_burst_that_is_over_in_a_minute_says_nothing() {
    let mut all = start();
    all.extend((0..100).map(|i| line(at("09:00:00") + i * 500, "coredns-a", "A")));
    assert!(run(&all).diagnoses().is_empty());
}
