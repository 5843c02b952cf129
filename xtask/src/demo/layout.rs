//! JSON laid out for people, without a parser's liberties: fields stay in the order in which they were sent, and what
//! fits in a line stays in it.

const WIDTH: usize = 140;

/// Lays out one JSON value that was sent without spaces, as canonical protobuf JSON and most clients do.
pub(super) fn layout(json: &str) -> String {
    let mut out = String::new();
    put(json.trim(), 0, 0, &mut out);
    out
}

/// `used`: how much of the first line is taken
fn put(value: &str, indent: usize, used: usize, out: &mut String) {
    let brackets = match value.chars().next() {
        Some('{') => ('{', '}'),
        Some('[') => ('[', ']'),
        _ => return out.push_str(value),
    };
    let inside =
        value.strip_prefix(brackets.0).and_then(|rest| rest.strip_suffix(brackets.1)).unwrap_or_default();
    if used + value.chars().count() <= WIDTH || inside.is_empty() {
        return out.push_str(value);
    }
    out.push(brackets.0);
    let indent = indent + 2;
    for (n, member) in split(inside, ',').into_iter().enumerate() {
        out.push_str(if n == 0 { "\n" } else { ",\n" });
        out.push_str(&" ".repeat(indent));
        match split(member, ':').as_slice() {
            [key, _, ..] if brackets.0 == '{' => {
                let value = member.get(key.len() + 1..).unwrap_or_default();
                out.push_str(key);
                out.push_str(": ");
                put(value, indent, indent + key.chars().count() + 2, out);
            }
            _ => put(member, indent, indent, out),
        }
    }
    out.push('\n');
    out.push_str(&" ".repeat(indent - 2));
    out.push(brackets.1);
}

/// Splits where `at` stands outside of strings and brackets.
fn split(text: &str, at: char) -> Vec<&str> {
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    text.split(|c: char| {
        if quoted {
            quoted = escaped || c != '"';
            escaped = !escaped && c == '\\';
            return false;
        }
        match c {
            '"' => quoted = true,
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && c == at
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_in_a_line_stays_in_it() {
        assert_eq!(layout("{\"b\":1,\"a\":[]}\n"), "{\"b\":1,\"a\":[]}");
    }

    #[test]
    fn fields_keep_their_order_and_their_text() {
        let long = "x".repeat(WIDTH);
        let json = format!(r#"{{"z":"{long}","a":{{"k":"a,b:{{c}}\"[","n":1e5}},"e":[]}}"#);
        let want = format!(
            "{{\n  \"z\": \"{long}\",\n  \"a\": {{\"k\":\"a,b:{{c}}\\\"[\",\"n\":1e5}},\n  \"e\": []\n}}"
        );
        assert_eq!(layout(&json), want);
    }

    #[test]
    fn nothing_but_spaces_is_added() {
        let long = format!("\\\\\\\" {}", "é".repeat(WIDTH));
        let json = format!(r#"[{{"a":["{long}",[1,{{"b":"{long}"}}]]}},true,null]"#);
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&layout(&json)), value(&json));
        assert!(layout(&json).lines().count() > 8);
    }
}
