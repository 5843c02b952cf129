//! A model of what happens to a log file, against the tailer on a real file system.

use std::{fs::OpenOptions, io::Write, path::PathBuf};

use proptest::prelude::*;

use super::*;

/// What was read.
#[derive(Debug, Default)]
struct Read {
    lines: Vec<String>,
    ids: Vec<(String, u64)>,
    lost: Vec<String>,
    positions: Positions,
}

struct World {
    dir: tempfile::TempDir,
    tailer: Tailer,
    now: Instant,
    read: Read,
    /// What the writer has open; it goes on writing there after a rename.
    writer: Option<File>,
    written: usize,
    rotated: usize,
}

const LOG: &str = "kubelet.log";

impl World {
    /// `pattern`: which files are followed.
    fn new(pattern: &str) -> World {
        let dir = tempfile::tempdir().unwrap();
        let pattern = dir.path().join(pattern).display().to_string();
        let tailer = Tailer::new(vec![pattern], &Positions::default(), None);
        let (now, read) = (Instant::now(), Read::default());
        World { dir, tailer, now, read, writer: None, written: 0, rotated: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&mut self, lines: usize, unfinished: bool) {
        let path = self.path(LOG);
        let open = || OpenOptions::new().create(true).append(true).open(&path).unwrap();
        let mut file = self.writer.take().unwrap_or_else(open);
        for _ in 0..lines {
            writeln!(file, "{:06} {}", self.written, "x".repeat(self.written % 50)).unwrap();
            self.written += 1;
        }
        if unfinished {
            write!(file, "{:06} un", self.written).unwrap();
            self.poll();
            writeln!(file, "finished").unwrap();
            self.written += 1;
        }
        self.writer = Some(file);
    }

    fn poll(&mut self) {
        self.now += Duration::from_millis(250);
        let read = &mut self.read;
        while self.tailer.poll(self.now, &mut |found| match found {
            Found::Line { file, at, line, .. } => {
                let text = String::from_utf8(line.bytes).unwrap();
                read.lines.push(text.split(' ').next().unwrap().to_owned());
                read.ids.push((file.name.to_string(), at));
            }
            Found::Lost { reason, .. } => read.lost.push(reason),
            Found::Mark(mark) => read.positions.apply(mark),
            Found::Trouble(_) | Found::Well(_) => {}
        }) {}
    }

    /// Polls until nothing changes any more.
    fn settle(&mut self) {
        for _ in 0..40 {
            self.poll();
        }
    }

    /// kwhy ends and starts again with what it had noted.
    fn restart(&mut self) {
        self.tailer = Tailer::new(self.tailer.patterns.clone(), &self.read.positions, None);
    }

    fn rename(&mut self) {
        self.rotated += 1;
        let _ = fs::rename(self.path(LOG), self.path(&format!("{LOG}.{}", self.rotated)));
    }

    fn reopen(&mut self) {
        self.writer = None;
    }

    fn truncate(&mut self, to: u64) {
        if let Ok(file) = OpenOptions::new().write(true).open(self.path(LOG)) {
            file.set_len(to).unwrap();
        }
    }

    fn numbers(&self, range: std::ops::Range<usize>) -> Vec<String> {
        range.map(|n| format!("{n:06}")).collect()
    }
}

#[test]
fn a_rename_loses_nothing_while_the_writer_goes_on_in_the_old_file() {
    let mut world = World::new(LOG);
    world.write(3, false);
    world.poll();
    world.write(2, false);
    world.rename();
    world.poll();
    world.write(2, false);
    world.poll();
    world.reopen();
    world.write(2, true);
    world.settle();
    assert_eq!(world.read.lines, world.numbers(0..10));
    assert_eq!(world.read.lost, Vec::<String>::new());
    assert_eq!(world.tailer.open.len(), 1, "the old file is let go");
    assert_eq!(world.read.positions.files.len(), 1);
}

#[test]
fn a_rotated_file_that_matches_too_is_not_read_twice() {
    let mut world = World::new("kubelet*");
    world.write(3, false);
    world.poll();
    world.rename();
    world.reopen();
    world.write(3, false);
    world.settle();
    assert_eq!(world.read.lines, world.numbers(0..6));
}

#[test]
fn a_rotation_while_kwhy_does_not_run_is_caught_up() {
    let mut world = World::new(LOG);
    world.write(3, false);
    world.poll();
    world.write(2, false);
    world.rename();
    world.reopen();
    world.write(3, false);
    world.restart();
    world.settle();
    let mut lines = world.read.lines.clone();
    lines.sort();
    assert_eq!(lines, world.numbers(0..8));
    assert_eq!(world.read.lost, Vec::<String>::new());
}

#[test]
fn a_truncation_is_told_and_what_comes_after_is_read() {
    let mut world = World::new(LOG);
    world.write(3, false);
    world.poll();
    world.truncate(0);
    world.write(2, false);
    world.settle();
    assert_eq!(world.read.lines, world.numbers(0..5));
    assert_eq!(world.read.lost.len(), 1);
    assert!(world.read.lost[0].contains("was truncated after byte "), "{:?}", world.read.lost);
}

#[test]
fn a_file_that_has_grown_past_the_old_place_after_a_truncation_is_noticed() {
    let mut world = World::new(LOG);
    world.write(3, false);
    world.poll();
    world.truncate(0);
    world.write(30, false);
    world.settle();
    assert_eq!((world.read.lines.len(), world.read.lost.len()), (33, 1), "{:?}", world.read.lost);
}

#[test]
fn a_truncation_while_kwhy_does_not_run_is_noticed() {
    for grown in [1, 30] {
        let mut world = World::new(LOG);
        world.write(3, false);
        world.poll();
        world.truncate(0);
        world.write(grown, false);
        world.restart();
        world.settle();
        assert_eq!(world.read.lines, world.numbers(0..3 + grown));
        assert_eq!(world.read.lost.len(), 1, "{:?}", world.read.lost);
    }
}

#[test]
fn a_file_that_is_gone_after_a_restart_is_told() {
    let mut world = World::new(LOG);
    world.write(3, false);
    world.poll();
    fs::remove_file(world.path(LOG)).unwrap();
    world.restart();
    world.settle();
    assert_eq!(world.read.lost.len(), 1, "{:?}", world.read.lost);
    assert!(world.read.positions.files.is_empty());
}

#[test]
fn the_last_line_of_a_file_that_is_gone_needs_no_end() {
    let mut world = World::new(LOG);
    fs::write(world.path(LOG), "000000 a\n000001 b").unwrap();
    world.poll();
    assert_eq!(world.read.lines, ["000000"]);
    world.rename();
    world.settle();
    assert_eq!(world.read.lines, ["000000", "000001"]);
}

#[test]
fn compressed_files_and_folders_are_not_followed() {
    let mut world = World::new("*");
    fs::write(world.path("a.gz"), "x\n").unwrap();
    fs::write(world.path("b.log"), [0x1f, 0x8b, 8, b'\n']).unwrap();
    fs::create_dir(world.path("c")).unwrap();
    world.settle();
    assert!(world.read.lines.is_empty());
}

#[derive(Debug, Clone)]
enum Op {
    Write(usize, bool),
    Rename,
    Reopen,
    Truncate,
    Shorten,
    CopyTruncate,
    Delete,
    Poll,
    Settle,
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (1..8usize, any::<bool>()).prop_map(|(lines, unfinished)| Op::Write(lines, unfinished)),
        2 => Just(Op::Rename),
        2 => Just(Op::Reopen),
        1 => Just(Op::Truncate),
        1 => Just(Op::Shorten),
        1 => Just(Op::CopyTruncate),
        1 => Just(Op::Delete),
        6 => Just(Op::Poll),
        1 => Just(Op::Settle),
        2 => Just(Op::Restart),
    ]
}

