//! `workload.operator-fight`: two managers write the same template in turn, so its pods are replaced without end; and
//! `workload.real-churn`: pods that are replaced again and again without anybody changing their template.
//!
//! A fight is told by the template itself: it goes from A to B, back to A and to B again. A person who deploys, rolls
//! back and deploys again makes one turn fewer. Churn is told by pod UIDs, never by a warning that repeats.

use kwhy_sdk::{
    Diagnosis, Evidence, Explains, Json, ObjectRef, Rejection, Remedy, Signal, Step, Verdict, World, clock,
    hours, minutes, parse_time,
    serde_json::{Value, json},
};

use crate::{
    case, change,
    words::{hash, image_parts, kubectl, named, short, spoken},
};

pub(crate) const FIGHT: &str = "workload.operator-fight";
pub(crate) const CHURN: &str = "workload.real-churn";

/// The turns of a fight lie within this time.
const WINDOW: u64 = minutes(60);
/// Writes remembered of one template.
const TURNS: usize = 8;
/// Times that a pod of one place must come anew within [`CHURN_WINDOW`].
const ANEW: usize = 5;
const CHURN_WINDOW: u64 = minutes(30);
/// New pods remembered of one owner.
const MOST: usize = 60;

fn key(what: &str, of: &ObjectRef) -> String {
    let key = format!("{what}/{}/{}", of.kind, of.path());
    if key.len() < 250 { key } else { format!("{what}/{}", hash(&key)) }
}

/// A written template: which, and when.
struct Write {
    hash: String,
    at: u64,
}

fn writes(json: &Json) -> Vec<Write> {
    json.list("/w")
        .iter()
        .map(|w| Write { hash: w.text("/0").to_owned(), at: u64::try_from(w.number("/1")).unwrap_or(0) })
        .collect()
}

/// Takes in a state of a Deployment, StatefulSet or DaemonSet.
pub(crate) fn template(world: &World<'_>, of: &ObjectRef, signal: &Signal) -> Verdict {
    let mut verdict = Verdict::default();
    let slot = key("f", of);
    if signal.name == "DELETED" {
        world.forget(&slot);
        return verdict;
    }
    let Some(text) = world.text(of, "/spec/template") else { return verdict };
    let now = hash(&text);
    let before = world.recall::<Json>(&slot).unwrap_or_default();
    let mut known = writes(&before);
    if known.last().is_some_and(|w| w.hash == now) {
        return verdict;
    }
    let first = known.is_empty();
    known.push(Write { hash: now.clone(), at: signal.at });
    let over = known.len().saturating_sub(TURNS);
    known.drain(..over);
    // The first state is kept as a mark only: of most templates no second one ever comes.
    let mut texts = texts(&before);
    texts.retain(|(h, _)| *h != now);
    if !first && text.len() < 24 << 10 {
        texts.push((now, text));
        let over = texts.len().saturating_sub(2);
        texts.drain(..over);
    }
    let list: Value = known.iter().map(|w| json!([w.hash, w.at])).collect();
    world.remember(&slot, &json!({"w": list, "t": texts}), hours(24 * 7));
    if let Some(turns) = turns(&known, world.now()) {
        verdict.diagnoses.push(fight(world, of, &known, turns, &texts));
    }
    verdict
}

/// A controller replaces pods: where that is a fight, what it says belongs to the evidence.
pub(crate) fn again(world: &World<'_>, of: &ObjectRef) -> Verdict {
    let mut verdict = Verdict::default();
    let Some(json) = world.recall::<Json>(&key("f", of)) else { return verdict };
    let known = writes(&json);
    if let Some(turns) = turns(&known, world.now()) {
        verdict.diagnoses.push(fight(world, of, &known, turns, &texts(&json)));
    }
    verdict
}

fn texts(json: &Json) -> Vec<(String, String)> {
    json.list("/t").iter().map(|t| (t.text("/0").to_owned(), t.text("/1").to_owned())).collect()
}

/// How many turns the last writes of a fight make; none where it is no fight.
fn turns(writes: &[Write], now: u64) -> Option<usize> {
    let recent: Vec<&Write> = writes.iter().filter(|w| w.at + WINDOW >= now).collect();
    let mut count = 0;
    for three in recent.windows(3).rev() {
        match three {
            [a, b, c] if a.hash == c.hash && a.hash != b.hash => count += 1,
            _ => break,
        }
    }
    // A, B, A, B: back to A and back to B.
    (count >= 2).then_some(count + 1)
}

/// A workload that manages others: an operator or a controller.
struct Manager {
    of: ObjectRef,
    image: String,
    made: u64,
}

