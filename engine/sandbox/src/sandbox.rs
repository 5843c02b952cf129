//! The loaded rules, in the order in which they are called.

use std::{
    collections::BTreeSet,
    num::NonZero,
    panic::resume_unwind,
    sync::Arc,
    thread::{self, ScopedJoinHandle},
};

use kwhy_core::rule::{Call, Descriptor, Failure, Reply, Rules};
use wasmtime::component::{HasSelf, Linker};

use crate::{
    bindings::RulePlugin,
    cache::Cache,
    error::{LoadError, SandboxError},
    host::Host,
    limits::{Limits, Settings},
    loading::{Inspection, Loader, Source, configure_error},
    rule::{Program, Rule},
    runtime::Runtime,
};

/// Rules, each in its own instance. Dropping it ends its watchdog thread.
pub struct Sandbox {
    runtime: Runtime,
    linker: Linker<Host>,
    cache: Option<Cache>,
    limits: Arc<Limits>,
    rules: Vec<Rule>,
    descriptors: Vec<Descriptor>,
    files: Vec<String>,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Sandbox {
    /// A sandbox without rules, with its watchdog running.
    ///
    /// # Errors
    /// A [`SandboxError`] where the machine cannot run WebAssembly or start a thread.
    pub fn new(settings: Settings) -> Result<Self, SandboxError> {
        let runtime = Runtime::new()?;
        let mut linker = Linker::new(&runtime.engine);
        RulePlugin::add_to_linker::<Host, HasSelf<Host>>(&mut linker, |host| host)
            .map_err(|e| SandboxError::Runtime { message: format!("{e:#}") })?;
        let cache = settings.cache.as_deref().and_then(Cache::open);
        let limits = Arc::new(settings.limits);
        Ok(Self { runtime, linker, cache, limits, rules: vec![], descriptors: vec![], files: vec![] })
    }

    /// Adds a rule after those already loaded. `config` is JSON; a rule that takes a configuration and is given none
    /// is given `{}`.
    ///
    /// # Errors
    /// A [`LoadError`] that names the file and says what to do; the rules already loaded are as before.
    pub fn load(&mut self, source: &Source<'_>, config: Option<&str>) -> Result<(), LoadError> {
        let limits = Arc::clone(&self.limits);
        self.add(source, config, &limits)
    }

    /// Adds several rules, in this order, none with a configuration. What takes time, reading compiled code or compiling,
    /// is done for as many of them at once as the machine has processors.
    ///
    /// # Errors
    /// See [`Sandbox::load`]; the rules before the one that is refused are loaded.
    pub fn load_all(&mut self, sources: &[Source<'_>]) -> Result<(), LoadError> {
        let limits = Arc::clone(&self.limits);
        let at_once = thread::available_parallelism().map_or(1, NonZero::get);
        for sources in sources.chunks(at_once) {
            let (loader, limits) = (&self.loader(), &limits);
            let loaded: Vec<_> = thread::scope(|scope| {
                let load = |source| scope.spawn(move || loader.load(source, limits));
                let started: Vec<_> = sources.iter().map(load).collect();
                started.into_iter().map(ScopedJoinHandle::join).collect()
            });
            for (source, loaded) in sources.iter().zip(loaded) {
                let (program, inspection) = loaded.unwrap_or_else(|panic| resume_unwind(panic))?;
                self.admit(source, program, inspection.descriptor, None)?;
            }
        }
        Ok(())
    }

    /// [`Sandbox::load`] with limits of its own.
    ///
    /// # Errors
    /// See [`Sandbox::load`].
    pub fn load_with(
        &mut self,
        source: &Source<'_>,
        config: Option<&str>,
        limits: Limits,
    ) -> Result<(), LoadError> {
        self.add(source, config, &Arc::new(limits))
    }

    fn add(
        &mut self,
        source: &Source<'_>,
        config: Option<&str>,
        limits: &Arc<Limits>,
    ) -> Result<(), LoadError> {
        let (program, inspection) = self.loader().load(source, limits)?;
        self.admit(source, program, inspection.descriptor, config)
    }

    /// Makes a loaded rule one of those that are called.
    fn admit(
        &mut self,
        source: &Source<'_>,
        program: Program,
        descriptor: Descriptor,
        config: Option<&str>,
    ) -> Result<(), LoadError> {
        let file = || source.name.to_owned();
        let rule = || descriptor.name.clone();
        let loaded = self.descriptors.iter().zip(&self.files);
        if let Some((_, first)) = loaded.into_iter().find(|(d, _)| d.name == descriptor.name) {
            return Err(LoadError::Duplicate { file: file(), rule: rule(), first: first.clone() });
        }
        let takes_one = !descriptor.config_schema.is_empty();
        let config = match config {
            Some(_) if !takes_one => {
                return Err(LoadError::TakesNoConfiguration { file: file(), rule: rule() });
            }
            None if takes_one => Some("{}"),
            given => given,
        };
        let codes: BTreeSet<String> = descriptor.codes.iter().map(|c| c.code.clone()).collect();
        let ready = Rule::new(program.named(&descriptor.name), codes, config.map(str::to_owned))
            .map_err(|failure| configure_error(source.name, &descriptor.name, failure))?;
        self.files.push(file());
        self.rules.push(ready);
        self.descriptors.push(descriptor);
        Ok(())
    }

    /// What a file says of itself, without adding it.
    ///
    /// # Errors
    /// See [`Sandbox::load`].
    pub fn inspect(&self, source: &Source<'_>) -> Result<Inspection, LoadError> {
        self.loader().load(source, &self.limits).map(|(_, inspection)| inspection)
    }

    /// What the files were called that the rules came from, in the order of [`Rules::descriptors`].
    #[must_use]
    pub fn files(&self) -> &[String] {
        &self.files
    }

    fn loader(&self) -> Loader<'_> {
        Loader { engine: &self.runtime.engine, linker: &self.linker, cache: self.cache.as_ref() }
    }
}

impl Rules for Sandbox {
    fn descriptors(&self) -> &[Descriptor] {
        &self.descriptors
    }

    fn examine(&mut self, rule: usize, call: Call) -> Result<Reply, Failure> {
        match self.rules.get_mut(rule) {
            Some(rule) => rule.examine(call),
            None => Err(Failure::Trap { message: format!("no rule has number {rule}: a bug in kwhy") }),
        }
    }
}
