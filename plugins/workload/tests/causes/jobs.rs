//! Jobs, autoscalers and budgets.

use kwhy_sdk::{ObjectRef, testkit::Input};
use serde_json::{Value, json};

use crate::{says, small::*};

fn job(name: &str, status: Value) -> Value {
    json!({"kind": "Job", "metadata": {"namespace": "shop", "name": name, "ownerReferences": owner("CronJob", "nightly")}, "spec": {"activeDeadlineSeconds": 600}, "status": status})
}

fn failed(reason: &str, clock: &str) -> Value {
    json!({"failed": 1, "conditions": [{"type": "Failed", "status": "True", "reason": reason, "message": "Job has failed", "lastTransitionTime": stamp(clock)}]})
}

#[test]
fn a_job_that_failed_is_a_finding_until_a_later_one_succeeds() {
    let cron = json!({"kind": "CronJob", "metadata": {"namespace": "shop", "name": "nightly"}});
    let mut all = vec![
        listed(cron),
        Input::changed(at("09:30:00"), job("nightly-1", failed("BackoffLimitExceeded", "09:30:00"))),
    ];
    only(&run(&all, "09:40:00"), "workload.job-backoff", "CronJob", "nightly");
    all.push(Input::changed(at("09:45:00"), job("nightly-2", json!({"succeeded": 1, "completionTime": stamp("09:45:00"), "conditions": [{"type": "Complete", "status": "True"}]}))));
    silent(&run(&all, "09:50:00"));
    let late = [
        all[0].clone(),
        Input::changed(at("09:30:00"), job("nightly-1", failed("DeadlineExceeded", "09:30:00"))),
    ];
    let found = only(&run(&late, "09:40:00"), "workload.deadline-exceeded", "CronJob", "nightly");
    says(&found, &["deadline of 10 min"]);
}

#[test]
fn a_job_with_one_retry_that_succeeds_is_nothing() {
    let all = [
        Input::changed(at("09:30:00"), job("nightly-1", json!({"active": 1, "failed": 1}))),
        Input::changed(
            at("09:32:00"),
            job(
                "nightly-1",
                json!({"succeeded": 1, "failed": 1, "completionTime": stamp("09:32:00"), "conditions": [{"type": "Complete", "status": "True"}]}),
            ),
        ),
    ];
    silent(&run(&all, "09:40:00"));
}

#[test]
fn a_cron_job_that_has_given_up_counting() {
    let mut all =
        vec![listed(json!({"kind": "CronJob", "metadata": {"namespace": "shop", "name": "nightly"}}))];
    all.push(warn(
        "09:30:00",
        "CronJob",
        "nightly",
        "MissSchedule",
        "Missed scheduled time to start a job",
        1,
    ));
    silent(&run(&all, "09:40:00"));
    all.push(warn(
        "09:30:00",
        "CronJob",
        "nightly",
        "TooManyMissedTimes",
        "too many missed start times: 101. Set or decrease .spec.startingDeadlineSeconds or check clock skew",
        1,
    ));
    only(&run(&all, "09:40:00"), "workload.cronjob-missed", "CronJob", "nightly");
}

#[test]
fn an_autoscaler_without_requests_is_ours_and_one_without_metrics_is_not() {
    let mut all = cluster();
    all.push(listed(json!({"kind": "HorizontalPodAutoscaler", "metadata": {"namespace": "shop", "name": "web"}, "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}}})));
    all.push(warn("09:30:00", "HorizontalPodAutoscaler", "web", "FailedGetResourceMetric", "failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: the server is currently unable to handle the request (get pods.metrics.k8s.io)", 30));
    silent(&run(&all, "09:40:00"));
    all.push(warn(
        "09:30:10",
        "HorizontalPodAutoscaler",
        "web",
        "FailedGetResourceMetric",
        "failed to get cpu utilization: missing request for cpu in container web of Pod web-1-a",
        30,
    ));
    let found = only(&run(&all, "09:40:00"), "workload.hpa-no-metrics", "Deployment", "web");
    says(&found, &["-c web --requests=cpu=100m"]);
}

#[test]
fn a_budget_without_room_matters_only_where_somebody_drains() {
    let budget = json!({
        "kind": "PodDisruptionBudget", "metadata": {"namespace": "shop", "name": "web"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
        "status": {"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1},
    });
    let mut all = cluster();
    all.push(listed(pod(
        "web-1-a",
        "web-1",
        "06:00:00",
        &container(&json!({})),
        running("06:00:00", 0, true),
        &json!({}),
    )));
    all.push(listed(budget));
    silent(&run(&all, "09:30:00"));
    all.push(Input::line(at("09:31:00"), &ObjectRef::new("Pod", "kube-system", "kured-x"), "kured", r#"error when evicting pods/"web-1-a" -n "shop" (will retry after 5s): Cannot evict pod as it would violate the pod's disruption budget."#));
    let found = only(&run(&all, "09:32:00"), "workload.pdb-blocks-drain", "PodDisruptionBudget", "web");
    says(&found, &["minAvailable 1", "--replicas=2"]);
}

#[test]
fn the_words_of_the_drainer_of_aks_name_each_budget_that_is_in_its_way() {
    let budget = |name: &str| {
        listed(json!({
            "kind": "PodDisruptionBudget", "metadata": {"namespace": "shop", "name": name},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": name}}},
            "status": {"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1},
        }))
    };
    let stands = |name: &str, app: &str| {
        let labels = json!({"metadata": {"labels": {"app": app}}});
        listed(pod(name, "web-1", "06:00:00", &container(&json!({})), running("06:00:00", 0, true), &labels))
    };
    let said = |clock: &str, text: &str| {
        Input::event(at(clock), &ObjectRef::new("Node", "", "n1"), "Drain", "Warning", text, 4)
    };
    let mut all = cluster();
    all.extend([budget("web"), budget("mq"), stands("web-1-a", "web"), stands("mq-0", "mq")]);
    all.push(said("09:30:00", "Draining node: n1"));
    silent(&run(&all, "09:32:00"));
    all.push(said("09:31:00", "Eviction blocked by Too Many Requests (usually a pdb): web-1-a"));
    only(&run(&all, "09:32:00"), "workload.pdb-blocks-drain", "PodDisruptionBudget", "web");
    all.push(said("09:31:10", "Eviction blocked by Too many Requests (usually a pdb): mq-0"));
    let bench = run(&all, "09:32:00");
    let found = bench.diagnoses();
    assert_eq!(found.len(), 2, "{found:#?}");
    says(found[0], &["In the way of the same drain: PodDisruptionBudget shop/web"]);
}
