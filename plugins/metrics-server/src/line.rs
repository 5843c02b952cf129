//! Reading what metrics-server writes when it gets no metrics from a kubelet: which node, which address it asked, why.
//!
//! Three forms: one line for all nodes in 0.3 (`pkg/sources/manager.go`) and 0.4 (`pkg/server/server.go`), a structured
//! one for each node since 0.5 (`pkg/scraper/scraper.go`), the same as JSON with `--logging-format=json`. The reasons are
//! those of Go: `net/dnsclient`, `crypto/x509/verify.go`, `crypto/tls`, and of `pkg/scraper/client` for what a kubelet
//! answered.

/// Why a kubelet gave no metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The DNS server does not know the node's name.
    Names,
    /// The certificate does not name the address that was asked.
    Certificate,
    /// The certificate is signed by a CA that metrics-server does not trust.
    UnknownCa,
    /// The kubelet has no serving certificate yet.
    Pending,
    /// The certificate's time is over or has not come.
    Expired,
    /// The kubelet does not let metrics-server read.
    Denied,
    /// The Node has no address of the types that metrics-server was told to use.
    NoAddress,
    /// No DNS server answered.
    Dns,
    /// No connection or no answer in time.
    Unreachable,
    Other,
}

/// One kubelet that gave no metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) node: String,
    pub(crate) kind: Kind,
    /// The host that was asked; empty where the line does not say.
    pub(crate) host: String,
    /// The reason in the words of the line.
    pub(crate) text: String,
}

const SCRAPE: &str = "unable to fully scrape metrics from ";
const CONNECT: &str = "unable to extract connection information for ";

/// All kubelets that a line says gave no metrics.
pub(crate) fn failures(message: &str) -> Vec<Failure> {
    if message.contains("Failed to scrape node") {
        return structured(message).into_iter().collect();
    }
    let cut = |text: &str| text.trim().trim_end_matches([',', ']', ' ']).to_owned();
    // `A from source kubelet_summary:kal: why, A from source …` or `A from node kal: why`.
    let scraped = message.split(SCRAPE).skip(1).filter_map(|part| {
        let part = part.split(CONNECT).next().unwrap_or(part);
        let named = part.strip_prefix("source kubelet_summary:").or_else(|| part.strip_prefix("node "))?;
        let (node, why) = named.split_once(": ")?;
        // `unable to fetch metrics from Kubelet kal (kal): why`, or `… from node kal: why`.
        let why = why
            .strip_prefix("unable to fetch metrics from ")
            .and_then(|w| w.split_once(": "))
            .map_or(why, |(_, w)| w);
        Some((node.to_owned(), cut(why)))
    });
    let unnamed = message.split(CONNECT).skip(1).filter_map(|part| {
        let part = part.split(SCRAPE).next().unwrap_or(part);
        let (node, why) = part.strip_prefix("node ")?.split_once(": ")?;
        Some((node.trim_matches('"').to_owned(), cut(why)))
    });
    scraped.chain(unnamed).map(|(node, text)| failure(node, text)).collect()
}

fn structured(message: &str) -> Option<Failure> {
    // 0.7 says this of nodes whose Ready condition is false anyway, for debugging.
    if message.contains("node is not ready") {
        return None;
    }
    let between = |open: &str, close: &str| {
        let (_, rest) = message.split_once(open)?;
        rest.split_once(close).map(|(inner, _)| inner)
    };
    let quoted = |open: &str| {
        let (_, rest) = message.split_once(open)?;
        let mut end = 0;
        let bytes = rest.as_bytes();
        while let Some(b) = bytes.get(end).filter(|b| **b != b'"') {
            end += if *b == b'\\' { 2 } else { 1 };
        }
        rest.get(..end.min(rest.len()))
    };
    let node = between("\"node\":{\"name\":\"", "\"").or_else(|| {
        message.rsplit_once(" node=\"").and_then(|(_, rest)| rest.split_once('"')).map(|(n, _)| n)
    })?;
    let why = quoted("\"err\":\"").or_else(|| quoted(" err=\""))?;
    Some(failure(node.to_owned(), why.replace("\\\"", "\"")))
}

