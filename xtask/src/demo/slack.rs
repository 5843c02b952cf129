//! Slack's side of an incoming webhook: takes a POST, answers `ok`, hands the body over. One request a connection.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};

/// More than Slack takes itself
const LARGEST: usize = 1 << 20;

pub(super) struct Slack {
    url: String,
    posts: Receiver<String>,
}

impl Slack {
    pub(super) fn listen() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen on loopback")?;
        let url = format!("http://{}/services/demo", listener.local_addr()?);
        let (sender, posts) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that breaks off sends its message again; the demo only wants whole ones.
                if let Ok(body) = serve(&stream)
                    && sender.send(body).is_err()
                {
                    break;
                }
            }
        });
        Ok(Self { url, posts })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The bodies, in the order in which they came
    pub(super) fn posts(&self) -> &Receiver<String> {
        &self.posts
    }
}

fn serve(stream: &TcpStream) -> io::Result<String> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let body = read_post(&mut BufReader::new(stream));
    let (status, text) = match &body {
        Ok(_) => ("200 OK", "ok"),
        Err(_) => ("400 Bad Request", "invalid_payload"),
    };
    let length = text.len();
    write!(
        &mut &*stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
    )?;
    body
}

fn read_post(reader: &mut impl BufRead) -> io::Result<String> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut reader = reader.take((2 * LARGEST) as u64);
    let mut head = String::new();
    reader.read_line(&mut head)?;
    if !head.starts_with("POST ") {
        return Err(wrong("not a POST"));
    }
    let mut length = None;
    loop {
        head.clear();
        if reader.read_line(&mut head)? == 0 {
            return Err(wrong("the head is cut off"));
        }
        let Some((name, value)) = head.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse::<usize>().ok().filter(|length| *length <= LARGEST);
        }
    }
    let mut body = vec![0; length.ok_or_else(|| wrong("no usable Content-Length"))?];
    reader.read_exact(&mut body)?;
    String::from_utf8(body).map_err(|_| wrong("not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_post_is_answered_and_handed_over() {
        let slack = Slack::listen().unwrap();
        let address = slack.url().strip_prefix("http://").unwrap().split('/').next().unwrap().to_owned();
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "POST /services/demo HTTP/1.1\r\nhost: x\r\ncontent-length: 13\r\n\r\n{{\"text\":\"hi\"}}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("\r\n\r\nok"), "{answer}");
        assert_eq!(slack.posts().recv().unwrap(), "{\"text\":\"hi\"}");
    }

    #[test]
    fn what_is_no_whole_post_is_refused() {
        for request in [
            "GET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 99999999\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 10\r\n\r\nshort",
            "POST / HTTP/1.1\r\ncontent-",
            "",
        ] {
            assert!(read_post(&mut request.as_bytes()).is_err(), "{request:?}");
        }
    }
}
