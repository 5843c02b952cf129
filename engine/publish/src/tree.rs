//! The tree from root to symptoms as rows of text, small enough for the place it is shown in.
//!
//! Hides how a tree that is too long shrinks: first a lone alert moves onto its object's row and objects of which nothing is
//! said are left out, then siblings that suffer alike share a row, then the rest is counted.

use kwhy_proto::v1::{Finding, ObjectRef, Symptom};

use crate::{
    cut,
    describe::{self, count},
    moment::{self, Clock, lasting},
    sanitize,
};

/// Deeper steps stand beside their parent, so that no path can push its names off the page.
const DEPTH: usize = 10;

/// What a row shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mark {
    #[default]
    Object,
    Firing,
    Stopped,
    Event,
}

impl Mark {
    pub(crate) fn glyph(self) -> &'static str {
        match self {
            Self::Object => "",
            Self::Firing => "● ",
            Self::Stopped => "○ ",
            Self::Event => "◦ ",
        }
    }
}

/// One line of the tree.
#[derive(Debug, Default)]
pub(crate) struct Row {
    /// The branch drawn before it.
    pub(crate) branch: String,
    /// The same for a line that goes on below.
    pub(crate) below: String,
    pub(crate) mark: Mark,
    pub(crate) name: String,
    /// An alert shown on the row of its object: mark and words.
    pub(crate) sign: Option<(Mark, String)>,
    pub(crate) note: String,
    objects: u64,
    alerts: u64,
}

impl Row {
    /// Columns up to the end of the name.
    pub(crate) fn left(&self) -> usize {
        cut::width(&self.branch) + cut::width(self.mark.glyph()) + cut::width(&self.name)
    }
}

/// The rows of `finding`'s tree: in full where they are at most `want`, otherwise shrunk, and never more than `most`.
pub(crate) fn rows(finding: &Finding, clock: Clock, want: usize, most: usize) -> Vec<Row> {
    let tree = Tree::of(finding);
    let mut rows = Vec::new();
    for shrink in [Shrink::Nothing, Shrink::Merge, Shrink::Group] {
        rows = tree.draw(clock, shrink);
        if rows.len() <= want {
            break;
        }
    }
    if rows.len() > most {
        let rest = rows.split_off(most.saturating_sub(1));
        let sum = |of: fn(&Row) -> u64| rest.iter().map(of).sum::<u64>();
        let (objects, alerts) = (sum(|row| row.objects), sum(|row| row.alerts));
        let name = match (objects, alerts) {
            (_, 0) => format!("… {}", count(objects, "more object")),
            (0, _) => format!("… {}", count(alerts, "more alert")),
            _ => format!("… {} on {}", count(alerts, "more alert"), count(objects, "more object")),
        };
        rows.push(Row { name, objects, alerts, ..Row::default() });
    }
    // Whatever hangs on the next row's arm passes by a line that goes on below this one.
    let passing = |row: &Row| row.branch.replace("├─ ", "│  ").replace("└─ ", "│  ");
    let below: Vec<_> = rows.iter().skip(1).map(passing).chain([String::new()]).collect();
    for (row, below) in rows.iter_mut().zip(below) {
        row.below = below;
    }
    rows
}

/// The column at which the notes stand: behind the longest name that leaves them `reserve` columns.
pub(crate) fn note_column(rows: &[Row], columns: usize, reserve: usize) -> usize {
    let limit = columns.saturating_sub(reserve + 3);
    rows.iter().map(Row::left).filter(|left| *left <= limit).max().unwrap_or(0) + 3
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Shrink {
    Nothing,
    Merge,
    Group,
}

/// Alerts or events of one name and state on one object.
#[derive(Clone)]
struct Sign {
    mark: Mark,
    name: String,
    state: String,
    since: Option<u64>,
    until: Option<u64>,
    times: u64,
    /// How many of them Alertmanager holds back.
    suppressed: u64,
}

struct Node<'a> {
    object: Option<&'a ObjectRef>,
    note: String,
    parent: Option<usize>,
    depth: usize,
    children: Vec<usize>,
    signs: Vec<Sign>,
}

#[derive(Default)]
struct Tree<'a> {
    nodes: Vec<Node<'a>>,
    roots: Vec<usize>,
}

