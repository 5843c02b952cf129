//! Which node a line of a kubelet log is of, where a file holds those of many.

use std::collections::BTreeSet;

use crate::text;

/// The nodes of a kubelet log: one, or each that a line names.
pub(super) struct Nodes {
    pub(super) names: Vec<String>,
    pub(super) many: bool,
    /// The last host that was asked for.
    last: Option<(String, usize)>,
}

impl Nodes {
    /// `node` is empty for a file of many.
    pub(super) fn of(node: &str) -> Self {
        let many = node.is_empty();
        Self { names: if many { Vec::new() } else { vec![node.to_owned()] }, many, last: None }
    }

    /// The number of the node of a line: the one that is called like the host, with its domain or without it.
    pub(super) fn number(&mut self, host: &str, known: &BTreeSet<String>) -> usize {
        if !self.many {
            return 0;
        }
        if let Some((last, number)) = &self.last
            && last == host
        {
            return *number;
        }
        let name = text::name(host);
        let mut longer =
            known.iter().filter(|node| node.strip_prefix(&name).is_some_and(|rest| rest.starts_with('.')));
        let node = match (known.contains(&name), longer.next(), longer.next()) {
            (false, Some(node), None) => node.clone(),
            _ => name,
        };
        let number = self.names.iter().position(|known| *known == node).unwrap_or_else(|| {
            self.names.push(node);
            self.names.len() - 1
        });
        self.last = Some((host.to_owned(), number));
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_the_node_that_is_called_like_it() {
        let known = BTreeSet::from([
            "n1".to_owned(),
            "n2.example.org".to_owned(),
            "n3.a".to_owned(),
            "n3.b".to_owned(),
        ]);
        let mut nodes = Nodes::of("");
        for host in ["n1", "n2", "n1", "n3"] {
            nodes.number(host, &known);
        }
        assert_eq!(nodes.names, ["n1", "n2.example.org", "n3"]);
        assert_eq!(Nodes::of("kal").number("other", &known), 0, "the file says which node it is of");
    }
}
