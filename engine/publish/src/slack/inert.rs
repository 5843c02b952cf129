//! Makes foreign text and addresses inert for Slack, and cuts them before that, so that no cut tears an escape.

use reqwest::Url;

use crate::{
    cut::{self, Telling},
    sanitize,
};

/// A text of Slack holds 3000 characters; an address must fit into one whole.
const URL_MOST: usize = 2500;

/// One line of at most `most` characters for places that take text literally: rich text and plain text.
///
/// Nothing there is obeyed, yet `<!channel>`, `<@U…>`, `<#C…>` and `<http://…|…>` lose their bracket, in case a client,
/// a bridge or a copy of the message into another field should read it as markup.
pub(super) fn literal(text: &str, most: usize, telling: Telling) -> String {
    // Cutting first keeps the work small for a line of megabytes; sanitising only shortens.
    let room = most.saturating_mul(8).max(512);
    let near: String = match text.char_indices().nth(room) {
        Some((_, _)) => cut::chars(text, room, telling),
        None => text.to_owned(),
    };
    cut::chars(&unbracketed(&sanitize::line(&near)), most, telling)
}

/// The same for mrkdwn, with `&`, `<` and `>` escaped and no backticks. `most` counts characters before the escape.
pub(super) fn escaped(text: &str, most: usize) -> String {
    escape(&literal(text, most, Telling::Start).replace('`', "'"))
}

/// Whether a command can be posted unchanged. One that cannot is left out: what is pasted must be what was meant.
pub(super) fn unchanged(command: &str) -> bool {
    unbracketed(command) == command
}

/// Exactly the three characters that Slack asks to be escaped.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// `‹` for a `<` that could open a control sequence.
pub(super) fn unbracketed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let after = text.get(at + c.len_utf8()..).unwrap_or_default();
        let opens = || after.starts_with(['!', '@', '#']) || scheme(after);
        out.push(if c == '<' && opens() { '‹' } else { c });
    }
    out
}

/// Whether `text` starts like an address: `http:`, `mailto:`, or one that was cut: `htt…`.
fn scheme(text: &str) -> bool {
    let word = text.chars().take(12).take_while(|c| c.is_ascii_alphabetic()).count();
    word > 0 && text.get(word..).is_some_and(|rest| rest.starts_with([':', '…']))
}

/// `address` as it can stand in a link of mrkdwn, escaped: absolute, http or https, without user and password, short
/// enough. None otherwise, because one bad address makes Slack refuse the whole message.
pub(super) fn address(address: &str) -> Option<String> {
    if address.len() > URL_MOST {
        return None;
    }
    let url = Url::parse(address.trim()).ok()?;
    let web = matches!(url.scheme(), "http" | "https") && url.has_host();
    let open = url.username().is_empty() && url.password().is_none();
    // A bar would end the address within <address|text>.
    let text = url.as_str().replace('|', "%7C");
    let safe = web && open && text.bytes().all(|b| b.is_ascii_graphic() && !b"<>".contains(&b));
    safe.then(|| escape(&text)).filter(|text| text.len() <= URL_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sequences_become_text_and_arrows_stay() {
        let said = literal("<!channel> <@U1> <#C1> <http://evil|ok> a -> b <none>", 200, Telling::Start);
        assert_eq!(said, "‹!channel> ‹@U1> ‹#C1> ‹http://evil|ok> a -> b <none>");
        assert_eq!(escaped("`a` && <b>", 99), "'a' &amp;&amp; &lt;b&gt;");
    }

    #[test]
    fn a_cut_never_tears_an_escape() {
        for most in 1..12 {
            let said = escaped("&&&&&&&&&&&&&&&&", most);
            assert_eq!(said.replace("&amp;", "").replace('…', ""), "", "{said}");
            assert_eq!(said.replace("&amp;", "&").chars().count(), most);
        }
    }

    #[test]
    fn only_absolute_web_addresses_pass() {
        assert_eq!(
            address("https://g.example/d?a=1&b=|>\"").as_deref(),
            Some("https://g.example/d?a=1&amp;b=%7C%3E%22")
        );
        for bad in [
            "",
            "/graph?g0",
            "graph",
            "javascript:alert(1)",
            "file:///etc/passwd",
            "https://",
            "http://user:pw@host/",
            "http://exa mple/",
            "data:text/html,x",
        ] {
            assert_eq!(address(bad), None, "{bad}");
        }
        assert_eq!(address(&format!("https://g.example/{}", "a".repeat(URL_MOST))), None);
    }
}
