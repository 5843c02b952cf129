//! The image cannot be had: it does not exist, the registry refuses or cannot be reached, or there is none for the
//! node's processor.
//!
//! Waiting reasons are those of the kubelet (pkg/kubelet/images/types.go, ErrImagePull and so on); the texts come from
//! containerd (core/remotes/docker), CRI-O (containers/image) and dockershim (distribution), which the kubelet hands on.

use kwhy_sdk::{Diagnosis, Evidence, Remedy, Signal, World, hours, minutes};

use crate::{
    case,
    change::{self, Rollout},
    pod::{Container, Pod},
    words::{any, image_parts, kubectl, named, quoted, registry, short, spoken},
};

pub(crate) const NOT_FOUND: &str = "workload.image-not-found";
pub(crate) const AUTH: &str = "workload.image-auth";
pub(crate) const UNREACHABLE: &str = "workload.image-registry-unreachable";
pub(crate) const ARCHITECTURE: &str = "workload.image-architecture";

/// A registry that is away for a moment is no finding.
const PATIENCE: u64 = minutes(3);

/// What a pull's error text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    NotFound,
    BadName,
    Never,
    Denied,
    /// Docker Hub and others do not tell a private repository from none at all.
    DeniedOrNone,
    RateLimit,
    Platform,
    Unknown,
    Unreachable,
    Tls,
    /// Nothing but that it failed.
    Nothing,
    /// A node without space or a runtime in trouble: not the image's fault.
    Node,
}

/// Reads the error text of a pull. The order matters: a text often wraps a general phrase around a telling one.
pub(crate) fn read(text: &str) -> Said {
    let text = text.to_ascii_lowercase();
    let has = |of: &[&str]| any(&text, of);
    if has(&[
        "no space left on device",
        "disk quota exceeded",
        "failed to prepare extraction snapshot",
        "read-only file system",
    ]) {
        return Said::Node;
    }
    if has(&[
        "no match for platform",
        "no matching manifest for",
        "no image found in manifest list",
        "no image found in image index",
        "does not match the specified platform",
        "exec format error",
    ]) {
        return Said::Platform;
    }
    if has(&["toomanyrequests", "too many requests", "rate limit"]) {
        return Said::RateLimit;
    }
    if has(&["repository does not exist or may require", "insufficient_scope"]) {
        return Said::DeniedOrNone;
    }
    if has(&[
        "unauthorized",
        "no basic auth credentials",
        "authentication required",
        "access denied",
        "access to the resource is denied",
        ": 401",
        "status: 401",
        " 401 ",
        "403 forbidden",
        "permission denied",
        "denied:",
        "authorization failed",
        "not authorized",
        "failed to authorize",
        "invalid username/password",
    ]) {
        // Fetching a token fails in the same words when the registry is out of reach.
        return if has(&["dial tcp", "no such host", "i/o timeout", "tls handshake timeout"]) {
            Said::Unreachable
        } else {
            Said::Denied
        };
    }
    if has(&["x509:", "server gave http response to https client", "tls: "]) && !has(&["handshake timeout"]) {
        return Said::Tls;
    }
    if has(&[
        "no such host",
        "dial tcp",
        "i/o timeout",
        "connection refused",
        "connection reset",
        "no route to host",
        "network is unreachable",
        "tls handshake timeout",
        "client.timeout exceeded",
        "context deadline exceeded",
        "500 internal server error",
        "502 bad gateway",
        "503 service unavailable",
        "504 gateway",
        "request canceled while waiting",
        "unexpected eof",
        ": eof",
        "server misbehaving",
        "pull qps exceeded",
    ]) {
        return Said::Unreachable;
    }
    if has(&[
        "couldn't parse image",
        "invalid reference format",
        "failed to apply default image tag",
        "invalidimagename",
    ]) {
        return Said::BadName;
    }
    if has(&["is not present with pull policy of never", "errimageneverpull"]) {
        return Said::Never;
    }
    if has(&[
        "not found",
        "manifest unknown",
        "manifest_unknown",
        "name unknown",
        "name_unknown",
        "does not exist",
        "code = notfound",
        " 404",
    ]) {
        return Said::NotFound;
    }
    if has(&["failed to pull", "failed to resolve", "error reading manifest"]) {
        Said::Unknown
    } else {
        Said::Nothing
    }
}

