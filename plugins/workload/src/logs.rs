//! The last words of a container: lines that say why a process ends, among all that it writes.

use kwhy_sdk::{Pattern, Signal, World, seconds};

use crate::pod::{ANY, Container, Pod};

/// A line in which a process says that it gives up.
pub(crate) const FATAL: &str = "workload-fatal";
/// A line that complains about configuration.
pub(crate) const CONFIG: &str = "workload-config";
/// A line of the kernel or a shell about a program that cannot be run.
pub(crate) const EXEC: &str = "workload-exec";
/// A line about another service that does not answer.
pub(crate) const PEER: &str = "workload-peer";

/// A line in which a process names an error, whatever it is.
pub(crate) const ERROR: &str = "workload-error";

/// A line about a server that answers and refuses the login.
pub(crate) const LOGIN: &str = "workload-login";

/// A line about the API server that knows who asks and does not let it.
pub(crate) const FORBIDDEN: &str = "workload-forbidden";

/// A line about a server that has no room for one more connection.
pub(crate) const CROWDED: &str = "workload-crowded";

/// A line about a server whose certificate is over.
pub(crate) const EXPIRED: &str = "workload-expired";

/// A line about a file system that is full, which is the storage's matter.
pub(crate) const SPACE: &str = "workload-space";

/// What is wanted of container logs. Each literal is a prefilter; the regex decides.
pub(crate) fn patterns() -> Vec<Pattern> {
    let fatal = r#"(?i)(?:\bfatal\b|\bpanic:|\bcritical error\b|unhandled exception|uncaught|exception in thread "main"|traceback \(most recent call last\))"#;
    let config = concat!(
        r"(?i)(?:(?:config|ya?ml|json|toml|\.ini\b|unmarshal|parse|parsing|flag|argument|option|setting|propert|environment variable|env var)",
        r"[^\n]{0,120}(?:invalid|not allowed|cannot|can't|could not|unable|unknown|missing|required|expected|unexpected|fail|error|not set|not defined|not supported|undefined|unrecogni[sz]ed|not found|malformed|no such)",
        r"|(?:invalid|cannot|can't|could not|unable to|unknown|missing|required|failed to|error)[^\n]{0,60}(?:config|ya?ml|json|toml|unmarshal|parse|parsing|flag|argument|option|setting|propert|environment variable|env var))",
    );
    let error = r#"(?:\b[A-Z][a-z]\w*(?:Error|Exception)\b(?:: |$)|\bOutOfMemoryError\b|\b(?:ERROR|SEVERE|CRITICAL)\b|\[(?:emerg|alert|crit|error)\]|\blevel=(?:error|critical)\b|"(?:level|severity|log\.level)": ?"(?i:error|critical)"|^(?i:error)\b|\berror: |\berror setting\b|[Oo]ut of memory|[Ss]egmentation fault|[Rr]efus(?:ing|ed) to start|[Rr]ead-only file system|\b(?:failed|unable) to\b|\b(?:cannot|can't|could not|does not match|mismatch)\b)"#;
    let exec = r"(?:exec format error|executable file not found|command not found|: not found$|[Pp]ermission denied$|cannot execute|No such file or directory$)";
    let peer = r"(?i)(?:connection refused|no such host|bad address '|could not (?:connect|resolve|translate)|unable to resolve|econnrefused|enotfound|unknownhostexception|i/o timeout|name or service not known|temporary failure in name resolution|connect: no route|etimedout|connect(?:ion)?(?: attempt)? timed ?out|connection timeout|(?:dial|connect|get|post)\b[^\n]{0,200}deadline exceeded)";
    let mut all = Vec::new();
    let mut add = |id: &str, literals: &[&str], regex: &str| {
        all.extend(literals.iter().map(|l| Pattern::new(id, l, regex)))
    };
    add(
        FATAL,
        &[
            "fatal",
            "FATAL",
            "Fatal",
            "panic:",
            "ritical error",
            "nhandled ",
            "ncaught",
            "xception in thread",
            "Traceback",
        ],
        fatal,
    );
    add(
        CONFIG,
        &[
            "onfig",
            "CONFIG",
            "yaml",
            "YAML",
            "JSON",
            "json:",
            "toml",
            "nmarshal",
            "parse",
            "parsing",
            "unknown flag",
            "flag provided",
            "argument",
            "nvironment variable",
            "env var",
        ],
        config,
    );
    add(
        EXEC,
        &[
            "exec format error",
            "executable file not found",
            "not found",
            "denied",
            "cannot execute",
            "No such file or directory",
        ],
        exec,
    );
    add(
        SPACE,
        &["No space left", "no space left", "quota exceeded", "ENOSPC"],
        "(?i)no space left on device|disk quota exceeded|enospc",
    );
    add(
        ERROR,
        &[
            "Error",
            "ERROR",
            "Exception",
            "SEVERE",
            "CRITICAL",
            "[emerg]",
            "[alert]",
            "[crit]",
            "[error]",
            "=error",
            "\"error\"",
            "error",
            "ut of memory",
            "egmentation fault",
            "to start",
            "ead-only file system",
            "ailed to",
            "nable to",
            "annot ",
            "an't ",
            "ould not",
            "mismatch",
            "does not match",
        ],
        error,
    );
    add(
        LOGIN,
        &["uthentication failed", "ccess denied for user", "WRONGPASS", "NOAUTH", "ACCESS_REFUSED"],
        "(?i)(?:password authentication failed for user|access denied for user '|wrongpass|noauth authentication required|access_refused|sasl[^\n]{0,60}authentication failed|authentication failed[^\n]{0,80}(?:user|credential|password)|(?:user|credential|password)[^\n]{0,80}authentication failed|authenticationfailed)",
    );
    add(
        FORBIDDEN,
        &["is forbidden: User "],
        r#"\S+ is forbidden: User \\*"(?P<user>[^"\\]+)\\*" cannot (?P<verb>\w+) resource \\*"(?P<what>[^"\\]+)\\*" in API group \\*"(?P<group>[^"\\]*)"#,
    );
    add(
        CROWDED,
        &[
            "too many clients already",
            "connection slots are reserved",
            "oo many connections",
            "max number of clients reached",
            "no more connections allowed",
            "too many open connections",
        ],
        "",
    );
    add(
        EXPIRED,
        &[
            "ertificate has expired",
            "CERT_HAS_EXPIRED",
            "CertificateExpiredException",
            "peer certificate: Expired",
        ],
        "",
    );
    add(
        PEER,
        &[
            "onnection refused",
            "no such host",
            "bad address",
            "ould not connect",
            "ould not resolve",
            "nable to resolve",
            "ould not translate",
            "ECONNREFUSED",
            "ENOTFOUND",
            "UnknownHostException",
            "i/o timeout",
            "service not known",
            "emporary failure in name",
            "ETIMEDOUT",
            "timed out",
            "onnection timeout",
            "deadline exceeded",
        ],
        peer,
    );
    all
}

