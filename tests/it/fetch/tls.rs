//! Servers of https whose certificates should not be believed: no request is
//! ever sent to them, and nothing of what they say gets into the store.

use crate::fetch::web::{File, Request};
use crate::fetch::{Bench, Quiet, medium};
use p9img::digest::Digest;
use p9img::media::fetch::{Settings, Wanted, fetch};
use p9img::media::store::Store;
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Certificate of a server, which says its name and its last day, and the key.
struct Identity {
    chain: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

/// An authority that the system does not trust.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec!["an authority of the tests".into()]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn signs(&self, name: &str, until: i32) -> Identity {
        let (params, key) = params(name, until);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity { chain: certificate.der().clone(), key: key.into() }
    }
}

fn params(name: &str, until: i32) -> (CertificateParams, KeyPair) {
    let mut params = CertificateParams::new(vec![name.into()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(until, 1, 1));
    (params, KeyPair::generate().unwrap())
}

fn signs_itself() -> Identity {
    let (params, key) = params("localhost", 4000);
    Identity { chain: params.self_signed(&key).unwrap().der().clone(), key: key.into() }
}

/// A good server of one file but for its certificate; counts the requests.
fn serve(identity: Identity, bytes: &'static [u8]) -> (String, Arc<AtomicUsize>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![identity.chain], identity.key)
        .unwrap();
    let (config, requests) = (Arc::new(config), Arc::new(AtomicUsize::new(0)));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}/medium.iso", listener.local_addr().unwrap().port());
    let count = requests.clone();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let mut connection = ServerConnection::new(config.clone()).unwrap();
            let mut stream = Stream::new(&mut connection, &mut socket);
            let mut first = String::new();
            // The client goes away at the sight of the certificate.
            if BufReader::new(&mut stream).read_line(&mut first).unwrap_or(0) == 0 {
                continue;
            }
            count.fetch_add(1, Ordering::SeqCst);
            let len = bytes.len();
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(bytes);
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    (url, requests)
}

#[test]
fn certificates_that_should_not_be_believed() {
    let bytes: &[u8] = medium(1).leak();
    let authority = Authority::new();
    let trusting = Settings {
        connect: Duration::from_secs(5),
        idle: Duration::from_secs(5),
        pause: Duration::ZERO,
        roots: Some(authority.0.pem().into_bytes()),
        ..Settings::default()
    };
    let plain = Settings { roots: None, ..trusting.clone() };
    for (what, identity, settings, word) in [
        ("of itself", signs_itself(), &plain, "UnknownIssuer"),
        // It has the trusted one's name, but not its key.
        ("of itself, others are trusted", signs_itself(), &trusting, "BadSignature"),
        ("of an unknown authority", authority.signs("localhost", 4000), &plain, "UnknownIssuer"),
        ("for another host", authority.signs("example.org", 4000), &trusting, "not valid for name"),
        ("of the past", authority.signs("localhost", 2021), &trusting, "expired"),
    ] {
        let bench = Bench::new();
        let (url, requests) = serve(identity, bytes);
        // A digest in `wanted` makes no difference: it does not prove the
        // server.
        for sha256 in [None, Some(Digest::of(bytes))] {
            let urls = [url.clone()];
            let wanted = Wanted { name: "m", urls: &urls, sha256, len: None, said_by: "the test" };
            let error = fetch(&Store::at(bench.dir.path()), settings, &wanted, &Quiet).unwrap_err().to_string();
            for word in ["TLS", word, &url, "medium m"] {
                assert!(error.contains(word), "{what}: should say {word:?}: {error}");
            }
            assert!(!error.contains('\n'), "one sentence: {error}");
            bench.holds(&[]);
        }
        assert_eq!(requests.load(Ordering::SeqCst), 0, "{what}: no request is sent");
    }
    // All of that is the certificates' doing.
    let bench = Bench::new();
    let (url, requests) = serve(authority.signs("localhost", 4000), bytes);
    let wanted = Wanted { name: "m", urls: &[url], sha256: None, len: None, said_by: "the test" };
    let fetched = fetch(&Store::at(bench.dir.path()), &trusting, &wanted, &Quiet).unwrap();
    assert_eq!((fetched.sha256, requests.load(Ordering::SeqCst)), (Digest::of(bytes), 1));
    bench.holds(&[bytes]);
}

#[test]
fn a_mirror_with_a_bad_certificate_is_passed_over() {
    let bytes: &[u8] = medium(1).leak();
    let (bad, _) = serve(signs_itself(), bytes);
    let good = crate::fetch::web::Web::new(move |request: &Request, stream| File::new(bytes).serve(request, stream));
    let bench = Bench::new();
    let fetched = bench.gets(&[bad.clone(), good.url()], bytes);
    assert_eq!(fetched.from, Some(good.url()));
    assert!(fetched.failed[0].contains(&bad) && fetched.failed[0].contains("TLS"), "{:?}", fetched.failed);
}
