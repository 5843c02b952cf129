//! Counts the memory of one instance and refuses growth past the limit.

use wasmtime::ResourceLimiter;

use crate::limits::Limits;

/// The limiter of one store. A store holds one instance and never gives memory back before it is dropped.
pub(crate) struct Meter {
    limit: usize,
    table_elements: usize,
    instances: usize,
    /// Bytes of all linear memories together.
    used: usize,
    /// Whether growth was refused since the last call of [`Meter::begin`].
    refused: bool,
}

impl Meter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            limit: limits.memory_bytes,
            table_elements: limits.table_elements,
            instances: limits.instances,
            used: 0,
            refused: false,
        }
    }

    /// A new call: what was refused before does not explain how this one ends.
    pub(crate) fn begin(&mut self) {
        self.refused = false;
    }

    pub(crate) fn refused(&self) -> bool {
        self.refused
    }

    /// Whether three quarters are used: memory never shrinks, so the next call may hit the limit for no fault of its own.
    pub(crate) fn nearly_full(&self) -> bool {
        self.used > self.limit / 4 * 3
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        most: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // Past what the module itself declares nothing is given, and that is not our limit.
        if most.is_some_and(|most| desired > most) {
            return Ok(false);
        }
        // Growth that the system then fails is not taken back: only counting too much is safe.
        let after = self.used.saturating_add(desired.saturating_sub(current));
        if after > self.limit {
            self.refused = true;
            return Ok(false);
        }
        self.used = after;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= self.table_elements)
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn tables(&self) -> usize {
        self.instances
    }

    fn memories(&self) -> usize {
        self.instances
    }
}
