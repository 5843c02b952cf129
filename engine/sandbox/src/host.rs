//! What a rule can ask of the host, and how much of it. All that a store holds besides the instance.
//!
//! A host function answers from the call it serves and from nothing else. Where a bug makes one panic, the panic is
//! caught around the whole call ([`crate::rule`]), which ends with an error that says whose bug it is.

use std::sync::Arc;

use kwhy_core::{rule::Context, state::StateTable, world::World};

use crate::{
    bindings::{all, graph, history, log, types, wit_state},
    limits::Limits,
    log::Log,
    meter::Meter,
    weight::Weight,
};

/// Most items that one reply carries, whatever the rule asks for.
const REPLY_ITEMS: u32 = 1_000;
/// Bytes of a reply that count as one more host call, so that large replies are as bounded as many.
const REPLY_UNIT: usize = 4 << 10;

/// Why the host ends a call.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    /// The budget of host calls is used up.
    #[error("too many host calls")]
    HostCalls,
    /// `describe` and `configure` see no cluster.
    #[error("called {0} outside of examine")]
    OutsideExamine(&'static str),
}

/// What a call of `examine` can see and write.
pub(crate) struct View {
    pub(crate) context: Context,
    pub(crate) world: World,
    /// The rule's memory as this call has it; it becomes the rule's memory only if the call returns ok.
    pub(crate) state: StateTable,
}

/// The data of one store.
pub(crate) struct Host {
    rule: Arc<str>,
    limits: Arc<Limits>,
    pub(crate) meter: Meter,
    pub(crate) log: Log,
    pub(crate) view: Option<View>,
    calls_left: u64,
}

impl Host {
    pub(crate) fn new(rule: Arc<str>, limits: Arc<Limits>) -> Self {
        let (meter, log, calls_left) = (Meter::new(&limits), Log::new(&limits), limits.host_calls);
        Self { rule, limits, meter, log, view: None, calls_left }
    }

    /// A new call with a new budget.
    pub(crate) fn begin(&mut self, view: Option<View>) {
        self.meter.begin();
        self.log = Log::new(&self.limits);
        self.calls_left = self.limits.host_calls;
        self.view = view;
    }

    /// The end of a call; gives back what it was shown.
    pub(crate) fn end(&mut self) -> Option<View> {
        self.log.close(&self.rule);
        self.view.take()
    }

    fn pay(&mut self, calls: u64) -> Result<(), Stop> {
        self.calls_left = self.calls_left.checked_sub(calls).ok_or(Stop::HostCalls)?;
        Ok(())
    }

    /// Answers one host call from the view of the call.
    fn answer<R: Weight>(
        &mut self,
        name: &'static str,
        ask: impl FnOnce(&mut View) -> R,
    ) -> wasmtime::Result<R> {
        self.pay(1)?;
        let view = self.view.as_mut().ok_or(Stop::OutsideExamine(name))?;
        let reply = ask(view);
        self.pay((reply.weight() / REPLY_UNIT) as u64)?;
        Ok(reply)
    }
}

/// `limit` of a rule as a number of items.
fn items(limit: u32) -> usize {
    limit.min(REPLY_ITEMS) as usize
}

impl types::Host for Host {}

impl graph::Host for Host {
    fn exists(&mut self, id: types::ObjectRef) -> wasmtime::Result<bool> {
        self.answer("graph.exists", |v| v.world.exists(&id.into()))
    }

    fn neighbours(
        &mut self,
        id: types::ObjectRef,
        relation: String,
        limit: u32,
    ) -> wasmtime::Result<Vec<graph::Neighbour>> {
        self.answer("graph.neighbours", |v| all(v.world.neighbours(&id.into(), &relation, items(limit))))
    }

    fn owners(&mut self, id: types::ObjectRef) -> wasmtime::Result<Vec<types::ObjectRef>> {
        self.answer("graph.owners", |v| all(v.world.owners(&id.into())))
    }

    fn read(&mut self, id: types::ObjectRef, pointer: String) -> wasmtime::Result<Option<String>> {
        self.answer("graph.read", |v| v.world.read(&id.into(), &pointer))
    }

    fn list_kind(
        &mut self,
        kind: String,
        namespace: String,
        limit: u32,
    ) -> wasmtime::Result<Vec<types::ObjectRef>> {
        self.answer("graph.list-kind", |v| all(v.world.list_kind(&kind, &namespace, items(limit))))
    }
}

impl history::Host for Host {
    fn about(
        &mut self,
        id: types::ObjectRef,
        reach: String,
        source: String,
        name: String,
        since: u64,
        limit: u32,
    ) -> wasmtime::Result<Vec<types::Signal>> {
        self.answer("history.about", |v| {
            all(v.world.about(&id.into(), &reach, &source, &name, since, items(limit)))
        })
    }

    fn changes(
        &mut self,
        id: types::ObjectRef,
        reach: String,
        since: u64,
        limit: u32,
    ) -> wasmtime::Result<Vec<types::Signal>> {
        self.answer("history.changes", |v| all(v.world.changes(&id.into(), &reach, since, items(limit))))
    }
}

impl wit_state::Host for Host {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        self.answer("state.get", |v| v.state.get(&key, v.context.now).map(<[u8]>::to_vec))
    }

    fn set(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl_ms: u64,
    ) -> wasmtime::Result<Result<(), wit_state::StateError>> {
        self.answer("state.set", |v| v.state.set(&key, &value, ttl_ms, v.context.now).map_err(Into::into))
    }

    fn delete(&mut self, key: String) -> wasmtime::Result<()> {
        self.answer("state.delete", |v| v.state.delete(&key))
    }
}

impl log::Host for Host {
    fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        self.pay(1)?;
        self.log.write(&self.rule, level, &message);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(host_calls: u64) -> Host {
        let mut host = Host::new("r".into(), Arc::new(Limits { host_calls, ..Limits::default() }));
        let (context, world, state) = (Context::default(), World::default(), StateTable::default());
        host.begin(Some(View { context, world, state }));
        host
    }

    #[test]
    fn a_large_reply_counts_as_many_calls() {
        let ask = |host: &mut Host, bytes: usize| host.answer("x", |_| vec![0_u8; bytes]).map(|r| r.len());
        let mut narrow = host(10);
        let stop = ask(&mut narrow, 40 << 10).unwrap_err();
        assert!(matches!(stop.downcast_ref(), Some(Stop::HostCalls)), "1 and 10 for its 40 KiB");
        assert_eq!(ask(&mut host(11), 40 << 10).unwrap(), 40 << 10);
        let mut small = host(10);
        assert!((0..10).all(|_| ask(&mut small, 4000).is_ok()), "a small one counts once");
        assert!(ask(&mut small, 0).is_err());
    }

    #[test]
    fn nothing_is_answered_once_the_call_is_over() {
        let mut host = host(10);
        assert!(host.end().is_some());
        let stop = host.answer("graph.exists", |_| true).unwrap_err();
        assert_eq!(stop.to_string(), "called graph.exists outside of examine");
    }
}
