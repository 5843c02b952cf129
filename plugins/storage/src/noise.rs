//! `storage.volume-ownership-noise`: the kubelet warns of volume ownership again and again though nothing happens.
//!
//! Before kubernetes/kubernetes#92878 (fixed in 1.18.6 and 1.19) the kubelet printed the warning at each remount of the
//! ConfigMaps and Secrets of *running* pods, every minute or so. What tells it from churn stands in the line: the pod's
//! uid. The same uids again and again, and no pod made or ended: noise. New uids all the time: churn, which others tell.

use kwhy_sdk::{
    Diagnosis, Evidence, ObjectRef, Pattern, Rejection, Remedy, Signal, Step, Verdict, World, clock, hours,
    minutes, span,
};

pub(crate) const CODE: &str = "storage.volume-ownership-noise";
pub(crate) const LINE: &str = "storage-volume-ownership";

/// How long lines count.
const WINDOW: u64 = minutes(30);
/// Times that a pod's volume has to be named to be called a repetition.
const REPEATS: u64 = 3;
/// Pods followed on a node; more tell nothing new.
const MOST: usize = 64;

/// Uid, times, first, last.
type Seen = (String, u64, u64, u64);

pub(crate) fn pattern() -> Pattern {
    Pattern::new(
        LINE,
        "etting volume ownership for ",
        r"^Setting volume ownership for \S*/pods/(?P<uid>[0-9a-f-]{36})/volumes/(?P<plugin>[^/]+)/(?P<volume>\S+) and fsGroup set",
    )
}

/// Whether the volume is one that the kubelet fills itself from the API, with a handful of files.
pub(crate) fn small(line: &Signal) -> bool {
    let plugin = line.field("plugin");
    ["configmap", "secret", "projected", "downward-api"].iter().any(|p| plugin.ends_with(p))
}

/// Takes in one line of a node's kubelet.
pub(crate) fn told(world: &World<'_>, node: &ObjectRef, line: &Signal) -> Verdict {
    let key = format!("own/{}", node.name);
    let mut seen: Vec<Seen> = world.recall(&key).unwrap_or_default();
    seen.retain(|s| s.3 + WINDOW > line.at);
    let uid = line.field("uid");
    let room = seen.len() < MOST;
    match seen.iter_mut().find(|s| s.0 == uid) {
        // The volumes of one pod come together and count once.
        Some(s) if s.3 + 20_000 > line.at => s.3 = s.3.max(line.at),
        Some(s) => {
            s.1 += 1;
            s.3 = line.at;
        }
        None if room => seen.push((uid.to_owned(), 1, line.at, line.at)),
        None => {}
    }
    world.remember(&key, &seen, hours(1));
    let often = seen.iter().filter(|s| s.1 >= REPEATS).count();
    // Said once when it is known, and again at times, so that it stands as long as the lines go on.
    let turn = seen.iter().find(|s| s.0 == uid).is_some_and(|s| s.1 % REPEATS == 0 && s.3 == line.at);
    if often == 0 || !turn {
        return Verdict::default();
    }
    judge(world, node, line, &seen)
}

fn judge(world: &World<'_>, node: &ObjectRef, line: &Signal, seen: &[Seen]) -> Verdict {
    let pods = world.related(node, "pod");
    let running: Vec<&ObjectRef> =
        pods.iter().filter(|p| seen.iter().any(|s| s.1 >= REPEATS && s.0 == p.uid)).collect();
    let first = seen.iter().map(|s| s.2).min().unwrap_or(line.at);
    // Uids that came late, or whose pods are gone: something is made anew.
    let late = seen.iter().filter(|s| s.2 > first + minutes(5)).count();
    let ended: Vec<Signal> = ["Killing", "SuccessfulDelete", "Evicted"]
        .iter()
        .flat_map(|reason| world.about(node, "on-node", "event", reason, first, 5))
        .collect();
    let mut verdict = Verdict::default();
    if running.is_empty() || late > 0 || !ended.is_empty() {
        let because = format!("{late} of {} pod uids are new, {} pods were ended", seen.len(), ended.len());
        verdict.rejections.push(Rejection::new(CODE, node, because));
        return verdict;
    }
    let version = world.read(node, "/status/nodeInfo/kubeletVersion").unwrap_or_default();
    let often: Vec<&Seen> = seen.iter().filter(|s| s.1 >= REPEATS).collect();
    let period = often.iter().map(|s| (s.3 - s.2) / (s.1 - 1).max(1)).min().unwrap_or(0);
    let mut d = Diagnosis::new(CODE, node.clone());
    d.severity = "info".into();
    d.confidence = 90;
    d.title = format!(
        "Not churn: kubelet {} on {} repeats its warning about volume ownership",
        version.text(""),
        node.name
    );
    let old = ["v1.16.", "v1.17.", "v1.18."].iter().any(|v| version.text("").starts_with(v));
    d.explanation = format!(
        "The kubelet warns about every {} that it sets the ownership of volumes, always for the same {} pod uids; all of \
         them still run and no pod was made or ended since {}.{} It harms nothing and has no link to other findings.",
        span(period),
        often.len(),
        clock(first),
        if old {
            " Kubelets before 1.18.6 print this at each remount of ConfigMaps and Secrets of running pods \
             (kubernetes/kubernetes#90293)."
        } else {
            ""
        }
    );
    d.evidence.push(Evidence::signal(line, 50, "the line that repeats"));
    for pod in running.iter().take(3) {
        let text = format!("uid {} runs since before the first line", pod.uid);
        d.evidence.push(Evidence::object(pod, text, -60, "speaks against churn: the same pod as before"));
    }
    d.path = vec![Step::new(node, "", "repeats a harmless warning")];
    d.remedies = vec![Remedy::new(
        "nothing has to be done; kubelets from 1.18.6 and 1.19 on do not print it for running pods",
    )];
    verdict.diagnoses.push(d);
    verdict
}
