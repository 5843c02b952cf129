//! A child and what it prints: lines of its output, and its words on the error output.

use std::{collections::VecDeque, io};

use kwhy_ingest::text;
use tokio::{
    io::AsyncReadExt,
    process::{Child, ChildStdout},
    task::JoinHandle,
    time::Instant,
};

use crate::logs::lines::{Line, Splitter};

/// Longest entry that is read. Bytes that are no text take four characters each.
const LONGEST: usize = 8 << 20;
/// What is kept of the error output.
const WORDS: usize = 2048;

/// The lines that a child prints.
pub(super) struct Output {
    stdout: ChildStdout,
    splitter: Splitter,
    lines: VecDeque<Line>,
    block: Vec<u8>,
    /// When it printed something.
    pub(super) heard: Instant,
    /// When somebody began to wait for it.
    pub(super) asked: Instant,
}

impl Output {
    pub(super) fn new(stdout: ChildStdout) -> Output {
        let now = Instant::now();
        let (splitter, lines) = (Splitter::new(LONGEST), VecDeque::new());
        Output { stdout, splitter, lines, block: vec![0; 64 * 1024], heard: now, asked: now }
    }

    /// A whole line that is here already.
    pub(super) fn whole(&mut self) -> Option<Line> {
        self.lines.pop_front()
    }

    /// Waits for more; false at the end. Half a line there is none: it is read again from the cursor. May be dropped.
    pub(super) async fn fill(&mut self) -> io::Result<bool> {
        let read = self.stdout.read(&mut self.block).await?;
        self.heard = Instant::now();
        let lines = &mut self.lines;
        self.splitter.feed(self.block.get(..read).unwrap_or_default(), |line| lines.push_back(line));
        Ok(read > 0)
    }
}

/// What a child says on its error output, on one line.
pub(super) fn words(child: &mut Child) -> JoinHandle<String> {
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
