//! Signals as they stood on NATS, written down by `kwhy record`: they were made of upstream's words before.

use kwhy_proto::{millis, v1::Signal};

use super::Reader;
use crate::{
    capture::{inventory::Found, problem::Unit},
    text,
};

impl Reader<'_> {
    pub(super) fn signals(&mut self, file: &Found) {
        self.json_lines(file, |reader, number, line| {
            let bad = |reader: &mut Self, reason: &str, detail| {
                reader.problems.add(&file.file, Unit::Line, number, reason, detail);
                false
            };
            let mut signal: Signal = match serde_json::from_slice(line) {
                Ok(signal) => signal,
                Err(error) => return bad(reader, "not a signal (kwhy.v1.Signal)", Some(error.to_string())),
            };
            let Some(at) = signal.at.as_ref().map(millis).filter(|_| !signal.id.is_empty()) else {
                return bad(reader, "a signal without id or time", None);
            };
            // That time passed is told by the span, which ends no earlier.
            if signal.source == "tick" {
                reader.saw(at);
                return true;
            }
            let is_line = matches!(signal.source.as_str(), "kubelet" | "log");
            if is_line
                && !matches!(signal.state.as_str(), "W" | "E" | "F")
                && !reader.interest.wants_line(&signal.source, &signal.message, &signal.state)
            {
                return true;
            }
            signal.cluster.clone_from(&reader.cluster);
            // Made by somebody else, perhaps, and shown on a terminal.
            signal.message = text::message(&signal.message).into_owned();
            reader.push(signal);
            true
        });
    }
}
