//! Signals in and out again.

use futures::{StreamExt, pin_mut};
use kwhy_bus::{Bus, BusError, Entry, Settings, Start, batches};
use kwhy_proto::{
    Message,
    v1::{Signal, SignalBatch},
};
use serde_json::json;

use crate::bench::{Bench, event, line, restart, settings, soon, take, until};

pub(crate) fn alone(n: usize) -> SignalBatch {
    SignalBatch { signals: vec![event(n)] }
}

fn signals_of(entries: &[Entry<SignalBatch>]) -> Vec<Signal> {
    let bodies = entries.iter().filter_map(|entry| match entry {
        Entry::Message { body, .. } => Some(body.signals.clone()),
        _ => None,
    });
    bodies.flatten().collect()
}

fn sequences(entries: &[Entry<SignalBatch>]) -> Vec<u64> {
    let of = |entry: &Entry<SignalBatch>| match entry {
        Entry::Message { sequence, .. } | Entry::Unreadable { sequence, .. } => vec![*sequence],
        Entry::Gap { first, last } => (*first..=*last).collect(),
    };
    entries.iter().flat_map(of).collect()
}

/// Runs of kubelet lines between events: 10,000 signals in a good thousand messages.
fn mixed(count: usize) -> Vec<Signal> {
    (0..count).map(|n| if n % 20 < 18 { line(n) } else { event(n) }).collect()
}

#[tokio::test]
async fn ten_thousand_signals_come_back_in_order_and_sent_twice_are_stored_once() {
    let bench = Bench::start().await;
    let signals = mixed(10_000);
    let total = batches(signals.clone()).count() as u64;

    let first =
        soon("publishing", bench.bus.publish_signals(batches(signals.clone()))).await.expect("stored");
    assert_eq!((first.stored, first.known), (total, 0));
    let again = soon("publishing", bench.bus.publish_signals(batches(signals.clone()))).await.expect("known");
    assert_eq!((again.stored, again.known), (0, total));
    assert_eq!(bench.messages("KWHY_IN").await, total);

    let read = bench.bus.read(Start::Beginning);
    pin_mut!(read);
    let entries = take(&mut read, usize::try_from(total).expect("a count")).await;
    assert_eq!(sequences(&entries), (1..=total).collect::<Vec<u64>>());
    assert!(signals_of(&entries) == signals, "the signals must come back as they were, in their order");
    assert!(
        entries
            .iter()
            .all(|entry| matches!(entry, Entry::Message { published_at, .. } if published_at.seconds > 0))
    );
}

/// The twin of the test above: without message ids everything is stored twice.
#[tokio::test]
async fn without_message_ids_what_is_sent_twice_is_stored_twice() {
    let bench = Bench::start().await;
    let jetstream = async_nats::jetstream::new(bench.plain.clone());
    for _ in 0..2 {
        let body = alone(1).encode_to_vec().into();
        jetstream.publish("kwhy.in.homelab.event._", body).await.expect("sent").await.expect("stored");
    }
    assert_eq!(bench.messages("KWHY_IN").await, 2);
}

#[tokio::test]
async fn a_message_says_what_it_is() {
    let bench = Bench::start().await;
    let mut subscriber = bench.subscribe("kwhy.in.>").await;
    let _ = bench.bus.publish_signals(batches([line(1), line(2)])).await.expect("stored");
    let message = soon("the message", subscriber.next()).await.expect("a message");
    assert_eq!(message.subject.as_str(), "kwhy.in.homelab.kubelet._");
    let header =
        |name: &str| message.headers.as_ref().and_then(|all| all.get(name)).map(|value| value.to_string());
    assert_eq!(
        header("Content-Type").as_deref(),
        Some("application/x-protobuf; message=kwhy.v1.SignalBatch")
    );
    let id = "homelab/kubelet/kal/0000000001..kubelet/kal/0000000002";
    assert_eq!(header("Nats-Msg-Id").as_deref(), Some(id));
}

#[tokio::test]
async fn a_server_killed_and_started_again_in_the_middle_of_a_read_loses_and_repeats_nothing() {
    let bench = Bench::start().await;
    let signals: Vec<Signal> = (0..3000).map(event).collect();
    let _ = soon("publishing", bench.bus.publish_signals(batches(signals.clone()))).await.expect("stored");
    let read = bench.bus.read(Start::Beginning);
    pin_mut!(read);
    let mut entries = take(&mut read, 1000).await;

    let bench = restart(bench).await;
    entries.extend(take(&mut read, 2000).await);
    assert_eq!(sequences(&entries), (1..=3000).collect::<Vec<u64>>());
    assert!(signals_of(&entries) == signals);

    // And what comes after the restart is seen too.
    let _ = soon("publishing", bench.bus.publish_signals([alone(3000)])).await.expect("stored");
    assert_eq!(sequences(&take(&mut read, 1).await), [3001]);
}

