//! Findings: stored once, seen by every kind of reader.

use async_nats::HeaderMap;
use futures::{StreamExt, pin_mut};
use kwhy_bus::{Bus, BusError, Committed, Entry, Filter, Settings, Start};
use kwhy_proto::{
    Message,
    v1::{Finding, ObjectRef, Symptom},
};
use serde_json::json;

use crate::bench::{Bench, finding, settings, soon, take, until};

fn bodies(entries: Vec<Entry<Finding>>) -> Vec<Finding> {
    let body = |entry| match entry {
        Entry::Message { body, .. } => body,
        other => panic!("{other:?}"),
    };
    entries.into_iter().map(body).collect()
}

#[tokio::test]
async fn a_plain_subscriber_gets_each_revision_as_protobuf_and_as_json() {
    let bench = Bench::start().await;
    let mut protobuf = bench.subscribe("kwhy.findings.*.*.*.*").await;
    let mut json = bench.subscribe("kwhy.findings.json.>").await;
    let findings = [finding("f1", 1), finding("f1", 2)];
    bench.bus.publish_findings(&findings).await.expect("stored");
    for finding in &findings {
        let message = soon("protobuf", protobuf.next()).await.expect("a message");
        assert_eq!(message.subject.as_str(), "kwhy.findings.homelab.kube-system.coredns.forward-loop");
        let headers = message.headers.expect("headers");
        let header = |name: &str| headers.get(name).map(ToString::to_string);
        assert_eq!(
            header("Content-Type").as_deref(),
            Some("application/x-protobuf; message=kwhy.v1.Finding")
        );
        assert_eq!(header("Nats-Msg-Id"), Some(format!("f1/{}", finding.revision)));
        assert_eq!(&Finding::decode(message.payload).expect("protobuf"), finding);

        let message = soon("JSON", json.next()).await.expect("a message");
        assert_eq!(message.subject.as_str(), "kwhy.findings.json.homelab.kube-system.coredns.forward-loop");
        let headers = message.headers.expect("headers");
        assert_eq!(
            headers.get("Content-Type").map(|value| value.as_str()),
            Some("application/json; message=kwhy.v1.Finding")
        );
        assert_eq!(&serde_json::from_slice::<Finding>(&message.payload).expect("JSON"), finding);
    }
}

#[tokio::test]
async fn a_revision_published_twice_is_stored_once_and_told_once() {
    let bench = Bench::start().await;
    let mut json = bench.subscribe("kwhy.findings.json.>").await;
    let findings = [finding("f1", 1), finding("f2", 1)];
    let first = bench.bus.publish_findings(&findings).await.expect("stored");
    assert_eq!(first, [Committed::Now(1), Committed::Now(2)]);
    let mut more = findings.to_vec();
    more.push(finding("f2", 2));
    let again = bench.bus.publish_findings(&more).await.expect("known");
    assert_eq!(again, [Committed::Before(1), Committed::Before(2), Committed::Now(3)]);
    assert_eq!(bench.messages("KWHY_OUT").await, 3);
    for (id, revision) in [("f1", 1), ("f2", 1), ("f2", 2)] {
        let message = soon("JSON", json.next()).await.expect("a message");
        assert_eq!(serde_json::from_slice::<Finding>(&message.payload).expect("JSON"), finding(id, revision));
    }
}

#[tokio::test]
async fn one_call_that_holds_a_revision_twice_stores_it_once() {
    let bench = Bench::start().await;
    let twice = [finding("f1", 1), finding("f1", 1)];
    let committed = bench.bus.publish_findings(&twice).await.expect("stored");
    assert_eq!(committed, [Committed::Now(1), Committed::Before(1)]);
    assert_eq!(bench.messages("KWHY_OUT").await, 1);
}

