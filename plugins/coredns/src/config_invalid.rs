//! `coredns.config-invalid`: CoreDNS refuses its configuration. At its start it ends with the reason as its last words;
//! while it runs it goes on with the configuration it has, until its next start (`coremain/run.go`, `plugin/reload` and
//! `caddyfile/dispenser.go`).

use kwhy_sdk::{
    Clearing, Diagnosis, Evidence, Explains, ObjectRef, Remedy, Signal, Step, Verdict, World, clock, hours,
    minutes,
};

use crate::{
    CONFIG, REFUSED, felt,
    memory::{Watched, id, object},
    remedy,
    server::Pod,
};

pub(crate) const CODE: &str = "coredns.config-invalid";

/// How long the last words of a container speak for its pod; a crash loop repeats them every five minutes.
const LOOKBACK: u64 = minutes(60);
/// An edit so long before the refusal may be what is refused: CoreDNS may have run on with what it had.
const BEFORE: u64 = hours(24 * 7);

/// One pod that refuses its configuration.
struct Refusal<'a> {
    pod: &'a Pod,
    line: Signal,
    /// The ConfigMap and the key that are refused, where they are known.
    place: Option<(ObjectRef, String)>,
    /// The line there that CoreDNS names, from 1, with its text.
    at: Option<(usize, String)>,
    /// It runs on with what it had.
    runs: bool,
}

/// What CoreDNS fails to reach or may not do is no fault of its configuration, though it ends with it.
const NO_FAULT: [&str; 7] = [
    "dial tcp",
    "connection refused",
    "timeout",
    "bind: ",
    "listener file",
    "permission denied",
    "/secrets/kubernetes.io/serviceaccount/",
];

/// Whether the line is about what the configuration says.
pub(crate) fn is_refusal(line: &Signal) -> bool {
    !NO_FAULT.iter().any(|words| line.message.contains(words))
}

