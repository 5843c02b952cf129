//! Those who listen: a subscriber in Python with classes that protoc made, and Slack.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its ground gives way"
)]

use kwhy_tests::{
    Background, CLUSTER, Client, Kwhy, NatsServer, Slack, coredns_loop, finish, nats_server, python,
};
use serde_json::{Value, json};

#[test]
fn a_subscriber_in_python_decodes_every_revision() {
    let kwhy = Kwhy::new();
    let expected: Vec<Value> = kwhy
        .diagnose(&coredns_loop())
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    let classes = kwhy.home("classes");
    std::fs::create_dir(&classes).expect("a folder");
    python::protobuf_classes(&classes);

    let server = NatsServer::start(&nats_server());
    let engine = kwhy.engine(&[&"--nats", &server.url, &"--cluster", &CLUSTER]);
    let (classes, count) = (classes.display().to_string(), expected.len().to_string());
    let subscriber = Background::start(python::script("subscriber.py", [&server.url, &classes, &count]));
    subscriber.wait_for("subscription", |line| (line == "subscribed").then_some(()));
    kwhy.feed(&coredns_loop(), &server.url);
    let heard = subscriber.wait();
    assert_eq!(heard.code, Some(0), "{}", heard.stderr);
    drop(engine);

    let heard: Vec<Value> =
        heard.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let findings: Vec<&Value> = heard.iter().map(|message| &message["finding"]).collect();
    assert_eq!(findings, expected.iter().collect::<Vec<_>>());

    let last = heard.iter().rfind(|m| m["finding"]["code"] == "coredns.forward-loop").expect("the cause");
    assert_eq!(last["subject"], "kwhy.findings.homelab._.coredns.forward-loop", "a node is in no namespace");
    let finding = &last["finding"];
    assert_eq!(finding["status"], "STATUS_OPEN");
    assert_eq!(finding["severity"], "SEVERITY_CRITICAL");
    assert_eq!(finding["cluster"], CLUSTER);
    assert_eq!((&finding["root"]["kind"], &finding["root"]["name"]), (&json!("Node"), &json!("kal")));
    assert!(finding["confidence"].as_u64().is_some_and(|confidence| confidence > 80), "{finding}");
    let names = |list: &str| -> Vec<&str> {
        finding[list].as_array().expect("a list").iter().filter_map(|it| it["name"].as_str()).collect()
    };
    assert!(names("symptoms").contains(&"KubeDeploymentReplicasMismatch"), "{:?}", names("symptoms"));
    let evidence = finding["evidence"].as_array().expect("a list");
    assert!(
        evidence.iter().any(|it| it["excerpt"].as_str().is_some_and(|text| text.contains("plugin/loop"))),
        "{evidence:?}"
    );
    assert!(finding["remedy"][0]["command"].as_str().is_some_and(|c| c.contains("kubectl")), "{finding}");
    assert_eq!(finding["rule"]["name"], "coredns");
}

fn validated(kwhy: &Kwhy, message: &str) -> kwhy_tests::Ended {
    python::run("slack_blocks.py", [kwhy.write("message.json", message)])
}

#[tokio::test]
async fn one_cause_is_one_message_that_slacks_own_models_take() {
    let kwhy = Kwhy::new();
    let slack = Slack::listen();
    kwhy.write("kwhy.yaml", format!("cluster: {CLUSTER}\nslack:\n  webhook_url: {}\n", slack.url));
    let server = NatsServer::start(&nats_server());
    let engine = kwhy.engine(&[&"--nats", &server.url]);
    kwhy.feed(&coredns_loop(), &server.url);
    let mut messages = vec![slack.next()];
    let client = Client::connect(&server.url).await;
    let ended = finish(engine, &client, CLUSTER).await;
    messages.extend(slack.rest());
    assert!(!ended.stderr.contains("secret"), "the address of a webhook is one: {}", ended.stderr);

    for message in &messages {
        let seen = validated(&kwhy, message);
        assert_eq!(seen.code, Some(0), "{}\n{message}", seen.stderr);
    }
    // Where the engine is slow, a suspicion may be told before the cause is known; what is told is told once.
    let of_cause = |message: &&String| message.contains("CoreDNS on node kal forwards queries to itself");
    let told: Vec<&String> = messages.iter().filter(of_cause).collect();
    let [message] = told.as_slice() else { panic!("one message for one cause, not {told:#?}") };
    let seen = validated(&kwhy, message);
    for words in [
        "CoreDNS on node kal forwards queries to itself",
        "kube-system",
        "KubeDeploymentReplicasMismatch",
        "plugin/loop",
        "kubectl -n kube-system edit configmap coredns",
        "coredns.forward-loop",
    ] {
        assert!(seen.stdout.contains(words), "`{words}` is missing in\n{}", seen.stdout);
    }
    let text: Value = serde_json::from_str(message).expect("JSON");
    assert!(text["text"].as_str().is_some_and(|text| text.contains("CoreDNS on node kal")), "{message}");

    // An engine that starts again and reads all of it again does not tell it again.
    let engine = kwhy.engine(&[&"--nats", &server.url]);
    let _ended = finish(engine, &client, CLUSTER).await;
    assert_eq!(slack.rest(), Vec::<String>::new(), "a restart is no news");
}

/// The twin of the test above: what Slack would refuse does not pass.
#[test]
fn a_message_that_slack_would_refuse_is_found_out() {
    let kwhy = Kwhy::new();
    let header = |text: String| json!({"type": "header", "text": {"type": "plain_text", "text": text}});
    let section = |text: String| json!({"type": "section", "text": {"type": "mrkdwn", "text": text}});
    let fine = json!({"text": "t", "blocks": [header("x".repeat(150)), section("y".repeat(3000))]});
    assert_eq!(
        validated(&kwhy, &fine.to_string()).code,
        Some(0),
        "{:?}",
        validated(&kwhy, &fine.to_string())
    );
    for blocks in [
        json!([header("x".repeat(151))]),
        json!([section("y".repeat(3001))]),
        json!([section(String::new())]),
        json!([{"type": "section"}]),
        json!([{"type": "headline", "text": {"type": "plain_text", "text": "x"}}]),
        json!([{"type": "divider", "colour": "red"}]),
        json!(vec![section("y".to_owned()); 51]),
        json!([]),
    ] {
        let message = json!({"text": "t", "blocks": blocks}).to_string();
        assert_ne!(validated(&kwhy, &message).code, Some(0), "{message}");
    }
}
