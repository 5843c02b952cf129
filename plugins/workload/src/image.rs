//! The image cannot be had: it does not exist, the registry refuses or cannot be reached, or there is none for the
//! node's processor.
//!
//! Waiting reasons are those of the kubelet (pkg/kubelet/images/types.go, ErrImagePull and so on); the texts of the
//! runtimes are read in `pull`.

use kwhy_sdk::{Diagnosis, Evidence, Explains, ObjectRef, Remedy, Signal, World, hours, minutes};

use crate::{
    case,
    change::{self, Rollout},
    pod::{Container, Pod},
    pull::{Said, read},
    words::{
        any, between, image_parts, kubectl, named, quoted, registry, set, short, spoken, strategic, undo,
    },
};

pub(crate) const NOT_FOUND: &str = "workload.image-not-found";
pub(crate) const AUTH: &str = "workload.image-auth";
pub(crate) const UNREACHABLE: &str = "workload.image-registry-unreachable";
pub(crate) const ARCHITECTURE: &str = "workload.image-architecture";

/// A registry that is away for a moment is no finding.
const PATIENCE: u64 = minutes(3);
/// Nor is an image that comes a little later than its name.
const PUSHED: u64 = minutes(2);

/// The telling text of a container whose image does not come, with the event that says it where there is one.
fn telling(world: &World<'_>, pod: &Pod, container: &Container) -> (String, Option<Signal>) {
    let image = container.image();
    let mut best: Option<Signal> = None;
    for reason in ["Failed", "InspectFailed", "ErrImageNeverPull", "BackOff"] {
        for event in pod.told(world, container, reason, world.ago(hours(2))) {
            let about = event.message.contains(image) || image.is_empty();
            if about
                && !matches!(read(&event.message), Said::Nothing | Said::Unknown)
                && best.as_ref().is_none_or(|b| b.at < event.at)
            {
                best = Some(event);
            }
        }
    }
    let (reason, message) = container.waiting();
    let own = if message.is_empty() { reason } else { message };
    match best {
        Some(event) if matches!(read(own), Said::Nothing | Said::Unknown) => {
            (event.message.clone(), Some(event))
        }
        event => (own.to_owned(), event),
    }
}

/// Whether the waiting reason is one of an image.
pub(crate) fn waits(reason: &str) -> bool {
    matches!(
        reason,
        "ErrImagePull"
            | "ImagePullBackOff"
            | "ErrImageNeverPull"
            | "InvalidImageName"
            | "ImageInspectError"
            | "RegistryUnavailable"
            | "SignatureValidationFailed"
    )
}

/// What keeps the image of a container away; the time to look again where it is too early to say.
pub(crate) fn judge(world: &World<'_>, pod: &Pod, container: &Container) -> Result<Option<Diagnosis>, u64> {
    let (reason, _) = container.waiting();
    let (text, event) = telling(world, pod, container);
    let said = match (reason, read(&text)) {
        ("InvalidImageName", _) => Said::BadName,
        ("ErrImageNeverPull", _) => Said::Never,
        ("RegistryUnavailable", _) => Said::Unreachable,
        ("SignatureValidationFailed", _) => Said::Signature,
        (_, said) => said,
    };
    if matches!(said, Said::Unreachable | Said::RateLimit | Said::Unknown | Said::Nothing)
        && pod.created() + PATIENCE > world.now()
    {
        return Err(pod.created() + PATIENCE);
    }
    // A pipeline may name an image before it has pushed it.
    if matches!(said, Said::NotFound) && pod.created() + PUSHED > world.now() {
        return Err(pod.created() + PUSHED);
    }
    if matches!(said, Said::Node) {
        return Ok(None);
    }
    if matches!(said, Said::Unreachable)
        && let Some(event) = &event
        && let Some(found) = crate::registry::down(world, pod, registry(container.image()), event)
    {
        return Ok(Some(found));
    }
    Ok(Some(diagnose(world, pod, container, said, &text, event.as_ref())))
}