/// The twin of the test above: a consumer read the usual way stops in silence where the server was killed.
#[tokio::test]
async fn a_plain_consumer_does_not_survive_a_killed_server() {
    let bench = Bench::start().await;
    let _ = soon("publishing", bench.bus.publish_signals((0..3000).map(alone))).await.expect("stored");
    let jetstream = async_nats::jetstream::new(bench.plain.clone());
    let stream = jetstream.get_stream("KWHY_IN").await.expect("the stream");
    let config = async_nats::jetstream::consumer::pull::Config {
        ack_policy: async_nats::jetstream::consumer::AckPolicy::None,
        memory_storage: true,
        ..Default::default()
    };
    let consumer = stream.create_consumer(config).await.expect("a consumer");
    let second = std::time::Duration::from_secs(1);
    let mut messages = consumer.stream().heartbeat(second).messages().await.expect("messages");
    let mut read = 0;
    while read < 1000 && matches!(messages.next().await, Some(Ok(_))) {
        read += 1;
    }
    assert_eq!(read, 1000);
    let _bench = restart(bench).await;
    while let Some(Ok(_)) = soon("the end of the read", messages.next()).await {
        read += 1;
    }
    assert!(read < 3000, "if it reads on, the bus's own reader protects from nothing");
}

#[tokio::test]
async fn publishing_goes_on_over_a_killed_server_and_stores_everything_once() {
    let bench = Bench::start().await;
    // Long enough that the server dies in the middle of it.
    let signals: Vec<Signal> = (0..20_000).map(event).collect();
    let bus = bench.bus.clone();
    let publishing = tokio::spawn(async move { bus.publish_signals(batches(signals)).await });
    until("the first thousand", async || bench.messages("KWHY_IN").await > 1000).await;
    assert!(!publishing.is_finished(), "the server must die before all is published");
    let bench = restart(bench).await;
    let published = soon("publishing", publishing).await.expect("no panic").expect("all stored");
    assert_eq!(published.stored + published.known, 20_000);
    assert_eq!(bench.messages("KWHY_IN").await, 20_000);
}

#[tokio::test]
async fn what_retention_took_before_the_start_is_one_gap_of_exactly_that_range() {
    let bench = Bench::start().await;
    let _ = bench.bus.publish_signals((0..50).map(alone)).await.expect("stored");
    bench.edit("KWHY_IN", json!({ "max_msgs": 10 })).await;
    let read = bench.bus.read(Start::Sequence(5));
    pin_mut!(read);
    let entries = take(&mut read, 11).await;
    assert_eq!(entries.first(), Some(&Entry::Gap { first: 5, last: 40 }));
    assert_eq!(sequences(&entries), (5..=50).collect::<Vec<u64>>());
}

#[tokio::test]
async fn what_retention_took_while_reading_is_a_gap_of_exactly_that_range() {
    let bench = Bench::start().await;
    let _ = soon("publishing", bench.bus.publish_signals((0..3000).map(alone))).await.expect("stored");
    let read = bench.bus.read(Start::Beginning);
    pin_mut!(read);
    let mut entries = take(&mut read, 10).await;
    bench.edit("KWHY_IN", json!({ "max_msgs": 5 })).await;
    while sequences(&entries).last() != Some(&3000) {
        entries.extend(take(&mut read, 1).await);
    }
    assert_eq!(sequences(&entries), (1..=3000).collect::<Vec<u64>>());
    let gaps = entries.iter().filter(|entry| matches!(entry, Entry::Gap { .. })).count();
    assert_eq!(gaps, 1, "the reader must have fallen behind, or this tests nothing");
    assert!(entries.iter().any(|entry| matches!(entry, Entry::Gap { last: 2995, .. })));
}

#[tokio::test]
async fn a_body_that_is_no_batch_is_reported_and_passed_over() {
    let bench = Bench::start().await;
    let _ = bench.bus.publish_signals([alone(1)]).await.expect("stored");
    let jetstream = async_nats::jetstream::new(bench.plain.clone());
    for poison in [&b"\xff\xff not protobuf"[..], b""] {
        let sent = jetstream.publish("kwhy.in.homelab.event._", poison.into()).await.expect("sent");
        sent.await.expect("stored");
    }
    let _ = bench.bus.publish_signals([alone(2)]).await.expect("stored");
    let read = bench.bus.read(Start::Beginning);
    pin_mut!(read);
    let entries = take(&mut read, 4).await;
    for (place, entry) in entries.iter().enumerate() {
        let poisoned =
            matches!(entry, Entry::Unreadable { subject, .. } if subject == "kwhy.in.homelab.event._");
        assert_eq!(poisoned, place == 1 || place == 2, "{entry:?}");
    }
}

