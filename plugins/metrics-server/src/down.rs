//! `metrics-server.down`: the metrics API is missing for another reason. Where another rule knows better why the pods do
//! not run, this only tells what hangs on them, as information.

use kwhy_sdk::{Diagnosis, Evidence, ObjectRef, Remedy, Step, World, minutes};

use crate::{
    impact::{Api, explains},
    line::Kind,
    list,
    reading::Reading,
    remedy,
    scrape::Server,
    server::Pod,
};

pub(crate) const CODE: &str = "metrics-server.down";

/// How long the API may be missing before a word is said: a rollout takes it away for a moment.
pub(crate) const PATIENCE: u64 = minutes(5);

fn diagnosis(root: &ObjectRef, severity: &str, confidence: u8, title: String) -> Diagnosis {
    let mut diagnosis = Diagnosis::new(CODE, root.clone());
    diagnosis.severity = severity.to_owned();
    diagnosis.confidence = confidence;
    diagnosis.title = title;
    diagnosis
}

/// What the lines say, where it is neither names nor signatures. A kubelet or two that cannot be reached are no fault of
/// metrics-server.
pub(crate) fn from_lines(
    world: &World<'_>,
    server: &Server<'_>,
    pod: &Pod,
    reading: &Reading,
) -> Option<Diagnosis> {
    let nodes = reading.nodes();
    if !server.impact.agrees() || nodes.len() * 2 <= world.list("Node", "").len() {
        return None;
    }
    let on = list(&nodes);
    let make = |severity, confidence, title: &str| {
        diagnosis(server.workload, severity, confidence, title.to_owned())
    };
    let workload = server.workload;
    let telling = reading.silent.first().map_or("", |s| s.failure.text.as_str());
    let mut found = match reading.kind {
        Kind::Pending => {
            let mut found = make(
                "warning",
                90,
                "The kubelets have no serving certificate yet: their requests wait for approval",
            );
            found.explanation = format!(
                "metrics-server reaches the kubelets on {on}, but they break off the TLS handshake (tls: internal error): with \
                 serverTLSBootstrap a kubelet has no certificate until its CertificateSigningRequest is approved."
            );
            let approve = "kubectl get csr -o name --field-selector spec.signerName=kubernetes.io/kubelet-serving | xargs kubectl certificate approve";
            found.remedies.push(
                Remedy::new("approve the requests of the kubelets")
                    .command("kubectl get csr --field-selector spec.signerName=kubernetes.io/kubelet-serving")
                    .command(approve)
                    .caution("look at the names and addresses in them first; let an approver do it in the long run"),
            );
            found
        }
        Kind::Denied if telling.contains("401") => unknown_to_kubelets(world, server, pod, &on),
        Kind::Denied => forbidden(world, server, pod, &on),
        Kind::Expired => {
            let mut found =
                make("warning", 80, "The kubelets' serving certificates have expired, or are not valid yet");
            found.explanation = format!(
                "metrics-server refuses the certificates of the kubelets on {on}: their time is over or has not come yet, or a clock is wrong."
            );
            found.remedies.push(
                Remedy::new("look at the dates, and let the kubelets get new certificates (rotateCertificates and serverTLSBootstrap)")
                    .command(format!("openssl s_client -connect {}:10250 </dev/null 2>/dev/null | openssl x509 -noout -dates", host(reading)))
                    .command(format!("timedatectl     # on {on}")),
            );
            found
        }
        Kind::NoAddress => {
            let mut found =
                make("warning", 85, "metrics-server is told to use addresses that the nodes do not have");
            let (types, _) = pod.address_types();
            found.explanation = format!(
                "The nodes {on} have no address of the types {}, so metrics-server cannot ask their kubelets.",
                list(&types)
            );
            found.remedies.push(remedy::by_address(world, workload));
            found
        }
        Kind::Dns => {
            let mut found =
                make("info", 40, "metrics-server gets no answer from DNS when it looks up the nodes");
            found.explanation = format!(
                "metrics-server asks the kubelets on {on} by name, and no DNS server answers. Whatever ails the DNS ails others, too; \
                 asked by address, the kubelets would need no DNS."
            );
            found.remedies.push(remedy::by_address(world, workload));
            found
        }
        Kind::Unreachable => {
            let mut found = make("warning", 65, "metrics-server does not reach the kubelets on port 10250");
            found.explanation = format!(
                "No kubelet on {on} answers metrics-server in time: a firewall, a network policy or the pod network stands between."
            );
            found.remedies.push(
                Remedy::new("see whether a kubelet answers a pod, and open port 10250 from the pod network to the nodes")
                    .command(format!(
                        "kubectl -n {} run kubelet-check --rm -it --restart=Never --image=busybox -- nc -zv -w 5 {} 10250",
                        workload.namespace,
                        host(reading)
                    ))
                    .caution("where metrics-server runs in the host's network, check from its node"),
            );
            found
        }
        _ => {
            let mut found = make("info", 35, "metrics-server gets no metrics from the kubelets");
            found.explanation = format!("The kubelets on {on} give no metrics: {telling}.");
            found.remedies.push(Remedy::new("see what it says").command(logs(workload)));
            found
        }
    };
    found.explanation.push_str(" The metrics API, autoscalers and `kubectl top` wait for them.");
    Some(found)
}

