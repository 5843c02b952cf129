//! Where things lie: asked from cargo, so that a workspace or target directory set elsewhere is respected.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::command::{cargo, quiet};

/// A folder under plugins/ that becomes a component
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pack {
    /// The folder's name; the component is called so too
    pub(crate) name: String,
    /// The name of its crate
    pub(crate) package: String,
}

pub(crate) struct Project {
    root: PathBuf,
    target: PathBuf,
    packs: Vec<Pack>,
}

impl Project {
    pub(crate) fn find() -> Result<Self> {
        let text = quiet(&mut cargo(["metadata", "--no-deps", "--format-version", "1"]))
            .context("cannot find the workspace")?;
        let project = Self::from_metadata(&serde_json::from_str(&text)?)?;
        fs::create_dir_all(&project.target)
            .with_context(|| format!("cannot create {}", project.target.display()))?;
        Ok(project)
    }

    fn from_metadata(metadata: &Value) -> Result<Self> {
        let path = |key: &str| {
            let path = metadata.get(key).and_then(Value::as_str).map(PathBuf::from);
            path.with_context(|| format!("cargo metadata has no {key}"))
        };
        let root = path("workspace_root")?;
        let plugins = root.join("plugins");
        let mut packs = Vec::new();
        for package in metadata.get("packages").and_then(Value::as_array).into_iter().flatten() {
            let text = |key: &str| package.get(key).and_then(Value::as_str);
            let (Some(name), Some(manifest)) = (text("name"), text("manifest_path")) else { continue };
            let folder = Path::new(manifest).parent().and_then(|dir| dir.strip_prefix(&plugins).ok());
            match folder.and_then(Path::to_str) {
                None | Some("sdk") => {}
                Some(folder) => packs.push(Pack { name: folder.to_owned(), package: name.to_owned() }),
            }
        }
        packs.sort();
        if packs.is_empty() {
            bail!("no rule pack among the workspace members: each folder under plugins/ but sdk is one");
        }
        Ok(Self { target: path("target_directory")?, root, packs })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Sorted by name
    pub(crate) fn packs(&self) -> &[Pack] {
        &self.packs
    }

    pub(crate) fn captures(&self) -> PathBuf {
        self.root.join("tests/captures")
    }

    /// Where cargo puts the kwhy binary
    pub(crate) fn kwhy(&self, release: bool) -> PathBuf {
        self.target.join(if release { "release" } else { "debug" }).join("kwhy")
    }

    /// Where cargo puts another program of the workspace
    pub(crate) fn debug(&self, program: &str) -> PathBuf {
        self.target.join("debug").join(program)
    }

    /// `path` as a person in the workspace's root would type it
    pub(crate) fn short<'p>(&self, path: &'p Path) -> &'p Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata(packages: &[(&str, &str)]) -> Value {
        let packages: Vec<_> = packages
            .iter()
            .map(|(name, dir)| json!({"name": name, "manifest_path": format!("/w/{dir}/Cargo.toml")}))
            .collect();
        json!({"workspace_root": "/w", "target_directory": "/elsewhere", "packages": packages})
    }

    #[test]
    fn every_member_under_plugins_but_the_sdk_is_a_pack() {
        let members =
            [("kwhy-node", "plugins/node"), ("kwhy-sdk", "plugins/sdk"), ("kwhy-core", "engine/core")];
        let more = [("kwhy-coredns", "plugins/coredns")];
        let project = Project::from_metadata(&metadata(&[&members[..], &more[..]].concat())).unwrap();
        let names: Vec<_> = project.packs().iter().map(|p| (p.name.as_str(), p.package.as_str())).collect();
        assert_eq!(names, [("coredns", "kwhy-coredns"), ("node", "kwhy-node")]);
    }

    #[test]
    fn a_workspace_without_packs_is_an_error() {
        assert!(Project::from_metadata(&metadata(&[("kwhy-sdk", "plugins/sdk")])).is_err());
    }

    #[test]
    fn the_target_directory_may_lie_elsewhere() {
        let project = Project::from_metadata(&metadata(&[("a", "plugins/a")])).unwrap();
        assert_eq!(project.kwhy(true), Path::new("/elsewhere/release/kwhy"));
        assert_eq!(project.short(Path::new("/w/tests/captures")), Path::new("tests/captures"));
    }
}
