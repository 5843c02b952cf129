//! Services and what stands behind them: `workload.selector-mismatch`, `workload.port-mismatch`,
//! `workload.network-policy-denies`, and a backend that is down or scaled to zero.
//!
//! A Service without pods, or with a port that no container names, is no finding as such: many wait for their pods or
//! are chosen by hand. It is one when a pod fails because it cannot reach it.

use kwhy_sdk::{Diagnosis, Evidence, Explains, Json, ObjectRef, Remedy, Signal, Step, World, hours};

use crate::{
    case,
    pod::Pod,
    words::{between, kubectl, named, short, spoken},
};

pub(crate) const SELECTOR: &str = "workload.selector-mismatch";
pub(crate) const PORT: &str = "workload.port-mismatch";
pub(crate) const POLICY: &str = "workload.network-policy-denies";
pub(crate) const DOWN: &str = "workload.dependency-down";
pub(crate) const MISSING: &str = "workload.missing-service";

/// The workload behind a Service.
pub(crate) struct Backend {
    pub(crate) workload: ObjectRef,
    /// Whether any of its pods is ready.
    pub(crate) ready: bool,
}

/// None where the Service selects no pod, and no workload that is short of all its pods would give it any.
pub(crate) fn backend(world: &World<'_>, service: &ObjectRef) -> Option<Backend> {
    let pods = world.related(service, "selects");
    let Some(first) = pods.first() else { return unmade(world, service) };
    let ready = pods.iter().take(20).any(|p| Pod::load(world, p).is_some_and(|p| p.ready() && !p.going()));
    Some(Backend { workload: world.workload(first), ready })
}

/// A workload that a Service means and whose pods were never made: a quota, a webhook or a missing account is in the way.
fn unmade(world: &World<'_>, service: &ObjectRef) -> Option<Backend> {
    let selector = world.read(service, "/spec/selector").filter(|_| world.exists(service))?.map("");
    let meant = meant(world, service, &selector).filter(|m| m.lacks.is_empty() && !selector.is_empty())?;
    let none = world.pods(&meant.workload).is_empty() && case::down(world, &meant.workload);
    none.then_some(Backend { workload: meant.workload, ready: false })
}

/// The Service and port that a line says cannot be reached, and whether nothing answered at all.
struct Peer {
    service: ObjectRef,
    port: String,
    silent: bool,
}

pub(crate) fn service_of(world: &World<'_>, host: &str, namespace: &str) -> Option<ObjectRef> {
    let host = host.trim_matches(['"', '\'', '[', ']', '(', ')', ',', ';', '.']);
    let mut parts = host.split('.');
    let (name, second) = (parts.next()?, parts.next());
    let numeric = host.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b':');
    if numeric {
        return world
            .list("Service", "")
            .into_iter()
            .find(|s| world.read(s, "/spec/clusterIP").is_some_and(|ip| ip.text("") == host));
    }
    let in_namespace = |ns: &str| Some(ObjectRef::new("Service", ns, name)).filter(|s| world.exists(s));
    match second {
        None => in_namespace(namespace),
        // A pod of a StatefulSet by its own name: web-0.web.shop.svc.
        Some(second) => in_namespace(second).or_else(|| {
            let service = ObjectRef::new("Service", parts.next().unwrap_or(namespace), second);
            world.exists(&service).then_some(service)
        }),
    }
}

