//! What the API server says when it refuses a pod, read from the texts of plugin/pkg/admission (resourcequota,
//! limitranger, serviceaccount, priority, podsecurity by way of pod-security-admission), of
//! apiserver/pkg/admission/plugin (webhook, policy/validating) and of pkg/apis/core/validation.

use crate::{
    missing,
    words::{any, quoted},
};

/// Who denies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum By {
    Webhook(String),
    Policy(String),
    Server,
}

/// What the API server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    Exceeded {
        quota: String,
        sums: String,
    },
    MustSpecify {
        quota: String,
        what: String,
    },
    Limit {
        what: String,
    },
    /// What a LimitRange filled in does not fit what the container asks for itself.
    Unfit {
        what: String,
    },
    PodSecurity {
        what: String,
    },
    Account {
        name: String,
    },
    /// A class that the pod names and nobody made: PriorityClass or RuntimeClass.
    NoClass {
        kind: &'static str,
        name: String,
    },
    Denied {
        by: By,
        what: String,
    },
    Unreachable {
        webhook: String,
        what: String,
    },
}

pub(crate) fn read(text: &str) -> Option<Said> {
    let after = |mark: &str| text.split_once(mark).map(|(_, rest)| rest.trim().to_owned());
    if let Some(rest) = after("exceeded quota: ") {
        let (quota, sums) = rest.split_once(", requested: ").unwrap_or((rest.as_str(), ""));
        return Some(Said::Exceeded { quota: quota.to_owned(), sums: format!("requested: {sums}") });
    }
    if let Some(rest) = after("failed quota: ") {
        let (quota, what) = rest.split_once(": ").unwrap_or((rest.as_str(), ""));
        return Some(Said::MustSpecify { quota: quota.to_owned(), what: what.to_owned() });
    }
    if let Some(rest) =
        after("failed calling webhook ").or_else(|| after("failed calling admission webhook "))
    {
        let webhook = quoted(&rest, "").unwrap_or("").to_owned();
        let what = rest.split_once("\": ").map_or(rest.as_str(), |(_, w)| w).to_owned();
        return Some(Said::Unreachable { webhook, what });
    }
    if text.contains("admission webhook ") && text.contains("denied the request") {
        let by = quoted(text, "admission webhook ").unwrap_or("").to_owned();
        let what = after("denied the request: ").or_else(|| after("denied the request")).unwrap_or_default();
        return Some(Said::Denied { by: By::Webhook(by), what });
    }
    if let Some(rest) = after("ValidatingAdmissionPolicy '") {
        let by = rest.split('\'').next().unwrap_or("").to_owned();
        let what = after("denied request: ").unwrap_or_default();
        return Some(Said::Denied { by: By::Policy(by), what });
    }
    if text.contains("violates PodSecurity")
        || any(
            text,
            &[
                "unable to validate against any pod security policy",
                "PodSecurityPolicy: unable to admit pod",
                "unable to validate against any security context constraint",
            ],
        )
    {
        let what = after("violates PodSecurity ")
            .unwrap_or_else(|| text.rsplit("forbidden: ").next().unwrap_or(text).to_owned());
        return Some(Said::PodSecurity { what });
    }
    if any(text, &["looking up service account", "serviceaccount \""]) && text.contains("not found") {
        return Some(Said::Account { name: missing::service_account(text)?.to_owned() });
    }
    if any(
        text,
        &[
            " usage per Container is ",
            " usage per Pod is ",
            " usage per PersistentVolumeClaim is ",
            " limit to request ratio per ",
            "maximum memory usage",
            "minimum memory usage",
            "maximum cpu usage",
            "minimum cpu usage",
        ],
    ) {
        let what = text.rsplit("forbidden: ").next().unwrap_or(text).to_owned();
        return Some(Said::Limit { what });
    }
    for (kind, mark, end) in [
        ("PriorityClass", "no PriorityClass with name ", " was found"),
        ("RuntimeClass", "RuntimeClass \"", "\" not found"),
    ] {
        if let Some(name) = crate::words::between(text, mark, end) {
            return Some(Said::NoClass { kind, name: name.to_owned() });
        }
    }
    // A namespace that goes, and a quota that was made a moment ago.
    if any(text, &["because it is being terminated", "status unknown for quota"]) {
        return None;
    }
    if let Some(what) = after(" is invalid: ") {
        let unfit = any(&what, &["less than or equal to memory limit", "less than or equal to cpu limit"]);
        return Some(if unfit { Said::Unfit { what } } else { Said::Denied { by: By::Server, what } });
    }
    let what = after(" is forbidden: ")?;
    Some(Said::Denied { by: By::Server, what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_api_server_are_told_apart() {
        let exceeded = read(
            r#"Error creating: pods "api-7f9dd8b6c4-x" is forbidden: exceeded quota: compute, requested: limits.cpu=2, used: limits.cpu=8, limited: limits.cpu=10"#,
        );
        assert_eq!(
            exceeded,
            Some(Said::Exceeded {
                quota: "compute".into(),
                sums: "requested: limits.cpu=2, used: limits.cpu=8, limited: limits.cpu=10".into()
            })
        );
        let must = read(
            r#"Error creating: pods "a" is forbidden: failed quota: ba-test: must specify cpu for: c; memory for: c"#,
        );
        assert_eq!(
            must,
            Some(Said::MustSpecify {
                quota: "ba-test".into(),
                what: "must specify cpu for: c; memory for: c".into()
            })
        );
        for text in [
            "maximum cpu usage per Container is 700m, but limit is 900m",
            "minimum memory usage per Container is 100Mi, but request is 80Mi",
            "cpu max limit to request ratio per Container is 2, but provided ratio is 4.000000",
        ] {
            assert!(
                matches!(read(&format!("Error creating: pods \"a\" is forbidden: {text}")), Some(Said::Limit { what }) if what == text),
                "{text}"
            );
        }
        let webhook = read(
            r#"Error creating: Internal error occurred: failed calling webhook "validate.kyverno.svc-fail": failed to call webhook: Post "https://kyverno-svc.kyverno.svc:443/validate/fail?timeout=10s": dial tcp 10.96.1.1:443: connect: connection refused"#,
        );
        assert!(
            matches!(&webhook, Some(Said::Unreachable { webhook, what }) if webhook == "validate.kyverno.svc-fail" && what.ends_with("connection refused")),
            "{webhook:?}"
        );
        let denied = read(
            r#"create Pod db-0 in StatefulSet db failed error: admission webhook "policy.example" denied the request: no latest tag"#,
        );
        assert_eq!(
            denied,
            Some(Said::Denied { by: By::Webhook("policy.example".into()), what: "no latest tag".into() })
        );
        assert!(matches!(
            read(
                r#"Error creating: pods "a" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false"#
            ),
            Some(Said::PodSecurity { .. })
        ));
        assert_eq!(
            read(
                r#"Error creating: pods "a" is forbidden: error looking up service account shop/robot: serviceaccount "robot" not found"#
            ),
            Some(Said::Account { name: "robot".into() })
        );
        for (text, name) in [
            (r#"pods "a-" is forbidden: no PriorityClass with name high was found"#, "high"),
            (r#"pods "a" is forbidden: pod rejected: RuntimeClass "gvisor" not found"#, "gvisor"),
        ] {
            assert!(matches!(read(text), Some(Said::NoClass { name: n, .. }) if n == name), "{text}");
        }
        assert_eq!(
            read(
                r#"Error creating: pods "a-" is forbidden: unable to create new content in namespace x because it is being terminated"#
            ),
            None
        );
        assert_eq!(read("Error creating: Timeout: request did not complete within requested timeout"), None);
    }
}
