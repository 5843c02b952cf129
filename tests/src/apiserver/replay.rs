//! A capture as the API server would have told it, at another time.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use kwhy_proto::Timestamp;
use serde_json::Value;

/// The log of a container.
#[derive(Debug, Clone)]
pub struct ContainerLog {
    /// Of its pod.
    pub namespace: String,
    /// Its pod.
    pub pod: String,
    /// Its name.
    pub container: String,
    /// Whether it is of the run before.
    pub previous: bool,
    /// Its lines, each with a time.
    pub text: String,
}

impl ContainerLog {
    /// Where it stands in a capture.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        let end = if self.previous { ".previous.log" } else { ".log" };
        Path::new("pods").join(&self.namespace).join(&self.pod).join(format!("{}{end}", self.container))
    }
}

/// What a capture holds, with all its times moved.
#[derive(Debug)]
pub struct Shifted {
    /// As they stood at the beginning.
    pub objects: Vec<Value>,
    /// Events of core/v1.
    pub events: Vec<Value>,
    /// Later states of objects, in order: as in a watch event, and the object.
    pub changes: Vec<(String, Value)>,
    /// Logs of containers.
    pub logs: Vec<ContainerLog>,
    /// What Alertmanager listed.
    pub alerts: Value,
}

/// A quarter of a minute ago, to the second: what is told with this time is past when it is heard.
///
/// # Panics
/// Before 1970.
#[must_use]
pub fn just_now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    Timestamp { seconds: i64::try_from(since.as_secs()).expect("a time") - 15, nanos: 0 }
}

/// Reads a capture and moves every time in it so that `from`, which stands in it, becomes `to`.
///
/// # Panics
/// Where the capture cannot be read.
#[must_use]
pub fn shifted(capture: &Path, from: &str, to: Timestamp) -> Shifted {
    let from = time(from).expect("a time");
    let by = to.seconds - from.seconds;
    let read = |name: &str| fs::read_to_string(capture.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let moved = |name: &str| {
        let mut value: Value = serde_json::from_str(&read(name)).expect("JSON");
        shift(&mut value, by);
        value
    };
    let items = |name: &str| match moved(name)["items"].take() {
        Value::Array(items) => items,
        other => panic!("{name} holds no list: {other}"),
    };
    let changes = read("changes.ndjson");
    let changes = changes.lines().map(|line| {
        let mut change: Value = serde_json::from_str(line).expect("JSON");
        shift(&mut change, by);
        (change["type"].as_str().expect("a type").to_owned(), change["object"].take())
    });
    Shifted {
        objects: items("objects.json"),
        events: items("events.json"),
        changes: changes.collect(),
        logs: logs(&capture.join("pods"), by),
        alerts: moved("alerts.json"),
    }
}

fn logs(pods: &Path, by: i64) -> Vec<ContainerLog> {
    let inside = |path: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        entries.flatten().map(|entry| entry.path()).collect()
    };
    let name =
        |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut all = Vec::new();
    for namespace in inside(pods) {
        for pod in inside(&namespace) {
            for file in inside(&pod) {
                let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
                let moved = text.lines().map(|line| {
                    let (at, rest) = line.split_once(' ').expect("a time before each line");
                    let at = time(at).expect("a time");
                    format!("{} {rest}\n", Timestamp { seconds: at.seconds + by, ..at })
                });
                let called = name(&file);
                let called = called.trim_end_matches(".log");
                all.push(ContainerLog {
                    namespace: name(&namespace),
                    pod: name(&pod),
                    container: called.trim_end_matches(".previous").to_owned(),
                    previous: called.ends_with(".previous"),
                    text: moved.collect(),
                });
            }
        }
    }
    all
}

/// A time as RFC 3339 writes it.
#[must_use]
pub fn time(text: &str) -> Option<Timestamp> {
    serde_json::from_value(text.into()).ok()
}

fn shift(value: &mut Value, by: i64) {
    match value {
        Value::String(text) => {
            if text.ends_with('Z')
                && let Some(time) = time(text)
            {
                *text = Timestamp { seconds: time.seconds + by, ..time }.to_string();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| shift(item, by)),
        Value::Object(fields) => fields.values_mut().for_each(|field| shift(field, by)),
        _ => {}
    }
}
