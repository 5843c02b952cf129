//! `control-plane.certificate-expiring`: a certificate with which somebody speaks to the API server runs out, or has.

use kwhy_sdk::{Diagnosis, Evidence, Explains, ObjectRef, Remedy, Signal, Step, World, hours};

use crate::{
    WINDOW, line,
    part::{Part, cluster, firing, told},
};

pub(crate) const CODE: &str = "control-plane.certificate-expiring";

/// Alerts of kubernetes-mixin that measure the time that is left, or renewals that fail.
pub(crate) const ALERTS: [&str; 5] = [
    "KubeClientCertificateExpiration",
    "KubeletClientCertificateExpiration",
    "KubeletServerCertificateExpiration",
    "KubeletClientCertificateRenewalErrors",
    "KubeletServerCertificateRenewalErrors",
];

/// One finding for each node, and one for the clients of the API server as a whole.
pub(crate) fn expiring(world: &World<'_>) -> Vec<Diagnosis> {
    let alerts = firing(world, &ALERTS, world.ago(hours(24 * 30)));
    let expired = told(world, Part::ApiServer, line::EXPIRED, world.ago(WINDOW));
    let mut out = Vec::new();
    let (of_clients, of_kubelets): (Vec<Signal>, Vec<Signal>) =
        alerts.into_iter().partition(|a| a.name == "KubeClientCertificateExpiration");
    if !of_clients.is_empty() || expired.len() >= 3 {
        out.push(clients(world, &of_clients, &expired));
    }
    let mut nodes: Vec<ObjectRef> = Vec::new();
    for subject in of_kubelets.iter().filter_map(|a| a.subject.as_ref()) {
        if !nodes.iter().any(|n| n.is(subject)) {
            nodes.push(subject.clone());
        }
    }
    for node in nodes {
        let own: Vec<&Signal> =
            of_kubelets.iter().filter(|a| a.subject.as_ref().is_some_and(|s| s.is(&node))).collect();
        out.push(kubelet(&node, &own));
    }
    out
}

fn severity(alerts: &[&Signal]) -> String {
    let urgent = alerts.iter().any(|a| a.field("severity") == "critical");
    if urgent { "critical" } else { "warning" }.to_owned()
}

fn clients(world: &World<'_>, alerts: &[Signal], expired: &[Signal]) -> Diagnosis {
    let pod = expired.first().and_then(|l| l.subject.clone());
    let root = cluster(world);
    let mut d = Diagnosis::new(CODE, root.clone());
    d.severity =
        if expired.is_empty() { severity(&alerts.iter().collect::<Vec<_>>()) } else { "critical".to_owned() };
    d.confidence = if alerts.is_empty() {
        60
    } else if expired.is_empty() {
        82
    } else {
        92
    };
    let limit = expired.iter().map(|l| l.field("limit")).find(|l| !l.is_empty());
    d.title = match (expired.is_empty(), limit) {
        (true, _) => "A client certificate for the API server runs out soon".to_owned(),
        (false, Some(limit)) => format!("A client certificate for the API server ran out at {limit}"),
        (false, None) => "A client certificate for the API server has run out".to_owned(),
    };
    d.explanation = if expired.is_empty() {
        "A certificate with which somebody logs in to the API server has less than its last week: of a component of the \
         control plane, of a kubelet, or of a person's kubeconfig. When it is over, who uses it is locked out."
            .to_owned()
    } else {
        format!(
            "Somebody keeps coming with a certificate that is over ({} times in the last 15 min) and is turned away. \
             What kubeadm makes is valid for a year and is renewed by an upgrade only.",
            expired.len()
        )
    };
    d.evidence.extend(alerts.iter().take(2).map(|a| Evidence::signal(a, 60, "measured")));
    d.evidence.extend(
        expired.iter().take(2).map(|l| Evidence::signal(l, 60, "the API server turns a client away")),
    );
    d.explains = vec![Explains::alert("KubeClientCertificateExpiration", &root, "cluster")];
    let step = pod.unwrap_or(root);
    d.path = vec![Step::new(&step, "", "a client's certificate runs out")];
    d.remedies = vec![
        Remedy::new("see which certificates run out, and renew them, on each machine of the control plane")
            .command("sudo kubeadm certs check-expiration")
            .command("sudo kubeadm certs renew all")
            .caution("kube-apiserver, kube-controller-manager, kube-scheduler and etcd take them at their next start only: move their manifests out of /etc/kubernetes/manifests for 20 s, one machine after the other"),
        Remedy::new("on k3s and rke2 a restart renews what has less than 90 days left")
            .command("sudo systemctl restart k3s     # or rke2-server"),
        Remedy::new("and see who else has one: kubeconfigs of people and of pipelines")
            .command("kubectl config view --raw -o jsonpath='{.users[0].user.client-certificate-data}' | base64 -d | openssl x509 -noout -subject -enddate"),
    ];
    d
}

fn kubelet(node: &ObjectRef, alerts: &[&Signal]) -> Diagnosis {
    let name = &node.name;
    let server = alerts.iter().any(|a| a.name.contains("Server"));
    let fails = alerts.iter().any(|a| a.name.contains("Renewal"));
    let which = if server { "serving" } else { "client" };
    let mut d = Diagnosis::new(CODE, node.clone());
    d.severity = severity(alerts);
    d.confidence = if fails { 88 } else { 82 };
    d.title = format!("The {which} certificate of the kubelet on {name} runs out");
    d.explanation = format!(
        "The kubelet renews its certificates by itself long before; that of {name} is near its end{}. {}",
        if fails { ", and its renewals fail" } else { ", so its renewal has not worked" },
        if server {
            "When it is over, logs, exec and metrics of the node are refused; a request for a serving certificate must be approved by hand or by a controller."
        } else {
            "When it is over, the node goes NotReady."
        }
    );
    d.evidence.extend(alerts.iter().take(3).map(|a| Evidence::signal(a, 60, "measured")));
    d.explains = ALERTS
        .iter()
        .filter(|a| a.starts_with("Kubelet"))
        .map(|name| Explains::alert(name, node, "self"))
        .collect();
    d.path = vec![Step::new(node, "", format!("its {which} certificate runs out"))];
    d.remedies = vec![
        Remedy::new("see whether a request waits for approval, and approve it")
            .command("kubectl get csr --sort-by=.metadata.creationTimestamp | grep Pending")
            .command("kubectl certificate approve <name>")
            .caution("only requests of system:node:… that you know"),
        Remedy::new(format!("and let the kubelet of {name} ask anew"))
            .command(format!("ssh {name} sudo systemctl restart kubelet"))
            .command(format!("ssh {name} 'sudo openssl x509 -noout -enddate -in /var/lib/kubelet/pki/kubelet-client-current.pem; sudo journalctl -u kubelet --since -10min | grep -i certificate'")),
    ];
    d
}
