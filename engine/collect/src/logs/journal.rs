//! The systemd journal, through a `journalctl` child that is not trusted to do what it is told.
//!
//! What is known of journalctl (252 unless said; measured, and told in systemd's issues) and what is done about it here:
//!
//! - With a unit filter, `--after-cursor` passes over the first entry (systemd#30288). So there is no filter, and units
//!   are picked here.
//! - `--follow` with a cursor shows this boot alone (250 to 257), and passes over the first entry of the next (#38912).
//!   So what there is already is read without `--follow`, and `--follow` goes with `--merge`, which does not.
//! - Whether it began where it was told to cannot be told from `--after-cursor`. So the cursor is `--cursor`, and the
//!   first entry must be the one of the cursor; another one means that entries were vacuumed, which is told as a gap.
//! - It ends on "Bad message" when files are rotated or vacuumed (#36247), may hang on a damaged file (#27489), or miss
//!   new files (#40053). So its end is nothing special, and where it says nothing for a while it is started again.
//!
//! libsystemd would bring C and the same troubles into this process.

mod child;
mod source;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kwhy_ingest::{
    journal::{self, BadLine, Record},
    multiline::Joiner,
    text,
};
use kwhy_proto::Timestamp;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until, timeout},
};

pub use self::source::{Journal, KUBELETS};
use self::{
    child::{Output, words},
    source::From,
};
use super::{
    Chunk,
    assemble::{Assembler, Head, Place},
    lines::Line,
    positions::Mark,
    trouble::{Told, Trouble},
};

/// An entry of a following journalctl is waited for so long before it is started again.
const QUIET: Duration = Duration::from_secs(30);
/// A journalctl that should only read what is there may be silent for so long; twice as long after each time that it was.
const STUCK: Duration = Duration::from_secs(20);
const _: () = assert!(QUIET.as_secs() + STUCK.as_secs() < 60, "a hang is found within a minute");
/// The longest of these.
const STUCK_MOST: Duration = Duration::from_secs(300);
/// Between two of them.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two that ended badly, at most.
const PAUSE_MOST: Duration = Duration::from_secs(30);
/// What was read goes out after this, however little it is.
const FLUSH: Duration = Duration::from_secs(1);
/// A message whose further lines may come is waited for so long.
const REST: Duration = Duration::from_secs(5);

/// Why a journalctl is no longer read.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It ended; with what it said where that was an error.
    Exit(Option<String>),
    /// It said nothing for so long.
    Silent(Duration),
    /// It began somewhere else than at the cursor.
    Elsewhere,
    /// This process ends.
    Stop,
}

/// Reads the journal without end.
pub(crate) struct Follower {
    journal: Journal,
    assembler: Assembler,
    /// By unit.
    joiners: BTreeMap<String, Joiner<Head>>,
    told: Arc<Told>,
    chunks: mpsc::Sender<Chunk>,
    /// The last entry that was read.
    cursor: Option<String>,
    /// The last entry behind which one may go on, and whether NATS is still to hear of it.
    mark: Option<String>,
    /// When the first thing came that has not gone out.
    since: Option<Instant>,
    /// When the open message began.
    open: Option<Instant>,
    /// The machine whose entries these are.
    machine: Option<String>,
    /// Entries that could not be read since the last that could.
    unreadable: u32,
    last: Option<Timestamp>,
    quiet: Duration,
    stuck: Duration,
}

impl Follower {
    pub(crate) fn new(
        journal: Journal,
        assembler: Assembler,
        cursor: Option<String>,
        told: Arc<Told>,
        chunks: mpsc::Sender<Chunk>,
    ) -> Follower {
        Follower {
            journal,
            assembler,
            joiners: BTreeMap::new(),
            told,
            chunks,
            last: cursor.as_deref().and_then(journal::written_at),
            cursor,
            mark: None,
            since: None,
            open: None,
            machine: None,
            unreadable: 0,
            quiet: QUIET,
            stuck: STUCK,
        }
    }

