//! A container that ends again and again for no cause that is known better. Confidence stays low, so that any rule that
//! knows more wins, here or in another pack.

use kwhy_sdk::{Diagnosis, Evidence, ObjectRef, Remedy, World, image_name, minutes};

use crate::{
    case, config_change, logs,
    pod::{ANY, Container, Pod},
    service,
    words::{any, between, kubectl, named, set, short, spoken},
};

pub(crate) const EXIT: &str = "workload.exit-on-start";
pub(crate) const INIT: &str = "workload.init-container-failing";

/// Words of a controller that could not keep its lease.
const LEASES: [&str; 5] =
    ["leader election lost", "leaderelection lost", "resource lock", "failed to renew lease", "etcdserver: "];

/// What an exit code says by convention.
fn meaning(code: i64) -> &'static str {
    match code {
        0 => "the process did its work and ended, but is meant to stay",
        1 => "a general error of the application",
        2 => "wrong usage or a panic of a Go program",
        126 => "the command may not be executed",
        127 => "the command was not found",
        134 => "aborted (SIGABRT): an assertion, or a runtime that gave up",
        137 => "killed (SIGKILL) by something other than its memory limit",
        139 => "segmentation fault (SIGSEGV)",
        143 => "ended on request (SIGTERM)",
        _ => "an error that only the application knows",
    }
}

/// Whether a container fails persistently: one that comes up at the third try is no finding.
pub(crate) fn persists(world: &World<'_>, pod: &Pod, container: &Container) -> bool {
    let ill = config_change::ill_since(pod);
    let tries = if container.init { 2 } else { 3 };
    container.crashing()
        && (container.restarts() >= tries || (container.restarts() >= 1 && ill + minutes(5) <= world.now()))
}

/// A heap that a runtime has set for itself, and how to enlarge it.
fn heap(said: &str, pod: &Pod, name: &str) -> Option<(&'static str, Remedy)> {
    let (own, variable, value) = if said.contains("OutOfMemoryError") {
        ("the Java heap", "JAVA_TOOL_OPTIONS", "-XX:MaxRAMPercentage=75")
    } else if any(said, &["JavaScript heap out of memory", "Reached heap limit"]) {
        ("the JavaScript heap", "NODE_OPTIONS", "--max-old-space-size=<MiB>")
    } else {
        return None;
    };
    let remedy = Remedy::new(format!(
        "give {own} more room (where -Xmx or {variable} is set today, change it there), within the memory limit"
    ))
    .command(set(&pod.holder, "env", &format!("-c {name} {variable}={value}")))
    .caution("a leak only takes longer to fill a larger heap; the memory limit must stay above the heap");
    Some((own, remedy))
}

/// A right that a program lacks at the API server, in the server's own words.
struct Right<'a> {
    account: &'a str,
    verb: &'a str,
    what: &'a str,
    group: &'a str,
}

fn right(said: &str) -> Option<Right<'_>> {
    let (_, rest) = said.split_once(" is forbidden: User ")?;
    let inside = |mark: &str| between(rest, mark, "\"").map(|t| t.trim_matches('\\'));
    let account = rest.trim_start_matches(['\\', '"']).split(['\\', '"']).next()?;
    let verb = between(rest, " cannot ", " ")?;
    let what = inside("resource \"").or_else(|| inside("resource \\\""))?;
    let group = inside("API group \"").or_else(|| inside("API group \\\""))?;
    Some(Right { account, verb, what, group })
}

