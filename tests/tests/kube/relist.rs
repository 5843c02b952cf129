//! Lists of a large cluster, and what went while nobody watched.

use std::{
    collections::{BTreeMap, BTreeSet},
    process,
    time::Duration,
};

use k8s_openapi::api::{
    core::v1::{ConfigMap, Pod, Secret, Service},
    discovery::v1::EndpointSlice,
    events::v1::Event,
};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, ListParams},
};
use kwhy_proto::v1::Signal;
use kwhy_tests::{
    Client,
    apiserver::{ApiServer, On},
    memory::{peak, resident},
};
use serde_json::{Value, json};

use crate::collector::{CLUSTER, Collector, EVENTS, PODS, client, collect, event, ids, of_kind, pod};

/// Most memory that a collector may take, MiB. The aim is 400; a page at a time is far below it.
const CEILING: u64 = 100;

/// What stands in a large cluster: 50,000 objects.
const MANY: [(&str, u64); 6] = [
    ("Event", 20_000),
    ("Pod", 20_000),
    ("EndpointSlice", 3_000),
    ("Service", 3_000),
    ("ConfigMap", 2_000),
    ("Secret", 2_000),
];

fn check(memory: u64) -> Result<(), String> {
    if memory < CEILING { Ok(()) } else { Err(format!("{memory} MiB")) }
}

