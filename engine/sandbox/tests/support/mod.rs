//! What the tests of the sandbox have in common.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use kwhy_core::{
    rule::{Call, Context, Failure, Reply, RuleSignal, Rules as _},
    state::StateTable,
    world::World,
};
use kwhy_proto::v1::ObjectRef;
use kwhy_sandbox::{Limits, LoadError, Sandbox, Settings, Source, testing};

pub const NOW: u64 = 1_000_000;

/// A sandbox with a well-behaved rule, number 0.
pub fn sandbox() -> Sandbox {
    let mut sandbox = Sandbox::new(Settings::default()).unwrap();
    load(&mut sandbox, "echo", None).unwrap();
    sandbox
}

pub fn load(sandbox: &mut Sandbox, fixture: &str, config: Option<&str>) -> Result<(), LoadError> {
    let name = format!("{fixture}.wasm");
    sandbox.load(&Source { name: &name, bytes: &testing::fixture(fixture) }, config)
}

/// [`sandbox`] with one more rule, number 1, under these limits.
pub fn beside(fixture: &str, limits: Limits) -> Sandbox {
    let mut sandbox = sandbox();
    let source = Source { name: fixture, bytes: &testing::fixture(fixture) };
    sandbox.load_with(&source, None, limits).unwrap();
    sandbox
}

pub fn signal(message: &str) -> RuleSignal {
    RuleSignal {
        id: "alert/1".to_owned(),
        source: "alert".to_owned(),
        name: "KubePodNotReady".to_owned(),
        state: "firing".to_owned(),
        at: NOW,
        subject: Some(object()),
        message: message.to_owned(),
        fields: vec![("severity".to_owned(), "warning".to_owned())],
    }
}

pub fn object() -> ObjectRef {
    ObjectRef {
        kind: "Pod".to_owned(),
        namespace: "shop".to_owned(),
        name: "web-0".to_owned(),
        uid: String::new(),
    }
}

pub fn call(signals: Vec<RuleSignal>) -> Call {
    Call {
        context: Context { now: NOW, cluster: "c".to_owned() },
        signals,
        world: World::default(),
        state: StateTable::default(),
    }
}

/// Calls rule 1 with one signal of this message.
pub fn examine(sandbox: &mut Sandbox, message: &str) -> Result<Reply, Failure> {
    sandbox.examine(1, call(vec![signal(message)]))
}

/// The rule beside still works.
#[track_caller]
pub fn assert_echo(sandbox: &mut Sandbox) {
    let reply = sandbox.examine(0, call(vec![signal("hello")])).unwrap();
    let [diagnosis] = reply.verdict.diagnoses.as_slice() else { panic!("one diagnosis: {reply:?}") };
    assert_eq!(diagnosis.code, "echo.cause");
    assert_eq!(diagnosis.root, object());
    assert_eq!(diagnosis.explanation, "hello");
}