/// Reads which Service a line complains about.
fn peer(world: &World<'_>, line: &Signal, namespace: &str) -> Option<Peer> {
    let text = &line.message;
    if text.contains("lookup ") && !text.contains("no such host") {
        // The name server itself does not answer: `lookup web on 10.96.0.10:53: read udp …: i/o timeout`.
        let server = between(text, " on ", ": ")?;
        let (address, port) = server.rsplit_once(':')?;
        let service = service_of(world, address, namespace)?;
        return Some(Peer { service, port: port.to_owned(), silent: true });
    }
    let silent = crate::words::any(text, &["i/o timeout", "timed out", "ETIMEDOUT", "deadline exceeded"]);
    let mut hosts: Vec<&str> = Vec::new();
    hosts.extend(between(text, "lookup ", " on "));
    if text.contains("no such host") {
        // The name does not resolve; the name server, whose address stands there too, has answered.
        hosts.retain(|h| service_of(world, h, namespace).is_some());
        let service = service_of(world, hosts.first()?, namespace)?;
        return Some(Peer { service, port: String::new(), silent: false });
    }
    // Anything of the form host:port or scheme://host:port/path.
    for word in text.split([' ', '"', '\'', ',', '(', ')', '=', '\\']) {
        let word = word.split_once("://").map_or(word, |(_, rest)| rest);
        hosts.push(word.split('/').next().unwrap_or(word).rsplit('@').next().unwrap_or(word));
    }
    for host in hosts {
        let (name, port) = host.split_once(':').unwrap_or((host, ""));
        let port = port.trim_end_matches([':', '.', ']', '}']);
        let plausible = !name.is_empty()
            && name.len() < 100
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
        let addressed = name.contains('.') || (!port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
        if !plausible || !(addressed || text.contains("lookup ") || text.contains("ENOTFOUND")) {
            continue;
        }
        if let Some(service) = service_of(world, name, namespace) {
            return Some(Peer { service, port: port.to_owned(), silent });
        }
    }
    None
}

/// The Service that a line is about.
pub(crate) fn asked(world: &World<'_>, line: &Signal, namespace: &str) -> Option<ObjectRef> {
    Some(peer(world, line, namespace)?.service)
}

/// Why a pod that complains of another service cannot reach it.
pub(crate) fn judge(world: &World<'_>, pod: &Pod, line: &Signal) -> Option<Diagnosis> {
    let Some(peer) = peer(world, line, &pod.id.namespace) else {
        return gone(world, pod, line).map(|found| needed(world, found, pod, line));
    };
    let service = &peer.service;
    let spec = world.read(service, "/spec")?;
    if outside(&spec) {
        return Some(needed(world, away(service, &spec), pod, line));
    }
    let selector = spec.map("/selector");
    if selector.is_empty() {
        return None;
    }
    let found = match backend(world, service) {
        None => no_pods(world, service, &selector)?,
        Some(behind) if behind.workload.is(&pod.workload) => return None,
        Some(behind) if !behind.ready => down(world, service, &behind.workload),
        Some(behind) => wrong_port(world, service, &spec, &peer, &behind.workload)
            .or_else(|| policy(world, pod, service, &behind.workload, &peer))?,
    };
    Some(needed(world, found, pod, line))
}

/// Whether a Service only names a server that is none of the cluster's.
fn outside(spec: &Json) -> bool {
    let name = spec.text("/externalName");
    spec.text("/type") == "ExternalName" && !name.trim_end_matches('.').ends_with(".cluster.local")
}

/// A server outside of the cluster that is not reached: all who need it by the Service that names it tell of one thing.
fn away(service: &ObjectRef, spec: &Json) -> Diagnosis {
    let server = spec.text("/externalName");
    let mut diagnosis = start(DOWN, service, 68);
    diagnosis.severity = "warning".into();
    diagnosis.title = format!("The server {server} behind {} is not reached", spoken(service));
    diagnosis.explanation = format!(
        "{} stands for {server}, which is no part of the cluster. What goes on there no signal tells; its network, its firewall or the server itself may be in the way.",
        spoken(service)
    );
    diagnosis.evidence.push(Evidence::object(
        service,
        format!("externalName: {server}"),
        40,
        "what it stands for",
    ));
    diagnosis.remedies.push(
        Remedy::new("see whether it is reached from inside the cluster, and from where it is run")
            .command(format!(
                "{} run reach --rm -it --restart=Never --image=busybox:1.36 -- sh -c 'nslookup {server}; nc -zvw3 {server} <port>'",
                kubectl(&service.namespace)
            )),
    );
    diagnosis
}

/// A Service that a line names, whatever it says of it, where none of the pods behind it is ready.
pub(crate) fn missed(world: &World<'_>, pod: &Pod, line: &Signal) -> Option<Diagnosis> {
    let service = asked(world, line, &pod.id.namespace)?;
    let behind = backend(world, &service)?;
    if behind.ready || behind.workload.is(&pod.workload) {
        return None;
    }
    Some(needed(world, down(world, &service, &behind.workload), pod, line))
}

/// Alerts that a workload makes people see which works, and waits for another one.
const FELT: [&str; 10] = [
    "*Lag*",
    "*Queue*",
    "*Slow*",
    "*Timeout*",
    "*Burn*",
    "*SLO*",
    "*Slo*",
    "*Probe*",
    "*Backlog*",
    "*Health*",
];

/// Who needs what was found, and how it says so.
pub(crate) fn needed(world: &World<'_>, mut found: Diagnosis, pod: &Pod, line: &Signal) -> Diagnosis {
    let who = spoken(&pod.workload);
    found
        .evidence
        .push(Evidence::signal(line, 35, format!("{who} cannot reach it")).citing(short(&line.message, 400)));
    found.explains.extend(case::explains(world, &pod.workload));
    let felt = FELT.iter().map(|name| Explains::alert(name, &pod.workload, "workload"));
    found.explains.extend(felt);
    found.explanation.push_str(&format!(" {who} needs it and fails."));
    found
}

/// A name that DNS does not know because its Service was deleted, or was never there.
fn gone(world: &World<'_>, pod: &Pod, line: &Signal) -> Option<Diagnosis> {
    let host = unresolved(&line.message)?;
    let namespace = pod.id.namespace.as_str();
    let mut parts = host.split('.');
    let (name, second, third) = (parts.next()?, parts.next(), parts.next());
    let of = second.unwrap_or(namespace);
    let service = ObjectRef::new("Service", of, name);
    if world.exists(&service) {
        return None;
    }
    let deleted =
        world.changes(&service, "self", world.ago(hours(2)), 3).into_iter().find(|c| c.name == "DELETED");
    let k = kubectl(of);
    if let Some(deleted) = deleted {
        let mut diagnosis = start(MISSING, &service, 90);
        diagnosis.title = format!("{} was deleted, and others still ask for it", spoken(&service));
        diagnosis.explanation = format!(
            "It was deleted at {} UTC; since then its name does not resolve.",
            kwhy_sdk::clock(deleted.at)
        );
        diagnosis.evidence.push(
            Evidence::signal(&deleted, 45, "its deletion").citing(format!("{} deleted", spoken(&service))),
        );
        diagnosis.remedies.push(
            Remedy::new("bring the Service back from where it is kept")
                .command(format!("{k} apply -f <its manifest>")),
        );
        return Some(diagnosis);
    }
    let all = world.list("Service", "");
    // Without any Service of the cluster only the name server tells, and that only of a name in full.
    let unseen = all.is_empty();
    let inside = third == Some("svc") && (!unseen || alerted(world, pod));
    let near = all
        .into_iter()
        .filter(|s| s.name != "kubernetes")
        .find(|s| (s.namespace == of && alike(&s.name, name)) || (s.name == name && s.namespace != of));
    let likely = second.is_none() && near.as_ref().is_some_and(|s| s.namespace == of);
    if !inside && !likely {
        return None;
    }
    let mut diagnosis = start(
        MISSING,
        &service,
        match (unseen, inside) {
            (true, _) => 60,
            (_, true) => 84,
            (_, false) => 74,
        },
    );
    let whose = spoken(&pod.workload);
    if unseen {
        diagnosis.title = format!("DNS knows no {}, which {whose} asks for", spoken(&service));
        diagnosis.explanation = format!(
            "The name {host} does not resolve: the Service was renamed, deleted or never made, or cluster DNS does not serve it. Services were not collected, so which of them is not known."
        );
    } else {
        diagnosis.title = format!("{} does not exist, and {whose} asks for it", spoken(&service));
        diagnosis.explanation =
            format!("No Service of that name stands in namespace {of}, so {host} does not resolve.");
    }
    if let Some(near) = &near {
        diagnosis.explanation.push_str(&format!(" Perhaps {} was meant.", spoken(near)));
        diagnosis.evidence.push(Evidence::object(
            near,
            spoken(near),
            20,
            "a Service that may have been meant",
        ));
    }
    if unseen {
        diagnosis.remedies.push(
            Remedy::new("see whether the Service is there, and whether DNS answers for others")
                .command(format!("{k} get service,endpoints {name}"))
                .command("kubectl -n kube-system get pods -l k8s-app=kube-dns"),
        );
    }
    diagnosis.remedies.push(
        Remedy::new("mend the name that the workload is given, in its template or its configuration")
            .command(format!("{k} get services"))
            .command(format!("{} edit {}", kubectl(namespace), named(&pod.holder))),
    );
    diagnosis.remedies.push(
        Remedy::new("or make the Service that it asks for").command(format!("{k} apply -f <its manifest>")),
    );
    Some(diagnosis)
}

/// Whether an alert fires on the workload or what stands around it, which gives the words of a log their weight.
fn alerted(world: &World<'_>, pod: &Pod) -> bool {
    let all = world.about(&pod.workload, "workload", "alert", "*", world.ago(hours(1)), 20);
    all.iter().any(|alert| alert.state == "firing")
}

/// The host that a line says does not resolve: the texts of Go, Node.js, libc, Java and Python.
fn unresolved(text: &str) -> Option<&str> {
    let after = |mark: &str| {
        let (_, rest) = text.split_once(mark)?;
        rest.split([' ', ':', '"', '\'', ',', ')', '\\']).find(|w| !w.is_empty())
    };
    let host = between(text, "lookup ", " on ")
        .or_else(|| between(text, "lookup ", ": no such host"))
        .or_else(|| after("ENOTFOUND "))
        .or_else(|| after("UnknownHostException: "))
        .or_else(|| after("could not translate host name "))
        .or_else(|| after("Could not resolve host: "))
        .or_else(|| after("bad address "))
        .or_else(|| after("nable to resolve host "))?;
    if text.contains("lookup ") && !text.contains("no such host") {
        return None;
    }
    Some(host.trim_end_matches('.'))
}

/// Whether one name is part of the other.
fn alike(a: &str, b: &str) -> bool {
    a.len() > 2 && b.len() > 2 && (a.contains(b) || b.contains(a))
}

fn start(code: &str, root: &ObjectRef, confidence: u8) -> Diagnosis {
    let mut diagnosis = Diagnosis::new(code, root.clone());
    diagnosis.confidence = confidence;
    diagnosis.path.push(Step::new(root, "", ""));
    diagnosis
}

/// A workload that a Service was most likely meant for.
struct Meant {
    workload: ObjectRef,
    replicas: i64,
    /// What its pods lack of the selector.
    lacks: Vec<String>,
}

/// Of the workloads beside a Service the one that has most of its labels, or its name.
fn meant(world: &World<'_>, service: &ObjectRef, selector: &[(String, String)]) -> Option<Meant> {
    let mut near: Option<(usize, Meant)> = None;
    for kind in ["Deployment", "StatefulSet", "DaemonSet"] {
        for workload in world.list(kind, &service.namespace) {
            let spec = world.read(&workload, "/spec").unwrap_or_default();
            let labels = spec.map("/template/metadata/labels");
            let has = |(k, v): &&(String, String)| labels.iter().any(|(lk, lv)| lk == k && lv == v);
            let same = selector.iter().filter(has).count();
            let like = workload.name == service.name
                || labels.iter().any(|(k, v)| {
                    matches!(k.as_str(), "app" | "app.kubernetes.io/name" | "name") && *v == service.name
                });
            let score = same * 2 + usize::from(like);
            if score > 0 && near.as_ref().is_none_or(|(best, _)| *best < score) {
                let lacks = selector.iter().filter(|s| !has(s)).map(|(k, v)| format!("{k}={v}")).collect();
                let replicas = if spec.has("/replicas") { spec.number("/replicas") } else { 1 };
                near = Some((score, Meant { workload, replicas, lacks }));
            }
        }
    }
    near.map(|(_, meant)| meant)
}

/// No pod has the labels that the Service asks for: a workload that has most of them was meant, or is scaled to zero.
fn no_pods(world: &World<'_>, service: &ObjectRef, selector: &[(String, String)]) -> Option<Diagnosis> {
    let Meant { workload, replicas, lacks } = meant(world, service, selector)?;
    let k = kubectl(&service.namespace);
    if lacks.is_empty() {
        if replicas != 0 {
            return None;
        }
        let mut diagnosis = start(DOWN, &workload, 88);
        diagnosis.title = format!("{} is scaled to zero, and others need it", spoken(&workload));
        diagnosis.explanation = format!(
            "{} has no pod behind it, because {} is set to 0 replicas.",
            spoken(service),
            spoken(&workload)
        );
        if let Some(change) = scaled(world, &workload) {
            diagnosis
                .explanation
                .push_str(&format!(" It was scaled down at {} UTC.", kwhy_sdk::clock(change.at)));
            diagnosis
                .evidence
                .push(Evidence::signal(&change, 45, "scaled down").citing(change.message.clone()));
        } else {
            diagnosis.evidence.push(Evidence::object(&workload, "replicas 0", 40, "scaled to zero"));
        }
        diagnosis.remedies.push(
            Remedy::new("scale it up again").command(format!("{k} scale {} --replicas=1", named(&workload))),
        );
        return Some(diagnosis);
    }
    let mut diagnosis = start(SELECTOR, service, 85);
    diagnosis.title = format!(
        "{} selects no pod: {} does not have the label{} {}",
        spoken(service),
        spoken(&workload),
        if lacks.len() == 1 { "" } else { "s" },
        lacks.join(", ")
    );
    diagnosis.explanation = "A Service leads to the pods that have all labels of its selector, and none has, so connections to it are refused.".into();
    let all: Vec<String> = selector.iter().map(|(k, v)| format!("{k}={v}")).collect();
    diagnosis.evidence.push(Evidence::object(
        service,
        format!("selector {}", all.join(",")),
        40,
        "what it asks for",
    ));
    diagnosis.evidence.push(Evidence::object(
        &workload,
        format!("lacks {}", lacks.join(", ")),
        30,
        "the workload that was most likely meant",
    ));
    for of in [service, &workload] {
        if let Some(change) = world.changes(of, "self", world.ago(hours(2)), 1).into_iter().next() {
            diagnosis.evidence.push(Evidence::signal(&change, 30, "changed shortly before").citing(format!(
                "{}: {}",
                spoken(of),
                change.message
            )));
        }
    }
    diagnosis.explains = case::explains(world, &workload);
    diagnosis.remedies.push(
        Remedy::new("make selector and pod labels the same")
            .command(format!("{k} get pods --show-labels"))
            .command(format!("{k} edit service {}", service.name)),
    );
    Some(diagnosis)
}

/// Why a Service selects no pod, where it should: a workload is there that lacks a label.
pub(crate) fn unselected(world: &World<'_>, service: &ObjectRef) -> Option<Diagnosis> {
    let selector = world.read(service, "/spec/selector").filter(|_| world.exists(service))?.map("");
    if selector.is_empty() || backend(world, service).is_some() {
        return None;
    }
    no_pods(world, service, &selector).filter(|d| d.code == SELECTOR)
}

/// The workload whose pods a Service would select, where it is set to no replicas.
pub(crate) fn asleep(world: &World<'_>, service: &ObjectRef) -> Option<ObjectRef> {
    let selector = world.read(service, "/spec")?.map("/selector");
    no_pods(world, service, &selector).filter(|d| d.code == DOWN).map(|d| d.root)
}

fn scaled(world: &World<'_>, workload: &ObjectRef) -> Option<Signal> {
    let changes = world.changes(workload, "self", world.ago(hours(2)), 10);
    changes
        .into_iter()
        .find(|c| c.fields.iter().any(|f| f.name == "/spec/replicas" && f.value.contains("+ 0")))
}

/// None of its pods is ready, or none is there. Whoever knows why says so with more confidence; this names who waits for it.
pub(crate) fn down(world: &World<'_>, service: &ObjectRef, workload: &ObjectRef) -> Diagnosis {
    let known = case::known(world, workload);
    let mut diagnosis = start(DOWN, workload, if known { 48 } else { 52 });
    diagnosis.severity = "info".into();
    diagnosis.title = format!("{} has no ready pod, and others need it", spoken(workload));
    let none = world.pods(workload).is_empty();
    let state = if none { "which has no pods at all" } else { "none of whose pods is ready" };
    diagnosis.explanation = format!("{} leads to {}, {state}.", spoken(service), spoken(workload));
    diagnosis.evidence.push(Evidence::object(service, "no ready pod behind it", 30, "state of the Service"));
    diagnosis.explains = case::explains(world, workload);
    diagnosis.remedies.push(
        Remedy::new("bring it back first: what waits for it recovers by itself").command(format!(
            "{} describe {}",
            kubectl(&workload.namespace),
            named(workload)
        )),
    );
    diagnosis
}

/// The pods are ready, but not on the port that the Service leads to.
fn wrong_port(
    world: &World<'_>,
    service: &ObjectRef,
    spec: &kwhy_sdk::Json,
    peer: &Peer,
    workload: &ObjectRef,
) -> Option<Diagnosis> {
    let ports = spec.list("/ports");
    let k = kubectl(&service.namespace);
    let edit = format!("{k} edit service {}", service.name);
    let of_number = |p: &&kwhy_sdk::Json| peer.port.is_empty() || p.at("/port").shown() == peer.port;
    let Some(port) = ports.iter().find(of_number) else {
        let known: Vec<String> = ports.iter().map(|p| p.at("/port").shown()).collect();
        let mut diagnosis = start(PORT, service, 80);
        diagnosis.title =
            format!("{} is asked on port {}, and has {}", spoken(service), peer.port, known.join(", "));
        diagnosis.explanation = format!(
            "Nothing answers on port {} of the Service: it has port {} only.",
            peer.port,
            known.join(", ")
        );
        diagnosis.evidence.push(Evidence::object(
            service,
            format!("ports {}", known.join(", ")),
            40,
            "the ports that it has",
        ));
        diagnosis.remedies.push(Remedy::new("ask it on a port that it has, or add the port").command(edit));
        return Some(diagnosis);
    };
    let target = port.at("/targetPort").shown();
    let target = if target.is_empty() { port.at("/port").shown() } else { target };
    let pod = world.related(service, "selects").into_iter().next()?;
    let containers = world.read(&pod, "/spec/containers")?;
    let declared: Vec<kwhy_sdk::Json> = containers.list("").iter().flat_map(|c| c.list("/ports")).collect();
    let matches = |p: &kwhy_sdk::Json| p.text("/name") == target || p.at("/containerPort").shown() == target;
    if declared.is_empty() || declared.iter().any(matches) {
        return None;
    }
    let known: Vec<String> = declared
        .iter()
        .map(|p| format!("{} {}", p.text("/name"), p.number("/containerPort")).trim().to_owned())
        .collect();
    let mut diagnosis = start(PORT, service, 86);
    diagnosis.title = format!(
        "{} leads to port {target}, which the pods of {} do not have",
        spoken(service),
        spoken(workload)
    );
    diagnosis.explanation = format!(
        "Its targetPort is {target}; the containers name {}. Connections to the Service are refused though its pods are ready.",
        known.join(", ")
    );
    diagnosis.evidence.push(Evidence::object(service, format!("targetPort {target}"), 40, "where it leads"));
    diagnosis.evidence.push(Evidence::object(
        &pod,
        format!("ports {}", known.join(", ")),
        35,
        "what its containers name",
    ));
    if let Some(change) = world.changes(service, "self", world.ago(hours(2)), 1).into_iter().next() {
        diagnosis
            .evidence
            .push(Evidence::signal(&change, 30, "changed shortly before").citing(change.message.clone()));
    }
    let rollout = world
        .changes(workload, "self", world.ago(hours(2)), 10)
        .into_iter()
        .find(|c| c.fields.iter().any(|f| f.name.starts_with("/spec/template") && f.name.contains("/ports")));
    if let Some(change) = rollout {
        diagnosis.explanation.push_str(&format!(
            " The rollout at {} UTC changed the ports of the containers.",
            kwhy_sdk::clock(change.at)
        ));
        diagnosis
            .evidence
            .push(Evidence::signal(&change, 35, "the rollout that changed the ports").citing(change.message));
    }
    diagnosis.explains = case::explains(world, workload);
    diagnosis.remedies.push(
        Remedy::new(format!("set targetPort to a port of the containers ({})", known.join(", ")))
            .command(edit),
    );
    Some(diagnosis)
}

/// A port that the Service leads to by name, and that no container of its pods has: then it has no endpoint at all.
pub(crate) fn unnamed_port(world: &World<'_>, service: &ObjectRef) -> Option<Diagnosis> {
    let spec = world.read(service, "/spec").filter(|_| world.exists(service))?;
    let behind = backend(world, service).filter(|b| b.ready)?;
    spec.list("/ports").iter().find_map(|port| {
        let target = port.at("/targetPort").shown();
        if target.is_empty() || target.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let peer = Peer { service: service.clone(), port: port.at("/port").shown(), silent: false };
        wrong_port(world, service, &spec, &peer, &behind.workload)
    })
}

/// Silence instead of a refusal, and a policy that was made or changed shortly before.
fn policy(
    world: &World<'_>,
    pod: &Pod,
    service: &ObjectRef,
    workload: &ObjectRef,
    peer: &Peer,
) -> Option<Diagnosis> {
    if !peer.silent {
        return None;
    }
    let behind = world.related(service, "selects").into_iter().next()?;
    for (side, of, kind) in [("into", &behind, "Ingress"), ("out of", &pod.id, "Egress")] {
        for policy in world.related(of, "selected-by").into_iter().filter(|o| o.kind == "NetworkPolicy") {
            let spec = world.read(&policy, "/spec").unwrap_or_default();
            let types = spec.texts("/policyTypes");
            let applies = types.iter().any(|t| t == kind) || (types.is_empty() && kind == "Ingress");
            let Some(change) =
                world.changes(&policy, "self", world.ago(hours(2)), 1).into_iter().next().filter(|_| applies)
            else {
                continue;
            };
            let mut diagnosis = start(POLICY, &policy, 72);
            diagnosis.title = format!(
                "{} lets no traffic {side} {}: connections to {} time out",
                spoken(&policy),
                spoken(if kind == "Ingress" { workload } else { &pod.workload }),
                spoken(service)
            );
            diagnosis.explanation = format!(
                "Packets vanish instead of being refused, as a network policy makes them; it was changed at {} UTC, shortly before.",
                kwhy_sdk::clock(change.at)
            );
            diagnosis.evidence.push(
                Evidence::signal(&change, 40, "the change of the policy").citing(format!(
                    "{}: {}",
                    spoken(&policy),
                    change.message
                )),
            );
            diagnosis.explains = case::explains(world, workload);
            diagnosis.remedies.push(
                Remedy::new("allow this traffic in the policy")
                    .command(format!("{} edit networkpolicy {}", kubectl(&policy.namespace), policy.name))
                    .caution("do not delete the policy as a whole without knowing what else it keeps out"),
            );
            return Some(diagnosis);
        }
    }
    None
}