fn diagnose(
    world: &World<'_>,
    pod: &Pod,
    container: &Container,
    said: Said,
    text: &str,
    event: Option<&Signal>,
) -> Diagnosis {
    let image = container.image().to_owned();
    let (repository, tag) = image_parts(&image);
    let host = registry(&image);
    let whose = spoken(&pod.workload);
    let rollout = change::rollout(world, pod).filter(|r| r.field(&container.name, "image").is_some());
    let (code, confidence, title, what) = match said {
        Said::NotFound if !tag.is_empty() => (
            NOT_FOUND,
            92,
            format!("{whose} names the image tag {tag}, which does not exist"),
            format!(
                "The registry {host} answers that {image} is not found: the tag {tag} of {repository} does not exist there, or the repository is misspelt"
            ),
        ),
        Said::NotFound => (
            NOT_FOUND,
            90,
            format!("{whose} names the image {image}, which does not exist"),
            format!("The registry {host} answers that {image} is not found"),
        ),
        Said::BadName => (
            NOT_FOUND,
            92,
            format!("{whose} names the image {image}, which is not a valid image name"),
            format!("The kubelet cannot read {image:?} as an image reference, so it never asks a registry"),
        ),
        Said::Never => (
            NOT_FOUND,
            90,
            format!("The image {image} of {whose} is not on the node and may not be pulled"),
            format!("imagePullPolicy is Never and {} does not have {image}", pod.where_it_runs()),
        ),
        Said::Denied => (
            AUTH,
            90,
            format!("The registry {host} refuses {whose} the image {image}"),
            format!(
                "The registry {host} does not let this pod pull {image}: credentials are missing, expired or lack the right to read"
            ),
        ),
        Said::DeniedOrNone => (
            AUTH,
            80,
            format!("The image {image} of {whose} does not exist or needs credentials"),
            format!(
                "The registry {host} answers that {repository} does not exist or may require authorization; it does not tell which"
            ),
        ),
        Said::Signature => (
            AUTH,
            85,
            format!("The signature policy of {} refuses {whose} the image {image}", pod.where_it_runs()),
            format!("The container runtime finds no signature of {image} that its policy accepts"),
        ),
        Said::OldFormat => (
            NOT_FOUND,
            88,
            format!("The image {image} of {whose} has a format that the node no longer reads"),
            format!(
                "{image} is stored as a Docker schema 1 manifest, which containerd reads no more since 2.0"
            ),
        ),
        Said::RateLimit => (
            UNREACHABLE,
            88,
            format!("The registry {host} limits pulls: {whose} does not get its image"),
            format!(
                "The registry {host} answers 429 Too Many Requests: the rate limit of pulls from this address or account is reached"
            ),
        ),
        Said::Platform => (
            ARCHITECTURE,
            92,
            format!("The image {image} of {whose} is not built for the processor of {}", pod.where_it_runs()),
            format!("{image} has no variant for {}", architecture(world, pod)),
        ),
        Said::Tls => (
            UNREACHABLE,
            85,
            format!("Nodes do not trust the registry {host}, so {whose} does not get its image"),
            format!(
                "The TLS connection from {} to {host} fails, before any image is asked for",
                pod.where_it_runs()
            ),
        ),
        Said::Unreachable => (
            UNREACHABLE,
            85,
            format!("The registry {host} cannot be reached, so {whose} does not get its image"),
            format!(
                "The registry {host} cannot be reached from {}: {}",
                pod.where_it_runs(),
                how_unreachable(text)
            ),
        ),
        Said::Unknown | Said::Nothing | Said::Node => (
            UNREACHABLE,
            45,
            format!("{whose} does not get its image {image}"),
            "The pull fails; what the runtime says does not tell why".to_owned(),
        ),
    };
    // What holds for a registry holds for all that pull from it.
    let differs =
        if matches!(said, Said::Unreachable | Said::Tls) { only_there(world, pod, host) } else { None };
    let root = if differs.is_some() {
        ObjectRef::new("Node", "", pod.node())
    } else if code == UNREACHABLE {
        case::first_of(world, code, host, &pod.workload)
    } else {
        pod.workload.clone()
    };
    let mut diagnosis = case::of_pod(world, code, &root, pod, confidence);
    diagnosis.title = match differs {
        Some(_) if said == Said::Tls => {
            format!(
                "Node {} does not trust the registry {host}, so {whose} does not get its image",
                pod.node()
            )
        }
        Some(_) => {
            format!("Node {} cannot reach the registry {host}, so {whose} does not get its image", pod.node())
        }
        // Another workload stands for all that pull from there.
        None if !root.is(&pod.workload)
            && matches!(said, Said::Unreachable | Said::Tls | Said::RateLimit) =>
        {
            let short = title.split(", so ").next().unwrap_or(&title);
            let short = short.split(&format!(": {whose} ")).next().unwrap_or(short);
            format!("{short}, so images do not come")
        }
        None => title,
    };
    diagnosis.explanation = format!("{what}, so {} of {} cannot start.", container.called(), pod.id.name);
    let lacking = if code == AUTH { lacking_secret(world, pod) } else { None };
    if let Some((secret, evidence)) = lacking {
        diagnosis.confidence = 93;
        diagnosis.explanation.push_str(&format!(
            " The pod names the pull secret {secret}, which does not exist in namespace {}.",
            pod.id.namespace
        ));
        diagnosis.evidence.push(evidence);
    }
    if root.is(&pod.workload) || differs.is_some() {
        case::note_root(&mut diagnosis, format!("image {image}"));
    }
    diagnosis.explains.push(Explains::alert("*Image*", &pod.workload, "workload"));
    let words = short(text, 600);
    match event {
        Some(event) => diagnosis.evidence.push(
            Evidence::signal(event, 50, "what the registry or the runtime answered")
                .citing(short(&event.message, 600)),
        ),
        None => diagnosis.evidence.push(Evidence::object(
            &pod.id,
            words,
            50,
            format!("why {} waits: {}", container.name, container.waiting().0),
        )),
    }
    if let Some(pulled) = &differs {
        let other = pulled.field("reporter-host");
        diagnosis.explanation.push_str(&format!(
            " Node {other} pulled from it at {} UTC, so node {} is what differs.",
            kwhy_sdk::clock(pulled.at),
            pod.node()
        ));
        diagnosis.evidence.push(Evidence::signal(pulled, 25, format!("node {other} reaches the registry")));
    }
    let former = rollout
        .as_ref()
        .and_then(|r| r.field(&container.name, "image"))
        .map(|f| f.old.clone())
        .unwrap_or_default();
    if let Some(rollout) = &rollout {
        diagnosis.evidence.push(rollout.evidence(30, "the change that brought this image"));
        diagnosis.explanation.push_str(&format!(" It was changed: {}.", rollout.words()));
    }
    others(world, pod, container, &mut diagnosis);
    let templates = world.read(&pod.holder, "/spec/template/spec/containers").unwrap_or_default();
    let now = templates
        .list("")
        .iter()
        .find(|c| c.text("/name") == container.name)
        .map(|c| c.text("/image").to_owned());
    let mended = pod.holder.kind == "StatefulSet" && now.is_some_and(|now| !now.is_empty() && now != image);
    remedies(&mut diagnosis, pod, container, said, text, host, &former, rollout.as_ref(), mended);
    if said == Said::NotFound {
        diagnosis.supersedes = vec![UNREACHABLE.into(), AUTH.into()];
    }
    diagnosis
}

