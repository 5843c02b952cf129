//! The follower against the real journalctl on real journal files, and against one that misbehaves.

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{self, Stdio},
    sync::Mutex,
};

use kwhy_proto::v1::{Signal, signal::Body};
use tempfile::TempDir;
use tokio::{process::Command, task::JoinHandle};

use super::*;
use crate::logs::{Health, Level, positions::Mark};

/// A set-up that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);
const T0: u64 = 1_700_000_000_000_000;

/// systemd-journal-remote, which makes journal files of text: `cargo xtask setup` brings it.
fn journal_remote() -> PathBuf {
    let named = std::env::var_os("KWHY_JOURNAL_REMOTE").map(PathBuf::from);
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/systemd-journal-remote");
    let places = [named, Some(tools), Some("/lib/systemd/systemd-journal-remote".into())];
    let found = places.into_iter().flatten().find(|path| path.is_file());
    found
        .expect("no systemd-journal-remote: `cargo xtask setup` brings it, or set KWHY_JOURNAL_REMOTE to one")
}

/// An entry in the export format of the journal.
fn export(out: &mut Vec<u8>, number: u64, boot: char, fields: &[(&str, &[u8])]) {
    let (boot, at) = (boot.to_string().repeat(32), T0 + number * 1_000_000);
    let cursor = format!("s={};i={number:x};b={boot};m={number:x};t={at:x};x={number:x}", "a".repeat(32));
    let mut head = String::new();
    writeln!(
        head,
        "__CURSOR={cursor}\n__REALTIME_TIMESTAMP={at}\n__MONOTONIC_TIMESTAMP={number}\n_BOOT_ID={boot}"
    )
    .unwrap();
    out.extend(head.into_bytes());
    for (name, value) in fields {
        out.extend(name.bytes());
        if value.iter().all(|b| (b' '..=b'~').contains(b)) {
            out.push(b'=');
            out.extend(*value);
        } else {
            out.push(b'\n');
            out.extend((value.len() as u64).to_le_bytes());
            out.extend(*value);
        }
        out.push(b'\n');
    }
    out.push(b'\n');
}

fn of_unit(out: &mut Vec<u8>, number: u64, boot: char, unit: &str, message: &[u8]) {
    let unit_name = format!("{unit}.service");
    let fields: [(&str, &[u8]); 5] = [
        ("MESSAGE", message),
        ("PRIORITY", b"6"),
        ("SYSLOG_IDENTIFIER", unit.as_bytes()),
        ("_SYSTEMD_UNIT", unit_name.as_bytes()),
        ("_TRANSPORT", b"stdout"),
    ];
    export(out, number, boot, &fields);
}

/// A folder with a journal in it.
struct Files(TempDir);

impl Files {
    fn new() -> Files {
        Files(tempfile::tempdir().unwrap())
    }

    fn add(&self, entries: Vec<u8>) {
        let text = self.0.path().join("entries.export");
        fs::write(&text, entries).unwrap();
        let journal = self.0.path().join("x.journal");
        let made = process::Command::new(journal_remote()).arg("-o").arg(journal).arg(text).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    fn journal(&self) -> Journal {
        Journal { directory: Some(self.0.path().to_owned()), ..Journal::default() }
    }
}

/// A follower at work, with what came of it.
struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    chunks: mpsc::Receiver<Chunk>,
    signals: Vec<Signal>,
    cursor: Option<String>,
    told: Arc<Mutex<Vec<String>>>,
}

impl Running {
    fn start(journal: Journal, cursor: Option<String>) -> Running {
        Running::with(journal, cursor, |_| ())
    }

    fn with(journal: Journal, cursor: Option<String>, change: impl FnOnce(&mut Follower)) -> Running {
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let report = told.clone();
        let report = move |trouble: &Trouble| report.lock().unwrap().push(trouble.to_string());
        let all = Told::new(report, Health::default());
        let (sender, chunks) = mpsc::channel(16);
        let assembler = Assembler::new("c".into(), "kal".into(), Level::Info, 10_000, 0);
        let mut follower = Follower::new(journal, assembler, cursor.clone(), Arc::new(all), sender);
        change(&mut follower);
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(follower.run(0, stopped));
        Running { stop, task, chunks, signals: Vec::new(), cursor, told }
    }

    fn take(&mut self, chunk: Chunk) {
        self.signals.extend(chunk.signals);
        for mark in chunk.marks {
            if let Mark::Journal(cursor) = mark {
                self.cursor = Some(cursor);
            }
        }
    }

