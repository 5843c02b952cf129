//! The configurations that docs/alerts.md shows work as they are written there.

use kwhy_tests::{Alertmanager, Metrics, Notify, Prometheus, eventually, here};

use crate::{BROKEN, Bench};

/// The example under a heading.
fn example(heading: &str) -> String {
    let page = std::fs::read_to_string(here("../docs/alerts.md")).expect("the page");
    let (_, section) = page.split_once(&format!("## {heading}\n")).expect("the heading");
    let (_, rest) = section.split_once("```yaml\n").expect("an example");
    rest.split_once("```").expect("its end").0.to_owned()
}

/// Puts in what is there in place of what the page assumes.
fn filled(mut text: String, places: &[(&str, &str)]) -> String {
    for (from, to) in places {
        assert!(text.contains(from), "`{from}` is in\n{text}");
        text = text.replace(from, to);
    }
    text
}

async fn guarded() -> (Bench, kwhy_tests::Collector, String) {
    let bench = Bench::new("alerts: {auth: {bearer_file: kwhy.token}}\n").await;
    let token = bench.kwhy.write("kwhy.token", "s3cret\n").display().to_string();
    let collector = bench.collector();
    (bench, collector, token)
}

#[tokio::test]
async fn the_example_for_prometheus_sends_to_alertmanager_and_kwhy() {
    let (bench, collector, token) = guarded().await;
    let manager = Alertmanager::start(Notify::Nobody, None);
    let address = |url: &str| url.trim_start_matches("http://").to_owned();
    let alerting = filled(
        example("Prometheus"),
        &[
            ("alertmanager.monitoring.svc:9093", &address(&manager.url)),
            ("kwhy.kwhy.svc:9096", &address(&collector.url)),
            ("/etc/prometheus/kwhy.token", &token),
        ],
    );
    let metrics = Metrics::serve("broken 1\n");
    let config = format!(
        "global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}}\nrule_files: [rules.yml]\n\
         scrape_configs: [{{job_name: tests, static_configs: [{{targets: ['{}']}}]}}]\n{alerting}",
        metrics.address
    );
    let _prometheus = Prometheus::with(&config, &[BROKEN]);
    let stored = eventually("the alert", async || bench.stored("Broken").await.into_iter().next()).await;
    assert!(crate::alert(&stored).ends_at.is_some(), "Prometheus sent it itself");
    let listed = kwhy_tests::get(&format!("{}/api/v2/alerts", manager.url)).body;
    eventually("the alert in Alertmanager", async || {
        kwhy_tests::get(&format!("{}/api/v2/alerts", manager.url)).body.contains("Broken").then_some(())
    })
    .await;
    drop(listed);
}

#[tokio::test]
async fn the_example_for_alertmanager_notifies_kwhy_and_the_team() {
    let (bench, collector, token) = guarded().await;
    let config = filled(
        example("Alertmanager"),
        &[
            ("http://kwhy.kwhy.svc:9096", &collector.url),
            ("/etc/alertmanager/kwhy.token", &token),
            ("group_wait: 10s", "group_wait: 500ms"),
        ],
    );
    let manager = Alertmanager::start(Notify::Config(&config), None);
    let metrics = Metrics::serve("broken 1\n");
    let target = kwhy_tests::as_alertmanager(&manager.url);
    let _prometheus = Prometheus::start(&metrics.address, &[BROKEN], &target, None);
    let stored = eventually("the alert", async || bench.stored("Broken").await.into_iter().next()).await;
    assert_eq!(crate::alert(&stored).ends_at, None, "Alertmanager notified of it");
}

#[test]
fn the_example_for_kwhy_is_read() {
    let kwhy = kwhy_tests::Kwhy::new();
    let file = kwhy.write("secret", "s3cret\n").display().to_string();
    let text = example("kwhy.yaml");
    let places: Vec<(&str, &str)> = ["/etc/kwhy/alerts.token", "/etc/kwhy/alerts.password"]
        .iter()
        .map(|from| (*from, file.as_str()))
        .collect();
    let text = filled(text, &places);
    // Certificates are none of this test; that their keys are read shows in what is said of the first.
    kwhy.write("kwhy.yaml", text);
    let ended = kwhy.run(&[&"collect", &"alerts"]);
    assert_eq!(
        ended.errors(),
        [
            "kwhy: alerts.tls.certificate: cannot read /etc/kwhy/alerts.crt: No such file or directory (os error 2)"
        ]
    );
}