/// A pull secret that the pod names and that is not there, with what says so.
fn lacking_secret(world: &World<'_>, pod: &Pod) -> Option<(String, Evidence)> {
    let told = pod.events(world, "FailedToRetrieveImagePullSecret", world.ago(hours(2))).into_iter().next();
    if let Some(told) = told {
        let names = between(&told.message, "(", ")")?.to_owned();
        return Some((names, crate::counted(&told, 40, "the kubelet misses a pull secret")));
    }
    // Where the Secrets of the namespace are known, one that is not among them does not exist.
    let known = world.list("Secret", &pod.id.namespace);
    let named = pod.json.list("/spec/imagePullSecrets");
    let lacking = named
        .iter()
        .map(|s| s.text("/name").to_owned())
        .find(|n| !known.is_empty() && known.iter().all(|k| k.name != *n))?;
    let excerpt = format!("imagePullSecrets: {lacking}");
    Some((lacking, Evidence::object(&pod.id, excerpt, 40, "no Secret of that name stands in the namespace")))
}

/// A pull from the same registry by another node, where this node alone fails to: then it is the node that differs.
fn only_there(world: &World<'_>, pod: &Pod, host: &str) -> Option<Signal> {
    let elsewhere = |e: &Signal| {
        !e.field("reporter-host").is_empty()
            && e.field("reporter-host") != pod.node()
            && quoted(&e.message, "image ").is_some_and(|image| registry(image) == host)
    };
    let all = |reason: &str| world.about(&pod.id, "cluster", "event", reason, world.ago(hours(2)), 200);
    let fails = |e: &Signal| {
        e.message.starts_with("Failed to pull") && matches!(read(&e.message), Said::Unreachable | Said::Tls)
    };
    if pod.node().is_empty() || all("Failed").iter().any(|e| elsewhere(e) && fails(e)) {
        return None;
    }
    let since = pod.created().saturating_sub(minutes(30));
    let pulled = |e: &Signal| e.message.starts_with("Successfully pulled") && e.at >= since;
    all("Pulled").into_iter().find(|e| elsewhere(e) && pulled(e))
}

