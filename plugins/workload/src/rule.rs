//! The rule behind a denial: a policy of Kyverno or of the API server, or a webhook whose rules are not seen.
//!
//! A workload that breaks a rule which has long stood is to be mended; a rule that came later, or that several workloads
//! meet, is the cause of all their trouble.

use kwhy_sdk::{
    Json, ObjectRef, World, hours,
    serde_json::{Value, json},
};

use crate::{
    admission::of_webhook,
    refusal::{By, Said},
    words::{hash, named},
};

/// How long ago a rule may have come to be what changed, and refusals of it count together.
const RECENT: u64 = hours(2);

/// The object that holds the rule.
pub(crate) fn object_of(world: &World<'_>, by: &By, what: &str) -> Option<ObjectRef> {
    match by {
        By::Policy(name) => {
            Some(ObjectRef::new("ValidatingAdmissionPolicy", "", name)).filter(|p| world.exists(p))
        }
        By::Webhook(name) => kyverno(world, what).or_else(|| of_webhook(world, name, "").0),
        By::Server => None,
    }
}

/// Kyverno (pkg/webhooks/utils/block.go) names its policies as the keys of a YAML text:
/// `… was blocked due to the following policies\n\nrequire-labels:\n  check-labels: 'validation error: …'`.
fn kyverno(world: &World<'_>, what: &str) -> Option<ObjectRef> {
    let (head, rest) = what.split_once("due to the following policies")?;
    let name = rest.split_whitespace().find(|w| w.ends_with(':') && w.len() > 1)?.trim_end_matches(':');
    let namespace = head.split("resource ").nth(1).and_then(|r| r.split('/').nth(1)).unwrap_or("");
    [ObjectRef::new("Policy", namespace, name), ObjectRef::new("ClusterPolicy", "", name)]
        .into_iter()
        .find(|p| world.exists(p))
}

fn key(rule: &ObjectRef) -> String {
    format!("r/{}", hash(&format!("{}/{}", rule.kind, rule.path())))
}

/// The controllers that a rule has refused pods of.
fn refused(world: &World<'_>, rule: &ObjectRef) -> Vec<ObjectRef> {
    let json = world.recall::<Json>(&key(rule)).unwrap_or_default();
    json.list("").iter().map(|o| ObjectRef::new(o.text("/0"), o.text("/1"), o.text("/2"))).collect()
}

/// Notes that a rule refuses pods of this controller; the first that it refused, where this is the second.
pub(crate) fn met(world: &World<'_>, of: &ObjectRef, said: &Said) -> Option<ObjectRef> {
    let Said::Denied { by, what } = said else { return None };
    let rule = object_of(world, by, what)?;
    let mut all = refused(world, &rule);
    let news = all.iter().all(|o| world.workload(o) != world.workload(of));
    if news && all.len() < 2 {
        all.push(of.clone());
    }
    let list: Value = all.iter().map(|o| json!([o.kind, o.namespace, o.name])).collect();
    world.remember(&key(&rule), &list, RECENT);
    all.into_iter().next().filter(|_| news)
}

/// Whether the rule, more than the workload, is what to look at.
pub(crate) fn to_blame(world: &World<'_>, rule: &ObjectRef) -> bool {
    refused(world, rule).len() > 1 || !world.changes(rule, "self", world.ago(RECENT), 1).is_empty()
}

/// Shows the rule that denies.
pub(crate) fn shown(by: &By, object: Option<&ObjectRef>) -> String {
    match (by, object) {
        (_, Some(rule)) if rule.kind == "Policy" => {
            format!("kubectl -n {} edit {}", rule.namespace, named(rule))
        }
        (_, Some(rule)) if rule.kind.ends_with("Policy") => format!("kubectl edit {}", named(rule)),
        (_, Some(config)) => format!("kubectl get {} -o yaml", named(config)),
        (By::Policy(name), None) => format!("kubectl edit validatingadmissionpolicy {name}"),
        (By::Webhook(_), None) => {
            "kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations".into()
        }
        (By::Server, None) => {
            "kubectl get validatingadmissionpolicies,validatingwebhookconfigurations".into()
        }
    }
}
