//! The plainest subscriber there can be: NATS is a text protocol, and one `SUB` is all that a reader of findings
//! needs. Written by hand so that xtask needs no client library and the demo no luck: `PONG` says the server knows.

use std::{
    io::{BufRead, BufReader, Write},
    net::{Shutdown, TcpStream},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

/// What the server is told at the start
const CONNECT: &str =
    r#"CONNECT {"verbose":false,"pedantic":false,"headers":true,"lang":"rust","version":"0","name":"demo"}"#;

/// A server takes at most 64 MiB; more is a length read wrong.
const LARGEST: usize = 64 << 20;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) subject: String,
    pub(super) body: String,
}

pub(super) struct Subscriber {
    stream: TcpStream,
    messages: Receiver<Result<Message>>,
}

impl Subscriber {
    /// Returns when the server has taken the subscription.
    pub(super) fn connect(url: &str, subject: &str) -> Result<Self> {
        let address = url.strip_prefix("nats://").with_context(|| format!("not a nats:// address: {url}"))?;
        let mut stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {url}"))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut reader = BufReader::new(stream.try_clone()?);
        write!(stream, "{CONNECT}\r\nSUB {subject} 1\r\nPING\r\n")?;
        loop {
            match next(&mut reader).context("the NATS server did not take the subscription")? {
                Frame::Pong => break,
                Frame::Message(_) | Frame::Ping | Frame::Other => {}
            }
        }
        stream.set_read_timeout(None)?;
        let mut answers = stream.try_clone()?;
        let (sender, messages) = channel();
        thread::spawn(move || {
            loop {
                let event = match next(&mut reader) {
                    Ok(Frame::Message(message)) => Ok(message),
                    Ok(Frame::Ping) if answers.write_all(b"PONG\r\n").is_ok() => continue,
                    Ok(Frame::Pong | Frame::Other) => continue,
                    Ok(Frame::Ping) => break,
                    Err(error) => Err(error),
                };
                let last = event.is_err();
                if sender.send(event).is_err() || last {
                    break;
                }
            }
        });
        Ok(Self { stream, messages })
    }

    pub(super) fn messages(&self) -> &Receiver<Result<Message>> {
        &self.messages
    }

    pub(super) fn end(self) {
        // The server may have gone first.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Frame {
    Message(Message),
    Ping,
    Pong,
    /// `INFO`, `+OK`
    Other,
}

fn next(reader: &mut impl BufRead) -> Result<Frame> {
    let mut head = String::new();
    ensure!(reader.read_line(&mut head)? > 0, "the NATS server closed the connection");
    let words: Vec<&str> = head.split_whitespace().collect();
    match words.as_slice() {
        ["PING"] => Ok(Frame::Ping),
        ["PONG"] => Ok(Frame::Pong),
        ["-ERR", ..] => bail!("the NATS server said {}", head.trim()),
        // A reply subject may stand between.
        ["MSG", subject, _, .., total] => message(reader, subject, "0", total),
        ["HMSG", subject, _, .., headers, total] => message(reader, subject, headers, total),
        _ => Ok(Frame::Other),
    }
}

fn message(reader: &mut impl BufRead, subject: &str, headers: &str, total: &str) -> Result<Frame> {
    let size = |word: &str| word.parse::<usize>().with_context(|| format!("not a size: {word}"));
    let (headers, total) = (size(headers)?, size(total)?);
    ensure!(headers <= total && total <= LARGEST, "impossible sizes {headers} and {total}");
    let mut payload = vec![0; total + 2];
    reader.read_exact(&mut payload)?;
    payload.truncate(total);
    let body = String::from_utf8(payload.split_off(headers)).context("the message is not text")?;
    Ok(Frame::Message(Message { subject: subject.to_owned(), body }))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn frames(text: &str) -> Vec<Frame> {
        let mut reader = text.as_bytes();
        std::iter::from_fn(|| (!reader.is_empty()).then(|| next(&mut reader).unwrap())).collect()
    }

    fn said(subject: &str, body: &str) -> Frame {
        Frame::Message(Message { subject: subject.to_owned(), body: body.to_owned() })
    }

    #[test]
    fn messages_with_and_without_headers_and_reply_are_read() {
        let text = "INFO {}\r\nMSG a.b 1 2\r\nhi\r\nMSG a.b 1 reply.to 5\r\nx\r\ny!\r\nPING\r\n\
                    HMSG c 1 12 14\r\nNATS/1.0\r\n\r\nok\r\nHMSG c 1 r 12 12\r\nNATS/1.0\r\n\r\n\r\n";
        assert_eq!(
            frames(text),
            [
                Frame::Other,
                said("a.b", "hi"),
                said("a.b", "x\r\ny!"),
                Frame::Ping,
                said("c", "ok"),
                said("c", ""),
            ]
        );
    }

    #[test]
    fn a_broken_stream_is_an_error() {
        for text in [
            "",
            "MSG a 1 5\r\nhi",
            "MSG a 1 many\r\n",
            "HMSG a 1 9 3\r\nabc\r\n",
            "-ERR 'Authorization Violation'\r\n",
        ] {
            assert!(next(&mut text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_subscription_is_known_to_the_server_before_anything_is_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("nats://{}", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"INFO {}\r\n").unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut lines = Vec::new();
            for _ in 0..3 {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                lines.push(line);
            }
            stream.write_all(b"PONG\r\nMSG x.y 1 1\r\nz\r\n").unwrap();
            lines
        });
        let subscriber = Subscriber::connect(&url, "x.>").unwrap();
        assert_eq!(subscriber.messages().recv().unwrap().unwrap().body, "z");
        let lines = server.join().unwrap();
        assert!(lines.get(1).is_some_and(|line| line == "SUB x.> 1\r\n"), "{lines:?}");
        assert!(subscriber.messages().recv().unwrap().is_err(), "a closed connection is said");
        subscriber.end();
    }
}
