//! Claims that stay without a volume: their class does not exist, nobody provides, or the volume is lost.
//!
//! Messages are those of the volume binder (`pkg/controller/volume/persistentvolume/pv_controller.go`) and of
//! external provisioners. A claim that waits for its first consumer is right as it is.

use kwhy_sdk::{
    Diagnosis, Evidence, Explains, ObjectRef, Remedy, Signal, Step, Verdict, Wake, World, clock, hours,
    minutes, span,
};

use crate::{
    LOOK,
    claim::{self, Claim},
    memory::Held,
};

pub(crate) const NO_CLASS: &str = "storage.pvc-no-class";
pub(crate) const UNBOUND: &str = "storage.pvc-unbound";

/// How long making a volume may take.
const PATIENCE: u64 = minutes(3);
/// How long it may take once a provisioner says that it has begun.
const LONG: u64 = minutes(15);

/// Judges one claim from the facts as they stand now.
pub(crate) fn judge(world: &World<'_>, held: &mut Held, id: &ObjectRef) -> Verdict {
    let mut verdict = Verdict::default();
    let class_root = |name: &str| ObjectRef::new("StorageClass", "", name);
    let claim = Claim::load(world, id).or_else(|| Claim::told(world, id));
    let waits = claim.as_ref().filter(|c| matches!(c.phase.as_str(), "Pending" | "Lost" | ""));
    let Some(claim) = waits else {
        let because = if claim.is_some() { "the claim is bound" } else { "the claim was deleted" };
        held.clear(&mut verdict, &[UNBOUND], id, because);
        // A class is missed as long as any claim names it.
        for root in held.roots(NO_CLASS) {
            if missing(world, &root.name).is_empty() {
                held.clear(&mut verdict, &[NO_CLASS], &root, because);
            }
        }
        return verdict;
    };
    let (known, default) = claim::classes(world);
    if let Some(name) = claim.class.as_deref().filter(|n| !n.is_empty()) {
        let root = class_root(name);
        let mut claims = missing(world, name);
        if claim.told && !world.exists(&root) {
            claims.push(claim.clone());
        }
        let told = claims.iter().find_map(|c| not_found(world, &c.id, name));
        // Without any class in sight only the controller's word counts: classes may not have been collected.
        if claims.iter().any(|c| c.id.is(id)) && (told.is_some() || !known.is_empty()) {
            held.clear(&mut verdict, &[UNBOUND], id, "its class does not exist");
            held.assert(&mut verdict, no_class(world, &root, &claims, told, &known, default.as_deref()));
            return verdict;
        }
        held.clear(&mut verdict, &[NO_CLASS], &root, "the class exists now");
    }
    match unbound(world, claim, default.as_deref()) {
        Found::Nothing => held.clear(&mut verdict, &[UNBOUND], id, "the claim waits as it should"),
        Found::Later(at) => verdict.wakes.push(Wake { id: LOOK.into(), subject: Some(id.clone()), at }),
        Found::Cause(d) => held.assert(&mut verdict, *d),
    }
    verdict
}

/// Claims that wait and name a class which is not there, sorted.
fn missing(world: &World<'_>, class: &str) -> Vec<Claim> {
    if world.exists(&ObjectRef::new("StorageClass", "", class)) {
        return Vec::new();
    }
    let all = world.list("PersistentVolumeClaim", "");
    let waiting = all.iter().filter_map(|id| Claim::load(world, id)).filter(|c| {
        c.class.as_deref() == Some(class) && c.volume.is_empty() && matches!(c.phase.as_str(), "Pending" | "")
    });
    // A class may be a mere name under which volumes and claims find each other.
    let offered = world.list("PersistentVolume", "").iter().any(|pv| {
        world.read(pv, "/spec/storageClassName").is_some_and(|c| c.text("") == class)
            && world.read(pv, "/status/phase").is_some_and(|p| p.text("") == "Available")
    });
    if offered { Vec::new() } else { waiting.collect() }
}

fn not_found(world: &World<'_>, claim: &ObjectRef, class: &str) -> Option<Signal> {
    let quoted = format!("\"{class}\" not found");
    let all = world.about(claim, "self", "event", "ProvisioningFailed", world.ago(hours(2)), 10);
    all.into_iter().find(|e| e.message.contains("storageclass") && e.message.contains(&quoted))
}

