//! The way from Prometheus to Alertmanager, also under `monitoring.alertmanager-cannot-notify`: alerts fire and arrive
//! nowhere, because no Alertmanager runs, none is known to Prometheus, or what stands between lets nothing through.
//!
//! Why the pods of an Alertmanager do not run is told elsewhere; this only keeps the account of what follows from it.

use kwhy_sdk::{Diagnosis, Evidence, Explains, ObjectRef, Remedy, Signal, Step, Verdict, World, minutes};

use crate::{
    line::{self, value},
    parts::{self, Part},
    trouble::NOTIFY,
};

/// The mixin of Prometheus, its names of before 2020, and awesome-prometheus-alerts.
pub(crate) const ALERTS: [&str; 6] = [
    "PrometheusErrorSendingAlertsToAnyAlertmanager",
    "PrometheusErrorSendingAlertsToSomeAlertmanagers",
    "PrometheusErrorSendingAlerts",
    "PrometheusNotConnectedToAlertmanagers",
    "PrometheusNotConnectedToAlertmanager",
    "PrometheusNotificationQueueRunningFull",
];

/// How long the lines of Prometheus speak for the present.
const RECENT: u64 = minutes(30);

/// Judges an alert of Prometheus about its own sending.
pub(crate) fn judge(world: &World<'_>, alert: &Signal, subject: &ObjectRef) -> Verdict {
    let sender = if subject.kind == "Pod" {
        parts::of(world, subject)
    } else {
        let Some(part) = parts::prometheus(world, alert.field("prometheus")) else {
            return Verdict::default();
        };
        part
    };
    if !sender.pods.iter().any(|p| parts::runs(world, p, parts::PROMETHEUS)) {
        return Verdict::default();
    }
    let managers = parts::all(world, parts::ALERTMANAGER);
    let near = |m: &&Part| m.workload.namespace == sender.workload.namespace;
    let manager = managers.iter().find(near).or(managers.first());
    let mut d = match manager {
        Some(manager) if manager.pods.is_empty() => scaled_to_zero(world, manager),
        Some(manager) if !manager.works(world) => not_running(world, manager),
        _ => between(world, alert, &sender, manager),
    };
    d.evidence.push(Evidence::signal(alert, 50, "measured"));
    for name in ALERTS {
        d.explains.push(Explains::alert(name, &sender.workload, "workload"));
    }
    d.explains.push(Explains::alert(&alert.name, subject, "self"));
    Verdict { diagnoses: vec![d], ..Verdict::default() }
}

fn scaled_to_zero(world: &World<'_>, manager: &Part) -> Diagnosis {
    let (workload, ns) = (&manager.workload, &manager.workload.namespace);
    let mut d = Diagnosis::new(NOTIFY, workload.clone());
    d.severity = "critical".into();
    d.confidence = 85;
    d.title = format!("Alertmanager {} has no pods, so no alert reaches anybody", workload.path());
    d.explanation = format!(
        "Prometheus evaluates its rules, but {} {} has no pods that could take its alerts.",
        workload.kind,
        workload.path()
    );
    d.evidence.push(Evidence::object(workload, "no pods", 60, "nobody takes the alerts"));
    d.path = vec![Step::new(workload, "", "no pods")];
    let owner = world.owners(workload).into_iter().find(|o| o.kind == parts::MANAGER_KIND);
    d.remedies.push(match owner {
        Some(owner) => Remedy::new("let the operator make pods for it again").command(format!(
            "kubectl -n {ns} patch alertmanager {} --type merge -p '{{\"spec\":{{\"replicas\":1}}}}'",
            owner.name
        )),
        None => Remedy::new("scale it up again").command(format!(
            "kubectl -n {ns} scale {} {} --replicas=1",
            workload.kind.to_ascii_lowercase(),
            workload.name
        )),
    });
    d
}

