//! Kin by name and by hearsay: what owns a pod that nobody has shown, as where all that was collected is
//! `kubectl get events`.
//!
//! A controller makes names by a rule (`k8s.io/apiserver/pkg/storage/names`, pkg/controller/deployment, pkg/controller/
//! cronjob), and says in events what it has made. An object that the API server has shown speaks for itself, so none of
//! this is asked for it.

use kwhy_proto::v1::Signal;

use crate::key::Key;

/// The letters of suffixes that Kubernetes makes up (`k8s.io/apimachinery/pkg/util/rand`).
const SAFE: &str = "bcdfghjklmnpqrstvwxz2456789";

/// Kinds of which the owner is asked for.
pub(crate) fn owned(kind: &str) -> bool {
    matches!(kind, "Pod" | "ReplicaSet" | "Job")
}

/// The owner that a name tells; `stands` says whether an object is known to stand in the cluster.
pub(crate) fn owner(child: &Key, stands: impl Fn(&Key) -> bool) -> Option<Key> {
    let (stem, tail) = child.name.rsplit_once('-')?;
    let of = |kind: &str| Key::new(kind, &child.namespace, stem);
    let known = |kinds: &[&str]| kinds.iter().map(|kind| of(kind)).find(|key| stands(key));
    match child.kind.as_str() {
        "Pod" => known(&["ReplicaSet", "StatefulSet", "DaemonSet", "Job"])
            .or_else(|| (made_up(tail, 5..=5) && hash_of(stem).is_some()).then(|| of("ReplicaSet"))),
        "ReplicaSet" => known(&["Deployment"]).or_else(|| hash_of(&child.name).map(|_| of("Deployment"))),
        "Job" => {
            // Minutes since the epoch, of the first controller seconds.
            let time = matches!(tail.len(), 8 | 10) && tail.bytes().all(|b| b.is_ascii_digit());
            known(&["CronJob"]).or_else(|| time.then(|| of("CronJob")))
        }
        _ => None,
    }
}

/// The hash of a pod template at the end of a ReplicaSet's name.
fn hash_of(name: &str) -> Option<&str> {
    let (_, hash) = name.rsplit_once('-')?;
    let digits = hash.bytes().filter(u8::is_ascii_digit).count();
    (made_up(hash, 8..=10) || (made_up(hash, 6..=7) && digits > 1)).then_some(hash)
}

fn made_up(text: &str, lengths: std::ops::RangeInclusive<usize>) -> bool {
    lengths.contains(&text.len()) && text.chars().all(|c| SAFE.contains(c))
}

/// What a controller says that it has made: the object, which it owns.
pub(crate) fn made(event: &Signal) -> Option<Key> {
    let of = event.subject.as_ref()?;
    let word =
        |after: &str| event.message.split_once(after)?.1.split([' ', ',']).next().filter(|w| !w.is_empty());
    let (kind, name) = match (event.name.as_str(), of.kind.as_str()) {
        // `Created pod: web-5d-x`, of a StatefulSet `create Pod web-0 in StatefulSet web successful`.
        ("SuccessfulCreate", "CronJob") => ("Job", word("Created job ")?),
        ("SuccessfulCreate", _) => ("Pod", word("Created pod: ").or_else(|| word("create Pod "))?),
        // `Scaled up replica set web-5d to 1`.
        ("ScalingReplicaSet", "Deployment") => ("ReplicaSet", word(" replica set ")?),
        _ => return None,
    };
    Some(Key::new(kind, &of.namespace, name))
}

/// The node that an event tells of a pod: where it was put, or whose kubelet speaks.
pub(crate) fn node(event: &Signal, reporter: &str, instance: &str) -> Option<Key> {
    let name = match event.name.as_str() {
        "Scheduled" => event.message.rsplit(' ').next().unwrap_or(""),
        _ if reporter == "kubelet" => instance,
        _ => "",
    };
    (!name.is_empty()).then(|| Key::new("Node", "", name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kwhy_proto::v1::ObjectRef;

    fn of(kind: &str, name: &str, stands: &[&str]) -> Option<String> {
        let owner = owner(&Key::new(kind, "ns", name), |key| {
            stands.contains(&format!("{} {}", key.kind, key.name).as_str())
        })?;
        Some(format!("{} {}", owner.kind, owner.name))
    }

    #[test]
    fn names_that_controllers_make_up_tell_the_owner() {
        assert_eq!(of("Pod", "web-7f9dd8b6c4-x7gr9", &[]).as_deref(), Some("ReplicaSet web-7f9dd8b6c4"));
        assert_eq!(
            of("ReplicaSet", "no-image-deployment-849c4c4958", &[]).as_deref(),
            Some("Deployment no-image-deployment")
        );
        assert_eq!(of("Job", "backup-28401160", &[]).as_deref(), Some("CronJob backup"));
        assert_eq!(of("Pod", "fluentd-x7gr9", &["DaemonSet fluentd"]).as_deref(), Some("DaemonSet fluentd"));
        assert_eq!(of("Pod", "db-0", &["StatefulSet db"]).as_deref(), Some("StatefulSet db"));
    }

    #[test]
    fn a_name_that_anybody_may_have_given_tells_nothing() {
        for name in [
            "web",
            "web-1",
            "kube-apiserver-master-0",
            "etcd-ip-10-0-1-42",
            "my-database-mysql",
            "fluentd-x7gr9",
        ] {
            assert_eq!(of("Pod", name, &[]), None, "{name}");
        }
        assert_eq!(of("ReplicaSet", "web-frontend", &[]), None);
        assert_eq!(of("Job", "migrate-20240101x", &[]), None);
    }

    #[test]
    fn controllers_say_what_they_have_made() {
        let told = |kind: &str, reason: &str, message: &str| {
            let subject =
                ObjectRef { kind: kind.into(), namespace: "ns".into(), name: "x".into(), uid: String::new() };
            let event = Signal {
                name: reason.into(),
                message: message.into(),
                subject: Some(subject),
                ..Signal::default()
            };
            made(&event).map(|key| key.to_string())
        };
        assert_eq!(
            told("DaemonSet", "SuccessfulCreate", "Created pod: x-abc12").as_deref(),
            Some("Pod ns/x-abc12")
        );
        assert_eq!(
            told("StatefulSet", "SuccessfulCreate", "create Pod x-0 in StatefulSet x successful").as_deref(),
            Some("Pod ns/x-0")
        );
        assert_eq!(
            told("Deployment", "ScalingReplicaSet", "Scaled up replica set x-5d to 1").as_deref(),
            Some("ReplicaSet ns/x-5d")
        );
        assert_eq!(
            told("Deployment", "ScalingReplicaSet", "Scaled down replica set x-4c from 2 to 1").as_deref(),
            Some("ReplicaSet ns/x-4c")
        );
        assert_eq!(
            told("CronJob", "SuccessfulCreate", "Created job x-28401160").as_deref(),
            Some("Job ns/x-28401160")
        );
        assert_eq!(
            told("StatefulSet", "SuccessfulCreate", "create Claim data-x-0 Pod x-0 in StatefulSet x success"),
            None
        );
    }
}