/// Judges one workload from the facts as they stand now.
pub(crate) fn judge(world: &World<'_>, watched: &mut Watched, workload: &ObjectRef, pods: &[Pod]) -> Verdict {
    let mut verdict = Verdict::default();
    let recent = world.ago(LOOKBACK);
    let since = if watched.invalid.is_some() { recent.min(watched.seen) } else { recent };
    let (mut refusals, mut over): (Vec<Refusal<'_>>, Vec<String>) = (Vec::new(), Vec::new());
    for pod in pods.iter().filter(|p| !p.terminating()) {
        let lines = world.about(&pod.id, "self", "log", REFUSED, since, 5);
        let Some(line) = lines.into_iter().find(is_refusal) else { continue };
        match judge_pod(world, pod, line) {
            Ok(found) => {
                let place = refusals.partition_point(|r| r.line.at >= found.line.at);
                refusals.insert(place, found);
            }
            Err(because) => over.push(because),
        }
    }
    let Some(first) = refusals.first() else {
        let Some(root) = watched.invalid.take() else { return verdict };
        // Between a refusing pod and its successor nothing tells that it is over.
        let ready = !pods.is_empty() && pods.iter().all(|p| p.ready_since().is_some());
        let because = match over.into_iter().next() {
            Some(because) => because,
            None if ready => format!("all pods of {} are ready", workload.name),
            None if !world.exists(workload) => format!("{} {} is gone", workload.kind, workload.path()),
            None => {
                watched.invalid = Some(root);
                return verdict;
            }
        };
        verdict.cleared.push(Clearing::new(CODE, &object(&root), because));
        return verdict;
    };
    let diagnosis = diagnose(world, workload, pods, &refusals, first);
    if let Some(held) = watched.invalid.replace(id(&diagnosis.root)).filter(|h| *h != id(&diagnosis.root)) {
        let because = format!("{} {} is refused now", diagnosis.root.kind, diagnosis.root.path());
        verdict.cleared.push(Clearing::new(CODE, &object(&held), because));
    }
    verdict.diagnoses.push(diagnosis);
    verdict
}

/// Whether a pod still refuses what it told of; else what says that it is over.
fn judge_pod<'a>(world: &World<'_>, pod: &'a Pod, line: Signal) -> Result<Refusal<'a>, String> {
    let name = &pod.id.name;
    let runs = !line.field("reload").is_empty();
    let file = match line.field("file") {
        "" => pod.conf_path(),
        file => file.to_owned(),
    };
    let place = pod.mounted(&file).or_else(|| {
        // A relative name is one beside the Corefile.
        let conf = pod.conf_path();
        let dir = conf.rsplit_once('/').map_or("", |(dir, _)| dir);
        pod.mounted(&format!("{dir}/{file}")).or_else(|| pod.mounted(&conf))
    });
    let place = imported(world, pod, &line).or(place);
    if let Some((map, key)) = &place
        && let Some(edit) = world.changes(map, "self", line.at.saturating_add(1), 1).into_iter().next()
    {
        return Err(format!("{key} in {} was edited at {}", map.path(), clock(edit.at)));
    }
    let number: Option<usize> = line.field("line").parse().ok();
    let text = place.as_ref().and_then(|(map, key)| text_of(world, map, key));
    // The words that it quotes stand there no more: the file was mended before anybody looked at the ConfigMap.
    let why = line.field("why");
    let quoted = why.split('\'').nth(1).filter(|w| !w.is_empty() && !w.contains(' '));
    if let (Some(word), Some(text)) = (quoted, &text)
        && !text.contains(word)
    {
        return Err(format!("`{word}`, which {name} refused, stands in its configuration no more"));
    }
    let shown = number.zip(text.as_ref()).and_then(|(n, text)| {
        let lines = || text.lines().map(str::trim);
        let fits = |line: &str| quoted.is_none_or(|word| line.contains(word));
        let named = n.checked_sub(1).and_then(|at| lines().nth(at)).filter(|line| fits(line));
        // Lines of what an `import` put in place count elsewhere.
        let (at, line) = named
            .map(|line| (n, line))
            .or_else(|| lines().enumerate().find(|(_, line)| fits(line)).map(|(at, line)| (at + 1, line)))?;
        Some((at, line.to_owned()))
    });
    // A plugin that complains of its own arguments names no line: it is the one that begins with it.
    let plugin = line.field("plugin");
    let shown = shown.or_else(|| {
        let word = why.split('"').nth(1).unwrap_or("");
        let its = |l: &str| l.split_whitespace().next() == Some(plugin) && l.contains(word);
        let text = text.as_ref().filter(|_| number.is_none() && !plugin.is_empty())?;
        let mut lines = text.lines().map(str::trim).enumerate();
        lines.find(|(_, l)| its(l)).map(|(at, l)| (at + 1, l.to_owned()))
    });
    if runs {
        let reloaded = world.about(&pod.id, "self", "log", CONFIG, line.at.saturating_add(1), 1);
        if let Some(reloaded) = reloaded.first() {
            return Err(format!("{name} took a configuration at {}", clock(reloaded.at)));
        }
        if let Some(started) = pod.running_since().filter(|s| *s > line.at) {
            return Err(format!("{name} was started anew at {}", clock(started)));
        }
    } else if let Some(ready) = pod.ready_since().filter(|ready| *ready > line.at) {
        return Err(format!("{name} is ready since {}", clock(ready)));
    }
    Ok(Refusal { pod, line, place, at: shown, runs })
}

/// An entry of a ConfigMap.
fn text_of(world: &World<'_>, map: &ObjectRef, key: &str) -> Option<String> {
    let data = world.read(map, "/data").unwrap_or_default().map("");
    data.into_iter().find(|(k, _)| k == key).map(|(_, text)| text)
}

/// The ConfigMap beside the Corefile's own that an `import` puts in place and that holds what is refused, where the
/// line names a plugin and no file (`plugin/hosts: this plugin can only be used once per Server Block`).
fn imported(world: &World<'_>, pod: &Pod, line: &Signal) -> Option<(ObjectRef, String)> {
    let plugin = line.field("plugin");
    if plugin.is_empty() || !line.field("file").is_empty() {
        return None;
    }
    let main = pod.mounted(&pod.conf_path())?;
    let uses = |text: &str| text.lines().any(|l| l.split_whitespace().next() == Some(plugin));
    let whole = text_of(world, &main.0, &main.1).unwrap_or_default();
    if !whole.lines().any(|l| l.trim_start().starts_with("import ")) {
        return None;
    }
    let why = line.field("why");
    let word = why.split('"').nth(1).filter(|w| !w.is_empty());
    if word.is_some_and(|w| whole.contains(w)) {
        return None;
    }
    // Used twice, or in the imported part alone: what came on top is what is too much.
    let on_top = word.is_some() || why.contains("only be used once") || !uses(&whole);
    let fits = |text: &str| on_top && uses(text) && word.is_none_or(|w| text.contains(w));
    let others =
        world.related(&pod.id, "uses").into_iter().filter(|o| o.kind == "ConfigMap" && !o.is(&main.0));
    others.into_iter().find_map(|map| {
        let keys = world.read(&map, "/data").unwrap_or_default().map("");
        let key = keys.into_iter().find(|(_, text)| fits(text)).map(|(key, _)| key)?;
        Some((map, key))
    })
}

fn diagnose(
    world: &World<'_>,
    workload: &ObjectRef,
    pods: &[Pod],
    refusals: &[Refusal<'_>],
    first: &Refusal<'_>,
) -> Diagnosis {
    let ended = refusals.iter().find(|r| !r.runs);
    let map = first.place.as_ref().map(|(map, _)| map.clone());
    let root = map.clone().unwrap_or_else(|| workload.clone());
    let from = first.line.at.saturating_sub(BEFORE);
    let edit = map.as_ref().and_then(|m| world.changes(m, "self", from, 1).into_iter().next());
    let serving = pods.iter().filter(|p| p.ready_since().is_some()).count();
    let why = first.line.field("why").trim_end_matches('.').to_owned();
    let key = first.place.as_ref().map_or("Corefile", |(_, key)| key.as_str());
    let place = match &first.at {
        Some((n, _)) => format!("line {n} of {key}"),
        None => key.to_owned(),
    };
    let holds = root.path();
    let mut d = Diagnosis::new(CODE, root.clone());
    d.severity = if serving == 0 { "critical" } else { "warning" }.to_owned();
    d.confidence = match ended {
        Some(r) if r.pod.keeps_ending() => 90 + if first.at.is_some() { 6 } else { 0 },
        Some(_) => 60,
        None => 85 + if first.at.is_some() { 5 } else { 0 },
    };
    d.title = match ended {
        Some(_) => format!("CoreDNS does not start: it refuses {place} in ConfigMap {holds}"),
        None => format!("CoreDNS refuses {place} in ConfigMap {holds} and runs on with the old one"),
    };
    if map.is_none() {
        d.title = format!("CoreDNS in {holds} refuses its configuration");
    }
    let plugin = match first.line.field("plugin") {
        "" => String::new(),
        plugin => format!("plugin {plugin}: "),
    };
    let written = first.at.as_ref().filter(|(_, text)| !text.is_empty());
    let written = written.map_or(String::new(), |(_, text)| format!(" There stands `{text}`."));
    let edited =
        edit.as_ref().map_or(String::new(), |e| format!(" The ConfigMap was edited at {}.", clock(e.at)));
    d.explanation = match ended {
        Some(r) => format!(
            "CoreDNS in pod {} ends at its start and says why: {plugin}{why}.{written}{edited} {}",
            r.pod.id.name,
            match serving {
                0 => "No pod of it answers queries, so names do not resolve in the cluster.".to_owned(),
                n =>
                    format!("{n} of {} pods still run with what they had; none may be restarted.", pods.len()),
            }
        ),
        None => format!(
            "At a reload CoreDNS in pod {} said: {plugin}{why}.{written}{edited} It answers with the configuration that it \
             had; the next start of a pod will fail.",
            first.pod.id.name
        ),
    };
    for r in refusals.iter().take(3) {
        let note =
            if r.runs { "a reload that was refused" } else { "the last words of the container at its start" };
        d.evidence.push(Evidence::signal(&r.line, 60, note));
    }
    if let (Some(map), Some((n, text))) = (&map, &first.at) {
        let excerpt = if text.is_empty() { format!("(line {n} is empty)") } else { text.clone() };
        d.evidence.push(Evidence::object(map, excerpt, 40, format!("line {n} of {key}")));
    }
    d.evidence.extend(edit.iter().map(|e| Evidence::signal(e, 30, "the edit before it")));
    for r in refusals.iter().filter(|r| !r.runs).take(2) {
        let waiting = r.pod.waiting();
        if !waiting.is_empty() {
            d.evidence.push(Evidence::object(&r.pod.id, waiting, 25, r.pod.fares()));
        }
    }
    d.explains = if ended.is_some() {
        felt::all(world, workload, pods)
    } else {
        vec![
            Explains::alert("CoreDNSReload*", workload, "workload"),
            Explains::alert("CorednsReload*", workload, "workload"),
        ]
    };
    let mut steps = Vec::new();
    if let Some(map) = &map {
        steps.push(Step::new(map, "", format!("{place}: {why}")));
    }
    let mut step = Step::new(&first.pod.id, if map.is_some() { "used-by" } else { "" }, first.pod.fares());
    step.signal = Some(first.line.id.clone());
    steps.push(step);
    d.path = steps;
    d.remedies = remedies(world, workload, refusals, first, edit.as_ref());
    d
}

fn remedies(
    world: &World<'_>,
    workload: &ObjectRef,
    refusals: &[Refusal<'_>],
    first: &Refusal<'_>,
    edit: Option<&Signal>,
) -> Vec<Remedy> {
    let namespace = &workload.namespace;
    let why = first.line.field("why");
    let Some((map, key)) = &first.place else {
        return vec![
            Remedy::new("correct the configuration that it names")
                .command(format!("kubectl -n {namespace} logs {} --previous --tail=5", first.pod.id.name)),
        ];
    };
    let unknown = why.split_once("nknown directive").is_some();
    let mut text = match &first.at {
        Some((n, text)) if !text.is_empty() => format!("correct line {n} of {key}, `{text}`: {why}"),
        Some((n, _)) => format!("correct {key} at line {n}: {why}"),
        None => format!("correct {key}: {why}"),
    };
    if unknown {
        text.push_str(&format!(
            " (misspelt, outside of its braces, or a plugin that image {} does not have)",
            first.pod.image()
        ));
    }
    let mut mend =
        Remedy::new(text).command(format!("kubectl -n {} edit configmap {}", map.namespace, map.name));
    let broken: Vec<&str> = refusals.iter().filter(|r| !r.runs).map(|r| r.pod.id.name.as_str()).collect();
    if !broken.is_empty() {
        mend = mend.command(format!("kubectl -n {namespace} delete pod {}", broken.join(" ")));
    }
    if let Some(undone) = remedy::undone(world, map) {
        mend = mend.caution(undone);
    }
    let mut all = vec![mend];
    if let Some(edit) = edit {
        let diff: Vec<&str> = edit.fields.iter().flat_map(|f| f.value.lines()).take(6).collect();
        let mut back = Remedy::new(format!("or take the edit of {} back", clock(edit.at)));
        if !diff.is_empty() {
            back = back.command(format!(
                "kubectl -n {} edit configmap {}     # {}",
                map.namespace,
                map.name,
                diff.join(" | ")
            ));
        }
        all.push(back);
    }
    if broken.is_empty() {
        let kind = workload.kind.to_ascii_lowercase();
        all.push(Remedy::new("and see that it is taken; do not restart CoreDNS before").command(format!(
            "kubectl -n {namespace} logs {kind}/{} --tail=20 | grep -i reload",
            workload.name
        )));
    }
    all
}