/// Workloads that run the same kind of manager as each other, and may have written this object: their name fits the
/// kind of what owns it, or their version is in the template.
fn managers(world: &World<'_>, of: &ObjectRef, differs: &[change::Field]) -> Vec<Manager> {
    let mut all: Vec<(String, Manager)> = Vec::new();
    for kind in ["Deployment", "StatefulSet"] {
        for candidate in world.list(kind, "") {
            if candidate.is(of) {
                continue;
            }
            let spec = world.read(&candidate, "/spec").unwrap_or_default();
            if spec.has("/replicas") && spec.number("/replicas") == 0 {
                continue;
            }
            for container in spec.list("/template/spec/containers") {
                let image = container.text("/image").to_owned();
                let name = image_parts(&image).0.rsplit('/').next().unwrap_or("").to_owned();
                if crate::words::any(&name, &["operator", "controller", "manager"])
                    && !name.contains("kube-controller-manager")
                {
                    let made = world.read(&candidate, "/metadata").unwrap_or_default();
                    let made = parse_time(made.text("/creationTimestamp")).unwrap_or(0);
                    all.push((name, Manager { of: candidate.clone(), image, made }));
                    break;
                }
            }
        }
    }
    let owner = world.owners(of).pop().map(|o| o.kind.to_ascii_lowercase()).unwrap_or_default();
    let versions: Vec<&str> = differs.iter().flat_map(|f| [f.old.as_str(), f.new.as_str()]).collect();
    let fits = |name: &str, m: &Manager| {
        let tag = image_parts(&m.image).1;
        (!owner.is_empty() && name.contains(&owner))
            || (tag.len() > 3 && versions.iter().any(|v| v.contains(tag)))
    };
    let twins = |name: &str| all.iter().filter(|(n, _)| n == name).count() > 1;
    let wanted: Vec<bool> = all.iter().map(|(name, m)| twins(name) && fits(name, m)).collect();
    let mut found: Vec<Manager> = Vec::new();
    for ((_, manager), _) in all.into_iter().zip(wanted).filter(|(_, w)| *w) {
        let place = found.partition_point(|f| (f.made, f.of.path()) < (manager.made, manager.of.path()));
        found.insert(place, manager);
    }
    found
}

fn fight(
    world: &World<'_>,
    of: &ObjectRef,
    writes: &[Write],
    turns: usize,
    texts: &[(String, String)],
) -> Diagnosis {
    let parsed: Vec<Json> = texts
        .iter()
        .filter_map(|(_, t)| kwhy_sdk::serde_json::from_str::<Value>(t).ok())
        .map(Json::new)
        .collect();
    let differs = match parsed.as_slice() {
        [a, b] => change::differences(&a.at("/spec"), &b.at("/spec")),
        _ => Vec::new(),
    };
    let managers = managers(world, of, &differs);
    let rivals = managers.len() >= 2;
    // The newcomer is what to mend: before it came there was peace.
    let root = managers.last().filter(|_| rivals).map_or_else(|| of.clone(), |m| m.of.clone());
    let mut diagnosis = Diagnosis::new(FIGHT, root.clone());
    diagnosis.confidence = if rivals { 90 } else { 75 };
    let what = spoken(of);
    let since = writes.first().map_or(world.now(), |w| w.at);
    let span = kwhy_sdk::span(world.now().saturating_sub(since));
    let words: Vec<String> = differs.iter().take(3).map(change::Field::words).collect();
    let names: Vec<String> = managers.iter().map(|m| spoken(&m.of)).collect();
    diagnosis.title = if rivals {
        format!(
            "Operators fight: {} write {what} in turn and its pods are replaced again and again",
            names.join(" and ")
        )
    } else {
        format!(
            "Two managers (operators, controllers or pipelines) write {what} in turn; its pods are replaced again and again"
        )
    };
    diagnosis.explanation = format!(
        "The pod template of {what} went back and forth between two versions, {turns} turns within {span}. Each turn recreates its pods, so this is real churn of pods and not a repeated message."
    );
    if !words.is_empty() {
        diagnosis.explanation.push_str(&format!(" The versions differ in {}.", words.join(", ")));
    }
    for manager in &managers {
        diagnosis.explanation.push_str(&format!(
            " {} runs {} since {}.",
            spoken(&manager.of),
            manager.image,
            if manager.made + hours(24) > world.now() {
                format!("{} UTC", clock(manager.made))
            } else {
                "long ago".into()
            }
        ));
        diagnosis.evidence.push(Evidence::object(
            &manager.of,
            manager.image.clone(),
            30,
            "an operator that manages this kind of object",
        ));
    }
    let times: Vec<String> = writes.iter().map(|w| clock(w.at)).collect();
    diagnosis.evidence.push(Evidence::object(
        of,
        format!("its template was written at {} UTC", times.join(", ")),
        25,
        "each time back to the version before the last",
    ));
    if let Some(words) = words.first() {
        diagnosis.evidence.push(Evidence::object(of, words.clone(), 25, "what the two versions differ in"));
    }
    told(world, of, since, &managers, &mut diagnosis);
    let last = |m: &Manager| Step::new(&m.of, "", image_parts(&m.image).1);
    if rivals {
        diagnosis.path.extend(managers.iter().rev().take(1).map(last));
    }
    diagnosis.path.push(Step::new(
        of,
        if rivals { "writes" } else { "" },
        "its template goes back and forth",
    ));
    diagnosis.explains.extend(case::explains(world, of));
    diagnosis.explains.push(Explains::event("*", of, "workload"));
    if let Some(newest) = managers.last().filter(|_| rivals) {
        let k = kubectl(&newest.of.namespace);
        diagnosis.remedies.push(
            Remedy::new(format!("leave one operator: stop the one that came last, {}, then uninstall it the way it was installed", spoken(&newest.of)))
                .command(format!("{k} scale {} --replicas=0", named(&newest.of)))
                .caution("make sure that nothing else depends on it: objects that only it manages are no longer looked after; keep the custom resources and their definitions"),
        );
        diagnosis.remedies.push(Remedy::new("or restrict each operator to its own namespaces (for prometheus-operator: --namespaces or --deny-namespaces)").command(format!("{k} edit {}", named(&newest.of))));
    } else {
        diagnosis.remedies.push(Remedy::new("find who writes it, and stop or restrict one of them").command(
            format!(
                "{} get {} -o yaml --show-managed-fields | grep -E 'manager:|time:'",
                kubectl(&of.namespace),
                named(of)
            ),
        ));
    }
    diagnosis.supersedes = vec![CHURN.into()];
    diagnosis
}

