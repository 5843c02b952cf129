//! What loading and calling rules costs on this machine: `cargo run --release --example cost --features testing --
//! [RULE.wasm]...`; without a file it takes the echo rule of the fixtures.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use kwhy_core::rule::{Call, Context, RuleSignal, Rules as _};
use kwhy_proto::v1::ObjectRef;
use kwhy_sandbox::{Sandbox, Settings, Source, testing};

fn main() -> Result<(), Box<dyn Error>> {
    let mut files = Vec::new();
    for path in std::env::args().skip(1) {
        let bytes = std::fs::read(&path)?;
        files.push((path, bytes));
    }
    if files.is_empty() {
        files.push(("echo".to_owned(), testing::fixture("echo")));
    }
    let cache = std::env::temp_dir().join(format!("kwhy-cost-{}", std::process::id()));
    for round in ["cold", "warm", "warm"] {
        let settings = Settings { cache: Some(cache.clone()), ..Settings::default() };
        let (sandbox, took) = timed(|| Sandbox::new(settings));
        let mut sandbox = sandbox?;
        println!("{round}: sandbox {took:?}");
        for (name, bytes) in &files {
            let (loaded, took) = timed(|| sandbox.load(&Source { name, bytes }, None));
            loaded?;
            println!("{round}: {name} of {} bytes: {took:?}", bytes.len());
        }
        for rule in 0..files.len() {
            calls(&mut sandbox, rule);
        }
    }
    std::fs::remove_dir_all(cache)?;
    Ok(())
}

fn calls(sandbox: &mut Sandbox, rule: usize) {
    let name = sandbox.descriptors().get(rule).map(|d| d.name.clone()).unwrap_or_default();
    let (first, took) = timed(|| sandbox.examine(rule, call(1)));
    println!("  {name}: first call {took:?}, {first:.60?}");
    for batch in [1, 16, 256] {
        let calls: Vec<Call> = (0..1_000).map(|_| call(batch)).collect();
        let mut fuel = 0;
        let (count, took) = timed(|| {
            let replies = calls.into_iter().filter_map(|c| sandbox.examine(rule, c).ok());
            replies.map(|r| fuel = r.fuel).count()
        });
        println!("  {name}: batch of {batch}: {:?} a call, fuel {fuel}, {count} of 1000 ok", took / 1_000);
    }
}

fn call(batch: usize) -> Call {
    let signal = RuleSignal {
        id: "alert/3f2a/1760000000/firing".to_owned(),
        source: "alert".to_owned(),
        name: "KubeDeploymentReplicasMismatch".to_owned(),
        state: "firing".to_owned(),
        at: 1_760_000_000_000,
        subject: Some(ObjectRef {
            kind: "Deployment".to_owned(),
            namespace: "kube-system".to_owned(),
            name: "coredns".to_owned(),
            uid: "9b1f1f5e-4a5d-4a53-9b58-2f5d2c1f7a10".to_owned(),
        }),
        message: "Deployment kube-system/coredns has not matched the expected number of replicas".to_owned(),
        fields: ["alertname", "deployment", "namespace", "severity"]
            .map(|n| (n.to_owned(), "value".to_owned()))
            .into(),
    };
    Call {
        context: Context { now: 1_760_000_000_000, cluster: "homelab".to_owned() },
        signals: vec![signal; batch],
        world: kwhy_core::world::World::default(),
        state: kwhy_core::state::StateTable::default(),
    }
}

fn timed<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let value = run();
    (value, start.elapsed())
}