/// The telling text of a container whose image does not come, with the event that says it where there is one.
fn telling(world: &World<'_>, pod: &Pod, container: &Container) -> (String, Option<Signal>) {
    let image = container.image();
    let mut best: Option<Signal> = None;
    for reason in ["Failed", "InspectFailed", "ErrImageNeverPull", "BackOff"] {
        for event in pod.events(world, reason, world.ago(hours(2))) {
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
        (_, said) => said,
    };
    if matches!(said, Said::Unreachable | Said::Tls | Said::RateLimit | Said::Unknown | Said::Nothing)
        && pod.created() + PATIENCE > world.now()
    {
        return Err(pod.created() + PATIENCE);
    }
    if matches!(said, Said::Node) {
        return Ok(None);
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
            format!("imagePullPolicy is Never and node {} does not have {image}", pod.node()),
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
        Said::RateLimit => (
            UNREACHABLE,
            88,
            format!("The registry {host} limits pulls: {whose} does not get its image"),
            format!("The registry {host} answers that too many images were pulled from this address"),
        ),
        Said::Platform => (
            ARCHITECTURE,
            92,
            format!("The image {image} of {whose} is not built for the processor of node {}", pod.node()),
            format!("{image} has no variant for {}", architecture(world, pod)),
        ),
        Said::Tls => (
            UNREACHABLE,
            85,
            format!("Nodes do not trust the registry {host}, so {whose} does not get its image"),
            format!("The TLS connection to {host} fails, before any image is asked for"),
        ),
        Said::Unreachable => (
            UNREACHABLE,
            85,
            format!("The registry {host} cannot be reached, so {whose} does not get its image"),
            format!("The node cannot reach the registry {host}"),
        ),
        Said::Unknown | Said::Nothing | Said::Node => (
            UNREACHABLE,
            45,
            format!("{whose} does not get its image {image}"),
            "The pull fails; what the runtime says does not tell why".to_owned(),
        ),
    };
    let mut diagnosis = case::of_pod(world, code, &pod.workload, pod, confidence);
    diagnosis.title = title;
    diagnosis.explanation =
        format!("{what}, so container {} of {} cannot start.", container.name, pod.id.name);
    case::note_root(&mut diagnosis, format!("image {image}"));
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
    remedies(&mut diagnosis, pod, container, said, host, &former, rollout.as_ref());
    if said == Said::NotFound {
        diagnosis.supersedes = vec![UNREACHABLE.into(), AUTH.into()];
    }
    diagnosis
}

fn architecture(world: &World<'_>, pod: &Pod) -> String {
    let node = kwhy_sdk::ObjectRef::new("Node", "", pod.node());
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
        diagnosis.evidence.push(Evidence::object(
            &other,
            format!("ready with {image}"),
            15,
            "the former image runs, so registry and node are well",
        ));
    }
}

