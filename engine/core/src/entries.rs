//! Signals that were taken in and may have to be replayed, in their order.
//!
//! Most are never looked at again, and within the lateness window there are many. So only those of the last seconds are as they
//! were taken in; older ones are packed, some hundreds together, and unpacked for the moment in which they are replayed.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    sync::Arc,
};

use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};
use kwhy_proto::{
    Message as _,
    v1::{Signal, signal::Body},
};
use serde::{Deserialize, Serialize};

use crate::{
    engine::{Order, Place},
    input::{Input, Inputs},
};

/// Entries that are packed together: enough that what they have in common is there once.
const BLOCK: usize = 256;
/// How long a signal stays as it was taken in, ms of log time. Of those that come late most are late by a second or two.
const OPEN: u64 = 5_000;

/// A signal that was taken in.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) order: Order,
    pub(crate) weight: usize,
    pub(crate) place: Place,
    pub(crate) input: Arc<Input>,
}

/// An entry as it is packed. Its id is the signal's.
#[derive(Serialize, Deserialize)]
struct Packed {
    at: u64,
    rank: u8,
    weight: usize,
    place: Place,
    signal: Vec<u8>,
}

impl Packed {
    fn new(entry: &Entry) -> Self {
        let mut signal = entry.input.signal.clone();
        if let (Some(Body::Object(change)), Some(object)) = (&mut signal.body, &entry.input.object) {
            change.json = object.json.written().unwrap_or_default();
        }
        let Entry { order: (at, rank, _), weight, place, .. } = *entry;
        Self { at, rank, weight, place, signal: signal.encode_to_vec() }
    }

    fn unpack(&self, inputs: &mut Inputs) -> Option<Entry> {
        let signal = Signal::decode(self.signal.as_slice()).ok()?;
        let order = (self.at, self.rank, Arc::from(signal.id.as_str()));
        let input = Arc::new(inputs.read(signal));
        Some(Entry { order, weight: self.weight, place: self.place, input })
    }
}

/// Entries that lie next to each other, packed.
#[derive(Debug)]
pub(crate) struct Block {
    last: Order,
    count: usize,
    /// The first of their places in the log.
    place: Place,
    bytes: Vec<u8>,
}

impl Block {
    /// None where there are no entries.
    fn pack(entries: &[Entry]) -> Option<Self> {
        let last = entries.last()?.order.clone();
        let place = entries.iter().map(|entry| entry.place).min_by_key(|place| place.number)?;
        let packed: Vec<Packed> = entries.iter().map(Packed::new).collect();
        // Everything here has a form, and memory does not fail to take it.
        let plain = postcard::to_allocvec(&packed).unwrap_or_default();
        Some(Self { last, count: entries.len(), place, bytes: deflate(&plain).unwrap_or_default() })
    }

    /// The entries, as they were taken in.
    pub(crate) fn unpack(&self, inputs: &mut Inputs) -> Vec<Entry> {
        let mut plain = Vec::new();
        let read = ZlibDecoder::new(self.bytes.as_slice()).read_to_end(&mut plain);
        let packed: Vec<Packed> =
            read.ok().and_then(|_| postcard::from_bytes(&plain).ok()).unwrap_or_default();
        packed.iter().filter_map(|packed| packed.unpack(inputs)).collect()
    }
}

fn deflate(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut to = ZlibEncoder::new(Vec::new(), Compression::fast());
    to.write_all(plain)?;
    to.finish()
}

/// The entries in their order.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    packed: VecDeque<Arc<Block>>,
    open: VecDeque<Entry>,
}

impl Entries {
    /// The order of the last one.
    pub(crate) fn last(&self) -> Option<&Order> {
        self.open.back().map(|entry| &entry.order).or_else(|| self.packed.back().map(|block| &block.last))
    }

    /// Adds one that comes after all others.
    pub(crate) fn push(&mut self, entry: Entry) {
        self.open.push_back(entry);
    }

    /// How many come after a place in the order; of a block that it falls into all are counted.
    pub(crate) fn count_after(&self, order: &Order) -> usize {
        let block = self.packed.partition_point(|block| block.last < *order);
        let open = self.open.partition_point(|entry| entry.order < *order);
        self.packed.range(block..).map(|block| block.count).sum::<usize>() + self.open.len() - open
    }

    /// Puts some in their places, given in order. Those that fall into a block are put there together.
    pub(crate) fn insert(&mut self, late: Vec<Entry>, inputs: &mut Inputs) {
        let mut late = late.into_iter().peekable();
        while let Some(first) = late.peek() {
            let at = self.packed.partition_point(|block| block.last < first.order);
            let Some(block) = self.packed.get_mut(at) else { break };
            let mut entries = block.unpack(inputs);
            entries.extend(std::iter::from_fn(|| late.next_if(|entry| entry.order <= block.last)));
            entries.sort_by(|a, b| a.order.cmp(&b.order));
            let packed = entries.chunks(2 * BLOCK).filter_map(Block::pack).map(Arc::new);
            let behind = self.packed.split_off(at + 1);
            self.packed.pop_back();
            self.packed.extend(packed.chain(behind));
        }
        for entry in late {
            let position = self.open.partition_point(|known| known.order < entry.order);
            self.open.insert(position, entry);
        }
    }