/// Waits until `KWHY_OUT` has forgotten the message ids it knows now.
async fn forget_message_ids(bench: &Bench) {
    let jetstream = async_nats::jetstream::new(bench.plain.clone());
    let jetstream = &jetstream;
    let publish = async || {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", "canary");
        let sent = jetstream.publish_with_headers("kwhy.out.ckpt.canary", headers, "x".into()).await;
        sent.expect("sent").await.expect("an answer").duplicate
    };
    assert!(!publish().await, "the canary is new");
    let mut window = 100_000_000;
    // The canary came last and ids are forgotten in their order.
    until("the duplicate window to pass", async || {
        // A change of the window starts the server's forgetting at once, now and then before the new window holds
        // (server/stream.go, `updateWithAdvisory` resets `ddtmr` first): it then waits for the old one, until the
        // window changes again.
        window += 1;
        bench.edit("KWHY_OUT", json!({ "duplicate_window": window })).await;
        !publish().await
    })
    .await;
}

#[tokio::test]
async fn a_revision_is_refused_long_after_its_message_id_is_forgotten() {
    let bench = Bench::start().await;
    bench.bus.publish_findings(&[finding("f1", 1)]).await.expect("stored");
    forget_message_ids(&bench).await;
    let stored = bench.messages("KWHY_OUT").await;
    let again = bench.bus.publish_findings(&[finding("f1", 1)]).await.expect("known");
    assert_eq!(again, [Committed::Before(1)]);
    assert_eq!(bench.messages("KWHY_OUT").await, stored);
}

/// The twin of the test above: with the message id alone, without the condition on the subject, it is stored again.
#[tokio::test]
async fn without_the_condition_on_the_subject_a_revision_is_stored_twice() {
    let bench = Bench::start().await;
    bench.bus.publish_findings(&[finding("f1", 1)]).await.expect("stored");
    forget_message_ids(&bench).await;
    let stored = bench.messages("KWHY_OUT").await;
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", "f1/1");
    let body = finding("f1", 1).encode_to_vec().into();
    let subject = kwhy_bus::subject::finding(&finding("f1", 1));
    let jetstream = async_nats::jetstream::new(bench.plain.clone());
    let sent =
        jetstream.publish_with_headers(subject, headers, body).await.expect("sent").await.expect("an answer");
    assert!(!sent.duplicate);
    assert_eq!(bench.messages("KWHY_OUT").await, stored + 1);
}

#[tokio::test]
async fn other_content_under_the_same_revision_is_an_error_and_the_stored_one_stands() {
    let bench = Bench::start().await;
    bench.bus.publish_findings(&[finding("f1", 1)]).await.expect("stored");
    let other_title = Finding { title: "something else".into(), ..finding("f1", 1) };
    // Another code or namespace is another subject, but the same revision.
    let other_code = Finding { code: "change.rollout".into(), ..finding("f1", 1) };
    let other_place = Finding { root: Some(ObjectRef::default()), ..finding("f1", 1) };
    forget_message_ids(&bench).await;
    for other in [other_title, other_code, other_place] {
        let error = bench.bus.publish_findings(&[other]).await.expect_err("must be refused");
        assert!(
            matches!(&error, BusError::Diverged { id, revision: 1, sequence: 1 } if id == "f1"),
            "{error:?}"
        );
    }
    let stored = bench.bus.subscribe_findings(&Filter::default(), Start::Beginning);
    pin_mut!(stored);
    assert_eq!(bodies(take(&mut stored, 1).await), [finding("f1", 1)]);
}

#[tokio::test]
async fn a_reader_of_findings_gets_the_past_and_the_new_that_it_asked_for() {
    let bench = Bench::start().await;
    let of = |id: &str, code: &str| Finding { code: code.into(), ..finding(id, 1) };
    let clusterwide = Finding { root: None, ..of("f4", "node.down") };
    let past = [
        of("f1", "coredns.forward-loop"),
        of("f2", "node.down"),
        of("f3", "coredns.config-invalid"),
        clusterwide.clone(),
    ];
    bench.bus.publish_findings(&past).await.expect("stored");

    let pack = Filter { code: Some("coredns".into()), cluster: Some("homelab".into()), ..Filter::default() };
    let coredns = bench.bus.subscribe_findings(&pack, Start::Beginning);
    pin_mut!(coredns);
    assert_eq!(bodies(take(&mut coredns, 2).await), [past[0].clone(), past[2].clone()]);
    let placeless = Filter { namespace: Some(String::new()), ..Filter::default() };
    let placeless = bench.bus.subscribe_findings(&placeless, Start::Beginning);
    pin_mut!(placeless);
    assert_eq!(bodies(take(&mut placeless, 1).await), [clusterwide]);

    let new = [of("f5", "node.down"), of("f6", "coredns.forward-loop")];
    bench.bus.publish_findings(&new).await.expect("stored");
    assert_eq!(bodies(take(&mut coredns, 1).await), [new[1].clone()]);
}