impl<'a> Tree<'a> {
    fn of(finding: &'a Finding) -> Self {
        let mut tree = Self::default();
        // Steps may lie on a node twice removed from their parent, so remember where each went.
        let mut placed = Vec::new();
        for step in &finding.path {
            let parent = usize::try_from(step.parent).unwrap_or(0).checked_sub(1);
            let parent = parent.and_then(|index| placed.get(index).copied());
            // A parent that does not stand before its child is a fault of the sender; the child is still shown.
            let parent = parent.or_else(|| (step.parent > 0).then(|| tree.roots.first().copied()).flatten());
            placed.push(tree.add(parent, step.object.as_ref(), sanitize::line(&step.note)));
        }
        let root = finding.root.as_ref().filter(|root| !root.name.is_empty() && finding.path.is_empty());
        if let Some(root) = root {
            tree.add(None, Some(root), String::new());
        }
        for symptom in &finding.symptoms {
            let object = symptom.object.as_ref().filter(|object| !object.name.is_empty());
            let known = object.and_then(|object| tree.nodes.iter().position(|node| is(node.object, object)));
            let node = known.unwrap_or_else(|| match (object, tree.roots.first().copied()) {
                (None, Some(root)) => root,
                (object, root) => tree.add(root, object, String::new()),
            });
            if let Some(node) = tree.nodes.get_mut(node) {
                node.sign(symptom);
            }
        }
        for node in &mut tree.nodes {
            node.signs.sort_by_key(|sign| sign.mark != Mark::Firing);
        }
        tree
    }

    fn add(&mut self, parent: Option<usize>, object: Option<&'a ObjectRef>, note: String) -> usize {
        let beside = parent.and_then(|index| self.nodes.get(index)).filter(|node| node.depth >= DEPTH);
        let parent = beside.map_or(parent, |node| node.parent);
        let index = self.nodes.len();
        let depth = match parent.and_then(|parent| self.nodes.get_mut(parent)) {
            Some(node) => {
                node.children.push(index);
                node.depth + 1
            }
            None => {
                self.roots.push(index);
                0
            }
        };
        self.nodes.push(Node { object, note, parent, depth, children: Vec::new(), signs: Vec::new() });
        index
    }

    fn draw(&self, clock: Clock, shrink: Shrink) -> Vec<Row> {
        let mut rows = Vec::new();
        for root in self.roots.iter().map(std::slice::from_ref) {
            self.node(root, "", "", "", &mut Drawing { clock, shrink, rows: &mut rows });
        }
        rows
    }

    /// Draws one node, or several alike as one, and what hangs on it. `branch` leads to it, `below` to what hangs on it.
    fn node(&self, alike: &[usize], branch: &str, below: &str, namespace: &str, on: &mut Drawing<'_>) {
        let nodes: Vec<_> = alike.iter().filter_map(|index| self.nodes.get(*index)).collect();
        let object = nodes.iter().find_map(|node| node.object);
        let signs = together(nodes.iter().flat_map(|node| &node.signs));
        let children = self.children(&nodes, on.shrink);
        let lone = match signs.as_slice() {
            [sign] if on.shrink >= Shrink::Merge && object.is_some() => Some(sign),
            _ => None,
        };
        // A symptom that is about nothing known has no object's row to hang on.
        if let Some(object) = object {
            let (name, note) = match nodes.as_slice() {
                [one] => (describe::object(object, namespace), one.note.clone()),
                many => (format!("{} ×{}", sanitize::line(&object.kind), many.len()), names(many, namespace)),
            };
            on.rows.push(Row {
                branch: branch.to_owned(),
                name: if name.is_empty() { "?".to_owned() } else { name },
                sign: lone.map(|sign| (sign.mark, sign.briefly(on.clock))),
                note,
                objects: u64::try_from(nodes.len()).unwrap_or(u64::MAX),
                alerts: lone.map_or(0, |sign| sign.times),
                ..Row::default()
            });
        }
        let mut hanging =
            if lone.is_some() { Vec::new() } else { signs.iter().map(|sign| sign.row(on.clock)).collect() };
        if on.shrink >= Shrink::Group && hanging.len() > 2 {
            hanging = vec![summed(&signs)];
        }
        let inner = object.map(|it| it.namespace.as_str()).filter(|it| !it.is_empty()).unwrap_or(namespace);
        let all = hanging.len() + children.len();
        let arms = |position: usize| match (object.is_some(), position + 1 == all) {
            (false, _) => (String::new(), String::new()),
            (true, true) => (format!("{below}└─ "), format!("{below}   ")),
            (true, false) => (format!("{below}├─ "), format!("{below}│  ")),
        };
        let drawn = hanging.len();
        on.rows.extend(
            hanging.into_iter().enumerate().map(|(position, row)| Row { branch: arms(position).0, ..row }),
        );
        for (position, alike) in children.iter().enumerate() {
            let (branch, below) = arms(drawn + position);
            self.node(alike, &branch, &below, inner, on);
        }
    }

