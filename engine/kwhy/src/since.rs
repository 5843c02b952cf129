//! A time as a person types it: `2024-03-19T10:00:00Z`, or how long ago, `2h`.

use std::str::FromStr;

use jiff::SignedDuration;
use kwhy_ingest::time;
use kwhy_proto::millis;

/// A point in time, or a distance back from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    /// Milliseconds since 1970.
    At(u64),
    /// Milliseconds.
    Ago(u64),
}

/// A text that is neither.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write a time as 2024-03-19T10:00:00Z, or how long ago as 2h or 90m")]
pub(crate) struct BadSince;

impl FromStr for Since {
    type Err = BadSince;

    fn from_str(text: &str) -> Result<Self, BadSince> {
        if let Some(at) = time::parse(text) {
            return Ok(Self::At(millis(&at)));
        }
        let ago: SignedDuration = text.parse().map_err(|_| BadSince)?;
        u64::try_from(ago.as_millis()).map(Self::Ago).map_err(|_| BadSince)
    }
}

impl Since {
    /// Milliseconds since 1970, when it is `now`.
    pub(crate) fn at(self, now: u64) -> u64 {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => now.saturating_sub(ago),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_and_a_distance_are_read() {
        assert_eq!("1970-01-01T00:00:02Z".parse(), Ok(Since::At(2000)));
        assert_eq!("2h".parse::<Since>().map(|since| since.at(7_200_500)), Ok(500));
        assert_eq!("1h 30m".parse(), Ok(Since::Ago(5_400_000)));
        for bad in ["yesterday", "-2h", "", "2"] {
            assert_eq!(bad.parse::<Since>(), Err(BadSince), "{bad}");
        }
    }
}
