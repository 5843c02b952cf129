//! An API server of Kubernetes for tests: real HTTP and TLS, a store with resourceVersions and a history that can be
//! compacted, pages, watches with bookmarks, and faults on demand. `IMITATES.md` beside this file says what it does as
//! which source of Kubernetes does it.
#![allow(clippy::indexing_slicing, reason = "JSON that is asked for a field it lacks is null")]

mod fault;
mod kinds;
mod replay;
mod serve;
mod store;
mod tls;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::sync::watch;

pub use fault::{Fault, Old, On};
pub use replay::{ContainerLog, Shifted, just_now, shifted, time};
pub use store::Store;

use self::fault::Faults;

/// The bearer token that it takes.
const TOKEN: &str = "scripted-api-server-token";

/// A request that came.
#[derive(Debug, Clone)]
pub struct Request {
    /// When.
    pub at: Instant,
    /// As in `/api/v1/pods`.
    pub path: String,
    /// What stands behind the question mark.
    pub query: String,
    /// A watch, else a list.
    pub watch: bool,
}

/// What all connections share.
struct Shared {
    store: Mutex<Store>,
    faults: Mutex<Faults>,
    requests: Mutex<Vec<Request>>,
    /// What `kubectl logs --timestamps` prints, by path and query.
    logs: Mutex<BTreeMap<(String, String, bool), String>>,
    /// Most items of a page.
    page: AtomicUsize,
    /// Counts changes, so that watches wake.
    moved: watch::Sender<u64>,
    /// Counts the times that all running watches were ended.
    ended: watch::Sender<u64>,
    /// How often a watch of a cached kind says how far it is.
    bookmarks: Duration,
}

/// A server that answers on loopback until it is dropped.
pub struct ApiServer {
    address: SocketAddr,
    ca: String,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Default for ApiServer {
    fn default() -> Self {
        Self::start()
    }
}

impl ApiServer {
    /// Starts one with an empty store.
    ///
    /// # Panics
    /// Where it cannot listen.
    #[must_use]
    pub fn start() -> Self {
        let tls = tls::Identity::new();
        let shared = Arc::new(Shared {
            store: Mutex::default(),
            faults: Mutex::default(),
            requests: Mutex::default(),
            logs: Mutex::default(),
            page: AtomicUsize::new(usize::MAX),
            moved: watch::Sender::new(0),
            ended: watch::Sender::new(0),
            bookmarks: Duration::from_secs(1),
        });
        let (stop, stopped) = watch::channel(false);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a listener for tokio");
        let address = listener.local_addr().expect("an address");
        let (acceptor, served) = (tls.acceptor, shared.clone());
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            runtime.expect("a runtime").block_on(serve::run(listener, acceptor, served, stopped));
        });
        Self { address, ca: tls.ca, shared, stop, thread: Some(thread) }
    }

    /// Writes a kubeconfig for it, and the certificate of its authority, into a folder.
    ///
    /// # Panics
    /// Where it cannot.
    #[must_use]
    pub fn kubeconfig(&self, folder: &Path) -> PathBuf {
        let (ca, config) = (folder.join("ca.crt"), folder.join("kubeconfig"));
        std::fs::write(&ca, &self.ca).expect("a file");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: scripted\n\
             clusters:\n- name: scripted\n  cluster:\n    server: https://{}\n    certificate-authority: {}\n\
             users:\n- name: kwhy\n  user:\n    token: {TOKEN}\n\
             contexts:\n- name: scripted\n  context: {{cluster: scripted, user: kwhy}}\n",
            self.address,
            ca.display()
        );
        std::fs::write(&config, text).expect("a file");
        config
    }

    /// Where it answers.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The certificate of its authority, PEM.
    #[must_use]
    pub fn ca(&self) -> &str {
        &self.ca
    }

    /// The bearer token that it takes.
    #[must_use]
    pub fn token(&self) -> &'static str {
        TOKEN
    }

    /// Creates an object or writes a new state of it: it gets the next resourceVersion.
    ///
    /// # Panics
    /// Where it has no kind that is served, or no name.
    pub fn put(&self, object: Value) {
        self.store().put(object);
        self.shared.moved.send_modify(|moves| *moves += 1);
    }

    /// Deletes an object.
    ///
    /// # Panics
    /// Where there is none.
    pub fn delete(&self, kind: &str, namespace: &str, name: &str) {
        self.store().delete(kind, namespace, name);
        self.shared.moved.send_modify(|moves| *moves += 1);
    }

    /// Changes that no watch hears of: all watches end, the changes happen, and the server forgets how it came.
    pub fn miss(&self, changes: impl FnOnce(&mut Store)) {
        let mut store = self.store();
        self.shared.ended.send_modify(|times| *times += 1);
        changes(&mut store);
        store.compact();
    }

    /// Gives no more than so many items a page, however many are asked for.
    pub fn give_at_most(&self, items: usize) {
        self.shared.page.store(items, Relaxed);
    }

    /// What a container has written.
    pub fn put_log(&self, log: &ContainerLog) {
        let ContainerLog { namespace, pod, container, previous, text } = log;
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/log");
        let mut logs = self.shared.logs.lock().unwrap_or_else(PoisonError::into_inner);
        logs.insert((path, container.clone(), *previous), text.clone());
    }

    /// Forgets all changes so far, as etcd does every five minutes: who has not heard of them must list.
    pub fn compact(&self) {
        self.store().compact();
    }

    /// Ends all watches that run.
    pub fn end_watches(&self) {
        self.shared.ended.send_modify(|times| *times += 1);
    }

    /// How watches from a version that was compacted are refused, for one path; as the API server does it where
    /// nothing is said.
    pub fn refuse_old(&self, path: &str, how: Old) {
        self.faults().old(path, how);
    }

    /// What becomes of the next requests to a path, each fault once.
    pub fn fail(&self, path: &str, on: On, faults: impl IntoIterator<Item = Fault>) {
        self.faults().add(path, on, faults);
    }

    /// What becomes of all requests to a path from now on.
    pub fn fail_always(&self, path: &str, on: On, fault: Fault) {
        self.faults().always(path, on, fault);
    }

    /// No more faults on a path.
    pub fn mend(&self, path: &str) {
        self.faults().mend(path);
    }

    /// The requests to a path, oldest first.
    #[must_use]
    pub fn requests(&self, path: &str) -> Vec<Request> {
        let all = self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|request| request.path == path).cloned().collect()
    }

    /// Waits for so many requests of one sort to a path.
    ///
    /// # Panics
    /// Where they do not come.
    pub fn wait_for(&self, path: &str, on: On, count: usize) {
        let deadline = Instant::now() + crate::PATIENCE;
        let came = || self.requests(path).iter().filter(|r| r.watch == (on == On::Watch)).count();
        while came() < count {
            assert!(Instant::now() < deadline, "{} of {count} requests ({on:?}) to {path}", came());
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.shared.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
