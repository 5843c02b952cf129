//! Short ways to make the records of the contract.

use crate::{
    Clearing, CodeInfo, Descriptor, Diagnosis, Evidence, Explains, ObjectRef, Pattern, Rejection, Remedy,
    Signal, Step, Subscription, Verdict,
};

fn owned(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| (*s).to_owned()).collect()
}

impl ObjectRef {
    /// An object without its uid; cluster-scoped kinds take an empty namespace.
    #[must_use]
    pub fn new(kind: &str, namespace: &str, name: &str) -> Self {
        Self { kind: kind.into(), namespace: namespace.into(), name: name.into(), uid: String::new() }
    }

    /// The same kind, namespace and name; uids are not compared, since not every source knows them.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        (&self.kind, &self.namespace, &self.name) == (&other.kind, &other.namespace, &other.name)
    }

    /// `kube-system/coredns`, or the name alone where there is no namespace.
    #[must_use]
    pub fn path(&self) -> String {
        if self.namespace.is_empty() {
            self.name.clone()
        } else {
            format!("{}/{}", self.namespace, self.name)
        }
    }
}

impl Signal {
    /// A field by name; empty where there is none.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|f| f.name == name).map_or("", |f| f.value.as_str())
    }

    /// When what it tells began, ms: of an event that is told again and again the first time, else its own.
    #[must_use]
    pub fn began(&self) -> u64 {
        self.field("first-at").parse().unwrap_or(self.at)
    }
}

impl Evidence {
    /// What a signal says, in its own words.
    #[must_use]
    pub fn signal(signal: &Signal, weight: i8, note: impl Into<String>) -> Self {
        Self {
            signal: Some(signal.id.clone()),
            object: signal.subject.clone(),
            excerpt: signal.message.clone(),
            weight,
            note: note.into(),
        }
    }

    /// What stands in an object.
    #[must_use]
    pub fn object(
        object: &ObjectRef,
        excerpt: impl Into<String>,
        weight: i8,
        note: impl Into<String>,
    ) -> Self {
        Self {
            signal: None,
            object: Some(object.clone()),
            excerpt: excerpt.into(),
            weight,
            note: note.into(),
        }
    }

    /// The same with other words cited, where the message alone does not tell enough.
    #[must_use]
    pub fn citing(mut self, excerpt: impl Into<String>) -> Self {
        self.excerpt = excerpt.into();
        self
    }
}

impl Remedy {
    /// Something to do.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// Adds a line to type.
    #[must_use]
    pub fn command(mut self, line: impl AsRef<str>) -> Self {
        if !self.command.is_empty() {
            self.command.push('\n');
        }
        self.command.push_str(line.as_ref());
        self
    }

    /// Says how it can hurt.
    #[must_use]
    pub fn caution(mut self, text: impl Into<String>) -> Self {
        self.caution = text.into();
        self
    }
}

impl Explains {
    /// Alerts of that name (a glob) on objects within reach of the anchor.
    #[must_use]
    pub fn alert(name: &str, anchor: &ObjectRef, reach: &str) -> Self {
        Self { source: "alert".into(), name: name.into(), anchor: Some(anchor.clone()), reach: reach.into() }
    }

    /// Events of that reason (a glob) on objects within reach of the anchor.
    #[must_use]
    pub fn event(name: &str, anchor: &ObjectRef, reach: &str) -> Self {
        Self { source: "event".into(), ..Self::alert(name, anchor, reach) }
    }

    /// Findings of that code (a glob) whose root is an object within reach of the anchor: they are its effects.
    #[must_use]
    pub fn finding(code: &str, anchor: &ObjectRef, reach: &str) -> Self {
        Self { source: "finding".into(), ..Self::alert(code, anchor, reach) }
    }

    /// Alerts of pods within reach of the anchor that wait to be started, and of the workloads that lack them; and what
    /// those see who need such a workload.
    pub fn waiting(anchor: &ObjectRef, reach: &str) -> impl Iterator<Item = Self> {
        let alerts = WAITING.iter().map(move |name| Self::alert(name, anchor, reach));
        alerts.chain([Self::missed(anchor, reach)])
    }

    /// What the pack of workloads tells of those who need a workload within reach of the anchor that does not run.
    #[must_use]
    pub fn missed(anchor: &ObjectRef, reach: &str) -> Self {
        Self::finding("workload.dependency-down", anchor, reach)
    }
}

/// What is told of pods that wait to be started.
const WAITING: [&str; 7] = [
    "KubePodNotReady",
    "KubeContainerWaiting",
    "KubeDeployment*",
    "KubeStatefulSet*",
    "KubeDaemonSet*",
    "KubeJobNotCompleted",
    "KubePdbNotEnoughHealthyPods",
];

impl Step {
    /// An object on the way, how it hangs on the step before it, and what is the matter with it.
    #[must_use]
    pub fn new(object: &ObjectRef, relation: &str, note: impl Into<String>) -> Self {
        Self { object: object.clone(), relation: relation.into(), note: note.into(), signal: None }
    }
}

impl Diagnosis {
    /// A cause at its root; severity `warning`, everything else still empty.
    #[must_use]
    pub fn new(code: &str, root: ObjectRef) -> Self {
        Self { code: code.into(), root, severity: "warning".into(), ..Self::default() }
    }
}

