//! The commands, as users type them.

use crate::fetch::web::{File, Web, head};
use crate::fetch::{ARCHIVE as LEN, archive};
use p9img::digest::Digest;
use p9img::media::store::{Name, Store, StoreError};
use p9img_test::skip::skipped;
use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

p9img_test::lab_with_steps!(Lab);

impl Lab {
    fn new() -> Self {
        Self(p9img_test::Lab::default_lab().with_cache())
    }
    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }
    fn store(&self) -> Store {
        Store::at(self.path("cache"))
    }
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.0.command(args);
        command.env("P9IMG_HTTP_TIMEOUT_MS", "500").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE"] {
            command.env_remove(name);
        }
        command
    }
    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }
    fn good(&self, args: &[&str]) -> String {
        let out = self.run(args);
        assert_eq!(out.status.code(), Some(0), "{args:?}: {}", said(&out));
        String::from_utf8(out.stdout).unwrap()
    }
    fn refuses(&self, args: &[&str], code: i32, words: &[&str]) {
        let out = self.run(args);
        let text = said(&out) + &String::from_utf8_lossy(&out.stdout);
        assert_eq!(out.status.code(), Some(code), "{args:?}: {text}");
        for word in words {
            assert!(text.contains(word), "{args:?} should say {word:?}: {text}");
        }
        assert!(!text.contains("panicked"), "{text}");
    }
}

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

/// A server of a file that a test may change.
fn web(version: &Arc<AtomicU64>) -> Web {
    let version = version.clone();
    Web::new(move |request, stream| {
        let v = version.load(Ordering::SeqCst) as u32;
        File { etag: &format!("\"v{v}\""), ..File::new(&archive(v)) }.serve(request, stream);
    })
}

