//! `workload.certificate-expired`: a server of the cluster answers with a certificate that is over, so those who need it do
//! not talk to it.
//!
//! Texts of Go (crypto/x509 `CertificateInvalidError`), OpenSSL (`X509_V_ERR_CERT_HAS_EXPIRED`) and what stands on it
//! (curl, Python, Node.js, nginx, Envoy), Java (`CertificateExpiredException`) and rustls. What issues certificates:
//! cert-manager (pkg/apis/certmanager/v1, alerts of its mixin).

use kwhy_sdk::{Diagnosis, Evidence, Explains, ObjectRef, Remedy, Signal, Step, World, hours};

use crate::{
    pod::Pod,
    service,
    words::{between, kubectl, named, restart, spoken},
};

pub(crate) const CODE: &str = "workload.certificate-expired";

/// What keeps the certificate of the pods behind a Service: the Certificate of cert-manager, and its Secret.
fn keeper(world: &World<'_>, behind: &ObjectRef) -> (Option<ObjectRef>, Option<ObjectRef>) {
    // Of a Secret the names of its keys are known, not what they hold.
    let tls = |s: &ObjectRef| {
        world.read(s, "/type").is_some_and(|kind| kind.text("") == "kubernetes.io/tls")
            || world.text(s, "/data").is_some_and(|data| data.contains("\"tls.crt\""))
    };
    let used: Vec<ObjectRef> =
        world.related(behind, "uses").into_iter().filter(|o| o.kind == "Secret").collect();
    let issued = world.list("Certificate", &behind.namespace).into_iter().find_map(|certificate| {
        let name = world.read(&certificate, "/spec/secretName").unwrap_or_default();
        let name = if name.text("").is_empty() { certificate.name.clone() } else { name.text("").to_owned() };
        used.iter().find(|s| s.name == name).map(|s| (certificate, s.clone()))
    });
    match issued {
        Some((certificate, secret)) => (Some(certificate), Some(secret)),
        None => (None, used.iter().find(|s| tls(s)).cloned()),
    }
}

/// Alerts of cert-manager's mixin about a certificate, which name it in a label only.
fn measured(world: &World<'_>, certificate: &ObjectRef) -> Vec<Signal> {
    let of = ObjectRef::new("Cluster", "", world.cluster());
    let all = world.about(&of, "cluster", "alert", "CertManager*", world.ago(hours(24 * 7)), 50);
    let about = |a: &Signal| {
        let place = [a.field("exported_namespace"), a.field("namespace")];
        a.state == "firing"
            && a.field("name") == certificate.name
            && place.contains(&certificate.namespace.as_str())
    };
    all.into_iter().filter(about).collect()
}

pub(crate) fn judge(world: &World<'_>, pod: &Pod, line: &Signal) -> Option<Diagnosis> {
    let service = service::asked(world, line, &pod.id.namespace)?;
    let behind = world.related(&service, "selects").into_iter().next()?;
    let workload = world.workload(&behind);
    if workload.is(&pod.workload) {
        return None;
    }
    let (certificate, secret) = keeper(world, &behind);
    let root = certificate.clone().or_else(|| secret.clone()).unwrap_or_else(|| service.clone());
    let mut d = Diagnosis::new(CODE, root.clone());
    d.confidence = if root.is(&service) { 80 } else { 88 };
    d.severity = "critical".into();
    let until = between(&line.message, " is after ", "Z").map_or(String::new(), |at| format!(" at {at}Z"));
    d.title = format!("The certificate of {} has expired{until}", spoken(&service));
    d.explanation = format!(
        "{} answers with a certificate that is over, so its clients end the connection.{}",
        spoken(&workload),
        match (&certificate, &secret) {
            (Some(c), Some(s)) => format!(
                " It lies in {}, which cert-manager renews for {}, and has not.",
                spoken(s),
                spoken(c)
            ),
            (_, Some(s)) => format!(" It lies in {}.", spoken(s)),
            _ => String::new(),
        }
    );
    d.path = vec![Step::new(&root, "", "has expired"), Step::new(&behind, "", "")];
    if let Some(certificate) = &certificate {
        let ready = world.condition(certificate, "Ready");
        if ready.fails() {
            d.evidence.push(Evidence::object(
                certificate,
                ready.quote("Ready"),
                50,
                "what cert-manager says of it",
            ));
        }
        for alert in measured(world, certificate) {
            d.explains.extend(alert.subject.iter().map(|of| Explains::alert(&alert.name, of, "self")));
            d.evidence.push(Evidence::signal(&alert, 30, "measured"));
        }
    }
    let k = kubectl(&service.namespace);
    if let Some(certificate) = &certificate {
        d.remedies.push(
            Remedy::new("see why cert-manager does not renew it: the issuer, the order, the challenge")
                .command(format!("{k} describe certificate {}", certificate.name))
                .command(format!("{k} get certificaterequest,order,challenge"))
                .command("kubectl -n cert-manager logs deploy/cert-manager --tail=50"),
        );
    }
    let mut renew =
        Remedy::new("put a certificate in its place that is valid, and let the server take it up");
    if let Some(secret) = &secret {
        renew = renew.command(format!(
            "{k} get secret {} -o jsonpath='{{.data.tls\\.crt}}' | base64 -d | openssl x509 -noout -subject -dates",
            secret.name
        ));
    }
    let again = restart(&workload).unwrap_or_else(|| format!("{k} describe {}", named(&workload)));
    d.remedies.push(renew.command(again));
    Some(service::needed(world, d, pod, line))
}
