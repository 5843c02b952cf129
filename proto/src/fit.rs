//! A finding that is too large for a message is made smaller, and says so.
//!
//! Where thousands of alerts have one cause, all of them are symptoms of one finding, and a message of NATS has a most. A
//! revision that cannot be stored would keep everything behind it from being stored, so something of it is left out: what
//! explains least. The same finding always becomes the same, so every engine that reads the log stores the same bytes.

use prost::{Message, length_delimiter_len};

use crate::v1::{Change, Evidence, Finding, ObjectRef, Omission};

/// Bytes of the largest finding that is stored, but for its number and times. Part of the format: an engine with another
/// one would say other things.
pub const LARGEST_FINDING: usize = 512 << 10;

/// Longest text of a finding that is too large, bytes.
const TEXT: usize = 4 << 10;
/// Stands at the end of a text that was cut.
const MARK: char = '…';
/// Room for saying what was left out, bytes.
const MARKS: usize = 512;

/// What was left out of a list, or of texts.
#[derive(Debug, Clone, Copy, Default)]
struct Cut {
    count: u32,
    bytes: u32,
}

/// Takes from the end of one list, but not the first so many, until so many bytes are gone.
type Shorten = fn(&mut Finding, usize, usize) -> Cut;

/// The lists, what explains least first; with how many of each stay as long as another list has more than that.
const LISTS: [(&str, usize, Shorten); 7] = [
    ("rejected", 3, |f, keep, excess| shorten(&mut f.rejected, keep, excess)),
    ("changes", 3, |f, keep, excess| shorten(&mut f.changes, keep, excess)),
    // Parents stand before children, so what is left is a tree.
    ("path", 50, |f, keep, excess| shorten(&mut f.path, keep, excess)),
    ("symptoms", 50, |f, keep, excess| shorten(&mut f.symptoms, keep, excess)),
    ("superseded", 10, |f, keep, excess| shorten(&mut f.superseded, keep, excess)),
    ("evidence", 10, |f, keep, excess| shorten(&mut f.evidence, keep, excess)),
    ("remedy", 3, |f, keep, excess| shorten(&mut f.remedy, keep, excess)),
];

/// Leaves out of a finding of more than `most` bytes as much as is too much, and notes in it what. First texts above 4 KiB
/// are cut; what is pasted or followed (commands, addresses) goes as a whole. Then the ends of its lists go.
///
/// What tells it from others is left as it is, so one can still be larger whose id, code or rule are.
pub fn fit(finding: &mut Finding, most: usize) {
    if finding.encoded_len() <= most {
        return;
    }
    let most = most.saturating_sub(MARKS);
    // They have room of their own.
    let mut omitted = std::mem::take(&mut finding.omitted);
    note(&mut omitted, "texts", cut_texts(finding));
    let none = |_: usize| 0;
    let some = |keep: usize| keep;
    for keep in [some, none] {
        for (what, usual, shorten) in LISTS {
            let excess = finding.encoded_len().saturating_sub(most);
            note(&mut omitted, what, shorten(finding, keep(usual), excess));
        }
    }
    finding.omitted = omitted;
}

fn note(omitted: &mut Vec<Omission>, what: &str, cut: Cut) {
    if cut.count == 0 {
        return;
    }
    match omitted.iter_mut().find(|known| known.what == what) {
        Some(known) => {
            known.count = known.count.saturating_add(cut.count);
            known.bytes = known.bytes.saturating_add(cut.bytes);
        }
        None => omitted.push(Omission { what: what.to_owned(), count: cut.count, bytes: cut.bytes }),
    }
}

fn shorten<M: Message>(list: &mut Vec<M>, keep: usize, mut excess: usize) -> Cut {
    let mut cut = Cut::default();
    while excess > 0
        && list.len() > keep
        && let Some(last) = list.pop()
    {
        let length = last.encoded_len();
        // The shortest field number is a byte; of a longer one a byte too many goes.
        excess = excess.saturating_sub(1 + length_delimiter_len(length) + length);
        cut.add(length);
    }
    cut
}

