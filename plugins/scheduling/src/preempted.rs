//! Pods that ran and that the scheduler ended for others of higher priority.

use kwhy_sdk::{Diagnosis, Evidence, ObjectRef, Remedy, Signal, Step, clock, hours};

use crate::finding::Case;

/// For whom a pod had to go.
struct Taker {
    pod: ObjectRef,
    workload: ObjectRef,
}

impl Case<'_> {
    /// Says so, at the workload that took the room: all that wait for it are told of together.
    pub(crate) fn tell_preempted(&self, d: &mut Diagnosis, resource: &str, amount: &str) {
        let Some((event, taker)) = self.preempted() else { return };
        let victim = event.subject.as_ref().map_or("", |pod| pod.name.as_str());
        let whom = match &taker {
            Some(taker) => format!("pod {} of {}", taker.pod.name, self.described(taker)),
            None => "a pod of higher priority".to_owned(),
        };
        d.explanation.push_str(&format!(
            " At {} the scheduler ended pod {victim}, which ran, to make room for {whom}.",
            clock(event.at)
        ));
        d.evidence.push(Evidence::signal(&event, 55, "a pod that had to go for another"));
        let mut remedy = Remedy::new(
            "give the workload a PriorityClass that is not below that of the other, or the other one less to do",
        )
        .command("kubectl get priorityclasses");
        if let Some(taker) = taker.filter(|taker| !taker.workload.is(&self.workload)) {
            let of = &taker.workload;
            let kind = of.kind.to_ascii_lowercase();
            remedy = remedy.command(format!("kubectl -n {} get {kind} {} -o yaml", of.namespace, of.name));
            d.root = of.clone();
            d.title = format!(
                "{} waits for {resource}: pods of {} preempted running ones",
                self.workload.path(),
                self.described(&taker)
            );
            d.path = vec![
                Step::new(of, "", "took the room of pods of lower priority"),
                Step::new(&self.workload, "", format!("requests {amount}")),
            ];
        }
        d.remedies.insert(0, remedy);
    }

    /// `Deployment batch/cruncher (PriorityClass urgent)`.
    fn described(&self, Taker { pod, workload }: &Taker) -> String {
        let class = self.world.read(pod, "/spec/priorityClassName").unwrap_or_default();
        let named = format!("{} {}", workload.kind, workload.path());
        if class.text("").is_empty() { named } else { format!("{named} (PriorityClass {})", class.text("")) }
    }

    /// The newest of the workload's pods that had to go, for the workload that most of them went for.
    fn preempted(&self) -> Option<(Signal, Option<Taker>)> {
        let since = self.since.saturating_sub(hours(1));
        let events = self.world.about(&self.workload, "workload", "event", "Preempted", since, 20);
        let pods = if events.is_empty() { Vec::new() } else { self.world.list("Pod", "") };
        let all: Vec<(Signal, Option<Taker>)> = events
            .into_iter()
            .map(|event| {
                let pod = by(&event).and_then(|by| pods.iter().find(|p| p.path() == by || self.uid(p) == by));
                let taker = pod.map(|p| Taker { pod: p.clone(), workload: self.world.workload(p) });
                (event, taker)
            })
            .collect();
        let count = |path: &str| {
            all.iter().filter_map(|(_, t)| t.as_ref()).filter(|t| t.workload.path() == path).count()
        };
        let rank = |taker: &Option<Taker>| {
            taker.as_ref().map(|t| t.workload.path()).map(|path| (count(&path), path))
        };
        // Of equals the first, which is the newest.
        let best =
            all.iter().rev().max_by_key(|(_, taker)| rank(taker)).map(|(event, _)| event.id.clone())?;
        all.into_iter().find(|(event, _)| event.id == best)
    }

    fn uid(&self, pod: &ObjectRef) -> String {
        self.world.read(pod, "/metadata/uid").map(|uid| uid.text("").to_owned()).unwrap_or_default()
    }
}

/// Who is named: `Preempted by pod UID on node N`; before 1.26 `Preempted by NAMESPACE/NAME on node N`.
fn by(event: &Signal) -> Option<&str> {
    let who = event.message.strip_prefix("Preempted by ")?.split(" on node ").next()?;
    Some(who.trim_start_matches("pod "))
}
