//! Secrets in foreign text, masked before anything keeps it.
//!
//! Programs log what they should not: tokens, passwords in URLs, whole private keys (CVE-2019-11250, CVE-2020-8563 to
//! 8566, CVE-2023-2878). Whoever may read findings need not be one who may read Secrets, so what is known to be a secret
//! by its form (a JWT, a cloud key, a PEM block) or by the name before it (`password=`, `Authorization:`) becomes
//! [`MASK`]. No digest is kept in its place, as short secrets could be guessed from it.
//!
//! A name and a secret must not be mixed up: `secret="shop/regcred"` names an object and `token: unexpected status 401`
//! is prose. So behind `name: ` only a value that looks like a secret is masked, and behind a bare `secret` or `auth`
//! only one that no object could be called. What is masked stays masked when it is read again.

use std::{borrow::Cow, sync::LazyLock};

use aho_corasick::packed::Searcher;
pub use kwhy_proto::MASK;
use memchr::{memchr, memchr2_iter, memmem};
use regex::{Captures, Regex};

/// The text without secrets; borrowed where there are none in it. Nearly all texts have none, and of these each byte is
/// looked at a few times at the speed of memory.
#[must_use]
pub fn secrets(text: &str) -> Cow<'_, str> {
    if is_key_line(text) {
        return Cow::Owned(MASK.to_owned());
    }
    let Some(rules) = &*RULES else { return Cow::Owned(MASK.to_owned()) };
    let mut clean = Cow::Borrowed(text);
    let mut with = |regex: &Regex, mask: fn(&Captures<'_>) -> String| {
        if let Cow::Owned(changed) = regex.replace_all(&clean, mask) {
            clean = Cow::Owned(changed);
        }
    };
    if rules.triggers.find(text).is_some() {
        with(&rules.pem, |_| MASK.to_owned());
        with(&rules.header, |found| format!("{}{MASK}", part(found, 1)));
        with(&rules.cookie, |found| format!("{}{MASK}", part(found, 1)));
        with(&rules.scheme, if_it_looks_so);
        with(&rules.token, |_| MASK.to_owned());
        with(&rules.mixed, |found| {
            let value = part(found, 0);
            let secret = is_mixed(value) && value.bytes().any(|b| b.is_ascii_digit());
            if secret { MASK.to_owned() } else { value.to_owned() }
        });
        with(&rules.hook, |found| format!("{}{MASK}", part(found, 1)));
    }
    if memchr(b'@', text.as_bytes()).is_some() {
        with(&rules.url, in_url);
    }
    if rules.dashes.find(text.as_bytes()).is_some() {
        with(&rules.flag, if_it_looks_so);
    }
    if let Some(changed) = pairs(&clean) {
        clean = Cow::Owned(changed);
    }
    // What was looked at more closely and found harmless has been put back as it was.
    if clean == text { Cow::Borrowed(text) } else { clean }
}

/// As [`secrets`], of a text that may be owned already.
#[must_use]
pub fn clean(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => secrets(text),
        Cow::Owned(text) => match secrets(&text) {
            Cow::Owned(changed) => Cow::Owned(changed),
            Cow::Borrowed(_) => Cow::Owned(text),
        },
    }
}

/// The value of a pair whose name is known, without secrets.
#[must_use]
pub fn value<'v>(name: &str, value: &'v str) -> Cow<'v, str> {
    match name_at_the_end(name).and_then(Name::of) {
        Some(kind) if is_secret(kind, Separator::Equals, value) => Cow::Owned(MASK.to_owned()),
        _ => secrets(value),
    }
}

/// Without one of these in it a text has no secret that is known by its form. Where both cases occur, what of it has one.
const TRIGGERS: [&str; 47] = [
    "PRIVATE KEY",
    "uthorization",
    "UTHORIZATION",
    "ookie",
    "OOKIE",
    "earer ",
    "EARER ",
    "asic ",
    "ASIC ",
    "eyJ",
    "AKIA",
    "ASIA",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "xoxe",
    "xoxs-",
    "xapp-",
    "AIza",
    "ya29.",
    "k_live_",
    "k_test_",
    "hvs.",
    "hvb.",
    "npm_",
    "pypi-",
    "dop_v1_",
    "AGE-SECRET-KEY-",
    "LS0tLS1CRUdJTi",
    "MII",
    "MHcCAQEE",
    "MIGHAgEA",
    "SG.",
    " sk-",
    "=sk-",
    ":sk-",
    "\"sk-",
    "hooks.slack.com/",
    "/api/webhooks/",
    "api.telegram.org/bot",
];