/// Says which right a program lacks, and how to see and give it.
fn forbidden(diagnosis: &mut Diagnosis, right: &Right<'_>, said: &str, whose: &str) {
    let Right { account, verb, what, group } = right;
    let place = between(said, " in the namespace ", " ")
        .or_else(|| said.rsplit_once(" in the namespace ").map(|(_, n)| n));
    let place = place.map(|n| n.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '-'));
    let all = if group.is_empty() { (*what).to_owned() } else { format!("{what}.{group}") };
    diagnosis.confidence += 28;
    diagnosis.title = format!("{whose} may not {verb} {all}: its account lacks the right, and it ends");
    diagnosis.explanation.push_str(&format!(
        " The API server knows it as {account} and refuses it to {verb} {all} {}: the Role or ClusterRole that allows it, or its binding, is missing, or does not name that resource.",
        place.map_or("in all namespaces".to_owned(), |n| format!("in namespace {n}"))
    ));
    let (scope, kind) = match place {
        Some(n) => (format!("-n {n}"), "role"),
        None => ("-A".to_owned(), "clusterrole"),
    };
    let name = account.rsplit(':').next().unwrap_or(account);
    let who = match account.strip_prefix("system:serviceaccount:") {
        Some(path) => format!("--serviceaccount={path}"),
        None => format!("--user={account}"),
    };
    let within = place.map_or(String::new(), |n| format!("-n {n} "));
    diagnosis.remedies.push(
        Remedy::new(
            "give the account its right back: from where its roles are kept, or with a role of its own",
        )
        .command(format!("kubectl auth can-i {verb} {all} --as={account} {scope}"))
        .command(format!("kubectl get rolebindings,clusterrolebindings -A -o wide | grep {name}"))
        .command(format!(
            "kubectl {within}create {kind} {name}-{what} --verb=get,list,watch --resource={all}"
        ))
        .command(format!("kubectl {within}create {kind}binding {name}-{what} --{kind}={name}-{what} {who}"))
        .caution("give no more than it needs: who may read Secrets everywhere has the cluster"),
    );
}

/// A port that a program cannot have because another one has it, where both share the node's.
fn taken(said: &str, pod: &Pod) -> Option<Remedy> {
    if !any(
        said,
        &[
            "address already in use",
            "EADDRINUSE",
            "Address already in use",
            "Only one usage of each socket address",
        ],
    ) {
        return None;
    }
    let node = pod.node();
    if !pod.json.is_true("/spec/hostNetwork") || node.is_empty() {
        return None;
    }
    let port_of = |word: &str| {
        word.trim_end_matches([':', ',', '.', '"', '\\']).rsplit_once(':')?.1.parse::<u16>().ok()
    };
    let (before, after) = said
        .split_once("ddress already in use")
        .or_else(|| said.split_once("EADDRINUSE"))
        .unwrap_or((said, ""));
    let port = before.split([' ', '"', '\'']).rev().find_map(port_of);
    let port = port.or_else(|| after.split([' ', '"', '\'']).find_map(port_of));
    let filter = port.map_or(String::new(), |p| format!(" 'sport = :{p}'"));
    Some(
        Remedy::new(format!("end what has the port on node {node}, or give the workload another one"))
            .command(format!("sudo ss -ltnup{filter}     # on node {node}")),
    )
}

/// What a program lacks of its machine rather than of its own configuration.
fn machine(said: &str, pod: &Pod) -> Option<(String, Remedy)> {
    let node = pod.node();
    if node.is_empty() {
        return None;
    }
    if any(said, &["too many open files", "inotify_init", "no space left on device: inotify"]) {
        return Some((
            format!("Files and inotify watches are limited for all that runs on node {node} together, as one user."),
            Remedy::new(format!("allow more on node {node}, now and at the next boot"))
                .command(format!("sudo sysctl fs.inotify.max_user_instances fs.inotify.max_user_watches fs.file-nr     # on node {node}"))
                .command(format!("sudo sysctl -w fs.inotify.max_user_instances=8192 fs.inotify.max_user_watches=524288     # on node {node}; and in /etc/sysctl.d")),
        ));
    }
    if any(said, &["Read-only file system", "read-only file system"])
        && !pod.json.list("/spec/volumes").is_empty()
    {
        return Some((
            format!("A file system that was written to turns read-only on node {node} when its device fails or is cut off; a volume that is mounted readOnly says the same."),
            Remedy::new(format!("see what the kernel of node {node} says of the device, and whether the volume is meant to be written to"))
                .command(format!("sudo dmesg -T | grep -i -E 'remount|I/O error|ext4|xfs' | tail -20     # on node {node}"))
                .command(format!("{} get pod {} -o jsonpath='{{.spec.containers[*].volumeMounts}}'", kubectl(&pod.id.namespace), pod.id.name)),
        ));
    }
    None
}

