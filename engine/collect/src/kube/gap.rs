//! The signal that says that changes may have been missed.

use kwhy_proto::{
    timestamp,
    v1::{Gap, Signal, signal::Body},
};

use super::Resource;

/// Changes of a kind between two times, in ms since the Unix epoch, may be missing. What is there was listed since, so
/// it is states in between and repeats of events that nobody has seen.
pub(crate) fn signal(cluster: &str, resource: &Resource, from: u64, to: u64, reason: &str) -> Signal {
    let group = if resource.group.is_empty() { "core" } else { &resource.group };
    let reason = format!("changes of {resource} may be missing: {reason}");
    Signal {
        id: format!("gap/{group}/{}/{from}-{to}", resource.plural),
        cluster: cluster.to_owned(),
        source: "gap".to_owned(),
        name: resource.kind.clone().into_owned(),
        at: Some(timestamp(to)),
        message: reason.clone(),
        origin: format!("watch of {resource}"),
        body: Some(Body::Gap(Gap { from: Some(timestamp(from)), to: Some(timestamp(to)), reason })),
        ..Signal::default()
    }
}