/// In what way a registry is out of reach.
fn how_unreachable(text: &str) -> &'static str {
    let text = text.to_ascii_lowercase();
    let has = |of: &[&str]| any(&text, of);
    if has(&["no such host", "server misbehaving", "name resolution", "name or service not known"]) {
        "its name does not resolve there"
    } else if has(&["connection refused"]) {
        "nothing listens at its address, the connection is refused"
    } else if has(&["no route to host", "network is unreachable"]) {
        "there is no route to its address"
    } else if has(&["500 internal", "502 bad", "503 service", "504 gateway"]) {
        "it answers with an error of its own"
    } else if has(&["proxy"]) {
        "the proxy between them does not let it through"
    } else if has(&["qps"]) {
        "the kubelet pulls more images at once than it allows itself"
    } else {
        "it does not answer in time, or the connection breaks"
    }
}

fn architecture(world: &World<'_>, pod: &Pod) -> String {
    let node = ObjectRef::new("Node", "", pod.node());
    let info = world.read(&node, "/status/nodeInfo").unwrap_or_default();
    let known = info.text("/architecture");
    if known.is_empty() { format!("node {}", pod.node()) } else { format!("{known} (node {})", pod.node()) }
}

/// Pods of the same workload that run well, which says what is not the cause.
fn others(world: &World<'_>, pod: &Pod, container: &Container, diagnosis: &mut Diagnosis) {
    let well = world.pods(&pod.holder).into_iter().take(40).filter(|p| !p.is(&pod.id)).find_map(|p| {
        let other = Pod::load(world, &p).filter(Pod::ready)?;
        let image = other.container(&container.name)?.image().to_owned();
        (image != container.image()).then_some((p, image))
    });
    if let Some((other, image)) = well {
        let note = if diagnosis.code == UNREACHABLE {
            "another image runs"
        } else {
            "another image runs, so registry and node are well"
        };
        diagnosis.evidence.push(Evidence::object(&other, format!("ready with {image}"), 15, note));
    }
}