/// An init container does its work within this time, or waits for something that does not come.
pub(crate) const LONG_INIT: u64 = minutes(15);

/// An init container that runs and does not end.
pub(crate) fn endless(world: &World<'_>, pod: &Pod, container: &Container) -> Option<Diagnosis> {
    // What it waits for may be a Job that has failed, which tells of those that wait for it.
    if pod.of_job() || crate::job::waited_for(world, pod, container).is_some() {
        return None;
    }
    let running = container.running()?;
    let line = logs::telling(world, pod, container, running);
    // One that is not ready keeps whoever asks it waiting.
    let complaints = logs::complaints(world, pod, container, logs::ERROR, running);
    if let Some(found) = line.iter().chain(&complaints).find_map(|l| service::missed(world, pod, l)) {
        return Some(found);
    }
    let whose = spoken(&pod.workload);
    let name = &container.name;
    let mut diagnosis = case::of_pod(world, INIT, &pod.workload, pod, if line.is_some() { 52 } else { 45 });
    diagnosis.title = format!("Init container {name} of {whose} does not end, so the pod does not start");
    diagnosis.explanation = format!(
        "Init container {name} of {} runs since {} UTC; the other containers start when it has ended. It may wait for something that does not come.",
        pod.id.name,
        kwhy_sdk::clock(running)
    );
    if let Some(line) = &line {
        diagnosis.explanation.push_str(&format!(" It says: {}", short(&line.message, 240)));
        diagnosis.evidence.push(Evidence::signal(line, 40, "what it says").citing(short(&line.message, 400)));
    }
    diagnosis.evidence.push(Evidence::object(
        &pod.id,
        format!("init container {name} runs since {} UTC", kwhy_sdk::clock(running)),
        30,
        "state of the pod",
    ));
    diagnosis.remedies.push(Remedy::new("read what it waits for").command(format!(
        "{} logs {} -c {name} --tail=50",
        kubectl(&pod.id.namespace),
        pod.id.name
    )));
    Some(diagnosis)
}

/// Whether the namespace has an etcd that is not the cluster's: there `etcdserver:` says nothing of the API server.
fn own_etcd(world: &World<'_>, namespace: &str) -> bool {
    let runs = |pod: &ObjectRef| {
        let containers = world.read(pod, "/spec/containers").unwrap_or_default();
        containers.list("").iter().any(|c| image_name(c.text("/image")) == "etcd")
    };
    namespace != "kube-system" && world.list("Pod", namespace).iter().any(runs)
}

