//! `storage.resize-failed`: a claim was enlarged and its volume is not.
//!
//! Events are those of the expand controller (`pkg/controller/volume/expand`), of external-resizer (`pkg/controller`) and of
//! the kubelet, which speaks on the pod (`pkg/volume/util/operationexecutor`); the refusal is that of admission
//! (`plugin/pkg/admission/storage/persistentvolume/resize`).

use kwhy_sdk::{
    Diagnosis, Evidence, Explains, ObjectRef, Pattern, Remedy, Signal, Step, Verdict, Wake, World, clock,
    hours, minutes,
};

use crate::{
    LOOK,
    claim::{self, Claim, HEARD},
    memory::Held,
};

pub(crate) const CODE: &str = "storage.resize-failed";
/// The API server takes no larger claim, as the one who asked for it logs.
pub(crate) const REFUSED: &str = "storage-resize-refused";
/// On the claim, or by the kubelet on a pod that uses it.
pub(crate) const EVENTS: [&str; 6] =
    [FAILED[0], FAILED[1], WAITS, BEGUN, "VolumeResizeSuccessful", "FileSystemResizeSuccessful"];
const FAILED: [&str; 2] = ["VolumeResizeFailed", "FileSystemResizeFailed"];
/// The controller manager leaves it to somebody else, as it does with each volume of a CSI driver.
const WAITS: &str = "ExternalExpanding";
/// Somebody has taken it up.
const BEGUN: &str = "Resizing";

/// A driver that fails once tries again.
const PATIENCE: u64 = minutes(3);
/// How often it is looked at again while it holds.
const AGAIN: u64 = minutes(10);
/// How long it may take until somebody takes it up.
const TAKEN_UP: u64 = minutes(10);

pub(crate) fn pattern() -> Pattern {
    Pattern::new(
        REFUSED,
        "provisions the pvc must support resize",
        r#"persistentvolumeclaims \\*"(?P<claim>[a-z0-9.-]+)\\*" is forbidden"#,
    )
}

/// Why the volume does not grow.
struct Obstacle {
    told: Signal,
    since: u64,
    why: String,
    remedy: Remedy,
}

/// The claim that an event on a pod is about: the kubelet names the volume.
pub(crate) fn of_pod(world: &World<'_>, pod: &ObjectRef, event: &Signal) -> Option<ObjectRef> {
    let (_, rest) = event.message.split_once("volume \"").or_else(|| event.message.split_once("volume "))?;
    let name = rest.split(['"', ' ', ':']).next().filter(|name| !name.is_empty())?;
    claim::behind(world, pod, name)
}

/// The claim whose enlargement was refused, as somebody logs who asked for it.
pub(crate) fn of_line(world: &World<'_>, line: &Signal) -> Option<ObjectRef> {
    let name = line.field("claim");
    let space = &line.subject.as_ref()?.namespace;
    let near = ObjectRef::new("PersistentVolumeClaim", space, name);
    if world.exists(&near) {
        return Some(near);
    }
    // An operator works in all namespaces.
    let mut all = world.list("PersistentVolumeClaim", "").into_iter().filter(|claim| claim.name == name);
    all.next().filter(|_| all.next().is_none())
}

/// Judges one claim from the facts as they stand now.
pub(crate) fn judge(world: &World<'_>, held: &mut Held, id: &ObjectRef) -> Verdict {
    let mut verdict = Verdict::default();
    let claim = Claim::load(world, id);
    if claim.is_none() && !world.only_told(id) {
        held.clear(&mut verdict, &[CODE], id, "the claim was deleted");
        return verdict;
    }
    let found = refused(world, id, claim.as_ref()).map(Ok).or_else(|| stuck(world, id, claim.as_ref()));
    match found {
        Some(Ok(obstacle)) => {
            held.assert(&mut verdict, put(id, claim.as_ref(), obstacle));
            // The claim is well otherwise, and what tries again does so ever more seldom.
            let at = world.now() + AGAIN;
            verdict.wakes.push(Wake { id: LOOK.into(), subject: Some(id.clone()), at });
        }
        Some(Err(due)) => {
            verdict.wakes.push(Wake { id: LOOK.into(), subject: Some(id.clone()), at: due });
        }
        None => held.clear(&mut verdict, &[CODE], id, "the volume has grown, or nobody wants it to any more"),
    }
    verdict
}

