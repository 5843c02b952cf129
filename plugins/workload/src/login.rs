//! `workload.login-refused` and `workload.server-full`: a database or another server that the workload needs answers, and
//! refuses its password, or has no connection left.
//!
//! Texts of PostgreSQL (src/backend/libpq/auth.c), MySQL and MariaDB (ER_ACCESS_DENIED_ERROR), MongoDB
//! (AuthenticationFailed), Redis (WRONGPASS, NOAUTH), RabbitMQ (ACCESS_REFUSED) and the Kafka clients (SaslAuthentication);
//! for connections of PostgreSQL (src/backend/storage/lmgr/proc.c, utils/init/postinit.c), PgBouncer, MySQL
//! (ER_CON_COUNT_ERROR), Redis (src/networking.c) and MongoDB.

use kwhy_sdk::{Diagnosis, Evidence, Explains, ObjectRef, Remedy, Step, World, clock, hours};

use crate::{
    case, logs,
    pod::{Container, Pod},
    service,
    words::{any, between, kubectl, named, restart, short, spoken},
};

pub(crate) const CODE: &str = "workload.login-refused";
pub(crate) const CROWDED: &str = "workload.server-full";

/// The user whose login is refused.
fn user(text: &str) -> Option<&str> {
    [
        ("authentication failed for user \"", "\""),
        ("authentication failed for user \\\"", "\\"),
        ("ccess denied for user '", "'"),
        ("refused for user '", "'"),
        ("invalid credentials for user '", "'"),
    ]
    .iter()
    .find_map(|(from, to)| between(text, from, to))
    .filter(|u| !u.is_empty() && u.len() < 80)
}

