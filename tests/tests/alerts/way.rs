//! The way of an alert while all is well.

use kwhy_tests::{
    Alertmanager, Collector, Metrics, Notify, Prometheus, amtool, as_alertmanager, eventually, get, post,
};
use serde_json::{Value, json};

use crate::{BROKEN, Bench, LAB, alert, identities, push, states};

#[tokio::test]
async fn an_alert_of_a_real_prometheus_fires_and_is_resolved_in_nats() {
    let bench = Bench::new("").await;
    let collector = bench.collector();
    let metrics = Metrics::serve("broken{pod=\"web-0\",namespace=\"shop\"} 1\n");
    let _prometheus = Prometheus::start(&metrics.address, &[BROKEN], &collector.as_alertmanager(), None);
    let firing =
        eventually("the alert in NATS", async || bench.stored("Broken").await.into_iter().next()).await;
    assert_eq!((firing.state.as_str(), firing.cluster.as_str()), ("firing", LAB));
    let ends = alert(&firing).ends_at.expect("Prometheus tells when it runs out");
    assert!(alert(&firing).labels["pod"] == "web-0" && ends.seconds > 0, "{firing:?}");
    metrics.set("broken{pod=\"web-0\",namespace=\"shop\"} 0\n");
    let stored = eventually("the end in NATS", async || {
        let stored = bench.stored("Broken").await;
        stored.iter().any(|signal| signal.state == "resolved").then_some(stored)
    })
    .await;
    assert_eq!(identities(&stored).len(), 1);
    // It is sent again for a quarter of an hour, and always the same.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(states(&bench.stored("Broken").await)["resolved"], 1);
    let subjects = bench.client.stored("KWHY_IN").await;
    assert!(subjects.iter().any(|it| it.subject == format!("kwhy.in.{LAB}.alert._")), "{subjects:?}");
    assert_eq!(collector.process.terminate().code, Some(0));
}

#[tokio::test]
async fn an_alert_goes_through_a_real_alertmanager_to_the_webhook() {
    let bench = Bench::new("").await;
    let collector = bench.collector();
    let manager = Alertmanager::start(Notify::Webhook(&collector.at("/webhook")), None);
    let metrics = Metrics::serve("broken 1\n");
    let _prometheus = Prometheus::start(&metrics.address, &[BROKEN], &as_alertmanager(&manager.url), None);
    let firing =
        eventually("the alert in NATS", async || bench.stored("Broken").await.into_iter().next()).await;
    assert_eq!((firing.state.as_str(), alert(&firing).ends_at), ("firing", None));
    metrics.set("broken 0\n");
    eventually("the end in NATS", async || {
        bench.stored("Broken").await.iter().any(|signal| signal.state == "resolved").then_some(())
    })
    .await;
}

#[tokio::test]
async fn kwhy_run_takes_alerts_itself_and_lists_what_nothing_explains() {
    let bench = Bench::new("alerts: {listen: '127.0.0.1:0'}\ntimes: {grace: 1s}\n").await;
    let mut command = bench.kwhy.command(&[&"run", &"--nats", &bench.nats.url, &"--cluster", &LAB]);
    command.env("RUST_LOG", "warn");
    let engine = kwhy_tests::Background::start(command);
    let url = engine.wait_for("its address", |line| line.strip_prefix("alerts: ").map(str::to_owned));
    engine.wait_for("line `ready`", |line| (line == "ready").then_some(()));
    let metrics = Metrics::serve("broken 1\n");
    let _prometheus = Prometheus::start(&metrics.address, &[BROKEN], &as_alertmanager(&url), None);
    let finding = eventually("a finding", async || bench.client.findings().await.into_iter().next()).await;
    assert_eq!(finding.code, "unexplained.alerts");
    assert_eq!(finding.symptoms.iter().map(|symptom| symptom.name.as_str()).collect::<Vec<_>>(), ["Broken"]);
    assert_eq!(engine.terminate().code, Some(0));
}

#[tokio::test]
async fn amtool_and_probes_get_the_answers_that_they_know() {
    let mut bench = Bench::new("").await;
    let collector = bench.collector();
    let shown = amtool(&collector.url, &["cluster", "show"]);
    assert!(shown.contains("disabled"), "{shown}");
    let status: Value = serde_json::from_str(&get(&collector.at("/api/v2/status")).body).expect("JSON");
    assert_eq!(status["versionInfo"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(get(&collector.at("/-/healthy")).status, 200);
    assert_eq!(get(&collector.at("/-/ready")).status, 200);
    bench.nats.kill();
    eventually("not ready", async || (get(&collector.at("/-/ready")).status == 503).then_some(())).await;
    assert_eq!(get(&collector.at("/-/healthy")).status, 200);
    bench.nats.restart();
    eventually("ready", async || (get(&collector.at("/-/ready")).status == 200).then_some(())).await;
}

#[tokio::test]
async fn of_a_partly_bad_body_the_good_alerts_are_stored_and_one_line_says_what_is_bad() {
    let bench = Bench::new("").await;
    let collector: Collector = bench.collector();
    let body = json!([push(&[("alertname", "Good")]), {"labels": {}}]).to_string();
    let answer = post(&collector.at("/api/v2/alerts"), &body);
    let line = "1 of 2 alerts are not taken, the others are; alert 2: an alert without labels\n";
    assert_eq!((answer.status, answer.body.as_str()), (400, line));
    assert_eq!(bench.stored("Good").await.len(), 1);
    let told = collector.process.terminate();
    assert!(
        told.stderr.contains("alert 2: an alert without labels"),
        "Prometheus keeps it to itself: {}",
        told.stderr
    );
}

#[test]
fn a_bad_configuration_is_told_in_one_line_with_its_place_and_what_to_do() {
    let kwhy = kwhy_tests::Kwhy::new();
    let garbage = kwhy.write("garbage.pem", "no PEM");
    let garbage = garbage.display();
    for (config, place, mend) in [
        ("alerts: {listen: 9096}", "kwhy.yaml:1:18: alerts.listen: ", "`127.0.0.1:9096`"),
        ("alerts: {auth: {bearer_file: /nowhere}}", "alerts.auth.bearer_file: ", "cannot read /nowhere"),
        ("alerts: {auth: {token: x}}", "kwhy.yaml:1:17: alerts.auth: ", "`bearer_file`"),
        (
            &format!("alerts: {{tls: {{certificate: {garbage}, key: {garbage}}}}}"),
            "alerts.tls.certificate: ",
            "holds no certificate in PEM form",
        ),
        ("alerts: {alertmanager: {url: am}}", "alerts.alertmanager.url: ", "write it as http://"),
        (
            "alerts: {listen: '192.0.2.1:9096'}",
            "alerts.listen: cannot listen on 192.0.2.1:9096",
            "this machine",
        ),
        ("{}", "no address to listen on", "set alerts.listen"),
    ] {
        kwhy.write("kwhy.yaml", config);
        let mut args: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"collect", &"alerts"];
        if !config.contains("listen") && config != "{}" {
            args.extend([&"--listen" as &dyn AsRef<std::ffi::OsStr>, &"127.0.0.1:0"]);
        }
        let ended = kwhy.run(&args);
        let said = &ended.stderr;
        assert_eq!((ended.code, ended.errors().len()), (Some(2), 1), "{config}: {said}");
        assert!(said.starts_with(&format!("kwhy: {place}")) && said.contains(mend), "{config}: {said}");
    }
}