/// The kubelets do not believe the token: they do not ask the API server whose it is.
fn unknown_to_kubelets(world: &World<'_>, server: &Server<'_>, pod: &Pod, on: &str) -> Diagnosis {
    let title = "The kubelets do not accept metrics-server's token".to_owned();
    let mut found = diagnosis(server.workload, "warning", 85, title);
    found.explanation = format!(
        "The kubelets on {on} answer metrics-server with 401 Unauthorized: they do not know whose token it is, because their \
         webhook authentication is off, or the token of its ServiceAccount {} is not valid any more.",
        account(world, pod)
    );
    let each = "authentication.webhook.enabled: true and authorization.mode: Webhook";
    found.remedies.push(
        Remedy::new("let the kubelets ask the API server whose a token is (authentication.webhook, --authentication-token-webhook)")
            .command(format!("sudoedit /var/lib/kubelet/config.yaml     # on {on}: {each}"))
            .command(format!("sudo systemctl restart kubelet     # on {on}"))
            .caution("with kops it is kubelet.authenticationTokenWebhook and authorizationMode of the cluster; others keep it in their own configuration"),
    );
    found
}

/// The kubelets know who asks and refuse it.
fn forbidden(world: &World<'_>, server: &Server<'_>, pod: &Pod, on: &str) -> Diagnosis {
    let title = "The kubelets do not let metrics-server read their metrics".to_owned();
    let mut found = diagnosis(server.workload, "warning", 85, title);
    // `/metrics/resource` since 0.6, the summary API before.
    let (part, other) = if is_old(pod) {
        ("stats", "since 0.6 it is nodes/metrics")
    } else {
        ("metrics", "before 0.6 it was nodes/stats")
    };
    found.explanation = format!(
        "The kubelets on {on} answer metrics-server with a refusal, 403 Forbidden: its ServiceAccount may not read nodes/{part} \
         ({other}). An upgrade of the image alone leaves the old ClusterRole."
    );
    let account = format!("system:serviceaccount:{}:{}", server.workload.namespace, account(world, pod));
    found.remedies.push(
        Remedy::new("give metrics-server the ClusterRole of its version: apply its whole manifest, not the image alone")
            .command(format!("kubectl auth can-i get nodes --subresource={part} --as={account}"))
            .command(format!("kubectl edit clusterrole system:metrics-server     # resources: [nodes/{part}], verbs: [get]")),
    );
    found
}

/// Whether its image is older than 0.6, by its tag.
fn is_old(pod: &Pod) -> bool {
    let tag = pod.image().rsplit_once(':').map_or("", |(_, tag)| tag).trim_start_matches('v');
    ["0.1.", "0.2.", "0.3.", "0.4.", "0.5."].iter().any(|old| tag.starts_with(old))
}

fn host(reading: &Reading) -> &str {
    reading.silent.first().map_or("", |s| s.failure.host.as_str())
}

fn account(world: &World<'_>, pod: &Pod) -> String {
    let spec = world.read(&pod.id, "/spec").unwrap_or_default();
    let name = spec.text("/serviceAccountName");
    if name.is_empty() { "default".to_owned() } else { name.to_owned() }
}

fn logs(workload: &ObjectRef) -> String {
    let kind = workload.kind.to_ascii_lowercase();
    format!("kubectl -n {} logs {kind}/{} --tail=20", workload.namespace, workload.name)
}

