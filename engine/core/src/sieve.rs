//! Says quickly of most texts that none of a set of literals occurs in them.
//!
//! Nearly every log line is one that no rule wants, and an automaton takes a step for each of its bytes. The sieve looks
//! at a few places only: where a literal of `length` bytes stands, one of any `step` neighbouring windows of it lies on
//! a multiple of `step`, as long as all of them fit into it. So the hashes of so many windows of each literal are kept,
//! the last ones, since what distinguishes a message comes late in it.

/// Sizes of a window, with the fewest bytes that the shortest literal must have for it.
const WINDOWS: [(usize, usize); 2] = [(8, 15), (4, 6)];
/// Furthest that two places lie apart; more would gain nothing.
const MOST_APART: usize = 16;
/// Bits of the table for each window in it, about.
const BITS: usize = 16;

/// The windows of some literals.
#[derive(Debug)]
pub(crate) struct Sieve {
    window: usize,
    step: usize,
    /// A set of hashes, a bit each; their number is a power of two.
    table: Vec<u64>,
}

impl Sieve {
    /// None where a literal is so short that an automaton is as quick.
    pub(crate) fn new<'l>(literals: impl Iterator<Item = &'l str> + Clone) -> Option<Self> {
        let shortest = literals.clone().map(str::len).min()?;
        let (window, _) = WINDOWS.into_iter().find(|(_, fewest)| shortest >= *fewest)?;
        let step = (shortest + 1 - window).min(MOST_APART);
        let of = |literal: &'l str| literal.as_bytes().windows(window).rev().take(step);
        let kept = literals.clone().count() * step;
        let mut sieve =
            Self { window, step, table: vec![0; (kept * BITS).next_power_of_two().max(4096) / 64] };
        for window in literals.flat_map(of) {
            let (word, bit) = sieve.place(window);
            if let Some(word) = sieve.table.get_mut(word) {
                *word |= bit;
            }
        }
        Some(sieve)
    }

    /// Whether a literal may occur in the text. False is certain.
    pub(crate) fn may_hold(&self, text: &str) -> bool {
        text.as_bytes().windows(self.window).step_by(self.step).any(|window| {
            let (word, bit) = self.place(window);
            self.table.get(word).is_some_and(|word| word & bit != 0)
        })
    }

    /// Where the bit of a window stands.
    fn place(&self, window: &[u8]) -> (usize, u64) {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let value = match (window.first_chunk::<8>(), window.first_chunk::<4>()) {
            (Some(eight), _) => u64::from_le_bytes(*eight),
            (None, Some(four)) => u64::from(u32::from_le_bytes(*four)),
            (None, None) => 0,
        };
        let hash = value.wrapping_mul(ODD);
        // The upper bits depend on all bytes.
        let word = usize::try_from(hash >> 32).unwrap_or_default() & (self.table.len() - 1);
        (word, 1 << (hash >> 26 & 63))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sieve(literals: &[&str]) -> Option<Sieve> {
        Sieve::new(literals.iter().copied())
    }

    #[test]
    fn most_lines_are_let_through_by_no_window() {
        let sieve =
            sieve(&["\"MountVolume.SetUp failed for secret: timed out\"", "context deadline exceeded"]);
        let sieve = sieve.unwrap();
        assert_eq!((sieve.window, sieve.step), (8, 16));
        assert!(
            !sieve.may_hold(
                "\"MountVolume.SetUp succeeded for volume \\\"kube-api-access-x8\\\"\" pod=\"a/b\""
            )
        );
        assert!(!sieve.may_hold("") && !sieve.may_hold("short"));
        assert!(sieve.may_hold("E: context deadline exceeded"));
    }

    #[test]
    fn short_literals_have_smaller_windows_or_no_sieve() {
        assert_eq!(sieve(&["imeout", "context deadline exceeded"]).map(|s| (s.window, s.step)), Some((4, 3)));
        assert!(sieve(&["oops", "context deadline exceeded"]).is_none());
        assert!(sieve(&[]).is_none());
    }

    proptest! {
        #[test]
        fn no_text_that_holds_a_literal_is_let_go(
            literals in prop::collection::vec("[a-cä ]{6,40}", 1..20),
            which: prop::sample::Index,
            before in "[a-dä]{0,40}",
            after in "[a-dä]{0,40}",
        ) {
            let sieve = Sieve::new(literals.iter().map(String::as_str)).unwrap();
            let text = format!("{before}{}{after}", which.get(&literals));
            prop_assert!(sieve.may_hold(&text));
        }
    }
}
