//! `workload.missing-secret` of an Ingress: the certificate that it names does not exist, so its controller serves one of
//! its own, which no browser trusts.
//!
//! Texts of ingress-nginx (internal/ingress/controller/controller.go, store/backend_ssl.go) and traefik
//! (pkg/provider/kubernetes/ingress).

use kwhy_sdk::{
    Clearing, Diagnosis, Evidence, Explains, ObjectRef, Pattern, Remedy, Signal, Step, Verdict, World, hours,
    minutes,
};

use crate::{
    look, missing,
    words::{between, hash, kubectl, short, spoken},
};

/// An ingress controller that misses a certificate.
pub(crate) const LINE: &str = "workload-certificate";

/// A certificate is often issued minutes after its Ingress is made.
const PATIENCE: u64 = minutes(5);
/// Until it is there it is looked for as often as that.
const AGAIN: u64 = minutes(10);
const KEEP: u64 = hours(24 * 7);

pub(crate) fn patterns() -> Vec<Pattern> {
    let nginx =
        r#"Error getting SSL certificate "(?P<secret>[^"]+)": local SSL certificate \S+ was not found"#;
    let traefik = r"Error configuring TLS[^\n]*secret \S+ does not exist";
    vec![
        Pattern::new(LINE, "Error getting SSL certificate", nginx),
        Pattern::new(LINE, "Error configuring TLS", traefik),
    ]
}

fn of_line(text: &str) -> Option<ObjectRef> {
    let path = between(text, "Error getting SSL certificate \"", "\"")
        .or_else(|| between(text, "secret ", " does not exist"))?;
    let (namespace, name) = path.split_once('/')?;
    Some(ObjectRef::new("Secret", namespace, name))
}

fn slot(secret: &ObjectRef) -> String {
    format!("t/{}", hash(&secret.path()))
}

/// A line of an ingress controller.
pub(crate) fn told(world: &World<'_>, line: &Signal) -> Verdict {
    let Some(secret) = of_line(&line.message).filter(|s| !world.exists(s)) else { return Verdict::default() };
    let known = world.recall::<String>(&slot(&secret)).is_some();
    world.remember(&slot(&secret), &format!("{}\n{}", line.id, short(&line.message, 300)), KEEP);
    if known { Verdict::default() } else { look::later(world, &secret, world.now() + PATIENCE) }
}

/// Looks whether the certificate is there by now.
pub(crate) fn examine(world: &World<'_>, secret: &ObjectRef) -> Verdict {
    let Some(line) = world.recall::<String>(&slot(secret)) else { return Verdict::default() };
    let users: Vec<ObjectRef> = world
        .list("Ingress", &secret.namespace)
        .into_iter()
        .filter(|i| {
            let tls = world.read(i, "/spec/tls").unwrap_or_default();
            tls.list("").iter().any(|t| t.text("/secretName") == secret.name)
        })
        .collect();
    if world.exists(secret) || users.is_empty() {
        world.forget(&slot(secret));
        let over =
            Clearing::new(missing::SECRET, secret, "the certificate is there, or not asked for any more");
        return Verdict { cleared: vec![over], ..Verdict::default() };
    }
    let mut verdict = look::later(world, secret, world.now() + AGAIN);
    verdict.diagnoses.push(diagnose(world, secret, &users, &line));
    verdict
}

fn diagnose(world: &World<'_>, secret: &ObjectRef, users: &[ObjectRef], line: &str) -> Diagnosis {
    let mut diagnosis = Diagnosis::new(missing::SECRET, secret.clone());
    diagnosis.confidence = 88;
    let names: Vec<String> = users.iter().map(spoken).collect();
    diagnosis.title =
        format!("The certificate {} of {} does not exist", spoken(secret), crate::words::listed(&names));
    diagnosis.explanation = "The ingress controller finds no Secret of that name and serves its own default certificate over TLS, which clients do not trust.".into();
    let (id, text) = line.split_once('\n').unwrap_or(("", line));
    diagnosis.evidence.push(Evidence {
        signal: Some(id.to_owned()),
        object: None,
        excerpt: text.to_owned(),
        weight: 50,
        note: "what the ingress controller says".into(),
    });
    let gone =
        world.changes(secret, "self", world.ago(hours(2)), 3).into_iter().find(|c| c.name == "DELETED");
    if let Some(gone) = gone {
        diagnosis.explanation.push_str(&format!(" It was deleted at {} UTC.", kwhy_sdk::clock(gone.at)));
        diagnosis.evidence.push(Evidence::signal(&gone, 45, "its deletion").citing("deleted"));
    }
    diagnosis.path.push(Step::new(secret, "", "does not exist"));
    for ingress in users.iter().take(5) {
        diagnosis.path.push(Step::new(secret, "", ""));
        diagnosis.path.push(Step::new(ingress, "used-by", "served with the default certificate"));
        diagnosis.explains.push(Explains::alert("*", ingress, "self"));
    }
    let k = kubectl(&secret.namespace);
    diagnosis.remedies.push(
        Remedy::new("bring the certificate back: by what issues it, or from where it is kept")
            .command(format!("{k} get certificate,certificaterequest     # where cert-manager issues it"))
            .command(format!("{k} create secret tls {} --cert=<file> --key=<file>", secret.name)),
    );
    diagnosis
}
