//! What leads into the cluster and is served by nobody: `control-plane.load-balancer-pending`, a Service that gets no
//! address, and `control-plane.ingress-unclaimed`, an Ingress that no controller takes up.
//!
//! Events are those of the service controller (`cloud-provider/controllers/service`) and of MetalLB (`controller/service.go`),
//! the condition that of Cilium (`operator/pkg/lbipam`), the line that of ingress-nginx (`internal/ingress/controller/store`).

use kwhy_sdk::{
    Clearing, Condition, Diagnosis, Evidence, Explains, Json, ObjectRef, Pattern, Remedy, Signal, Step,
    Subscription, Verdict, Wake, World, clock, hours, minutes, parse_time, seconds,
};

pub(crate) const BALANCER: &str = "control-plane.load-balancer-pending";
pub(crate) const INGRESS: &str = "control-plane.ingress-unclaimed";
/// Timer: look at the Service or the Ingress again.
pub(crate) const LOOK: &str = "control-plane-front-look";
/// A controller passes an Ingress by.
const PASSED_BY: &str = "control-plane-ingress-passed-by";

/// Events of those who should give an address and cannot.
const REFUSED: [&str; 2] = ["SyncLoadBalancerFailed", "AllocationFailed"];
/// The service controller has begun.
const BEGUN: &str = "EnsuringLoadBalancer";

/// A cloud takes a minute or two, and fails a first time where its parts are not there yet.
const PATIENCE: u64 = minutes(5);
/// How long nobody may say a word.
const SILENT: u64 = minutes(10);
/// A failure is told again while it lasts, at last every five minutes.
const HEARD: u64 = minutes(12);
/// While it lasts it is looked at again: nothing else need be told of it.
const AGAIN: u64 = minutes(10);
/// What was never served for so long is meant so, or missed by nobody.
const OLD: u64 = hours(24);

/// What is wanted of objects, events and logs.
pub(crate) fn wanted() -> [Subscription; 3] {
    let line = Pattern::new(
        PASSED_BY,
        "ingress does not contain a valid IngressClass",
        r#"(?:ingress="(?P<path>[^"]+)"|ignoring ingress (?P<name>\S+) in (?P<space>\S+) )"#,
    );
    let events = [&REFUSED[..], &["EnsuredLoadBalancer", "IPAllocated"]].concat();
    [
        Subscription::objects(&["Service", "Ingress"]),
        Subscription::events(&events).kinds(&["Service"]),
        Subscription::logs(vec![line]),
    ]
}

/// Judges what a signal is about, where it is about one of the two.
pub(crate) fn told(world: &World<'_>, signal: &Signal) -> Option<Verdict> {
    let subject = signal.subject.as_ref()?;
    let id = match subject.kind.as_str() {
        "Service" | "Ingress" => subject.clone(),
        _ if signal.name == PASSED_BY => passed_by(signal),
        _ => return None,
    };
    let mut verdict = Verdict::default();
    if signal.source == "object" && signal.state == "listed" {
        // What else was there comes in the same moment, in any order.
        let at = world.now() + seconds(1);
        verdict.wakes.push(Wake { id: LOOK.into(), subject: Some(id), at });
        return Some(verdict);
    }
    let (code, found) = match id.kind.as_str() {
        "Service" => (BALANCER, balancer(world, &id)),
        _ => (INGRESS, ingress(world, &id)),
    };
    let key = format!("{code}/{}", id.path());
    let again = match found {
        Found::Nothing if world.remembers(&key) => {
            world.forget(&key);
            verdict.cleared.push(Clearing::new(code, &id, "it is served, or is gone"));
            return Some(verdict);
        }
        Found::Nothing => return Some(verdict),
        Found::Later(due) => due,
        Found::Cause(diagnosis) => {
            world.remember(&key, &true, hours(24 * 30));
            verdict.diagnoses.push(*diagnosis);
            world.now() + AGAIN
        }
    };
    verdict.wakes.push(Wake { id: LOOK.into(), subject: Some(id), at: again });
    Some(verdict)
}

enum Found {
    Nothing,
    /// It is too early to say.
    Later(u64),
    Cause(Box<Diagnosis>),
}

/// Which Ingress a controller passes by: named as a path, or name and namespace in older versions.
fn passed_by(line: &Signal) -> ObjectRef {
    let (space, name) =
        line.field("path").split_once('/').unwrap_or((line.field("space"), line.field("name")));
    ObjectRef::new("Ingress", space, name)
}

fn created(json: &Json) -> u64 {
    parse_time(json.text("/metadata/creationTimestamp")).unwrap_or(0)
}

fn served(json: &Json) -> bool {
    !json.list("/status/loadBalancer/ingress").is_empty()
}