fn no_class(
    world: &World<'_>,
    root: &ObjectRef,
    claims: &[Claim],
    told: Option<Signal>,
    known: &[String],
    default: Option<&str>,
) -> Diagnosis {
    let name = &root.name;
    let names: Vec<String> = claims.iter().map(|c| c.id.path()).collect();
    let mut d = Diagnosis::new(NO_CLASS, root.clone());
    d.severity = "critical".into();
    d.confidence = if told.is_some() { 97 } else { 90 };
    d.title = match names.as_slice() {
        [one] => format!("Claim {one} names StorageClass {name}, which does not exist"),
        all => format!("{} claims name StorageClass {name}, which does not exist", all.len()),
    };
    let have = match known {
        [] => String::new(),
        all => format!(
            " The cluster has {}{}.",
            all.join(", "),
            default.map_or(String::new(), |d| format!(" (default: {d})"))
        ),
    };
    d.explanation = format!(
        "No volume can be made for {}: StorageClass {name} is not found.{have} The pods that use {} cannot be placed \
         before.",
        names.join(", "),
        if claims.len() == 1 { "it" } else { "them" }
    );
    d.evidence
        .extend(told.map(|e| Evidence::signal(&e, 80, "the volume binder looks for the class in vain")));
    for claim in claims.iter().filter(|c| !c.told).take(4) {
        d.evidence.push(Evidence::object(
            &claim.id,
            format!("storageClassName: {name}"),
            50,
            "what it asks for",
        ));
    }
    let deleted = world.changes(root, "self", world.ago(hours(2)), 1);
    d.evidence.extend(deleted.first().map(|c| Evidence::signal(c, 60, "the class was changed before")));
    d.path = vec![Step::new(root, "", "does not exist")];
    for claim in claims {
        d.path.push(Step::new(&claim.id, "used-by", "pending"));
        felt(&mut d, &claim.id);
    }
    let instead = default.or(known.first().map(String::as_str)).unwrap_or("<existing class>");
    d.remedies.push(
        Remedy::new(format!(
            "make StorageClass {name}, if that was meant: the claims bind by themselves then"
        ))
        .command("kubectl get storageclass")
        .command(format!("kubectl get storageclass {instead} -o yaml     # as a pattern for {name}")),
    );
    d.remedies.push(other_class(world, claims, name, instead));
    d
}

/// The class of a claim cannot be changed: claim and template have to be made anew.
fn other_class(world: &World<'_>, claims: &[Claim], name: &str, instead: &str) -> Remedy {
    let mut remedy = Remedy::new(format!(
        "or use a class that exists, as {instead}: correct {name} where the claim comes from, and make the claim anew"
    ));
    for claim in claims.iter().take(2) {
        let owner = claim::users(world, &claim.id).first().map(|p| world.workload(p));
        if let Some(set) = owner.filter(|o| o.kind == "StatefulSet") {
            remedy = remedy.command(format!(
                "kubectl -n {0} get statefulset {1} -o yaml > {1}.yaml && kubectl -n {0} delete statefulset {1} --cascade=orphan     # then set storageClassName: {instead} in {1}.yaml and apply it",
                set.namespace, set.name
            ));
        }
        remedy = remedy.command(format!("kubectl -n {} delete pvc {}", claim.id.namespace, claim.id.name));
    }
    remedy.caution("only a claim that never had a volume loses nothing when it is deleted")
}

/// Those who use the claim suffer from it.
fn felt(d: &mut Diagnosis, claim: &ObjectRef) {
    d.explains.extend(Explains::waiting(claim, "users"));
    d.explains.push(Explains::event("FailedScheduling", claim, "users"));
    for event in ["ProvisioningFailed", "FailedBinding"] {
        d.explains.push(Explains::event(event, claim, "self"));
    }
}

/// Words of the scheduler for a pod that waits for a volume (`pkg/scheduler/framework/plugins/volumebinding`).
const UNPLACED: [&str; 2] =
    ["find available persistent volumes to bind", "unbound immediate PersistentVolumeClaims"];

pub(crate) fn keeps_from_place(message: &str) -> bool {
    UNPLACED.iter().any(|words| message.contains(words))
}

enum Found {
    Nothing,
    Later(u64),
    Cause(Box<Diagnosis>),
}