fn remedies(
    diagnosis: &mut Diagnosis,
    pod: &Pod,
    container: &Container,
    said: Said,
    host: &str,
    former: &str,
    rollout: Option<&Rollout>,
) {
    let k = kubectl(&pod.holder.namespace);
    let of = named(&pod.holder);
    let image = container.image();
    let (repository, _) = image_parts(image);
    let rolls = matches!(pod.holder.kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet");
    let set = |to: &str| format!("{k} set image {of} {}={to}", container.name);
    let undo = |diagnosis: &mut Diagnosis| {
        if rolls && rollout.is_some() {
            diagnosis.remedies.push(
                Remedy::new("or go back to the former revision")
                    .command(format!("{k} rollout undo {of}"))
                    .caution("it takes back every change of that rollout, not the image alone"),
            );
        }
    };
    match said {
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
            diagnosis.remedies.push(Remedy::new("let the node pull the image, or load it onto the node first").command(format!("{k} patch {of} --type strategic -p '{{\"spec\":{{\"template\":{{\"spec\":{{\"containers\":[{{\"name\":\"{}\",\"imagePullPolicy\":\"IfNotPresent\"}}]}}}}}}}}'", container.name)));
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

/// A pod of which only its events are known.
pub(crate) fn judge_event(world: &World<'_>, event: &Signal) -> Option<Diagnosis> {
    let pod = event.subject.clone()?;
    let said = read(&event.message);
    if !event.message.starts_with("Failed to pull image")
        || matches!(said, Said::Node | Said::Nothing | Said::Unknown | Said::Unreachable | Said::RateLimit)
    {
        return None;
    }
    let image = quoted(&event.message, "image ")?;
    let status = kwhy_sdk::serde_json::json!({
        "spec": {"containers": [{"name": "*", "image": image}]},
        "status": {"containerStatuses": [{"name": "*", "image": image, "state": {"waiting": {"reason": "ErrImagePull", "message": event.message}}}]},
    });
    let pod = Pod::assumed(world, pod, kwhy_sdk::Json::new(status));
    let container = pod.container("*")?;
    let mut diagnosis = diagnose(world, &pod, &container, said, &event.message, Some(event));
    diagnosis.confidence = diagnosis.confidence.min(75);
    Some(diagnosis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_runtimes_are_told_apart() {
        let cases = [
            (
                r#"rpc error: code = NotFound desc = failed to pull and unpack image "ghcr.io/a/b:v9": failed to resolve reference "ghcr.io/a/b:v9": ghcr.io/a/b:v9: not found"#,
                Said::NotFound,
            ),
            (
                "rpc error: code = Unknown desc = Error response from daemon: manifest for a/b:v9 not found: manifest unknown: manifest unknown",
                Said::NotFound,
            ),
            ("reading manifest v9 in quay.io/a/b: manifest unknown", Said::NotFound),
            (
                r#"failed to resolve reference "docker.io/a/b:latest": pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed"#,
                Said::DeniedOrNone,
            ),
            (
                "Error response from daemon: pull access denied for a/b, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
                Said::DeniedOrNone,
            ),
            (
                r#"failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://ghcr.io/token?scope=x: 401 Unauthorized"#,
                Said::Denied,
            ),
            (
                r#"failed to authorize: failed to fetch oauth token: Post "https://auth.docker.io/token": dial tcp: lookup auth.docker.io on 10.0.0.1:53: no such host"#,
                Said::Unreachable,
            ),
            ("no basic auth credentials", Said::Denied),
            (
                r#"failed to do request: Head "https://reg.example/v2/a/manifests/v1": dial tcp 10.1.1.1:443: i/o timeout"#,
                Said::Unreachable,
            ),
            (
                r#"Error response from daemon: Get "https://noimage.com/v2/": x509: certificate is not valid for any names, but wanted to match noimage.com"#,
                Said::Tls,
            ),
            (
                r#"Error response from daemon: Get "https://noimage.com/v2/": net/http: TLS handshake timeout"#,
                Said::Unreachable,
            ),
            ("http: server gave HTTP response to HTTPS client", Said::Tls),
            (
                "429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit.",
                Said::RateLimit,
            ),
            ("no match for platform in manifest: not found", Said::Platform),
            ("no matching manifest for linux/arm64/v8 in the manifest list entries", Said::Platform),
            (
                r#"Failed to apply default image tag "a b": couldn't parse image name "a b": invalid reference format"#,
                Said::BadName,
            ),
            ("failed to extract layer sha256:00: write /x: no space left on device", Said::Node),
            (r#"Back-off pulling image "a:v1""#, Said::Nothing),
            (
                r#"Back-off pulling image "a:v1": ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image "docker.io/library/a:v1": not found"#,
                Said::NotFound,
            ),
        ];
        for (text, said) in cases {
            assert_eq!(read(text), said, "{text}");
        }
    }
}