#[allow(clippy::too_many_arguments, reason = "the facts of one pull")]
fn remedies(
    diagnosis: &mut Diagnosis,
    pod: &Pod,
    container: &Container,
    said: Said,
    text: &str,
    host: &str,
    former: &str,
    rollout: Option<&Rollout>,
    mended: bool,
) {
    let k = kubectl(&pod.holder.namespace);
    let of = named(&pod.holder);
    let image = container.image();
    let (repository, _) = image_parts(image);
    let set = |to: &str| set(&pod.holder, "image", &format!("{}={to}", container.name));
    let back = undo(&pod.holder).filter(|_| rollout.is_some());
    let undo = |diagnosis: &mut Diagnosis| {
        if let Some(back) = &back {
            diagnosis.remedies.push(
                Remedy::new("or go back to the former revision")
                    .command(back)
                    .caution("it takes back every change of that rollout, not the image alone"),
            );
        }
    };
    match said {
        // A StatefulSet waits for a pod of the former template to be ready before it replaces it.
        Said::NotFound | Said::BadName if mended => {
            diagnosis.explanation.push_str(&format!(
                " The template of {} names another image by now; the pod was made before, and is not replaced while it is not ready.",
                spoken(&pod.holder)
            ));
            diagnosis.remedies.push(
                Remedy::new("delete the pod: it is made anew from the template as it is now")
                    .command(format!("{k} delete pod {}", pod.id.name)),
            );
        }
        Said::NotFound | Said::BadName => {
            let right =
                if former.is_empty() { format!("{repository}:<tag that exists>") } else { former.to_owned() };
            let known = if former.is_empty() { String::new() } else { format!(" ({former} ran before)") };
            diagnosis.remedies.push(
                Remedy::new(format!("set the image to a tag that exists{known}, or push {image}"))
                    .command(set(&right)),
            );
            undo(diagnosis);
        }
        Said::Never => {
            diagnosis.remedies.push(Remedy::new("let the node pull the image, or load it onto the node first").command(strategic(&pod.holder, &format!("{{\"spec\":{{\"template\":{{\"spec\":{{\"containers\":[{{\"name\":\"{}\",\"imagePullPolicy\":\"IfNotPresent\"}}]}}}}}}}}", container.name))));
            undo(diagnosis);
        }
        Said::Denied | Said::DeniedOrNone => {
            let secrets: Vec<String> =
                pod.json.list("/spec/imagePullSecrets").iter().map(|s| s.text("/name").to_owned()).collect();
            let text = if secrets.is_empty() {
                format!("give the pod credentials for {host}: it has no imagePullSecrets")
            } else {
                format!("renew the credentials for {host} in the pull secret {}", secrets.join(", "))
            };
            let name = secrets.first().map_or("registry-credentials", String::as_str);
            let mut remedy = Remedy::new(text).command(format!("{k} create secret docker-registry {name} --docker-server={host} --docker-username=<user> --docker-password=<token> --dry-run=client -o yaml | {k} apply -f -"));
            if secrets.is_empty() {
                let account = pod.json.text("/spec/serviceAccountName");
                let account = if account.is_empty() { "default" } else { account };
                remedy = remedy.command(format!("{k} patch serviceaccount {account} -p '{{\"imagePullSecrets\":[{{\"name\":\"{name}\"}}]}}'"));
            }
            diagnosis
                .remedies
                .push(remedy.caution("pods made before keep their old pull secrets: delete them afterwards"));
            if said == Said::DeniedOrNone {
                diagnosis.remedies.push(
                    Remedy::new(format!("or mend the name if {repository} is misspelt"))
                        .command(set("<image>")),
                );
            }
            undo(diagnosis);
        }
        Said::Signature => {
            diagnosis.remedies.push(
                Remedy::new(format!(
                    "sign {image} with a key that the policy of node {} trusts, or name one that is signed",
                    pod.node()
                ))
                .command(format!("cat /etc/containers/policy.json     # on node {}", pod.node())),
            );
            undo(diagnosis);
        }
        Said::OldFormat => {
            diagnosis.remedies.push(
                Remedy::new(format!("build {image} anew and push it, or copy it into the present format"))
                    .command(format!("skopeo copy --format v2s2 docker://{image} docker://{image}")),
            );
            undo(diagnosis);
        }
        Said::RateLimit => {
            diagnosis.remedies.push(Remedy::new(format!("pull with an account or through a mirror: {host} counts anonymous pulls by address")).command(format!("{k} create secret docker-registry registry-credentials --docker-server={host} --docker-username=<user> --docker-password=<token>")));
        }
        Said::Platform => {
            diagnosis.remedies.push(
                Remedy::new("build and push the image for all processors of the cluster").command(format!(
                    "docker buildx build --platform linux/amd64,linux/arm64 -t {image} --push ."
                )),
            );
            diagnosis.remedies.push(Remedy::new("or keep the pods on nodes of the image's architecture").command(format!("{k} patch {of} --type merge -p '{{\"spec\":{{\"template\":{{\"spec\":{{\"nodeSelector\":{{\"kubernetes.io/arch\":\"amd64\"}}}}}}}}}}'")));
            undo(diagnosis);
        }
        Said::Tls => {
            diagnosis.remedies.push(Remedy::new(format!("make the nodes trust {host}: install its CA for the container runtime, or renew its certificate")).command(format!("openssl s_client -connect {host}:443 -servername {host} </dev/null | openssl x509 -noout -subject -issuer -dates -ext subjectAltName     # on node {}", pod.node())));
        }
        _ => {
            if text.contains("proxy") {
                let node = pod.node();
                diagnosis.remedies.push(
                    Remedy::new(format!(
                        "mend the proxy that the container runtime of node {node} pulls through"
                    ))
                    .command(format!(
                        "systemctl show docker containerd crio --property=Environment     # on node {node}"
                    )),
                );
            }
            diagnosis.remedies.push(
                Remedy::new(format!("see from the node whether {host} resolves and answers")).command(
                    format!(
                        "curl -sS -o /dev/null -w '%{{http_code}}\\n' https://{host}/v2/     # on node {}",
                        pod.node()
                    ),
                ),
            );
        }
    }
}