impl Rejection {
    /// A cause that was considered and ruled out.
    #[must_use]
    pub fn new(code: &str, root: &ObjectRef, because: impl Into<String>) -> Self {
        Self { code: code.into(), root: root.clone(), because: because.into(), evidence: Vec::new() }
    }
}

impl Clearing {
    /// A diagnosis that no longer holds.
    #[must_use]
    pub fn new(code: &str, root: &ObjectRef, because: impl Into<String>) -> Self {
        Self { code: code.into(), root: root.clone(), because: because.into() }
    }
}

impl Verdict {
    /// Adds a later verdict: what it says of a code and root replaces what was said before.
    pub fn merge(&mut self, later: Self) {
        let said = |code: &str, root: &ObjectRef| {
            later.diagnoses.iter().any(|d| d.code == code && d.root.is(root))
                || later.cleared.iter().any(|c| c.code == code && c.root.is(root))
        };
        self.diagnoses.retain(|d| !said(&d.code, &d.root));
        self.cleared.retain(|c| !said(&c.code, &c.root));
        self.rejections.retain(|r| !later.rejections.iter().any(|l| l.code == r.code && l.root.is(&r.root)));
        self.wakes.retain(|w| !later.wakes.iter().any(|l| l.id == w.id && l.subject == w.subject));
        self.diagnoses.extend(later.diagnoses);
        self.cleared.extend(later.cleared);
        self.rejections.extend(later.rejections);
        self.wakes.extend(later.wakes);
    }
}

impl Descriptor {
    /// A rule that knows no code and wants nothing yet.
    #[must_use]
    pub fn new(name: &str, version: &str) -> Self {
        Self { name: name.into(), version: version.into(), ..Self::default() }
    }

    /// Adds a cause that the rule may diagnose, the software versions that show it, and where it is described.
    #[must_use]
    pub fn code(mut self, code: &str, title: &str, versions: &str, references: &[&str]) -> Self {
        self.codes.push(CodeInfo {
            code: code.into(),
            title: title.into(),
            versions: versions.into(),
            references: owned(references),
        });
        self
    }

    /// Adds an interest.
    #[must_use]
    pub fn wants(mut self, subscription: Subscription) -> Self {
        self.subscriptions.push(subscription);
        self
    }
}

impl Pattern {
    /// A line that holds `literal` and matches `regex`; an empty regex leaves it at the literal.
    #[must_use]
    pub fn new(id: &str, literal: &str, regex: &str) -> Self {
        Self { id: id.into(), literal: literal.into(), regex: regex.into() }
    }
}

impl Subscription {
    fn of(source: &str, names: &[&str]) -> Self {
        Self { source: source.into(), names: owned(names), ..Self::default() }
    }

    /// Events with one of these reasons (globs; none means all).
    #[must_use]
    pub fn events(reasons: &[&str]) -> Self {
        Self::of("event", reasons)
    }

    /// Alerts with one of these names (globs; none means all).
    #[must_use]
    pub fn alerts(names: &[&str]) -> Self {
        Self::of("alert", names)
    }

    /// Changes of objects of these kinds.
    #[must_use]
    pub fn objects(kinds: &[&str]) -> Self {
        Self::of("object", &[]).kinds(kinds)
    }

    /// Container log lines that match one of these patterns.
    #[must_use]
    pub fn logs(patterns: Vec<Pattern>) -> Self {
        Self { patterns, ..Self::of("log", &[]) }
    }

    /// Kubelet lines that match one of these patterns.
    #[must_use]
    pub fn kubelet(patterns: Vec<Pattern>) -> Self {
        Self { patterns, ..Self::of("kubelet", &[]) }
    }

    /// Only about subjects of these kinds.
    #[must_use]
    pub fn kinds(mut self, kinds: &[&str]) -> Self {
        self.kinds = owned(kinds);
        self
    }

    /// Only about subjects in these namespaces (globs).
    #[must_use]
    pub fn namespaces(mut self, namespaces: &[&str]) -> Self {
        self.namespaces = owned(namespaces);
        self
    }

    /// Only about subjects whose own name or top-level owner's name is one of these (globs).
    #[must_use]
    pub fn workloads(mut self, workloads: &[&str]) -> Self {
        self.workloads = owned(workloads);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_verdicts_on_one_root_the_later_stands() {
        let node = ObjectRef::new("Node", "", "kal");
        let mut early = Diagnosis::new("a.b", node.clone());
        early.confidence = 10;
        let mut verdict = Verdict { diagnoses: vec![early], ..Verdict::default() };
        verdict.merge(Verdict { cleared: vec![Clearing::new("a.b", &node, "gone")], ..Verdict::default() });
        assert!(verdict.diagnoses.is_empty());
        assert_eq!(verdict.cleared.len(), 1);
        verdict.merge(Verdict { diagnoses: vec![Diagnosis::new("a.b", node)], ..Verdict::default() });
        assert_eq!((verdict.diagnoses.len(), verdict.cleared.len()), (1, 0));
    }

    #[test]
    fn each_command_of_a_remedy_is_a_line_of_its_own() {
        assert_eq!(Remedy::new("mend").command("a").command("b").command, "a\nb");
    }
}
