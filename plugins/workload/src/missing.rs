//! What a pod needs and cannot have: a ConfigMap, a Secret, a key in one of them.
//!
//! Texts of pkg/kubelet/kubelet_pods.go (`couldn't find key %v in ConfigMap %v/%v`), of the volume plugins configmap,
//! secret and projected (`references non-existent config key`) and of the API's own `configmap "x" not found`.

use kwhy_sdk::{Diagnosis, Evidence, ObjectRef, Remedy, Signal, World, hours, minutes};

use crate::{
    case, change,
    pod::{Container, Pod},
    words::{any, between, kubectl, named, quoted, short, spoken},
};

pub(crate) const CONFIG_MAP: &str = "workload.missing-configmap";
pub(crate) const SECRET: &str = "workload.missing-secret";
pub(crate) const ACCOUNT: &str = "workload.missing-service-account";
pub(crate) const KEY: &str = "workload.missing-config-key";

/// What comes so shortly after the pod was only late.
const PATIENCE: u64 = minutes(2);

/// What is said to be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lack {
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    /// Empty where the whole object is missing.
    pub(crate) key: String,
}

/// Reads a kubelet's text. The name is empty where the text does not give it.
pub(crate) fn read(text: &str) -> Option<Lack> {
    let lower = text.to_ascii_lowercase();
    // The kubelet's own cache was late: it says so of objects that exist, and tries again at once.
    if any(&lower, &["not registered", "failed to sync", "timed out waiting for the condition"]) {
        return None;
    }
    if let Some((_, rest)) = lower.split_once("couldn't find key ") {
        let at = text.len() - rest.len();
        let rest = text.get(at..)?;
        let (key, place) = rest.split_once(" in ")?;
        let kind = if place.starts_with("Secret") { "Secret" } else { "ConfigMap" };
        let path = place.split_whitespace().nth(1)?.trim_end_matches([',', '.', '"']);
        let name = path.rsplit('/').next()?.to_owned();
        return Some(Lack { kind, name, key: key.to_owned() });
    }
    for (mark, kind) in [
        ("references non-existent config key: ", "ConfigMap"),
        ("references non-existent secret key: ", "Secret"),
    ] {
        if let Some((_, key)) = text.split_once(mark) {
            let key = key.split([',', ']', ' ']).next()?.to_owned();
            return Some(Lack { kind, name: String::new(), key });
        }
    }
    for (mark, kind) in [
        ("configmap ", "ConfigMap"),
        ("configmaps ", "ConfigMap"),
        ("secret ", "Secret"),
        ("secrets ", "Secret"),
    ] {
        if let Some(name) = quoted(text, mark).filter(|n| text.contains(&format!("\"{n}\" not found"))) {
            return Some(Lack { kind, name: name.to_owned(), key: String::new() });
        }
    }
    None
}

/// The object behind a volume, where the text names only the volume.
fn by_volume(pod: &Pod, text: &str, kind: &str, key: &str) -> Option<String> {
    let volume = quoted(text, "for volume ")?;
    let volumes = pod.json.list("/spec/volumes");
    let volume = volumes.iter().find(|v| v.text("/name") == volume)?;
    let (direct, inner) =
        if kind == "Secret" { ("/secret/secretName", "/secret") } else { ("/configMap/name", "/configMap") };
    if volume.has(direct) {
        return Some(volume.text(direct).to_owned());
    }
    let sources = volume.list("/projected/sources");
    let of = |s: &kwhy_sdk::Json| s.at(inner).list("/items").iter().any(|i| i.text("/key") == key);
    let found = sources.iter().find(|s| of(s)).or_else(|| sources.iter().find(|s| s.has(inner)))?;
    Some(found.at(inner).text("/name").to_owned())
}

