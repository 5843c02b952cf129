//! The contract as wasmtime sees it, and the way from and to the plain types of the core.

use kwhy_core::{rule, state, world};
use kwhy_proto::v1;

#[allow(missing_docs, unreachable_pub, clippy::all, clippy::indexing_slicing, reason = "generated")]
mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit/0.1.0",
        world: "rule-plugin",
        imports: { default: trappable },
    });
}

pub(crate) use generated::{
    RulePlugin, RulePluginPre,
    exports::kwhy::rules::rule as exported,
    kwhy::rules::{graph, history, log, state as wit_state, types},
};

/// `a.into()` for each element.
pub(crate) fn all<A: Into<B>, B>(list: Vec<A>) -> Vec<B> {
    list.into_iter().map(Into::into).collect()
}

impl From<v1::ObjectRef> for types::ObjectRef {
    fn from(o: v1::ObjectRef) -> Self {
        Self { kind: o.kind, namespace: o.namespace, name: o.name, uid: o.uid }
    }
}

impl From<types::ObjectRef> for v1::ObjectRef {
    fn from(o: types::ObjectRef) -> Self {
        Self { kind: o.kind, namespace: o.namespace, name: o.name, uid: o.uid }
    }
}

impl From<rule::RuleSignal> for types::Signal {
    fn from(s: rule::RuleSignal) -> Self {
        Self {
            id: s.id,
            source: s.source,
            name: s.name,
            state: s.state,
            at: s.at,
            subject: s.subject.map(Into::into),
            message: s.message,
            fields: s.fields.into_iter().map(|(name, value)| types::Field { name, value }).collect(),
        }
    }
}

impl From<world::Neighbour> for graph::Neighbour {
    fn from(n: world::Neighbour) -> Self {
        Self { relation: n.relation, object: n.object.into() }
    }
}

impl From<state::StateError> for wit_state::StateError {
    fn from(e: state::StateError) -> Self {
        match e {
            state::StateError::KeyTooLong => Self::KeyTooLong,
            state::StateError::ValueTooLarge => Self::ValueTooLarge,
            state::StateError::QuotaExceeded => Self::QuotaExceeded,
        }
    }
}

impl From<types::Evidence> for rule::Evidence {
    fn from(e: types::Evidence) -> Self {
        Self {
            signal: e.signal,
            object: e.object.map(Into::into),
            excerpt: e.excerpt,
            weight: e.weight,
            note: e.note,
        }
    }
}

impl From<types::Remedy> for rule::Remedy {
    fn from(r: types::Remedy) -> Self {
        Self { text: r.text, command: r.command, caution: r.caution }
    }
}

impl From<types::Explains> for rule::Explains {
    fn from(e: types::Explains) -> Self {
        Self { source: e.source, name: e.name, anchor: e.anchor.map(Into::into), reach: e.reach }
    }
}

impl From<types::Step> for rule::Step {
    fn from(s: types::Step) -> Self {
        Self { object: s.object.into(), relation: s.relation, note: s.note, signal: s.signal }
    }
}

impl From<types::Diagnosis> for rule::Diagnosis {
    fn from(d: types::Diagnosis) -> Self {
        Self {
            code: d.code,
            root: d.root.into(),
            severity: d.severity,
            confidence: d.confidence,
            title: d.title,
            explanation: d.explanation,
            evidence: all(d.evidence),
            explains: all(d.explains),
            path: all(d.path),
            supersedes: d.supersedes,
            remedies: all(d.remedies),
        }
    }
}

impl From<types::Rejection> for rule::Rejection {
    fn from(r: types::Rejection) -> Self {
        Self { code: r.code, root: r.root.into(), because: r.because, evidence: all(r.evidence) }
    }
}

impl From<types::Clearing> for rule::Clearing {
    fn from(c: types::Clearing) -> Self {
        Self { code: c.code, root: c.root.into(), because: c.because }
    }
}

impl From<types::Wake> for rule::Wake {
    fn from(w: types::Wake) -> Self {
        Self { id: w.id, subject: w.subject.map(Into::into), at: w.at }
    }
}

impl From<types::Verdict> for rule::Verdict {
    fn from(v: types::Verdict) -> Self {
        Self {
            diagnoses: all(v.diagnoses),
            rejections: all(v.rejections),
            cleared: all(v.cleared),
            wakes: all(v.wakes),
        }
    }
}

impl From<exported::Pattern> for rule::Pattern {
    fn from(p: exported::Pattern) -> Self {
        Self { id: p.id, literal: p.literal, regex: p.regex }
    }
}

impl From<exported::Subscription> for rule::Subscription {
    fn from(s: exported::Subscription) -> Self {
        Self {
            source: s.source,
            names: s.names,
            patterns: all(s.patterns),
            kinds: s.kinds,
            namespaces: s.namespaces,
            workloads: s.workloads,
        }
    }
}

impl From<exported::CodeInfo> for rule::CodeInfo {
    fn from(c: exported::CodeInfo) -> Self {
        Self { code: c.code, title: c.title, versions: c.versions, references: c.references }
    }
}