    /// What comes after `base`: blocks, of which the first may hold some that do not, and then entries.
    pub(crate) fn after(&self, base: &Order) -> (Vec<Arc<Block>>, Vec<Entry>) {
        let block = self.packed.partition_point(|block| block.last <= *base);
        let open = self.open.partition_point(|entry| entry.order <= *base);
        (self.packed.range(block..).cloned().collect(), self.open.range(open..).cloned().collect())
    }

    /// Packs what is old enough at log time `now`, ms.
    pub(crate) fn pack(&mut self, now: u64) {
        let old = now.saturating_sub(OPEN);
        while self.open.get(BLOCK - 1).is_some_and(|entry| entry.order.0 < old) {
            let entries: Vec<Entry> = self.open.drain(..BLOCK).collect();
            self.packed.extend(Block::pack(&entries).map(Arc::new));
        }
    }

    /// Forgets what does not come after `base`, but for a part of a block.
    pub(crate) fn forget(&mut self, base: &Order) {
        while self.packed.front().is_some_and(|block| block.last <= *base) {
            self.packed.pop_front();
        }
        while self.packed.is_empty() && self.open.front().is_some_and(|entry| entry.order <= *base) {
            self.open.pop_front();
        }
    }

    /// The first of their places in the log.
    pub(crate) fn first_place(&self) -> Option<Place> {
        let packed = self.packed.iter().map(|block| block.place);
        packed.chain(self.open.iter().map(|entry| entry.place)).min_by_key(|place| place.number)
    }
}

#[cfg(test)]
mod tests {
    use kwhy_proto::{
        timestamp,
        v1::{ObjectChange, ObjectRef},
    };

    use super::*;

    fn entry(at: u64, inputs: &mut Inputs) -> Entry {
        let json = format!(r#"{{"kind":"Pod","metadata":{{"uid":"{at}"}},"spec":{{"n":{at}}}}}"#);
        let signal = Signal {
            id: format!("object/{at}"),
            source: "object".into(),
            at: Some(timestamp(at)),
            subject: Some(ObjectRef { kind: "Pod".into(), name: "p".into(), ..ObjectRef::default() }),
            body: Some(Body::Object(ObjectChange { json, resource_version: at.to_string() })),
            ..Signal::default()
        };
        let order = (at, 1, Arc::from(signal.id.as_str()));
        let place = Place { number: at, frontier: at };
        Entry { order, weight: 16, place, input: Arc::new(inputs.read(signal)) }
    }

    fn all(entries: &Entries, base: u64) -> Vec<(u64, u64, String)> {
        let mut inputs = Inputs::default();
        let base = (base, 1, Arc::from("object/~"));
        let (blocks, open) = entries.after(&base);
        let packed: Vec<Entry> = blocks.iter().flat_map(|block| block.unpack(&mut inputs)).collect();
        let told = |entry: &Entry| {
            let object = entry.input.object.as_ref().unwrap();
            (entry.order.0, entry.place.number, object.json.to_string())
        };
        packed.iter().chain(&open).filter(|entry| entry.order > base).map(told).collect()
    }

    #[test]
    fn what_is_packed_is_replayed_as_it_was_taken_in() {
        let mut inputs = Inputs::default();
        let mut open = Entries::default();
        let mut packed = Entries::default();
        for n in 0..1000 {
            open.push(entry(n * 100, &mut inputs));
            packed.push(entry(n * 100, &mut inputs));
            packed.pack(n * 100);
        }
        assert!(packed.packed.len() == 3 && packed.open.len() == 1000 - 3 * BLOCK);
        let size: usize = packed.packed.iter().map(|block| block.bytes.len()).sum();
        assert!(size < 3 * BLOCK * 60, "{size}");
        assert_eq!(all(&packed, 0), all(&open, 0));
        assert_eq!(all(&packed, 90_000), all(&open, 90_000));
        assert_eq!((packed.last(), packed.first_place()), (open.last(), open.first_place()));
        // What is told again when nobody knows any more that it was told falls on the very end of a block.
        let end = (BLOCK as u64 - 1) * 100;
        let mut again = Entries { packed: packed.packed.clone(), open: VecDeque::new() };
        again.insert(vec![entry(end, &mut inputs)], &mut inputs);
        assert_eq!(all(&again, 0).iter().filter(|(at, ..)| *at == end).count(), 2);
        // Some that are late, among those that are packed and among the others.
        let late: Vec<u64> = (0..1500).map(|n| 10_050 + n).chain([70_050, 95_050]).collect();
        let after = [&open, &packed].map(|entries| entries.count_after(&(95_050, 1, Arc::from(""))));
        assert_eq!(after, [49, 49]);
        assert!((800..800 + BLOCK).contains(&packed.count_after(&(20_050, 1, Arc::from("")))));
        for entries in [&mut open, &mut packed] {
            let late = late.iter().map(|at| entry(*at, &mut inputs)).collect();
            entries.insert(late, &mut Inputs::default());
        }
        assert_eq!(all(&packed, 0).len(), 999 + late.len());
        assert!(all(&packed, 0).is_sorted_by_key(|(at, ..)| *at));
        assert!(packed.packed.iter().all(|block| block.count <= 2 * BLOCK));
        assert_eq!(all(&packed, 0), all(&open, 0));
        packed.forget(&(60_000, 1, Arc::from("object/60000")));
        assert_eq!(packed.packed.len(), 1);
        packed.forget(&(90_000, 1, Arc::from("object/90000")));
        assert_eq!(all(&packed, 0).first().map(|(at, ..)| *at), Some(90_100));
        assert_eq!(packed.first_place().map(|place| place.number), Some(90_100));
    }
}