#[test]
fn add_list_verify_rm() {
    let lab = Lab::new();
    let web = web(&Arc::new(AtomicU64::new(1)));
    let digest = Digest::of(&archive(1)).to_string();
    let before = lab.read("lab.toml");
    let out = lab.good(&["media", "add", "nine", &web.url()]);
    assert!(out.contains(&digest) && out.contains(&web.url()), "{out}");
    let toml = lab.read("lab.toml");
    assert!(toml.starts_with(before.trim_end()), "the rest of the lab is as it was");
    assert!(toml.ends_with(&format!("\n[media.nine]\nurl = \"{}\"\n", web.url())), "{toml}");
    let lock = lab.read("p9img.lock");
    assert!(lock.contains(&format!("[media.nine]\nsha256 = \"{digest}\"\nlength = {LEN}\n")), "{lock}");

    let list = lab.good(&["media", "list", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["media"][0]["name"], "nine");
    assert_eq!(list["media"][0]["state"], "cached");
    assert_eq!(list["media"][0]["sha256"], digest);
    assert!(list["releases"].as_array().unwrap().iter().any(|r| r["name"] == "9front-11554"));
    assert!(list["cache"]["size"].as_u64().unwrap() > LEN as u64);
    assert!(lab.good(&["media", "list"]).contains("9front-11554"));
    assert!(lab.good(&["media", "verify"]).contains(&digest));

    // Again: nothing changes, nothing is fetched.
    let count = web.requests().len();
    lab.good(&["media", "add", "nine"]);
    lab.good(&["media", "add", "nine", &web.url()]);
    assert_eq!((lab.read("lab.toml"), lab.read("p9img.lock"), web.requests().len()), (toml.clone(), lock, count));

    lab.good(&["media", "rm", "nine"]);
    assert!(!lab.read("p9img.lock").contains("nine"));
    assert!(lab.store().entries().unwrap().is_empty());
    assert_eq!(lab.read("lab.toml"), toml);
    lab.refuses(&["media", "rm", "nosuch"], 2, &["nosuch", "nine"]);
    lab.refuses(&["media", "verify", "nosuch"], 2, &["nosuch"]);
}

#[test]
fn what_cannot_be_added() {
    let lab = Lab::new();
    lab.refuses(&["media", "add", "x"], 2, &["URL or PATH", "9front-11554"]);
    lab.refuses(&["media", "add", "a b", "x"], 2, &["holds a blank"]);
    lab.refuses(&["media", "add", "sample", "x"], 2, &["built in"]);
    lab.refuses(&["media", "add", "x", "ftp://example.org/x"], 2, &["ftp"]);
    lab.refuses(&["media", "add", "x", "nowhere/x.iso"], 1, &["nowhere/x.iso"]);
    lab.refuses(&["media", "add", "x", "http://e.org/x", "--sha256", "00"], 2, &["64 hexadecimal"]);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let before = lab.read("lab.toml");
    lab.refuses(
        &["media", "add", "x", &format!("http://{closed}/x")],
        1,
        &["medium x", "refused", "`p9img media add x PATH`"],
    );
    assert_eq!(lab.read("lab.toml"), before, "what could not be fetched is not added");
    assert!(!lab.path("p9img.lock").exists());
    fs::write(lab.path("lab.toml"), "[lab\n").unwrap();
    lab.refuses(&["media", "add", "x", "http://e.org/x"], 1, &["lab.toml:"]);
}

#[test]
fn a_medium_that_changes_is_refused() {
    let lab = Lab::new();
    let version = Arc::new(AtomicU64::new(1));
    let web = web(&version);
    lab.good(&["media", "add", "nine", &web.url()]);
    fs::remove_dir_all(lab.path("cache")).unwrap();
    version.store(2, Ordering::SeqCst);
    let (one, two) = (Digest::of(&archive(1)).to_string(), Digest::of(&archive(2)).to_string());
    let says = [&one, &two, "p9img.lock", "media add nine --update", &web.url()];
    lab.refuses(&["media", "add", "nine"], 1, &says);
    lab.refuses(&["build", "--all", "--media", "nine"], 1, &says);
    assert!(lab.store().entries().unwrap().is_empty());
    assert!(lab.read("p9img.lock").contains(&one));
    lab.good(&["media", "add", "nine", "--update"]);
    assert!(lab.read("p9img.lock").contains(&two) && !lab.read("p9img.lock").contains(&one));
    // The digest in the lab itself takes precedence.
    let toml = lab.read("lab.toml") + &format!("sha256 = \"{one}\"\n");
    fs::write(lab.path("lab.toml"), toml).unwrap();
    lab.refuses(&["media", "verify"], 3, &["p9img.lock", &one]);
    lab.refuses(&["media", "add", "nine", "--update"], 1, &["lab.toml says", &one]);
    version.store(1, Ordering::SeqCst);
    lab.good(&["media", "add", "nine"]);
    assert!(lab.read("p9img.lock").contains(&one));
}

#[test]
fn a_file_of_this_machine_is_recorded_and_compared() {
    let lab = Lab::new();
    fs::write(lab.path("nine.iso"), archive(1)).unwrap();
    lab.good(&["media", "add", "nine", "nine.iso"]);
    assert!(lab.read("lab.toml").ends_with("[media.nine]\npath = \"nine.iso\"\n"));
    let lock = lab.read("p9img.lock");
    assert!(lock.contains("source = \"nine.iso\"") && lock.contains(&Digest::of(&archive(1)).to_string()), "{lock}");
    lab.good(&["media", "verify", "nine"]);
    fs::write(lab.path("nine.iso"), archive(2)).unwrap();
    lab.refuses(&["media", "verify", "nine"], 3, &["p9img.lock", "--update"]);
    lab.refuses(&["build", "--all", "--media", "nine"], 1, &["p9img.lock", "--update"]);
    lab.refuses(&["media", "add", "nine", "other.iso"], 1, &["other.iso"]);
    fs::write(lab.path("other.iso"), archive(2)).unwrap();
    lab.refuses(&["media", "add", "nine", "other.iso"], 2, &["already"]);
    lab.good(&["media", "add", "nine", "--update"]);
    lab.good(&["media", "verify", "nine"]);
    fs::write(lab.path("p9img.lock"), "<<<<<<< HEAD\n").unwrap();
    lab.refuses(&["build", "--all", "--media", "nine"], 1, &["p9img.lock:1", "version control"]);
}

#[test]
fn a_folder_is_recorded_on_request() {
    let lab = Lab::new();
    lab.good(&["extract", "sample", "tree"]);
    lab.good(&["media", "add", "mine", "tree"]);
    assert!(!lab.path("p9img.lock").exists());
    // Notes of `media show` on a medium are here, too.
    fs::write(lab.path("tree/.DS_Store"), "x").unwrap();
    let noted = |args: &[&str]| {
        let out = lab.run(args);
        assert!(out.status.success(), "{out:?}");
        String::from_utf8_lossy(&out.stderr).contains("note: mine: left out .DS_Store, which another system added")
    };
    assert!(noted(&["media", "verify"]) && !noted(&["media", "verify", "--quiet"]));
    lab.good(&["build", "plan9n2", "--media", "mine"]);
    lab.good(&["media", "add", "mine", "--pin"]);
    assert!(lab.read("p9img.lock").contains("tree = "));
    lab.good(&["build", "plan9n2", "--media", "mine"]);
    assert!(noted(&["media", "verify"]));
    fs::write(lab.path("tree/lib/new"), "new").unwrap();
    lab.refuses(&["media", "verify"], 3, &["mine", "--update --pin"]);
    lab.refuses(&["build", "plan9n2", "--media", "mine"], 1, &["mine", "--update --pin"]);
    lab.good(&["media", "add", "mine", "--update", "--pin"]);
    lab.good(&["build", "plan9n2", "--media", "mine"]);
}

#[test]
fn damage_in_the_cache_is_found_and_healed() {
    let lab = Lab::new();
    let web = web(&Arc::new(AtomicU64::new(1)));
    lab.good(&["media", "add", "nine", &web.url()]);
    let digest = Digest::of(&archive(1));
    let path = lab.path("cache/content").join(digest.to_string());
    for at in [0, LEN / 2, LEN - 1] {
        let mut bytes = archive(1);
        bytes[at] ^= 0x80;
        fs::write(&path, bytes).unwrap();
        lab.refuses(&["media", "verify"], 3, &["damaged", "nine"]);
        assert!(!path.exists());
        lab.good(&["media", "add", "nine"]);
        assert!(lab.store().verify(&Name::Content(digest)).unwrap());
    }
    fs::write(&path, b"cut off").unwrap();
    lab.good(&["media", "add", "nine"]);
    assert!(lab.store().verify(&Name::Content(digest)).unwrap());
}

#[test]
fn two_at_once_fetch_once() {
    let lab = Lab::new();
    let bodies = Arc::new(AtomicU64::new(0));
    let count = bodies.clone();
    let web = Web::new(move |request, stream| {
        let bytes = archive(1);
        if request.headers.contains_key("if-none-match") {
            return File::new(&bytes).serve(request, stream);
        }
        count.fetch_add(1, Ordering::SeqCst);
        head(stream, &format!("200 OK\r\nETag: \"v1\"\r\nContent-Length: {LEN}"));
        for piece in bytes.chunks(LEN / 10) {
            std::thread::sleep(Duration::from_millis(30));
            let _ = stream.write_all(piece);
        }
    });
    let children: Vec<Child> =
        (0..3).map(|_| lab.command(&["media", "add", "nine", &web.url()]).spawn().unwrap()).collect();
    for child in children {
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success(), "{}", said(&out));
    }
    assert_eq!(bodies.load(Ordering::SeqCst), 1);
    assert_eq!(lab.store().entries().unwrap().len(), 1);
}

