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

use std::{
    collections::{BTreeMap, VecDeque},
    ffi::OsString,
    io,
    path::PathBuf,
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use kwhy_ingest::{
    journal::{self, BadLine, Record},
    multiline::Joiner,
    text,
};
use kwhy_proto::Timestamp;
use tokio::{
    io::AsyncReadExt,
    process::{Child, ChildStdout, Command},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    Chunk,
    assemble::{Assembler, Head, Place},
    lines::{Line, Splitter},
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
/// Longest entry that is read. Bytes that are no text take four characters each.
const LONGEST: usize = 8 << 20;
/// What is kept of the error output.
const WORDS: usize = 2048;

/// Units whose lines the rules want.
pub const UNITS: [&str; 13] = [
    "kubelet",
    "containerd",
    "crio",
    "docker",
    "cri-docker",
    "k3s",
    "k3s-agent",
    "rke2-server",
    "rke2-agent",
    "k0scontroller",
    "k0sworker",
    "snap.microk8s.daemon-kubelite",
    "snap.microk8s.daemon-containerd",
];

/// Which journal to read and what of it.
#[derive(Debug, Clone)]
pub struct Journal {
    /// The program.
    pub program: PathBuf,
    /// Folder with journal files; the machine's own journal where none.
    pub directory: Option<PathBuf>,
    /// Units whose lines are taken, with or without `.service`; what systemd says of them as well.
    pub units: Vec<String>,
    /// Whether the kernel's lines are taken.
    pub kernel: bool,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            program: "journalctl".into(),
            directory: None,
            units: UNITS.map(str::to_owned).to_vec(),
            kernel: true,
        }
    }
}

impl Journal {
    /// The version of journalctl, which shows that it runs.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn version(&self) -> io::Result<String> {
        let out = Command::new(&self.program).arg("--version").stdin(Stdio::null()).output().await?;
        Ok(text::line(text::utf8(&out.stdout).lines().next().unwrap_or_default()).into_owned())
    }

    fn wants(&self, unit: &str, about: &str, transport: &str) -> bool {
        let is_wanted = |unit: &str| {
            let bare = unit.strip_suffix(".service").unwrap_or(unit);
            !bare.is_empty() && self.units.iter().any(|w| w.strip_suffix(".service").unwrap_or(w) == bare)
        };
        (self.kernel && transport == "kernel") || is_wanted(unit) || is_wanted(about)
    }

    fn command(&self, from: &From, follow: bool) -> Command {
        const FIELDS: &str = "MESSAGE,PRIORITY,SYSLOG_IDENTIFIER,_SYSTEMD_UNIT,UNIT,_TRANSPORT,_MACHINE_ID";
        let mut command = Command::new(&self.program);
        command.args(["-o", "json", "--all", "--no-pager"]).arg(format!("--output-fields={FIELDS}"));
        if let Some(directory) = &self.directory {
            let mut option = OsString::from("--directory=");
            option.push(directory);
            command.arg(option);
        }
        match from {
            From::Cursor(cursor) => command.arg(format!("--cursor={cursor}")),
            From::Time(at) => command.arg(format!("--since=@{}", at / 1000)),
        };
        if follow {
            command.args(["--follow", "--merge", "--no-tail"]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        // Its words are looked at, its output is JSON; neither is to be in the language of whoever runs this.
        command.env("LC_ALL", "C").env("SYSTEMD_COLORS", "0");
        command
    }
}

/// Where reading begins.
#[derive(Debug, Clone, PartialEq, Eq)]
enum From {
    /// At the entry of this cursor, which was read.
    Cursor(String),
    /// At this time, ms.
    Time(u64),
}

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
        let (signals, lost) = self.assembler.take();
        if let Some(reason) = lost {
            self.told.tell(&Trouble::Lost { reason });
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

/// The lines that a child prints.
struct Output {
    stdout: ChildStdout,
    splitter: Splitter,
    lines: VecDeque<Line>,
    block: Vec<u8>,
    /// When it printed something.
    heard: Instant,
    /// When somebody began to wait for it.
    asked: Instant,
}

impl Output {
    fn new(stdout: ChildStdout) -> Output {
        let now = Instant::now();
        let (splitter, lines) = (Splitter::new(LONGEST), VecDeque::new());
        Output { stdout, splitter, lines, block: vec![0; 64 * 1024], heard: now, asked: now }
    }

    /// A whole line that is here already.
    fn whole(&mut self) -> Option<Line> {
        self.lines.pop_front()
    }

    /// Waits for more; false at the end. Half a line there is none: it is read again from the cursor. May be dropped.
    async fn fill(&mut self) -> io::Result<bool> {
        let read = self.stdout.read(&mut self.block).await?;
        self.heard = Instant::now();
        let lines = &mut self.lines;
        self.splitter.feed(self.block.get(..read).unwrap_or_default(), |line| lines.push_back(line));
        Ok(read > 0)
    }
}

/// What a child says on its error output, on one line.
fn words(child: &mut Child) -> JoinHandle<String> {
    let stderr = child.stderr.take();
    tokio::spawn(async move {
        let Some(mut stderr) = stderr else { return String::new() };
        let (mut said, mut block) = (Vec::new(), [0; 1024]);
        while let Ok(read @ 1..) = stderr.read(&mut block).await {
            let room = WORDS.saturating_sub(said.len());
            said.extend_from_slice(block.get(..read.min(room)).unwrap_or_default());
        }
        text::line(&text::utf8(&said)).into_owned()
    })
}

#[cfg(test)]
mod tests;