fn not_running(world: &World<'_>, manager: &Part) -> Diagnosis {
    let workload = &manager.workload;
    let mut d = Diagnosis::new(NOTIFY, workload.clone());
    d.severity = "info".into();
    d.confidence = 70;
    d.title = format!("Alertmanager {} does not run, so no alert reaches anybody", workload.path());
    d.explanation = format!(
        "Prometheus evaluates its rules, but its alerts find nobody: Alertmanager {} is {}. Why, is told elsewhere, if a \
         rule knows.",
        workload.path(),
        manager.state(world)
    );
    let pod = manager.pods.first();
    d.evidence.extend(pod.map(|p| Evidence::object(p, manager.state(world), 60, "a pod of Alertmanager")));
    d.path = vec![Step::new(workload, "", manager.state(world))];
    d.remedies.push(Remedy::new("see why it does not run").command(format!(
        "kubectl -n {} describe pod {}",
        workload.namespace,
        pod.map_or("", |p| p.name.as_str())
    )));
    d
}

fn between(world: &World<'_>, alert: &Signal, sender: &Part, manager: Option<&Part>) -> Diagnosis {
    let (workload, ns) = (&sender.workload, &sender.workload.namespace);
    let lines = sender.lines(world, line::SEND, world.ago(RECENT));
    let why = lines.first().map(|l| value(&l.message, "err")).unwrap_or_default();
    let mut d = Diagnosis::new(NOTIFY, workload.clone());
    d.severity = if alert.name.ends_with("SomeAlertmanagers") { "warning" } else { "critical" }.into();
    d.confidence = if why.is_empty() { 65 } else { 88 };
    d.title = format!("Prometheus {} cannot send its alerts to Alertmanager", workload.path());
    let known = alert.name.contains("NotConnected");
    d.explanation = match (why.is_empty(), manager) {
        (false, _) => format!("Alerts fire, but sending them fails: {why}. Nobody is told of them."),
        (true, Some(manager)) if known => format!(
            "Alertmanager {} runs, but Prometheus has found none to send to: what its configuration names (a Service, a port) \
             leads to no Alertmanager. Nobody is told of its alerts.",
            manager.workload.path()
        ),
        (true, Some(manager)) => format!(
            "Alertmanager {} runs, but alerts do not arrive there. Nobody is told of them.",
            manager.workload.path()
        ),
        (true, None) => "No Alertmanager is among the objects seen. Nobody is told of the alerts.".to_owned(),
    };
    d.evidence.extend(lines.iter().take(2).map(|l| Evidence::signal(l, 70, "Prometheus' own words")));
    d.path = vec![Step::new(workload, "", "its alerts are not taken")];
    let pod = sender.pods.first().map_or("", |p| p.name.as_str());
    let container = parts::container(world, sender, parts::PROMETHEUS);
    let logs = format!("kubectl -n {ns} logs {pod} -c {container} --tail=30 | grep -i alert");
    d.remedies.push(Remedy::new(mend(&why)).command(logs).command(format!(
        "kubectl -n {ns} exec {pod} -c {container} -- wget -qO- http://127.0.0.1:9090/api/v1/alertmanagers"
    )));
    let places = manager.map_or(ns, |m| &m.workload.namespace);
    d.remedies.push(
        Remedy::new("and see that the Service leads to the pods of Alertmanager")
            .command(format!("kubectl -n {places} get endpoints,networkpolicies")),
    );
    d
}

fn mend(why: &str) -> String {
    let has = |words: &[&str]| words.iter().any(|w| why.contains(w));
    if has(&["no such host", "lookup "]) {
        "correct the address of Alertmanager (alerting.alertmanagers), or mend the cluster's DNS: the name is not known"
    } else if has(&["status 404", "status 410"]) {
        "correct path and version of the API: Alertmanager takes alerts at /api/v2 only since 0.27 (apiVersion: v2), below its route prefix"
    } else if has(&["status 401", "status 403"]) {
        "give Prometheus the credentials that Alertmanager asks for (alerting.alertmanagers.authorization)"
    } else if has(&["x509: ", "tls: ", "HTTPS client", "malformed HTTP"]) {
        "let Prometheus speak TLS as Alertmanager does, and trust its certificate (scheme, tlsConfig)"
    } else if has(&["connection refused"]) {
        "correct the port, or see why nothing listens there"
    } else if has(&["i/o timeout", "deadline exceeded", "no route to host"]) {
        "open the way between the two: a network policy, the pod network or a firewall lets nothing through"
    } else {
        "see what Prometheus sends to, and why it is not taken"
    }
    .to_owned()
}
