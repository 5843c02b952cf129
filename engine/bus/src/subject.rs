//! Subjects: how names of clusters, namespaces and causes become NATS tokens.
//!
//! A token keeps ASCII letters, digits, `-` and `_`; every other byte is `%` and two hex digits, so a dot, a space or
//! a wildcard in a name cannot change the shape of a subject. An empty name is `_` and a name `_` is `%5F`. Up to here
//! [`value`] undoes it. A name whose token would pass 160 bytes (NATS drops connections over long subjects) is cut
//! and ends in `%~` and 32 hex digits of its SHA-256: still one token for one name, but not readable back.

use kwhy_proto::v1::Finding;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};

const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');
const LONGEST: usize = 160;

/// What `KWHY_IN` takes.
pub const INPUT: &str = "kwhy.in.>";
/// Stands for the source where other programs publish what is no signal yet: `kwhy.in.<cluster>.raw.…`.
pub const RAW: &str = "raw";
/// What `KWHY_OUT` takes.
pub const OUTPUT: &str = "kwhy.out.>";
/// What `KWHY_ASK` takes.
pub const REQUESTS: &str = "kwhy.ask.>";
/// All finding revisions in `KWHY_OUT`.
pub const REVISIONS: &str = "kwhy.out.f.*.*.*.*.*.*";
/// Where the server republishes them: cluster, namespace, pack, cause.
pub const REPUBLISHED: &str = "kwhy.findings.{{wildcard(1)}}.{{wildcard(4)}}.{{wildcard(5)}}.{{wildcard(6)}}";

/// One name as one token.
#[must_use]
pub fn token(name: &str) -> String {
    match name {
        "" => return "_".into(),
        "_" => return "%5F".into(),
        _ => {}
    }
    let mut token = utf8_percent_encode(name, ESCAPED).to_string();
    if token.len() > LONGEST {
        token.truncate(LONGEST - 34);
        token.push_str("%~");
        token.extend(Sha256::digest(name).iter().take(16).map(|byte| format!("{byte:02x}")));
    }
    token
}

/// The name behind a token; none where the token is no work of [`token`] or was cut.
#[must_use]
pub fn value(name: &str) -> Option<String> {
    if name == "_" {
        return Some(String::new());
    }
    let decoded = percent_decode_str(name).decode_utf8().ok()?.into_owned();
    (token(&decoded) == name || (name.eq_ignore_ascii_case("%6Ason") && decoded == "json")).then_some(decoded)
}

/// Escaped even though it need not be: `kwhy.findings.json.…` is where the JSON twins are.
fn cluster_token(cluster: &str) -> String {
    if cluster == "json" { "%6Ason".into() } else { token(cluster) }
}

/// Where signals of a cluster, source and namespace go.
#[must_use]
pub fn input(cluster: &str, source: &str, namespace: &str) -> String {
    format!("kwhy.in.{}.{}.{}", cluster_token(cluster), token(source), token(namespace))
}

/// Where requests for logs of a cluster and namespace go.
#[must_use]
pub fn request(cluster: &str, namespace: &str) -> String {
    format!("kwhy.ask.{}.{}", cluster_token(cluster), token(namespace))
}

/// The requests for logs of a cluster.
pub(crate) fn requests_of(cluster: &str) -> String {
    format!("kwhy.ask.{}.*", cluster_token(cluster))
}

/// Where all signals of a cluster and source are.
pub(crate) fn input_of_source(cluster: &str, source: &str) -> String {
    format!("kwhy.in.{}.{}.*", cluster_token(cluster), token(source))
}

/// Where all signals of a cluster are.
pub(crate) fn inputs_of(cluster: &str) -> String {
    format!("kwhy.in.{}.>", cluster_token(cluster))
}

/// Whether a subject of `KWHY_IN` is of that cluster.
pub(crate) fn is_input_of(subject: &str, cluster: &str) -> bool {
    subject.split('.').nth(2) == Some(&cluster_token(cluster))
}

/// What follows `raw` in the subject of a message that another program published as it is, its tokens decoded; none for
/// all other messages. A token that is no work of [`token`] is taken as it stands: others do not know how to make one.
pub(crate) fn raw(subject: &str) -> Option<Vec<String>> {
    let mut tokens = subject.split('.').skip(3);
    (tokens.next() == Some(RAW))
        .then(|| tokens.map(|token| value(token).unwrap_or_else(|| token.to_owned())).collect())
}

/// `pack.cause` as two tokens.
fn code_tokens(code: &str) -> String {
    let (pack, cause) = code.split_once('.').unwrap_or((code, ""));
    format!("{}.{}", token(pack), token(cause))
}

fn namespace(finding: &Finding) -> String {
    token(finding.root.as_ref().map_or("", |root| &root.namespace))
}

/// Where a finding revision is stored.
#[must_use]
pub fn finding(finding: &Finding) -> String {
    format!("{}.{}.{}", identity(finding), namespace(finding), code_tokens(&finding.code))
}

/// What every copy of this revision would be stored under, whatever its namespace and code.
pub(crate) fn copies(finding: &Finding) -> String {
    format!("{}.>", identity(finding))
}

