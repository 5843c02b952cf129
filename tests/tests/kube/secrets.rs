//! Secrets that stand in objects where they should not: in the environment and the arguments of containers, in
//! annotations, ConfigMaps and last words. None is in NATS, in a capture, in a finding or in Slack.

use std::fs;

use kwhy_proto::v1::Signal;
use kwhy_tests::{
    Background, Kwhy, Metrics, Slack,
    apiserver::{ApiServer, just_now},
    finish,
};
use serde_json::{Value, json};

use crate::collector::{CLUSTER, Collector};

/// What must not be found anywhere, each at one place of [`objects`].
const CANARIES: [&str; 16] = [
    "c4n4ry01", "c4n4ry02", "c4n4ry03", "c4n4ry04", "c4n4ry05", "c4n4ry06", "c4n4ry07", "c4n4ry08",
    "c4n4ry09", "c4n4ry10", "c4n4ry11", "c4n4ry12", "c4n4ry13", "c4n4ry14", "c4n4ry15", "c4n4ry16",
];

/// A workload that ends at its start, with its pod, its configuration and its events.
fn objects() -> Vec<Value> {
    let now = just_now().to_string();
    let spec = json!({"restartPolicy": "Always", "nodeName": "n1", "initContainers": [{"name": "migrate", "image": "m:1",
        "command": ["sh", "-c", "psql postgres://app:c4n4ry01@db/shop"]}], "containers": [{
        "name": "web", "image": "registry.example/web:1", "envFrom": [{"configMapRef": {"name": "web"}}],
        "env": [{"name": "DB_PASSWORD", "value": "c4n4ry02"}, {"name": "QUEUE", "value": "amqp://u:c4n4ry03@mq:5672"}],
        "args": ["--token", "abcdef.c4n4ry0400000000", "--api-key=c4n4ry05"],
        "livenessProbe": {"httpGet": {"port": 80, "httpHeaders": [{"name": "Authorization", "value": "c4n4ry06"}]}}}]});
    let metadata = |kind: &str, name: &str, owner: Option<(&str, &str)>| {
        let owners: Vec<Value> = owner
            .iter()
            .map(|(kind, name)| json!({"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": format!("{kind}-1"), "controller": true}))
            .collect();
        json!({"name": name, "namespace": "shop", "uid": format!("{kind}-1"), "creationTimestamp": now, "ownerReferences": owners,
            "labels": {"app": "web"}, "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": "{\"env\":[{\"name\":\"DB_PASSWORD\",\"value\":\"c4n4ry07\"}]}",
                "tool/copy": "{\"apiVersion\":\"v1\",\"env\":[{\"name\":\"P\",\"value\":\"c4n4ry08\"}]}",
                "tool/db-password": "c4n4ry09", "note": "deployed with token=c4n4ry10"}})
    };
    let template = json!({"metadata": {"labels": {"app": "web"}, "annotations": {"vault/token": "hvs.c4n4ry11c4n4ry11c4n4ry11"}}, "spec": spec});
    let selector = json!({"matchLabels": {"app": "web"}});
    vec![
        json!({"kind": "Node", "metadata": {"name": "n1", "uid": "Node-1", "creationTimestamp": now}}),
        json!({"kind": "ConfigMap", "metadata": metadata("ConfigMap", "web", None),
            "data": {"app.ini": "host=db\npassword=c4n4ry12\n", "client_secret": "c4n4ry13"}}),
        json!({"kind": "Deployment", "metadata": metadata("Deployment", "web", None),
            "spec": {"replicas": 1, "selector": selector, "template": template},
            "status": {"replicas": 1, "unavailableReplicas": 1}}),
        json!({"kind": "ReplicaSet", "metadata": metadata("ReplicaSet", "web-1", Some(("Deployment", "web"))),
            "spec": {"replicas": 1, "selector": selector, "template": template}, "status": {"replicas": 1}}),
        json!({"kind": "Pod", "metadata": metadata("Pod", "web-1-x", Some(("ReplicaSet", "web-1"))), "spec": spec,
            "status": {"phase": "Running", "startTime": now, "message": "Authorization: Bearer c4n4ry14c4n4ry14",
                "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": now}],
                "containerStatuses": [{"name": "web", "ready": false, "restartCount": 7, "image": "registry.example/web:1",
                    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off: login --password c4n4ry15"}},
                    "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "startedAt": now, "finishedAt": now,
                        "message": "FATAL: dial redis://:c4n4ry16@cache:6379: connection refused"}}}]}}),
        json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "reason": "BackOff", "type": "Warning",
            "note": "Back-off restarting failed container", "deprecatedLastTimestamp": now, "deprecatedFirstTimestamp": now,
            "deprecatedCount": 7, "metadata": {"name": "web.1", "namespace": "shop", "uid": "Event-1", "creationTimestamp": now},
            "regarding": {"kind": "Pod", "namespace": "shop", "name": "web-1-x", "uid": "Pod-1"}}),
    ]
}

