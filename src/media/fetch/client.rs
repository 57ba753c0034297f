//! One request over HTTP, and what can go wrong with one, in words.

use crate::media::store::SPARE;
use std::io::{self, Read};
use std::time::Duration;
use ureq::ResponseExt as _;
use ureq::http::{HeaderMap, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};

const NO_HOST: &str = "there is no such host, or this machine is offline";
/// Redirections that are followed.
const REDIRECTS: u32 = 10;

/// Settings for reaching the network. Everything here comes from the command
/// line.
#[derive(Clone, Debug)]
pub struct Settings {
    /// For finding a host and connecting to it.
    pub connect: Duration,
    /// Longest silence of a server.
    pub idle: Duration,
    /// Before an address is asked again that gave nothing.
    pub pause: Duration,
    /// Bytes of the cache's file system that are left to others.
    pub spare: u64,
    pub proxies: Proxies,
    /// Certificates in PEM to be trusted in place of those that p9img brings.
    pub roots: Option<Vec<u8>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            idle: Duration::from_secs(30),
            pause: Duration::from_secs(1),
            spare: SPARE,
            proxies: Proxies::default(),
            roots: None,
        }
    }
}

/// The proxies for addresses of http and https, and hosts that need none.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    pub http: Option<String>,
    pub https: Option<String>,
    /// As in `NO_PROXY`: names, or ends of names, with commas between.
    pub none_for: String,
}

impl Proxies {
    /// The proxy for an address.
    fn of(&self, uri: &Uri) -> Option<&str> {
        let proxy = if uri.scheme_str() == Some("https") { &self.https } else { &self.http };
        let host = uri.host().unwrap_or("").to_ascii_lowercase();
        let matches = |entry: &str| {
            let entry = entry.trim().trim_start_matches("*.").trim_start_matches('.').to_ascii_lowercase();
            let end = host.strip_suffix(entry.as_str());
            entry == "*" || !entry.is_empty() && end.is_some_and(|head| head.is_empty() || head.ends_with('.'))
        };
        proxy.as_deref().filter(|p| !p.is_empty() && !self.none_for.split(',').any(matches))
    }
}

/// Reason why an address gave no file.
#[derive(Debug)]
pub(super) enum Failure {
    /// Asking again may help.
    Cut(String),
    /// Asking again will not help.
    Never(String),
}

/// The beginning of an answer; the body is still to come.
pub(super) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Box<dyn Read + Send>,
}

impl Answer {
    /// A header's text, if it is one.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok().map(str::trim).filter(|t| !t.is_empty() && t.len() < 1000)
    }
}

/// Asks for a file. Nothing that the server says about how the file is
/// encoded is acted on: its bytes are the file. `downgrade`: whether an address
/// of https may lead to one of http.
pub(super) fn get(
    settings: &Settings,
    url: &str,
    headers: &[(&str, String)],
    downgrade: bool,
) -> Result<Answer, Failure> {
    let uri: Uri = url.parse().map_err(|_| Failure::Never("it is not an address".into()))?;
    let mut config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(REDIRECTS)
        .user_agent(concat!("p9img/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(Some(settings.connect))
        .timeout_connect(Some(settings.connect))
        .timeout_recv_response(Some(settings.idle))
        .timeout_per_read(Some(settings.idle))
        .timeout_per_write(Some(settings.idle))
        .proxy(None);
    if let Some(proxy) = settings.proxies.of(&uri) {
        let proxy =
            ureq::Proxy::new(proxy).map_err(|_| Failure::Never(format!("the proxy {proxy:?} is not an address")))?;
        config = config.proxy(Some(proxy));
    }
    if let Some(pem) = &settings.roots {
        let items = ureq::tls::parse_pem(pem).filter_map(Result::ok);
        let roots: Vec<Certificate<'static>> = items
            .filter_map(|item| match item {
                PemItem::Certificate(certificate) => Some(certificate),
                _ => None,
            })
            .collect();
        config = config.tls_config(TlsConfig::builder().root_certs(RootCerts::new_with_certs(&roots)).build());
    }
    let agent: ureq::Agent = config.build().into();
    // A compressed file stays so: the digest is of the file as it is there.
    let mut request = agent.get(&uri).header("Accept-Encoding", "identity");
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let response = request.call().map_err(|e| failure(settings, url, e))?;
    if uri.scheme_str() == Some("https") && response.get_uri().scheme_str() != Some("https") && !downgrade {
        return Err(Failure::Never("it leads from https to http, and there is no sha256 to compare with".into()));
    }
    let (parts, body) = response.into_parts();
    Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body: Box::new(body.into_reader()) })
}

/// Failure of reading a body.
pub(super) fn body_failure(settings: &Settings, url: &str, error: io::Error) -> Failure {
    failure(settings, url, ureq::Error::from(error))
}

fn failure(settings: &Settings, url: &str, error: ureq::Error) -> Failure {
    use Failure::{Cut, Never};
    use ureq::{Error, Timeout};
    let seconds = |d: Duration| format!("{} s", d.as_secs_f32());
    match error {
        Error::HostNotFound => Never(NO_HOST.into()),
        // The host's resolver has no kind of its own in std.
        Error::Io(e) if e.to_string().starts_with("failed to lookup address") => Never(NO_HOST.into()),
        Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
            Never(format!("no connection within {}", seconds(settings.connect)))
        }
        Error::Timeout(_) => Cut(format!("the server was silent for {}", seconds(settings.idle))),
        Error::ConnectionFailed => Never("no connection".into()),
        Error::TooManyRedirects => Never(format!("it redirects more than {REDIRECTS} times")),
        Error::RedirectFailed => Never("it redirects to something that is not an address".into()),
        Error::Rustls(e) => Never(format!("TLS: {e}")),
        Error::Tls(e) => Never(format!("TLS: {e}")),
        Error::Io(e) => match e.kind() {
            io::ErrorKind::ConnectionRefused => Never("no server answers there (connection refused)".into()),
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkDown => {
                Never("there is no route to that host: this machine seems to be offline".into())
            }
            // Errors of rustls come in this wrapping.
            io::ErrorKind::InvalidData if url.starts_with("https:") => Never(format!("TLS: {e}")),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Never(e.to_string()),
            _ => Cut(format!("the connection was cut ({e})")),
        },
        Error::Protocol(e) => Never(format!("the answer is not HTTP ({e})")),
        Error::ConnectProxyFailed(e) => Never(format!("the proxy refused ({e})")),
        e => Never(e.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_chosen_by_scheme_and_host() {
        let proxies = Proxies {
            http: Some("http://p:1".into()),
            https: Some("http://p:2".into()),
            none_for: "localhost, .example.org,10.0.0.1".into(),
        };
        let of = |url: &str| proxies.of(&url.parse().unwrap()).map(str::to_owned);
        assert_eq!(of("http://9front.org/x").as_deref(), Some("http://p:1"));
        assert_eq!(of("https://9front.org/x").as_deref(), Some("http://p:2"));
        for none in ["http://localhost/x", "https://a.EXAMPLE.org/x", "http://example.org:80/x", "http://10.0.0.1/x"] {
            assert_eq!(of(none), None, "{none}");
        }
        assert!(of("http://notexample.org/x").is_some());
        let all = Proxies { none_for: "*".into(), ..proxies.clone() };
        assert_eq!(all.of(&"http://9front.org/x".parse().unwrap()), None);
    }
}
