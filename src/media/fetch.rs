//! Getting a medium from the network into the store.
//!
//! The addresses of a medium are tried in their order, each until it fails for
//! good. A transfer that is cut off goes on where it was, in this run or a
//! later one, as long as the server has the same version of the file. The file
//! gets its name in the store only when it has the expected digest; an address
//! that gives other bytes is named and the next one tried.

mod client;
mod partial;

pub use client::{Proxies, Settings};
pub use partial::Note;

use super::store::{Room, Store, StoreError, Stored};
use crate::count;
use crate::digest::Digest;
use crate::read_at::ReadAt as _;
use crate::web_page;
use client::{Answer, Failure, body_failure, get};
use partial::{Partial, Version};
use std::io::Read as _;
use std::sync::Arc;

/// Requests to one address: each but a few of them has brought something.
const MOST: u32 = 1000;
/// Requests in a row that bring nothing.
const IN_VAIN: u32 = 3;
/// Bytes of the largest file: no server may fill the disk for ever.
const LARGEST: u64 = 1 << 40;

/// A file to get.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The medium, for messages.
    pub name: &'a str,
    /// Best first.
    pub urls: &'a [String],
    pub sha256: Option<Digest>,
    /// Bytes.
    pub len: Option<u64>,
    /// Source of the expected digest, for messages: `lab.toml`.
    pub said_by: &'a str,
}

/// A file that is in the store.
#[derive(Clone, Debug)]
pub struct Fetched {
    pub file: Arc<Stored>,
    pub sha256: Digest,
    pub len: u64,
    /// The address that gave it; `None` when the store had it.
    pub from: Option<String>,
    /// The addresses that failed before, each with the reason.
    pub failed: Vec<String>,
}

/// Told how far a transfer is.
pub trait Monitor {
    /// `done` and `total` are in bytes; not every server tells the total.
    fn progress(&self, name: &str, done: u64, total: Option<u64>);
}

/// Reason why a fetch gave no file.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("Cannot fetch the medium {name}: {}", failed.join("; "))]
    Failed { name: String, failed: Vec<String> },
}

/// Gets the file from the store, or from the first address that has it.
///
/// # Errors
/// Fails when no address gives it, or the store cannot be written.
pub fn fetch(
    store: &Store,
    settings: &Settings,
    wanted: &Wanted<'_>,
    monitor: &dyn Monitor,
) -> Result<Fetched, FetchError> {
    let there =
        |sha256: Digest, file: Arc<Stored>| Fetched { len: file.len(), sha256, file, from: None, failed: Vec::new() };
    let mut failed = Vec::new();
    for url in wanted.urls {
        if let Some(sha256) = wanted.sha256
            && let Some(file) = store.open(&sha256)?
        {
            return Ok(there(sha256, file));
        }
        let mut partial = Partial::open(store, url)?;
        // The process that was waited for may have brought it.
        if let Some(sha256) = wanted.sha256
            && let Some(file) = store.open(&sha256)?
        {
            return Ok(there(sha256, file));
        }
        let transfer = Transfer { store, settings, wanted, url, monitor };
        match transfer.run(&mut partial)? {
            Ok((sha256, file)) => {
                return Ok(Fetched { len: file.len(), sha256, file, from: Some(url.clone()), failed });
            }
            Err(why) => failed.push(format!("{url}: {why}")),
        }
    }
    Err(FetchError::Failed { name: wanted.name.into(), failed })
}

/// Fetching from one address.
struct Transfer<'a> {
    store: &'a Store,
    settings: &'a Settings,
    wanted: &'a Wanted<'a>,
    url: &'a str,
    monitor: &'a dyn Monitor,
}

/// End of a request that did not fail.
enum Step {
    /// All bytes are there.
    Complete,
    /// The store has the version that the server has.
    Unchanged(Digest, Arc<Stored>),
    /// The part of the file that was there is of another version and was
    /// dropped.
    Restart,
}