fn unbound(world: &World<'_>, claim: &Claim, default: Option<&str>) -> Found {
    let name = claim.class.as_deref().or(default).unwrap_or("");
    let class = claim::class(world, name);
    let events = |reason: &str| world.about(&claim.id, "self", "event", reason, world.ago(hours(2)), 3);
    let lost = claim.phase == "Lost";
    let unplaced = claim::users(world, &claim.id).iter().find_map(|pod| {
        let all = world.about(pod, "self", "event", "FailedScheduling", world.ago(hours(2)), 1);
        all.into_iter().find(|e| keeps_from_place(&e.message))
    });
    // WaitForFirstConsumer and no node chosen: no pod uses it yet, or its pod waits for something else.
    let by_hand = class.as_ref().is_none_or(|c| c.provisioner == "kubernetes.io/no-provisioner");
    let told_by_hand = by_hand && unplaced.is_some();
    let waits = class.as_ref().is_some_and(|c| c.waits) && !claim.placed && !told_by_hand;
    if waits && !lost {
        return Found::Nothing;
    }
    let failed = events("ProvisioningFailed").into_iter().next();
    let none = ["FailedBinding", "VolumeMismatch", "ClaimMisbound"]
        .iter()
        .find_map(|r| events(r).into_iter().next());
    let asked = events("ExternalProvisioning").into_iter().next();
    // A provisioner that has begun may copy a lot.
    let begun = failed.is_none() && none.is_none() && !events("Provisioning").is_empty();
    let due = claim.created + if begun { LONG } else { PATIENCE };
    if !lost && world.now() < due {
        return Found::Later(due);
    }
    // Nothing but the phase tells of it: another controller may be slow to say why.
    let silent = failed.is_none() && none.is_none() && asked.is_none() && unplaced.is_none();
    if !lost && silent && claim.volume.is_empty() {
        return Found::Nothing;
    }
    let path = claim.id.path();
    let provisioner = class.as_ref().map_or("", |c| c.provisioner.as_str());
    let mut d = Diagnosis::new(UNBOUND, claim.id.clone());
    d.severity = if lost { "critical" } else { "warning" }.into();
    let ns = &claim.id.namespace;
    let look = Remedy::new("see what the claim's events say")
        .command(format!("kubectl -n {ns} describe pvc {}", claim.id.name));
    if lost {
        d.confidence = 95;
        d.title = format!("Claim {path} has lost its volume {}", claim.volume);
        d.explanation = format!(
            "The PersistentVolume {} that the claim was bound to is gone or bound to another; what it held may be lost.",
            claim.volume
        );
        d.remedies = vec![
            Remedy::new("look for the volume at the storage system before anything is deleted, and make a PersistentVolume for it by hand")
                .command(format!("kubectl get pv {} -o yaml", claim.volume))
                .caution("do not delete the claim before the data is found"),
        ];
    } else if let Some(failed) = &failed {
        d.confidence = 92;
        d.title = format!("No volume can be made for claim {path}: {}", reason(&failed.message));
        d.explanation = format!(
            "{} tried to make {} for {path} and failed: {}.",
            who(provisioner),
            claim.asks(),
            failed.message
        );
        d.remedies = vec![look, provider(provisioner)];
    } else if let Some(taken) = none.as_ref().filter(|_| !claim.volume.is_empty()) {
        d.confidence = 92;
        d.title = format!(
            "Claim {path} cannot have volume {}: {}",
            claim.volume,
            taken.message.trim_end_matches('.')
        );
        d.explanation = format!(
            "The claim names PersistentVolume {} and does not get it: {}. {}",
            claim.volume,
            taken.message.trim_end_matches('.'),
            if taken.message.contains("different claim") {
                "A volume whose claim was deleted is kept for it (Released) until somebody takes its claimRef away."
            } else {
                "Class, size, access modes and volume mode of the two have to fit."
            }
        );
        d.remedies = vec![
            Remedy::new(format!("see whom volume {} belongs to, and free it for the claim", claim.volume))
                .command(format!("kubectl get pv {} -o wide", claim.volume))
                .command(format!(
                    "kubectl patch pv {} --type json -p '[{{\"op\":\"remove\",\"path\":\"/spec/claimRef\"}}]'",
                    claim.volume
                ))
                .caution("only when the claim that it was made for is gone for good: the new one gets its data"),
            look,
        ];
    } else if none.is_some() || told_by_hand {
        d.confidence = 90;
        let bare = claim.class.is_none() && default.is_none();
        d.title = if bare {
            format!("Claim {path} names no StorageClass and the cluster has no default")
        } else if name.is_empty() {
            format!("No PersistentVolume fits claim {path}")
        } else {
            format!("No PersistentVolume of class {name} fits claim {path}, which asks for {}", claim.size)
        };
        d.explanation = format!(
            "The claim waits for {} that somebody made by hand: {}.",
            claim.asks(),
            if bare {
                "it names no class and no class is marked as the default"
            } else if name.is_empty() {
                "it asks for no class, and no free volume matches"
            } else {
                "nothing makes volumes of its class by itself, and no free one is large enough where the pod may run"
            }
        );
        let (known, _) = claim::classes(world);
        let class = known.first().map_or("<class>", String::as_str);
        d.remedies = if !bare {
            vec![
                Remedy::new(format!(
                    "make a PersistentVolume that fits: class {}, {} or larger, the same access mode, on a node where the pod may run",
                    if name.is_empty() { "\"\"" } else { name },
                    claim.size
                ))
                .command("kubectl get pv -o wide")
                .command(format!("kubectl -n {ns} get pvc {} -o yaml", claim.id.name)),
                look,
            ]
        } else {
            vec![
            Remedy::new("mark a StorageClass as the default (1.28 and later give it to claims that wait), or name one in the claim")
                .command(format!("kubectl patch storageclass {class} -p '{{\"metadata\":{{\"annotations\":{{\"storageclass.kubernetes.io/is-default-class\":\"true\"}}}}}}'")),
            look,
            ]
        };
    } else if asked.is_some() || claim.volume.is_empty() {
        d.confidence = 85;
        let silent = if provisioner.is_empty() { "its provisioner" } else { provisioner };
        d.title = format!("Nobody makes a volume for claim {path}: {silent} does not answer");
        d.explanation = format!(
            "The claim has waited for {} for {} to make {}; it has said nothing.",
            span(world.now().saturating_sub(claim.created)),
            if provisioner.is_empty() { "its provisioner" } else { provisioner },
            claim.asks()
        );
        d.remedies = vec![provider(provisioner), look];
    } else {
        d.confidence = 80;
        d.title = format!("Claim {path} waits for volume {}, which does not take it", claim.volume);
        d.explanation = format!(
            "The claim names PersistentVolume {}, and that does not exist, has another size or mode, or belongs to another claim.",
            claim.volume
        );
        d.remedies = vec![look.command(format!("kubectl get pv {} -o yaml", claim.volume))];
    }
    if claim.told {
        d.confidence = d.confidence.min(75);
    }
    let told = [
        (failed, "why it fails"),
        (none, "no volume fits"),
        (asked, "asked for"),
        (unplaced, "its pod finds no place"),
    ];
    d.evidence.extend(told.into_iter().filter_map(|(e, note)| Some(Evidence::signal(&e?, 60, note))));
    if !claim.told {
        let since = format!("{} since {}", claim.phase, clock(claim.created));
        d.evidence.push(Evidence::object(&claim.id, since, 40, "the claim itself"));
    }
    d.path = vec![Step::new(&claim.id, "", "has no volume")];
    felt(&mut d, &claim.id);
    // What keeps one claim of a class waiting keeps the others: one finding tells.
    for other in world.list("PersistentVolumeClaim", "").iter().filter(|o| !lost && !o.is(&claim.id)) {
        let alike = Claim::load(world, other).is_some_and(|c| c.phase == "Pending" && c.class == claim.class);
        if alike && !name.is_empty() {
            d.explains.push(Explains::finding(UNBOUND, other, "self"));
        }
    }
    Found::Cause(Box::new(d))
}

fn who(provisioner: &str) -> String {
    if provisioner.is_empty() {
        "The provisioner".to_owned()
    } else {
        format!("The provisioner {provisioner}")
    }
}

/// A provisioner wraps what went wrong: the last part tells most.
fn reason(message: &str) -> &str {
    let last = message.rsplit("desc = ").next().unwrap_or(message);
    match last.char_indices().nth(100) {
        Some((at, _)) => last.get(..at).unwrap_or(last),
        None => last,
    }
}

fn provider(provisioner: &str) -> Remedy {
    Remedy::new(format!("see whether the pods of the provisioner {provisioner} run and what they say"))
        .command(format!("kubectl get pods -A | grep -i -E 'csi|provisioner'     # that of {provisioner}"))
}
