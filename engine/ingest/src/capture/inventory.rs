//! Which files a capture has, or a dump that is read like one. Hides their names, and that each may be packed, or all.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use walkdir::WalkDir;

use super::{
    CaptureError,
    archive::{self, Limits, Unpacked},
    dump::{self, Told},
    problem::Problems,
};
use crate::text;

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Span,
    /// `of` is the kind of items that do not say it; empty where all do.
    Objects {
        of: &'static str,
    },
    /// Objects that another file of the same folder holds as well, if it is there.
    Spare {
        of: &'static str,
        in_file: &'static str,
    },
    Changes,
    /// What `kwhy record` has read from NATS.
    Signals,
    Events,
    Deliveries,
    Alerts,
    /// `node` is empty where each line names it.
    Kubelet {
        node: String,
    },
    /// `timed` where each line starts with a time.
    Log {
        namespace: String,
        pod: String,
        container: String,
        previous: bool,
        timed: bool,
    },
    /// All containers of a pod, one after another, without times.
    PodLog {
        namespace: String,
        pod: String,
    },
}

/// A file of the format.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) path: PathBuf,
    /// As it is called on disk, or in its archive.
    pub(super) file: String,
    /// As the format calls it, without `.gz` and without the folders around a dump: what signals cite, so that packing
    /// a file changes no finding.
    pub(super) name: String,
}

/// What there is to read.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    /// In the order of their names.
    pub(super) found: Vec<Found>,
    /// Whether another tool has collected it.
    pub(super) is_dump: bool,
    /// Where an archive was unpacked.
    _unpacked: Option<Unpacked>,
}

/// The files of a capture or dump: of the folder `root`, or in the archive `root`.
pub(super) fn find(root: &Path, problems: &mut Problems) -> Result<Inventory, CaptureError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => CaptureError::Missing { path: root.to_owned() },
        io::ErrorKind::NotADirectory => CaptureError::NotADirectory { path: root.to_owned() },
        _ => CaptureError::Unreadable { path: root.to_owned(), source: error },
    };
    let meta = fs::metadata(root).map_err(failed)?;
    if !meta.is_dir() {
        if !meta.is_file() {
            return Err(CaptureError::NotADirectory { path: root.to_owned() });
        }
        return archived(root, problems);
    }
    let mut files = Vec::new();
    walk(root, "", &mut files, problems).map_err(failed)?;
    let mut found = captured(files, problems);
    let mut is_dump = false;
    if !found.iter().any(|file| is_own(&file.kind)) {
        let dump = dumped(&all_below(root)?, root)?;
        is_dump = !dump.is_empty();
        found.extend(dump);
    }
    Ok(Inventory { found, is_dump, _unpacked: None })
}

/// Whether a file makes a folder a capture. Others may stand beside a dump, to say more: what cluster it is, its alerts.
fn is_own(kind: &Kind) -> bool {
    matches!(kind, Kind::Objects { .. } | Kind::Changes | Kind::Signals | Kind::Events | Kind::Log { .. })
}

fn archived(path: &Path, problems: &mut Problems) -> Result<Inventory, CaptureError> {
    let refused = |source| CaptureError::Archive { path: path.to_owned(), source };
    let wanted =
        |name: &str| kind(plain(inner(name))).or_else(|| kind(plain(name))).is_some() || dump::possible(name);
    let unpacked = archive::unpack(path, wanted, Limits::default(), problems).map_err(refused)?;
    let files = &unpacked.files;
    // A capture is packed with or without its folder.
    let captured_as = |of: fn(&str) -> &str| {
        let named = files.iter().filter(|(name, _)| of(name).len() == name.len() || !of(name).is_empty());
        named.map(|(name, path)| (of(name).to_owned(), name.clone(), path.clone())).collect::<Vec<_>>()
    };
    let mut found = named(captured_as(|name| name), problems);
    let mut is_dump = false;
    if !found.iter().any(|file| is_own(&file.kind)) {
        let folders: BTreeSet<&str> =
            files.iter().filter_map(|(name, _)| Some(name.split_once('/')?.0)).collect();
        let inside = if folders.len() == 1 { named(captured_as(inner), problems) } else { Vec::new() };
        if inside.iter().any(|file| is_own(&file.kind)) {
            found = inside;
        } else {
            let dump = dumped(files, path)?;
            is_dump = !dump.is_empty();
            found.extend(inside);
            found.extend(dump);
        }
    }
    Ok(Inventory { found, is_dump, _unpacked: Some(unpacked) })
}