/// What is missing of a pod whose containers cannot be made, with the text that says so.
fn lack(world: &World<'_>, pod: &Pod, container: &Container) -> Option<(Lack, String, Option<Signal>)> {
    let (reason, message) = container.waiting();
    let of_text = |text: &str| {
        let mut lack = read(text)?;
        if lack.name.is_empty() {
            lack.name = by_volume(pod, text, lack.kind, &lack.key)?;
        }
        Some(lack)
    };
    let mut events = pod.told(world, container, "Failed", world.ago(hours(2)));
    events.extend(pod.events(world, "FailedMount", world.ago(hours(2))));
    let told =
        events.iter().filter_map(|e| Some((of_text(&e.message)?, e.clone()))).max_by_key(|(_, e)| e.at);
    if let Some(lack) = of_text(message) {
        let event = told.filter(|(l, _)| *l == lack).map(|(_, e)| e);
        return Some((lack, message.to_owned(), event));
    }
    if matches!(reason, "ContainerCreating" | "PodInitializing" | "CreateContainerConfigError" | "") {
        let (lack, event) = told?;
        return Some((lack, event.message.clone(), Some(event)));
    }
    None
}

/// Whether what is said to be missing is there by now, as far as can be seen.
fn stands(world: &World<'_>, lack: &Lack, root: &ObjectRef) -> bool {
    if !world.exists(root) {
        return false;
    }
    let key = lack.key.replace('~', "~0").replace('/', "~1");
    if lack.key.is_empty() {
        return true;
    }
    // Of a Secret only the names of its keys can be seen, and not by every version of the host.
    lack.kind == "ConfigMap"
        && ["data", "binaryData"].iter().any(|d| world.read(root, &format!("/{d}/{key}")).is_some())
}

/// What a container misses; the time to look again where it is too early to say: what makes Secrets and ConfigMaps is
/// often slower than what makes pods.
pub(crate) fn judge(world: &World<'_>, pod: &Pod, container: &Container) -> Result<Option<Diagnosis>, u64> {
    let Some((lack, text, event)) = lack(world, pod, container) else { return Ok(None) };
    let root = ObjectRef::new(lack.kind, &pod.id.namespace, &lack.name);
    if stands(world, &lack, &root)
        && event.as_ref().is_none_or(|e| e.at + minutes(3) < world.now())
        && container.waiting().0 != "CreateContainerConfigError"
    {
        return Ok(None);
    }
    if pod.created() + PATIENCE > world.now() {
        return Err(pod.created() + PATIENCE);
    }
    // Events do not always name the container.
    let name = if container.name == crate::pod::ANY { "" } else { &container.name };
    Ok(Some(diagnose(world, pod, name, &lack, &root, &text, event.as_ref())))
}

