//! `workload.selector-mismatch` where no client's log was collected: an ingress controller says that a Service has no
//! endpoint, an alert is about a Service that selects nothing, or its selector was changed just now.
//!
//! Texts of ingress-nginx (internal/ingress/controller/controller.go) and traefik (pkg/provider/kubernetes).

use kwhy_sdk::{
    Clearing, Diagnosis, Evidence, Explains, ObjectRef, Pattern, Signal, Verdict, World, minutes,
};

use crate::{
    look, service,
    words::{between, hash, short},
};

/// An ingress controller that finds nothing behind a Service.
pub(crate) const LINE: &str = "workload-no-endpoint";

/// A rollout and a new Service have no endpoint for a while.
const PATIENCE: u64 = minutes(3);
/// Lines of this kind count for so long.
const RECENT: u64 = minutes(30);

pub(crate) fn patterns() -> Vec<Pattern> {
    let nginx = r#"Service "(?P<service>[^"/]+/[^"]+)" does not have any active Endpoint"#;
    let traefik = r#"(?i)(?:endpoints not found for|no endpoints found)[^\n]*"#;
    vec![
        Pattern::new(LINE, "does not have any active Endpoint", nginx),
        Pattern::new(LINE, "endpoints", traefik),
    ]
}

/// The Service that an ingress controller complains of.
fn of_line(line: &Signal) -> Option<ObjectRef> {
    let text = &line.message;
    let path = between(text, "Service \"", "\" does not have any active Endpoint")
        .and_then(|p| p.split_once('/'))
        .or_else(|| {
            between(text, "endpoints not found for ", "\"")
                .and_then(|p| p.trim_end_matches('\\').split_once('/'))
        });
    if let Some((namespace, name)) = path {
        return Some(ObjectRef::new("Service", namespace, name));
    }
    // traefik: `… "Skipping service: no endpoints found" namespace=web serviceName=wiki servicePort=80`
    let field = |name: &str| {
        let (_, rest) = text.split_once(&format!("{name}="))?;
        Some(rest.split(' ').next().unwrap_or(rest).trim_matches(['"', '&', '{', '}']))
    };
    Some(ObjectRef::new("Service", field("namespace")?, field("serviceName")?))
}

/// A line of an ingress controller.
pub(crate) fn told(world: &World<'_>, line: &Signal) -> Verdict {
    let Some(service) = of_line(line).filter(|s| world.exists(s)) else { return Verdict::default() };
    let key = format!("e/{}", hash(&service.path()));
    let known: Option<String> = world.recall(&key);
    world.remember(&key, &format!("{}\n{}", line.id, short(&line.message, 300)), RECENT);
    if known.is_some() {
        return Verdict::default();
    }
    look::later(world, &service, world.now() + PATIENCE)
}

/// A new state of a Service.
pub(crate) fn changed(world: &World<'_>, of: &ObjectRef, signal: &Signal) -> Verdict {
    if signal.name != "MODIFIED" {
        return Verdict::default();
    }
    let about = |name: &str| name.starts_with("/spec/selector") || name.starts_with("/spec/ports");
    if !signal.fields.iter().any(|f| about(&f.name)) {
        return Verdict::default();
    }
    if service::backend(world, of).is_some() {
        let over = Clearing::new(service::SELECTOR, of, "it selects pods again");
        return Verdict { cleared: vec![over], ..Verdict::default() };
    }
    look::later(world, of, world.now() + PATIENCE)
}

/// Looks at a Service that may select nothing.
pub(crate) fn examine(world: &World<'_>, of: &ObjectRef) -> Verdict {
    let found = service::unselected(world, of)
        .or_else(|| service::unnamed_port(world, of))
        .map(|found| finish(world, of, found));
    Verdict { diagnoses: found.into_iter().collect(), ..Verdict::default() }
}

fn finish(world: &World<'_>, of: &ObjectRef, mut found: Diagnosis) -> Diagnosis {
    found.confidence = found.confidence.saturating_sub(5);
    if let Some(line) = world.recall::<String>(&format!("e/{}", hash(&of.path()))) {
        let (id, text) = line.split_once('\n').unwrap_or(("", line.as_str()));
        found.evidence.push(Evidence {
            signal: Some(id.to_owned()),
            object: None,
            excerpt: text.to_owned(),
            weight: 40,
            note: "the ingress controller finds nothing behind it".into(),
        });
    }
    found.explains.push(Explains::alert("*", of, "self"));
    for ingress in world.related(of, "used-by").into_iter().filter(|o| o.kind == "Ingress") {
        found.explains.push(Explains::alert("*", &ingress, "self"));
    }
    found
}