/// What events and logs tell of the turns.
fn told(world: &World<'_>, of: &ObjectRef, since: u64, managers: &[Manager], diagnosis: &mut Diagnosis) {
    for reason in ["SuccessfulDelete", "SuccessfulCreate", "ScalingReplicaSet"] {
        if let Some(event) =
            world.about(of, "self", "event", reason, since.saturating_sub(minutes(2)), 1).into_iter().next()
        {
            diagnosis.evidence.push(crate::counted(&event, 30, "its controller replaces pods"));
        }
    }
    let owner = world.owners(of).pop().unwrap_or_else(|| of.clone());
    for manager in managers {
        let lines = world.about(&manager.of, "workload", "log", SYNC, since.saturating_sub(minutes(2)), 60);
        if let Some(line) = lines
            .into_iter()
            .find(|l| l.message.contains(owner.name.as_str()) || l.message.contains(of.name.as_str()))
        {
            diagnosis.evidence.push(
                Evidence::signal(&line, 35, format!("{} works on the same object", spoken(&manager.of)))
                    .citing(short(&line.message, 300)),
            );
        }
    }
}

/// Lines in which an operator says that it works on an object: prometheus-operator, controller-runtime, helm-operator.
pub(crate) const SYNC: &str = "workload-sync";

pub(crate) fn patterns() -> Vec<kwhy_sdk::Pattern> {
    let regex = r#"(?i)(?:msg="sync [a-z]+"|"msg":"sync|sync(?:ing)? (?:prometheus|alertmanager|thanos)|reconcil(?:e|ing|ed))"#;
    ["sync ", "econcil", "syncing "].iter().map(|l| kwhy_sdk::Pattern::new(SYNC, l, regex)).collect()
}

/// What a pod is one of a kind for: its name in a StatefulSet, its node in a DaemonSet; pods of a ReplicaSet are alike.
fn place(world: &World<'_>, owner: &ObjectRef, pod: &ObjectRef) -> String {
    let spec = world.read(pod, "/spec").unwrap_or_default();
    let bound = spec.text("/nodeName");
    match owner.kind.as_str() {
        "StatefulSet" => pod.name.clone(),
        "DaemonSet" if !bound.is_empty() => bound.to_owned(),
        "DaemonSet" => spec
            .text("/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0/matchFields/0/values/0")
            .to_owned(),
        _ => String::new(),
    }
}