fn failure(node: String, text: String) -> Failure {
    let host = text.split_once("https://").map_or("", |(_, rest)| {
        let end = rest.find(['/', '"', ' ']).unwrap_or(rest.len());
        let authority = rest.get(..end).unwrap_or("");
        match authority.strip_prefix('[') {
            Some(v6) => v6.split(']').next().unwrap_or(v6),
            None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
        }
    });
    Failure { kind: kind(&text), host: host.to_owned(), node, text }
}

fn kind(text: &str) -> Kind {
    let has = |part: &str| text.contains(part);
    let any = |parts: &[&str]| parts.iter().any(|p| text.contains(p));
    if any(&["no address matched types", "no addresses that matched types"]) {
        Kind::NoAddress
    } else if has("lookup ") && any(&["no such host", "server misbehaving"]) {
        Kind::Names
    } else if has("lookup ") {
        Kind::Dns
    } else if any(&[
        "doesn't contain any IP SANs",
        "certificate is valid for ",
        "certificate is not valid for any names",
        "relies on legacy Common Name",
    ]) {
        Kind::Certificate
    } else if has("certificate signed by unknown authority") {
        Kind::UnknownCa
    } else if has("certificate has expired or is not yet valid") {
        Kind::Expired
    } else if has("remote error: tls: internal error") {
        Kind::Pending
    } else if any(&["401 Unauthorized", "403 Forbidden"]) {
        Kind::Denied
    } else if any(&[
        "i/o timeout",
        "context deadline exceeded",
        "connection refused",
        "no route to host",
        "network is unreachable",
        "Client.Timeout",
        "TLS handshake timeout",
    ]) {
        Kind::Unreachable
    } else {
        Kind::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(message: &str) -> Vec<(String, Kind, String)> {
        failures(message).into_iter().map(|f| (f.node, f.kind, f.host)).collect()
    }

    #[test]
    fn one_line_of_0_3_tells_of_all_nodes() {
        let line = "unable to fully collect metrics: [unable to fully scrape metrics from source kubelet_summary:kal: unable to fetch metrics from Kubelet kal (kal): Get https://kal:10250/stats/summary?only_cpu_and_memory=true: dial tcp: lookup kal on 10.96.0.10:53: no such host, unable to fully scrape metrics from source kubelet_summary:ford: unable to fetch metrics from Kubelet ford (192.168.7.11): Get https://192.168.7.11:10250/stats/summary?only_cpu_and_memory=true: x509: cannot validate certificate for 192.168.7.11 because it doesn't contain any IP SANs]";
        assert_eq!(
            read(line),
            [
                ("kal".to_owned(), Kind::Names, "kal".to_owned()),
                ("ford".to_owned(), Kind::Certificate, "192.168.7.11".to_owned())
            ]
        );
        assert_eq!(
            failures(line)[0].text,
            "Get https://kal:10250/stats/summary?only_cpu_and_memory=true: dial tcp: lookup kal on 10.96.0.10:53: no such host"
        );
    }

    #[test]
    fn the_line_of_0_4_names_the_node_otherwise() {
        let line = r#"unable to fully scrape metrics: [unable to fully scrape metrics from node w-02: unable to fetch metrics from node w-02: Get "https://10.0.0.2:10250/stats/summary?only_cpu_and_memory=true": x509: cannot validate certificate for 10.0.0.2 because it doesn't contain any IP SANs, unable to fully scrape metrics from node w-01: unable to fetch metrics from node w-01: request failed - "403 Forbidden".]"#;
        assert_eq!(
            read(line),
            [
                ("w-02".to_owned(), Kind::Certificate, "10.0.0.2".to_owned()),
                ("w-01".to_owned(), Kind::Denied, String::new())
            ]
        );
    }

    #[test]
    fn each_line_since_0_5_tells_of_one_node_in_text_or_json() {
        let text = r#""Failed to scrape node" err="Get \"https://10.0.0.25:10250/metrics/resource\": x509: certificate signed by unknown authority" node="worker-0""#;
        assert_eq!(read(text), [("worker-0".to_owned(), Kind::UnknownCa, "10.0.0.25".to_owned())]);
        assert_eq!(
            failures(text)[0].text,
            r#"Get "https://10.0.0.25:10250/metrics/resource": x509: certificate signed by unknown authority"#
        );
        let timeout = r#""Failed to scrape node, timeout to access kubelet" err="Get \"https://[fd00::5]:10250/metrics/resource\": context deadline exceeded" node="worker-0" timeout="10s""#;
        assert_eq!(read(timeout), [("worker-0".to_owned(), Kind::Unreachable, "fd00::5".to_owned())]);
        let json = r#"{"ts":1711029600000.1,"caller":"scraper/scraper.go:149","msg":"Failed to scrape node","node":{"name":"worker-0"},"err":"Get \"https://10.0.0.25:10250/metrics/resource\": remote error: tls: internal error"}"#;
        assert_eq!(read(json), [("worker-0".to_owned(), Kind::Pending, "10.0.0.25".to_owned())]);
        assert_eq!(read(r#""Failed to scrape node, node is not ready" node="worker-0" err="x""#), []);
    }

    #[test]
    fn reasons_are_told_apart() {
        for (why, expected) in [
            ("dial tcp: lookup kal on 10.96.0.10:53: no such host", Kind::Names),
            ("dial tcp: lookup kal on 10.96.0.10:53: server misbehaving", Kind::Names),
            (
                "dial tcp: lookup kal on 10.96.0.10:53: read udp 10.244.1.2:4->10.96.0.10:53: i/o timeout",
                Kind::Dns,
            ),
            ("dial tcp: lookup kal: Temporary failure in name resolution", Kind::Dns),
            ("x509: certificate is valid for localhost, not kal", Kind::Certificate),
            (
                "tls: failed to verify certificate: x509: certificate is not valid for any names, but wanted to match kal",
                Kind::Certificate,
            ),
            ("x509: certificate relies on legacy Common Name field, use SANs instead", Kind::Certificate),
            (
                "tls: failed to verify certificate: x509: certificate signed by unknown authority",
                Kind::UnknownCa,
            ),
            (
                "x509: certificate has expired or is not yet valid: current time 2024-03-21T14:00:00Z is after 2024-03-20T00:00:00Z",
                Kind::Expired,
            ),
            ("dial tcp 10.0.0.25:10250: i/o timeout", Kind::Unreachable),
            ("dial tcp 10.0.0.25:10250: connect: connection refused", Kind::Unreachable),
            (r#"request failed, status: "403 Forbidden""#, Kind::Denied),
            ("no address matched types [ExternalIP]", Kind::NoAddress),
            ("unexpected EOF", Kind::Other),
        ] {
            assert_eq!(kind(why), expected, "{why}");
        }
    }

    proptest! {
        #[test]
        fn no_line_breaks_the_reader(text in "\\PC{0,200}") {
            let _ = failures(&text);
            let _ = failures(&format!("\"Failed to scrape node\" err=\"{text}"));
            let _ = failures(&format!("{SCRAPE}node {text}"));
        }

        #[test]
        fn as_many_nodes_are_found_as_the_line_names(n in 1usize..20) {
            let parts: Vec<String> = (0..n).map(|i| format!("{SCRAPE}node w{i}: unable to fetch metrics from node w{i}: Get \"https://10.0.0.{i}:10250/x\": EOF")).collect();
            let found = failures(&format!("unable to fully scrape metrics: [{}]", parts.join(", ")));
            prop_assert_eq!(found.len(), n);
            let nodes: Vec<String> = found.iter().map(|f| f.node.clone()).collect();
            prop_assert_eq!(nodes, (0..n).map(|i| format!("w{i}")).collect::<Vec<_>>());
        }
    }
}