/// The name below the first folder.
fn inner(name: &str) -> &str {
    name.split_once('/').map_or("", |(_, inside)| inside)
}

fn plain(name: &str) -> &str {
    name.strip_suffix(".gz").unwrap_or(name)
}

/// The files of a dump among some, each with its path.
fn dumped(files: &[(String, PathBuf)], root: &Path) -> Result<Vec<Found>, CaptureError> {
    let names = || files.iter().map(|(name, _)| name.as_str());
    let (layout, roots) = match dump::tell(names()) {
        Told::None => return Ok(Vec::new()),
        Told::Several(dumps) => return Err(CaptureError::Several { path: root.to_owned(), dumps }),
        Told::Dump(layout, roots) => (layout, roots),
    };
    tracing::debug!(?layout, ?roots, "A dump of another tool.");
    let paths: BTreeMap<&str, &PathBuf> = files.iter().map(|(name, path)| (name.as_str(), path)).collect();
    let mut found: Vec<Found> = dump::files(layout, &roots, names())
        .into_iter()
        .filter_map(|(file, name, kind)| {
            let path = (*paths.get(file)?).clone();
            Some(Found { kind, path, file: file.to_owned(), name: name.to_owned() })
        })
        .collect();
    found.sort_by(|a, b| (&a.name, &a.file).cmp(&(&b.name, &b.file)));
    Ok(found)
}

/// Files that a folder may hold before it is not looked through any more.
const MANY: usize = 1_000_000;

/// All files below a folder, as deep as a dump may be. Links are not followed: who has packed a dump must not decide
/// what else of this machine is read.
fn all_below(root: &Path) -> Result<Vec<(String, PathBuf)>, CaptureError> {
    let mut files = Vec::new();
    for entry in WalkDir::new(root).max_depth(dump::AROUND + dump::DEEP).sort_by_file_name() {
        // What may not be read is not known to be of a dump.
        let Ok(entry) = entry.inspect_err(|error| tracing::debug!(%error, "Not looked into.")) else {
            continue;
        };
        if !entry.file_type().is_file() {
            continue;
        }
        let Ok(name) = entry.path().strip_prefix(root) else { continue };
        let name: Vec<_> = name.iter().map(|part| part.to_string_lossy()).collect();
        if files.len() == MANY {
            return Err(CaptureError::Many { path: root.to_owned(), limit: MANY });
        }
        files.push((name.join("/"), entry.into_path()));
    }
    Ok(files)
}

/// The files of a capture among some.
fn captured(files: Vec<(String, PathBuf)>, problems: &mut Problems) -> Vec<Found> {
    named(files.into_iter().map(|(name, path)| (name.clone(), name, path)).collect(), problems)
}

/// The files of a capture among some: the name below its root, the name to be told, the path.
fn named(mut files: Vec<(String, String, PathBuf)>, problems: &mut Problems) -> Vec<Found> {
    let mut found: BTreeMap<String, Found> = BTreeMap::new();
    files.sort();
    // Sorted, NAME comes before NAME.gz.
    for (inside, file, path) in files {
        let name = plain(&inside).to_owned();
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
    found.into_values().collect()
}

fn kind(name: &str) -> Option<Kind> {
    let parts: Vec<&str> = name.split('/').collect();
    Some(match *parts.as_slice() {
        ["capture.yaml"] => Kind::Span,
        ["objects.json"] => Kind::Objects { of: "" },
        ["changes.ndjson"] => Kind::Changes,
        ["signals.ndjson"] => Kind::Signals,
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
                timed: true,
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
        let log = |previous| Kind::Log {
            namespace: "ns".into(),
            pod: "p".into(),
            container: "c".into(),
            previous,
            timed: true,
        };
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
        let found = find(dir.path(), &mut problems).unwrap().found;
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
