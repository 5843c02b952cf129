//! Reading a Corefile: server blocks, their zones and the directives in them.
//!
//! The form is that of Caddy v1, which CoreDNS parses (coredns/caddy caddyfile/lexer.go and parse.go): tokens by white
//! space, quotes, comments from `#`, one directive a line with an optional block. Snippets are put in place; files that
//! `import` names are not known here.

/// Deepest import of a snippet in a snippet that is followed.
const MAX_DEPTH: usize = 4;

/// One directive of a server block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Directive {
    pub(crate) name: String,
    pub(crate) args: Vec<String>,
    /// Line in the Corefile, from 1.
    pub(crate) line: usize,
    /// The line as it stands there, without indentation and opening brace.
    pub(crate) text: String,
}

/// A server block.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Server {
    /// Zones, lower-case and with the final dot, each with its port.
    pub(crate) zones: Vec<(String, u16)>,
    pub(crate) directives: Vec<Directive>,
}

/// Upstreams for names under a zone, as a `forward` (or before CoreDNS 1.5 `proxy`) line has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Forward {
    pub(crate) to: Vec<String>,
    pub(crate) text: String,
    pub(crate) line: usize,
    /// Port on which the server block listens.
    pub(crate) port: u16,
}

impl Server {
    pub(crate) fn has(&self, directive: &str) -> bool {
        self.directives.iter().any(|d| d.name == directive)
    }
}

/// The server blocks of a Corefile, in order. What cannot be read is left out.
pub(crate) fn parse(text: &str) -> Vec<Server> {
    let mut parser = Parser { tokens: lex(text), at: 0, lines: text.lines().collect(), snippets: Vec::new() };
    let mut servers = Vec::new();
    while parser.at < parser.tokens.len() {
        servers.extend(parser.block());
    }
    servers
}

/// The server block whose loop check would see a query of `zone`: the plugin probes the first zone of its block.
pub(crate) fn serving<'a>(servers: &'a [Server], zone: &str) -> Option<&'a Server> {
    let first = |s: &&Server| s.zones.first().is_some_and(|(z, _)| z == zone);
    let any = |s: &&Server| s.zones.iter().any(|(z, _)| covers(z, zone));
    servers
        .iter()
        .find(|s| first(s) && s.has("loop"))
        .or(servers.iter().find(first))
        .or(servers.iter().find(any))
}

/// The upstreams that a query of `zone` goes to: the first stanza that covers it, as the plugins are chained.
pub(crate) fn forward(server: &Server, zone: &str) -> Option<Forward> {
    let port = server.zones.first().map_or(53, |(_, port)| *port);
    server.directives.iter().find_map(|d| {
        let (from, to) = d.args.split_first()?;
        let forwards = matches!(d.name.as_str(), "forward" | "proxy") && covers(&zone_of(from).0, zone);
        forwards.then(|| Forward { to: to.to_vec(), text: d.text.clone(), line: d.line, port })
    })
}

/// The stanza that names one of these hosts as an upstream, and the zone that it is for.
pub(crate) fn forward_to(servers: &[Server], hosts: &[&str]) -> Option<(String, Forward)> {
    servers.iter().find_map(|server| {
        let (first, port) = server.zones.first().cloned()?;
        server.directives.iter().filter(|d| matches!(d.name.as_str(), "forward" | "proxy")).find_map(|d| {
            let (from, to) = d.args.split_first()?;
            let plain = |to: &str| {
                let to = to.split_once("://").map_or(to, |(_, rest)| rest);
                let to = to.split('%').next().unwrap_or(to);
                hosts.iter().any(|h| {
                    to == *h
                        || to.trim_matches(['[', ']']) == *h
                        || to.rsplit_once(':').is_some_and(|(host, _)| host.trim_matches(['[', ']']) == *h)
                })
            };
            to.iter().any(|t| plain(t)).then(|| {
                let zone = if from == "." { first.clone() } else { zone_of(from).0 };
                (zone, Forward { to: to.to_vec(), text: d.text.clone(), line: d.line, port })
            })
        })
    })
}

fn covers(zone: &str, name: &str) -> bool {
    zone == "." || name == zone || name.ends_with(&format!(".{zone}"))
}

