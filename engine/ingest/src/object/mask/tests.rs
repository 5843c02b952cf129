use proptest::prelude::*;
use serde_json::json;

use super::*;

fn masked(mut object: Value) -> Value {
    secrets(object.as_object_mut().unwrap());
    object
}

/// A pod with a secret at each place where one is met.
fn leaky() -> Value {
    json!({
        "kind": "Pod",
        "metadata": {"name": "web", "annotations": {"tool/db-password": "c4n4ry-a", "note": "token=c4n4ry-b"}},
        "spec": {
            "initContainers": [{"name": "migrate", "command": ["sh", "-c", "psql postgres://app:c4n4ry-c@db/shop"]}],
            "containers": [{
                "name": "web",
                "image": "registry.example/web:1",
                "env": [
                    {"name": "DB_PASSWORD", "value": "c4n4ry-d"},
                    {"name": "URL", "value": "amqp://u:c4n4ry-e@mq:5672"},
                    {"name": "FROM", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
                ],
                "args": ["--listen=:80", "--token", "c4n4ry-f9", "--api-key=c4n4ry-g", "--verbose"],
                "livenessProbe": {"httpGet": {"httpHeaders": [
                    {"name": "Authorization", "value": "c4n4ry-h"},
                    {"name": "X-Api-Key", "value": "c4n4ry-i"},
                ]}},
            }],
        },
        "status": {
            "message": "login with password=c4n4ry-j failed",
            "conditions": [{"type": "Ready", "message": "Authorization: Bearer c4n4ry-k"}],
            "containerStatuses": [{
                "state": {"waiting": {"message": "password=c4n4ry-l"}},
                "lastState": {"terminated": {"message": "FATAL: dial redis://:c4n4ry-m@cache:6379"}},
            }],
        },
    })
}

#[test]
fn no_secret_of_a_pod_stays() {
    let text = masked(leaky()).to_string();
    assert!(!text.contains("c4n4ry"), "{text}");
}

/// The twin of the test above: they are there to be seen.
#[test]
fn the_secrets_of_the_pod_are_there_to_be_seen() {
    let text = leaky().to_string();
    assert!(('a'..='m').all(|at| text.contains(&format!("c4n4ry-{at}"))), "{text}");
}

#[test]
fn what_is_no_secret_stays_as_it_is() {
    let pod = json!({
        "kind": "Pod",
        "metadata": {"annotations": {"kubernetes.io/config.hash": "0a1b2c3d4e5f60718293a4b5c6d7e8f9", "checksum/secret": "none"}},
        "spec": {
            "serviceAccountName": "web",
            "containers": [{
                "env": [{"name": "TOKEN_FILE", "value": "/var/run/token"}, {"name": "MODE", "value": "fast"}],
                "args": ["--secret", "regcred", "--key", "/etc/tls.key", "--password", "--verbose"],
                "command": ["/coredns", "-conf", "/etc/coredns/Corefile"],
            }],
        },
        "status": {"containerStatuses": [{"state": {"waiting": {"message":
            "couldn't find key password in Secret shop/db"}}}]},
    });
    assert_eq!(masked(pod.clone()), pod);
}

#[test]
fn templates_and_copies_of_them_are_looked_through() {
    let spec = json!({"containers": [{"env": [{"name": "PGPASSWORD", "value": "c4n4ry"}]}]});
    let template = json!({"metadata": {"annotations": {"a": "pwd=c4n4ry"}}, "spec": spec});
    for object in [
        json!({"kind": "Deployment", "spec": {"template": template}}),
        json!({"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": template}}}}),
        json!({"kind": "PodTemplate", "template": template}),
        json!({"kind": "ControllerRevision", "data": {"spec": {"template": template}}}),
        json!({"kind": "Rollout", "apiVersion": "argoproj.io/v1alpha1", "spec": {"template": template}}),
    ] {
        let text = masked(object).to_string();
        assert!(!text.contains("c4n4ry") && text.contains(MASK), "{text}");
    }
}

#[test]
fn of_a_config_map_what_stands_around_a_secret_stays() {
    let map = json!({"kind": "ConfigMap", "data": {
        "Corefile": "forward . 1.1.1.1\n", "app.ini": "host=db\npassword=c4n4ry\nport=5432\n", "api-key": "c4n4ry"}});
    assert_eq!(
        masked(map)["data"],
        json!({"Corefile": "forward . 1.1.1.1\n", "app.ini": format!("host=db\npassword={MASK}\nport=5432\n"), "api-key": MASK})
    );
}

#[test]
fn a_certificate_is_no_secret_and_the_key_beside_it_is() {
    let certificate = "-----BEGIN CERTIFICATE-----\nMIIDBTCCAe2gAwIBAgIIcanary0123456789abcdefghijklmnopqrstuvwxyz\nAB==\n-----END CERTIFICATE-----\n";
    let key = "-----BEGIN RSA PRIVATE KEY-----\nMIIc4n4ry\n-----END RSA PRIVATE KEY-----\n";
    let map =
        |text: &str| masked(json!({"kind": "ConfigMap", "data": {"ca.crt": text}}))["data"]["ca.crt"].clone();
    let both = format!("{certificate}{certificate}");
    assert_eq!(map(&both), both);
    assert_eq!(
        map(&format!("{certificate}{key}{certificate}")),
        format!("{certificate}{MASK}\n{certificate}")
    );
    assert_eq!(map("-----BEGIN CERTIFICATE-----\npassword: c4n4ry, and half of a certificate"), MASK);
}

proptest! {
    #[test]
    fn no_shape_of_an_object_stops_it(kind in "(Pod|ConfigMap|Node|Thing)", part in "(spec|status|data|metadata)", shape in 0..4) {
        let part_of = match shape {
            0 => json!("text"),
            1 => json!(["--password", {"name": "x", "value": 7}, null]),
            2 => json!({"containers": {"env": "x"}, "annotations": ["x"], "template": [1]}),
            _ => json!({"containers": ["x", {"env": {"name": "DB_PASSWORD", "value": "c4n4ry"}}]}),
        };
        let object = masked(json!({"kind": kind, part: part_of}));
        prop_assert!(shape != 3 || kind != "Pod" || !object.to_string().contains("c4n4ry") || object.get("spec").is_none());
    }
}