/// The class does not let its volumes grow, so the claim stays as it is.
fn refused(world: &World<'_>, id: &ObjectRef, claim: Option<&Claim>) -> Option<Obstacle> {
    let class = claim?.class.clone().unwrap_or_default();
    let fixed = claim::class(world, &class).is_none_or(|class| !class.grows);
    let lines = world.about(id, "cluster", "log", REFUSED, world.ago(hours(1)), 20);
    let told = lines.into_iter().find(|line| of_line(world, line).is_some_and(|of| of.is(id)))?;
    let remedy = Remedy::new(format!(
        "if its driver can enlarge volumes, let class {class} say so; else make a larger claim and copy the data"
    ))
    .command(format!("kubectl get storageclass {class} -o yaml"))
    .command(format!("kubectl patch storageclass {class} -p '{{\"allowVolumeExpansion\": true}}'"));
    let why = format!("its class {class} does not allow it (allowVolumeExpansion)");
    fixed.then_some(Obstacle { since: told.at, told, why, remedy })
}

/// Who should enlarge it fails, or is not there; the time to look again where it is too early to say.
fn stuck(world: &World<'_>, id: &ObjectRef, claim: Option<&Claim>) -> Option<Result<Obstacle, u64>> {
    if claim.is_some_and(|claim| grown(world, claim)) {
        return None;
    }
    let last = |names: &[&str]| names.iter().filter_map(|name| newest(world, id, name)).max_by_key(|e| e.at);
    let done = last(&["VolumeResizeSuccessful", "FileSystemResizeSuccessful"]).map_or(0, |e| e.at);
    let open = |event: &Signal| event.at > done && (claim.is_some() || event.at + HEARD > world.now());
    let failed = last(&FAILED).filter(open);
    let begun = last(&[BEGUN]).map_or(0, |e| e.at);
    let left = last(&[WAITS]).filter(|e| open(e) && begun < e.began());
    let (told, patience, nobody) = match (failed, left) {
        (Some(failed), _) => (failed, PATIENCE, false),
        (None, left) => (left?, TAKEN_UP, true),
    };
    let since = told.began();
    if since + patience > world.now() {
        return Some(Err(since + patience));
    }
    let (why, remedy) = if nobody { nobody_does(world, claim) } else { words(id, &told) };
    Some(Ok(Obstacle { told, since, why, remedy }))
}

/// The volume has the size that is asked for.
fn grown(world: &World<'_>, claim: &Claim) -> bool {
    let has = world.read(&claim.id, "/status/capacity/storage").unwrap_or_default();
    has.text("") == claim.size
}

/// The newest event about the claim, or about its volume on a pod that uses it.
fn newest(world: &World<'_>, id: &ObjectRef, name: &str) -> Option<Signal> {
    let since = world.ago(hours(2));
    let own = world.about(id, "self", "event", name, since, 1);
    let of_pods = claim::users(world, id).into_iter().flat_map(|pod| {
        let all = world.about(&pod, "self", "event", name, since, 5);
        all.into_iter().filter(|e| of_pod(world, &pod, e).is_some_and(|of| of.is(id))).collect::<Vec<_>>()
    });
    own.into_iter().chain(of_pods).max_by_key(|e| e.at)
}