#[test]
fn killed_at_random_moments() {
    let lab = Lab::new();
    // Larger than the steps in which a download can be taken up.
    let noise: Vec<u8> = (0..20u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_dir_all(".", concat!(env!("CARGO_MANIFEST_DIR"), "/media/sample")).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_size(noise.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "lib/noise", &noise[..]).unwrap();
    let served: Arc<[u8]> = tar.into_inner().unwrap().into();
    let digest = Digest::of(&served);
    let web = Web::new(move |request, stream| {
        let start = request.start().unwrap_or(0);
        let len = served.len();
        let range = format!("Content-Range: bytes {start}-{}/{len}\r\n", len - 1);
        let status = if start > 0 { format!("206 Partial\r\n{range}") } else { "200 OK\r\n".into() };
        head(stream, &format!("{status}ETag: \"v1\"\r\nContent-Length: {}", len - start));
        for piece in served[start..].chunks(1 << 19) {
            std::thread::sleep(Duration::from_millis(4));
            if stream.write_all(piece).is_err() {
                return;
            }
        }
    });
    let args = ["media", "add", "nine", &web.url()];
    let begin = Instant::now();
    Lab::new().good(&args);
    let whole = begin.elapsed();
    let (mut state, mut killed) = (7u64, 0);
    for _ in 0..25 {
        let mut child = lab.command(&args).spawn().unwrap();
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        std::thread::sleep(whole.mul_f64((state >> 33 & 0x3ff) as f64 / 1024.0));
        killed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        for entry in lab.store().entries().unwrap() {
            assert_eq!(entry.name, Name::Content(digest), "only the right file has a name");
            assert!(lab.store().verify(&entry.name).unwrap());
        }
        // Begin again when it is there: the next one shall have something to do.
        let _ = fs::remove_dir_all(lab.path("cache/content"));
    }
    assert!(killed >= 10, "only {killed} were killed while they ran");
    lab.good(&args);
    assert!(lab.store().verify(&Name::Content(digest)).unwrap());
    assert!(web.requests().iter().any(|r| r.start().is_some_and(|s| s > 0)), "none was taken up");
    let content = fs::read_dir(lab.path("cache/content")).unwrap().count();
    assert_eq!(content, 2, "leftovers of killed runs are gone");
}

#[test]
fn through_a_proxy() {
    let lab = Lab::new();
    let version = Arc::new(AtomicU64::new(1));
    let web = web(&version);
    let used = Arc::new(AtomicBool::new(false));
    let flag = used.clone();
    let target = web.address.clone();
    let proxy = Web::new(move |request, stream| {
        assert_eq!((request.method.as_str(), request.path.as_str()), ("CONNECT", "medium.example:80"));
        flag.store(true, Ordering::SeqCst);
        let _ = stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n");
        let mut other = TcpStream::connect(&target).unwrap();
        let (mut back, mut there) = (other.try_clone().unwrap(), stream.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut there, &mut other));
        let _ = std::io::copy(&mut back, stream);
    });
    let args = ["media", "add", "nine", "http://medium.example/medium.iso"];
    let proxy = format!("http://{}", proxy.address);
    let out = lab.command(&args).env("http_proxy", &proxy).output().unwrap();
    assert!(out.status.success(), "{}", said(&out));
    assert!(used.load(Ordering::SeqCst));
    // The proxy is not used for a host that no_proxy names.
    let direct = ["media", "add", "ten", &web.url()];
    let out =
        lab.command(&direct).env("http_proxy", "http://127.0.0.1:9").env("no_proxy", "127.0.0.1").output().unwrap();
    assert!(out.status.success(), "{}", said(&out));
}

