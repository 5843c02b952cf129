//! Connecting: what is refused, how soon and in which words.

use std::time::{Duration, Instant};

use kwhy_bus::{Bus, BusError, OLDEST_SERVER, Settings};
use serde_json::{Value, json};

use crate::bench::{Bare, Bench, api, edit, new_server, old_server, settings};

async fn refusal(settings: &Settings) -> BusError {
    match Bus::connect(settings).await {
        Ok(_) => panic!("{settings:?} must be refused"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn an_old_server_is_refused_with_both_versions_and_the_remedy() {
    let old = Bare::start(&old_server(), &[], true).await;
    let error = refusal(&settings(&old.url)).await;
    assert!(matches!(&error, BusError::TooOld { found, .. } if found == "2.9.10"), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("2.9.10") && text.contains(OLDEST_SERVER) && text.contains("pip install"),
        "{text}"
    );
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_refused_at_once() {
    let free =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    let started = Instant::now();
    let error = refusal(&Settings::new(format!("nats://me:secret@{free}"), "homelab")).await;
    assert!(matches!(error, BusError::Unreachable { .. }), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let text = error.to_string();
    assert!(text.contains(&free.to_string()) && !text.contains("secret"), "{text}");
}

#[tokio::test]
async fn a_peer_that_never_speaks_is_given_up_at_the_timeout() {
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("nats://{}", mute.local_addr().expect("an address"));
    let started = Instant::now();
    let waiting = Settings { connect_timeout: Duration::from_millis(300), ..Settings::new(url, "homelab") };
    let error = refusal(&waiting).await;
    assert!(matches!(error, BusError::Unreachable { .. }), "{error:?}");
    assert!((Duration::from_millis(250)..Duration::from_secs(4)).contains(&started.elapsed()));
}

#[tokio::test]
async fn a_mute_server_in_a_list_does_not_keep_the_next_from_being_tried() {
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let server = Bare::start(&new_server(), &[], true).await;
    let mute = mute.local_addr().expect("an address");
    // The client tries them in a random order; in ten attempts the mute one is first at least once, almost surely.
    for _ in 0..10 {
        let list = Settings::new(format!("nats://{mute},{}", server.url), "homelab");
        let bus =
            Bus::connect(&Settings { connect_timeout: Duration::from_secs(4), ..list }).await.expect("a bus");
        bus.close().await;
    }
}

#[tokio::test]
async fn wrong_credentials_are_refused_and_right_ones_in_the_url_are_used() {
    let server = Bare::start(&new_server(), &["--user", "me", "--pass", "se:cr@t"], true).await;
    let error = refusal(&settings(&server.url)).await;
    assert!(matches!(error, BusError::Refused { .. }), "{error:?}");
    let address = server.url.trim_start_matches("nats://");
    let error = refusal(&settings(&format!("nats://me:wrong@{address}"))).await;
    assert!(matches!(error, BusError::Refused { .. }) && !error.to_string().contains("wrong"), "{error:?}");
    let bus = Bus::connect(&settings(&format!("nats://me:se%3Acr%40t@{address}")))
        .await
        .expect("right credentials");
    bus.close().await;
}

#[tokio::test]
async fn a_token_in_the_url_is_used() {
    let server = Bare::start(&new_server(), &["--auth", "t0ken"], true).await;
    let address = server.url.trim_start_matches("nats://");
    assert!(matches!(refusal(&settings(&server.url)).await, BusError::Refused { .. }));
    Bus::connect(&settings(&format!("nats://t0ken@{address}"))).await.expect("the right token");
}

#[tokio::test]
async fn a_server_without_jetstream_is_refused() {
    let server = Bare::start(&new_server(), &[], false).await;
    let error = refusal(&settings(&server.url)).await;
    assert!(matches!(error, BusError::NoJetStream { .. }) && error.to_string().contains("-js"), "{error:?}");
}

#[tokio::test]
async fn a_server_that_takes_lines_and_not_the_largest_finding_will_do_for_collectors_alone() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = dir.path().join("nats.conf");
    std::fs::write(&config, "max_payload: 262144").expect("a file");
    let config = config.to_str().expect("a path in UTF-8");
    let small = Bare::start(&new_server(), &["--config", config], true).await;
    let error = refusal(&settings(&small.url)).await;
    assert!(matches!(error, BusError::PayloadTooSmall { found: 262_144, .. }), "{error:?}");
    assert!(error.to_string().contains("raise max_payload"), "{error}");
    Bus::publisher(&settings(&small.url)).await.expect("lines are smaller").close().await;
}

#[tokio::test]
async fn a_stream_larger_than_the_disk_is_refused_by_name() {
    let server = Bare::start(&new_server(), &[], true).await;
    let mut greedy = settings(&server.url);
    greedy.input.max_bytes = 1 << 55;
    let error = refusal(&greedy).await;
    assert!(matches!(&error, BusError::NoRoom { stream: "KWHY_IN", .. }), "{error:?}");
}

#[tokio::test]
async fn a_credentials_file_that_is_missing_is_named() {
    let mut wrong = settings("nats://127.0.0.1:1");
    wrong.credentials = Some("/nowhere/kwhy.creds".into());
    assert!(refusal(&wrong).await.to_string().contains("/nowhere/kwhy.creds"));
    assert!(matches!(refusal(&settings("http s://x")).await, BusError::Settings(_)));
}

#[tokio::test]
async fn what_can_be_mended_in_a_stream_is_mended_and_the_rest_left_alone() {
    let bench = Bench::start().await;
    let changes = json!({ "allow_atomic": false, "discard": "old", "max_age": 3_600_000_000_000_u64, "republish": null,
        "description": "ours", "duplicate_window": 60_000_000_000_u64 });
    bench.edit("KWHY_OUT", changes).await;
    Bus::connect(&settings(&bench.server.url)).await.expect("a stream that can be mended");
    let config = bench.api("STREAM.INFO.KWHY_OUT", Value::Null).await["config"].clone();
    assert_eq!(config["allow_atomic"], true);
    assert_eq!(config["discard"], "new");
    assert_eq!(config["max_age"], 14 * 24 * 3_600_000_000_000_u64);
    assert_eq!(config["republish"]["src"], "kwhy.out.f.*.*.*.*.*.*");
    assert_eq!(config["description"], "ours", "what kwhy does not care for must stay");
}

#[tokio::test]
async fn a_stream_that_cannot_be_mended_is_refused_with_each_setting_and_untouched() {
    let server = Bare::start(&new_server(), &[], true).await;
    let plain = async_nats::connect(&server.url).await.expect("a client");
    let odd = json!({ "name": "KWHY_IN", "subjects": ["kwhy.in.>", "more.>"], "storage": "memory",
        "retention": "limits", "num_replicas": 1 });
    api(&plain, "STREAM.CREATE.KWHY_IN", odd).await;
    let error = refusal(&settings(&server.url)).await;
    let BusError::Unfit { stream: "KWHY_IN", problems, .. } = &error else { panic!("{error:?}") };
    let expected = |text: &str| problems.iter().any(|problem| problem.contains(text));
    assert!(
        expected("storage is \"memory\" and must be \"file\"") && expected("subjects is"),
        "{problems:?}"
    );
    assert!(error.to_string().contains("nats stream info KWHY_IN"));
    let config = api(&plain, "STREAM.INFO.KWHY_IN", Value::Null).await["config"].clone();
    assert_ne!(config["deny_purge"], true, "nothing may be changed in a stream that is refused");
}

#[tokio::test]
async fn a_stream_that_takes_our_subjects_is_named_as_the_reason() {
    let server = Bare::start(&new_server(), &[], true).await;
    let plain = async_nats::connect(&server.url).await.expect("a client");
    let greedy = json!({ "name": "ALL", "subjects": ["kwhy.>"], "storage": "file", "retention": "limits", "num_replicas": 1 });
    api(&plain, "STREAM.CREATE.ALL", greedy).await;
    let error = refusal(&settings(&server.url)).await;
    assert!(error.to_string().contains("overlap"), "{error}");
}

#[tokio::test]
async fn messages_cannot_be_deleted_or_purged() {
    let bench = Bench::start().await;
    let _ = bench.bus.publish_signals([crate::signals::alone(1)]).await.expect("a signal");
    for (call, body) in
        [("STREAM.PURGE.KWHY_IN", json!({})), ("STREAM.MSG.DELETE.KWHY_IN", json!({ "seq": 1 }))]
    {
        let answer = bench.api(call, body).await;
        assert!(answer.get("error").is_some(), "{call}: {answer}");
    }
    assert_eq!(bench.messages("KWHY_IN").await, 1);
    edit(&bench.plain, "KWHY_IN", json!({ "description": "still editable" })).await;
}

/// The twin: it is the flags of the stream that refuse.
#[tokio::test]
async fn without_its_flags_a_stream_can_be_purged_and_its_messages_deleted() {
    let server = Bare::start(&new_server(), &[], true).await;
    let plain = async_nats::connect(&server.url).await.expect("a client");
    let open = json!({ "name": "KWHY_IN", "subjects": ["kwhy.in.>"], "storage": "file", "retention": "limits",
        "num_replicas": 1 });
    api(&plain, "STREAM.CREATE.KWHY_IN", open).await;
    for _ in 0..2 {
        api_publish(&plain, "kwhy.in.homelab.event.x").await;
    }
    for (call, body) in
        [("STREAM.MSG.DELETE.KWHY_IN", json!({ "seq": 1 })), ("STREAM.PURGE.KWHY_IN", json!({}))]
    {
        let answer = api(&plain, call, body).await;
        assert_eq!(answer["success"], true, "{call}: {answer}");
    }
    let state = api(&plain, "STREAM.INFO.KWHY_IN", Value::Null).await["state"].clone();
    assert_eq!((&state["messages"], &state["last_seq"]), (&json!(0), &json!(2)));
}

async fn api_publish(plain: &async_nats::Client, subject: &str) {
    let sent = async_nats::jetstream::new(plain.clone()).publish(subject.to_owned(), "x".into()).await;
    sent.expect("it is sent").await.expect("it is stored");
}