fn nobody_does(world: &World<'_>, claim: Option<&Claim>) -> (String, Remedy) {
    let class = claim.and_then(|claim| claim.class.clone()).unwrap_or_default();
    let by = claim::class(world, &class).map_or_else(|| "its driver".to_owned(), |class| class.provisioner);
    (
        format!("nobody takes it up: {by} has no external-resizer, or cannot enlarge volumes"),
        Remedy::new(format!(
            "see whether the controller of {by} runs with a container csi-resizer; a driver without one cannot enlarge volumes: \
             make a larger claim and copy the data"
        ))
        .command("kubectl get pods -A -o wide | grep -i -E 'csi|provisioner'")
        .command("kubectl get csidrivers"),
    )
}

/// What the driver or the node says, and what that asks for.
fn words(id: &ObjectRef, told: &Signal) -> (String, Remedy) {
    let text = told.message.as_str();
    let (ns, name) = (&id.namespace, &id.name);
    let in_use = ["only supports offline expansion", "in-use", "is in use", "FailedPrecondition"];
    let no_room = ["ResourceExhausted", "uota", "nsufficient", "no space", "not enough"];
    let said = |marks: &[&str]| marks.iter().any(|mark| text.contains(mark));
    let remedy = if said(&in_use) {
        Remedy::new("let nobody use the volume until it has grown: scale its workload to 0 and back")
            .command(format!("kubectl -n {ns} describe pvc {name}"))
            .caution("the program is away meanwhile")
    } else if said(&["maximum modification rate"]) {
        Remedy::new("wait: EBS lets a volume be changed once in six hours")
            .command(format!("kubectl -n {ns} describe pvc {name}"))
    } else if said(&no_room) {
        Remedy::new("give the storage behind it more room, or the account a higher quota")
            .command(format!("kubectl -n {ns} describe pvc {name}"))
    } else {
        Remedy::new("mend what the driver complains of; it tries again by itself")
            .command(format!("kubectl -n {ns} describe pvc {name}"))
            .command("kubectl get pods -A | grep -i csi     # its log: container csi-resizer, on the node the driver's own")
    };
    (reason(text), remedy)
}

/// The words behind the wrapping of operations and calls.
fn reason(text: &str) -> String {
    let inner = ["desc = ", "failed to expand volume: ", " failed: "].iter().find_map(|mark| {
        let (_, rest) = text.rsplit_once(mark)?;
        Some(rest)
    });
    inner.unwrap_or(text).trim().trim_end_matches('.').to_owned()
}

fn put(id: &ObjectRef, claim: Option<&Claim>, obstacle: Obstacle) -> Diagnosis {
    let Obstacle { told, since, why, remedy } = obstacle;
    let mut d = Diagnosis::new(CODE, id.clone());
    d.confidence = if claim.is_some() { 90 } else { 75 };
    d.title = format!("The volume of claim {} is not enlarged: {why}", id.path());
    let to =
        claim.filter(|_| told.name != REFUSED && told.source == "event").map(|claim| claim.size.as_str());
    d.explanation = format!(
        "Claim {} was to get a larger volume{}; since {} that fails: {why}. The volume keeps its size, and what fills it goes on.",
        id.path(),
        to.map_or(String::new(), |size| format!(" ({size})")),
        clock(since)
    );
    d.evidence.push(Evidence::signal(&told, 80, "why it does not grow"));
    for name in EVENTS {
        d.explains.push(Explains::event(name, id, "self"));
    }
    d.path = vec![Step::new(id, "", "is not enlarged")];
    d.remedies = vec![remedy];
    d
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drivers_own_words_are_found_in_each_wrapping() {
        for (message, expected) in [
            (
                r#"resize volume "pvc-1" by resizer "ebs.csi.aws.com" failed: rpc error: code = Internal desc = Could not resize volume "vol-0a": VolumeModificationRateExceeded"#,
                r#"Could not resize volume "vol-0a": VolumeModificationRateExceeded"#,
            ),
            ("no mark at all.", "no mark at all"),
        ] {
            assert_eq!(reason(message), expected);
        }
    }
}