pub(crate) fn judge(world: &World<'_>, pod: &Pod, container: &Container) -> Option<Diagnosis> {
    if !persists(world, pod, container) {
        return None;
    }
    let end = container.end();
    let code = end.as_ref().map(|e| e.code);
    let ill = config_change::ill_since(pod);
    let line = logs::telling(world, pod, container, logs::since(container, ill));
    let whose = spoken(&pod.workload);
    let name = &container.name;
    let one = if name == ANY { "A container".to_owned() } else { format!("Container {name}") };
    let (which, title) = if container.init {
        (INIT, format!("Init container {name} of {whose} fails, so the pod does not start"))
    } else if code == Some(0) {
        (EXIT, format!("{one} of {whose} ends with success again and again, but is meant to stay"))
    } else {
        (
            EXIT,
            format!(
                "{one} of {whose} crashes again and again{}",
                code.map(|c| format!(" (exit code {c})")).unwrap_or_default()
            ),
        )
    };
    let mut diagnosis = case::of_pod(world, which, &pod.workload, pod, if line.is_some() { 50 } else { 45 });
    if container.init {
        diagnosis.confidence += 5;
    }
    if line.as_ref().is_some_and(|l| l.name == logs::SPACE) {
        // Whoever knows the volume says more; this is only what it does to the workload.
        diagnosis.severity = "info".into();
        diagnosis.confidence = 40;
    }
    if line.as_ref().is_some_and(|l| any(&l.message, &LEASES)) && !own_etcd(world, &pod.id.namespace) {
        // It gives up by design when the API server is too slow for its lease: an effect, and told by what is slow.
        diagnosis.severity = "info".into();
        diagnosis.confidence = 40;
    }
    diagnosis.title = title;
    diagnosis.explanation = match code {
        Some(code) => format!(
            "{one} of {} ends with exit code {code}: {}. No edit of what it reads and no rollout within the last two hours explains it.",
            pod.id.name,
            meaning(code)
        ),
        None => format!("{one} of {} is started again and again.", pod.id.name),
    };
    if let Some(lived) = end.as_ref().and_then(crate::pod::End::lived) {
        diagnosis.explanation.push_str(&format!(" It lived for {} the last time.", kwhy_sdk::span(lived)));
    }
    let left = end.as_ref().map_or("", |e| e.message.as_str());
    match (&line, left) {
        (Some(line), _) => {
            diagnosis.explanation.push_str(&format!(" Its last words: {}", short(&line.message, 240)))
        }
        (None, "") => diagnosis.explanation.push_str(" Read its last words with the command below."),
        (None, left) => {
            diagnosis.confidence += 5;
            diagnosis.explanation.push_str(&format!(" The message it left: {}", short(left, 240)));
        }
    }
    config_change::cite(&mut diagnosis, world, pod, container, line.as_ref());
    if diagnosis.evidence.is_empty() {
        diagnosis.evidence.push(Evidence::object(
            &pod.id,
            container.waiting().1,
            30,
            "why the container waits",
        ));
    }
    let k = kubectl(&pod.id.namespace);
    let said = line.as_ref().map_or(left, |l| l.message.as_str());
    if let Some((own, remedy)) = heap(said, pod, name) {
        diagnosis.confidence += 10;
        diagnosis.title = format!("{one} of {whose} ends because {own} is used up");
        diagnosis.explanation.push_str(&format!(
            ". That is a limit which the program sets itself; its memory limit ({}) did not kill it.",
            match container.spec.text("/resources/limits/memory") {
                "" => "none",
                limit => limit,
            }
        ));
        diagnosis.remedies.push(remedy);
    }
    if let Some(right) = right(said) {
        forbidden(&mut diagnosis, &right, said, &whose);
    }
    if let Some(remedy) = taken(said, pod) {
        diagnosis.confidence += 20;
        diagnosis.title =
            format!("{one} of {whose} cannot have its port on node {}: another program has it", pod.node());
        diagnosis
            .explanation
            .push_str(". It runs in the network of its node, where each port is there once.");
        diagnosis.remedies.push(remedy);
    }
    if let Some((what, remedy)) = machine(said, pod) {
        diagnosis.confidence += 15;
        diagnosis.explanation.push_str(&format!(". {what}"));
        diagnosis.remedies.push(remedy);
    }
    let which = if name == ANY { String::new() } else { format!(" -c {name}") };
    diagnosis.remedies.push(
        Remedy::new("read what it said last")
            .command(format!("{k} logs {}{which} --previous --tail=50", pod.id.name)),
    );
    if code == Some(0) && !container.init {
        diagnosis.remedies.push(
            Remedy::new("run what ends by itself as a Job, or give the container a command that stays")
                .command(format!("{k} edit {}", named(&pod.holder))),
        );
    }
    Some(diagnosis)
}
