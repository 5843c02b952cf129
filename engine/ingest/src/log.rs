//! What kubelet and container lines have in common: one text of a log and the signal it becomes.
//!
//! Reading a text is cheap and copies nothing, so that it can be done for every line; only a line that is wanted is
//! made a signal.

use std::{borrow::Cow, collections::BTreeMap};

use kwhy_proto::{
    Timestamp,
    v1::{LogLine, ObjectRef, Signal, signal::Body},
};

use crate::{container, klog, pod, redact, text, time::Yearless};

/// A log text, read as far as needed to say whether it is wanted.
#[derive(Debug, Clone)]
pub struct Text<'a> {
    /// `F`, `E`, `W`, `I`, or empty where the text does not tell.
    pub severity: &'static str,
    /// The text without its klog header, safe to print and cut.
    pub message: Cow<'a, str>,
    /// Whether a rule may want it; of one that only counts as a warning less is kept. True until it is known better.
    pub wanted: bool,
    klog: Option<klog::Line<'a>>,
    whole: &'a str,
}

impl<'a> Text<'a> {
    /// Reads a text that may have a klog header.
    #[must_use]
    pub fn read(text: &'a str) -> Self {
        Self::with(klog::parse(text), text)
    }

    /// A text whose klog header is known, or known to be missing.
    #[must_use]
    pub fn with(klog: Option<klog::Line<'a>>, text: &'a str) -> Self {
        let whole = klog.map_or(text, |line| line.message);
        let severity = klog.map_or_else(|| container::level(whole), |line| line.severity);
        Self { severity, message: text::message(whole), wanted: true, klog, whole }
    }

    /// Whether the severity alone is reason enough to keep the line.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        matches!(self.severity, "W" | "E" | "F")
    }

    /// A time of whole seconds made finer by the header of the text, where the two agree. The transport's time is what
    /// counts; `-o short` of journalctl just prints no more of it.
    #[must_use]
    pub fn refine(&self, at: Timestamp) -> Timestamp {
        match self.klog {
            // The hour depends on the writer's zone.
            Some(klog::Line { at: Yearless { clock: [_, minute, second], nanos, .. }, .. })
                if at.nanos == 0
                    && at.seconds.rem_euclid(3600) == i64::from(minute) * 60 + i64::from(second) =>
            {
                Timestamp { seconds: at.seconds, nanos }
            }
            _ => at,
        }
    }
}

/// A line of a node's kubelet as signal `kubelet/<node>/<position>`. It is about the pod that it names, else about the
/// node.
#[must_use]
pub fn kubelet(
    cluster: &str,
    node: &str,
    text: &Text<'_>,
    at: Timestamp,
    position: &str,
    origin: String,
) -> Signal {
    let mut named = pod::Named::default();
    let structured =
        text.klog.and_then(|line| klog::pairs(line.message, |key, value| named.hear(key, value)));
    let subject =
        structured.and_then(|_| named.pod()).or_else(|| pod::in_text(text.whole)).unwrap_or_else(|| {
            ObjectRef { kind: "Node".to_owned(), name: node.to_owned(), ..ObjectRef::default() }
        });
    Signal {
        id: format!("kubelet/{node}/{position}"),
        source: "kubelet".to_owned(),
        subject: Some(subject),
        body: Some(Body::Log(LogLine {
            node: node.to_owned(),
            code: code(text),
            values: values(text),
            ..LogLine::default()
        })),
        ..line(cluster, text, at, origin)
    }
}

/// Whose output a container log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Container<'a> {
    /// The pod's namespace.
    pub namespace: &'a str,
    /// The pod's name.
    pub pod: &'a str,
    /// The container's name.
    pub name: &'a str,
    /// Whether this is the output of the run before the present one.
    pub previous: bool,
}

/// A line of a container as signal `log/<namespace>/<pod>/<container>/<position>`.
#[must_use]
pub fn container(
    cluster: &str,
    of: Container<'_>,
    text: &Text<'_>,
    at: Timestamp,
    position: &str,
    origin: String,
) -> Signal {
    Signal {
        id: format!("log/{}/{}/{}/{position}", of.namespace, of.pod, of.name),
        source: "log".to_owned(),
        subject: Some(ObjectRef {
            kind: "Pod".to_owned(),
            namespace: of.namespace.to_owned(),
            name: of.pod.to_owned(),
            ..ObjectRef::default()
        }),
        body: Some(Body::Log(LogLine {
            container: of.name.to_owned(),
            previous: of.previous,
            code: code(text),
            values: values(text),
            ..LogLine::default()
        })),
        ..line(cluster, text, at, origin)
    }
}

fn line(cluster: &str, text: &Text<'_>, at: Timestamp, origin: String) -> Signal {
    Signal {
        cluster: cluster.to_owned(),
        state: text.severity.to_owned(),
        at: Some(text.refine(at)),
        message: redact::secrets(&text.message).into_owned(),
        origin,
        ..Signal::default()
    }
}

/// The pairs of a structured message; of a line that no rule wants nobody will ask for them.
fn values(text: &Text<'_>) -> BTreeMap<String, String> {
    let line = text.klog.filter(|_| text.wanted);
    let mut values =
        line.and_then(|line| klog::structured(line.message)).map(|line| line.values).unwrap_or_default();
    for (name, value) in &mut values {
        if let Cow::Owned(clean) = redact::value(name, value) {
            *value = clean;
        }
    }
    values
}

fn code(text: &Text<'_>) -> String {
    text.klog.map(|line| text::name(line.code)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time;

    #[test]
    fn a_whole_second_is_made_finer_only_where_the_header_agrees() {
        let refined = |line, at: &str| time::rfc3339(&Text::read(line).refine(time::parse(at).unwrap()));
        let line = "E0424 13:06:41.923749    1043 dns.go:135] x";
        assert_eq!(refined(line, "2020-04-24T13:06:41Z"), "2020-04-24T13:06:41.923749Z");
        assert_eq!(refined(line, "2020-04-24T13:06:42Z"), "2020-04-24T13:06:42Z", "another second");
        assert_eq!(refined(line, "2020-04-24T13:06:41.5Z"), "2020-04-24T13:06:41.5Z", "already finer");
        assert_eq!(
            refined(line, "2020-04-24T15:06:41Z"),
            "2020-04-24T15:06:41.923749Z",
            "klog writes local time"
        );
    }

    #[test]
    fn a_kubelet_line_without_a_pod_is_about_its_node() {
        let text =
            Text::read("I0424 13:06:41.923749    1043 setters.go:77] \"Node became not ready\" node=\"kal\"");
        let signal = kubelet(
            "c",
            "kal",
            &text,
            time::parse("2020-04-24T13:06:41Z").unwrap(),
            "0000000007",
            "o".into(),
        );
        assert_eq!(
            signal.subject.map(|subject| (subject.kind, subject.name)),
            Some(("Node".into(), "kal".into()))
        );
        assert_eq!(
            (signal.id.as_str(), signal.state.as_str(), signal.name.as_str()),
            ("kubelet/kal/0000000007", "I", "")
        );
        assert_eq!(signal.message, "\"Node became not ready\" node=\"kal\"");
        let Some(Body::Log(log)) = signal.body else { panic!("no log line") };
        assert_eq!(
            (log.node.as_str(), log.code.as_str(), log.values["node"].as_str()),
            ("kal", "setters.go:77", "kal")
        );
    }
}
