//! Which of the bars is the cause. What keeps a pod off a node on purpose (another node's taint, its own selector, a
//! sibling that must not be near) is not the cause as long as a node that it is meant for lacks something.

use kwhy_sdk::{ObjectRef, hours, seconds};

use crate::{
    code,
    message::{Bar, Unfit},
    place::{Place, is_state, is_unfinished},
    wish::Wish,
};

/// What keeps the pod waiting.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cause {
    /// No node is large enough for a request.
    TooLarge(String),
    /// The nodes it may go to are taken; with the resource.
    Full(String),
    TooManyPods,
    /// All nodes that it selects are reserved by taints, `key=value`.
    Tainted(Vec<(String, String)>),
    /// No node has what its selector or affinity demands.
    Nowhere,
    /// Its rules about other pods leave no node.
    Neighbours,
    /// Its volume lies elsewhere.
    VolumeElsewhere,
    Spread,
    HostPort,
    /// A cordoned node would take it.
    Cordoned(Vec<ObjectRef>),
    /// A node would take it that was tainted shortly before; with the taint, `key=value`.
    Closed((String, String), Vec<ObjectRef>),
    /// A node would take it that somebody has still to make fit for use; with the taint that says so.
    Unfinished(String, Vec<ObjectRef>),
    /// A node that is down would be its place: told by the node's own finding.
    Down(Vec<ObjectRef>),
    /// So would one that is short of something itself.
    Pressed(Vec<ObjectRef>),
    /// A claim is not bound: told by the storage rules.
    Claim,
    /// Nothing can be said.
    Unknown,
}

/// Judges from the scheduler's words and the nodes as they stand; `places` is empty where no node is known. The pod has
/// waited since `since` (ms).
pub(crate) fn of(unfit: &Unfit, wish: &Wish, places: &[Place], since: u64) -> Cause {
    if unfit.has(|b| matches!(b, Bar::Volume)) {
        return Cause::Claim;
    }
    if places.is_empty() {
        return by_words(unfit, wish, places);
    }
    if !places.iter().any(|p| p.selected) && !wish.demands().is_empty() {
        return Cause::Nowhere;
    }
    if places.iter().any(|p| p.selected) && !places.iter().any(|p| p.selected && p.reached) {
        return Cause::VolumeElsewhere;
    }
    let meant: Vec<&Place> = places.iter().filter(|p| p.meant()).collect();
    if meant.is_empty() {
        let mut taints: Vec<(String, String)> = Vec::new();
        for taint in places.iter().filter(|p| p.selected && p.reached).flat_map(|p| &p.taints) {
            if !taints.contains(taint) {
                taints.push(taint.clone());
            }
        }
        return if taints.is_empty() { by_words(unfit, wish, places) } else { Cause::Tainted(taints) };
    }
    let small: Vec<Option<String>> = meant.iter().map(|p| p.too_small(wish)).collect();
    if let Some(Some(resource)) = small.first().filter(|_| small.iter().all(Option::is_some)) {
        return Cause::TooLarge(resource.clone());
    }
    let large = || meant.iter().filter(|p| p.too_small(wish).is_none());
    let ids = |which: &dyn Fn(&Place) -> bool| -> Vec<ObjectRef> {
        // Those that are for everybody first: what waits for them is told of together.
        let mut found: Vec<_> = large().filter(|p| which(p)).collect();
        found.sort_by_key(|p| (!p.open, &p.id.name));
        found.into_iter().map(|p| p.id.clone()).collect()
    };
    // A node that went down later is not what the pod waits for.
    let down = ids(&|p| p.down.is_some_and(|at| at <= since + seconds(60)));
    if !down.is_empty() {
        return Cause::Down(down);
    }
    let cordoned = ids(&|p| p.cordoned && p.roomy(wish));
    if !cordoned.is_empty() {
        return Cause::Cordoned(cordoned);
    }
    if let Some(key) = large().find_map(|p| p.unfinished.clone()) {
        let unfinished = ids(&|p| p.unfinished.as_ref() == Some(&key) && p.roomy(wish));
        if !unfinished.is_empty() {
            return Cause::Unfinished(key, unfinished);
        }
    }
    // Closed by a taint shortly before, which is what changed.
    let fresh =
        |p: &&Place| p.tainted_at.is_some_and(|at| at <= since + seconds(60) && at + hours(2) >= since);
    let closed =
        places.iter().filter(|p| p.selected && p.reached && !p.taints.is_empty() && p.down.is_none());
    let mut closed: Vec<&Place> =
        closed.filter(fresh).filter(|p| p.too_small(wish).is_none() && p.roomy(wish)).collect();
    closed.sort_by_key(|p| &p.id.name);
    if let Some(taint) = closed.first().and_then(|p| p.taints.first()) {
        return Cause::Closed(taint.clone(), closed.iter().map(|p| p.id.clone()).collect());
    }
    let pressed = ids(&|p| p.pressed);
    if !pressed.is_empty() {
        return Cause::Pressed(pressed);
    }
    by_words(unfit, wish, places)
}

