//! One server at a time, through the library.

use crate::fetch::web::{File, Web, head};
use crate::fetch::{Bench, LEN, Quiet, medium};
use p9img::digest::Digest;
use p9img::media::fetch::{FetchError, Settings, Wanted, fetch};
use p9img::media::store::StoreError;
use std::io::Write as _;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn good(bytes: &'static [u8]) -> Web {
    Web::new(move |request, stream| File::new(bytes).serve(request, stream))
}

fn kept(bytes: Vec<u8>) -> &'static [u8] {
    bytes.leak()
}

#[test]
fn a_good_server_is_asked_once() {
    let (bench, bytes) = (Bench::new(), kept(medium(1)));
    let web = good(bytes);
    let first = bench.gets(&[web.url()], bytes);
    assert_eq!((first.from, first.sha256, first.len), (Some(web.url()), Digest::of(bytes), LEN as u64));
    assert_eq!(bench.gets(&[web.url()], bytes).from, None);
    assert_eq!(web.requests().len(), 1);
    assert_eq!(web.requests()[0].headers["accept-encoding"], "identity");
}

#[test]
fn without_a_digest_the_server_is_asked_whether_it_has_another() {
    let bench = Bench::new();
    let version = std::sync::Arc::new(AtomicUsize::new(1));
    let (one, two) = (kept(medium(1)), kept(medium(2)));
    let now = version.clone();
    let web = Web::new(move |request, stream| {
        let (bytes, etag) = if now.load(Ordering::SeqCst) == 1 { (one, "\"v1\"") } else { (two, "\"v2\"") };
        File { etag, ..File::new(bytes) }.serve(request, stream);
    });
    let get = || bench.get(&[web.url()], None, None).unwrap().sha256;
    assert_eq!(get(), Digest::of(one));
    assert_eq!(get(), Digest::of(one));
    assert_eq!(web.requests()[1].headers["if-none-match"], "\"v1\"");
    version.store(2, Ordering::SeqCst);
    assert_eq!(get(), Digest::of(two));
    bench.holds(&[one, two]);
}

#[test]
fn cut_fifty_times_in_one_run() {
    let (bench, bytes) = (Bench::new(), kept(medium(1)));
    let web = Web::new(move |request, stream| File { cut: LEN / 50, ..File::new(bytes) }.serve(request, stream));
    bench.gets(&[web.url()], bytes);
    let requests = web.requests();
    assert!(requests.len() >= 50);
    assert!(requests[1..].iter().all(|r| r.start().is_some() && r.headers["if-range"] == "\"v1\""));
}

#[test]
fn cut_at_fifty_points_and_taken_up_by_the_next_run() {
    for known in [true, false] {
        for point in 1..50 {
            let (bench, bytes) = (Bench::new(), kept(medium(1)));
            let cut = LEN * point / 50;
            let web = Web::new(move |request, stream| match request.number {
                0 => File { cut, ..File::new(bytes) }.serve(request, stream),
                1 => head(stream, "404 Gone For Now\r\nContent-Length: 0"),
                _ => File::new(bytes).serve(request, stream),
            });
            let sha256 = known.then(|| Digest::of(bytes));
            bench.fails(&web.url(), sha256, &["no such file"]);
            assert_eq!(bench.get(&[web.url()], sha256, None).unwrap().sha256, Digest::of(bytes));
            bench.holds(&[bytes]);
            assert_eq!(web.requests()[2].start(), Some(cut), "goes on where it was");
        }
    }
}

#[test]
fn slow_but_alive() {
    let (bench, bytes) = (Bench::new(), kept(medium(1)));
    let web = Web::new(move |_, stream| {
        head(stream, &format!("200 OK\r\nContent-Length: {LEN}"));
        for piece in bytes.chunks(LEN / 40) {
            std::thread::sleep(Duration::from_millis(15));
            let _ = stream.write_all(piece);
        }
    });
    bench.gets(&[web.url()], bytes);
}