fn diagnose(
    world: &World<'_>,
    pod: &Pod,
    container: &str,
    lack: &Lack,
    root: &ObjectRef,
    text: &str,
    event: Option<&Signal>,
) -> Diagnosis {
    let code = match (lack.key.is_empty(), lack.kind) {
        (false, _) => KEY,
        (true, "Secret") => SECRET,
        _ => CONFIG_MAP,
    };
    let mut diagnosis = case::of_pod(world, code, root, pod, 92);
    let whose = spoken(&pod.workload);
    let thing = format!("{} {}", lack.kind, root.path());
    let gone = world.changes(root, "self", world.ago(hours(2)), 5);
    let (note, cannot);
    if lack.key.is_empty() {
        diagnosis.title = format!("{thing} does not exist, and {whose} cannot start without it");
        note = "does not exist".to_owned();
        cannot = format!("the kubelet finds no {} of that name in namespace {}", lack.kind, root.namespace);
    } else {
        diagnosis.title = format!("{thing} has no key {}, and {whose} cannot start without it", lack.key);
        note = format!("has no key {}", lack.key);
        cannot = format!("it names the key {}, which the {} does not have", lack.key, lack.kind);
    }
    let which = if container.is_empty() {
        "Its containers are".to_owned()
    } else {
        format!("Container {container} is")
    };
    diagnosis.explanation = format!(
        "{which} not made: {cannot}. The kubelet goes on trying, so the pod starts by itself as soon as it is there."
    );
    case::note_root(&mut diagnosis, note);
    let words = short(text, 500);
    match event {
        Some(event) => diagnosis
            .evidence
            .push(crate::counted(event, 50, "what the kubelet says").citing(short(&event.message, 500))),
        None => diagnosis.evidence.push(Evidence::object(&pod.id, words, 50, "why the container waits")),
    }
    let mut former = false;
    for change in &gone {
        let (said, weight) = match change.name.as_str() {
            "DELETED" => ("it was deleted", 40),
            "MODIFIED"
                if !lack.key.is_empty()
                    && change.fields.iter().any(|f| f.name.ends_with(&format!("/{}", lack.key))) =>
            {
                ("the key was taken out", 40)
            }
            _ => continue,
        };
        former = true;
        diagnosis.explanation.push_str(&format!(" At {} UTC {said}.", kwhy_sdk::clock(change.at)));
        diagnosis
            .evidence
            .push(Evidence::signal(change, weight, said).citing(format!("{thing}: {}", change.message)));
        break;
    }
    let rollout = change::rollout(world, pod).filter(|_| !former);
    let names = |r: &change::Rollout| {
        r.fields
            .iter()
            .any(|f| f.new.contains(&lack.name) || f.new.contains(&lack.key) && !lack.key.is_empty())
    };
    if let Some(rollout) = rollout.filter(names) {
        diagnosis.explanation.push_str(&format!(" The reference is new: {}.", rollout.words()));
        diagnosis.evidence.push(rollout.evidence(30, "the change that brought the reference"));
    }
    let k = kubectl(&root.namespace);
    let kind = lack.kind.to_ascii_lowercase();
    if lack.key.is_empty() {
        if let Some(twin) = elsewhere(world, lack, &root.namespace) {
            diagnosis.evidence.push(Evidence::object(
                &twin,
                spoken(&twin),
                15,
                "one with that name stands in another namespace, where this pod cannot use it",
            ));
            diagnosis.explanation.push_str(&format!(
                " One of that name stands in namespace {}, where this pod cannot use it.",
                twin.namespace
            ));
        } else if let Some(near) = near(world, lack, &root.namespace) {
            diagnosis.evidence.push(Evidence::object(
                &near,
                spoken(&near),
                15,
                "a name much like it: perhaps this one was meant",
            ));
            diagnosis.explanation.push_str(&format!(" {} has a name much like it.", spoken(&near)));
        }
        if let Some(maker) = maker(world, lack, &root.namespace) {
            made_by(world, &mut diagnosis, &maker, &thing);
        }
        let make = if lack.kind == "Secret" {
            format!("{k} create secret generic {} --from-literal=<key>=<value>", lack.name)
        } else {
            format!("{k} create configmap {} --from-file=<path>", lack.name)
        };
        diagnosis.remedies.push(
            Remedy::new(format!("create {thing}, or bring it back from where it is kept")).command(make),
        );
    } else {
        diagnosis.remedies.push(
            Remedy::new(format!("add the key {} to {thing}", lack.key))
                .command(format!("{k} edit {kind} {}", lack.name)),
        );
        let keys: Vec<String> =
            world.read(root, "/data").unwrap_or_default().map("").into_iter().map(|(k, _)| k).collect();
        if !keys.is_empty() {
            diagnosis.evidence.push(Evidence::object(
                root,
                format!("keys: {}", keys.join(", ")),
                15,
                "the keys that it has",
            ));
        }
    }
    diagnosis.remedies.push(
        Remedy::new("or mend the reference to it, if it was misspelt")
            .command(format!("{k} edit {}", named(&pod.holder))),
    );
    diagnosis
}

/// What is to make a Secret or ConfigMap: the kind, where it names what it makes (its own name where it names none), and
/// the events and the condition with which it says why it does not.
const MAKERS: [(&str, &str); 7] = [
    ("ExternalSecret", "/spec/target/name"),
    ("Certificate", "/spec/secretName"),
    ("SealedSecret", "/spec/template/metadata/name"),
    ("VaultStaticSecret", "/spec/destination/name"),
    ("VaultDynamicSecret", "/spec/destination/name"),
    ("InfisicalSecret", "/spec/managedSecretReference/secretName"),
    ("OnePasswordItem", "/metadata/name"),
];

fn maker(world: &World<'_>, lack: &Lack, namespace: &str) -> Option<ObjectRef> {
    if lack.kind != "Secret" {
        return None;
    }
    MAKERS.iter().find_map(|(kind, place)| {
        world.list(kind, namespace).into_iter().find(|of| {
            // Of custom resources no more than the metadata may be known.
            let named = world.read(of, place).unwrap_or_default();
            match named.text("") {
                "" => of.name == lack.name,
                name => name == lack.name,
            }
        })
    })
}