#[tokio::test]
async fn signals_of_other_clusters_are_neither_read_nor_taken_for_a_gap() {
    let bench = Bench::start().await;
    let other = Settings { cluster: "prod.eu".into(), ..settings(&bench.server.url) };
    let other = Bus::connect(&other).await.expect("a bus of the other cluster");
    let of = |cluster: &str, n: usize| SignalBatch {
        signals: vec![Signal {
            cluster: cluster.into(),
            id: format!("tick/{n}"),
            source: "tick".into(),
            ..event(n)
        }],
    };
    // The same ids in both clusters: NATS must not take one for the other's duplicate.
    for n in 0..5 {
        for cluster in ["homelab", "prod.eu"] {
            let published = bench.bus.publish_signals([of(cluster, n)]).await.expect("published");
            assert_eq!(published.stored, 1, "tick {n} of {cluster}");
        }
    }
    for (bus, places) in [(&bench.bus, [1, 3, 5, 7, 9]), (&other, [2, 4, 6, 8, 10])] {
        let read = bus.read(Start::Beginning);
        pin_mut!(read);
        assert_eq!(sequences(&take(&mut read, 5).await), places);
    }
}

#[tokio::test]
async fn a_signal_too_large_for_nats_is_reported_and_the_others_stored() {
    let bench = Bench::start().await;
    let huge = SignalBatch { signals: vec![Signal { message: "x".repeat(2 << 20), ..event(2) }] };
    let published = bench.bus.publish_signals([alone(1), huge, alone(3)]).await.expect("published");
    assert_eq!(published.stored, 2);
    let [too_large] = published.too_large.as_slice() else { panic!("{published:?}") };
    assert_eq!(too_large.id, "homelab/event/u2/0000000001/2");
    assert_eq!(too_large.limit, 1 << 20);
}

#[tokio::test]
async fn a_read_from_a_place_that_the_stream_never_reached_says_that_messages_were_lost() {
    let bench = Bench::start().await;
    let _ = bench.bus.publish_signals([alone(1)]).await.expect("stored");
    let read = bench.bus.read(Start::Sequence(100));
    pin_mut!(read);
    let error = soon("an error", read.next()).await.expect("an item").expect_err("lost messages");
    assert!(matches!(error, BusError::TailLost { expected: 100, last: 1, .. }), "{error:?}");
    // The place right after the newest is none of that: it waits.
    let read = bench.bus.read(Start::Sequence(2));
    pin_mut!(read);
    let _ = bench.bus.publish_signals([alone(2)]).await.expect("stored");
    assert_eq!(sequences(&take(&mut read, 1).await), [2]);
}

#[tokio::test]
async fn a_stream_deleted_and_made_anew_ends_the_read_with_an_error() {
    let bench = Bench::start().await;
    let _ = bench.bus.publish_signals([alone(1)]).await.expect("stored");
    let read = bench.bus.read(Start::Beginning);
    pin_mut!(read);
    take(&mut read, 1).await;
    bench.api("STREAM.DELETE.KWHY_IN", json!({})).await;
    Bus::connect(&settings(&bench.server.url)).await.expect("the stream anew");
    let _ = bench.bus.publish_signals([alone(2)]).await.expect("stored");
    let error = soon("an error", read.next()).await.expect("an item").expect_err("another stream");
    assert!(matches!(error, BusError::Replaced { stream: "KWHY_IN" }), "{error:?}");
}

#[tokio::test]
async fn a_read_from_the_end_sees_only_what_is_new() {
    let bench = Bench::start().await;
    let _ = bench.bus.publish_signals([alone(1)]).await.expect("stored");
    let read = bench.bus.read(Start::End);
    pin_mut!(read);
    // The place is taken when the read is first asked.
    let entry = tokio::select! {
        biased;
        entry = read.next() => entry,
        () = std::future::ready(()) => None,
    };
    assert!(entry.is_none());
    let publish = async {
        for n in 2.. {
            let _ = bench.bus.publish_signals([alone(n)]).await.expect("stored");
            tokio::task::yield_now().await;
        }
    };
    let entry = tokio::select! {
        () = publish => None,
        entry = soon("a new signal", read.next()) => entry,
    };
    let entry = entry.expect("an item").expect("an entry");
    assert!(matches!(entry, Entry::Message { sequence, .. } if sequence > 1), "{entry:?}");
}
