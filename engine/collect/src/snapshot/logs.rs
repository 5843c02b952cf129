//! The logs of containers into `pods/NAMESPACE/POD/CONTAINER.log`.

use std::path::Path;

use futures::{StreamExt, stream};

use super::{
    SnapshotError,
    api::{Api, Failed},
    clean,
    containers::Log,
    write,
};
use crate::kube::container_log::ContainerLog;

/// Lines of one log, from its end.
const LINES: i64 = 2000;
/// Bytes of one log, from its end.
const BYTES: usize = 1 << 20;
/// Logs in all.
const LOGS: usize = 300;
/// Requests at a time.
const AT_ONCE: usize = 6;

/// Takes the logs; gives how many.
pub(super) async fn take(
    api: &Api,
    mut wanted: Vec<Log>,
    dir: &Path,
    left_out: &impl Fn(&str),
) -> Result<usize, SnapshotError> {
    wanted.sort();
    if let Some(more) = wanted.len().checked_sub(LOGS).filter(|more| *more > 0) {
        left_out(&format!("{more} logs: only {LOGS} are taken; name namespaces to take fewer pods"));
        wanted.truncate(LOGS);
    }
    let mut answers = stream::iter(wanted)
        .map(|log| async move {
            let Log { namespace, pod, container, previous, .. } = &log;
            let of = ContainerLog { namespace, pod, container, previous: *previous };
            let answer = api.log(of, LINES, BYTES).await;
            (log, answer)
        })
        .buffered(AT_ONCE);
    let (mut taken, mut told_forbidden) = (0, false);
    while let Some((log, answer)) = answers.next().await {
        let Log { namespace, pod, container, previous, .. } = &log;
        match answer {
            Ok(text) if text.is_empty() => {}
            Ok(text) => {
                let end = if *previous { ".previous.log" } else { ".log" };
                let path = dir.join("pods").join(namespace).join(pod).join(format!("{container}{end}"));
                write(path, clean(&String::from_utf8_lossy(&text)).as_bytes())?;
                taken += 1;
            }
            // Told once: who may not read one log may mostly read none.
            Err(Failed::Forbidden) => {
                if !std::mem::replace(&mut told_forbidden, true) {
                    left_out(&format!(
                        "logs of pods of {namespace}: not granted; it takes `get` on `pods/log` \
                         (`kubectl auth can-i get pods --subresource=log -n {namespace}`)"
                    ));
                }
            }
            Err(Failed::All(error)) => return Err(error.into()),
            // The pod went meanwhile.
            Err(Failed::Missing) => {}
            // The container never ran, or the kubelet has its log no more; common, and no fault of anybody's.
            Err(Failed::Other(reason)) => {
                tracing::debug!(namespace, pod, container, previous, reason, "No log.");
            }
        }
    }
    Ok(taken)
}
