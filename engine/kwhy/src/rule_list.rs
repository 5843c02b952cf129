//! `kwhy rule list`: what the rules know.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::Result;
use kwhy_core::rule::{CodeInfo, Rules};
use kwhy_publish::{
    json,
    rules::{Code, Rule},
    text,
};

use crate::{args::Format, config::Config, exit::Exit, rules, screen};

pub(crate) fn run(config: &Config, format: Format, more_rules: &[PathBuf]) -> Result<Exit> {
    let sandbox = rules::load(config, more_rules)?;
    let loaded = sandbox.descriptors().iter().zip(sandbox.files());
    let rules: Vec<Rule> = loaded
        .enumerate()
        .map(|(n, (descriptor, file))| Rule {
            name: descriptor.name.clone(),
            version: descriptor.version.clone(),
            digest: descriptor.digest.clone(),
            file: (n >= rules::BUILT_IN).then(|| file.clone()),
            codes: descriptor.codes.iter().map(code).collect(),
        })
        .collect();
    let mut out = io::BufWriter::new(io::stdout().lock());
    match format {
        Format::Json => rules.iter().try_for_each(|rule| json::record(rule, &mut out))?,
        Format::Text => out.write_all(text::rules(&rules, &screen::style()).as_bytes())?,
    }
    out.flush()?;
    Ok(Exit::Nothing)
}

fn code(info: &CodeInfo) -> Code {
    let CodeInfo { code, title, versions, references } = info.clone();
    Code { code, title, versions, references }
}