/// What is said of why no address comes.
struct Refusal {
    evidence: Evidence,
    since: u64,
    words: String,
}

/// An event as it is remembered: its id, its words, when it began. MetalLB says it once, and the past is kept for a while
/// only.
type Told = (String, String, u64);

fn balancer(world: &World<'_>, id: &ObjectRef) -> Found {
    let json = world.read(id, "").unwrap_or_default();
    let seen = world.exists(id);
    if (seen && json.text("/spec/type") != "LoadBalancer") || (!seen && !world.only_told(id)) {
        return Found::Nothing;
    }
    let last = |name: &str| world.about(id, "self", "event", name, world.ago(OLD), 1).pop();
    let done =
        ["EnsuredLoadBalancer", "IPAllocated"].iter().filter_map(|name| last(name)).map(|e| e.at).max();
    let pending = seen && !served(&json);
    let lasts = |e: &Signal| e.at > done.unwrap_or(0) && (pending || e.at + HEARD > world.now());
    let newest = REFUSED.iter().filter_map(|name| last(name)).filter(lasts).max_by_key(|e| e.at);
    let key = format!("refused/{}", id.path());
    let newest = newest.map(|e| (e.id.clone(), e.message.clone(), e.began()));
    let known = || world.recall::<Told>(&key).filter(|_| pending && done.is_none());
    let told = newest.or_else(known);
    match &told {
        Some(told) => world.remember(&key, told, hours(24 * 30)),
        None => world.forget(&key),
    }
    let refusal = told.map(|told| refusal_of(id, told));
    let refusal = refusal.or_else(|| pending.then(|| unsatisfied(id, &json)).flatten());
    let Some(refusal) = refusal else {
        let begun = last(BEGUN).map_or(0, |e| e.at);
        let due = created(&json).max(begun) + SILENT;
        return match (pending, due > world.now()) {
            (false, _) => Found::Nothing,
            (true, true) => Found::Later(due),
            (true, false) => Found::Cause(Box::new(nobody(world, id, &json))),
        };
    };
    let due = refusal.since + PATIENCE;
    if due > world.now() {
        return Found::Later(due);
    }
    Found::Cause(Box::new(refused(world, id, &json, pending || !seen, refusal)))
}

fn refusal_of(id: &ObjectRef, (signal, message, since): Told) -> Refusal {
    let marks = ["failed to ensure load balancer: ", "Error syncing load balancer: "];
    let inner = marks.iter().find_map(|mark| message.split_once(mark).map(|(_, rest)| rest));
    let words = inner.unwrap_or(&message).to_owned();
    let event = Signal { id: signal, message, subject: Some(id.clone()), ..Signal::default() };
    Refusal { evidence: Evidence::signal(&event, 85, "why it gets no address"), since, words }
}

/// What Cilium writes of a Service that it finds no address for.
fn unsatisfied(id: &ObjectRef, json: &Json) -> Option<Refusal> {
    let kind = "cilium.io/IPAMRequestSatisfied";
    let condition = Condition::of(json, kind);
    condition.fails().then(|| Refusal {
        evidence: Evidence::object(id, condition.quote(kind), 85, "why it gets no address"),
        since: condition.since,
        words: condition.message.clone(),
    })
}

fn refused(world: &World<'_>, id: &ObjectRef, json: &Json, pending: bool, refusal: Refusal) -> Diagnosis {
    let Refusal { evidence, since, words } = refusal;
    let mut d = begin(world, BALANCER, id, json);
    d.confidence = 92;
    let state = if pending { "gets no address" } else { "has a load balancer that is not kept up to date" };
    d.title = format!("Service {} {state}: {}", id.path(), short(&words));
    d.explanation = format!(
        "Who provides load balancers has failed for Service {} since {}: {words}.{}",
        id.path(),
        clock(since),
        if pending { " Nothing from outside comes in by it." } else { "" }
    );
    d.evidence.push(evidence);
    d.explains.extend(REFUSED.map(|name| Explains::event(name, id, "self")));
    let no_room = ["no available IPs", "<nil>", "out_of_ips", "SubnetIsFull", "no pool"];
    let mut remedy = if no_room.iter().any(|mark| words.contains(mark)) {
        Remedy::new("give the pool of addresses more, or set free what no Service needs any more")
            .command("kubectl get ipaddresspools.metallb.io,ciliumloadbalancerippools.cilium.io -A -o yaml")
            .command("kubectl get services -A | grep LoadBalancer")
    } else if words.contains("uota") || words.contains("TooMany") {
        Remedy::new(
            "let the account have more load balancers or addresses, or remove those that nobody needs",
        )
    } else if words.contains("subnet") {
        Remedy::new("tag the subnets in which the cloud may make load balancers for this cluster")
    } else {
        Remedy::new("mend what it complains of; it tries again by itself")
    };
    remedy = remedy.command(format!("kubectl -n {} describe service {}", id.namespace, id.name));
    d.remedies = vec![remedy];
    d
}

