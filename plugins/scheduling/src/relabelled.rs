//! A label that the pods select and that a node had until shortly before they began to wait.

use kwhy_sdk::{ObjectRef, Remedy, Signal, clock, hours, minutes};

use crate::{finding::Case, place, wish::Unmet};

pub(crate) struct Lost {
    node: ObjectRef,
    key: String,
    value: String,
    pub(crate) change: Signal,
}

impl Case<'_> {
    /// What some node lost of that which no node has now; of several the last.
    pub(crate) fn lost(&self, unmet: &[Unmet]) -> Option<Lost> {
        let from = self.since.saturating_sub(hours(2));
        let of = |node: &ObjectRef| {
            let mut changes = self.world.changes(node, "self", from, 20);
            changes.retain(|change| change.at <= self.since + minutes(1));
            changes.into_iter().find_map(|change| {
                let (key, value) = unmet.iter().find_map(|u| Some((u.key.clone(), u.lost_by(&change)?)))?;
                Some(Lost { node: node.clone(), key, value, change })
            })
        };
        self.places.iter().filter_map(|place| of(&place.id)).max_by_key(|lost| lost.change.at)
    }
}

impl Unmet {
    /// A value that is wanted and that a node had before a change.
    fn lost_by(&self, change: &Signal) -> Option<String> {
        let name = format!("/metadata/labels{}", place::pointer(&self.key));
        let field = change.fields.iter().find(|f| f.name == name)?;
        let value = field.value.lines().find_map(|line| line.strip_prefix("- "))?;
        // A label that must only be there has no values that are wanted.
        let wanted = self.wanted.is_empty() || self.wanted.iter().any(|w| w == value);
        wanted.then(|| value.to_owned())
    }
}

impl Lost {
    pub(crate) fn told(&self) -> String {
        let Self { node, key, value, change } = self;
        format!(" Node {} had {key}={value} until {}.", node.name, clock(change.at))
    }

    pub(crate) fn remedy(&self) -> Remedy {
        let Self { node, key, value, .. } = self;
        Remedy::new(format!("give {} its label back, if it still is such a node", node.name))
            .command(format!("kubectl label node {} {key}={value} --overwrite", node.name))
            .caution("whoever took it off may put other pods there: ask first")
    }
}
