//! `monitoring.alertmanager-cannot-notify`: alerts reach Alertmanager, and what it sends on is not taken. The error names
//! the receiver and says why; each kind of reason has a mend of its own.

use kwhy_sdk::{Diagnosis, Remedy, Signal, World};

use crate::{
    config,
    line::value,
    parts::{self, Part},
};

/// What is wrong on the way to a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// The address or the token is not known there (any more).
    Refused,
    /// There is no such channel, or it may not be written to.
    Channel,
    /// Too many messages in too short a time.
    TooMany,
    /// What is sent is malformed.
    Malformed,
    /// The mail server does not accept user and password.
    Login,
    /// The name of the receiver's host is not known.
    Name,
    /// No way to the receiver's host.
    Way,
    /// The certificate is not accepted.
    Certificate,
    /// The receiver is out of order.
    Theirs,
    Other,
}

/// Sorts an error of `notify/util.go`, of an integration, of Go's net packages or of a mail server.
fn reason(why: &str) -> Reason {
    let has = |words: &[&str]| words.iter().any(|w| why.contains(w));
    if has(&[
        "channel_not_found",
        "channel_is_archived",
        "not_in_channel",
        "is_archived",
        "restricted_action",
    ]) {
        Reason::Channel
    } else if has(&["status code 429", "rate_limited", "ratelimited", "Too Many Requests"]) {
        Reason::TooMany
    } else if has(&["auth: 5", "auth: 4", " 535 ", "535-", "530 ", "534 "]) {
        Reason::Login
    } else if has(&[
        "no_service",
        "no_team",
        "invalid_token",
        "invalid_auth",
        "not_authed",
        "token_revoked",
        "account_inactive",
    ]) || has(&["status code 401", "status code 403", "status code 404", "status code 410"])
    {
        Reason::Refused
    } else if has(&[
        "status code 400",
        "invalid_payload",
        "invalid_blocks",
        "status code 413",
        "status code 422",
        "template: ",
    ]) {
        Reason::Malformed
    } else if has(&["x509: ", "tls: "]) {
        Reason::Certificate
    } else if has(&["no such host", "server misbehaving"]) || (has(&["lookup "]) && has(&["i/o timeout"])) {
        Reason::Name
    } else if has(&[
        "i/o timeout",
        "deadline exceeded",
        "connection refused",
        "no route to host",
        "connection reset",
        "network is unreachable",
        "proxyconnect",
    ]) {
        Reason::Way
    } else if has(&["status code 5"]) {
        Reason::Theirs
    } else {
        Reason::Other
    }
}

/// `receiver/integration[0]: notify retry canceled … after 1 attempts: reason`; before 0.21 `cancelling notify retry for
/// "slack" due to unrecoverable error: reason`. Receiver and reason.
fn read(err: &str) -> (String, String) {
    if let Some((_, rest)) = err.split_once("notify retry for \"") {
        let (integration, rest) = rest.split_once('"').unwrap_or((rest, ""));
        let why = rest.split_once("error: ").map_or(rest, |(_, why)| why);
        return (integration.to_owned(), why.to_owned());
    }
    let receiver = err.split(": ").next().filter(|r| r.contains('/') && r.ends_with(']')).unwrap_or("");
    let why = err.split_once(" attempts: ").map_or(err, |(_, why)| why);
    (receiver.to_owned(), why.to_owned())
}

pub(crate) fn explain(
    world: &World<'_>,
    d: &mut Diagnosis,
    part: &Part,
    lines: &[Signal],
    alerts: &[Signal],
) {
    let err = lines.first().map(|l| value(&l.message, "err")).unwrap_or_default();
    let (receiver, why) = read(&err);
    let integration = alerts.iter().map(|a| a.field("integration")).find(|i| !i.is_empty()).unwrap_or("");
    let receiver = if receiver.is_empty() { integration.to_owned() } else { receiver };
    d.severity = "critical".into();
    let to = if receiver.is_empty() { String::new() } else { format!(" to {receiver}") };
    d.title = format!("Alertmanager {} cannot send notifications{to}", part.workload.path());
    d.explanation = format!(
        "Alerts arrive at Alertmanager, but what it sends{to} is not taken{}; nobody is told of them there.",
        if why.is_empty() { String::new() } else { format!(": {why}") }
    );
    let owner = world.owners(&part.workload).into_iter().find(|o| o.kind == parts::MANAGER_KIND);
    let edit = config::source(world, part, "Alertmanager", owner.as_ref());
    let (ns, pod) = (&part.workload.namespace, part.pods.first().map_or("", |p| p.name.as_str()));
    let container = parts::container(world, part, parts::ALERTMANAGER);
    let exec = format!("kubectl -n {ns} exec {pod} -c {container} --");
    let mend = Remedy::new(mend(reason(&why), &receiver));
    let mend = match reason(&why) {
        Reason::Name => mend.command(format!("{exec} nslookup {}", host(&why))),
        Reason::Way | Reason::Certificate => {
            mend.command(format!("{exec} wget -S -O- -T 5 https://{}", host(&why)))
        }
        _ => mend,
    };
    d.remedies.push(edit.into_iter().fold(mend, Remedy::command));
    d.remedies.push(
        Remedy::new("then see that one gets through")
            .command(format!(
                "{exec} amtool alert add KwhyTest severity=warning --alertmanager.url=http://127.0.0.1:9093"
            ))
            .command(format!("kubectl -n {ns} logs {pod} -c {container} --tail=30")),
    );
}