impl Transfer<'_> {
    /// The reason in words when the address does not give the file.
    fn run(&self, partial: &mut Partial) -> Result<Result<(Digest, Arc<Stored>), String>, StoreError> {
        let mut in_vain = 0;
        let mut most = partial.len();
        for _ in 0..MOST {
            match self.step(partial)? {
                Ok(Step::Unchanged(digest, file)) => return Ok(Ok((digest, file))),
                Ok(Step::Restart) => in_vain += 1,
                Ok(Step::Complete) => match self.take_in(partial)? {
                    Ok(done) => return Ok(Ok(done)),
                    // Two versions may have been put together: once more from the beginning.
                    Err(_) if partial.resumed => {
                        partial.restart(Version::default())?;
                        in_vain += 1;
                    }
                    Err(why) => {
                        partial.finish(None)?;
                        return Ok(Err(why));
                    }
                },
                Err(Failure::Never(why)) => return Ok(Err(why)),
                Err(Failure::Cut(why)) => {
                    partial.mark()?;
                    in_vain = if partial.len() > most { 0 } else { in_vain + 1 };
                    most = most.max(partial.len());
                    if in_vain >= IN_VAIN {
                        return Ok(Err(why));
                    }
                    if in_vain > 0 {
                        std::thread::sleep(self.settings.pause);
                    }
                }
            }
            if in_vain >= IN_VAIN {
                return Ok(Err("it gives different bytes each time".into()));
            }
        }
        Ok(Err(format!("it was cut off {MOST} times")))
    }

    /// Gives a complete file its name, if it is the right one.
    fn take_in(&self, partial: &mut Partial) -> Result<Result<(Digest, Arc<Stored>), String>, StoreError> {
        let found = partial.digest();
        if let Some(expected) = self.wanted.sha256
            && found != expected
        {
            let len = partial.len();
            return Ok(Err(format!(
                "it gives another file: SHA-256 {found} of {len}, but {} says {expected}",
                self.wanted.said_by,
                len = count::of(len, "byte")
            )));
        }
        match self.store.adopt(&partial.path(), &found)? {
            Ok(file) => {
                partial.finish(Some(found))?;
                Ok(Ok((found, file)))
            }
            Err(other) => Ok(Err(format!("the bytes in the cache have changed: SHA-256 {other}, expected {found}"))),
        }
    }

    /// Makes one request.
    fn step(&self, partial: &mut Partial) -> Result<Result<Step, Failure>, StoreError> {
        let mut headers = Vec::new();
        let mut known = None;
        let version = partial.note.version.clone();
        if partial.len() > 0 {
            headers.push(("Range", format!("bytes={}-", partial.len())));
            match version.validator() {
                Some(validator) => headers.push(("If-Range", validator.to_owned())),
                // Without one, only a digest can tell that the parts belong together.
                None if self.wanted.sha256.is_some() => {}
                None => {
                    partial.restart(Version::default())?;
                    headers.clear();
                }
            }
        } else if let (None, Some(digest)) = (self.wanted.sha256, partial.note.complete)
            && let Some(file) = self.store.open(&digest)?
        {
            if let Some(etag) = version.etag {
                headers.push(("If-None-Match", etag));
            } else if let Some(modified) = version.modified {
                headers.push(("If-Modified-Since", modified));
            }
            known = Some((digest, file)).filter(|_| !headers.is_empty());
        }
        let answer = match get(self.settings, self.url, &headers, self.wanted.sha256.is_some()) {
            Ok(answer) => answer,
            Err(failure) => return Ok(Err(failure)),
        };
        match answer.status {
            200 => {
                let version = version_of(&answer, content_length(&answer));
                if let Err(why) = self.fits(version.total) {
                    return Ok(Err(why));
                }
                partial.restart(version)?;
            }
            206 => match self.continues(partial, &answer) {
                Ok(total) => {
                    if let Err(why) = self.fits(total) {
                        return Ok(Err(why));
                    }
                    partial.note.version.total = total.or(partial.note.version.total);
                    partial.resumed = true;
                }
                Err(()) => {
                    partial.restart(Version::default())?;
                    return Ok(Ok(Step::Restart));
                }
            },
            304 if known.is_some() => {
                let Some((digest, file)) = known else { return Ok(Ok(Step::Restart)) };
                return Ok(Ok(Step::Unchanged(digest, file)));
            }
            416 if partial.len() > 0 => {
                // Nothing is missing, or there is less than we have.
                let total = answer.header("content-range").and_then(|r| r.strip_prefix("bytes */")?.parse().ok());
                if total == Some(partial.len()) && total == partial.note.version.total.or(total) {
                    partial.resumed = true;
                    return Ok(Ok(Step::Complete));
                }
                partial.restart(Version::default())?;
                return Ok(Ok(Step::Restart));
            }
            408 | 425 | 429 | 500..=599 => return Ok(Err(Failure::Cut(status(&answer)))),
            _ => return Ok(Err(Failure::Never(status(&answer)))),
        }
        self.read(partial, answer)
    }

    /// Whether a file of this length can be the wanted one.
    fn fits(&self, total: Option<u64>) -> Result<(), Failure> {
        match (self.wanted.len, total) {
            (Some(wanted), Some(total)) if wanted != total => Err(Failure::Never(format!(
                "it has a file of {total}, expected {wanted}",
                total = count::of(total, "byte")
            ))),
            (_, Some(total)) if total > LARGEST => {
                Err(Failure::Never(format!("it has a file of {total}", total = count::of(total, "byte"))))
            }
            _ => Ok(()),
        }
    }

    /// Whether an answer goes on where we are, in the version that we have; then
    /// the length of the whole file, if it says so.
    fn continues(&self, partial: &Partial, answer: &Answer) -> Result<Option<u64>, ()> {
        let range = answer.header("content-range").and_then(|r| r.strip_prefix("bytes "));
        let (span, total) = range.and_then(|r| r.split_once('/')).ok_or(())?;
        let start: u64 = span.split_once('-').and_then(|(start, _)| start.parse().ok()).ok_or(())?;
        let total = if total == "*" { None } else { Some(total.parse::<u64>().map_err(drop)?) };
        let ours = &partial.note.version;
        let same = |ours: &Option<String>, header| match (ours.as_deref(), answer.header(header)) {
            (Some(ours), Some(theirs)) => Some(ours == theirs),
            _ => None,
        };
        // Without a digest to come, the server must say that it is the same version.
        let version = same(&ours.etag, "etag").or(same(&ours.modified, "last-modified"));
        let fits = start == partial.len()
            && version.unwrap_or(self.wanted.sha256.is_some())
            && (ours.total.is_none() || total.is_none() || ours.total == total);
        if fits { Ok(total) } else { Err(()) }
    }

    /// Reads the body to its end.
    fn read(&self, partial: &mut Partial, mut answer: Answer) -> Result<Result<Step, Failure>, StoreError> {
        let total = partial.note.version.total.or(self.wanted.len);
        let mut room = Room::leaving(self.settings.spare);
        let mut start = (partial.len() == 0).then(Vec::new);
        let mut buffer = vec![0; 64 << 10];
        loop {
            let n = match answer.body.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) => return Ok(Err(body_failure(self.settings, self.url, e))),
            };
            if partial.len() + n as u64 > total.unwrap_or(LARGEST) {
                let most = total.unwrap_or(LARGEST);
                partial.finish(None)?;
                return Ok(Err(Failure::Never(format!(
                    "it sends more than the {most} expected",
                    most = count::of(most, "byte")
                ))));
            }
            if let Some(bytes) = &mut start {
                bytes.extend_from_slice(&buffer[..n.min(web_page::START - bytes.len())]);
                if web_page::matches(bytes) {
                    partial.finish(None)?;
                    return Ok(Err(Failure::Never(WEB_PAGE.into())));
                }
            }
            partial.room(&mut room, self.store)?;
            partial.add(&buffer[..n])?;
            self.monitor.progress(self.wanted.name, partial.len(), total);
        }
        match total {
            Some(total) if partial.len() < total => Ok(Err(Failure::Cut(format!(
                "the connection was cut after {} of {total}",
                partial.len(),
                total = count::of(total, "byte")
            )))),
            _ => Ok(Ok(Step::Complete)),
        }
    }
}

/// Error of an address that answers with HTML.
const WEB_PAGE: &str = "the address answered with a web page (HTML), not with a medium: look at it in a browser; it \
                        may be the login page of the network that you are in, or a page about the file";

fn status(answer: &Answer) -> String {
    match answer.status {
        404 | 410 => format!("there is no such file (HTTP status {})", answer.status),
        401 | 403 => format!("it may not be read (HTTP status {})", answer.status),
        500..=599 => format!("the server has a problem (HTTP status {})", answer.status),
        status => format!("the server answers with HTTP status {status}"),
    }
}

fn content_length(answer: &Answer) -> Option<u64> {
    answer.header("content-length")?.parse().ok()
}

fn version_of(answer: &Answer, total: Option<u64>) -> Version {
    let text = |name| answer.header(name).map(str::to_owned);
    Version { etag: text("etag"), modified: text("last-modified"), total }
}
