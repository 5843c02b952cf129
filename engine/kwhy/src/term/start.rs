//! Where a term starts: from a snapshot where there is one, else from the beginning of the log.

use std::{env, fs, time::Instant, time::UNIX_EPOCH};

use anyhow::{Result, bail};
use kwhy_bus::{Head, LogState, Start};
use kwhy_core::{
    Engine, loss,
    rule::Rules,
    snapshot::{Judged, RestoreError, Resumed},
};
use kwhy_proto::millis;

use super::{Post, store::Store};

/// Why messages are lost that are older than what the stream keeps.
pub(super) const DROPPED: &str = "the stream dropped them before they were read";

/// An engine and where it goes on.
pub(super) struct Begun<R> {
    pub(super) engine: Engine<R>,
    pub(super) from: Start,
    /// The last place that was told in an earlier term.
    pub(super) through: u64,
    pub(super) head: Option<Head>,
    pub(super) log: LogState,
    pub(super) began: Instant,
    /// Where it goes on from, for people.
    pub(super) how: &'static str,
}

/// Names this program: another one may know other things.
pub(super) fn build() -> String {
    let of = || {
        let program = fs::metadata(env::current_exe().ok()?).ok()?;
        let changed = program.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(format!("{}/{}/{}", env!("CARGO_PKG_VERSION"), program.len(), changed.as_millis()))
    };
    of().unwrap_or_default()
}

/// Looks at what is stored and makes an engine that goes on from there.
pub(super) async fn begin<R: Rules>(post: &Post<'_, impl Store>, rules: R) -> Result<Begun<R>> {
    let began = Instant::now();
    let Post { config, store, cluster, .. } = post;
    let mut engine = Engine::new(config.settings(cluster), rules)?;
    let stored = store.head().await?;
    let log = store.log(stored.as_ref().map_or(0, |head| head.checkpoint.sequence)).await?;
    let Some(mut head) = stored else {
        return Ok(Begun { engine, from: Start::Beginning, through: 0, head: None, log, began, how: "" });
    };
    let last = &head.checkpoint;
    if last.log_created != Some(log.created) && !post.config.engine.new_log {
        bail!(
            "the stream KWHY_IN was deleted and made anew since findings were last stored; what was in it is lost. \
             To go on with the new one, start once with `engine: {{new_log: true}}` in the configuration"
        );
    }
    let lost = lost(*store, &head, &log).await?;
    let resumed = if let Some((first, end)) = lost {
        let why = "the server lost acknowledged messages; others took their sequences";
        let now = last.at.as_ref().map_or_else(kwhy_collect::clock::wall, millis);
        tell_of_loss(post, first, end, why, now).await?;
        None
    } else {
        restore(*store, &head, &mut engine).await?
    };
    let (from, through, how) = match resumed {
        Some(Resumed { from, through }) => (Start::Sequence(from), through, "from a snapshot"),
        None => {
            let through = last.sequence.min(log.last);
            let judged = if lost.is_some() { Judged::Newer } else { Judged::Anew };
            engine.adopt(store.findings(cluster, &head).await?, through, judged);
            // Whoever reads on from a place meets the gap there; from the beginning there is none to be met.
            if lost.is_none() && log.first > through + 1 {
                let now = last.at.as_ref().map_or_else(kwhy_collect::clock::wall, millis);
                tell_of_loss(post, through + 1, log.first - 1, DROPPED, now).await?;
            }
            (Start::Beginning, through, "from the beginning of the log")
        }
    };
    if lost.is_some() {
        // What stands in the log after this place was not taken into account, whatever the numbers say.
        head.checkpoint.sequence = through;
        head.checkpoint.entry = store.entry(through).await?.unwrap_or_default();
        head.checkpoint.snapshots.clear();
    }
    Ok(Begun { engine, from, through, head: Some(head), log, began, how })
}

/// Takes up the newest snapshot that can be taken up.
async fn restore<R: Rules>(
    store: &impl Store,
    head: &Head,
    engine: &mut Engine<R>,
) -> Result<Option<Resumed>> {
    let build = build();
    for snapshot in &head.checkpoint.snapshots {
        let Some(content) = store.snapshot(&snapshot.name).await? else { continue };
        match engine.restore(&build, &content) {
            Ok(resumed) => return Ok(Some(resumed)),
            Err(RestoreError::Foreign) => {
                eprintln!(
                    "kwhy: the snapshots were made by another version of kwhy, with other rules or other times; reading the log from its beginning"
                );
                return Ok(None);
            }
            Err(error) => eprintln!("kwhy: snapshot {} is left out: {error}", snapshot.name),
        }
    }
    Ok(None)
}

/// What is no longer as the checkpoint saw it: the first and the last sequence.
async fn lost(store: &impl Store, head: &Head, log: &LogState) -> Result<Option<(u64, u64)>> {
    let seen = head.checkpoint.sequence;
    if head.checkpoint.log_created != Some(log.created) || seen == 0 {
        return Ok((seen > 0).then_some((1, seen)));
    }
    if log.last < seen {
        return Ok(Some((log.last + 1, seen)));
    }
    let entry = store.entry(seen).await?;
    Ok(entry.is_some_and(|id| id != head.checkpoint.entry).then_some((seen, seen)))
}

/// Says in the log itself what it lacks, at log time `now`, so that every engine hears of it at the same place.
pub(super) async fn tell_of_loss(
    post: &Post<'_, impl Store>,
    first: u64,
    last: u64,
    why: &str,
    now: u64,
) -> Result<()> {
    let gap = loss::signal(&post.cluster, first, last, why, now);
    eprintln!("kwhy: {}; findings may lack them", gap.message);
    post.store.tell(gap).await
}