fn mend(reason: Reason, receiver: &str) -> String {
    let name = if receiver.is_empty() { "the receiver" } else { receiver };
    match reason {
        Reason::Refused => format!(
            "give {name} an address that its service knows: make a new webhook URL or token there and put it into the configuration"
        ),
        Reason::Channel => format!(
            "name a channel in {name} that exists and that the sender may write to (for a bot: invite it into the channel)"
        ),
        Reason::TooMany => {
            "send fewer messages: group more alerts into one (fewer labels in group_by, a longer group_interval), and mend what makes \
             so many fire"
                .to_owned()
        }
        Reason::Malformed => format!(
            "correct what {name} sends: its templates, or a message that has grown too long (group fewer alerts)"
        ),
        Reason::Login => {
            "give it user and password that the mail server accepts (smtp_auth_username, smtp_auth_password; with two factors an \
             app password)"
                .to_owned()
        }
        Reason::Name => {
            "let the name be resolved from the pod: a wrong host name, the DNS of the cluster, or a proxy that is the only way out \
             (http_config.proxy_url)"
                .to_owned()
        }
        Reason::Way => {
            "open the way from the pod to the receiver: firewall, network policy, or a proxy (http_config.proxy_url)".to_owned()
        }
        Reason::Certificate => {
            "let Alertmanager trust the receiver's certificate (tls_config.ca_file), or mend the certificate".to_owned()
        }
        Reason::Theirs => format!("the service behind {name} is out of order; see its state there, and have a second receiver"),
        Reason::Other => format!("correct the receiver {name}: its address, token or proxy, as the error says"),
    }
}

/// The host that an error is about; what Alertmanager hides stays hidden.
fn host(why: &str) -> String {
    let looked_up = why.split_once("lookup ").and_then(|(_, rest)| rest.split([' ', ':']).next());
    let dialled = || why.split_once("dial tcp ").and_then(|(_, rest)| rest.split(": ").next());
    looked_up.or_else(dialled).unwrap_or("<host of the receiver>").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receiver_and_reason_are_read_in_the_words_of_every_version() {
        let new = r##"ops/slack[0]: notify retry canceled due to unrecoverable error after 1 attempts: channel "#ops": unexpected status code 404: no_service"##;
        assert_eq!(
            read(new),
            ("ops/slack[0]".into(), r##"channel "#ops": unexpected status code 404: no_service"##.into())
        );
        let old =
            r#"cancelling notify retry for "slack" due to unrecoverable error: unexpected status code 404"#;
        assert_eq!(read(old), ("slack".into(), "unexpected status code 404".into()));
        assert_eq!(read("context deadline exceeded"), (String::new(), "context deadline exceeded".into()));
    }

    #[test]
    fn reasons_are_told_apart() {
        for (why, expected) in [
            ("unexpected status code 404: no_service", Reason::Refused),
            ("error response from Slack: channel_not_found", Reason::Channel),
            ("unexpected status code 429: rate_limited", Reason::TooMany),
            ("*email.loginAuth auth: 535 5.7.8 Username and Password not accepted", Reason::Login),
            ("dial tcp: lookup hooks.slack.com on 10.96.0.10:53: no such host", Reason::Name),
            (
                "dial tcp: lookup x on 10.96.0.10:53: read udp 1.2.3.4:5->10.96.0.10:53: i/o timeout",
                Reason::Name,
            ),
            ("establish connection to server: dial tcp 10.0.0.5:587: i/o timeout", Reason::Way),
            ("x509: certificate signed by unknown authority", Reason::Certificate),
            ("unexpected status code 502: Bad Gateway", Reason::Theirs),
            ("unexpected status code 400: invalid_payload", Reason::Malformed),
            ("unexpected EOF", Reason::Other),
        ] {
            assert_eq!(reason(why), expected, "{why}");
        }
        assert_eq!(
            host("dial tcp: lookup hooks.slack.com on 10.96.0.10:53: no such host"),
            "hooks.slack.com"
        );
        assert_eq!(host("dial tcp 10.0.0.5:587: i/o timeout"), "10.0.0.5:587");
    }
}
