//! A web server of a few lines, on this machine, that can misbehave.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Request of a client.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// Headers by their names in small letters.
    pub headers: BTreeMap<String, String>,
    /// Number of the request among those of this server, from 0.
    pub number: usize,
}

impl Request {
    /// First byte of `Range`.
    pub fn start(&self) -> Option<usize> {
        self.headers.get("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

pub struct Web {
    pub address: String,
    pub seen: Arc<Mutex<Vec<Request>>>,
}

impl Web {
    /// Serves until the test ends; each connection is for one request.
    pub fn new(handler: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (handler, log) = (Arc::new(handler), seen.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (handler, log) = (handler.clone(), log.clone());
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    if let Some(request) = read(&stream, &log) {
                        handler(&request, &mut stream);
                    }
                    let _ = stream.shutdown(Shutdown::Write);
                    // Until the client has gone: closing with bytes unread would cut it off.
                    let _ = std::io::copy(&mut stream, &mut std::io::sink());
                });
            }
        });
        Self { address, seen }
    }

    pub fn url(&self) -> String {
        format!("http://{}/medium.iso", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

fn read(stream: &TcpStream, log: &Mutex<Vec<Request>>) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut log = log.lock().unwrap();
    let request = Request { method, path, headers, number: log.len() };
    log.push(request.clone());
    Some(request)
}

/// A file as good servers serve it.
pub struct File<'a> {
    pub bytes: &'a [u8],
    pub etag: &'a str,
    /// Ends the connection after so many bytes of the body.
    pub cut: usize,
}

impl<'a> File<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, etag: "\"v1\"", cut: usize::MAX }
    }

    pub fn serve(&self, request: &Request, stream: &mut TcpStream) {
        let etag = self.etag;
        if request.headers.get("if-none-match").is_some_and(|tag| tag == etag) {
            return head(stream, &format!("304 Not Modified\r\nETag: {etag}"));
        }
        let same = request.headers.get("if-range").is_none_or(|tag| tag == etag);
        let len = self.bytes.len();
        match request.start().filter(|start| same && *start < len) {
            Some(start) => {
                let range = format!("bytes {start}-{}/{len}", len - 1);
                let left = len - start;
                head(
                    stream,
                    &format!("206 Partial\r\nETag: {etag}\r\nContent-Range: {range}\r\nContent-Length: {left}"),
                );
                self.body(stream, start);
            }
            None => {
                head(stream, &format!("200 OK\r\nETag: {etag}\r\nContent-Length: {len}"));
                self.body(stream, 0);
            }
        }
    }

    fn body(&self, stream: &mut TcpStream, start: usize) {
        let end = self.bytes.len().min(start.saturating_add(self.cut));
        let _ = stream.write_all(&self.bytes[start..end]);
    }
}

/// The beginning of an answer: status, and headers with line ends between.
pub fn head(stream: &mut TcpStream, text: &str) {
    let _ = stream.write_all(format!("HTTP/1.1 {text}\r\nConnection: close\r\n\r\n").as_bytes());
}