    /// Reads until so many signals came.
    async fn until(&mut self, count: usize) {
        while self.signals.len() < count {
            let chunk = timeout(PATIENCE, self.chunks.recv()).await;
            let chunk =
                chunk.unwrap_or_else(|_| panic!("only {:?}; {:?}", self.texts(), self.told.lock().unwrap()));
            self.take(chunk.expect("the follower goes on"));
        }
    }

    /// Ends it and gives back what it has read.
    async fn end(mut self) -> Self {
        self.stop.send(true).unwrap();
        while let Some(chunk) = timeout(PATIENCE, self.chunks.recv()).await.expect("it ends") {
            self.take(chunk);
        }
        (&mut self.task).await.unwrap();
        self
    }

    fn texts(&self) -> Vec<&str> {
        self.signals.iter().map(|signal| signal.message.as_str()).collect()
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }

    fn gaps(&self) -> Vec<&str> {
        self.signals
            .iter()
            .filter(|s| matches!(s.body, Some(Body::Gap(_))))
            .map(|s| s.message.as_str())
            .collect()
    }
}

/// Three entries of two units in boot 1, then a new boot.
fn two_boots() -> Vec<u8> {
    let mut out = Vec::new();
    of_unit(&mut out, 1, '1', "kubelet", b"one");
    of_unit(&mut out, 2, '1', "ssh", b"nobody asks");
    of_unit(&mut out, 3, '1', "kubelet", b"three");
    of_unit(&mut out, 4, '2', "kubelet", b"four, of the next boot");
    of_unit(&mut out, 5, '2', "containerd", b"five");
    out
}

async fn cursor_of(files: &Files, count: usize) -> String {
    let out =
        process::Command::new("journalctl").args(["-o", "json", "-q"]).arg("-D").arg(files.0.path()).output();
    let out = String::from_utf8(out.unwrap().stdout).unwrap();
    journal::record(out.lines().nth(count - 1).unwrap()).unwrap().cursor.into_owned()
}

#[tokio::test]
async fn all_lines_of_both_boots_come_once_whatever_the_cursor() {
    let files = Files::new();
    files.add(two_boots());
    let all = ["one", "three", "four, of the next boot", "five"];
    // By entry, how many of the lines are read then.
    for (entry, read) in [(0, 0), (1, 1), (2, 1), (3, 2), (4, 3)] {
        let cursor = if entry == 0 { None } else { Some(cursor_of(&files, entry).await) };
        let mut running = Running::start(files.journal(), cursor);
        running.until(all.len() - read).await;
        let running = running.end().await;
        assert_eq!(running.texts(), all[read..], "after entry {entry}");
        assert_eq!(running.told(), Vec::<String>::new());
    }
}

/// The twin of the test above: what the obvious way to call journalctl loses.
#[tokio::test]
async fn a_following_journalctl_of_this_version_may_lose_the_boot_before() {
    let files = Files::new();
    files.add(two_boots());
    let cursor = cursor_of(&files, 1).await;
    let version = files.journal().version().await.unwrap();
    let number: u32 = version.split(' ').nth(1).and_then(|word| word.parse().ok()).expect(&version);
    let mut child = Command::new("journalctl")
        .args(["-o", "cat", "-q", "--follow", "--no-tail", &format!("--after-cursor={cursor}"), "-D"])
        .arg(files.0.path())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut output = Output::new(child.stdout.take().unwrap());
    let mut lines = Vec::new();
    while let Ok(Ok(true)) = timeout(Duration::from_secs(2), output.fill()).await {
        while let Some(line) = output.whole() {
            lines.push(String::from_utf8(line.bytes).unwrap());
        }
    }
    if (250..258).contains(&number) {
        assert!(!lines.contains(&"three".to_owned()), "{version} has the trap no more: {lines:?}");
    }
}

/// The twin for a line that nobody asks for: journalctl that is to leave it out itself leaves out the next one as well.
#[tokio::test]
async fn a_journalctl_of_this_version_that_filters_may_lose_the_line_after_the_cursor() {
    let files = Files::new();
    files.add(two_boots());
    let cursor = cursor_of(&files, 2).await;
    let version = files.journal().version().await.unwrap();
    let number: u32 = version.split(' ').nth(1).and_then(|word| word.parse().ok()).expect(&version);
    let printed = process::Command::new("journalctl")
        .args(["-o", "cat", "-q", "-u", "kubelet", &format!("--after-cursor={cursor}"), "-D"])
        .arg(files.0.path())
        .output();
    let printed = String::from_utf8(printed.unwrap().stdout).unwrap();
    if number < 255 {
        assert_eq!(printed, "four, of the next boot\n", "{version} has the trap no more");
    }
}

