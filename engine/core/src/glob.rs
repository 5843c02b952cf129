//! Globs over names: `*` stands for any run of characters, `?` for one; everything else is literal.

/// Whether `text` matches `pattern` as a whole.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    if is_plain(pattern) {
        return pattern == text;
    }
    if pattern == "*" {
        return true;
    }
    if pattern.is_ascii() && text.is_ascii() {
        return compare(pattern.as_bytes(), text.as_bytes(), b'*', b'?');
    }
    let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    compare(&p, &t, '*', '?')
}

/// Whether it matches itself and nothing else.
pub(crate) fn is_plain(pattern: &str) -> bool {
    !pattern.contains(['*', '?'])
}

/// Compares character by character; `run` and `one` are what stands for any run of them and for any one.
fn compare<C: Copy + PartialEq>(p: &[C], t: &[C], run: C, one: C) -> bool {
    let (mut i, mut j) = (0, 0);
    // Where the last `*` stood and what it has swallowed so far: one level of backtracking is enough.
    let mut star: Option<(usize, usize)> = None;
    while j < t.len() {
        match p.get(i) {
            Some(c) if *c == run => {
                star = Some((i, j));
                i += 1;
            }
            Some(c) if *c == one || Some(c) == t.get(j) => {
                i += 1;
                j += 1;
            }
            _ => match star {
                Some((at, eaten)) => {
                    star = Some((at, eaten + 1));
                    i = at + 1;
                    j = eaten + 1;
                }
                None => return false,
            },
        }
    }
    p.iter().skip(i).all(|c| *c == run)
}

/// Whether any pattern matches; no pattern at all means everything does.
pub(crate) fn any(patterns: &[String], text: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|p| matches(p, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_star_swallows_any_run_and_a_question_mark_one_character() {
        assert!(matches("Kube*Mismatch", "KubeDeploymentReplicasMismatch"));
        assert!(matches("*", ""));
        assert!(matches("a?c*", "abc"));
        assert!(!matches("a?c", "ac"));
        assert!(!matches("Kube*", "kubePod"));
        assert!(matches("*a*b", "xaxbab"));
    }

    proptest! {
        #[test]
        fn a_glob_agrees_with_the_regex_it_stands_for(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
            let regex = format!("^{}$", pattern.replace('*', ".*").replace('?', "."));
            prop_assert_eq!(matches(&pattern, &text), regex::Regex::new(&regex).unwrap().is_match(&text));
        }
    }
}
