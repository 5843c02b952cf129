//! One finding revision a line, as canonical protobuf JSON of `kwhy.v1.Finding`.
//!
//! Stable: fields in the order of the schema, maps by key, so equal findings have equal bytes.

use std::{fmt::Write as _, io};

use kwhy_proto::v1::Finding;
use serde::Serialize;

use crate::sanitize::hidden;

/// A finding that cannot be written as JSON.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// A field has no JSON form, such as a timestamp outside the years 1 to 9999.
    #[error("finding {id} revision {revision} has no JSON form")]
    Encode {
        /// Which finding.
        id: String,
        /// Which revision of it.
        revision: u32,
        /// What the encoder says.
        #[source]
        source: serde_json::Error,
    },
    /// The output is closed or full.
    #[error("cannot write findings")]
    Write(#[source] io::Error),
}

/// `finding` on one line, without the line end.
///
/// # Errors
/// [`JsonError::Encode`] where a field has no JSON form.
pub fn line(finding: &Finding) -> Result<String, JsonError> {
    let plain = serde_json::to_string(finding).map_err(|source| JsonError::Encode {
        id: crate::sanitize::line(&finding.id),
        revision: finding.revision,
        source,
    })?;
    Ok(escape(&plain))
}

/// Writes `finding` and a line end.
///
/// # Errors
/// [`JsonError`] where it has no JSON form or `out` does not take it.
pub fn write(finding: &Finding, out: &mut impl io::Write) -> Result<(), JsonError> {
    let mut line = line(finding)?;
    line.push('\n');
    out.write_all(line.as_bytes()).map_err(JsonError::Write)
}

/// Writes a record that is no finding, such as a [rule](crate::rules::Rule), and a line end.
///
/// # Errors
/// Where `out` does not take it.
pub fn record(record: &impl Serialize, out: &mut impl io::Write) -> io::Result<()> {
    let mut line = escape(&serde_json::to_string(record)?);
    line.push('\n');
    out.write_all(line.as_bytes())
}

/// Spells invisible characters as `\uXXXX`: the same JSON, but U+2028 or U+0085 cannot end the line for a reader that
/// splits on them, and a terminal obeys none of it. They can stand only within strings, where the escape is allowed.
fn escape(json: &str) -> String {
    if !json.chars().any(hidden) {
        return json.to_owned();
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if hidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use kwhy_proto::{Timestamp, v1::Symptom};

    use super::*;

    #[test]
    fn a_finding_is_one_line_that_reads_back_as_itself() {
        let finding = Finding {
            id: "f".into(),
            title: "two\nlines \u{2028}\u{85}\u{9b}31m \u{202e} \u{e0041} \\ \"".into(),
            ..Finding::default()
        };
        let line = line(&finding).unwrap();
        assert!(!line.chars().any(hidden), "{line}");
        assert_eq!(serde_json::from_str::<Finding>(&line).unwrap(), finding);
    }

    #[test]
    fn equal_findings_have_equal_bytes_whatever_order_labels_came_in() {
        let labels = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), String::new())).collect();
        let with = |names: &[&str]| Finding {
            symptoms: vec![Symptom { labels: labels(names), ..Symptom::default() }],
            ..Finding::default()
        };
        assert_eq!(line(&with(&["a", "b", "c"])).unwrap(), line(&with(&["c", "a", "b"])).unwrap());
    }

    #[test]
    fn a_time_without_a_json_form_is_an_error_that_names_the_finding() {
        let at = Some(Timestamp { seconds: i64::MAX, nanos: 0 });
        let error =
            line(&Finding { id: "f7".into(), revision: 2, onset_at: at, ..Finding::default() }).unwrap_err();
        assert_eq!(error.to_string(), "finding f7 revision 2 has no JSON form");
    }

    #[test]
    fn a_closed_output_is_an_error() {
        let mut full: &mut [u8] = &mut [0; 4];
        assert!(matches!(write(&Finding::default(), &mut full), Err(JsonError::Write(_)) | Ok(())));
        assert!(matches!(
            write(&Finding { id: "f".into(), ..Finding::default() }, &mut full),
            Err(JsonError::Write(_))
        ));
    }
}
