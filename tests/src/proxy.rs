//! A way to a server that fails as networks do: it is cut, or falls silent without a word.

use std::{
    fmt,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// Changes the first line that a server says.
type Rewrite = fn(&str) -> String;

/// A listener on loopback that passes everything on to a server, until it is told to fail.
#[derive(Debug)]
pub struct Proxy {
    /// Where it answers.
    pub url: String,
    way: Arc<Way>,
}

struct Way {
    server: String,
    first_line: Option<Rewrite>,
    silent: AtomicBool,
    ended: AtomicBool,
    standing: Mutex<Vec<Weak<Connection>>>,
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Way").field("server", &self.server).finish_non_exhaustive()
    }
}

struct Connection {
    client: TcpStream,
    server: TcpStream,
    /// Nothing gets through any more, not even its end.
    silent: AtomicBool,
}

impl Proxy {
    /// A way to the server at this URL.
    ///
    /// # Panics
    /// Where loopback has no port left.
    #[must_use]
    pub fn to(url: &str) -> Self {
        Self::with(url, None)
    }

    /// The same with the first line of the server changed: a nats-server introduces itself in it.
    ///
    /// # Panics
    /// Where loopback has no port left.
    #[must_use]
    pub fn that_rewrites(url: &str, first_line: Rewrite) -> Self {
        Self::with(url, Some(first_line))
    }

    fn with(url: &str, first_line: Option<Rewrite>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let scheme = "nats://";
        let own = format!("{scheme}{}", listener.local_addr().expect("an address"));
        let way = Arc::new(Way {
            server: url.trim_start_matches(scheme).to_owned(),
            first_line,
            silent: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            standing: Mutex::default(),
        });
        let accepting = way.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.ended.load(Ordering::Relaxed) {
                    return;
                }
                accepting.join(client);
            }
        });
        Self { url: own, way }
    }

    /// From now on nothing gets through in either direction, and nobody is told. Whoever connects is heard by nobody.
    pub fn fall_silent(&self) {
        self.way.silent.store(true, Ordering::Relaxed);
        for connection in self.way.standing() {
            connection.silent.store(true, Ordering::Relaxed);
        }
    }

    /// Lets new connections through. Those that it was silent to stay as they are, as after a firewall forgot them.
    pub fn heal(&self) {
        self.way.silent.store(false, Ordering::Relaxed);
    }

    /// Ends all connections; new ones get through.
    pub fn cut(&self) {
        for connection in self.way.standing() {
            connection.end();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.way.ended.store(true, Ordering::Relaxed);
        self.cut();
        // Wakes the listener, which ends then.
        let _ = TcpStream::connect(self.url.trim_start_matches("nats://"));
    }
}

impl Way {
    fn standing(&self) -> Vec<Arc<Connection>> {
        let mut all = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|connection| connection.strong_count() > 0);
        all.iter().filter_map(Weak::upgrade).collect()
    }

    fn join(self: &Arc<Self>, client: TcpStream) {
        // Where the server is away, the client is told by the end of its connection.
        let Ok(server) = TcpStream::connect(&self.server) else { return };
        let silent = AtomicBool::new(self.silent.load(Ordering::Relaxed));
        let connection = Arc::new(Connection { client, server, silent });
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&connection));
        let (way, there) = (self.clone(), connection.clone());
        thread::spawn(move || way.pump(&there, &there.client, &there.server, None));
        let way = self.clone();
        thread::spawn(move || way.pump(&connection, &connection.server, &connection.client, way.first_line));
    }

    fn pump(&self, connection: &Connection, from: &TcpStream, mut to: &TcpStream, first: Option<Rewrite>) {
        let mut from = BufReader::new(from);
        if let Some(rewrite) = first {
            let mut line = String::new();
            if from.read_line(&mut line).is_err() || to.write_all(rewrite(&line).as_bytes()).is_err() {
                connection.end();
            }
        }
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let got = buffer.get(..count).unwrap_or_default();
            if !connection.silent.load(Ordering::Relaxed) && to.write_all(got).is_err() {
                break;
            }
        }
        while connection.silent.load(Ordering::Relaxed) && !self.ended.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(50));
        }
        connection.end();
    }
}

impl Connection {
    fn end(&self) {
        // One that has ended already needs no end.
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}