/// What an Alertmanager holds.
fn alerts() -> Value {
    let now = just_now().to_string();
    json!([{"labels": {"alertname": "WebDown", "namespace": "shop"}, "startsAt": now, "updatedAt": now,
        "endsAt": "2199-01-01T00:00:00Z", "status": {"state": "active", "silencedBy": [], "inhibitedBy": []},
        "annotations": {"summary": "cannot dial amqp://u:c4n4ry03@mq", "password": "c4n4ry02"},
        "fingerprint": "1", "receivers": [{"name": "team"}], "generatorURL": "http://u:c4n4ry05@prometheus/graph"}])
}

fn seen(text: &str) -> Vec<&'static str> {
    CANARIES.into_iter().filter(|canary| text.contains(canary)).collect()
}

fn server() -> ApiServer {
    let server = ApiServer::start();
    objects().into_iter().for_each(|object| server.put(object));
    server
}

#[tokio::test]
async fn no_secret_of_an_object_is_in_nats_in_a_finding_or_in_slack() {
    let slack = Slack::listen();
    let server = server();
    let collector = Collector::start(&server).await;
    let sources =
        |told: &[Signal], wanted: &str| told.iter().filter(|signal| signal.source == wanted).count();
    let all = |told: &[Signal]| sources(told, "event") == 1 && sources(told, "object") == objects().len() - 1;
    collector.until("all objects", all).await;
    collector.kwhy.write("kwhy.yaml", format!("slack: {{webhook_url: '{}'}}\n", slack.url));
    let engine = collector.kwhy.engine(&[&"--nats", &collector.nats.url, &"--cluster", &CLUSTER]);
    let first = slack.next();
    let engine = finish(engine, &collector.client, CLUSTER).await;
    let mut all = engine.stderr + &first;
    for stream in ["KWHY_IN", "KWHY_OUT"] {
        for message in collector.client.stored(stream).await {
            all.push_str(&String::from_utf8_lossy(&message.body));
        }
    }
    all.push_str(&slack.rest().concat());
    all.push_str(&collector.terminate().stderr);
    assert_eq!(seen(&all), [""; 0]);
    assert!(all.contains("dial redis://:[redacted]@cache:6379"), "what stands around a secret is kept");
}

#[test]
fn no_secret_of_an_object_is_in_a_capture_or_in_what_is_said_of_it() {
    let kwhy = Kwhy::new();
    let server = server();
    let dir = kwhy.home("incident");
    let alertmanager = Metrics::serve(&alerts().to_string());
    let url = format!("http://{}", alertmanager.address);
    let mut command = kwhy.command(&[&"capture", &dir, &"--cluster", &CLUSTER, &"--alertmanager", &url]);
    command.env("KUBECONFIG", server.kubeconfig(&kwhy.home("")));
    let ended = Background::start(command).wait();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let read = |name: &str| fs::read_to_string(dir.join(name)).expect("a file");
    let mut all = read("objects.json") + &read("alerts.json");
    assert_eq!(seen(&all), [""; 0]);
    assert!(all.contains("dial amqp://u:[redacted]@mq"), "what stands around a secret is kept");
    // As somebody else would have written it.
    fs::write(dir.join("objects.json"), json!({"kind": "List", "items": objects()}).to_string())
        .expect("a file");
    let said = kwhy.diagnose(&dir);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    let text = kwhy.run(&[&"diagnose", &dir]);
    let why = kwhy.run(&[&"explain", &"workload.exit-on-start", &"--capture", &dir]);
    all.extend([said, text, why].map(|ended| ended.stdout + &ended.stderr));
    assert_eq!(seen(&all), [""; 0]);
}

/// The twin of both: they are there to be seen.
#[test]
fn the_secrets_of_the_objects_are_there_to_be_seen() {
    assert_eq!(seen(&json!(objects()).to_string()), CANARIES);
}