    /// What hangs on `nodes`, as groups that share a row.
    fn children(&self, nodes: &[&Node<'a>], shrink: Shrink) -> Vec<Vec<usize>> {
        let mut children: Vec<_> = nodes.iter().flat_map(|node| self.visible(node, shrink)).collect();
        if shrink < Shrink::Group {
            return children.into_iter().map(|child| vec![child]).collect();
        }
        let mut groups: Vec<(String, Vec<usize>)> = Vec::new();
        for child in children.drain(..) {
            let shape = self.shape(child, shrink);
            match groups.iter_mut().find(|(other, _)| *other == shape) {
                Some((_, group)) => group.push(child),
                None => groups.push((shape, vec![child])),
            }
        }
        groups.into_iter().map(|(_, group)| group).collect()
    }

    /// The children of `node` that get a row.
    fn visible(&self, node: &Node<'a>, shrink: Shrink) -> Vec<usize> {
        let mut children = node.children.clone();
        if shrink >= Shrink::Merge {
            children.retain(|child| !self.nodes.get(*child).is_some_and(Node::tells_nothing));
            for child in &mut children {
                while let Some(only) = self.nodes.get(*child).and_then(Node::only_stands_between) {
                    *child = only;
                }
            }
        }
        children
    }

    /// Kinds and alerts of a node and of all below: what siblings that suffer alike have in common.
    fn shape(&self, index: usize, shrink: Shrink) -> String {
        let Some(node) = self.nodes.get(index) else { return String::new() };
        let mut shape = node.object.map(|it| it.kind.clone()).unwrap_or_default();
        for sign in &node.signs {
            shape = format!("{shape}\n{}{}", sign.mark.glyph(), sign.name);
        }
        let mut below: Vec<_> =
            self.visible(node, shrink).into_iter().map(|child| self.shape(child, shrink)).collect();
        below.sort();
        format!("{shape}({})", below.join(","))
    }
}

/// What one drawing needs on every level.
struct Drawing<'a> {
    clock: Clock,
    shrink: Shrink,
    rows: &'a mut Vec<Row>,
}

/// Signs of one name and state as one.
fn together<'a>(all: impl Iterator<Item = &'a Sign>) -> Vec<Sign> {
    let mut merged: Vec<Sign> = Vec::new();
    for sign in all {
        match merged.iter_mut().find(|old| old.mark == sign.mark && old.name == sign.name) {
            Some(old) => old.join(sign),
            None => merged.push(sign.clone()),
        }
    }
    merged
}

/// One row for many alerts on one object.
fn summed(signs: &[Sign]) -> Row {
    let alerts = signs.iter().map(|sign| sign.times).sum();
    let note = signs.iter().map(Sign::name).collect::<Vec<_>>().join(", ");
    Row {
        mark: signs.first().map(|sign| sign.mark).unwrap_or_default(),
        name: count(alerts, "alert"),
        note,
        alerts,
        ..Row::default()
    }
}

