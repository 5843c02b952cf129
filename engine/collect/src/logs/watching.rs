//! Files as a source: a thread of its own looks at them a few times a second.

use std::{
    collections::BTreeMap,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use kwhy_ingest::{multiline::Joiner, text, written::Reader};
use kwhy_proto::{millis, timestamp};
use tokio::sync::{mpsc, watch};

use super::{
    Chunk,
    assemble::{Assembler, Head, Place},
    lines::Line,
    positions::Mark,
    tail::{self, Found, Tailer},
    trouble::{Told, Trouble},
};
use crate::clock::Clock;

/// A message whose further lines may come is waited for so long.
const REST: Duration = Duration::from_secs(5);
/// What was read goes out after this, however little it is.
const FLUSH: Duration = Duration::from_secs(1);

/// Files on their way to signals.
pub(crate) struct Files<C> {
    pub(crate) assembler: Assembler,
    pub(crate) utc_offset: i64,
    pub(crate) told: Arc<Told>,
    pub(crate) chunks: mpsc::Sender<Chunk>,
    pub(crate) clock: C,
    readers: BTreeMap<u64, FileReader>,
    marks: Vec<Mark>,
    /// When the first thing came that has not gone out.
    since: Option<Instant>,
    /// Nobody takes anything any more.
    closed: bool,
}

struct FileReader {
    format: Reader,
    joiner: Joiner<Head>,
    /// Since when a message waits for its other lines, and where the file could be gone on with if it did not.
    open: Option<(Instant, Option<Mark>)>,
    last: Option<u64>,
}

impl Default for FileReader {
    fn default() -> Self {
        Self { format: Reader::default(), joiner: Joiner::new(), open: None, last: None }
    }
}

impl<C: Clock> Files<C> {
    pub(crate) fn new(
        assembler: Assembler,
        utc_offset: i64,
        told: Arc<Told>,
        chunks: mpsc::Sender<Chunk>,
        clock: C,
    ) -> Files<C> {
        let (readers, marks) = (BTreeMap::new(), Vec::new());
        Files { assembler, utc_offset, told, chunks, clock, readers, marks, since: None, closed: false }
    }

    /// Reads until told to stop or nobody takes anything any more. Blocks its thread.
    pub(crate) fn run(mut self, mut tailer: Tailer, every: Duration, stopped: &watch::Receiver<bool>) {
        loop {
            let stop = *stopped.borrow();
            let now = Instant::now();
            let more = tailer.poll(now, &mut |found| self.found(found, now));
            self.close_overdue(now);
            if stop || self.since.is_some_and(|since| now.duration_since(since) >= FLUSH) {
                self.flush();
            }
            if stop || self.closed || self.chunks.is_closed() {
                return;
            }
            if !more {
                thread::sleep(every);
            }
        }
    }

    fn found(&mut self, found: Found<'_>, now: Instant) {
        match found {
            Found::Line { file, at, line, begin } => self.line(file, at, &line, begin, now),
            Found::Lost { file, id, reason } => {
                let to = (self.clock)();
                let from = file.and_then(|number| self.readers.get(&number)?.last).unwrap_or(to);
                self.assembler.gap(&id, timestamp(from.min(to)), timestamp(to), reason.clone());
                self.told.tell(&Trouble::Lost { reason });
                self.since.get_or_insert(now);
            }
            Found::Mark(mark) => self.mark(mark, now),
            Found::Trouble(trouble) => self.told.tell(&trouble),
            Found::Well(trouble) => self.told.well(&trouble),
        }
    }

    fn line(&mut self, file: &tail::Place, at: u64, line: &Line, begin: Option<u64>, now: Instant) {
        let reader = self.readers.entry(file.number).or_default();
        let whole = text::utf8(&line.bytes);
        let Some(written) = reader.format.read(&whole, self.utc_offset, (self.clock)()) else { return };
        let written_at = millis(&written.at);
        reader.last = Some(written_at);
        if begin.is_some_and(|begin| written_at < begin) {
            return;
        }
        let place = Place::File { name: file.name.clone(), path: file.path.clone(), at };
        let head = Head { at: written.at, priority: written.priority, place };
        self.assembler.feed(&mut reader.joiner, head, &written.text);
        match (reader.joiner.is_open(), &reader.open) {
            (true, None) => reader.open = Some((now, None)),
            (false, Some(_)) => reader.open = None,
            _ => {}
        }
        self.since.get_or_insert(now);
        if self.assembler.is_full() {
            self.flush();
        }
    }

    fn mark(&mut self, mark: Mark, now: Instant) {
        match &mark {
            Mark::File(number, _) => {
                // To go on from here would be to begin in the middle of a message.
                if let Some((_, held)) = self.readers.get_mut(number).and_then(|reader| reader.open.as_mut())
                {
                    *held = Some(mark);
                    return;
                }
                let same = |last: &mut Mark| matches!(last, Mark::File(other, _) if other == number);
                self.marks.pop_if(same);
            }
            Mark::Done(number) => {
                if let Some(mut reader) = self.readers.remove(number) {
                    self.assembler.close(&mut reader.joiner);
                }
            }
            Mark::Journal(_) => {}
        }
        self.marks.push(mark);
        self.since.get_or_insert(now);
    }

    fn close_overdue(&mut self, now: Instant) {
        let mut held = Vec::new();
        for reader in self.readers.values_mut() {
            if let Some((_, mark)) = reader.open.take_if(|(since, _)| now.duration_since(*since) >= REST) {
                self.assembler.close(&mut reader.joiner);
                held.extend(mark);
            }
        }
        held.into_iter().for_each(|mark| self.mark(mark, now));
    }

    fn flush(&mut self) {
        self.since = None;
        let (signals, excess) = self.assembler.take();
        if let Some(excess) = excess {
            self.told.dropped(excess);
        }
        let chunk = Chunk { signals, marks: std::mem::take(&mut self.marks) };
        if (!chunk.signals.is_empty() || !chunk.marks.is_empty()) && self.chunks.blocking_send(chunk).is_err()
        {
            self.closed = true;
        }
    }
}