struct Rules {
    triggers: Searcher,
    dashes: memmem::Finder<'static>,
    pem: Regex,
    header: Regex,
    cookie: Regex,
    scheme: Regex,
    token: Regex,
    mixed: Regex,
    hook: Regex,
    url: Regex,
    flag: Regex,
}

/// None never is, as a test sees to; if it were, nothing would be let through.
static RULES: LazyLock<Option<Rules>> = LazyLock::new(|| {
    let regex = |text: &str| Regex::new(text).ok();
    Some(Rules {
        triggers: Searcher::new(TRIGGERS)?,
        dashes: memmem::Finder::new("--"),
        pem: regex(
            r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----|$)",
        )?,
        // A signature goes on behind blanks and commas, so all up to a quote or the end.
        header: regex(
            r#"(?i)(authorization\\?["']?\s*[:=]\s*\[?\\?["']?)(?:bearer|basic|digest|token|negotiate|ntlm|apikey|aws4-hmac-sha256)\s[^"'\\\n]+"#,
        )?,
        cookie: regex(r#"(?i)(\bcookie\\?["']?\s*[:=]\s*\[?\\?["']?)[^"'\\\n=\s]+=[^"'\\\n]+"#)?,
        scheme: regex(r"(?i)(\b(?:bearer|basic)\s+)([A-Za-z0-9+/=._~-]{8,})")?,
        token: regex(concat!(
            r"\beyJ[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]*)*",
            r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
            r"|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}",
            r"|\bglpat-[A-Za-z0-9_-]{16,}",
            r"|\bxox[a-z](?:\.xox[a-z])?-[A-Za-z0-9-]{10,}|\bxapp-[A-Za-z0-9-]{10,}",
            r"|\bAIza[A-Za-z0-9_-]{30,}|\bya29\.[A-Za-z0-9_-]{20,}",
            r"|\b[sr]k_(?:live|test)_[A-Za-z0-9]{10,}",
            r"|\bhv[sb]\.[A-Za-z0-9_-]{16,}",
            r"|\bnpm_[A-Za-z0-9]{30,}|\bpypi-[A-Za-z0-9_-]{30,}",
            r"|\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
            r"|\bdop_v1_[a-f0-9]{40,}|\bAGE-SECRET-KEY-1[A-Z0-9]{20,}",
            // A PEM block once more in base64, as kubeconfigs hold it.
            r"|\bLS0tLS1CRUdJTi[A-Za-z0-9+/=]{16,}",
            // The inside of a PEM block begins so: RSA keys, certificates, keys of elliptic curves.
            r"|\bM(?:II[A-Za-z0-9]|HcCAQEE|IGHAgEA)[A-Za-z0-9+/=]{32,}",
        ))?,
        mixed: regex(r"\bsk-[A-Za-z0-9_-]{20,}")?,
        hook: regex(concat!(
            r#"(hooks\.slack\.com/(?:services|workflows|triggers)/|/api/webhooks/[0-9]+/"#,
            r#"|api\.telegram\.org/bot[0-9]+:)[^\s"'<>\\]+"#,
        ))?,
        url: regex(r#"(://)(?:([^\s/:@"'<>\\]*):([^\s"'<>\\]+)|([^\s/:@"'<>\\]{16,}))@"#)?,
        flag: regex(
            r#"(?i)((?:^|\s|["'])--?[a-z0-9-]*(?:password|passwd|passphrase|token|secret|key|credentials?)\s+)([^\s"'\\-][^\s"'\\,]*)"#,
        )?,
    })
});

fn if_it_looks_so(found: &Captures<'_>) -> String {
    let (before, value) = (part(found, 1), part(found, 2));
    if looks_secret(value) { format!("{before}{MASK}") } else { part(found, 0).to_owned() }
}

fn part<'t>(found: &'t Captures<'_>, number: usize) -> &'t str {
    found.get(number).map_or("", |part| part.as_str())
}

/// A line of the inside of a PEM block: one long word of base64 and nothing else. The journal makes an entry of each
/// line, so most of a key stands alone.
fn is_key_line(text: &str) -> bool {
    let text = text.trim();
    text.len() >= 40
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
        && is_mixed(text)
        && text.bytes().any(|b| b.is_ascii_digit())
}

fn is_mixed(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_uppercase()) && text.bytes().any(|b| b.is_ascii_lowercase())
}

