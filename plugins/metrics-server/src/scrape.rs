//! The causes that the log of metrics-server names: it cannot look up the nodes, or it does not accept their
//! certificates. The three follow on each other, as Go checks them in this order: whoever lets it ask by address because
//! the names are unknown finds that the certificates name no address, and behind that that nobody trusted signed them.

use kwhy_sdk::{Diagnosis, Evidence, ObjectRef, Signal, Step, World, minutes};

use crate::{
    down,
    impact::{Impact, explains},
    line::Kind,
    list,
    memory::{Memory, object},
    reading::Reading,
    remedy::{self, Wanted},
    server::Pod,
};

pub(crate) const NAMES: &str = "metrics-server.node-name-unresolvable";
pub(crate) const CERTIFICATE: &str = "metrics-server.certificate-without-san";
pub(crate) const UNKNOWN_CA: &str = "metrics-server.unknown-ca";

/// From how many lines over how long on a log alone is believed: some kubelets may give no metrics while the others
/// keep metrics-server ready.
const OFTEN: usize = 10;
const LONG: u64 = minutes(8);

/// A metrics-server with what is known of it.
pub(crate) struct Server<'a> {
    pub(crate) workload: &'a ObjectRef,
    pub(crate) pods: &'a [Pod],
    pub(crate) impact: &'a Impact,
    pub(crate) memory: &'a Memory,
}

/// The diagnosis that the lines lead to.
pub(crate) fn diagnose(world: &World<'_>, server: &Server<'_>, reading: &Reading) -> Option<Diagnosis> {
    let told = reading.silent.first()?;
    let pod = server
        .pods
        .iter()
        .find(|p| told.line.subject.as_ref().is_some_and(|s| p.id.is(s)))
        .or(server.pods.first())?;
    let agrees = server.impact.agrees();
    let lasts = reading.lines >= OFTEN && reading.newest - reading.oldest >= LONG;
    let nodes = reading.nodes();
    let mut diagnosis = match reading.kind {
        Kind::Names | Kind::Certificate | Kind::UnknownCa if !agrees && !lasts => return None,
        Kind::Names => names(world, server, pod, reading),
        Kind::Certificate => certificate(world, server, reading),
        Kind::UnknownCa => unknown_ca(world, server, pod, reading),
        _ => down::from_lines(world, server, pod, reading)?,
    };
    if !agrees {
        diagnosis.confidence = diagnosis.confidence.min(55);
    } else if nodes.len() * 2 <= world.list("Node", "").len() {
        // The other kubelets do give metrics, so something else may keep it from being ready.
        diagnosis.confidence = diagnosis.confidence.min(70);
    }
    evidence(world, server, pod, reading, &mut diagnosis);
    diagnosis.explains = explains(server.memory, server.workload, server.impact.api.as_ref());
    diagnosis.path = path(server, pod, reading);
    Some(diagnosis)
}