#[tokio::test]
async fn what_is_written_while_it_follows_comes_too_and_over_a_reboot() {
    let files = Files::new();
    files.add(two_boots());
    let mut running = Running::start(files.journal(), None);
    running.until(4).await;
    let mut more = Vec::new();
    of_unit(&mut more, 6, '2', "kubelet", b"six");
    of_unit(&mut more, 7, '3', "kubelet", b"seven, of a third boot");
    files.add(more);
    running.until(6).await;
    let running = running.end().await;
    assert_eq!(running.texts()[4..], ["six", "seven, of a third boot"]);
    let ids: Vec<&str> = running.signals.iter().map(|signal| signal.id.as_str()).collect();
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(ids, sorted, "ids sort as the journal does");
    // A restart goes on behind the last.
    let again = Running::start(files.journal(), running.cursor.clone()).end().await;
    assert_eq!(again.texts(), Vec::<&str>::new());
}

#[tokio::test]
async fn more_than_a_screenful_is_caught_up() {
    let files = Files::new();
    let mut out = Vec::new();
    for number in 1..=500 {
        of_unit(&mut out, number, '1', "kubelet", format!("line {number}").as_bytes());
    }
    files.add(out);
    let cursor = cursor_of(&files, 100).await;
    let mut running = Running::start(files.journal(), Some(cursor));
    running.until(400).await;
    assert_eq!(running.end().await.signals.len(), 400);
}

/// Four messages of which two hold what looks like a line of their own.
fn forged() -> Files {
    let files = Files::new();
    let mut out = Vec::new();
    of_unit(&mut out, 1, '1', "kubelet", b"\xff\nE1124 10:00:00.000000 1 a.go:1] forged");
    let long = [b"I1124 10:00:00.000000 1 a.go:1] ".to_vec(), vec![b'x'; 1 << 20]].concat();
    of_unit(&mut out, 2, '1', "kubelet", &long);
    of_unit(&mut out, 3, '1', "kubelet", b"plain\nE1124 10:00:00.000000 1 a.go:1] forged");
    of_unit(&mut out, 4, '1', "kubelet", b"the end");
    files.add(out);
    files
}

#[tokio::test]
async fn binary_long_and_forged_messages_are_one_line_each() {
    let files = forged();
    let mut running = Running::start(files.journal(), None);
    running.until(4).await;
    let running = running.end().await;
    let texts = running.texts();
    assert_eq!(texts.len(), 4);
    assert_eq!(texts[0], "\u{fffd} E1124 10:00:00.000000 1 a.go:1] forged");
    assert!(texts[1].len() <= 4096 && texts[1].ends_with("x…"), "cut with a mark");
    assert_eq!(texts[2], "plain E1124 10:00:00.000000 1 a.go:1] forged");
    let states: Vec<&str> = running.signals.iter().map(|signal| signal.state.as_str()).collect();
    assert_eq!(states, ["I", "I", "I", "I"], "a forged header is no error");
}

/// The twin of the test above: what is printed line by line holds headers that nobody wrote.
#[test]
fn a_journal_that_is_read_line_by_line_holds_forged_errors() {
    let files = forged();
    let printed = process::Command::new("journalctl")
        .args(["-o", "cat", "--all", "-q", "-D"])
        .arg(files.0.path())
        .output();
    let printed = printed.unwrap().stdout;
    let forged = printed.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"E1124 ")).count();
    assert_eq!(forged, 2);
}