#[test]
fn silent() {
    let bench = Bench::new();
    let begin = Instant::now();
    let web = Web::new(|_, stream| {
        head(stream, "200 OK\r\nContent-Length: 10");
        std::thread::sleep(Duration::from_secs(20));
    });
    bench.fails(&web.url(), None, &["silent for"]);
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    bench.fails(&format!("http://{}/x", deaf.local_addr().unwrap()), None, &["silent for"]);
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[test]
fn offline() {
    let bench = Bench::new();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    bench.fails(&format!("http://{closed}/x"), None, &["connection refused"]);
    bench.fails("http://nowhere.invalid/x", None, &["nowhere.invalid"]);
}

#[test]
fn statuses() {
    for (status, words) in
        [("404 Not Found", "no such file"), ("403 Forbidden", "may not be read"), ("418 Teapot", "418")]
    {
        let web = Web::new(move |_, stream| head(stream, &format!("{status}\r\nContent-Length: 0")));
        Bench::new().fails(&web.url(), None, &[words]);
        assert_eq!(web.requests().len(), 1, "{status} is final");
    }
    let web = Web::new(|_, stream| head(stream, "503 Busy\r\nContent-Length: 0"));
    Bench::new().fails(&web.url(), None, &["503"]);
    assert_eq!(web.requests().len(), 3);
    let bytes = kept(medium(1));
    let web = Web::new(move |request, stream| match request.number {
        0 | 1 => head(stream, "503 Busy\r\nContent-Length: 0"),
        _ => File::new(bytes).serve(request, stream),
    });
    Bench::new().gets(&[web.url()], bytes);
}

#[test]
fn redirections() {
    let bytes = kept(medium(1));
    let web = Web::new(move |request, stream| match request.path.as_str() {
        "/medium.iso" => head(stream, "302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0"),
        "/elsewhere" => File::new(bytes).serve(request, stream),
        _ => head(stream, "404 No\r\nContent-Length: 0"),
    });
    Bench::new().gets(&[web.url()], bytes);
    let web = Web::new(|_, stream| head(stream, "301 Moved\r\nLocation: /medium.iso\r\nContent-Length: 0"));
    Bench::new().fails(&web.url(), None, &["redirects more than 10 times"]);
    assert!(web.requests().len() < 15);
    for nonsense in ["ftp://example.org/x", "http://", "\u{1}"] {
        let web =
            Web::new(move |_, stream| head(stream, &format!("302 Found\r\nLocation: {nonsense}\r\nContent-Length: 0")));
        Bench::new().fails(&web.url(), None, &[]);
    }
}

#[test]
fn what_is_not_http_and_what_is_not_tls() {
    for text in ["SSH-2.0-OpenSSH\r\n\r\n", "", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nabc"] {
        let web = Web::new(move |_, stream| drop(stream.write_all(text.as_bytes())));
        Bench::new().fails(&web.url(), None, &[]);
    }
    let web = Web::new(|_, stream| drop(stream.write_all(&[b'x'; 1 << 20])));
    Bench::new().fails(&web.url(), None, &[]);
    // A server that speaks plain HTTP where TLS is expected never gets a request.
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = plain.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in plain.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    Bench::new().fails(&format!("https://{address}/x"), None, &["TLS"]);
}

#[test]
fn wrong_bytes_never_get_a_name() {
    let bytes = kept(medium(1));
    let mut wrong = bytes.to_vec();
    wrong[LEN / 2] ^= 1;
    let wrong = kept(wrong);
    let liar = good(wrong);
    let expected = Digest::of(bytes);
    let bench = Bench::new();
    let says = [Digest::of(wrong).to_string(), expected.to_string()];
    bench.fails(&liar.url(), Some(expected), &["another file", &says[0], &says[1], "the test says"]);
    // A mirror that lies is named, and the next one tried.
    let honest = good(bytes);
    let fetched = bench.gets(&[liar.url(), honest.url()], bytes);
    assert_eq!(fetched.from, Some(honest.url()));
    assert!(fetched.failed[0].contains(&liar.url()) && fetched.failed[0].contains("another file"));
}

#[test]
fn wrong_lengths() {
    let bytes = kept(medium(1));
    let expected = Digest::of(bytes);
    // Says less than it sends, says more than it sends, sends less or more than wanted.
    let less = Web::new(move |_, stream| {
        head(stream, &format!("200 OK\r\nContent-Length: {}", LEN - 9));
        let _ = stream.write_all(bytes);
    });
    Bench::new().fails(&less.url(), Some(expected), &["another file"]);
    let more = Web::new(move |_, stream| {
        head(stream, &format!("200 OK\r\nContent-Length: {}", LEN + 9));
        let _ = stream.write_all(bytes);
    });
    Bench::new().fails(&more.url(), Some(expected), &["cut"]);
    let short = good(&bytes[..LEN - 1]);
    let error = Bench::new().get(&[short.url()], Some(expected), Some(LEN as u64)).unwrap_err().to_string();
    assert!(error.contains(&format!("a file of {} bytes, expected {LEN}", LEN - 1)), "{error}");
    // An endless body, for a file whose length is given.
    let endless = Web::new(move |_, stream| {
        head(stream, "200 OK");
        while stream.write_all(bytes).is_ok() {}
    });
    let error = Bench::new().get(&[endless.url()], Some(expected), Some(LEN as u64)).unwrap_err().to_string();
    assert!(error.contains("more than"), "{error}");
}

#[test]
fn bodies_without_a_length_and_in_chunks() {
    let bytes = kept(medium(1));
    let closed = Web::new(move |_, stream| {
        head(stream, "200 OK");
        let _ = stream.write_all(bytes);
    });
    Bench::new().gets(&[closed.url()], bytes);
    let chunked = Web::new(move |request, stream| {
        head(stream, "200 OK\r\nTransfer-Encoding: chunked");
        for (i, piece) in bytes.chunks(10_000).enumerate() {
            if request.number == 0 && i == 7 {
                return;
            }
            let _ = write!(stream, "{:x}\r\n", piece.len());
            let _ = stream.write_all(piece);
            let _ = stream.write_all(b"\r\n");
        }
        let _ = stream.write_all(b"0\r\n\r\n");
    });
    assert_eq!(Bench::new().get(&[chunked.url()], None, None).unwrap().sha256, Digest::of(bytes));
    assert_eq!(chunked.requests().len(), 2, "a body that ends between its chunks was cut");
}

#[test]
fn a_body_without_an_end_stops_before_the_disk_is_full() {
    let web = Web::new(move |_, stream| {
        head(stream, "200 OK");
        let bytes = [7; 1 << 16];
        while stream.write_all(&bytes).is_ok() {}
    });
    let bench = Bench::new();
    let limit = Duration::from_millis(400);
    let settings = Settings { connect: limit, idle: limit, spare: u64::MAX, ..Settings::default() };
    let wanted = Wanted { name: "m", urls: &[web.url()], sha256: None, len: None, said_by: "the test" };
    let e = fetch(&bench.store, &settings, &wanted, &Quiet).unwrap_err();
    let FetchError::Store(StoreError::Write { source, .. }) = &e else { panic!("{e}") };
    assert_eq!(source.kind(), std::io::ErrorKind::StorageFull, "{source}");
    assert!(e.to_string().contains("make room"), "{e}");
    bench.holds(&[]);
}

#[test]
fn a_web_page_is_no_medium() {
    let bytes = b"<!DOCTYPE html>\n<html><body>Log in</body></html>";
    for pieces in [1, 1000] {
        let web = Web::new(move |_, stream| {
            head(stream, &format!("200 OK\r\nContent-Length: {}", bytes.len()));
            for piece in bytes.chunks(pieces) {
                let _ = stream.write_all(piece).and_then(|()| stream.flush());
            }
        });
        Bench::new().fails(&web.url(), None, &["answered with a web page (HTML), not with a medium"]);
        Bench::new().fails(&web.url(), Some(Digest::of(b"x")), &["web page (HTML)"]);
        // The next address may have it.
        let medium = kept(medium(1));
        let fetched = Bench::new().gets(&[web.url(), good(medium).url()], medium);
        assert!(fetched.failed[0].contains("web page"), "{:?}", fetched.failed);
    }
}

#[test]
fn encodings_are_never_applied() {
    let bytes = kept(medium(1));
    let web = Web::new(move |_, stream| {
        head(stream, &format!("200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {LEN}"));
        let _ = stream.write_all(bytes);
    });
    Bench::new().gets(&[web.url()], bytes);
}

#[test]
fn a_server_that_ignores_range() {
    let bytes = kept(medium(1));
    let web = Web::new(move |request, stream| {
        head(stream, &format!("200 OK\r\nETag: \"v1\"\r\nContent-Length: {LEN}"));
        let cut = if request.number == 0 { LEN / 3 } else { LEN };
        let _ = stream.write_all(&bytes[..cut]);
    });
    for known in [Some(Digest::of(bytes)), None] {
        assert_eq!(Bench::new().get(&[web.url()], known, None).unwrap().sha256, Digest::of(bytes));
    }
}

#[test]
fn another_version_while_it_is_fetched() {
    let (one, two) = (kept(medium(1)), kept(medium(2)));
    // A good server says 200 and sends the new one; a bad one goes on in the middle,
    // and says so, or says nothing, or claims that it is the same.
    for (kind, etag) in [(0, "\"v2\""), (1, "\"v2\""), (2, ""), (3, "\"v1\"")] {
        let web = Web::new(move |request, stream| {
            if request.number == 0 {
                return File { cut: LEN / 2, ..File::new(one) }.serve(request, stream);
            }
            match request.start() {
                Some(start) if kind > 0 => {
                    let tag = if etag.is_empty() { String::new() } else { format!("ETag: {etag}\r\n") };
                    let range = format!("bytes {start}-{}/{LEN}", LEN - 1);
                    head(
                        stream,
                        &format!("206 Partial\r\n{tag}Content-Range: {range}\r\nContent-Length: {}", LEN - start),
                    );
                    let _ = stream.write_all(&two[start..]);
                }
                _ => File { etag: "\"v2\"", ..File::new(two) }.serve(request, stream),
            }
        });
        let bench = Bench::new();
        bench.gets(&[web.url()], two);
        if kind < 3 {
            let web = &web;
            web.seen.lock().unwrap().clear();
            let bench = Bench::new();
            assert_eq!(bench.get(&[web.url()], None, None).unwrap().sha256, Digest::of(two), "kind {kind}");
            bench.holds(&[two]);
        }
    }
}

#[test]
fn ranges_that_are_not_what_was_asked_for() {
    let bytes = kept(medium(1));
    for range in ["", "bytes 0-9/300007", "bytes 5-/x", "octets 1-2/3", "bytes */300007"] {
        let web = Web::new(move |request, stream| match (request.number, request.start()) {
            (0, _) => File { cut: LEN / 2, ..File::new(bytes) }.serve(request, stream),
            (_, Some(start)) => {
                let header = if range.is_empty() { String::new() } else { format!("Content-Range: {range}\r\n") };
                head(stream, &format!("206 Partial\r\n{header}Content-Length: {}", LEN - start));
                let _ = stream.write_all(&bytes[start..]);
            }
            _ => File::new(bytes).serve(request, stream),
        });
        Bench::new().gets(&[web.url()], bytes);
    }
}
