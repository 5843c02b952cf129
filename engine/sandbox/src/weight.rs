//! How large a value of the contract is: the bytes of its texts and 8 for each value, so that a list of empty records
//! is not free.

use crate::bindings::{graph::Neighbour, types, wit_state::StateError};

/// Bytes that a value counts for.
pub(crate) trait Weight {
    fn weight(&self) -> usize;
}

impl Weight for String {
    fn weight(&self) -> usize {
        8 + self.len()
    }
}

impl Weight for Vec<u8> {
    fn weight(&self) -> usize {
        8 + self.len()
    }
}

macro_rules! fixed {
    ($($small:ty),*) => { $(impl Weight for $small { fn weight(&self) -> usize { 8 } })* };
}

fixed!((), bool, i8, u8, u64, Result<(), StateError>);

impl<T: Weight> Weight for Option<T> {
    fn weight(&self) -> usize {
        self.as_ref().map_or(8, T::weight)
    }
}

macro_rules! lists {
    ($($item:ty),*) => { $(impl Weight for Vec<$item> {
        fn weight(&self) -> usize { 8 + self.iter().map(Weight::weight).sum::<usize>() }
    })* };
}

macro_rules! records {
    ($($record:ident { $($field:ident),* })*) => {
        use types::{$($record),*};
        $(impl Weight for $record { fn weight(&self) -> usize { 0 $(+ self.$field.weight())* } })*
        lists!($($record),*);
    };
}

records! {
    Field { name, value }
    ObjectRef { kind, namespace, name, uid }
    Signal { id, source, name, state, at, subject, message, fields }
    Evidence { signal, object, excerpt, weight, note }
    Remedy { text, command, caution }
    Explains { source, name, anchor, reach }
    Step { object, relation, note, signal }
    Diagnosis {
        code, root, severity, confidence, title, explanation, evidence, explains, path, supersedes, remedies
    }
    Rejection { code, root, because, evidence }
    Clearing { code, root, because }
    Wake { id, subject, at }
    Verdict { diagnoses, rejections, cleared, wakes }
}

lists!(String, Neighbour);

impl Weight for Neighbour {
    fn weight(&self) -> usize {
        self.relation.weight() + self.object.weight()
    }
}