fn nobody(world: &World<'_>, id: &ObjectRef, json: &Json) -> Diagnosis {
    let mut d = begin(world, BALANCER, id, json);
    d.confidence = 72;
    let class = json.text("/spec/loadBalancerClass");
    let whose = if class.is_empty() { String::new() } else { format!(" of class {class}") };
    d.title = format!("Service {} gets no address: nobody provides load balancers{whose}", id.path());
    d.explanation = format!(
        "Service {} is of type LoadBalancer, and since it was made at {} nobody has given it an address or said why not. Outside of \
         a cloud a controller is needed for that, as MetalLB, kube-vip or Cilium.",
        id.path(),
        clock(created(json))
    );
    let said = "status.loadBalancer is empty".to_owned();
    d.evidence.push(Evidence::object(id, said, 60, "nobody has given it an address"));
    d.remedies = vec![
        Remedy::new("see whether a controller for load balancers runs, and what it says")
            .command(
                "kubectl get pods -A | grep -i -E 'metallb|kube-vip|cloud-controller|load-balancer|svclb'",
            )
            .command(format!("kubectl -n {} describe service {}", id.namespace, id.name)),
        Remedy::new("where there is none, give it one, or reach the Service by its node port").command(
            format!(
                "kubectl -n {} patch service {} -p '{{\"spec\":{{\"type\":\"NodePort\"}}}}'",
                id.namespace, id.name
            ),
        ),
    ];
    d
}

fn ingress(world: &World<'_>, id: &ObjectRef) -> Found {
    let json = world.read(id, "").unwrap_or_default();
    if !world.exists(id) || served(&json) {
        return Found::Nothing;
    }
    let class = json.text("/spec/ingressClassName");
    let classes = world.list("IngressClass", "");
    let old = json.text("/metadata/annotations/kubernetes.io~1ingress.class");
    let (why, line) = if class.is_empty() && old.is_empty() {
        let line = world.about(id, "cluster", "log", PASSED_BY, world.ago(hours(2)), 50);
        let Some(line) = line.into_iter().find(|line| passed_by(line).is(id)) else { return Found::Nothing };
        ("it names no IngressClass".to_owned(), Some(line))
    } else if !class.is_empty() && !classes.is_empty() && classes.iter().all(|c| c.name != class) {
        (format!("there is no IngressClass {class}"), None)
    } else {
        return Found::Nothing;
    };
    let due = created(&json) + PATIENCE;
    if due > world.now() {
        return Found::Later(due);
    }
    let mut d = begin(world, INGRESS, id, &json);
    d.confidence = if line.is_some() { 90 } else { 82 };
    let names: Vec<&str> = classes.iter().map(|c| c.name.as_str()).collect();
    let there = match names.as_slice() {
        [] => String::new(),
        names => format!(" There are: {}.", names.join(", ")),
    };
    d.title = format!("Ingress {} is served by nobody: {why}", id.path());
    d.explanation = format!(
        "An Ingress is taken up by the controller of its class; {why}, and no controller has given Ingress {} an address.{there} Its hosts \
         lead nowhere, or to the 404 of a default backend.",
        id.path()
    );
    d.evidence.push(match &line {
        Some(line) => Evidence::signal(line, 85, "a controller passes it by"),
        None => Evidence::object(id, format!("ingressClassName: {class}"), 70, "no such class is there"),
    });
    let to = names.first().copied().unwrap_or("<class>");
    d.remedies = vec![
        Remedy::new("let it name the class of a controller that runs")
            .command("kubectl get ingressclass")
            .command(format!(
                "kubectl -n {} patch ingress {} -p '{{\"spec\":{{\"ingressClassName\":\"{to}\"}}}}'",
                id.namespace, id.name
            )),
    ];
    Found::Cause(Box::new(d))
}

/// What is new is missed by who made it, and what was never served is a note.
fn begin(world: &World<'_>, code: &str, id: &ObjectRef, json: &Json) -> Diagnosis {
    let mut d = Diagnosis::new(code, id.clone());
    let made = created(json);
    d.severity = if made > 0 && made + OLD < world.now() { "info" } else { "warning" }.into();
    d.path = vec![Step::new(id, "", "served by nobody")];
    d
}

/// The first words, for a title.
fn short(text: &str) -> String {
    let text = text.trim_end_matches('.');
    match text.char_indices().nth(110) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or(text)),
        None => text.to_owned(),
    }
}