/// Zone and port of a server key or FROM argument: `dns://Example.org:1053` is `example.org.` on 1053.
fn zone_of(key: &str) -> (String, u16) {
    let (scheme, rest) = key.split_once("://").map_or(("dns", key), |(s, r)| (s, r));
    let default = match scheme {
        "tls" | "quic" => 853,
        "https" | "https3" | "grpc" => 443,
        _ => 53,
    };
    let (zone, port) = match rest.rsplit_once(':') {
        Some((zone, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            (zone, port.parse().unwrap_or(default))
        }
        _ => (rest, default),
    };
    let zone = zone.trim_end_matches('.').to_ascii_lowercase();
    (format!("{zone}."), port)
}

#[derive(Debug, Clone)]
struct Token {
    text: String,
    line: usize,
}

fn lex(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let (mut line, mut word, mut started, mut quoted, mut comment) = (1, String::new(), 1, false, false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if quoted {
            match c {
                '\\' if chars.peek() == Some(&'"') => word.extend(chars.next()),
                '"' => {
                    tokens.push(Token { text: std::mem::take(&mut word), line: started });
                    quoted = false;
                }
                _ => word.push(c),
            }
        } else if c.is_whitespace() {
            if !word.is_empty() {
                tokens.push(Token { text: std::mem::take(&mut word), line: started });
            }
            comment &= c != '\n';
        } else if !comment {
            if word.is_empty() {
                started = line;
                comment = c == '#';
                quoted = c == '"';
            }
            if !comment && !quoted {
                word.push(c);
            }
        }
        line += usize::from(c == '\n');
    }
    if !word.is_empty() {
        tokens.push(Token { text: word, line: started });
    }
    tokens
}

struct Parser<'a> {
    tokens: Vec<Token>,
    at: usize,
    lines: Vec<&'a str>,
    snippets: Vec<(String, Vec<Directive>)>,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    /// Keys up to the brace, then the directives; a snippet is kept aside.
    fn block(&mut self) -> Option<Server> {
        let mut keys: Vec<String> = Vec::new();
        let mut braced = false;
        let mut line = self.peek()?.line;
        while let Some(token) = self.peek().cloned() {
            // Without a brace the keys end with their line, unless a comma says that more follow.
            let goes_on = keys.last().is_none_or(|k| k.ends_with(','));
            if token.text != "{" && token.line != line && !goes_on {
                break;
            }
            self.at += 1;
            line = token.line;
            if token.text == "{" {
                braced = true;
                break;
            }
            keys.push(token.text);
        }
        if keys.first().is_some_and(|k| k == "import") {
            return None;
        }
        let directives = self.directives(braced);
        let snippet = keys.first().and_then(|k| k.strip_prefix('(')?.strip_suffix(')'));
        if let Some(name) = snippet {
            self.snippets.push((name.to_owned(), directives));
            return None;
        }
        let keys = keys.iter().flat_map(|k| k.split(',')).filter(|k| !k.is_empty());
        let zones = keys.map(zone_of).collect();
        let mut expanded = Vec::new();
        self.expand(directives, MAX_DEPTH, &mut expanded);
        Some(Server { zones, directives: expanded })
    }

    fn directives(&mut self, braced: bool) -> Vec<Directive> {
        let mut out = Vec::new();
        while let Some(name) = self.next() {
            if name.text == "}" && braced {
                break;
            }
            let mut args = Vec::new();
            while let Some(token) = self.peek().filter(|t| t.line == name.line && t.text != "}").cloned() {
                self.at += 1;
                if token.text == "{" {
                    self.skip_block();
                    break;
                }
                args.push(token.text);
            }
            let text =
                self.lines.get(name.line - 1).map_or("", |l| l.trim().trim_end_matches('{').trim_end());
            out.push(Directive { name: name.text, args, line: name.line, text: text.to_owned() });
        }
        out
    }

    fn skip_block(&mut self) {
        let mut depth = 1;
        while depth > 0 {
            match self.next() {
                Some(token) if token.text == "{" => depth += 1,
                Some(token) if token.text == "}" => depth -= 1,
                Some(_) => {}
                None => break,
            }
        }
    }

    fn expand(&self, directives: Vec<Directive>, depth: usize, out: &mut Vec<Directive>) {
        for directive in directives {
            let snippet = self.snippets.iter().find(|(name, _)| directive.args.first() == Some(name));
            match snippet {
                Some((_, inner)) if directive.name == "import" && depth > 0 => {
                    self.expand(inner.clone(), depth - 1, out)
                }
                _ => out.push(directive),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// kubeadm's default, kubernetes/cmd/kubeadm/app/phases/addons/dns/manifests.go.
    const KUBEADM: &str = ".:53 {\n    errors\n    health {\n       lameduck 5s\n    }\n    ready\n    kubernetes cluster.local in-addr.arpa ip6.arpa {\n       pods insecure\n       fallthrough in-addr.arpa ip6.arpa\n       ttl 30\n    }\n    prometheus :9153\n    forward . /etc/resolv.conf {\n       max_concurrent 1000\n    }\n    cache 30\n    loop\n    reload\n    loadbalance\n}\n";

    fn to(text: &str, zone: &str) -> Option<Vec<String>> {
        let servers = parse(text);
        forward(serving(&servers, zone)?, zone).map(|f| f.to)
    }

    #[test]
    fn the_default_of_kubeadm_forwards_to_resolv_conf_and_checks_for_loops() {
        let servers = parse(KUBEADM);
        let server = serving(&servers, ".").unwrap();
        assert!(server.has("loop"));
        let forward = forward(server, ".").unwrap();
        assert_eq!(forward.text, "forward . /etc/resolv.conf");
        assert_eq!((forward.line, forward.port, forward.to), (13, 53, vec!["/etc/resolv.conf".to_owned()]));
    }

    #[test]
    fn each_zone_has_its_own_upstreams() {
        // The form of node-local-dns, kubernetes/cluster/addons/dns/nodelocaldns/nodelocaldns.yaml.
        let text = "cluster.local:53 {\n  loop\n  bind 169.254.20.10\n  forward . 10.96.0.10 {\n    force_tcp\n  }\n}\n.:53 {\n  loop\n  forward . /etc/resolv.conf\n}\n";
        assert_eq!(to(text, "cluster.local."), Some(vec!["10.96.0.10".to_owned()]));
        assert_eq!(to(text, "."), Some(vec!["/etc/resolv.conf".to_owned()]));
    }

    #[test]
    fn a_block_without_braces_and_the_old_proxy_are_read() {
        assert_eq!(to(".\nloop\nproxy . 127.0.0.1\n", "."), Some(vec!["127.0.0.1".to_owned()]));
    }

    #[test]
    fn snippets_comments_quotes_and_several_keys_are_read() {
        let text = "(up) {\n  forward . \"tls://9.9.9.9\" # quad9\n}\nexample.org,\nEXAMPLE.com:1053 {\n  # forward . 127.0.0.1\n  import up\n  loop\n}\n";
        let servers = parse(text);
        assert_eq!(servers.len(), 1);
        assert_eq!(servers[0].zones, [("example.org.".to_owned(), 53), ("example.com.".to_owned(), 1053)]);
        assert_eq!(to(text, "example.org."), Some(vec!["tls://9.9.9.9".to_owned()]));
    }

    #[test]
    fn a_forward_for_another_zone_is_not_the_one_of_the_root() {
        let text = ".:53 {\n forward corp.example 10.0.0.2\n forward . 1.1.1.1\n loop\n}";
        assert_eq!(to(text, "."), Some(vec!["1.1.1.1".to_owned()]));
        assert_eq!(to(text, "corp.example."), Some(vec!["10.0.0.2".to_owned()]));
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(text in "[a-z.:/{}()\"\\\\#,\n 0-9]{0,200}") {
            for server in parse(&text) {
                let _ = forward(&server, ".");
            }
        }

        #[test]
        fn indentation_and_blank_lines_change_nothing(pad in " {0,6}", blank in 0usize..3) {
            let text: String = KUBEADM.lines().map(|l| format!("{pad}{}\n{}", l.trim(), "\n".repeat(blank))).collect();
            prop_assert_eq!(to(&text, "."), Some(vec!["/etc/resolv.conf".to_owned()]));
        }
    }
}