/// Lines that one container wrote since a time, newest first, of these patterns.
fn lines(world: &World<'_>, pod: &Pod, container: &Container, id: &str, since: u64) -> Vec<Signal> {
    let mut all = world.about(&pod.id, "self", "log", id, since, 60);
    all.retain(|line| {
        let of = line.field("container");
        of.is_empty() || of == container.name || container.name == ANY
    });
    all
}

/// A lone line of a healthy level is not a complaint, whatever words it has.
pub(crate) fn calm(message: &str) -> bool {
    let level = [
        "\"level\":\"info\"",
        "\"level\":\"debug\"",
        "level=info",
        "level=debug",
        " INFO ",
        " DEBUG ",
        "[INFO]",
        "[DEBUG]",
        "\"severity\":\"INFO\"",
    ];
    crate::words::any(message, &level)
}

/// Whether it is about a right that lacks, whatever the object is called: a ConfigMap is no configuration then.
fn forbids(message: &str) -> bool {
    message.contains(" is forbidden: User ")
}

/// The head of a Python traceback: what it is about stands in its last line.
fn heads(message: &str) -> bool {
    message.trim_end().ends_with("Traceback (most recent call last):")
}

/// The line that tells best why a container ended or does not work, since a time.
pub(crate) fn telling(world: &World<'_>, pod: &Pod, container: &Container, since: u64) -> Option<Signal> {
    for id in [SPACE, CONFIG, LOGIN, FORBIDDEN, FATAL, EXEC, PEER, ERROR] {
        let noise = |m: &str| calm(m) || heads(m) || (id == CONFIG && forbids(m));
        let found = lines(world, pod, container, id, since).into_iter().find(|l| !noise(&l.message));
        if found.is_some() {
            return found;
        }
    }
    None
}

/// The newest lines of one pattern: one complaint is often spread over several.
pub(crate) fn complaints(
    world: &World<'_>,
    pod: &Pod,
    container: &Container,
    id: &str,
    since: u64,
) -> Vec<Signal> {
    let mut all = lines(world, pod, container, id, since);
    all.retain(|l| !calm(&l.message));
    all.truncate(4);
    all
}

/// The newest line of one pattern.
pub(crate) fn newest(
    world: &World<'_>,
    pod: &Pod,
    container: &Container,
    id: &str,
    since: u64,
) -> Option<Signal> {
    lines(world, pod, container, id, since).into_iter().find(|l| !calm(&l.message))
}

/// From when on lines speak of the present trouble: the run that ended last, with room for clocks that differ.
pub(crate) fn since(container: &Container, ill: u64) -> u64 {
    let started = container.end().map_or(ill, |e| if e.started > 0 { e.started } else { ill });
    started.min(ill).saturating_sub(seconds(5))
}