/// Where the checkpoint of a cluster is.
pub(crate) fn checkpoint(cluster: &str) -> String {
    format!("kwhy.out.ckpt.{}", cluster_token(cluster))
}

fn identity(finding: &Finding) -> String {
    format!("kwhy.out.f.{}.{}.{}", cluster_token(&finding.cluster), token(&finding.id), finding.revision)
}

/// Where its JSON twin is published.
#[must_use]
pub fn json(finding: &Finding) -> String {
    let code = code_tokens(&finding.code);
    format!("kwhy.findings.json.{}.{}.{code}", cluster_token(&finding.cluster), namespace(finding))
}

/// The revisions in `KWHY_OUT` of one cluster, namespace and code (`pack` or `pack.cause`); all where none is given.
pub(crate) fn revisions(cluster: Option<&str>, namespace: Option<&str>, code: Option<&str>) -> String {
    let any = || "*".to_owned();
    let code = code.map_or_else(
        || "*.*".to_owned(),
        |code| if code.contains('.') { code_tokens(code) } else { format!("{}.*", token(code)) },
    );
    format!(
        "kwhy.out.f.{}.*.*.{}.{code}",
        cluster.map_or_else(any, cluster_token),
        namespace.map_or_else(any, token)
    )
}

#[cfg(test)]
mod tests {
    use kwhy_proto::v1::ObjectRef;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_cannot_change_the_shape_of_a_subject() {
        assert_eq!(input("prod.eu west", "event", "*"), "kwhy.in.prod%2Eeu%20west.event.%2A");
        assert_eq!(input("a", "alert", ""), "kwhy.in.a.alert._");
        assert_eq!(input("a", ">", "_"), "kwhy.in.a.%3E.%5F");
    }

    #[test]
    fn a_cluster_called_json_is_not_taken_for_the_json_twins() {
        let of_json = Finding { cluster: "json".into(), code: "a.b".into(), ..Finding::default() };
        assert_eq!(json(&of_json), "kwhy.findings.json.%6Ason._.a.b");
        assert!(input("json", "event", "x").starts_with("kwhy.in.%6Ason."));
        assert_eq!(value("%6Ason").as_deref(), Some("json"));
    }

    #[test]
    fn identity_comes_before_what_is_said_of_a_finding() {
        let mut one = Finding {
            cluster: "homelab".into(),
            id: "f1".into(),
            revision: 3,
            code: "coredns.forward-loop".into(),
            root: Some(ObjectRef { namespace: "kube-system".into(), ..ObjectRef::default() }),
            ..Finding::default()
        };
        assert_eq!(finding(&one), "kwhy.out.f.homelab.f1.3.kube-system.coredns.forward-loop");
        let copies_before = copies(&one);
        one.code = "odd".into();
        one.root = None;
        assert_eq!(finding(&one), "kwhy.out.f.homelab.f1.3._.odd._");
        assert_eq!(copies(&one), copies_before, "another code must not make another identity");
    }

    #[test]
    fn a_filter_has_the_shape_of_what_it_selects() {
        assert_eq!(revisions(None, None, None), REVISIONS);
        assert_eq!(revisions(Some("c"), Some("ns"), Some("coredns")), "kwhy.out.f.c.*.*.ns.coredns.*");
        assert_eq!(revisions(None, Some(""), Some("a.b")), "kwhy.out.f.*.*.*._.a.b");
    }

    #[test]
    fn what_is_raw_tells_the_rest_of_its_subject() {
        let raw = |subject| raw(subject).map(|tokens| tokens.join("|"));
        assert_eq!(
            raw("kwhy.in.c.raw.kubelet.ip-1.ec2.internal").as_deref(),
            Some("kubelet|ip-1|ec2|internal")
        );
        assert_eq!(raw("kwhy.in.c.raw.kubelet.a%2Eb").as_deref(), Some("kubelet|a.b"));
        assert_eq!(raw("kwhy.in.c.raw.kubelet.%zz").as_deref(), Some("kubelet|%zz"));
        assert_eq!(raw("kwhy.in.c.raw").as_deref(), Some(""));
        assert_eq!(raw("kwhy.in.c.kubelet.raw"), None);
        assert_eq!(raw("kwhy.in.raw.event._"), None);
    }

    #[test]
    fn the_cluster_of_an_input_subject_is_compared_as_a_whole() {
        assert!(is_input_of(&input("a.b", "event", "x"), "a.b"));
        assert!(!is_input_of(&input("a.b", "event", "x"), "a"));
    }

    proptest! {
        #[test]
        fn every_name_is_one_short_token_that_reads_back(name in ".{0,40}|[a-z0-9.*> _%~-]{0,12}") {
            let token = token(&name);
            prop_assert!(!token.is_empty() && token.len() <= LONGEST);
            prop_assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_%~".contains(&b)), "{token}");
            if !token.contains('~') {
                prop_assert_eq!(value(&token), Some(name));
            }
        }

        #[test]
        fn different_long_names_stay_different(name in "[a-zé.]{150,300}") {
            let other = format!("{name}x");
            prop_assert_ne!(token(&name), token(&other));
            prop_assert!(token(&name).len() <= LONGEST);
        }
    }
}
