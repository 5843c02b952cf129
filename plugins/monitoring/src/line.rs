//! Lines of Prometheus, Alertmanager and the configuration reloader, by their own sources: prometheus `cmd/prometheus/main.go`,
//! `rules/group.go`, `notifier/notifier.go`; alertmanager `dispatch/dispatch.go`, `notify/notify.go`, `config/coordinator.go`;
//! thanos `pkg/reloader`, `pkg/runutil` for the sidecar.
//! logfmt before Prometheus 3 and slog since; the words stayed.

use kwhy_sdk::{Pattern, Subscription};

pub(crate) const NO_SPACE: &str = "monitoring-no-space";
pub(crate) const STORAGE: &str = "monitoring-storage";
pub(crate) const CONFIG: &str = "monitoring-config";
pub(crate) const AM_CONFIG: &str = "monitoring-am-config";
pub(crate) const RULE: &str = "monitoring-rule";
pub(crate) const NOTIFY: &str = "monitoring-notify";
pub(crate) const SEND: &str = "monitoring-send";
/// A configuration was taken.
pub(crate) const LOADED: &str = "monitoring-loaded";
/// The sidecar of the operator cannot bring a changed configuration to the program.
pub(crate) const RELOADER: &str = "monitoring-reloader";

pub(crate) fn wanted() -> Subscription {
    let patterns = [
        (NO_SPACE, "o space left on device", ""),
        (STORAGE, "opening storage failed", ""),
        (CONFIG, "ing config", r"Error (?:re)?loading config"),
        (AM_CONFIG, "Loading configuration file failed", ""),
        (RULE, "Evaluating rule failed", ""),
        (NOTIFY, "Notify for alerts failed", ""),
        (SEND, "Error sending alert", ""),
        (LOADED, "Completed loading of configuration file", ""),
        (RELOADER, "trigger reload: ", "Retrying in next tick"),
    ];
    Subscription::logs(patterns.map(|(id, literal, regex)| Pattern::new(id, literal, regex)).into())
}

/// The value of a key in a logfmt line, quotes and escapes taken off; empty where it is not there.
pub(crate) fn value(line: &str, key: &str) -> String {
    let marked = format!("{key}=");
    let starts = |at: usize| at == 0 || line.get(..at).is_some_and(|before| before.ends_with(' '));
    let Some((at, _)) = line.match_indices(&marked).find(|(at, _)| starts(*at)) else { return String::new() };
    let rest = line.get(at + marked.len()..).unwrap_or("");
    let Some(quoted) = rest.strip_prefix('"') else {
        return rest.split(' ').next().unwrap_or("").to_owned();
    };
    let mut out = String::new();
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next() {
                Some('n') => out.push(' '),
                Some(other) => out.push(other),
                None => break,
            },
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn a_value_of_logfmt_is_read_with_its_quotes_and_escapes() {
        let line = r#"ts=2024-05-07T10:19:42Z caller=group.go:462 level=warn component="rule manager" file=/etc/a.yaml group=shop name=Slow index=3 msg="Evaluating rule failed" rule="alert: Slow\nexpr: x{a=\"b\"}" err="found duplicate series""#;
        assert_eq!(value(line, "err"), "found duplicate series");
        assert_eq!(value(line, "name"), "Slow");
        assert_eq!(value(line, "rule"), r#"alert: Slow expr: x{a="b"}"#);
        assert_eq!(value(line, "ame"), "");
        assert_eq!(value(r#"err="cut"#, "err"), "cut");
        assert_eq!(value(r#"err="cut\"#, "err"), "cut");
    }
}
