//! Versions as programs print them, compared the way semantic versioning does as far as it matters here.

use std::fmt;

/// Major, minor, patch, and whether it is a release: `2.12.7-beta.1` comes before `2.12.7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(u64, u64, u64, bool);

impl Version {
    pub(crate) const fn release(major: u64, minor: u64, patch: u64) -> Self {
        Self(major, minor, patch, true)
    }

    /// The first word of `text` that reads as a version, as in `nats-server: v2.15.1`
    pub(crate) fn in_text(text: &str) -> Option<Self> {
        text.split_whitespace().find_map(Self::parse)
    }

    fn parse(word: &str) -> Option<Self> {
        let word = word.strip_prefix('v').unwrap_or(word);
        let word = word.split('+').next()?;
        let (numbers, release) = match word.split_once('-') {
            Some((numbers, _)) => (numbers, false),
            None => (word, true),
        };
        let mut parts = numbers.split('.').map(str::parse::<u64>);
        let version = Self(
            parts.next()?.ok()?,
            parts.next()?.ok()?,
            parts.next().transpose().ok()?.unwrap_or(0),
            release,
        );
        parts.next().is_none().then_some(version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}{}", self.0, self.1, self.2, if self.3 { "" } else { " (pre-release)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Version = Version::release(2, 12, 7);

    #[test]
    fn the_version_is_found_in_what_programs_print() {
        for (text, version) in [
            ("nats-server: v2.15.1\n", Version::release(2, 15, 1)),
            ("nats-server: v2.9.10", Version::release(2, 9, 10)),
            ("Python 3.11.7", Version::release(3, 11, 7)),
            ("tool 1.2 (built today)", Version::release(1, 2, 0)),
        ] {
            assert_eq!(Version::in_text(text), Some(version), "{text}");
        }
    }

    #[test]
    fn what_is_no_version_is_not_taken_for_one() {
        for text in ["", "nats-server", "v", "1", "1.x", "1.2.3.4", "command not found: 404"] {
            assert_eq!(Version::in_text(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        assert!(Version::release(2, 9, 10) < LEAST, "9 is less than 12");
        assert!(Version::release(2, 12, 10) > LEAST);
        assert!(Version::release(3, 0, 0) > LEAST);
        assert!(LEAST >= Version::release(2, 12, 7));
    }

    #[test]
    fn a_pre_release_comes_before_its_release() {
        let before = Version::in_text("v2.12.7-preview.1").unwrap();
        assert!(before < LEAST && before > Version::release(2, 12, 6));
        assert_eq!(Version::in_text("v2.12.7+deb12"), Some(LEAST), "build data does not count");
    }
}
