//! Marks in a pod template that change nothing its containers do, and let pods be made anew: tools write them after an
//! edit of a ConfigMap or Secret, which is the change that counts.

use crate::{Field, Json, ObjectRef, World};

/// Whether a variable is what Stakater Reloader sets to the hash of a ConfigMap or Secret that it watches.
#[must_use]
pub fn stamp_variable(name: &str) -> bool {
    name.starts_with("STAKATER_") && (name.ends_with("_CONFIGMAP") || name.ends_with("_SECRET"))
}

/// Whether an annotation of a template is one: of `kubectl rollout restart`, of charts that hash what the pods read, of
/// Stakater Reloader.
fn stamp_annotation(key: &str) -> bool {
    key == "kubectl.kubernetes.io/restartedAt"
        || key.starts_with("checksum/")
        || key.split_once('/').is_some_and(|(group, _)| group.ends_with("stakater.com"))
}

/// The texts of a piece of compact JSON, which may be cut.
fn texts(json: &str) -> impl Iterator<Item = &str> {
    json.split('"').skip(1).step_by(2)
}

/// Whether all that a changed field of a workload's template holds are such marks.
#[must_use]
pub fn is_stamp(world: &World<'_>, of: &ObjectRef, field: &Field) -> bool {
    let lines = || field.value.lines().filter_map(|l| l.strip_prefix("+ ").or_else(|| l.strip_prefix("- ")));
    if let Some((_, rest)) = field.name.split_once("/template/metadata/annotations") {
        return match rest.strip_prefix('/') {
            Some(key) => stamp_annotation(&key.replace("~1", "/").replace("~0", "~")),
            None => all(lines().flat_map(|l| texts(l).step_by(2)), stamp_annotation),
        };
    }
    let Some((container, rest)) = field.name.split_once("/env") else { return false };
    if !container.contains("/template/spec/") {
        return false;
    }
    let mut steps = rest.split('/').skip(1);
    match (steps.next(), steps.next()) {
        // One whole variable, or all of them: `{"name":"STAKATER_…","value":"…"}`.
        (_, None) => all(lines().flat_map(named), stamp_variable),
        (Some(at), Some("value")) => {
            let name: Json = world.read(of, &format!("{container}/env/{at}/name")).unwrap_or_default();
            stamp_variable(name.text(""))
        }
        _ => false,
    }
}

/// What stands behind each `"name":` of a piece of JSON.
fn named(json: &str) -> impl Iterator<Item = &str> {
    json.split("\"name\":\"").skip(1).filter_map(|rest| rest.split('"').next())
}

fn all<'a>(mut names: impl Iterator<Item = &'a str>, is: fn(&str) -> bool) -> bool {
    names.next().is_some_and(|first| is(first) && names.all(is))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_and_times_of_restarts_are_marks_and_other_annotations_are_not() {
        for (key, want) in [
            ("kubectl.kubernetes.io/restartedAt", true),
            ("checksum/config", true),
            ("reloader.stakater.com/last-reloaded-from", true),
            ("prometheus.io/scrape", false),
            ("sidecar.istio.io/inject", false),
        ] {
            assert_eq!(stamp_annotation(key), want, "{key}");
        }
        assert!(stamp_variable("STAKATER_SHARED_FLAGS_CONFIGMAP"));
        assert!(!stamp_variable("STAKATER_URL"));
    }

    #[test]
    fn of_a_part_that_came_as_a_whole_each_name_counts() {
        let stamp = r#"{"name":"STAKATER_FLAGS_CONFIGMAP","value":"3351ff"}"#;
        assert!(all(named(&format!("[{stamp}]")), stamp_variable));
        assert!(!all(named(&format!(r#"[{stamp},{{"name":"LOG_LEVEL","value":"debug"}}]"#)), stamp_variable));
        assert!(!all(named(""), stamp_variable));
        let keys = r#"{"checksum/config":"0480","checksum/secret":"93d2"}"#;
        assert!(all(texts(keys).step_by(2), stamp_annotation));
    }
}
