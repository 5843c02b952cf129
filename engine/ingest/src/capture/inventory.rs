//! Which files a capture has. Hides their names, and that each may be packed.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use super::{CaptureError, problem::Problems};
use crate::text;

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Span,
    Objects,
    Changes,
    Events,
    Deliveries,
    Alerts,
    Kubelet { node: String },
    Log { namespace: String, pod: String, container: String, previous: bool },
}

/// A file of the format.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) path: PathBuf,
    /// As it is called on disk.
    pub(super) file: String,
    /// As the format calls it, without `.gz`: what signals cite, so that packing a file changes no finding.
    pub(super) name: String,
}

/// The files of the format under `root`, in the order of their names.
pub(super) fn find(root: &Path, problems: &mut Problems) -> Result<Vec<Found>, CaptureError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => CaptureError::Missing { path: root.to_owned() },
        io::ErrorKind::NotADirectory => CaptureError::NotADirectory { path: root.to_owned() },
        _ => CaptureError::Unreadable { path: root.to_owned(), source: error },
    };
    if !fs::metadata(root).map_err(failed)?.is_dir() {
        return Err(CaptureError::NotADirectory { path: root.to_owned() });
    }
    let mut files = Vec::new();
    walk(root, "", &mut files, problems).map_err(failed)?;

    let mut found: BTreeMap<String, Found> = BTreeMap::new();
    files.sort();
    // Sorted, NAME comes before NAME.gz.
    for (file, path) in files {
        let name = file.strip_suffix(".gz").unwrap_or(&file).to_owned();
        let Some(kind) = kind(&name) else {
            tracing::debug!(file, "not a file of a capture, ignored");
            continue;
        };
        if found.contains_key(&name) {
            problems.file(&file, format_args!("{name} is there, too, and is read instead"));
            continue;
        }
        found.insert(name.clone(), Found { kind, path, file, name });
    }
    Ok(found.into_values().collect())
}

fn kind(name: &str) -> Option<Kind> {
    let parts: Vec<&str> = name.split('/').collect();
    Some(match *parts.as_slice() {
        ["capture.yaml"] => Kind::Span,
        ["objects.json"] => Kind::Objects,
        ["changes.ndjson"] => Kind::Changes,
        ["events.json"] => Kind::Events,
        ["alerts.ndjson"] => Kind::Deliveries,
        ["alerts.json"] => Kind::Alerts,
        ["kubelet", log] => Kind::Kubelet { node: text::name(log.strip_suffix(".log")?) },
        ["pods", namespace, pod, log] => {
            let log = log.strip_suffix(".log")?;
            let container = log.strip_suffix(".previous");
            Kind::Log {
                namespace: text::name(namespace),
                pod: text::name(pod),
                container: text::name(container.unwrap_or(log)),
                previous: container.is_some(),
            }
        }
        _ => return None,
    })
}

/// Collects files below `dir`. Goes down only where the format has directories, so a link cannot lead round in circles.
fn walk(
    dir: &Path,
    prefix: &str,
    files: &mut Vec<(String, PathBuf)>,
    problems: &mut Problems,
) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let path = entry.path();
        // Follows links: a capture may link to logs. What is neither (a pipe, a broken link) is not opened.
        match fs::metadata(&path) {
            Ok(meta) if meta.is_file() => files.push((name, path)),
            Ok(meta) if meta.is_dir() => {
                let depth = name.split('/').count();
                let ours = name == "kubelet" || name == "pods" || (name.starts_with("pods/") && depth <= 3);
                if !ours {
                    if kind(name.strip_suffix(".gz").unwrap_or(&name)).is_some() {
                        problems.file(&name, "is a directory, not a file");
                    }
                } else if let Err(error) = walk(&path, &format!("{name}/"), files, problems) {
                    problems.file(&name, format_args!("cannot be read: {error}"));
                }
            }
            Ok(_) if kind(&name).is_some() => problems.file(&name, "is not a regular file"),
            Err(error) if kind(&name).is_some() => {
                problems.file(&name, format_args!("cannot be read: {error}"))
            }
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_format_are_known() {
        assert_eq!(
            kind("kubelet/node-1.example.org.log"),
            Some(Kind::Kubelet { node: "node-1.example.org".into() })
        );
        let log =
            |previous| Kind::Log { namespace: "ns".into(), pod: "p".into(), container: "c".into(), previous };
        assert_eq!(kind("pods/ns/p/c.log"), Some(log(false)));
        assert_eq!(kind("pods/ns/p/c.previous.log"), Some(log(true)));
        for name in ["truth.yaml", "pods/ns/c.log", "kubelet/a/b.log", "kubelet/kal.txt", "x/objects.json"] {
            assert_eq!(kind(name), None, "{name}");
        }
    }

    #[test]
    fn a_packed_twin_is_left_and_said() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["events.json", "events.json.gz", "truth.yaml"] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        fs::create_dir(dir.path().join("objects.json")).unwrap();
        let mut problems = Problems::default();
        let found = find(dir.path(), &mut problems).unwrap();
        assert_eq!(found.iter().map(|found| found.file.as_str()).collect::<Vec<_>>(), ["events.json"]);
        let told: Vec<String> = problems.into_list().iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "events.json.gz: events.json is there, too, and is read instead",
                "objects.json: is a directory, not a file"
            ]
        );
    }
}
