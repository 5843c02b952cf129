//! Images that do not come.

use kwhy_sdk::testkit::Input;
use serde_json::json;

use crate::{says, small::*};

#[test]
fn a_refused_pull_asks_for_credentials_and_names_the_registry() {
    let text = r#"failed to pull and unpack image "ghcr.io/acme/web:v1": failed to resolve reference "ghcr.io/acme/web:v1": failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://ghcr.io/token: 401 Unauthorized"#;
    let found = only(
        &run(
            &one(waiting(
                "ImagePullBackOff",
                &format!("Back-off pulling image \"ghcr.io/acme/web:v1\": ErrImagePull: {text}"),
            )),
            "09:40:00",
        ),
        "workload.image-auth",
        "Deployment",
        "web",
    );
    says(&found, &["ghcr.io refuses", "create secret docker-registry", "patch serviceaccount default"]);
}

#[test]
fn a_registry_that_is_away_for_a_moment_is_no_finding_and_one_that_stays_away_is() {
    let text = r#"Failed to pull image "ghcr.io/acme/web:v1": failed to do request: Head "https://ghcr.io/v2/acme/web/manifests/v1": dial tcp 140.82.1.1:443: i/o timeout"#;
    let fresh = |made| {
        pod(
            "web-1-a",
            "web-1",
            made,
            &container(&json!({})),
            waiting("ImagePullBackOff", "Back-off pulling image \"ghcr.io/acme/web:v1\""),
            &json!({"status": {"phase": "Pending"}}),
        )
    };
    let mut all = cluster();
    all.push(Input::changed(at("09:31:00"), fresh("09:30:00")));
    all.push(warn("09:31:01", "Pod", "web-1-a", "Failed", text, 2));
    silent(&run(&all, "09:32:00"));
    let found = only(&run(&all, "09:34:00"), "workload.image-registry-unreachable", "Deployment", "web");
    says(&found, &["ghcr.io cannot be reached", "i/o timeout"]);
}

#[test]
fn an_image_for_another_processor_is_told_by_the_manifest_and_by_the_kernel() {
    let text = "Back-off pulling image \"ghcr.io/acme/web:v1\": ErrImagePull: no match for platform in manifest: not found";
    let found = only(
        &run(&one(waiting("ImagePullBackOff", text)), "09:40:00"),
        "workload.image-architecture",
        "Deployment",
        "web",
    );
    says(&found, &["arm64"]);
    let mut all = one(crashing(3, json!({})));
    all.insert(
        3,
        Input::line(
            at("09:30:01"),
            &id("Pod", "web-1-a"),
            "web",
            "exec /usr/local/bin/web: exec format error",
        ),
    );
    only(&run(&all, "09:40:00"), "workload.image-architecture", "Deployment", "web");
}

#[test]
fn of_a_paused_deployment_the_way_back_begins_with_its_resumption() {
    let text =
        r#"Back-off pulling image "ghcr.io/acme/web:v1": ErrImagePull: ghcr.io/acme/web:v1: not found"#;
    let with_paused = |paused: bool| {
        let mut all = one(waiting("ImagePullBackOff", text));
        all.insert(
            3,
            Input::changed(
                at("09:25:00"),
                deployment(&container(&json!({})), &json!({"spec": {"paused": paused}})),
            ),
        );
        only(&run(&all, "09:40:00"), "workload.image-not-found", "Deployment", "web")
    };
    let found = with_paused(true);
    says(&found, &["is paused (spec.paused)"]);
    assert!(found.remedies[0].command.ends_with("rollout resume deployment/web"), "{found:#?}");
    assert!(!crate::words(&with_paused(false)).contains("paused"));
}
