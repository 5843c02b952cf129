//! `google.protobuf.Timestamp`, with the JSON form that protobuf calls canonical: UTC as `Z`, and no, three, six or nine
//! digits of fraction.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A point in time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct Timestamp {
    /// Seconds since the Unix epoch.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Nanoseconds within the second, 0 to 999,999,999.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = jiff::Timestamp::new(self.seconds, self.nanos).map_err(|_| fmt::Error)?;
        match self.nanos {
            0 => write!(f, "{at:.0}"),
            n if n % 1_000_000 == 0 => write!(f, "{at:.3}"),
            n if n % 1000 == 0 => write!(f, "{at:.6}"),
            _ => write!(f, "{at:.9}"),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::Error;
        // Protobuf can carry what no calendar holds.
        if jiff::Timestamp::new(self.seconds, self.nanos).is_err() {
            return Err(S::Error::custom(format!(
                "{} s is outside the years that JSON can say",
                self.seconds
            )));
        }
        serializer.collect_str(self)
    }
}

/// Not a time of RFC 3339.
#[derive(Debug)]
pub struct BadTime(jiff::Error);

impl fmt::Display for BadTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for BadTime {}

impl FromStr for Timestamp {
    type Err = BadTime;

    fn from_str(text: &str) -> Result<Self, BadTime> {
        let at = jiff::Timestamp::from_str(text).map_err(BadTime)?;
        Ok(Self { seconds: at.as_second(), nanos: at.subsec_nanosecond() })
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_has_no_three_six_or_nine_digits_and_utc_is_z() {
        for (nanos, text) in [
            (0, "2020-04-24T09:12:31Z"),
            (100_000_000, "2020-04-24T09:12:31.100Z"),
            (131_480_000, "2020-04-24T09:12:31.131480Z"),
            (131_480_854, "2020-04-24T09:12:31.131480854Z"),
        ] {
            let at = Timestamp { seconds: 1_587_719_551, nanos };
            assert_eq!(at.to_string(), text);
            assert_eq!(serde_json::from_str::<Timestamp>(&format!("\"{text}\"")).unwrap(), at);
        }
    }

    #[test]
    fn a_time_outside_the_calendar_is_an_error_and_no_panic() {
        let at = Timestamp { seconds: i64::MAX, nanos: 0 };
        assert!(serde_json::to_string(&at).is_err());
        assert!(serde_json::from_str::<Timestamp>("\"yesterday\"").is_err());
    }
}
