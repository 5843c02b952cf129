//! Slack's side of an incoming webhook: takes each POST, answers `ok`, hands the body over. A body without text it refuses
//! with `no_text`, as Slack does.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc::{Receiver, channel},
    thread,
};

use crate::PATIENCE;

/// A listener on loopback for one test.
#[derive(Debug)]
pub struct Slack {
    /// The webhook's address.
    pub url: String,
    posts: Receiver<String>,
}

impl Slack {
    /// Begins to listen.
    ///
    /// # Panics
    /// Where loopback has no port left.
    #[must_use]
    pub fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/services/T0/B0/secret", listener.local_addr().expect("an address"));
        let (sender, posts) = channel();
        thread::spawn(move || {
            for body in listener.incoming().flatten().map(serve) {
                // What breaks off is sent again by the other side.
                if body.is_ok_and(|body| sender.send(body).is_err()) {
                    break;
                }
            }
        });
        Self { url, posts }
    }

    /// The next body that is posted.
    ///
    /// # Panics
    /// Where none comes.
    #[must_use]
    pub fn next(&self) -> String {
        self.posts.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no post within {PATIENCE:?}"))
    }

    /// What was posted and not yet taken.
    #[must_use]
    pub fn rest(&self) -> Vec<String> {
        self.posts.try_iter().collect()
    }
}

fn serve(mut stream: TcpStream) -> io::Result<String> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut length = 0;
    for line in (&mut reader).lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8(body).map_err(io::Error::other)?;
    let (status, answer) = if body == "{}" { ("400 Bad Request", "no_text") } else { ("200 OK", "ok") };
    let length = answer.len();
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{answer}")?;
    Ok(body)
}