/// Takes in a pod that came while the cluster was watched.
pub(crate) fn born(world: &World<'_>, pod: &ObjectRef, signal: &Signal) -> Verdict {
    let mut verdict = Verdict::default();
    if signal.state == "listed" || pod.uid.is_empty() {
        return verdict;
    }
    let chain = world.owners(pod);
    let Some(owner) =
        chain.first().filter(|o| matches!(o.kind.as_str(), "StatefulSet" | "ReplicaSet" | "DaemonSet"))
    else {
        return verdict;
    };
    let slot = key("u", owner);
    let json = world.recall::<Json>(&slot).unwrap_or_default();
    let mut all: Vec<(String, u64, String)> = json
        .list("")
        .iter()
        .map(|b| {
            let at = u64::try_from(b.number("/1")).unwrap_or(0);
            (b.text("/0").to_owned(), at, b.text("/2").to_owned())
        })
        .collect();
    if all.iter().any(|(uid, ..)| *uid == pod.uid) {
        return verdict;
    }
    let place = place(world, owner, pod);
    all.push((pod.uid.clone(), signal.at, place.clone()));
    all.retain(|(_, at, _)| at + CHURN_WINDOW >= world.now());
    let over = all.len().saturating_sub(MOST);
    all.drain(..over);
    let list: Value = all.iter().map(|(uid, at, place)| json!([uid, at, place])).collect();
    world.remember(&slot, &list, CHURN_WINDOW);
    let often = if place.is_empty() {
        let wanted = world.read(owner, "/spec/replicas").map_or(1, |r| r.number(""));
        ANEW + usize::try_from(wanted.max(0)).unwrap_or(0) * 2
    } else {
        ANEW
    };
    if all.iter().filter(|(_, _, p)| *p == place).count() < often {
        return verdict;
    }
    // A template that changes explains new pods; a fight has its own diagnosis.
    let (workload, holder) = crate::pod::around(world, pod);
    if crate::barred::holds(world, &workload) {
        return verdict;
    }
    let changes = world.recall::<Json>(&key("f", &holder)).map(|j| writes(&j)).unwrap_or_default();
    let since = world.ago(CHURN_WINDOW);
    if changes.iter().skip(1).any(|w| w.at >= since) {
        if turns(&changes, world.now()).is_none() {
            verdict.rejections.push(Rejection::new(
                CHURN,
                &holder,
                "its template was changed within the time, which makes pods anew",
            ));
        }
        return verdict;
    }
    if crate::scaled::moves(world, &holder) {
        verdict.rejections.push(Rejection::new(
            CHURN,
            &holder,
            "it was scaled up and down within the time, which makes and ends pods",
        ));
        return verdict;
    }
    verdict.diagnoses.push(churn(world, owner, &holder, all.len()));
    verdict
}

fn churn(world: &World<'_>, owner: &ObjectRef, holder: &ObjectRef, count: usize) -> Diagnosis {
    let mut diagnosis = Diagnosis::new(CHURN, holder.clone());
    diagnosis.confidence = 55;
    let whose = spoken(holder);
    diagnosis.title = format!("Pods of {whose} are replaced again and again");
    diagnosis.explanation = format!(
        "{count} new pods of {} within {}, each with a new UID, though its template did not change: something deletes them, or the kubelet refuses them.",
        spoken(owner),
        kwhy_sdk::span(CHURN_WINDOW)
    );
    for reason in
        ["Evicted", "Preempted", "Killing", "SuccessfulDelete", "SuccessfulCreate", "TaintManagerEviction"]
    {
        if let Some(event) =
            world.about(holder, "owned", "event", reason, world.ago(CHURN_WINDOW), 1).into_iter().next()
        {
            diagnosis.evidence.push(crate::counted(&event, 20, "what happens to its pods"));
        }
    }
    diagnosis.evidence.push(Evidence::object(
        owner,
        format!("{count} pod UIDs within {}", kwhy_sdk::span(CHURN_WINDOW)),
        30,
        "new pods",
    ));
    diagnosis.path.push(Step::new(holder, "", format!("{count} new pods")));
    diagnosis.explains = case::explains(world, holder);
    let k = kubectl(&holder.namespace);
    diagnosis.remedies.push(
        Remedy::new(
            "see who deletes them: the API server's audit log names the user; events name the kubelet",
        )
        .command(format!("{k} get events --sort-by=.lastTimestamp --field-selector involvedObject.kind=Pod")),
    );
    diagnosis
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(of: &str) -> Vec<Write> {
        of.chars().enumerate().map(|(i, c)| Write { hash: c.to_string(), at: minutes(i as u64) }).collect()
    }

    #[test]
    fn a_rollback_is_no_fight_and_a_second_return_is_one() {
        for (writes, want) in [
            ("A", None),
            ("AB", None),
            ("ABA", None),
            ("ABAB", Some(3)),
            ("ABABA", Some(4)),
            ("XABAB", Some(3)),
            ("ABABC", None),
            ("ABCD", None),
        ] {
            assert_eq!(turns(&all(writes), minutes(10)), want, "{writes}");
        }
        assert_eq!(turns(&all("ABAB"), hours(3)), None, "long ago");
    }
}