    /// Reads until told to stop or nobody takes anything any more; where nothing was read before, from `since` on, ms.
    pub(crate) async fn run(mut self, since: u64, mut stopped: watch::Receiver<bool>) {
        let (mut patience, mut pause) = (self.stuck, PAUSE);
        let mut follows = true;
        // A following one was silent: what is found now it should have told.
        let mut doubt = None;
        loop {
            let from = self.cursor.clone().map_or(From::Time(since), From::Cursor);
            let before = self.cursor.clone();
            let end = self.read(&from, false, patience, &mut stopped).await;
            let read = self.cursor != before;
            if let (Some(silent), true) = (doubt.take(), read) {
                self.ended(&format!(
                    "was silent for {} s although there were entries",
                    Duration::as_secs(&silent)
                ));
            }
            match &end {
                End::Stop => return,
                End::Exit(None) => {
                    self.told.well(&journalctl(String::new()));
                    (patience, pause) = (self.stuck, PAUSE);
                }
                End::Exit(Some(words)) => self.ended(&format!("ended: {words}")),
                End::Silent(after) => {
                    self.ended(&format!("was silent for {} s", after.as_secs()));
                    patience = (patience * 2).min(STUCK_MOST);
                }
                // Told as a gap.
                End::Elsewhere => {}
            }
            if end != End::Exit(None) || self.cursor.is_none() || !follows {
                if !self.wait(pause, &mut stopped).await {
                    return;
                }
                if end != End::Exit(None) {
                    pause = if read { PAUSE } else { (pause * 2).min(PAUSE_MOST) };
                    continue;
                }
            }
            let (Some(cursor), true) = (self.cursor.clone(), follows) else { continue };
            let before = self.cursor.clone();
            match self.read(&From::Cursor(cursor), true, self.quiet, &mut stopped).await {
                End::Stop => return,
                End::Exit(words) => {
                    let words = words.unwrap_or_else(|| "without a word".to_owned());
                    tracing::info!(words, "journalctl ended. Reading on from where it was.");
                    if self.cursor == before && !self.wait(PAUSE, &mut stopped).await {
                        return;
                    }
                }
                End::Silent(after) => doubt = Some(after),
                End::Elsewhere => {
                    self.told.tell(&Trouble::Follows);
                    follows = false;
                }
            }
        }
    }

    fn ended(&self, how: &str) {
        self.told.tell(&journalctl(how.to_owned()));
    }

    /// Waits, and lets what has come together go out meanwhile. False where this process ends.
    async fn wait(&mut self, pause: Duration, stopped: &mut watch::Receiver<bool>) -> bool {
        let ends = tokio::select! {
            () = sleep(pause) => false,
            () = stop(stopped) => true,
        };
        if ends {
            self.finish().await;
            return false;
        }
        self.flush().await && !self.chunks.is_closed()
    }

    /// Runs one journalctl and reads it to its end.
    async fn read(
        &mut self,
        from: &From,
        follow: bool,
        patience: Duration,
        stopped: &mut watch::Receiver<bool>,
    ) -> End {
        let mut child = match self.journal.command(from, follow).spawn() {
            Ok(child) => child,
            Err(error) => return End::Exit(Some(format!("cannot be started: {error}"))),
        };
        let Some(stdout) = child.stdout.take() else { return End::Exit(Some("has no output".to_owned())) };
        let words = words(&mut child);
        let mut output = Output::new(stdout);
        // The entry of the cursor is known.
        let mut anchor = match from {
            From::Cursor(cursor) => Some(cursor.clone()),
            From::Time(_) => None,
        };
        let end = loop {
            let line = match output.whole() {
                Some(line) => line,
                None => {
                    let began = Instant::now();
                    let silent = output.heard.max(output.asked) + patience;
                    let flush = self.since.map(|since| since + FLUSH);
                    let rest = self.open.map(|since| since + REST);
                    let due = [flush, rest].into_iter().flatten().min();
                    tokio::select! {
                        biased;
                        () = stop(stopped) => {
                            self.finish().await;
                            break End::Stop;
                        }
                        more = output.fill() => match more {
                            Ok(true) => {}
                            Ok(false) => break End::Exit(None),
                            Err(error) => break End::Exit(Some(error.to_string())),
                        },
                        () = sleep_until(due.unwrap_or(began)), if due.is_some() => {
                            if !self.overdue().await {
                                break End::Stop;
                            }
                        }
                        () = sleep_until(silent) => break End::Silent(patience),
                    }
                    continue;
                }
            };
            if let Next::Elsewhere = self.line(&line, &mut anchor, follow) {
                break End::Elsewhere;
            }
            if self.assembler.is_full() {
                if !self.flush().await {
                    break End::Stop;
                }
                // The time in which NATS took nothing is not its silence.
                output.asked = Instant::now();
            }
        };
        match end {
            End::Exit(None) => {
                let status = child.wait().await;
                let words = timeout(PAUSE, words).await.ok().and_then(Result::ok).unwrap_or_default();
                match status {
                    // It may say that there is nothing to read, or not all, and call that a success.
                    Ok(status)
                        if status.success()
                            && !words.contains("No journal files")
                            && !words.contains("not seeing") =>
                    {
                        End::Exit(None)
                    }
                    Ok(status) if words.is_empty() => End::Exit(Some(status.to_string())),
                    _ => End::Exit(Some(words)),
                }
            }
            end => {
                let _ = child.start_kill();
                let _ = child.wait().await;
                end
            }
        }
    }