/// A terminal shows four lines of an explanation, so this is short.
fn consequence(server: &Server<'_>) -> &'static str {
    match &server.impact.api {
        Some(api) if api.missing => {
            "So it is not ready, and the metrics API, autoscalers and `kubectl top` have no data."
        }
        _ => "What it cannot scrape is missing for autoscalers and in `kubectl top`.",
    }
}

fn names(world: &World<'_>, server: &Server<'_>, pod: &Pod, reading: &Reading) -> Diagnosis {
    let mut hosts: Vec<String> = Vec::new();
    let mut dns = String::new();
    for silent in &reading.silent {
        let text = &silent.failure.text;
        let looked_up = text.split_once("lookup ").map_or("", |(_, rest)| rest);
        let host = looked_up.split([' ', ':']).next().unwrap_or("").to_owned();
        if let Err(place) = hosts.binary_search(&host) {
            hosts.insert(place, host);
        }
        if let Some((_, rest)) = looked_up.split_once(" on ") {
            dns = rest.split(": ").next().unwrap_or("").trim_end_matches(":53").to_owned();
        }
    }
    let (types, word) = pod.address_types();
    let by_name = types.first().is_some_and(|t| t != "InternalIP" && t != "ExternalIP");
    let mut diagnosis = Diagnosis::new(NAMES, server.workload.clone());
    diagnosis.confidence = if by_name { 96 } else { 88 };
    diagnosis.title = format!("metrics-server cannot resolve the host names of the nodes ({})", list(&hosts));
    let order = if word.is_empty() {
        format!("by default it tries {} first", types.first().map_or("", String::as_str))
    } else {
        format!("`{word}`")
    };
    let asked = if dns.is_empty() { String::new() } else { format!(" at {dns}") };
    let unknown = reading.silent.iter().any(|s| s.failure.text.contains("no such host"));
    let reason = if unknown { "no such host" } else { "server misbehaving" };
    diagnosis.explanation = format!(
        "metrics-server asks the kubelets by node name ({order}), but the cluster's DNS{asked} does not know {}: {reason}. {}",
        list(&hosts),
        consequence(server)
    );
    let addressed = world.list("Node", "").iter().all(|n| !internal_ip(world, n).is_empty());
    if addressed {
        diagnosis
            .explanation
            .push_str(" The nodes have an InternalIP, by which they can be asked without DNS.");
    }
    diagnosis.remedies.push(remedy::by_address(world, server.workload));
    diagnosis.remedies.push(remedy::known_names(&hosts));
    diagnosis
}

fn certificate(world: &World<'_>, server: &Server<'_>, reading: &Reading) -> Diagnosis {
    let hosts: Vec<String> =
        reading.silent.iter().map(|s| s.failure.host.clone()).filter(|h| !h.is_empty()).collect();
    let texts = || reading.silent.iter().map(|s| s.failure.text.as_str());
    let mut diagnosis = Diagnosis::new(CERTIFICATE, server.workload.clone());
    let known = |s: &crate::reading::Silent| {
        let node = ObjectRef::new("Node", "", &s.failure.node);
        let addresses = world.read(&node, "/status").unwrap_or_default().list("/addresses");
        addresses.iter().any(|a| a.text("/address") == s.failure.host)
    };
    diagnosis.confidence = if reading.silent.iter().all(known) { 96 } else { 90 };
    diagnosis.title =
        "The kubelets' serving certificates have no SAN for the addresses that metrics-server asks"
            .to_owned();
    let what = if texts().any(|t| t.contains("any IP SANs")) {
        "the certificates that kubelets make for themselves name no IP address".to_owned()
    } else if texts().any(|t| t.contains("legacy Common Name")) {
        "the certificates name the host in the Common Name only, which counts no more".to_owned()
    } else if let Some((valid, _)) = texts().find_map(made_out) {
        format!("the certificates are made out to other names or addresses (the first to {valid})")
    } else {
        "the certificates are made out to other names or addresses".to_owned()
    };
    diagnosis.explanation = format!(
        "metrics-server asks the kubelets at {}, but {what}: x509 verification fails for want of a subject alternative name. {}",
        list(&hosts),
        consequence(server)
    );
    // Where the certificates name the InternalIP, or the host name, that is the way to ask.
    let better = reading.silent.iter().all(|s| {
        let node = ObjectRef::new("Node", "", &s.failure.node);
        let ip = internal_ip(world, &node);
        !ip.is_empty()
            && ip != s.failure.host
            && made_out(&s.failure.text).is_some_and(|(to, _)| names_it(to, &ip))
    });
    if better {
        diagnosis.remedies.push(remedy::by_address(world, server.workload));
    }
    diagnosis.remedies.push(remedy::server_tls_bootstrap(world, &reading.nodes(), &Wanted::Addresses));
    diagnosis.remedies.push(remedy::insecure(world, server.workload));
    diagnosis
}

/// `certificate is valid for A, B, not C`: what it is made out to, and what was asked.
fn made_out(text: &str) -> Option<(&str, &str)> {
    text.split_once("certificate is valid for ")?.1.rsplit_once(", not ")
}

/// Whether a list `A, B` names it.
fn names_it(names: &str, one: &str) -> bool {
    names.split(", ").any(|name| name == one)
}

fn unknown_ca(world: &World<'_>, server: &Server<'_>, pod: &Pod, reading: &Reading) -> Diagnosis {
    let mut diagnosis = Diagnosis::new(UNKNOWN_CA, server.workload.clone());
    diagnosis.confidence = 95;
    diagnosis.title =
        "metrics-server does not trust the CA that signed the kubelets' certificates".to_owned();
    let bootstrap = || remedy::server_tls_bootstrap(world, &reading.nodes(), &Wanted::Signature);
    let trusted = match pod.ca_file() {
        Some(file) => {
            let held = match pod.mounted(&file) {
                Some((holder, _)) => format!("{file}, from {} {}", holder.kind, holder.path()),
                None => file.clone(),
            };
            let at = reading.silent.first().map_or("", |s| s.failure.host.as_str());
            diagnosis.remedies.push(remedy::trusted_ca(pod, server.workload, &file, at));
            diagnosis.remedies.push(remedy::without_ca(server.workload));
            diagnosis.remedies.push(bootstrap());
            format!("it accepts the certificate authority in {held} only")
        }
        None => {
            diagnosis.remedies.push(bootstrap());
            "it accepts the cluster's CA, while kubelets sign their own certificates unless they are told to ask the cluster"
                .to_owned()
        }
    };
    diagnosis.remedies.push(remedy::insecure(world, server.workload));
    diagnosis.explanation = format!(
        "The certificates of the kubelets on {} are signed by a certificate authority unknown to metrics-server: {trusted}. {}",
        list(&reading.nodes()),
        consequence(server)
    );
    diagnosis
}

/// The node's InternalIP; empty where it has none.
pub(crate) fn internal_ip(world: &World<'_>, node: &ObjectRef) -> String {
    let addresses = world.read(node, "/status").unwrap_or_default().list("/addresses");
    addresses
        .iter()
        .find(|a| a.text("/type") == "InternalIP")
        .map_or(String::new(), |a| a.text("/address").to_owned())
}

fn evidence(world: &World<'_>, server: &Server<'_>, pod: &Pod, reading: &Reading, diagnosis: &mut Diagnosis) {
    for silent in reading.silent.iter().take(3) {
        let note = format!("the kubelet of node {} gives no metrics", silent.failure.node);
        diagnosis.evidence.push(Evidence::signal(&silent.line, 50, note).citing(silent.failure.text.clone()));
    }
    let words = pod.words();
    let about = |flag: &str| words.iter().find(|w| w.trim_start_matches('-').starts_with(flag)).cloned();
    let setting = match reading.kind {
        Kind::Names | Kind::Certificate | Kind::NoAddress => about(crate::server::TYPES_FLAG),
        Kind::UnknownCa => about(crate::server::CA_FLAG),
        _ => None,
    };
    if let Some(word) = setting {
        diagnosis.evidence.push(Evidence::object(server.workload, word, 25, "how it is told to ask"));
    } else if reading.kind == Kind::Names {
        let note = "so it tries the host name first";
        let excerpt = format!("(no --{})", crate::server::TYPES_FLAG);
        diagnosis.evidence.push(Evidence::object(server.workload, excerpt, 25, note));
    }
    if let Some(change) = changed(world, server.workload, reading) {
        let lines: Vec<&str> = change.fields.iter().flat_map(|f| f.value.lines()).take(4).collect();
        let excerpt = if lines.is_empty() { change.message.clone() } else { lines.join("\n") };
        diagnosis
            .evidence
            .push(Evidence::signal(&change, 0, "the last change before this reason showed").citing(excerpt));
    }
    if matches!(reading.kind, Kind::Names | Kind::Certificate) {
        for silent in reading.silent.iter().take(1) {
            let node = ObjectRef::new("Node", "", &silent.failure.node);
            let ip = internal_ip(world, &node);
            if !ip.is_empty() {
                diagnosis.evidence.push(Evidence::object(
                    &node,
                    format!("InternalIP: {ip}"),
                    10,
                    "an address of the node",
                ));
            }
        }
    }
    diagnosis.evidence.extend(server.impact.evidence(server.pods));
    // Strongest first; the kit's own sorting would cost a component some kilobytes.
    let mut sorted: Vec<Evidence> = Vec::new();
    for e in diagnosis.evidence.drain(..) {
        let place = sorted.partition_point(|s| s.weight >= e.weight);
        sorted.insert(place, e);
    }
    diagnosis.evidence = sorted;
}

/// The change of the workload that the reason followed on.
fn changed(world: &World<'_>, workload: &ObjectRef, reading: &Reading) -> Option<Signal> {
    let changes = world.changes(workload, "self", 0, 10);
    changes.into_iter().find(|c| c.at <= reading.oldest && c.name == "MODIFIED")
}

fn path(server: &Server<'_>, pod: &Pod, reading: &Reading) -> Vec<Step> {
    let note = match reading.kind {
        Kind::Names => "asks the kubelets by names that DNS does not know",
        Kind::Certificate => "asks at addresses that the certificates do not name",
        Kind::UnknownCa => "does not trust who signed the kubelets' certificates",
        _ => "gets no metrics from the kubelets",
    };
    let mut steps = vec![Step::new(server.workload, "", note)];
    if server.workload.kind != "Pod" {
        let mut step = Step::new(&pod.id, "owned", pod.fares());
        step.signal = reading.silent.first().map(|s| s.line.id.clone());
        steps.push(step);
    }
    // The way on to the autoscalers, which no relation of the graph knows; a step that is repeated is gone back to.
    if let Some(api) = server.impact.api.as_ref().filter(|a| a.missing) {
        for autoscaler in server.memory.autoscalers.iter().take(5).map(object) {
            if steps.iter().all(|s| !s.object.is(&api.service)) {
                steps.push(Step::new(&api.service, "selected-by", ""));
            }
            steps.push(Step::new(&api.id, "used-by", ""));
            steps.push(Step::new(&autoscaler, "serves", "has no metrics"));
        }
    }
    steps
}
