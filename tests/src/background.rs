//! A program in the background: what it says, the wait for a line of it, its end.

use std::{
    cell::RefCell,
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::Instant,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Ended, PATIENCE};

/// A running program. Dropped, it is killed.
#[derive(Debug)]
pub struct Background {
    child: Child,
    name: String,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    said: RefCell<String>,
}

impl Background {
    /// Starts it. What it says is read as it comes, so that it never waits for a reader.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn start(mut command: Command) -> Self {
        let name = format!("{command:?}");
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.unwrap_or_else(|e| panic!("cannot run {name}: {e}"));
        let stdout = whole(child.stdout.take().expect("it is piped"));
        let stderr = lines(child.stderr.take().expect("it is piped"));
        Self { child, name, stdout, stderr, said: RefCell::default() }
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The first line on its standard error from here on that `wanted` takes.
    ///
    /// # Panics
    /// Where it ends or falls silent before.
    pub fn wait_for<T>(&self, what: &str, wanted: impl Fn(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.stderr.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let found = wanted(&line);
                    self.note(&line);
                    if let Some(found) = found {
                        return found;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!("{}: no {what} within {PATIENCE:?}; it said\n{}", self.name, self.said.borrow())
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("{} ended before {what}; it said\n{}", self.name, self.said.borrow())
                }
            }
        }
    }

    /// What it has said on its standard error so far.
    #[must_use]
    pub fn said(&self) -> String {
        while let Ok(line) = self.stderr.try_recv() {
            self.note(&line);
        }
        self.said.borrow().clone()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// Never while it is held.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        // It may have ended by itself; then what it left behind says so.
        let _ = kill_process(pid, signal);
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    #[must_use]
    pub fn terminate(self) -> Ended {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Ends it without a chance to say anything (SIGKILL).
    pub fn kill(mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a killed child ends");
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// Where it does not end; it is killed then.
    #[must_use]
    pub fn wait(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        let overdue = |receiver: RecvTimeoutError| receiver == RecvTimeoutError::Timeout;
        // Both streams are closed by the end of the program, and not by much else.
        let mut late = false;
        loop {
            match self.stderr.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.note(&line),
                Err(why) => {
                    late |= overdue(why);
                    break;
                }
            }
        }
        let stdout = self.stdout.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        assert!(
            !late && stdout.is_ok(),
            "{} did not end within {PATIENCE:?}; it said\n{}",
            self.name,
            self.said.borrow()
        );
        let status = self.child.wait().expect("a child that was not waited for");
        Ended { code: status.code(), stdout: stdout.unwrap_or_default(), stderr: self.said.take() }
    }

    fn note(&self, line: &str) {
        let mut said = self.said.borrow_mut();
        said.push_str(line);
        said.push('\n');
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
            let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
            line.clear();
            if sender.send(text).is_err() {
                break;
            }
        }
    });
    lines
}

fn whole(mut stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, text) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error still says more than nothing.
        let _ = stream.read_to_end(&mut bytes);
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    text
}
