//! Lists of a large cluster, and what went while nobody watched.

use std::{fs, time::Duration};

use kube::{
    Api,
    api::{ApiResource, DynamicObject, ListParams},
};
use kwhy_tests::apiserver::{ApiServer, On};
use serde_json::json;

use crate::collector::{Collector, EVENTS, client, collect, event, ids, of_kind, pod};

/// Most memory that a collector may take, MiB. The aim is 400; a page at a time is far below it.
const CEILING: u64 = 100;
const MANY: u32 = 50_000;

/// The memory of a process, MiB: `VmRSS` now, `VmHWM` the most it ever had.
fn memory(pid: &str, which: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix(which)).expect("the figure");
    let kib: u64 = line.trim_matches([':', ' ', '\t', 'k', 'B']).parse().expect("a number");
    kib / 1024
}

fn check(peak: u64) -> Result<(), String> {
    if peak < CEILING { Ok(()) } else { Err(format!("{peak} MiB")) }
}

/// Events as large as they are: a kubelet's words on a failed pull.
fn many_events(server: &ApiServer) {
    for n in 0..MANY {
        let mut event = event(&format!("web-{n}.17f3a1b2c3d4e5f6"), 1);
        event["message"] = format!(
            "Failed to pull image \"registry.example.com/shop/web:{n}\": rpc error: code = NotFound desc = failed to \
             pull and unpack image: failed to resolve reference: not found. {}",
            "Back-off pulling image. ".repeat(20)
        )
        .into();
        server.put(event);
    }
}

/// The twin: whoever holds the whole list in memory is above it.
#[tokio::test(flavor = "multi_thread")]
async fn the_check_of_memory_fails_a_list_that_is_held_as_a_whole() {
    let server = ApiServer::start();
    many_events(&server);
    let events: Api<DynamicObject> =
        Api::all_with(client(&server).await, &ApiResource::erase::<k8s_openapi::api::events::v1::Event>(&()));
    let before = memory("self", "VmRSS");
    let whole = events.list(&ListParams::default()).await.expect("a list");
    let held = memory("self", "VmRSS").saturating_sub(before);
    assert_eq!(whole.items.len(), MANY as usize);
    assert!(check(held).is_err(), "{held} MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_thousand_events_are_listed_twice_within_the_memory_ceiling() {
    let server = ApiServer::start();
    many_events(&server);
    let collector = Collector::start(&server).await;
    let of_events = format!("kwhy.in.{}.event.>", crate::collector::CLUSTER);
    collector.client.wait_for_count("KWHY_IN", &of_events, MANY.into()).await;
    server.wait_for(EVENTS, On::Watch, 1);
    let process = collector.process.id().to_string();
    let first = memory(&process, "VmHWM");

    let lists = server.requests(EVENTS).iter().filter(|r| !r.watch).count();
    assert_eq!(lists, 100, "pages of 500");
    server.miss(|store| store.put(event("missed", 1)));
    server.wait_for(EVENTS, On::List, 2 * lists + 1);
    collector.client.wait_for_count("KWHY_IN", &of_events, u64::from(MANY) + 1).await;
    let both = memory(&process, "VmHWM");
    println!("peak of the collector: {first} MiB after the first list, {both} MiB after the second");
    assert_eq!(check(both), Ok(()));
    // Nothing but the missed one is stored anew.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(collector.client.count("KWHY_IN", &of_events).await, u64::from(MANY) + 1);
    assert_eq!(collector.terminate().code, Some(0));
}

#[tokio::test]
async fn what_went_while_no_collector_ran_is_told_as_gone_by_the_next_one() {
    let server = ApiServer::start();
    for name in ["stays", "goes"] {
        server.put(pod(name));
    }
    let Collector { kwhy, nats, client, process } = {
        let collector = Collector::start(&server).await;
        collector.until("both pods", |told| of_kind(told, "Pod").len() == 2).await;
        collector
    };
    assert_eq!(process.terminate().code, Some(0));
    server.delete("Pod", "shop", "goes");
    let process = collect(&kwhy, &server, &nats.url);
    let collector = Collector { kwhy, nats, client, process };
    let told =
        collector.until("the deletion", |told| of_kind(told, "Pod").contains(&("DELETED", "goes"))).await;
    assert!(!of_kind(&told, "Pod").contains(&("DELETED", "stays")), "{:?}", ids(&told));
    let gap = told.iter().find(|signal| signal.source == "gap" && signal.name == "Pod").expect("a gap");
    assert!(gap.message.ends_with("nobody was watching"), "{gap:?}");
    assert_eq!(collector.terminate().code, Some(0));
}

#[tokio::test]
async fn leases_that_are_only_renewed_are_told_once() {
    let server = ApiServer::start();
    let lease = |namespace: &str, name: &str, holder: &str, second: u32| {
        json!({"kind": "Lease", "metadata": {"name": name, "namespace": namespace},
            "spec": {"holderIdentity": holder, "renewTime": format!("2026-01-01T00:00:{second:02}.000000Z")}})
    };
    server.put(lease("kube-system", "kube-scheduler", "a", 0));
    server.put(lease("kube-node-lease", "n1", "n1", 0));
    let collector = Collector::start(&server).await;
    collector.until("the lease", |told| of_kind(told, "Lease").len() == 1).await;
    for second in 1..20 {
        server.put(lease("kube-system", "kube-scheduler", "a", second));
        server.put(lease("kube-node-lease", "n1", "n1", second));
    }
    server.put(lease("kube-system", "kube-scheduler", "b", 21));
    let told = collector.until("the new leader", |told| of_kind(told, "Lease").len() > 1).await;
    assert_eq!(of_kind(&told, "Lease"), [("ADDED", "kube-scheduler"), ("MODIFIED", "kube-scheduler")]);
    assert_eq!(collector.terminate().code, Some(0));
}