#[test]
fn a_full_disk_is_one_clear_error() {
    let lab = Lab::new();
    let web = web(&Arc::new(AtomicU64::new(1)));
    fs::create_dir(lab.path("cache")).unwrap();
    let script = "cd \"$1\" && mount -t tmpfs -o size=200k none cache && P9IMG_CACHE=$1/cache \"$2\" media add nine \"$3\"; echo code $?";
    let run = |options: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(options).args(["sh", "-c", script, "sh"]).arg(lab.dir());
        command.arg(env!("CARGO_BIN_EXE_p9img")).arg(web.url()).output()
    };
    let works = |out: &Output| !said(out).contains("unshare") && !said(out).contains("mount");
    let out = [&["-m"][..], &["-r", "-m"]].into_iter().filter_map(|o| run(o).ok()).find(works);
    let Some(out) = out else {
        skipped("a_full_disk_is_one_clear_error: mounting a memory file system is not allowed here");
        return;
    };
    assert_eq!(String::from_utf8_lossy(&out.stdout), "code 1\n", "{}", said(&out));
    assert!(said(&out).contains("cache") && said(&out).contains("make room"), "{}", said(&out));
    assert!(!lab.path("p9img.lock").exists());
}

#[test]
fn a_medium_from_the_web_builds_as_one_from_here() {
    let lab = Lab::new();
    lab.good(&["extract", "sample", "tree"]);
    let tar = Command::new("tar").args(["-C", "tree", "-cf", "plan9.tar", "."]).current_dir(lab.dir()).status();
    if !tar.is_ok_and(|status| status.success()) {
        skipped("a_medium_from_the_web_builds_as_one_from_here: there is no tar here");
        return;
    }
    let bytes: &'static [u8] = fs::read(lab.path("plan9.tar")).unwrap().leak();
    let web = Web::new(move |request, stream| File::new(bytes).serve(request, stream));
    let lab_toml = lab.read("lab.toml") + &format!("\n[media.web]\nurl = \"{}\"\n", web.url());
    fs::write(lab.path("lab.toml"), lab_toml).unwrap();
    lab.good(&["plan", "--media", "web"]);
    assert!(!lab.path("p9img.lock").exists(), "a plan writes nothing beside the lab");
    let build = |medium: &str, out: &str| {
        lab.good(&["build", "plan9n2", "--media", medium, "--out", out]);
        fs::read(lab.path(out).join("plan9n2.qcow2")).unwrap()
    };
    let here = build("plan9.tar", "here");
    assert!(build("web", "web") == here);
    assert!(lab.read("p9img.lock").contains(&Digest::of(bytes).to_string()));
    // Flipped bytes are named; the next build fetches the medium again.
    let path = lab.path("cache/content").join(Digest::of(bytes).to_string());
    let mut wrong = bytes.to_vec();
    let at = wrong.len() / 2;
    wrong[at] ^= 1;
    fs::write(&path, wrong).unwrap();
    lab.refuses(&["build", "plan9n2", "--media", "web", "--out", "new"], 1, &["damaged", "run the command again"]);
    assert!(build("web", "new") == here);
}

