//! One compiled rule and its calls.
//!
//! An instance carries no meaning: it is kept between calls because making one costs more than a call, and thrown away
//! whenever something went wrong in it.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use kwhy_core::rule::{Call, Failure, Reply};
use wasmtime::{Engine, Store, Trap};

use crate::{
    bindings::{RulePlugin, RulePluginPre, all, exported, types},
    host::{Host, Stop, View},
    limits::Limits,
    loading::words,
    log,
    runtime::Runtime,
    verdict,
};

/// Longest message that a failure carries, bytes.
const MESSAGE: usize = 1 << 10;

/// Whose fault a panic of the host is.
const BUG: &str = "this is a bug in kwhy, not in the rule";

/// A rule that is linked and can be instantiated.
pub(crate) struct Program {
    engine: Engine,
    pre: RulePluginPre<Host>,
    name: Arc<str>,
    limits: Arc<Limits>,
}

/// An instance with the store it lives in; one each, since a store frees nothing before it is dropped.
struct Instance {
    store: Store<Host>,
    plugin: RulePlugin,
    calls: u64,
}

/// What one entry into the rule gave.
struct Ran<T> {
    value: T,
    fuel: u64,
    view: Option<View>,
}

impl Program {
    pub(crate) fn new(engine: Engine, pre: RulePluginPre<Host>, name: &str, limits: Arc<Limits>) -> Self {
        Self { engine, pre, name: name.into(), limits }
    }

    /// The same under the name that its log lines are to carry.
    pub(crate) fn named(self, name: &str) -> Self {
        Self { name: name.into(), ..self }
    }

    /// Asks on a throw-away instance what the rule is; it sees no cluster while it answers.
    pub(crate) fn describe(&self) -> Result<exported::Descriptor, Failure> {
        let Instance { mut store, plugin, .. } = self.instantiate()?;
        self.run(&mut store, 0, None, |s| plugin.kwhy_rules_rule().call_describe(s)).map(|ran| ran.value)
    }

    fn instantiate(&self) -> Result<Instance, Failure> {
        let mut store = Store::new(&self.engine, Host::new(Arc::clone(&self.name), Arc::clone(&self.limits)));
        store.limiter(|host| &mut host.meter);
        let plugin = self.run(&mut store, 0, None, |s| self.pre.instantiate(s))?.value;
        Ok(Instance { store, plugin, calls: 0 })
    }

    /// Enters the rule with fresh budgets and says how it ended.
    fn run<T>(
        &self,
        store: &mut Store<Host>,
        signals: usize,
        view: Option<View>,
        enter: impl FnOnce(&mut Store<Host>) -> wasmtime::Result<T>,
    ) -> Result<Ran<T>, Failure> {
        let budget = self.limits.fuel(signals);
        store.data_mut().begin(view);
        store.set_hostcall_fuel(self.limits.transfer_bytes);
        store.set_epoch_deadline(Runtime::ticks(self.limits.watchdog()));
        let started = Instant::now();
        // The store is not used again after a panic: its owner drops it on any failure.
        let result = catch_unwind(AssertUnwindSafe(|| {
            store.set_fuel(budget)?;
            let value = enter(store)?;
            Ok((value, budget.saturating_sub(store.get_fuel()?)))
        }));
        let view = store.data_mut().end();
        match result {
            Ok(Ok((value, fuel))) => Ok(Ran { value, fuel, view }),
            Ok(Err(error)) => Err(self.failure(&error, store.data(), budget, started)),
            Err(panic) => {
                let message = format!("{BUG}: {}", words(&*panic));
                Err(Failure::Trap { message })
            }
        }
    }

    /// What ended a call. Limits come first: a rule that hits one often traps or says something else afterwards.
    fn failure(&self, error: &wasmtime::Error, host: &Host, budget: u64, started: Instant) -> Failure {
        if let Some(stop) = error.downcast_ref::<Stop>() {
            return match stop {
                Stop::HostCalls => Failure::HostCalls { limit: self.limits.host_calls },
                Stop::OutsideExamine(_) => Failure::Trap { message: stop.to_string() },
            };
        }
        let trap = error.downcast_ref::<Trap>();
        match trap {
            Some(Trap::OutOfFuel) => return Failure::Fuel { fuel: budget },
            Some(Trap::Interrupt) => {
                let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                return Failure::Watchdog { millis };
            }
            _ if host.meter.refused() => return Failure::Memory { limit_mib: self.limits.memory_mib() },
            _ => {}
        }
        match trap {
            Some(Trap::UnreachableCodeReached) if let Some(last) = host.log.last_error() => {
                Failure::Trap { message: last.strip_prefix("panicked at ").unwrap_or(last).to_owned() }
            }
            Some(trap) => Failure::Trap { message: short(&trap.to_string()) },
            // No trap of its code: what it handed over cannot be read by the contract.
            None => Failure::BadOutput { message: short(&error.root_cause().to_string()) },
        }
    }
}