fn names(nodes: &[&Node<'_>], namespace: &str) -> String {
    let name = |object: &ObjectRef| {
        describe::object(&ObjectRef { kind: String::new(), ..object.clone() }, namespace)
    };
    nodes.iter().filter_map(|node| node.object).map(name).collect::<Vec<_>>().join(", ")
}

impl<'a> Node<'a> {
    fn sign(&mut self, symptom: &Symptom) {
        let mark = match (symptom.source.as_str(), symptom.state.as_str()) {
            ("alert", "resolved") => Mark::Stopped,
            ("alert", _) => Mark::Firing,
            _ => Mark::Event,
        };
        let new = Sign {
            mark,
            name: sanitize::line(&symptom.name),
            state: sanitize::line(&symptom.state).to_lowercase(),
            since: moment::of(symptom.since.as_ref()),
            until: moment::of(symptom.until.as_ref()),
            times: 1,
            suppressed: symptom.suppressed.into(),
        };
        match self.signs.iter_mut().find(|old| old.mark == mark && old.name == new.name) {
            Some(old) => old.join(&new),
            None => self.signs.push(new),
        }
    }

    /// The only child of a ReplicaSet that nothing is said of: a reader thinks of its Deployment and its pods.
    fn only_stands_between(&self) -> Option<usize> {
        let dull = self.signs.is_empty() && self.object.is_some_and(|it| it.kind == "ReplicaSet");
        match self.children.as_slice() {
            [only] if dull => Some(*only),
            _ => None,
        }
    }

    /// An end of the tree of which only the name is known.
    fn tells_nothing(&self) -> bool {
        self.signs.is_empty() && self.children.is_empty() && self.note.is_empty()
    }
}

impl Sign {
    fn join(&mut self, other: &Self) {
        self.times += other.times;
        self.suppressed += other.suppressed;
        self.since = [self.since, other.since].into_iter().flatten().min();
        self.until = self.until.max(other.until);
    }

    fn row(&self, clock: Clock) -> Row {
        Row {
            mark: self.mark,
            name: self.name(),
            note: self.when(clock),
            alerts: self.times,
            ..Row::default()
        }
    }

    fn name(&self) -> String {
        match self.times {
            1 => self.name.clone(),
            times => format!("{} ×{times}", self.name),
        }
    }

    /// Name and time, for the row of an object.
    fn briefly(&self, clock: Clock) -> String {
        match (self.mark, self.since, self.until) {
            (Mark::Firing, Some(since), _) => {
                format!("{} since {}{}", self.name(), clock.minute(since), self.held_back())
            }
            (Mark::Stopped, _, Some(until)) => format!("{} resolved {}", self.name(), clock.minute(until)),
            _ => format!("{} {}", self.name(), self.when(clock)),
        }
    }

    /// `, suppressed` of alerts that are silenced or inhibited.
    fn held_back(&self) -> String {
        match self.suppressed {
            0 => String::new(),
            all if all == self.times => ", suppressed".to_owned(),
            some => format!(", {some} suppressed"),
        }
    }

    /// `firing since 12:44`
    fn when(&self, clock: Clock) -> String {
        let at = |ms: u64| clock.minute(ms);
        let lasted = |since: u64, until: u64| lasting(until.saturating_sub(since));
        match (self.mark, self.since, self.until) {
            (Mark::Firing, Some(since), _) => format!("firing since {}{}", at(since), self.held_back()),
            (Mark::Firing, None, _) => format!("firing{}", self.held_back()),
            (Mark::Stopped, Some(since), Some(until)) => {
                format!("resolved {} after {}", at(until), lasted(since, until))
            }
            (Mark::Stopped, None, Some(until)) => format!("resolved {}", at(until)),
            (Mark::Stopped, _, None) => "resolved".to_owned(),
            (_, Some(since), Some(until)) if since != until => {
                format!("{} {} → {}", self.state, at(since), at(until))
            }
            (_, Some(at_once), _) | (_, None, Some(at_once)) => format!("{} {}", self.state, at(at_once)),
            (_, None, None) => self.state.clone(),
        }
    }
}

/// Whether both name the same object.
pub(crate) fn is(one: Option<&ObjectRef>, other: &ObjectRef) -> bool {
    one.is_some_and(|one| {
        let same_uid = !one.uid.is_empty() && one.uid == other.uid;
        same_uid || (&one.kind, &one.namespace, &one.name) == (&other.kind, &other.namespace, &other.name)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use kwhy_proto::v1::PathStep;

    use super::*;

    fn named(kind: &str, name: &str) -> Option<ObjectRef> {
        Some(ObjectRef { kind: kind.into(), name: name.into(), ..ObjectRef::default() })
    }

    fn step(kind: &str, name: &str, parent: u32) -> PathStep {
        PathStep { object: named(kind, name), parent, note: "n".into(), ..PathStep::default() }
    }

    fn alert(name: &str, object: Option<ObjectRef>) -> Symptom {
        Symptom {
            source: "alert".into(),
            state: "firing".into(),
            name: name.into(),
            object,
            ..Symptom::default()
        }
    }

    fn drawn(finding: &Finding, want: usize, most: usize) -> Vec<String> {
        let clock = Clock::over([].into_iter());
        let rows = rows(finding, clock, want, most);
        rows.iter().map(|row| format!("{}{}{}", row.branch, row.mark.glyph(), row.name)).collect()
    }

    fn one_node_with_pods(pods: usize) -> Finding {
        let name = |n: usize| format!("p{n}");
        Finding {
            path: [step("Node", "a", 0)]
                .into_iter()
                .chain((0..pods).map(|n| step("Pod", &name(n), 1)))
                .collect(),
            symptoms: (0..pods).map(|n| alert("KubePodNotReady", named("Pod", &name(n)))).collect(),
            ..Finding::default()
        }
    }

    #[test]
    fn each_alert_hangs_on_its_object() {
        let drawn = drawn(&one_node_with_pods(2), 9, 9);
        let wanted =
            ["Node a", "├─ Pod p0", "│  └─ ● KubePodNotReady", "└─ Pod p1", "   └─ ● KubePodNotReady"];
        assert_eq!(drawn, wanted);
    }

    #[test]
    fn a_tree_too_long_first_moves_alerts_onto_their_objects_then_joins_siblings() {
        assert_eq!(drawn(&one_node_with_pods(2), 4, 9), ["Node a", "├─ Pod p0", "└─ Pod p1"]);
        assert_eq!(drawn(&one_node_with_pods(70), 4, 9), ["Node a", "└─ Pod ×70"]);
    }

    #[test]
    fn what_still_does_not_fit_is_counted() {
        let kinds = ["Pod", "Job", "Service", "Ingress", "Deployment"];
        let finding = Finding {
            root: named("Node", "a"),
            symptoms: kinds.iter().map(|kind| alert("A", named(kind, "x"))).collect(),
            ..Finding::default()
        };
        assert_eq!(drawn(&finding, 3, 3), ["Node a", "├─ Pod x", "… 4 more alerts on 4 more objects"]);
    }

    #[test]
    fn a_symptom_without_a_path_hangs_on_the_root_and_one_without_anything_stands_alone() {
        let symptoms = vec![alert("A", None)];
        let rooted = Finding { root: named("Node", "a"), symptoms: symptoms.clone(), ..Finding::default() };
        assert_eq!(drawn(&rooted, 9, 9), ["Node a", "└─ ● A"]);
        assert_eq!(drawn(&Finding { symptoms, ..Finding::default() }, 9, 9), ["● A"]);
        assert!(drawn(&Finding::default(), 9, 9).is_empty());
    }

    #[test]
    fn a_parent_that_does_not_stand_before_its_child_is_the_root() {
        let path = vec![step("Node", "a", 0), step("Pod", "self", 2), step("Pod", "later", 9)];
        let finding = Finding { path, ..Finding::default() };
        assert_eq!(drawn(&finding, 9, 9), ["Node a", "├─ Pod self", "└─ Pod later"]);
    }

    #[test]
    fn a_path_as_deep_as_the_sea_stays_on_the_page() {
        let path = (0..500).map(|n| step("Pod", "p", n)).collect();
        let finding = Finding { path, ..Finding::default() };
        assert!(drawn(&finding, 999, 999).iter().all(|row| row.chars().count() <= 3 * DEPTH + 5));
    }

    proptest! {
        #[test]
        fn no_alert_is_lost_however_small_the_tree(
            parents in proptest::collection::vec(0_u32..12, 0..12),
            about in proptest::collection::vec((0_usize..16, 0_usize..3), 0..30),
            want in 1_usize..40,
            most in 1_usize..40,
        ) {
            let kinds = ["Pod", "ReplicaSet", "Node"];
            let name = |n: usize| named(kinds[n % 3], &format!("o{n}")).filter(|_| n != 15);
            let path = parents.iter().enumerate().map(|(n, parent)| PathStep { object: name(n), parent: *parent, ..PathStep::default() });
            let symptoms: Vec<_> = about.iter().map(|(n, kind)| alert(["A", "B", "C"][*kind], name(*n))).collect();
            let finding = Finding { path: path.collect(), symptoms, ..Finding::default() };
            let rows = rows(&finding, Clock::over([].into_iter()), want, most);
            prop_assert!(rows.len() <= most.max(want));
            prop_assert_eq!(rows.iter().map(|row| row.alerts).sum::<u64>(), u64::try_from(finding.symptoms.len()).unwrap());
        }
    }
}
