//! A capture directory as inputs: objects, changes, events and container logs. Alerts and kubelet journals need the
//! engine's own reader and are left out; a rule under test gets them as [`Input::alert`] and so on.

use std::{
    error::Error,
    fmt, fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{Input, input::fields};
use crate::{ObjectRef, Signal, parse_time};

/// A capture that cannot be read.
#[derive(Debug)]
pub struct CaptureError {
    path: PathBuf,
    source: Box<dyn Error + Send + Sync>,
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read {}: {}", self.path.display(), self.source)
    }
}

impl Error for CaptureError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_ref())
    }
}

/// Reads a capture in the order of its times; at one time objects come first, then changes, events and logs. Files that
/// are not there are left out.
///
/// # Errors
/// The file that cannot be read and why.
pub fn read_capture(dir: &Path) -> Result<Vec<Input>, CaptureError> {
    let mut inputs = Vec::new();
    let from = text(&dir.join("capture.yaml"))?;
    let from =
        from.lines().find_map(|l| l.strip_prefix("from:")).and_then(|t| parse_time(t.trim())).unwrap_or(0);
    for object in items(&dir.join("objects.json"))? {
        let made = parse_time(str_at(&object, "/metadata/creationTimestamp")).unwrap_or(0);
        let json =
            |object| if made > from { Input::changed(made, object) } else { Input::listed(from, object) };
        inputs.push(json(object));
    }
    let changes = dir.join("changes.ndjson");
    for line in text(&changes)?.lines().filter(|l| !l.trim().is_empty()) {
        let mut change = json(&changes, line)?;
        inputs.push(Input::Object {
            at: parse_time(str_at(&change, "/at")).unwrap_or(from),
            change: str_at(&change, "/type").to_owned(),
            listed: false,
            json: change.get_mut("object").map(Value::take).unwrap_or_default(),
        });
    }
    for event in items(&dir.join("events.json"))? {
        inputs.push(Input::Signal(event_signal(&event)));
    }
    for (namespace, pods) in folders(&dir.join("pods"))? {
        for (pod, files) in folders(&pods)? {
            for (container, file) in folders(&files)? {
                let Some(container) = container.strip_suffix(".log") else { continue };
                let name = container.strip_suffix(".previous").unwrap_or(container);
                let previous = if name == container { "" } else { "true" };
                let subject = ObjectRef::new("Pod", &namespace, &pod);
                for (number, line) in text(&file)?.lines().enumerate() {
                    let Some((at, message)) =
                        line.split_once(' ').and_then(|(t, m)| Some((parse_time(t)?, m)))
                    else {
                        continue;
                    };
                    inputs.push(Input::Signal(Signal {
                        id: format!("log/{namespace}/{pod}/{container}/{:06}", number + 1),
                        fields: fields(&[("container", name), ("previous", previous)]),
                        at,
                        ..match Input::line(at, &subject, name, message) {
                            Input::Signal(signal) => signal,
                            Input::Object { .. } => Signal::default(),
                        }
                    }));
                }
            }
        }
    }
    inputs.sort_by_key(Input::at);
    Ok(inputs)
}

fn event_signal(event: &Value) -> Signal {
    let first = |pointers: &[&str]| {
        pointers.iter().map(|p| str_at(event, p)).find(|t| !t.is_empty()).unwrap_or("").to_owned()
    };
    let object = if event.get("involvedObject").is_some() { "/involvedObject" } else { "/regarding" };
    let part = |name: &str| str_at(event, &format!("{object}/{name}")).to_owned();
    let at = parse_time(&first(&[
        "/series/lastObservedTime",
        "/lastTimestamp",
        "/deprecatedLastTimestamp",
        "/eventTime",
        "/metadata/creationTimestamp",
    ]))
    .unwrap_or(0);
    let number = |pointer: &str| event.pointer(pointer).and_then(Value::as_u64);
    let count = number("/series/count").or(number("/count")).or(number("/deprecatedCount")).unwrap_or(1);
    Signal {
        id: format!("event/{}/{count:010}/{at}", str_at(event, "/metadata/uid")),
        source: "event".into(),
        name: first(&["/reason"]),
        state: first(&["/type"]),
        at,
        subject: Some(ObjectRef {
            uid: part("uid"),
            ..ObjectRef::new(&part("kind"), &part("namespace"), &part("name"))
        }),
        message: first(&["/message", "/note"]),
        fields: fields(&[("count", &count.to_string()), ("last-at", &at.to_string())]),
    }
}

fn str_at<'a>(json: &'a Value, pointer: &str) -> &'a str {
    json.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

fn failed(path: &Path, source: impl Into<Box<dyn Error + Send + Sync>>) -> CaptureError {
    CaptureError { path: path.to_owned(), source: source.into() }
}

fn text(path: &Path) -> Result<String, CaptureError> {
    if !path.exists() {
        return Ok(String::new());
    }
    fs::read_to_string(path).map_err(|e| failed(path, e))
}

fn json(path: &Path, text: &str) -> Result<Value, CaptureError> {
    serde_json::from_str(text).map_err(|e| failed(path, e))
}

fn items(path: &Path) -> Result<Vec<Value>, CaptureError> {
    let text = text(path)?;
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut list = json(path, &text)?;
    Ok(list.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default())
}

/// Names and paths of what lies in a directory, sorted.
fn folders(dir: &Path) -> Result<Vec<(String, PathBuf)>, CaptureError> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(|e| failed(dir, e))? {
        let entry = entry.map_err(|e| failed(dir, e))?;
        found.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
    }
    found.sort();
    Ok(found)
}
