//! Silences of a real Alertmanager: what they hold back is kept, marked, and told to nobody.

use kwhy_proto::{
    Message as _, timestamp,
    v1::{Event, Finding, ObjectRef, Signal, SignalBatch, Status, signal::Body},
};
use kwhy_tests::{Alertmanager, Metrics, Notify, Prometheus, Rule, Slack, as_alertmanager, eventually};

use crate::{Bench, LAB, alert, now};

const POD: &str = "web-7f9dd8b6c4-x7gr9";
const LOOPING: Rule<'_> =
    Rule { alert: "KubePodCrashLooping", expr: "broken > 0", labels: "severity: warning" };

/// The kubelet's word that the pod ends at its start, which makes a finding that is worth a message.
async fn back_off(bench: &Bench) {
    let pod =
        ObjectRef { kind: "Pod".into(), namespace: "shop".into(), name: POD.into(), uid: "0b5e".into() };
    let at = Some(timestamp(now()));
    let event = Event {
        count: 8,
        first_at: Some(timestamp(now() - 300_000)),
        last_at: at,
        reporter: "kubelet".into(),
        instance: "worker-2".into(),
        container: "web".into(),
        ..Event::default()
    };
    let signal = Signal {
        id: "event/e1/0000000008/1".into(),
        cluster: LAB.into(),
        source: "event".into(),
        name: "BackOff".into(),
        state: "Warning".into(),
        at,
        subject: Some(pod),
        message: "Back-off restarting failed container".into(),
        body: Some(Body::Event(event)),
        ..Signal::default()
    };
    let body = SignalBatch { signals: vec![signal] }.encode_to_vec();
    bench.client.publish(&format!("kwhy.in.{LAB}.event.shop"), Some("lab/event/e1"), body).await;
}

/// The last revision of the finding, once it has the alert and the alert is marked so.
async fn finding(bench: &Bench, suppressed: bool) -> Finding {
    eventually("the finding", async || {
        let finding =
            bench.client.findings().await.into_iter().rfind(|it| it.code == "workload.exit-on-start")?;
        let alert = finding.symptoms.iter().find(|symptom| symptom.source == "alert")?;
        (alert.suppressed == suppressed).then_some(finding)
    })
    .await
}

#[tokio::test]
async fn what_is_silenced_is_kept_and_marked_and_told_only_when_the_silence_ends() {
    let manager = Alertmanager::start(Notify::Nobody, None);
    let slack = Slack::listen();
    let bench = Bench::new(&format!(
        "alerts: {{listen: '127.0.0.1:0', alertmanager: {{url: '{}', every: 200ms}}}}\nslack: {{webhook_url: '{}'}}\n",
        manager.url, slack.url
    ))
    .await;
    let silence = manager.silence(&["alertname=KubePodCrashLooping", "pod=~web-.*"]);
    let mut command = bench.kwhy.command(&[&"run", &"--nats", &bench.nats.url, &"--cluster", &LAB]);
    command.env("RUST_LOG", "warn");
    let engine = kwhy_tests::Background::start(command);
    let url = engine.wait_for("its address", |line| line.strip_prefix("alerts: ").map(str::to_owned));
    let metrics = Metrics::serve(&format!("broken{{namespace=\"shop\",pod=\"{POD}\"}} 1\n"));
    let _prometheus = Prometheus::start(&metrics.address, &[LOOPING], &as_alertmanager(&url), None);
    let stored = eventually("the alert", async || bench.stored(LOOPING.alert).await.pop()).await;
    assert!(alert(&stored).suppressed, "the silences are known before the first alert");
    back_off(&bench).await;
    let silenced = finding(&bench, true).await;
    assert_eq!(silenced.status(), Status::Open);
    // Longer than a finding waits to be told.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(slack.rest(), [""; 0]);
    manager.expire(&silence);
    let told = tokio::task::spawn_blocking(move || slack.next()).await.expect("a post");
    assert!(told.contains("web"), "{told}");
    assert!(finding(&bench, false).await.revision > silenced.revision);
    assert_eq!(engine.terminate().code, Some(0));
}

/// The twin: where no Alertmanager is named, nothing holds an alert back.
#[tokio::test]
async fn without_its_silences_everything_is_told() {
    let manager = Alertmanager::start(Notify::Nobody, None);
    let slack = Slack::listen();
    let bench = Bench::new(&format!("slack: {{webhook_url: '{}'}}\n", slack.url)).await;
    let _silence = manager.silence(&["alertname=KubePodCrashLooping"]);
    let collector = bench.collector();
    let engine = bench.engine();
    let metrics = Metrics::serve(&format!("broken{{namespace=\"shop\",pod=\"{POD}\"}} 1\n"));
    let _prometheus = Prometheus::start(&metrics.address, &[LOOPING], &collector.as_alertmanager(), None);
    eventually("the alert", async || (!bench.stored(LOOPING.alert).await.is_empty()).then_some(())).await;
    back_off(&bench).await;
    let told = tokio::task::spawn_blocking(move || slack.next()).await.expect("a post");
    assert!(told.contains("web"), "{told}");
    assert!(!finding(&bench, false).await.symptoms.is_empty());
    drop(engine);
}

#[tokio::test]
async fn an_alertmanager_that_is_away_holds_up_no_alert_and_is_told_once() {
    let bench = Bench::new("alerts: {alertmanager: {url: 'http://127.0.0.1:1', every: 100ms}}\n").await;
    let collector = bench.collector();
    collector.process.wait_for("the trouble", |line| {
        line.starts_with("kwhy: the silences cannot be read from http://127.0.0.1:1/api/v2/silences: ")
            .then_some(())
    });
    let body = serde_json::json!([crate::push(&[("alertname", "Sent")])]).to_string();
    assert_eq!(kwhy_tests::post(&collector.at("/api/v2/alerts"), &body).status, 200);
    let said = collector.process.terminate().stderr;
    assert_eq!(said.matches("the silences cannot be read").count(), 1, "{said}");
}
