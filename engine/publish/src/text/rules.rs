//! The loaded rules as text: each with its version and the causes it knows.

use super::{
    Style,
    page::{Ink, Line, Page},
};
use crate::{cut, describe::count, rules::Rule, sanitize};

/// How much of a digest tells two builds apart.
const DIGEST: usize = 12;
/// A code longer than this does not push the titles of all others aside.
const WIDEST: usize = 34;

/// The rules, in the order in which they are called, as text that ends in a line end.
#[must_use]
pub fn rules(rules: &[Rule], style: &Style) -> String {
    let mut page = Page::new(style);
    let codes = || rules.iter().flat_map(|rule| &rule.codes);
    let widest = codes().map(|code| cut::width(&code.code)).max().unwrap_or(0).min(WIDEST);
    for rule in rules {
        page.gap();
        let origin = rule.file.as_ref().map_or_else(|| "built in".to_owned(), |file| sanitize::line(file));
        let digest: String = rule.digest.chars().take(DIGEST).collect();
        let parts = vec![
            (Ink::Title, sanitize::line(&format!("{} {}", rule.name, rule.version))),
            (Ink::Plain, origin),
            (Ink::Quiet, format!("sha256 {digest}")),
        ];
        page.flow(Line::new(), 2, parts);
        for code in &rule.codes {
            let line = Line::new().to(2).plain(&sanitize::line(&code.code));
            let column = 2 + widest + 2;
            let line = if line.width() + 2 > column {
                page.put(line);
                Line::new().to(column)
            } else {
                line.to(column)
            };
            page.wrapped(line, Ink::Plain, &sanitize::line(&code.title), usize::MAX);
            page.wrapped(Line::new().to(column), Ink::Quiet, &sanitize::line(&code.versions), usize::MAX);
        }
    }
    page.gap();
    let parts = vec![number(rules.len(), "rule"), number(codes().count(), "code")];
    page.flow(Line::new(), 2, parts);
    page.finish()
}

fn number(n: usize, one: &str) -> (Ink, String) {
    (Ink::Plain, count(u64::try_from(n).unwrap_or(u64::MAX), one))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Code;

    #[test]
    fn a_rule_is_told_with_its_origin_and_each_of_its_causes() {
        let code = |code: &str, title: &str| Code {
            code: code.into(),
            title: title.into(),
            versions: "all".into(),
            references: vec![],
        };
        let own = Rule {
            name: "disk".into(),
            version: "1.2.0".into(),
            digest: "0123456789abcdef".into(),
            file: Some("/etc/kwhy/rules/disk.wasm".into()),
            codes: vec![
                code("disk.full", "The disk\u{1b}[31m is full"),
                code("disk.slow", "The disk is slow"),
            ],
        };
        let text = rules(&[Rule { file: None, ..own.clone() }, own], &Style::plain());
        let wanted = "\
disk 1.2.0 · built in · sha256 0123456789ab
  disk.full  The disk is full
             all
  disk.slow  The disk is slow
             all

disk 1.2.0 · /etc/kwhy/rules/disk.wasm · sha256 0123456789ab
  disk.full  The disk is full
             all
  disk.slow  The disk is slow
             all

2 rules · 4 codes
";
        assert_eq!(text, wanted);
    }
}
