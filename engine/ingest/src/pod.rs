//! Which pod a component's log line speaks of.
//!
//! The kubelet names pods as `namespace/name` in structured pairs and as `name_namespace(uid)` in text
//! (kubernetes/pkg/kubelet/util/format/pod.go). The first pod that is named counts.

use std::borrow::Cow;

use kwhy_proto::v1::ObjectRef;
use serde_json::Value;

use crate::{klog, text};

/// How much of a text is searched.
const LOOK: usize = 64 * 1024;
/// Longest name and namespace, with the line between them.
const NAMES: usize = 253 + 1 + 63;

/// What structured pairs say of pods.
#[derive(Debug, Default)]
pub struct Named<'t> {
    values: [Option<Cow<'t, str>>; KEYS.len()],
}

/// The keys by which components name pods.
const KEYS: [&str; 5] = ["pod", "podNamespace", "podName", "pods", "podUID"];

impl<'t> Named<'t> {
    /// Takes in a pair; of a key that comes twice the last counts.
    pub fn hear(&mut self, key: &str, value: Cow<'t, str>) {
        // All of them begin alike; of most pairs this is the end.
        if !key.starts_with("pod") {
            return;
        }
        let slot = KEYS.iter().position(|known| *known == key).and_then(|at| self.values.get_mut(at));
        if let Some(slot) = slot {
            *slot = Some(klog::safe(value));
        }
    }

    /// The pod that is named: by `pod`, else by `podNamespace` and `podName`, else by `pods` with just one.
    #[must_use]
    pub fn pod(&self) -> Option<ObjectRef> {
        let [pod, namespace, name, pods, uid] = self.values.each_ref().map(|value| value.as_deref());
        let mut pod = pod
            .and_then(one)
            .or_else(|| reference(namespace?, name?, ""))
            .or_else(|| one(pods?.strip_prefix('[')?.strip_suffix(']')?.trim_matches('"')))?;
        if pod.uid.is_empty() {
            pod.uid = uid.map(api_uid).unwrap_or_default().to_owned();
        }
        Some(pod)
    }
}

/// The first `name_namespace(uid)` in a text.
#[must_use]
pub fn in_text(text: &str) -> Option<ObjectRef> {
    let text = text::prefix(text, LOOK);
    memchr::memchr_iter(b'(', text.as_bytes()).find_map(|open| {
        let uid = text.get(open + 1..)?;
        let uid = uid.get(..uid.bytes().take(37).position(|b| b == b')')?)?;
        if !(uid.len() == 36 || uid.len() == 32) || !uid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
            return None;
        }
        // Nothing but the characters of a name stand in one, so both parts start after the last that cannot.
        let before = text.get(text.floor_char_boundary(open.saturating_sub(NAMES))..open)?;
        let (before, namespace) = before.rsplit_once('_')?;
        let name = before.rsplit(|c: char| !is_name_char(c)).next()?;
        reference(namespace, name, uid)
    })
}

/// A pod as one value: `namespace/name`, `name_namespace(uid)` or an object with both.
fn one(value: &str) -> Option<ObjectRef> {
    if let Some((namespace, name)) = value.split_once('/') {
        return reference(namespace, name, "");
    }
    if value.starts_with('{') {
        let value: Value = serde_json::from_str(value).ok()?;
        return reference(value.get("namespace")?.as_str()?, value.get("name")?.as_str()?, "");
    }
    in_text(value)
}

fn reference(namespace: &str, name: &str, uid: &str) -> Option<ObjectRef> {
    let valid = |text: &str, limit| !text.is_empty() && text.len() <= limit && text.chars().all(is_name_char);
    (valid(namespace, 63) && valid(name, 253)).then(|| ObjectRef {
        kind: "Pod".to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        uid: api_uid(uid).to_owned(),
    })
}

/// A uid that the API server knows. The kubelet gives a static pod the hash of its manifest (32 digits, no dashes); its
/// mirror in the API has another.
fn api_uid(uid: &str) -> &str {
    if uid.len() == 36 && uid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') { uid } else { "" }
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UID: &str = "6a1bb3cd-8af1-4330-a953-da78b26c352f";

    fn in_values(pairs: &[(&str, &str)]) -> Option<ObjectRef> {
        let mut named = Named::default();
        for (key, value) in pairs {
            named.hear(key, Cow::Borrowed(value));
        }
        named.pod()
    }

    fn pod(namespace: &str, name: &str, uid: &str) -> Option<ObjectRef> {
        Some(ObjectRef {
            kind: "Pod".into(),
            namespace: namespace.into(),
            name: name.into(),
            uid: uid.into(),
        })
    }

    #[test]
    fn pairs_name_a_pod_in_several_ways() {
        assert_eq!(in_values(&[("pod", "ns/web-0"), ("podUID", UID)]), pod("ns", "web-0", UID));
        assert_eq!(in_values(&[("pod", &format!("web-0_ns({UID})"))]), pod("ns", "web-0", UID));
        assert_eq!(in_values(&[("podNamespace", "ns"), ("podName", "web-0")]), pod("ns", "web-0", ""));
        assert_eq!(in_values(&[("pods", "[\"ns/web-0\"]")]), pod("ns", "web-0", ""));
        assert_eq!(in_values(&[("pods", "[ns/web-0]")]), pod("ns", "web-0", ""));
        assert_eq!(in_values(&[("pods", r#"[{"name":"web-0","namespace":"ns"}]"#)]), pod("ns", "web-0", ""));
    }

    #[test]
    fn more_than_one_pod_or_none_is_no_subject() {
        assert_eq!(in_values(&[("pods", r#"["ns/web-0","ns/web-1"]"#)]), None);
        assert_eq!(in_values(&[("pods", "[]")]), None);
        assert_eq!(in_values(&[("pod", "/"), ("podUID", UID)]), None);
    }

    #[test]
    fn text_names_a_pod_with_its_uid() {
        let text = format!(
            "Error (x) syncing pod {UID} (\"coredns-66bff467f8-k2g6n_kube-system({UID})\"), skipping"
        );
        assert_eq!(in_text(&text), pod("kube-system", "coredns-66bff467f8-k2g6n", UID));
        assert_eq!(in_text(&format!("pod=a_b({UID}) c_d({UID})")), pod("b", "a", UID), "the first counts");
        assert_eq!(in_text("prober_test.go(12) _ns() x_y(zzz)"), None);
    }

    #[test]
    fn a_static_pod_has_no_uid_that_the_api_knows() {
        let hash = "3f0d9f48e4b4bfb92bfff3d94ff28aa0";
        assert_eq!(in_text(&format!("etcd-cp1_kube-system({hash})")), pod("kube-system", "etcd-cp1", ""));
        assert_eq!(in_values(&[("pod", "kube-system/etcd-cp1"), ("podUID", hash)]).unwrap().uid, "");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-z_(){}/\\[\\]ä\"-]*", tail in "[0-9a-f-]{30,37}") {
            let _ = in_text(&text);
            let _ = in_text(&format!("{text}({tail}){text}"));
            let _ = in_values(&[("pod", &text), ("pods", &text), ("podUID", &tail)]);
        }
    }
}