    fn line(&mut self, line: &Line, anchor: &mut Option<String>, follow: bool) -> Next {
        let whole = text::utf8(&line.bytes);
        // What journalctl says of the journal, and a blank line.
        if whole.is_empty() || whole.starts_with("-- ") {
            return Next::On;
        }
        let record = match journal::record(&whole) {
            Ok(record) if !line.cut && journal::position(&record.cursor).is_some() => record,
            Ok(_) => return self.unreadable(BadLine::Json),
            Err(bad) => return self.unreadable(bad),
        };
        if let Some(cursor) = anchor.take() {
            if record.cursor == cursor {
                self.machine = Some(record.machine.into_owned());
                return Next::On;
            }
            if follow {
                return Next::Elsewhere;
            }
            self.vacuumed(&cursor, &record);
        }
        // `--merge` brings what other machines have sent here.
        let foreign =
            self.machine.as_deref().is_some_and(|machine| !machine.is_empty() && record.machine != machine);
        if follow && foreign && self.journal.directory.is_none() {
            return Next::On;
        }
        let cursor = record.cursor.into_owned();
        self.unreadable = 0;
        self.last = Some(record.at);
        self.cursor = Some(cursor.clone());
        let now = Instant::now();
        self.since.get_or_insert(now);
        if self.journal.wants(&record.unit, &record.about, &record.transport) {
            // Lines of several programs stand between each other, so each has its own message that may be open.
            let writer = if record.unit.is_empty() { &record.identifier } else { &record.unit };
            if !self.joiners.contains_key(writer.as_ref()) {
                self.joiners.insert(writer.clone().into_owned(), Joiner::new());
            }
            if let Some(joiner) = self.joiners.get_mut(writer.as_ref()) {
                let place = Place::Journal(cursor.clone());
                let head = Head { at: record.at, priority: record.priority, place };
                self.assembler.feed(joiner, head, &record.message);
            }
        }
        if self.joiners.values().any(Joiner::is_open) {
            self.open.get_or_insert(now);
        } else {
            self.open = None;
            self.mark = Some(cursor);
        }
        Next::On
    }

    /// The entry that was read last is not there any more, so others that came after it may be gone, too.
    fn vacuumed(&mut self, cursor: &str, next: &Record<'_>) {
        let from = journal::written_at(cursor).unwrap_or(next.at);
        let reason = "the journal does not hold the entry any more that was read last; \
                      what came after it may have been vacuumed"
            .to_owned();
        let id = format!("vacuumed/{}", journal::position(cursor).unwrap_or_default());
        self.assembler.gap(&id, from.min(next.at), next.at, reason.clone());
        self.told.tell(&Trouble::Lost { reason });
    }

    fn unreadable(&mut self, why: BadLine) -> Next {
        self.unreadable = self.unreadable.saturating_add(1);
        let at = self.last.unwrap_or_default();
        let near = self.cursor.as_deref().and_then(journal::position).unwrap_or_default();
        let reason = format!("an entry of the journal cannot be read ({why})");
        self.assembler.gap(&format!("unreadable/{near}/{}", self.unreadable), at, at, reason.clone());
        self.told.tell(&Trouble::Lost { reason });
        self.since.get_or_insert(Instant::now());
        Next::On
    }

    /// Sends what has waited for long enough. False where nobody takes it any more.
    async fn overdue(&mut self) -> bool {
        let now = Instant::now();
        if self.open.is_some_and(|since| now >= since + REST) {
            self.close();
        }
        if self.since.is_some_and(|since| now >= since + FLUSH) { self.flush().await } else { true }
    }

    fn close(&mut self) {
        for joiner in self.joiners.values_mut() {
            self.assembler.close(joiner);
        }
        self.open = None;
        self.mark.clone_from(&self.cursor);
    }

    async fn finish(&mut self) {
        // A message that is open is read again by whoever starts next.
        self.flush().await;
    }

    async fn flush(&mut self) -> bool {
        self.since = None;
        let (signals, excess) = self.assembler.take();
        if let Some(excess) = excess {
            self.told.dropped(excess);
        }
        let marks: Vec<Mark> = self.mark.take().map(Mark::Journal).into_iter().collect();
        if signals.is_empty() && marks.is_empty() {
            return true;
        }
        self.chunks.send(Chunk { signals, marks }).await.is_ok()
    }
}

/// Done when this process is to end.
async fn stop(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// What to do after an entry.
enum Next {
    On,
    Elsewhere,
}

/// A trouble with what to do about it, as far as its words tell.
fn journalctl(how: String) -> Trouble {
    let hint = if how.contains("permission") || how.contains("not seeing messages") {
        "; give the user of kwhy the group systemd-journal"
    } else if how.contains("No journal files") || how.contains("No such file") {
        "; is the journal kept elsewhere? (kubelet.journal_directory)"
    } else {
        ""
    };
    Trouble::Journalctl { how, hint }
}

#[cfg(test)]
mod tests;