/// What the objects say, where the log says nothing.
pub(crate) fn from_objects(world: &World<'_>, server: &Server<'_>) -> Option<Diagnosis> {
    let api = server.impact.api.as_ref().filter(|a| a.missing)?;
    if server.memory.alerts.is_empty() && api.since + PATIENCE > world.now() {
        return None;
    }
    let workload = server.workload;
    let name = &api.id.name;
    let mut found = if workload.kind == "APIService" {
        without_server(world, api)?
    } else if server.pods.is_empty() && wants_none(world, workload) {
        let title = format!("metrics-server is scaled to zero, and the metrics API ({name}) with it");
        let mut found = diagnosis(workload, "warning", 90, title);
        found.explanation = format!(
            "{} {} wants no replicas, so nobody answers for {name}: autoscalers and `kubectl top` have no data.",
            workload.kind,
            workload.path()
        );
        found.evidence.push(Evidence::object(workload, "spec.replicas: 0", 50, "no pod is wanted"));
        let kind = workload.kind.to_ascii_lowercase();
        found.remedies.push(Remedy::new("scale it up again").command(format!(
            "kubectl -n {} scale {kind} {} --replicas=1",
            workload.namespace, workload.name
        )));
        found
    } else if server.pods.iter().any(|p| p.ready_since().is_some()) && api.reason == "FailedDiscoveryCheck" {
        // `https://10.244.1.3:4443/apis/…`: where the API server asks.
        let at = api.message.split_once("https://").and_then(|(_, rest)| rest.split(['/', '"', ' ']).next());
        let port = at.and_then(|at| at.rsplit_once(':')).map_or("", |(_, port)| port);
        let title = "The API server does not reach metrics-server, which is ready".to_owned();
        let mut found = diagnosis(workload, "warning", 70, title);
        found.explanation = format!(
            "metrics-server is ready, but the API server gets no answer from it for {name}: {}. The control plane must reach \
             the pods of Service {}; a firewall between them, or a pod network that the control plane is not part of, keeps it from that.",
            api.message,
            api.service.path()
        );
        found.remedies.push(
            Remedy::new(format!(
                "open the port of metrics-server{} from the control plane to the nodes, or let it run in the host's network (hostNetwork: true)",
                if port.is_empty() { String::new() } else { format!(" ({port})") }
            ))
                .command(format!("kubectl get apiservice {name} -o yaml"))
                .command(format!("kubectl -n {} get endpoints {}", api.service.namespace, api.service.name)),
        );
        found
    } else {
        let mut found = diagnosis(
            workload,
            "info",
            30,
            "metrics-server does not run, so the metrics API is missing".to_owned(),
        );
        found.explanation = format!(
            "No pod of {} {} is ready, so {name} is not available: autoscalers and `kubectl top` have no data. Why it is not ready \
             is told elsewhere, if a rule knows.",
            workload.kind,
            workload.path()
        );
        found.remedies.push(Remedy::new("see what it says").command(logs(workload)));
        found
    };
    found.evidence.extend(server.impact.evidence(server.pods));
    found.explains = explains(server.memory, workload, Some(api));
    found.path.push(Step::new(workload, "", ""));
    if let Some(pod) = server.pods.first() {
        found.path.push(Step::new(&pod.id, "owned", pod.fares()));
    }
    Some(found)
}

fn wants_none(world: &World<'_>, workload: &ObjectRef) -> bool {
    let replicas = world.read(workload, "/spec").unwrap_or_default();
    replicas.has("/replicas") && replicas.number("/replicas") == 0
}

/// An APIService that nothing stands behind any more.
fn without_server(world: &World<'_>, api: &Api) -> Option<Diagnosis> {
    if world.exists(&api.service) || api.reason != "ServiceNotFound" {
        return None;
    }
    let name = &api.id.name;
    let title = format!("{name} points to Service {}, which does not exist", api.service.path());
    let mut found = diagnosis(&api.id, "warning", 90, title);
    found.explanation = "The metrics API is registered, but metrics-server is not installed (any more): autoscalers and `kubectl top` \
         have no data, and namespaces cannot be deleted while an API does not answer."
        .to_owned();
    let install = "kubectl apply -f https://github.com/kubernetes-sigs/metrics-server/releases/latest/download/components.yaml";
    found.remedies.push(Remedy::new("install metrics-server again").command(install));
    found.remedies.push(
        Remedy::new("or take the registration away, where nobody needs the metrics API")
            .command(format!("kubectl delete apiservice {name}")),
    );
    Some(found)
}
