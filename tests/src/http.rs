//! Plain HTTP, a request a connection, down to its bytes.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use crate::PATIENCE;

/// What a server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// 200 and the like; 0 where it closed the connection without a word.
    pub status: u16,
    /// The head, without the line of the status.
    pub head: String,
    /// The body.
    pub body: String,
}

/// POSTs JSON.
#[must_use]
pub fn post(url: &str, json: &str) -> Answer {
    request("POST", url, &["Content-Type: application/json"], json.as_bytes())
}

/// GETs.
#[must_use]
pub fn get(url: &str) -> Answer {
    request("GET", url, &[], b"")
}

/// Sends a request with these further headers.
///
/// # Panics
/// Where nobody listens.
#[must_use]
pub fn request(method: &str, url: &str, headers: &[&str], body: &[u8]) -> Answer {
    let rest = url.strip_prefix("http://").expect("plain HTTP");
    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut head = format!(
        "{method} /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    let mut stream = TcpStream::connect(address).expect("a listener");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    // A server may answer and close before it has read all.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    answer(&mut stream)
}

/// Reads an answer to its end.
pub(crate) fn answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    // What came before a reset still says more than nothing.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let (first, head) = head.split_once("\r\n").unwrap_or((head, ""));
    let body = if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        whole(body)
    } else {
        body.to_owned()
    };
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_owned(), body }
}

/// The body of its chunks: a length, a line break, so much text, a line break. No text that is asked for here has such a
/// line break within.
fn whole(chunked: &str) -> String {
    chunked.split("\r\n").skip(1).step_by(2).collect()
}
