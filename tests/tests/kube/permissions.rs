//! What kwhy may not read it does without, and says so.

use kwhy_tests::apiserver::{ApiServer, Fault, On};
use serde_json::json;

use crate::collector::{Collector, PODS, of_kind, pod};

#[tokio::test]
async fn a_missing_permission_is_one_line_with_the_rule_and_is_used_once_it_is_given() {
    let server = ApiServer::start();
    server.put(pod("web-1"));
    server.put(json!({"kind": "Node", "metadata": {"name": "n1"}}));
    server.fail_always(PODS, On::List, Fault::Status(403));
    let collector = Collector::start(&server).await;
    collector.until("the node", |told| of_kind(told, "Node").len() == 1).await;
    collector.process.wait_for("the rule", |line| {
        (line
            == "kwhy: kwhy may not watch v1 Pod; add to its ClusterRole: - {apiGroups: [\"\"], resources: \
                [\"pods\"], verbs: [\"get\", \"list\", \"watch\"]}")
            .then_some(())
    });
    server.wait_for(PODS, On::List, 3);
    server.mend(PODS);
    collector.until("the pod", |told| of_kind(told, "Pod").len() == 1).await;
    let ended = collector.terminate();
    assert_eq!((ended.code, ended.stderr.matches("may not watch").count()), (Some(0), 1), "{}", ended.stderr);
}

#[tokio::test]
async fn no_value_of_a_secret_leaves_the_collector() {
    let server = ApiServer::start();
    server.put(json!({"kind": "Secret", "type": "Opaque", "data": {"password": "Y2FuYXJ5"},
        "metadata": {"name": "db", "namespace": "shop", "annotations": {"tool/applied": "canary"}}}));
    server.put(json!({"kind": "Secret", "type": "helm.sh/release.v1", "data": {"release": "Y2FuYXJ5"},
        "metadata": {"name": "sh.helm.release.v1.web.v1", "namespace": "shop"}}));
    let collector = Collector::start(&server).await;
    collector.until("the Secret", |told| of_kind(told, "Secret") == [("ADDED", "db")]).await;
    server.put(
        json!({"kind": "Secret", "type": "Opaque", "data": {"password": "Y2FuYXJ5Mg==", "user": "Y2FuYXJ5"},
        "metadata": {"name": "db", "namespace": "shop"}}),
    );
    collector.until("its change", |told| of_kind(told, "Secret").len() == 2).await;
    let stored = collector.client.stored("KWHY_IN").await;
    let bytes: Vec<u8> = stored.into_iter().flat_map(|message| message.body).collect();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("password"), "the names of the keys are kept");
    assert!(!text.contains("Y2FuYXJ5") && !text.contains("canary"));
    let ended = collector.terminate();
    assert!(!ended.stderr.contains("Y2FuYXJ5"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_custom_resource_that_owns_something_is_watched_by_its_metadata() {
    let server = ApiServer::start();
    let owner = json!([{"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "web", "uid": "r-1", "controller": true}]);
    server.put(json!({"kind": "Rollout", "metadata": {"name": "web", "namespace": "shop", "uid": "r-1"},
        "spec": {"secret": "canary"}}));
    server.put(json!({"kind": "ReplicaSet", "metadata": {"name": "web-1", "namespace": "shop", "ownerReferences": owner}}));
    let collector = Collector::start(&server).await;
    let told = collector.until("the Rollout", |told| of_kind(told, "Rollout") == [("ADDED", "web")]).await;
    assert!(!format!("{told:?}").contains("canary"), "its spec is not asked for");
    assert_eq!(collector.terminate().code, Some(0));
}