/// The password of `scheme://user:password@host`, or a token in the place of the user.
fn in_url(found: &Captures<'_>) -> String {
    let (user, password, alone) = (part(found, 2), part(found, 3), part(found, 4));
    if !alone.is_empty() {
        let secret = alone.bytes().any(|b| b.is_ascii_digit());
        return if secret { format!("://{MASK}@") } else { part(found, 0).to_owned() };
    }
    // `host:8080/path?mail=a@b` has a port there and no password.
    let first = password.split(['/', '?', '#']).next().unwrap_or_default();
    if first.len() < password.len() && first.bytes().all(|b| b.is_ascii_digit()) {
        return part(found, 0).to_owned();
    }
    format!("://{user}:{MASK}@")
}

/// What the name before a value says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    /// A secret, whatever it looks like: `password`, `client_secret`.
    Secret,
    /// A secret, unless it is a word or a name: `token`.
    Token,
    /// As often the name of an object: `secret`, `auth`.
    Object,
}

impl Name {
    fn of(name: &str) -> Option<Name> {
        let name = name.trim_start_matches(['-', '.']).to_ascii_lowercase();
        let plain: String = name.chars().filter(|c| !matches!(c, '_' | '-' | '.')).collect();
        let ends = |all: &[&str]| all.iter().any(|end| plain.ends_with(end));
        if ends(&["password", "passwords", "passwd", "passphrase", "pwd", "clientsecret", "appsecret"])
            || ends(&["secretkey", "accesskey", "apikey", "accountkey", "privatekey", "signingkey"])
            || ends(&["encryptionkey", "keydata", "sharedkey", "authkey", "masterkey", "credentials"])
        {
            return Some(Name::Secret);
        }
        match plain.as_str() {
            "secret" | "secrets" | "auth" | "sig" => Some(Name::Object),
            _ if ends(&["token", "tokens", "secret", "secrets", "credential"]) => Some(Name::Token),
            _ => None,
        }
    }
}

/// What stands between a name and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Separator {
    /// `=`, or `:` before a quoted value.
    Equals,
    /// `:` before a bare word, as in prose.
    Colon,
}

fn is_secret(name: Name, separator: Separator, value: &str) -> bool {
    let value = value.trim();
    let placeholder = value.is_empty()
        || value.contains(MASK)
        || (value.len() > 2 && value.bytes().all(|b| matches!(b, b'*' | b'x' | b'X' | b'.' | b'-')))
        || matches!(
            value,
            "<nil>" | "nil" | "null" | "none" | "None" | "true" | "false" | "<none>" | "map[]"
        )
        || (value.starts_with('$') && value.ends_with([')', '}']))
        || value.starts_with('%')
        || value.starts_with("&{")
        || value.starts_with('<');
    if placeholder {
        return false;
    }
    match (name, separator) {
        (Name::Object, _) => no_object_is_called(value),
        // A path to the secret is none; `PWD=/root` is in every environment.
        (_, _) if value.starts_with('/') => false,
        (Name::Secret, Separator::Equals) => true,
        (Name::Token, Separator::Equals) => {
            !value.contains([' ', '/']) && !value.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
                || looks_secret(value)
        }
        (_, Separator::Colon) => looks_secret(value),
    }
}

/// A value that cannot be the name of an object, but may be a secret.
fn no_object_is_called(value: &str) -> bool {
    let letters_and_digits = || {
        value.len() >= 16
            && value.bytes().any(|b| b.is_ascii_digit())
            && value.bytes().any(|b| b.is_ascii_alphabetic())
            && !value.contains(['-', '/', '.', ':'])
    };
    value.len() >= 8 && !value.contains([' ', '{', '[']) && (is_mixed(value) || letters_and_digits())
}