/// Says who was to make it, and why that one did not.
fn made_by(world: &World<'_>, diagnosis: &mut Diagnosis, maker: &ObjectRef, thing: &str) {
    let who = spoken(maker);
    diagnosis.explanation.push_str(&format!(" {who} is to make it, and has not."));
    let events = world.about(maker, "self", "event", "*", world.ago(hours(2)), 20);
    let ready = world.condition(maker, "Ready");
    if let Some(event) = events.iter().find(|e| e.state == "Warning") {
        diagnosis.explanation.push_str(&format!(" It says: {}", short(&event.message, 240)));
        diagnosis.evidence.push(crate::counted(event, 45, "why it is not made"));
    } else if ready.fails() {
        diagnosis.explanation.push_str(&format!(" It says: {}", short(&ready.message, 240)));
        diagnosis.evidence.push(Evidence::object(maker, ready.quote("Ready"), 45, "why it is not made"));
    }
    let k = kubectl(&maker.namespace);
    diagnosis.remedies.push(
        Remedy::new(format!(
            "mend what keeps {who} from making it; {thing} and the pods follow by themselves"
        ))
        .command(format!("{k} describe {}", named(maker))),
    );
}

fn elsewhere(world: &World<'_>, lack: &Lack, namespace: &str) -> Option<ObjectRef> {
    world.list(lack.kind, "").into_iter().find(|o| o.name == lack.name && o.namespace != namespace)
}

/// A name in the namespace that shares most of its letters with the one that is missing.
fn near(world: &World<'_>, lack: &Lack, namespace: &str) -> Option<ObjectRef> {
    let stem = lack.name.get(..lack.name.len().saturating_sub(3).max(4))?;
    world
        .list(lack.kind, namespace)
        .into_iter()
        .find(|o| o.name.starts_with(stem) || (o.name.len() > 4 && lack.name.starts_with(o.name.as_str())))
}

/// `error looking up service account ns/name: serviceaccount "name" not found`.
pub(crate) fn service_account(text: &str) -> Option<&str> {
    quoted(text, "serviceaccount ")
        .or_else(|| between(text, "looking up service account ", ":")?.rsplit('/').next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_kubelet_name_what_is_missing() {
        let lack = |kind, name: &str, key: &str| Some(Lack { kind, name: name.into(), key: key.into() });
        for (text, want) in [
            (r#"configmap "app-config" not found"#, lack("ConfigMap", "app-config", "")),
            (r#"Error: secret "db" not found"#, lack("Secret", "db", "")),
            ("couldn't find key DB_URL in ConfigMap shop/app", lack("ConfigMap", "app", "DB_URL")),
            ("Error: couldn't find key password in Secret shop/db", lack("Secret", "db", "password")),
            ("Couldn't find key password in Secret shop/db", lack("Secret", "db", "password")),
            (
                r#"MountVolume.SetUp failed for volume "cfg" : configmap "app" not found"#,
                lack("ConfigMap", "app", ""),
            ),
            (
                r#"MountVolume.SetUp failed for volume "cfg" : configmap references non-existent config key: a.yaml"#,
                lack("ConfigMap", "", "a.yaml"),
            ),
            (
                r#"MountVolume.SetUp failed for volume "gcp-sa" : references non-existent secret key: KEY"#,
                lack("Secret", "", "KEY"),
            ),
            (
                r#"MountVolume.SetUp failed for volume "t" : object "ns"/"kube-root-ca.crt" not registered"#,
                None,
            ),
            (
                r#"MountVolume.SetUp failed for volume "t" : failed to sync configmap cache: timed out waiting for the condition"#,
                None,
            ),
            (
                r#"MountVolume.SetUp failed for volume "host" : hostPath type check failed: /x is not a directory"#,
                None,
            ),
        ] {
            assert_eq!(read(text), want, "{text}");
        }
    }

    #[test]
    fn a_missing_service_account_is_named() {
        let text = r#"Error creating: pods "x-" is forbidden: error looking up service account shop/robot: serviceaccount "robot" not found"#;
        assert_eq!(service_account(text), Some("robot"));
    }
}