#[test]
fn what_cannot_be_a_medium_leaves_nothing() {
    const PAGE: &[u8] = b"\n<!DOCTYPE html>\n<html><title>Log in</title><p>Welcome to the network.</html>\n";
    let lab = Lab::new();
    let answer = Arc::new(AtomicU64::new(0));
    let which = answer.clone();
    let web = Web::new(move |request, stream| {
        let bytes = match which.load(Ordering::SeqCst) {
            0 => PAGE.to_vec(),
            1 => crate::fetch::medium(1),
            2 => archive(1)[..LEN / 2].to_vec(),
            _ => archive(1),
        };
        File { etag: "\"same\"", ..File::new(&bytes) }.serve(request, stream);
    });
    let before = lab.read("lab.toml");
    let add = ["media", "add", "nine", &web.url()];
    for (number, says) in [(0, "web page (HTML)"), (1, "is not a Plan 9 medium"), (2, "tar archive")] {
        answer.store(number, Ordering::SeqCst);
        for args in [&add[..], &add, &["media", "add", "nine", &web.url(), "--update"]] {
            lab.refuses(args, 1, &[says]);
            assert_eq!(lab.read("lab.toml"), before);
            assert!(!lab.path("p9img.lock").exists());
            assert!(lab.store().entries().unwrap().is_empty());
        }
    }
    // A lab that has the address already, and no digest.
    fs::write(lab.path("lab.toml"), format!("{before}\n[media.nine]\nurl = \"{}\"\n", web.url())).unwrap();
    for number in [0, 1, 2] {
        answer.store(number, Ordering::SeqCst);
        lab.refuses(&["build", "--all", "--media", "nine"], 1, &[]);
        assert!(!lab.path("p9img.lock").exists() && lab.store().entries().unwrap().is_empty());
    }
    fs::write(lab.path("lab.toml"), &before).unwrap();
    // As soon as the file is there, it is taken.
    answer.store(3, Ordering::SeqCst);
    lab.good(&add);
    assert!(lab.read("p9img.lock").contains(&Digest::of(&archive(1)).to_string()));
    // On this machine a page is none either.
    fs::write(lab.path("page.iso"), PAGE).unwrap();
    lab.refuses(&["media", "add", "page", "page.iso"], 1, &["page.iso is a web page (HTML)"]);
    assert!(!lab.read("p9img.lock").contains("page"));
}

#[test]
fn a_wrong_pin_says_how_to_get_out() {
    let lab = Lab::new();
    let web = web(&Arc::new(AtomicU64::new(1)));
    let before = lab.read("lab.toml");
    fs::write(lab.path("lab.toml"), format!("{before}\n[media.nine]\nurl = \"{}\"\n", web.url())).unwrap();
    // As an older p9img left it: a page in the cache, and recorded.
    let page = b"<html>Log in</html>";
    let kept = lab.store().insert::<StoreError>(|out| {
        out.write_all(page).unwrap();
        Ok(())
    });
    kept.unwrap();
    let digest = Digest::of(page);
    let lock = format!("version = 1\n\n[media.nine]\nsha256 = \"{digest}\"\nlength = 19\nsource = \"x\"\n");
    fs::write(lab.path("p9img.lock"), &lock).unwrap();
    let says = ["web page (HTML)", "p9img.lock", "`p9img media add nine --update`"];
    lab.refuses(&["build", "--all", "--media", "nine"], 1, &says);
    lab.refuses(&["media", "add", "nine"], 1, &says);
    fs::remove_dir_all(lab.path("cache")).unwrap();
    lab.refuses(&["media", "add", "nine"], 1, &says[1..]);
    lab.good(&["media", "add", "nine", "--update"]);
    assert!(lab.read("p9img.lock").contains(&Digest::of(&archive(1)).to_string()));
}

#[test]
fn a_section_is_added_with_the_line_ends_of_the_file() {
    let lab = Lab::new();
    let web = web(&Arc::new(AtomicU64::new(1)));
    let windows = lab.read("lab.toml").replace('\n', "\r\n");
    fs::write(lab.path("lab.toml"), &windows).unwrap();
    lab.good(&["media", "add", "nine", &web.url()]);
    let toml = lab.read("lab.toml");
    assert!(toml.starts_with(windows.trim_end()), "the rest is as it was");
    assert!(toml.ends_with(&format!("\r\n\r\n[media.nine]\r\nurl = \"{}\"\r\n", web.url())), "{toml}");
    assert_eq!(toml.matches('\n').count(), toml.matches("\r\n").count());
}