/// Whether a word is more likely a secret than a word.
fn looks_secret(value: &str) -> bool {
    let value = value.trim_end_matches(['.', ',', ';', ':', ')', '!']);
    if value.len() < 6 || value.contains("://") || value.starts_with('/') || value.contains(' ') {
        return false;
    }
    let digits = value.bytes().any(|b| b.is_ascii_digit());
    let letters = value.bytes().any(|b| b.is_ascii_alphabetic());
    let inner_capital = value.bytes().skip(1).any(|b| b.is_ascii_uppercase())
        && value.bytes().any(|b| b.is_ascii_lowercase());
    let odd = value.contains(['!', '@', '#', '$', '%', '^', '&', '*', '+', '=']);
    (digits && letters) || (inner_capital && value.len() >= 12) || odd
}

/// What ends a value that has no quotes.
const ENDS: [char; 12] = [' ', '\t', '\n', ',', ';', '&', ')', '}', ']', '"', '\'', '\\'];

/// Masks the values of pairs; None where there is nothing to mask.
fn pairs(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut done = 0;
    for at in memchr2_iter(b'=', b':', text.as_bytes()) {
        if at < done {
            continue;
        }
        let Some(name) = text.get(..at).and_then(name_at_the_end) else { continue };
        let Some(kind) = Name::of(name) else { continue };
        let rest = text.get(at + 1..).unwrap_or_default();
        let equals = text.as_bytes().get(at) == Some(&b'=');
        let rest = if equals { rest.strip_prefix('>').unwrap_or(rest) } else { rest };
        let (open, inner) = quoted(rest.trim_start_matches([' ', '\t']));
        let length = match open {
            Some(quote) => closing(inner, quote),
            // The bracket at its end would end it.
            None if inner.starts_with(MASK) => MASK.len(),
            None => inner.find(ENDS).unwrap_or(inner.len()),
        };
        let value = inner.get(..length).unwrap_or_default();
        let separator = if equals || open.is_some() { Separator::Equals } else { Separator::Colon };
        if is_secret(kind, separator, value) {
            let from = text.len() - inner.len();
            out.push_str(text.get(done..from).unwrap_or_default());
            out.push_str(MASK);
            done = from + length;
        }
    }
    (done > 0).then(|| {
        out.push_str(text.get(done..).unwrap_or_default());
        out
    })
}

/// The name at the end of a text, over blanks and a quote; none that cannot be one of a secret.
fn name_at_the_end(text: &str) -> Option<&str> {
    const ENDINGS: [&str; 15] = [
        "ord", "rds", "swd", "ase", "pwd", "ret", "ets", "ken", "ens", "key", "ata", "ial", "als", "uth",
        "sig",
    ];
    let text = text.trim_end_matches([' ', '\t']);
    let text = text.strip_suffix(['"', '\'']).map_or(text, |text| text.strip_suffix('\\').unwrap_or(text));
    let ending = text.as_bytes().last_chunk::<3>()?;
    if !ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known.as_bytes())) {
        return None;
    }
    let start = text.bytes().rposition(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')));
    text.get(start.map_or(0, |at| at + 1)..)
}

/// The quote that opens a value, escaped or not, and what follows it.
fn quoted(text: &str) -> (Option<&str>, &str) {
    for quote in ["\\\"", "\\'", "\"", "'"] {
        if let Some(rest) = text.strip_prefix(quote) {
            return (Some(quote), rest);
        }
    }
    (None, text)
}

/// Where a quoted value ends: at its closing quote, or at the end of the text.
fn closing(text: &str, quote: &str) -> usize {
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| rest.find(quote)) {
        let end = at + found;
        let escapes = text.as_bytes().iter().take(end).rev().take_while(|b| **b == b'\\').count();
        if escapes.is_multiple_of(2) {
            return end;
        }
        at = end + quote.len();
    }
    text.len()
}

#[cfg(test)]
mod tests;
