//! A program in the background that is always ended, and one in the foreground that may not take for ever.

use std::{
    cell::RefCell,
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::command::{line, outcome, tail};

/// How often a program is asked whether it has ended
const POLL: Duration = Duration::from_millis(20);

/// How long a child may outlive its parent
const GRACE: Duration = Duration::from_secs(1);

pub(super) struct Process {
    child: RefCell<Child>,
    name: String,
    lines: Receiver<String>,
    log: RefCell<String>,
}

impl Process {
    /// Starts it with its standard error read line by line.
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        let name = line(command);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run `{name}`"))?;
        let stderr = child.stderr.take().context("standard error was not piped")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child: RefCell::new(child), name, lines, log: RefCell::default() })
    }

    /// The first line from here on that `wanted` takes
    pub(super) fn wait_for<T>(&self, patience: Duration, wanted: impl Fn(&str) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + patience;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.note(&line);
                    if let Some(found) = wanted(&line) {
                        return Ok(found);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    bail!("`{}` did not get ready within {} s", self.name, patience.as_secs())
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status = wait(&mut self.child.borrow_mut(), patience)?;
                    let how = status.map_or_else(|| "closed its standard error".to_owned(), outcome);
                    bail!("`{}` ended before it was ready ({how})", self.name)
                }
            }
        }
    }

    /// Asks it to end, waits, sees to it that its children are gone too, and returns what it said.
    pub(super) fn end(self, patience: Duration) -> Result<String> {
        let mut child = self.child.borrow_mut();
        let pid = child.id();
        let family = descendants(pid);
        if child.try_wait()?.is_none() {
            kill(pid, Signal::TERM);
        }
        let status = wait(&mut child, patience)?;
        let left = outliving(family);
        for line in self.lines.try_iter() {
            self.note(&line);
        }
        let log = self.log.borrow().clone();
        if status.is_none() {
            bail!("`{}` did not end within {} s of SIGTERM\n{}", self.name, patience.as_secs(), tail(&log));
        }
        if !left.is_empty() {
            left.iter().for_each(|pid| kill(*pid, Signal::KILL));
            bail!("`{}` left its own children running (now killed): {left:?}\n{}", self.name, tail(&log));
        }
        Ok(log)
    }

    fn note(&self, line: &str) {
        let mut log = self.log.borrow_mut();
        log.push_str(line);
        log.push('\n');
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let child = self.child.get_mut();
        if matches!(child.try_wait(), Ok(None)) {
            let family = descendants(child.id());
            let _ = child.kill();
            let _ = child.wait();
            family.into_iter().for_each(|pid| kill(pid, Signal::KILL));
        }
    }
}

/// Runs to the end with its output kept for the error; a program over time is killed.
pub(super) fn bounded(command: &mut Command, patience: Duration) -> Result<()> {
    let process = Process::start(command)?;
    let status = wait(&mut process.child.borrow_mut(), patience)?;
    let log: Vec<String> = process.lines.iter().take(if status.is_some() { usize::MAX } else { 0 }).collect();
    let log = log.join("\n");
    let Some(status) = status else { bail!("`{}` took more than {} s", process.name, patience.as_secs()) };
    ensure!(status.success(), "`{}` failed ({})\n{}", process.name, outcome(status), tail(&log));
    Ok(())
}

/// None if it still runs
fn wait(child: &mut Child, patience: Duration) -> Result<Option<ExitStatus>> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

fn kill(pid: u32, signal: Signal) {
    if let Some(pid) = process_id(pid) {
        // It may have ended by itself meanwhile, which is as good.
        let _ = kill_process(pid, signal);
    }
}

fn alive(pid: u32) -> bool {
    process_id(pid).is_some_and(|pid| test_kill_process(pid).is_ok()) && !is_zombie(pid)
}

fn process_id(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// Those that are still there after a moment's grace; a child that ends with its parent may be seen a little later.
fn outliving(mut family: Vec<u32>) -> Vec<u32> {
    let deadline = Instant::now() + GRACE;
    loop {
        family.retain(|pid| alive(*pid));
        if family.is_empty() || Instant::now() >= deadline {
            return family;
        }
        thread::sleep(POLL);
    }
}

/// Children and theirs, from /proc; where there is none, nobody is known.
fn descendants(root: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let parents: Vec<(u32, u32)> = entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            Some((pid, stat(pid)?.1))
        })
        .collect();
    let mut family = vec![root];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    family.split_off(1)
}

fn is_zombie(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state == "Z")
}

/// State and parent. The program's name, in parentheses, may hold anything, so what follows the last one is read.
fn stat(pid: u32) -> Option<(String, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    let mut words = rest.split_whitespace();
    Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::command;

    const SHORT: Duration = Duration::from_secs(20);

    fn shell(script: &str) -> Command {
        command("sh", ["-c", script])
    }

    #[test]
    fn a_line_is_waited_for_and_the_process_ended() {
        let process =
            Process::start(&mut shell("echo starting >&2; echo 'nats: x' >&2; exec sleep 600")).unwrap();
        let url = process.wait_for(SHORT, |line| line.strip_prefix("nats: ").map(str::to_owned)).unwrap();
        assert_eq!(url, "x");
        let pid = process.child.borrow().id();
        assert_eq!(process.end(SHORT).unwrap(), "starting\nnats: x\n");
        assert!(!alive(pid));
    }

    #[test]
    fn a_process_that_ends_early_is_an_error_with_its_status() {
        let process = Process::start(&mut shell("echo no >&2; exit 3")).unwrap();
        let error = process.wait_for::<()>(SHORT, |_| None).unwrap_err().to_string();
        assert!(error.contains("exit status 3"), "{error}");
    }

    #[test]
    fn a_child_that_is_left_behind_is_found_killed_and_told() {
        // The shell dies by the signal and leaves its child.
        let process = Process::start(&mut shell("sleep 600 & echo $! >&2; wait")).unwrap();
        let child: u32 = process.wait_for(SHORT, |line| line.parse().ok()).unwrap();
        let error = process.end(SHORT).unwrap_err().to_string();
        assert!(error.contains(&format!("left its own children running (now killed): [{child}]")), "{error}");
        assert!(wait_until_gone(child));
    }

    #[test]
    fn a_dropped_process_leaves_nothing() {
        let process = Process::start(&mut shell("sleep 600 & echo $! >&2; wait")).unwrap();
        let child: u32 = process.wait_for(SHORT, |line| line.parse().ok()).unwrap();
        drop(process);
        assert!(wait_until_gone(child));
    }

    #[test]
    fn a_program_over_time_is_killed() {
        let error = bounded(&mut shell("exec sleep 600"), Duration::from_millis(50)).unwrap_err().to_string();
        assert!(error.contains("took more than"), "{error}");
    }

    #[test]
    fn a_failed_program_tells_why() {
        let error = bounded(&mut shell("echo because >&2; exit 4"), SHORT).unwrap_err().to_string();
        assert!(error.contains("exit status 4") && error.contains("because"), "{error}");
    }

    /// A killed process is there until it is reaped, here by whoever adopts it.
    fn wait_until_gone(pid: u32) -> bool {
        let deadline = Instant::now() + SHORT;
        while alive(pid) && Instant::now() < deadline {
            thread::yield_now();
        }
        !alive(pid)
    }
}