/// The Service that the container logs in to: by the line's own host, else by what its environment names.
pub(crate) fn server(world: &World<'_>, pod: &Pod, container: &Container, text: &str) -> Option<ObjectRef> {
    let namespace = pod.id.namespace.as_str();
    let host = |word: &str, bare: bool| {
        let word = word.split_once("://").map_or(word, |(_, rest)| rest);
        let word = word.split(['/', '?']).next().unwrap_or(word).rsplit('@').next().unwrap_or(word);
        let (host, port) = word.split_once(':').unwrap_or((word, ""));
        let addressed = host.contains('.') || (!port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
        let plausible = host.len() > 1
            && host.len() < 200
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
        if plausible && (addressed || bare) { service::service_of(world, host, namespace) } else { None }
    };
    let said = text.split([' ', '"', '\'', ',', '(', ')', '=', '\\', '`']).find_map(|word| host(word, false));
    said.or_else(|| {
        let hints =
            ["HOST", "URL", "URI", "ADDR", "DSN", "SERVER", "BROKER", "ENDPOINT", "DATABASE", "SOURCE"];
        let env = container.spec.list("/env");
        let hinted = env.iter().filter(|e| {
            let name = e.text("/name").to_ascii_uppercase();
            hints.iter().any(|h| name.contains(h))
        });
        hinted.flat_map(|e| e.text("/value").split([' ', ',', '='])).find_map(|word| host(word, true))
    })
}

/// Secrets that the login may come from or that say what the server has now: those that the container reads, and those
/// of the same names beside the server.
fn secrets(world: &World<'_>, pod: &Pod, server: &ObjectRef) -> Vec<ObjectRef> {
    let own = world.related(&pod.id, "uses").into_iter().filter(|o| o.kind == "Secret");
    let mut all: Vec<ObjectRef> = own.collect();
    let twins: Vec<ObjectRef> = all
        .iter()
        .filter(|s| s.namespace != server.namespace)
        .map(|s| ObjectRef::new("Secret", &server.namespace, &s.name))
        .filter(|s| world.exists(s))
        .collect();
    all.extend(twins);
    all
}

/// How a server's number of connections is looked at and raised, by what it says.
fn room(text: &str, behind: &ObjectRef, k: &str) -> Remedy {
    let exec = format!("{k} exec {} --", named(behind));
    let remedy = Remedy::new(
        "see who holds the connections and let them go: pools that are too large, clients that do not close, sessions that wait idle",
    );
    if any(text, &["clients already", "slots are reserved", "for role", "for database"]) {
        remedy
            .command(format!("{exec} psql -U postgres -c \"select usename, application_name, state, count(*) from pg_stat_activity group by 1, 2, 3 order by 4 desc\""))
            .command(format!("{exec} psql -U postgres -c 'show max_connections'"))
    } else if text.contains("max number of clients") {
        remedy
            .command(format!("{exec} redis-cli client list"))
            .command(format!("{exec} redis-cli config get maxclients"))
    } else if text.contains("onnections") && text.contains("1040") || text.contains("Too many connections") {
        remedy.command(format!("{exec} mysql -e 'show processlist; show variables like \"max_connections\"'"))
    } else {
        remedy.command(format!("{k} logs {} --tail=50", named(behind)))
    }
}

/// A server that works and takes no more connections.
pub(crate) fn crowded(world: &World<'_>, pod: &Pod, container: &Container, since: u64) -> Option<Diagnosis> {
    let line = logs::newest(world, pod, container, logs::CROWDED, since)?;
    let server = server(world, pod, container, &line.message)?;
    let behind = service::backend(world, &server)?;
    if behind.workload.is(&pod.workload) {
        return None;
    }
    let whose = spoken(&pod.workload);
    let mut diagnosis = Diagnosis::new(CROWDED, server.clone());
    diagnosis.confidence = 85;
    diagnosis.title = format!("{} has no connection left for its clients", spoken(&server));
    diagnosis.explanation = format!(
        "{} runs and answers that as many clients are connected as it allows; {whose} gets no connection and fails.",
        spoken(&behind.workload)
    );
    if case::down(world, &pod.workload) {
        diagnosis.severity = "critical".into();
    }
    diagnosis.evidence.push(
        Evidence::signal(&line, 50, format!("{whose} gets no connection")).citing(short(&line.message, 400)),
    );
    let own = world.about(&behind.workload, "workload", "log", logs::CROWDED, since, 1);
    diagnosis
        .evidence
        .extend(own.iter().map(|l| Evidence::signal(l, 40, "its own log").citing(short(&l.message, 400))));
    diagnosis.path.push(Step::new(&server, "", "takes no more connections"));
    diagnosis.path.push(Step::new(&pod.id, "", ""));
    diagnosis.explains = case::explains(world, &pod.workload);
    for name in ["*Connections*", "*Clients*", "*Saturat*"] {
        diagnosis.explains.push(Explains::alert(name, &behind.workload, "workload"));
    }
    let k = kubectl(&server.namespace);
    diagnosis.remedies.push(room(&line.message, &behind.workload, &k));
    diagnosis.remedies.push(Remedy::new("or put a pooler between them, or raise the limit").caution(
        "each connection costs the server memory, and most servers take a new limit at their next start only",
    ));
    diagnosis.supersedes = vec![service::DOWN.into()];
    Some(diagnosis)
}

pub(crate) fn judge(world: &World<'_>, pod: &Pod, container: &Container, since: u64) -> Option<Diagnosis> {
    let line = logs::newest(world, pod, container, logs::LOGIN, since)?;
    let text = line.message.as_str();
    let server = server(world, pod, container, text)?;
    let behind = service::backend(world, &server)?;
    // A server that is not ready itself may refuse for other reasons, and does not complain of itself.
    if !behind.ready || behind.workload.is(&pod.workload) {
        return None;
    }
    let mut diagnosis = Diagnosis::new(CODE, server.clone());
    diagnosis.confidence = 80;
    let who = user(text).map(|u| format!(" of user {u}")).unwrap_or_default();
    diagnosis.title =
        format!("{} refuses the password{who}: {} cannot log in", spoken(&server), spoken(&pod.workload));
    diagnosis.explanation = format!(
        "{} is up and answers, but does not accept the credentials that {} has: the password was changed on one side alone, or is wrong.",
        spoken(&behind.workload),
        spoken(&pod.workload)
    );
    if case::down(world, &pod.workload) {
        diagnosis.severity = "critical".into();
    }
    diagnosis.evidence.push(
        Evidence::signal(&line, 50, format!("{} is refused", spoken(&pod.workload))).citing(short(text, 400)),
    );
    let known = secrets(world, pod, &server);
    for secret in &known {
        if let Some(change) = world.changes(secret, "self", world.ago(hours(2)), 1).into_iter().next() {
            diagnosis.explanation.push_str(&format!(
                " {} was changed at {} UTC.",
                spoken(secret),
                clock(change.at)
            ));
            diagnosis.evidence.push(Evidence::signal(&change, 40, "changed shortly before").citing(format!(
                "{}: {}",
                spoken(secret),
                change.message
            )));
            diagnosis.confidence = 86;
        }
    }
    diagnosis.path.push(Step::new(&server, "", "refuses the login"));
    diagnosis.path.push(Step::new(&pod.id, "", ""));
    diagnosis.explains = case::explains(world, &pod.workload);
    for name in ["*Login*", "*Auth*", "*Burn*", "*SLO*", "*Probe*"] {
        diagnosis.explains.push(Explains::alert(name, &pod.workload, "workload"));
    }
    let k = kubectl(&pod.id.namespace);
    let own = known.iter().find(|s| s.namespace == pod.id.namespace);
    let mut same = Remedy::new(
        "give the workload the password that the server has now (or set the server's back), and let it start anew",
    );
    same = match own {
        Some(secret) => same.command(format!("{k} edit secret {}", secret.name)),
        None => same.command(format!("{k} get secrets")),
    };
    if let Some(again) = restart(&pod.holder) {
        same = same.command(again);
    }
    diagnosis.remedies.push(
        same.caution("where a tool makes the Secret, change the password there, or the old one comes back"),
    );
    diagnosis.supersedes = vec![service::DOWN.into()];
    Some(diagnosis)
}
