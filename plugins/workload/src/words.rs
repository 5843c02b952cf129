//! Small readings of the texts that Kubernetes writes, and the words in which kubectl is told of objects.

use kwhy_sdk::ObjectRef;

/// What stands between two marks, the first time that both are there.
pub(crate) fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(from)?;
    rest.split_once(to).map(|(inside, _)| inside)
}

/// The quoted text after a mark: `"x"` in `secret "x" not found`.
pub(crate) fn quoted<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    between(text, &format!("{mark}\""), "\"")
}

pub(crate) fn any(text: &str, of: &[&str]) -> bool {
    of.iter().any(|part| text.contains(part))
}

/// `deployment/checkout`, as kubectl takes it.
pub(crate) fn named(object: &ObjectRef) -> String {
    format!("{}/{}", object.kind.to_ascii_lowercase(), object.name)
}

/// `Deployment shop/checkout`, for people.
pub(crate) fn spoken(object: &ObjectRef) -> String {
    format!("{} {}", object.kind, object.path())
}

/// `kubectl -n shop`.
pub(crate) fn kubectl(namespace: &str) -> String {
    if namespace.is_empty() { "kubectl".into() } else { format!("kubectl -n {namespace}") }
}

/// A template's change by `kubectl set`, which knows the built-in kinds only; for others the editor, with what to set.
pub(crate) fn set(holder: &ObjectRef, what: &str, to: &str) -> String {
    let k = kubectl(&holder.namespace);
    let known = [
        "Pod",
        "Deployment",
        "StatefulSet",
        "DaemonSet",
        "ReplicaSet",
        "ReplicationController",
        "CronJob",
        "Job",
    ];
    if known.contains(&holder.kind.as_str()) {
        format!("{k} set {what} {} {to}", named(holder))
    } else {
        format!("{k} edit {}     # {what}: {to}", named(holder))
    }
}

/// A strategic merge patch of a template, which the API server knows for the built-in kinds only; for others the editor.
pub(crate) fn strategic(holder: &ObjectRef, patch: &str) -> String {
    let k = kubectl(&holder.namespace);
    if holder.kind == ROLLOUT {
        format!("{k} edit {}     # {patch}", named(holder))
    } else {
        format!("{k} patch {} --type strategic -p '{patch}'", named(holder))
    }
}

/// The kind of Argo Rollouts, which makes ReplicaSets as a Deployment does and has a kubectl plugin of its own.
pub(crate) const ROLLOUT: &str = "Rollout";

/// Back to the former revision of a template; none of what keeps none.
pub(crate) fn undo(holder: &ObjectRef) -> Option<String> {
    again(holder, "undo")
}

/// Lets the pods of a template be made anew, one after the other; none of what cannot.
pub(crate) fn restart(holder: &ObjectRef) -> Option<String> {
    again(holder, "restart")
}

fn again(holder: &ObjectRef, verb: &str) -> Option<String> {
    match holder.kind.as_str() {
        "Deployment" | "StatefulSet" | "DaemonSet" => {
            Some(format!("{} rollout {verb} {}", kubectl(&holder.namespace), named(holder)))
        }
        ROLLOUT => Some(format!("kubectl argo rollouts -n {} {verb} {}", holder.namespace, holder.name)),
        _ => None,
    }
}

/// Cuts a text to about `most` bytes at a character, in the middle, where long messages say least.
pub(crate) fn short(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let half = most / 2;
    let head: String = text.chars().take(half).collect();
    let tail: Vec<char> = text.chars().rev().take(half).collect();
    format!("{head}…{}", tail.iter().rev().collect::<String>())
}

/// A list for people, cut after five: `a, b and 3 more`.
pub(crate) fn listed(names: &[String]) -> String {
    match names.get(5..) {
        Some(rest) if !rest.is_empty() => {
            format!("{} and {} more", names.get(..5).unwrap_or_default().join(", "), rest.len())
        }
        _ => names.join(", "),
    }
}

/// Repository and tag of an image reference; the tag is empty where there is none, a digest counts as one.
pub(crate) fn image_parts(image: &str) -> (&str, &str) {
    if let Some((name, digest)) = image.split_once('@') {
        return (name, digest);
    }
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (image, ""),
    }
}

/// The registry host of an image reference, as the container runtimes default it.
pub(crate) fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "docker.io",
    }
}

/// FNV-1a, for telling whether a text is the same as before.
pub(crate) fn hash(text: &str) -> String {
    let mut at: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in text.bytes() {
        at = (at ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{at:x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_no_tag_and_a_name_without_host_comes_from_docker_hub() {
        assert_eq!(image_parts("reg:5000/a/b"), ("reg:5000/a/b", ""));
        assert_eq!(image_parts("reg:5000/a/b:v1"), ("reg:5000/a/b", "v1"));
        assert_eq!(image_parts("a@sha256:00"), ("a", "sha256:00"));
        assert_eq!(
            (registry("nginx"), registry("a/b"), registry("ghcr.io/a/b")),
            ("docker.io", "docker.io", "ghcr.io")
        );
    }

    #[test]
    fn a_long_text_keeps_both_ends() {
        assert_eq!(short("short", 10), "short");
        assert_eq!(short("0123456789abcdef", 10), "01234…bcdef");
        assert_eq!(short("ééééééééé", 8).chars().count(), 9);
    }
}