/// How the checker is put to the test: what a weaker tailer would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weakness {
    None,
    /// Believes the size alone.
    OnlySize,
    /// Forgets where it was when it starts again.
    Forgets,
}

/// Plays the operations and says what is wrong in the end.
fn play(pattern: &str, ops: &[Op], weakness: Weakness) -> Result<(), String> {
    let mut world = World::new(pattern);
    let mut truncations = 0;
    for op in ops {
        // Bytes of the file of that name that were read. A truncation of what nobody has looked at leaves no trace.
        let seen = |world: &World| {
            let meta = fs::metadata(world.path(LOG)).ok()?;
            let known = |tailed: &&Tailed| (tailed.device, tailed.inode) == (meta.dev(), meta.ino());
            let read =
                world.tailer.open.iter().find(known).map(|tailed| tailed.read - tailed.splitter.pending());
            let kept =
                world.tailer.kept.values().find(|at| (at.device, at.inode) == (meta.dev(), meta.ino()));
            Some((read.or(kept.map(|at| at.offset)).unwrap_or(0), meta.len()))
        };
        match op {
            Op::Write(lines, unfinished) => world.write(*lines, *unfinished),
            Op::Rename => world.rename(),
            Op::Reopen => world.reopen(),
            Op::Truncate | Op::CopyTruncate => {
                if matches!(op, Op::CopyTruncate) {
                    world.rotated += 1;
                    let _ = fs::copy(world.path(LOG), world.path(&format!("copy.{}", world.rotated)));
                }
                truncations += u32::from(seen(&world).is_some_and(|(read, _)| read > 0));
                world.truncate(0);
                // A second one before the first is noticed is the same loss.
                world.poll();
            }
            Op::Shorten => {
                if let Some((read, size)) = seen(&world).filter(|(_, size)| *size > 2 * TELLING) {
                    truncations += u32::from(read > size / 2);
                    // To the end of a line, so that the next one does not go on with half of it.
                    let text = fs::read(world.path(LOG)).unwrap();
                    let half = usize::try_from(size / 2).unwrap();
                    let end = text[..half].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
                    if (end as u64) < TELLING {
                        truncations -= u32::from(read > size / 2);
                        continue;
                    }
                    world.truncate(end as u64);
                    world.poll();
                }
            }
            Op::Delete => {
                let _ = fs::remove_file(world.path(LOG));
            }
            Op::Poll => world.poll(),
            Op::Settle => world.settle(),
            Op::Restart => {
                if weakness == Weakness::Forgets {
                    world.read.positions.files.clear();
                }
                world.restart();
            }
        }
        if weakness == Weakness::OnlySize {
            for tailed in &mut world.tailer.open {
                tailed.head.clear();
                tailed.tail.clear();
            }
        }
    }
    world.settle();
    let lines = &world.read.lines;
    let unique: BTreeSet<&String> = lines.iter().collect();
    if unique.len() != lines.len() {
        return Err(format!("a line was read twice: {lines:?}"));
    }
    let ids: BTreeSet<_> = world.read.ids.iter().collect();
    if ids.len() != lines.len() {
        return Err(format!("two lines have one id: {:?}", world.read.ids));
    }
    if lines.len() > world.written {
        return Err(format!("{} lines of {}", lines.len(), world.written));
    }
    if lines.iter().any(|line| line.parse::<usize>().is_ok_and(|n| n >= world.written) || line.len() != 6) {
        return Err(format!("a line that nobody wrote: {lines:?}"));
    }
    let told = world.read.lost.iter().filter(|reason| reason.contains("truncated")).count();
    if (told as u32) < truncations {
        return Err(format!("{truncations} truncations, told are {:?}", world.read.lost));
    }
    let harmless = |op: &Op| matches!(op, Op::Write(..) | Op::Poll | Op::Settle | Op::Restart | Op::Reopen);
    if ops.iter().all(harmless) && (lines.len() != world.written || !world.read.lost.is_empty()) {
        return Err(format!(
            "{} lines of {} although nothing happened: {:?}",
            lines.len(),
            world.written,
            world.read.lost
        ));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]
    #[test]
    fn no_line_is_read_twice_and_every_truncation_is_told(ops in prop::collection::vec(op(), 0..30)) {
        for pattern in [LOG, "kubelet*"] {
            if let Err(problem) = play(pattern, &ops, Weakness::None) {
                prop_assert!(false, "{}: {}", pattern, problem);
            }
        }
    }
}

/// The twins of the test above: the model finds a tailer out that lacks one of its protections.
#[test]
fn the_model_finds_out_a_tailer_that_believes_the_size_alone() {
    use Op::{Poll, Restart, Write};
    let ops = [Write(3, false), Poll, Restart, Poll];
    assert!(play(LOG, &ops, Weakness::None).is_ok());
    assert!(play(LOG, &ops, Weakness::Forgets).unwrap_err().contains("twice"));
}

#[test]
fn a_tailer_that_believes_the_size_alone_misses_a_truncation() {
    let mut world = World::new(LOG);
    world.write(3, false);
    world.poll();
    for tailed in &mut world.tailer.open {
        tailed.head.clear();
        tailed.tail.clear();
    }
    world.truncate(0);
    world.write(30, false);
    world.settle();
    assert!(world.read.lost.is_empty() && world.read.lines.len() < 33, "{:?}", world.read);
}