impl Cut {
    fn add(&mut self, bytes: usize) {
        self.count = self.count.saturating_add(1);
        self.bytes = self.bytes.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    fn text(&mut self, text: &mut String) {
        if text.len() > TEXT {
            let whole = text.len();
            text.truncate(text.floor_char_boundary(TEXT - MARK.len_utf8()));
            self.add(whole - text.len());
            text.push(MARK);
        }
    }

    /// Half of it would do harm.
    fn whole(&mut self, text: &mut String) {
        if text.len() > TEXT {
            self.add(text.len());
            text.clear();
        }
    }

    fn object(&mut self, object: &mut ObjectRef) {
        let ObjectRef { kind, namespace, name, uid } = object;
        [kind, namespace, name, uid].into_iter().for_each(|text| self.text(text));
    }

    fn evidence(&mut self, evidence: &mut Evidence) {
        [&mut evidence.excerpt, &mut evidence.note, &mut evidence.origin]
            .into_iter()
            .for_each(|text| self.text(text));
    }

    fn change(&mut self, change: &mut Change) {
        [&mut change.summary, &mut change.diff].into_iter().for_each(|text| self.text(text));
    }
}

fn cut_texts(finding: &mut Finding) -> Cut {
    let mut cut = Cut::default();
    [&mut finding.title, &mut finding.explanation, &mut finding.resolution]
        .into_iter()
        .for_each(|text| cut.text(text));
    finding.root.iter_mut().for_each(|root| cut.object(root));
    for symptom in &mut finding.symptoms {
        cut.text(&mut symptom.message);
        symptom.labels.values_mut().for_each(|value| cut.text(value));
        [&mut symptom.runbook_url, &mut symptom.generator_url]
            .into_iter()
            .for_each(|address| cut.whole(address));
    }
    finding.evidence.iter_mut().for_each(|evidence| cut.evidence(evidence));
    finding.path.iter_mut().for_each(|step| cut.text(&mut step.note));
    for remedy in &mut finding.remedy {
        [&mut remedy.text, &mut remedy.caution].into_iter().for_each(|text| cut.text(text));
        cut.whole(&mut remedy.command);
    }
    for rejection in &mut finding.rejected {
        cut.text(&mut rejection.because);
        rejection.evidence.iter_mut().for_each(|evidence| cut.evidence(evidence));
    }
    finding.changes.iter_mut().chain(&mut finding.confirmed_fix).for_each(|change| cut.change(change));
    cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{PathStep, Rejection, Remedy, Symptom};

    const MOST: usize = 64 << 10;

    fn symptom(n: usize, bytes: usize) -> Symptom {
        Symptom { name: format!("Alert{n}"), message: "x".repeat(bytes), ..Symptom::default() }
    }

    fn evidence(bytes: usize) -> Evidence {
        Evidence { excerpt: "é".repeat(bytes / 2), ..Evidence::default() }
    }

    fn fitted(mut finding: Finding) -> Finding {
        fit(&mut finding, MOST);
        finding
    }

    fn omitted(finding: &Finding) -> Vec<(&str, u32)> {
        finding.omitted.iter().map(|it| (it.what.as_str(), it.count)).collect()
    }

    #[test]
    fn what_fits_stays_as_it_is() {
        let whole = Finding { explanation: "x".repeat(MOST - 10), ..Finding::default() };
        assert_eq!(fitted(whole.clone()), whole);
    }

    #[test]
    fn of_many_symptoms_the_first_stay_and_the_rest_is_counted() {
        let whole = Finding {
            symptoms: (0..1000).map(|n| symptom(n, 200)).collect(),
            evidence: vec![evidence(100); 30],
            rejected: vec![Rejection::default(); 2],
            ..Finding::default()
        };
        let part = fitted(whole.clone());
        assert!(
            part.encoded_len() <= MOST && part.encoded_len() > MOST - 2 * MARKS,
            "{}",
            part.encoded_len()
        );
        assert_eq!(part.symptoms, whole.symptoms[..part.symptoms.len()]);
        assert_eq!((&part.evidence, &part.rejected), (&whole.evidence, &whole.rejected));
        let left_out = u32::try_from(1000 - part.symptoms.len()).unwrap();
        assert_eq!(omitted(&part), [("symptoms", left_out)]);
        assert!(part.omitted[0].bytes > left_out * 200);
        assert_eq!(fitted(part.clone()), part, "once is enough");
    }

    #[test]
    fn a_long_text_is_cut_between_two_letters_before_anything_else_goes() {
        let whole = Finding {
            title: "a cause".to_owned(),
            symptoms: vec![symptom(1, 10)],
            evidence: vec![evidence(2 * MOST)],
            ..Finding::default()
        };
        let part = fitted(whole.clone());
        assert_eq!((&part.title, &part.symptoms), (&whole.title, &whole.symptoms));
        let excerpt = &part.evidence[0].excerpt;
        assert!(excerpt.ends_with("é…") && excerpt.len() <= TEXT, "{}", excerpt.len());
        assert_eq!(omitted(&part), [("texts", 1)]);
        let bytes = usize::try_from(part.omitted[0].bytes).unwrap();
        assert_eq!(bytes, whole.evidence[0].excerpt.len() - (excerpt.len() - MARK.len_utf8()));
    }

    #[test]
    fn half_a_command_or_address_is_worse_than_none() {
        let remedy = Remedy { text: "x".to_owned(), command: "kubectl x;".repeat(MOST), ..Remedy::default() };
        let mut symptom = symptom(1, 10);
        symptom.runbook_url = format!("https://{}", "x".repeat(MOST));
        let part = fitted(Finding { remedy: vec![remedy], symptoms: vec![symptom], ..Finding::default() });
        assert_eq!((part.remedy[0].command.as_str(), part.symptoms[0].runbook_url.as_str()), ("", ""));
        assert_eq!(omitted(&part), [("texts", 2)]);
    }

    #[test]
    fn whatever_there_is_too_much_of_it_fits() {
        let long = |n: usize| "x".repeat(n);
        let of_all = |n: usize, bytes: usize| Finding {
            title: long(bytes),
            explanation: long(bytes),
            root: Some(ObjectRef { name: long(bytes), ..ObjectRef::default() }),
            symptoms: (0..n).map(|n| symptom(n, bytes)).collect(),
            evidence: vec![evidence(bytes); n],
            path: vec![PathStep { note: long(bytes), ..PathStep::default() }; n],
            remedy: vec![Remedy { text: long(bytes), ..Remedy::default() }; n],
            rejected: vec![
                Rejection {
                    because: long(bytes),
                    evidence: vec![evidence(bytes); 3],
                    ..Rejection::default()
                };
                n
            ],
            changes: vec![Change { diff: long(bytes), ..Change::default() }; n],
            superseded: vec![long(bytes); n],
            confirmed_fix: Some(Change { diff: long(bytes), ..Change::default() }),
            ..Finding::default()
        };
        for (n, bytes) in [(1, 100_000), (2, 10_000), (60, 1_000), (100, 5_000), (20_000, 10), (5_000, 0)] {
            let part = fitted(of_all(n, bytes));
            assert!(part.encoded_len() <= MOST, "{n} of {bytes}: {}", part.encoded_len());
            assert!(!part.omitted.is_empty());
        }
    }
}