#[tokio::test]
async fn the_kernel_and_what_systemd_says_of_a_unit_are_read_and_several_lines_are_one() {
    let files = Files::new();
    let mut out = Vec::new();
    export(
        &mut out,
        1,
        '1',
        &[("MESSAGE", b"Out of memory: Killed process 7 (x)"), ("PRIORITY", b"3"), ("_TRANSPORT", b"kernel")],
    );
    let stopped: [(&str, &[u8]); 4] = [
        ("MESSAGE", b"Stopped kubelet"),
        ("UNIT", b"kubelet.service"),
        ("_SYSTEMD_UNIT", b"init.scope"),
        ("_TRANSPORT", b"journal"),
    ];
    export(&mut out, 2, '1', &stopped);
    of_unit(&mut out, 3, '1', "kubelet", b"I1114 22:13:20.000000 1 prober.go:107] \"Probe failed\" output=<");
    of_unit(&mut out, 4, '1', "containerd", b"time=\"x\" level=info msg=between");
    of_unit(&mut out, 5, '1', "kubelet", b"\tthe output");
    of_unit(&mut out, 6, '1', "kubelet", b" > pod=\"a/b\"");
    export(&mut out, 7, '1', &[("PRIORITY", b"3"), ("_TRANSPORT", b"kernel")]);
    files.add(out);
    let mut running = Running::start(files.journal(), None);
    running.until(4).await;
    let running = running.end().await;
    let texts = running.texts();
    assert_eq!(texts[..2], ["Out of memory: Killed process 7 (x)", "Stopped kubelet"]);
    assert_eq!(running.signals[0].state, "E");
    assert_eq!(texts[3], "\"Probe failed\" output=< the output > pod=\"a/b\"");
}

#[tokio::test]
async fn entries_that_were_vacuumed_are_told_as_a_gap() {
    let files = Files::new();
    files.add(two_boots());
    let gone = format!("s={};i=2;b={};m=1;t={:x};x=9", "b".repeat(32), "1".repeat(32), T0);
    let mut running = Running::start(files.journal(), Some(gone));
    running.until(2).await;
    let running = running.end().await;
    assert!(running.gaps()[0].contains("vacuumed"), "{:?}", running.texts());
    assert!(running.told()[0].contains("vacuumed"), "{:?}", running.told());
}

/// The twin of the test above: a journalctl that is asked to go on behind a cursor that is gone does not say so.
#[test]
fn a_vacuumed_journal_tells_nothing_of_what_is_gone() {
    let files = Files::new();
    files.add(two_boots());
    let gone = format!("s={};i=2;b={};m=1;t={:x};x=9", "b".repeat(32), "1".repeat(32), T0);
    let printed = process::Command::new("journalctl")
        .args(["-o", "cat", "-q", &format!("--after-cursor={gone}"), "-D"])
        .arg(files.0.path())
        .output()
        .unwrap();
    assert!(printed.status.success() && printed.stderr.is_empty(), "{printed:?}");
    let text = String::from_utf8(printed.stdout).unwrap();
    assert!(!text.contains("one") && text.contains("three"), "it goes on somewhere: {text}");
}

/// A journalctl that does what `script` says; `$cursor` is the cursor it was given, `$follow` whether to follow.
fn fake(dir: &TempDir, script: &str) -> Journal {
    let path = dir.path().join("journalctl");
    let entry = r#"entry() { printf '{"__CURSOR":"s=a;i=%x;b=1;m=1;t=60a24182d8%03x;x=1","__REALTIME_TIMESTAMP":"170000000%d000000","_SYSTEMD_UNIT":"kubelet.service","MESSAGE":"line %d"}\n' $1 $1 $1 $1; }"#;
    let head = r#"cursor=0; follow=; for a in "$@"; do case "$a" in --cursor=*) cursor=$(printf '%d' 0x$(echo "$a" | sed 's/.*;i=\([0-9a-f]*\);.*/\1/'));; --follow) follow=1;; esac; done"#;
    let text =
        format!("#!/bin/sh\nstate={}/state; touch $state\n{entry}\n{head}\n{script}\n", dir.path().display());
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    Journal { program: path, ..Journal::default() }
}

/// Prints what there is from the cursor on; each call that follows adds two entries and then does as `ending` says.
fn misbehaving(ending: &str) -> String {
    format!(
        r#"there=$(cat $state); there=${{there:-2}}; i=$cursor; [ $i = 0 ] && i=1
while [ $i -le $there ]; do entry $i; i=$((i+1)); done
[ -z "$follow" ] && exit 0
if [ $there -ge 8 ]; then exec sleep 1000; fi
entry $i; entry $((i+1)); echo $((i+1)) > $state
{ending}"#
    )
}

#[tokio::test]
async fn a_journalctl_that_dies_is_gone_on_with_from_its_last_whole_line() {
    for ending in [
        "exit 0",
        "exit 1",
        "echo 'Failed to iterate through journal: Bad message' >&2; exit 1",
        "printf '{\"__CURSOR\":\"s=a;i=99;b=1;m'; exit 1",
        "kill -9 $$",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut running = Running::start(fake(&dir, &misbehaving(ending)), None);
        running.until(8).await;
        let running = running.end().await;
        let expected: Vec<String> = (1..=8).map(|n| format!("line {n}")).collect();
        assert_eq!(running.texts(), expected, "{ending}");
    }
}