/// An object as large as they are.
fn large(kind: &str, n: u64) -> Value {
    let name = format!("web-{n}");
    let mut object = match kind {
        "Event" => {
            let mut event = event(&format!("{name}.17f3a1b2c3d4e5f6"), 1);
            event["message"] = format!(
                "Failed to pull image \"registry.example.com/shop/web:{n}\": rpc error: code = NotFound desc = failed to \
                 pull and unpack image: failed to resolve reference: not found. {}",
                "Back-off pulling image. ".repeat(20)
            )
            .into();
            return event;
        }
        "Pod" => {
            let env: Vec<Value> = (0..20)
                .map(|n| json!({"name": format!("SETTING_{n}"), "value": "of this application"}))
                .collect();
            let mut pod = pod(&name);
            pod["spec"]["containers"][0]["env"] = env.into();
            pod
        }
        "EndpointSlice" => {
            let endpoint = |n: u64| {
                json!({"addresses": [format!("10.0.0.{n}")], "conditions": {"ready": true},
                    "targetRef": {"kind": "Pod", "namespace": "shop", "name": format!("web-{n}")}})
            };
            json!({"addressType": "IPv4", "endpoints": (0..10).map(endpoint).collect::<Vec<_>>()})
        }
        "Service" => json!({"spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}),
        // A file or two.
        _ => json!({"data": {"settings.yaml": "c2V0dGluZzogb2YgdGhpcyBhcHBsaWNhdGlvbg==".repeat(100)}}),
    };
    object["kind"] = kind.into();
    object["metadata"]["name"] = name.into();
    object["metadata"]["namespace"] = "shop".into();
    object
}

fn many(server: &ApiServer) {
    for (kind, count) in MANY {
        (0..count).for_each(|n| server.put(large(kind, n)));
    }
}

/// How many messages there are of events, and of other objects.
async fn told(client: &Client) -> [u64; 2] {
    let [events, objects] = ["event", "object"].map(|source| format!("kwhy.in.{CLUSTER}.{source}.>"));
    [client.count("KWHY_IN", &events).await, client.count("KWHY_IN", &objects).await]
}

async fn wait_for(client: &Client, wanted: [u64; 2]) {
    for (source, wanted) in ["event", "object"].into_iter().zip(wanted) {
        client.wait_for_count("KWHY_IN", &format!("kwhy.in.{CLUSTER}.{source}.>"), wanted).await;
    }
}

/// How often each kind was listed, by pages.
fn pages(server: &ApiServer) -> BTreeMap<&'static str, usize> {
    let listed = |path| server.requests(path).iter().filter(|request| !request.watch).count();
    [EVENTS, PODS, "/api/v1/configmaps"].map(|path| (path, listed(path))).into()
}

/// The twin: whoever holds all lists in memory is above it.
#[tokio::test(flavor = "multi_thread")]
async fn the_check_of_memory_fails_lists_that_are_held_as_a_whole() {
    let server = ApiServer::start();
    many(&server);
    let kinds = [
        ApiResource::erase::<Event>(&()),
        ApiResource::erase::<Pod>(&()),
        ApiResource::erase::<EndpointSlice>(&()),
        ApiResource::erase::<Service>(&()),
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<Secret>(&()),
    ];
    let before = resident(process::id());
    let mut lists = Vec::new();
    for kind in kinds {
        let all: Api<DynamicObject> = Api::all_with(client(&server).await, &kind);
        lists.push(all.list(&ListParams::default()).await.expect("a list"));
    }
    let held = resident(process::id()).saturating_sub(before);
    assert_eq!(lists.iter().map(|list| list.items.len()).sum::<usize>(), 50_000);
    assert!(check(held).is_err(), "{held} MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_thousand_objects_of_many_kinds_are_listed_twice_within_the_memory_ceiling() {
    let server = ApiServer::start();
    many(&server);
    let all: u64 = MANY.iter().map(|(_, count)| count).sum();
    assert_eq!(all, 50_000);
    let events = MANY[0].1;
    let collector = Collector::start(&server).await;
    wait_for(&collector.client, [events, all - events]).await;
    server.wait_for(EVENTS, On::Watch, 1);
    let process = collector.process.id();
    let first = peak(process);

    let before = pages(&server);
    assert_eq!(before, [(EVENTS, 40), (PODS, 40), ("/api/v1/configmaps", 40)].into(), "pages of 500, of 50");
    server.miss(|store| {
        store.put(event("missed", 1));
        store.put(pod("missed"));
    });
    for (path, pages) in before {
        server.wait_for(path, On::List, 2 * pages);
    }
    wait_for(&collector.client, [events + 1, all - events + 1]).await;
    let both = peak(process);
    println!("peak of the collector: {first} MiB after the first lists, {both} MiB after the second");
    assert_eq!(check(both), Ok(()));
    // Nothing but the missed ones is stored anew.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(told(&collector.client).await, [events + 1, all - events + 1]);
    assert_eq!(collector.terminate().code, Some(0));
}

/// Pods, and as many events, that come while NATS is away: more than fit between the watches and NATS.
const MEANWHILE: usize = 1_500;

fn check_meanwhile(told: &[Signal]) -> Result<(), String> {
    for source in ["object", "event"] {
        let of = told.iter().filter(|signal| signal.source == source).map(|signal| &signal.id);
        let count = of.collect::<BTreeSet<_>>().len();
        if count != MEANWHILE {
            return Err(format!("{count} of {MEANWHILE} signals of source {source}"));
        }
    }
    Ok(())
}

/// A collector whose NATS is killed while much happens, before NATS is back.
async fn without_nats(server: &ApiServer) -> Collector {
    let mut collector = Collector::start(server).await;
    server.wait_for(PODS, On::Watch, 1);
    server.wait_for(EVENTS, On::Watch, 1);
    collector.nats.kill();
    for n in 0..MEANWHILE {
        server.put(pod(&format!("web-{n}")));
        server.put(event(&format!("web-{n}.1"), 1));
        if n % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    collector
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_while_nats_is_away_is_told_when_it_is_back_and_memory_stays_bounded() {
    let server = ApiServer::start();
    let mut collector = without_nats(&server).await;
    collector.nats.restart();
    wait_for(&collector.client, [MEANWHILE as u64; 2]).await;
    assert_eq!(check_meanwhile(&collector.told().await), Ok(()));
    assert_eq!(check(peak(collector.process.id())), Ok(()));
    assert_eq!(collector.terminate().code, Some(0));
}

/// The twin: with a collector that does not wait for NATS it is lost.
#[tokio::test(flavor = "multi_thread")]
async fn the_check_of_an_outage_fails_a_collector_that_ends_in_it() {
    let server = ApiServer::start();
    let Collector { kwhy: _kwhy, mut nats, client, process } = without_nats(&server).await;
    process.kill();
    nats.restart();
    assert!(check_meanwhile(&crate::collector::signals(&client).await).is_err());
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
