//! Where compiled rules are kept between runs.

use std::{env, path::PathBuf};

use crate::config::Config;

/// `cache_dir`, else `kwhy` in the user's cache folder; None where there is no home to put it in.
pub(crate) fn dir(config: &Config) -> Option<PathBuf> {
    let from = |name: &str| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let user = || from("XDG_CACHE_HOME").or_else(|| from("HOME").map(|home| home.join(".cache")));
    config.cache_dir.clone().or_else(|| user().map(|dir| dir.join("kwhy")))
}
