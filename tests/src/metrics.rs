//! A program that Prometheus scrapes, with metrics that change when told.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// A listener on loopback with metrics.
#[derive(Debug)]
pub struct Metrics {
    /// `127.0.0.1:PORT`
    pub address: String,
    text: Arc<Mutex<String>>,
}

impl Metrics {
    /// Begins to serve this text.
    ///
    /// # Panics
    /// Where loopback has no port left.
    #[must_use]
    pub fn serve(text: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let text = Arc::new(Mutex::new(text.to_owned()));
        let shown = text.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let text = shown.lock().expect("it is held for moments").clone();
                // Prometheus asks again.
                let _ = answer(stream, &text);
            }
        });
        Self { address, text }
    }

    /// Serves this text from now on.
    ///
    /// # Panics
    /// Never.
    pub fn set(&self, text: &str) {
        text.clone_into(&mut self.text.lock().expect("it is held for moments"));
    }
}

fn answer(mut stream: TcpStream, text: &str) -> std::io::Result<()> {
    for line in BufReader::new(stream.try_clone()?).lines() {
        if line?.is_empty() {
            break;
        }
    }
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    )
}
