//! What a container says, on its way to signals.

use kwhy_proto::{Timestamp, v1::Signal};

use super::logs::wants;
use crate::{
    capture::Interest,
    log::{self, Container, Text},
    multiline::Joiner,
};

/// Takes the lines of one container.
pub(super) struct Words<'a> {
    interest: &'a dyn Interest,
    cluster: String,
    of: Container<'a>,
    /// The file that signals cite.
    name: &'a str,
    joiner: Joiner<(u32, Timestamp)>,
    signals: Vec<Signal>,
}

impl<'a> Words<'a> {
    pub(super) fn new(interest: &'a dyn Interest, cluster: &str, of: Container<'a>, name: &'a str) -> Self {
        let cluster = cluster.to_owned();
        Self { interest, cluster, of, name, joiner: Joiner::new(), signals: Vec::new() }
    }

    pub(super) fn feed(&mut self, line: u32, at: Timestamp, text: &str) {
        let Self { interest, cluster, of, name, joiner, signals } = self;
        joiner.feed((line, at), text, |head, text| take(*interest, cluster, *of, name, head, text, signals));
    }

    pub(super) fn finish(self) -> Vec<Signal> {
        let Self { interest, cluster, of, name, mut joiner, mut signals } = self;
        joiner.finish(|head, text| take(interest, &cluster, of, name, head, text, &mut signals));
        signals
    }
}

fn take(
    interest: &dyn Interest,
    cluster: &str,
    of: Container<'_>,
    name: &str,
    (line, at): (u32, Timestamp),
    text: &str,
    signals: &mut Vec<Signal>,
) {
    let mut text = Text::read(text);
    if wants(interest, "log", &mut text) {
        // The run before sorts before the present one.
        let position = format!("{}-{line:010}", u8::from(!of.previous));
        signals.push(log::container(cluster, of, &text, at, &position, format!("{name}:{line}")));
    }
}