/// A rule that is ready to be called.
pub(crate) struct Rule {
    program: Program,
    codes: BTreeSet<String>,
    config: Option<String>,
    /// The instance of the last call, if it may serve the next.
    warm: Option<Instance>,
}

impl Rule {
    /// Makes the rule ready: it has taken its configuration.
    pub(crate) fn new(
        program: Program,
        codes: BTreeSet<String>,
        config: Option<String>,
    ) -> Result<Self, Failure> {
        let mut rule = Self { program, codes, config, warm: None };
        if rule.config.is_some() {
            rule.warm = Some(rule.ready()?);
        }
        Ok(rule)
    }

    /// A fresh instance that knows its configuration.
    fn ready(&self) -> Result<Instance, Failure> {
        let mut instance = self.program.instantiate()?;
        if let Some(json) = &self.config {
            let Instance { store, plugin, .. } = &mut instance;
            let ran =
                self.program.run(store, 0, None, |s| plugin.kwhy_rules_rule().call_configure(s, json))?;
            ran.value.map_err(refused)?;
        }
        Ok(instance)
    }

    pub(crate) fn examine(&mut self, call: Call) -> Result<Reply, Failure> {
        // Taken out, so that every way out of here but the last drops it.
        let mut instance = match self.warm.take() {
            Some(warm) => warm,
            None => self.ready()?,
        };
        let Call { context, signals, world, state } = call;
        let count = signals.len();
        let signals: Vec<types::Signal> = all(signals);
        let told = types::Context { now: context.now, cluster: context.cluster.clone() };
        let Instance { store, plugin, calls } = &mut instance;
        let view = Some(View { context, world, state });
        let ran = self
            .program
            .run(store, count, view, |s| plugin.kwhy_rules_rule().call_examine(s, &told, &signals))?;
        let answer = match ran.value {
            Ok(verdict) => {
                verdict::check(&verdict, &self.codes, &self.program.limits)?;
                let state = ran.view.map(|v| v.state).unwrap_or_default();
                let thoughts = store.data_mut().log.take_thoughts();
                Ok(Reply { verdict: verdict.into(), state, fuel: ran.fuel, thoughts })
            }
            Err(message) => Err(refused(message)),
        };
        *calls += 1;
        if *calls < self.program.limits.calls_per_instance && !store.data().meter.nearly_full() {
            self.warm = Some(instance);
        }
        answer
    }
}

fn refused(message: String) -> Failure {
    Failure::Refused { message: short(&message) }
}

/// Words of a rule, fit for one line.
fn short(words: &str) -> String {
    let (mut line, cut) = log::escape(words, MESSAGE);
    if cut {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use kwhy_core::{rule::Context, state::StateTable, world::World};
    use wasmtime::component::{HasSelf, Linker};

    use super::*;
    use crate::{Source, loading::Loader, testing};

    /// The rule that asks `graph.exists`, answered by `exists`.
    fn rule(runtime: &Runtime, exists: fn() -> bool) -> Rule {
        let mut linker = Linker::new(&runtime.engine);
        RulePlugin::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host).unwrap();
        linker.allow_shadowing(true);
        let mut graph = linker.instance("kwhy:rules/graph@0.1.0").unwrap();
        graph.func_wrap("exists", move |_, (_,): (types::ObjectRef,)| Ok((exists(),))).unwrap();
        let loader = Loader { engine: &runtime.engine, linker: &linker, cache: None };
        let source = Source { name: "r", bytes: &testing::fixture("floods-calls") };
        let (program, _) = loader.load(&source, &Arc::default()).unwrap();
        Rule::new(program, BTreeSet::new(), None).unwrap()
    }

    #[test]
    fn a_panic_of_the_host_ends_the_call_and_says_whose_bug_it_is() {
        let runtime = Runtime::new().unwrap();
        let (context, world, state) = (Context::default(), World::default(), StateTable::default());
        let call = Call { context, signals: Vec::new(), world, state };
        let mut broken = rule(&runtime, || panic!("oops"));
        for _ in 0..2 {
            let failure = broken.examine(call.clone()).unwrap_err().to_string();
            assert_eq!(failure, "panicked: this is a bug in kwhy, not in the rule: oops");
        }
        assert!(rule(&runtime, || true).examine(call).is_ok(), "the engine serves others");
    }
}
