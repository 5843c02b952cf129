//! Which finding or code somebody means, and what to say where there is none.

use anyhow::{Result, anyhow, bail};
use kwhy_proto::v1::Finding;

/// Most things that a message names.
const NAMED: usize = 5;
/// Words less alike than this are not what somebody meant.
const ALIKE: f64 = 0.7;

/// The finding that `wanted` means: its id, the beginning of its id, or its code. `codes`: all that may be found.
pub(crate) fn finding<'a>(wanted: &str, findings: &'a [Finding], codes: &[String]) -> Result<&'a Finding> {
    if let Some(exact) = findings.iter().find(|finding| finding.id == wanted) {
        return Ok(exact);
    }
    let of_code: Vec<&Finding> = findings.iter().filter(|finding| finding.code == wanted).collect();
    match of_code.as_slice() {
        [] => {}
        [one] => return Ok(one),
        many => {
            bail!("{} findings have the code {wanted}; give the id of one: {}", many.len(), list(many))
        }
    }
    let begin: Vec<&Finding> =
        findings.iter().filter(|finding| !wanted.is_empty() && finding.id.starts_with(wanted)).collect();
    match begin.as_slice() {
        [one] => Ok(one),
        [] if wanted.contains('.') => Err(no_such_code(wanted, codes)),
        [] if findings.is_empty() => Err(anyhow!("there is no finding `{wanted}`: nothing was found at all")),
        [] => {
            let all: Vec<&Finding> = findings.iter().collect();
            Err(anyhow!("there is no finding `{wanted}`; there are {}", list(&all)))
        }
        many => Err(anyhow!("`{wanted}` begins {} findings, give more of it: {}", many.len(), list(many))),
    }
}

fn no_such_code(wanted: &str, codes: &[String]) -> anyhow::Error {
    if codes.iter().any(|code| code == wanted) {
        anyhow!("no finding has the code {wanted}; `kwhy explain --code {wanted} --capture DIR` says why")
    } else {
        unknown(wanted, codes)
    }
}

/// That no rule knows the code `wanted`, and which ones somebody may have meant.
pub(crate) fn unknown(wanted: &str, codes: &[String]) -> anyhow::Error {
    let cause = |code: &str| code.split_once('.').map_or_else(String::new, |(_, cause)| cause.to_owned());
    // Whoever forgets the pack, or gives a wrong one, still knows what the cause is called.
    let alike = |code: &str| {
        let whole = strsim::jaro_winkler(wanted, code);
        let bare = [wanted.to_owned(), cause(wanted)].iter().any(|w| !w.is_empty() && *w == cause(code));
        if bare { 1.0 } else { whole }
    };
    let mut near: Vec<(f64, &String)> = codes.iter().map(|code| (alike(code), code)).collect();
    near.retain(|(likeness, _)| *likeness >= ALIKE);
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    let near: Vec<&str> = near.into_iter().take(3).map(|(_, code)| code.as_str()).collect();
    match near.is_empty() {
        true => anyhow!("no rule knows the code {wanted}; `kwhy rule list` shows all"),
        false => anyhow!(
            "no rule knows the code {wanted}; did you mean {}? (`kwhy rule list` shows all)",
            near.join(" or ")
        ),
    }
}

/// `f1a2b3 (coredns.forward-loop on Node kal), …`
fn list(findings: &[&Finding]) -> String {
    let one = |finding: &&Finding| {
        let root = finding.root.clone().unwrap_or_default();
        let place = if root.namespace.is_empty() { String::new() } else { format!("{}/", root.namespace) };
        kwhy_publish::sanitize::line(&format!(
            "{} ({} on {} {place}{})",
            finding.id, finding.code, root.kind, root.name
        ))
    };
    let mut named: Vec<String> = findings.iter().take(NAMED).map(one).collect();
    if findings.len() > NAMED {
        named.push(format!("and {} more", findings.len() - NAMED));
    }
    named.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Vec<Finding> {
        let one = |id: &str, code: &str| Finding { id: id.into(), code: code.into(), ..Finding::default() };
        vec![one("f12a", "coredns.forward-loop"), one("f12b", "node.down"), one("f3", "node.down")]
    }

    fn codes() -> Vec<String> {
        ["coredns.forward-loop", "coredns.config-invalid", "node.down", "workload.oom-limit"]
            .map(str::to_owned)
            .into()
    }

    fn said(wanted: &str) -> String {
        match finding(wanted, &findings(), &codes()) {
            Ok(finding) => finding.id.clone(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_finding_is_meant_by_its_id_the_beginning_of_it_or_its_code() {
        assert_eq!(["f12a", "f3", "f12b", "coredns.forward-loop"].map(said), ["f12a", "f3", "f12b", "f12a"]);
    }

    #[test]
    fn what_means_several_names_them() {
        assert!(said("f12").starts_with("`f12` begins 2 findings, give more of it: f12a (coredns."));
        assert!(
            said("node.down").starts_with("2 findings have the code node.down; give the id of one: f12b")
        );
    }

    #[test]
    fn a_code_that_was_not_found_and_one_that_nobody_knows_are_told_apart() {
        assert!(said("workload.oom-limit").contains("kwhy explain --code workload.oom-limit --capture DIR"));
        assert!(said("coredns.forwardloop").contains("did you mean coredns.forward-loop"));
        assert!(said("dns.forward-loop").contains("did you mean coredns.forward-loop"));
        assert_eq!(said("x.y"), "no rule knows the code x.y; `kwhy rule list` shows all");
        assert!(said("e99").starts_with("there is no finding `e99`; there are f12a ("));
        assert!(said("").starts_with("there is no finding ``"));
    }
}