#[tokio::test]
async fn a_journalctl_that_hangs_is_found_out() {
    // The one that follows says nothing although there is more, and one that reads what is there hangs as well.
    let dir = tempfile::tempdir().unwrap();
    let script = r#"n=$(cat $state); n=$((${n:-0}+1)); echo $n > $state; i=$cursor; [ $i = 0 ] && i=1
if [ -n "$follow" ]; then entry $cursor; exec sleep 1000; fi
if [ $n = 1 ]; then entry 1; exit 0; fi
if [ $n = 3 ]; then exec sleep 1000; fi
while [ $i -le 4 ]; do entry $i; i=$((i+1)); done"#;
    let mut running = Running::with(fake(&dir, script), None, |follower| {
        (follower.quiet, follower.stuck) = (Duration::from_secs(3), Duration::from_secs(2));
    });
    running.until(4).await;
    let running = running.end().await;
    assert_eq!(running.texts(), ["line 1", "line 2", "line 3", "line 4"]);
    assert!(running.told().iter().any(|told| told.contains("was silent for 2 s")), "{:?}", running.told());
}

/// The twin of the test above: where nobody watches, nothing more comes.
#[tokio::test]
async fn a_journalctl_that_hangs_unwatched_says_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let script = r#"if [ -n "$follow" ]; then entry $cursor; exec sleep 1000; fi
n=$(cat $state); n=$((${n:-0}+1)); echo $n > $state; i=1; while [ $i -le $n ]; do entry $i; i=$((i+1)); done"#;
    let mut running = Running::with(fake(&dir, script), None, |follower| {
        follower.quiet = Duration::from_secs(3600);
    });
    running.until(1).await;
    sleep(Duration::from_secs(5)).await;
    assert_eq!(running.end().await.texts(), ["line 1"]);
}

#[tokio::test]
async fn a_journalctl_that_does_not_follow_is_asked_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let script = r#"there=$(cat $state); there=$((${there:-1}+1)); echo $there > $state; i=$cursor; [ $i = 0 ] && i=1
if [ -n "$follow" ]; then entry 77; exec sleep 1000; fi
while [ $i -le $there ] && [ $i -le 5 ]; do entry $i; i=$((i+1)); done"#;
    let mut running = Running::start(fake(&dir, script), None);
    running.until(5).await;
    let running = running.end().await;
    assert_eq!(running.texts(), ["line 1", "line 2", "line 3", "line 4", "line 5"]);
    assert_eq!(running.told().len(), 1);
    assert!(running.told()[0].contains("does not follow"), "{:?}", running.told());
}

#[tokio::test]
async fn an_entry_that_is_no_json_is_told_and_the_rest_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let script = r#"[ -n "$follow" ] && { entry $cursor; exec sleep 1000; }
[ $cursor = 2 ] && { entry 2; exit 0; }
entry 1; echo '{"__CURSOR":"s='; echo nonsense; entry 2"#;
    let mut running = Running::start(fake(&dir, script), None);
    running.until(4).await;
    let running = running.end().await;
    assert_eq!(running.gaps().len(), 2, "{:?}", running.texts());
    let ids: std::collections::BTreeSet<&str> = running.signals.iter().map(|s| s.id.as_str()).collect();
    assert_eq!(ids.len(), 4);
}

#[tokio::test]
async fn what_keeps_journalctl_from_reading_is_told_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    for (script, words) in [
        (
            "echo 'No journal files were opened due to insufficient permissions.' >&2; exit 1",
            "group systemd-journal",
        ),
        ("echo 'No journal files were found.' >&2; exit 0", "journal_directory"),
        (
            "echo 'Hint: You are currently not seeing messages from other users and the system.' >&2",
            "systemd-journal",
        ),
    ] {
        let running = Running::start(fake(&dir, script), None);
        let heard = async {
            while running.told().is_empty() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, heard).await.expect(words);
        assert!(running.told()[0].contains(words), "{:?}", running.told());
        let _ended = running.end().await;
    }
    let missing = Journal { program: "/nowhere/journalctl".into(), ..Journal::default() };
    assert!(missing.version().await.is_err());
}
