//! What an object's own status says is the matter with it, in a few words, and whether that is ill.

use crate::{
    json::Json,
    object::{Object, items, text},
};

/// Whether the object's own status says that it does not do its work.
pub(crate) fn ill(object: &Object) -> bool {
    if object.deleted.is_some() {
        return false;
    }
    match object.key.kind.as_str() {
        "Pod" => match object.str("/status/phase") {
            "Succeeded" => false,
            "Failed" => true,
            _ => object.at("/metadata/deletionTimestamp").is_none() && object.condition("Ready") != "True",
        },
        "Node" => matches!(object.condition("Ready"), "False" | "Unknown"),
        "Deployment" => wanted(object) > object.int("/status/availableReplicas"),
        "ReplicaSet" | "StatefulSet" => wanted(object) > object.int("/status/readyReplicas"),
        "DaemonSet" => object.int("/status/desiredNumberScheduled") > object.int("/status/numberAvailable"),
        "Job" => object.condition("Failed") == "True",
        "PersistentVolumeClaim" => matches!(object.str("/status/phase"), "Pending" | "Lost"),
        "APIService" => object.condition("Available") == "False",
        _ => false,
    }
}

/// Replicas wanted; Kubernetes takes an absent number as one.
fn wanted(object: &Object) -> i64 {
    object.at("/spec/replicas").and_then(Json::as_i64).unwrap_or(1)
}

/// The state in a few words: `not ready, restarted 7 times`; empty where there is nothing to say.
pub(crate) fn note(object: &Object) -> String {
    if object.deleted.is_some() {
        return "deleted".to_owned();
    }
    match object.key.kind.as_str() {
        "Pod" => pod(object),
        "Node" => match object.condition("Ready") {
            "True" if object.at("/spec/unschedulable") == Some(&Json::Bool(true)) => {
                "ready, cordoned".to_owned()
            }
            "True" => "ready".to_owned(),
            "" => String::new(),
            _ => "not ready".to_owned(),
        },
        "Deployment" => of(object.int("/status/availableReplicas"), wanted(object), "available"),
        "ReplicaSet" | "StatefulSet" => of(object.int("/status/readyReplicas"), wanted(object), "ready"),
        "DaemonSet" => of(
            object.int("/status/numberAvailable"),
            object.int("/status/desiredNumberScheduled"),
            "available",
        ),
        "PersistentVolumeClaim" | "PersistentVolume" => object.str("/status/phase").to_lowercase(),
        "APIService" if object.condition("Available") == "False" => "not available".to_owned(),
        _ => String::new(),
    }
}

fn of(have: i64, want: i64, word: &str) -> String {
    format!("{have} of {want} {word}")
}

fn pod(object: &Object) -> String {
    let statuses = || {
        ["containerStatuses", "initContainerStatuses"]
            .into_iter()
            .flat_map(|list| items(object.at("/status").and_then(|s| s.get(list))))
    };
    let phase = object.str("/status/phase");
    let mut words = match phase {
        "Succeeded" => "completed".to_owned(),
        "Failed" => "failed".to_owned(),
        "Pending" if object.str("/spec/nodeName").is_empty() => "not scheduled".to_owned(),
        _ if object.condition("Ready") == "True" => "ready".to_owned(),
        _ => "not ready".to_owned(),
    };
    let waiting = statuses().map(|c| text(c.pointer("/state/waiting/reason"))).find(|r| !r.is_empty());
    if let Some(reason) = waiting {
        words.push_str(", ");
        words.push_str(reason);
    }
    let restarts: i64 = statuses().filter_map(|c| c.get("restartCount").and_then(Json::as_i64)).sum();
    if restarts > 0 {
        words.push_str(&format!(", restarted {restarts} time{}", if restarts == 1 { "" } else { "s" }));
    }
    words
}