#[tokio::test]
async fn a_cluster_with_a_dot_in_its_name_keeps_the_shape_of_subjects() {
    let bench = Bench::start().await;
    let named = Settings { cluster: "prod.eu *".into(), ..settings(&bench.server.url) };
    let bus = Bus::connect(&named).await.expect("a bus");
    let mut subscriber = bench.subscribe("kwhy.findings.*.*.*.*").await;
    let odd = Finding { cluster: "prod.eu *".into(), ..finding("f1", 1) };
    bus.publish_findings(std::slice::from_ref(&odd)).await.expect("stored");
    let message = soon("protobuf", subscriber.next()).await.expect("a message");
    assert_eq!(
        message.subject.split('.').nth(2).and_then(kwhy_bus::subject::value).as_deref(),
        Some("prod.eu *")
    );
    let filter = Filter { cluster: Some("prod.eu *".into()), ..Filter::default() };
    let stored = bus.subscribe_findings(&filter, Start::Beginning);
    pin_mut!(stored);
    assert_eq!(bodies(take(&mut stored, 1).await), [odd]);
}

#[tokio::test]
async fn findings_that_cannot_be_stored_are_named() {
    let bench = Bench::start().await;
    let nameless = bench.bus.publish_findings(&[finding("", 1)]).await.expect_err("no id");
    assert!(matches!(nameless, BusError::Anonymous { .. }), "{nameless:?}");
    let unnumbered = bench.bus.publish_findings(&[finding("f1", 0)]).await.expect_err("no revision");
    assert!(matches!(unnumbered, BusError::Anonymous { .. }), "{unnumbered:?}");
    let huge = Finding { explanation: "x".repeat(2 << 20), ..finding("f1", 1) };
    let error = bench.bus.publish_findings(&[huge]).await.expect_err("too large");
    assert!(matches!(&error, BusError::FindingTooLarge { id, revision: 1, .. } if id == "f1"), "{error:?}");
}

#[tokio::test]
async fn of_a_finding_whose_json_is_too_large_the_twin_leaves_out_more() {
    let bench = Bench::start().await;
    let mut twins = bench.subscribe("kwhy.findings.json.>").await;
    // In JSON each of these bytes is six.
    let symptom = Symptom { name: "A".into(), message: "\u{1}".repeat(1000), ..Symptom::default() };
    let large = Finding { symptoms: vec![symptom; 400], ..finding("f1", 1) };
    bench.bus.publish_findings(std::slice::from_ref(&large)).await.expect("stored");
    let twin = soon("the twin", twins.next()).await.expect("a message");
    let twin: Finding = serde_json::from_slice(&twin.payload).expect("a finding");
    assert_eq!((&twin.id, twin.revision), (&large.id, 1));
    assert!(twin.symptoms.len() > 50 && twin.symptoms.len() < 400, "{}", twin.symptoms.len());
    let missing = u32::try_from(400 - twin.symptoms.len()).expect("few");
    let told: Vec<_> = twin.omitted.iter().map(|it| (it.what.as_str(), it.count)).collect();
    assert_eq!(told, [("symptoms", missing)]);
}

#[tokio::test]
async fn a_full_stream_of_findings_says_so_and_drops_nothing() {
    let bench = Bench::start().await;
    bench.bus.publish_findings(&[finding("f1", 1)]).await.expect("stored");
    bench.edit("KWHY_OUT", json!({ "max_bytes": 1200 })).await;
    let large = Finding { explanation: "x".repeat(1000), ..finding("f2", 1) };
    let error = soon("the refusal", bench.bus.publish_findings(&[large])).await.expect_err("no room");
    assert!(matches!(error, BusError::Full { .. }), "{error:?}");
    assert_eq!(bench.messages("KWHY_OUT").await, 1);
}