/// The code that the scheduler's words alone would lead to.
pub(crate) fn code_by_words(unfit: &Unfit, wish: &Wish, places: &[Place]) -> &'static str {
    match by_words(unfit, wish, places) {
        Cause::Full(resource) | Cause::TooLarge(resource) => code::of(&resource),
        Cause::TooManyPods => code::TOO_MANY_PODS,
        Cause::Tainted(_) | Cause::Closed(..) | Cause::Unfinished(..) => code::TAINT,
        Cause::Spread => code::SPREAD,
        Cause::HostPort => code::HOST_PORT,
        Cause::Cordoned(_) => code::CORDONED,
        _ => code::SELECTOR,
    }
}

/// By the scheduler's words alone, the most telling first.
fn by_words(unfit: &Unfit, wish: &Wish, places: &[Place]) -> Cause {
    let state =
        |end: &str| unfit.has(|b| matches!(b, Bar::Taint(key) if is_state(key) && key.ends_with(end)));
    if places.is_empty() && (state("/unreachable") || state("/not-ready")) {
        return Cause::Down(Vec::new());
    }
    let unfinished = unfit.bars.iter().find_map(|(_, bar)| match bar {
        Bar::Taint(key) if is_unfinished(key) => Some(key.clone()),
        _ => None,
    });
    if let Some(key) = unfinished.filter(|_| places.is_empty()) {
        return Cause::Unfinished(key, Vec::new());
    }
    if places.is_empty() && state("-pressure") {
        return Cause::Pressed(Vec::new());
    }
    let lacking = unfit.bars.iter().filter_map(|(n, bar)| match bar {
        Bar::Insufficient(resource) => Some((*n, resource)),
        _ => None,
    });
    // Of several the one that most nodes lack; of equals the first in the scheduler's own order.
    let lacking = lacking.fold(None::<(usize, &String)>, |best, next| match best {
        Some(known) if known.0 >= next.0 => Some(known),
        _ => Some(next),
    });
    if let Some((_, resource)) = lacking {
        return Cause::Full(resource.clone());
    }
    let has = |wanted: fn(&Bar) -> bool| unfit.has(wanted);
    if has(|b| matches!(b, Bar::TooManyPods)) {
        return Cause::TooManyPods;
    }
    if places.is_empty() && (has(|b| matches!(b, Bar::Cordoned)) || state("/unschedulable")) {
        return Cause::Cordoned(Vec::new());
    }
    if has(|b| matches!(b, Bar::HostPort)) {
        return Cause::HostPort;
    }
    if has(|b| matches!(b, Bar::VolumePlace)) {
        return Cause::VolumeElsewhere;
    }
    if has(|b| matches!(b, Bar::Spread)) {
        return Cause::Spread;
    }
    if has(|b| matches!(b, Bar::Affinity | Bar::AntiAffinity)) {
        return Cause::Neighbours;
    }
    let tainted = |b: &Bar| matches!(b, Bar::Taint(key) if !is_state(key));
    if unfit.has(tainted) && unfit.count(tainted) >= unfit.nodes.max(1) {
        let keys = unfit.bars.iter().filter_map(|(_, b)| match b {
            Bar::Taint(key) if !key.is_empty() => Some((key.clone(), String::new())),
            _ => None,
        });
        return Cause::Tainted(keys.collect());
    }
    if has(|b| matches!(b, Bar::Selector)) && places.is_empty() {
        return Cause::Nowhere;
    }
    if unfit.has(tainted) && places.is_empty() && wish.demands().is_empty() {
        return Cause::Tainted(Vec::new());
    }
    Cause::Unknown
}
