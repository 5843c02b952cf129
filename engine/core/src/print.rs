//! Prints: what stands for a text where the text itself need not be kept. The same on every machine; what is told does not
//! depend on their values, and whoever looks something up by one tells two that share it apart, or bears it.

use std::hash::{DefaultHasher, Hash, Hasher};

pub(crate) fn print(of: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}
