//! Use of a lab that runs: logging in from the host, changing a password,
//! sitting at a terminal.

use crate::built::Lab;
use crate::front;
use crate::legacy::{SHORT, ready};
use crate::running::{NODES, Running, only_thorough, run};
use p9img::guest::runner::{Picture, Runner as _, qemu::Qemu};
use p9img_test::skip::skipped;
use p9img_test::tools::have;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A screen of its own for drawterm.
struct Screen {
    server: Child,
    display: String,
}

impl Screen {
    fn new() -> Self {
        use std::io::BufRead as _;
        let mut server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", "800x600x24", "-nolisten", "tcp"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut number = String::new();
        std::io::BufReader::new(server.stdout.take().unwrap()).read_line(&mut number).unwrap();
        Self { server, display: format!(":{}", number.trim()) }
    }

    fn keys(&self, args: &[&str]) {
        let status = Command::new("xdotool").args(args).env("DISPLAY", &self.display).status().unwrap();
        assert!(status.success(), "xdotool {}", args[0]);
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Logs in with drawterm, types the password each time that drawterm could
/// have asked for it, and waits until `done` exists, for half a minute.
fn drawterm(lab: &Running, screen: &Screen, node: &str, login: [&str; 2], command: &str, done: &Path) -> bool {
    let [user, password] = login;
    let mut child = Command::new("drawterm")
        .args(["-a", &lab.port("plan9n1", "auth"), "-s", &lab.port("plan9n1", "secstore")])
        .args(["-c", &lab.port(node, "cpu"), "-u", user, "-C", command])
        .env("DISPLAY", &screen.display)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..6 {
        std::thread::sleep(Duration::from_secs(3));
        if done.exists() {
            break;
        }
        screen.keys(&["type", "--delay", "20", password]);
        screen.keys(&["key", "Return"]);
        for _ in 0..30 {
            std::thread::sleep(Duration::from_millis(100));
            if done.exists() {
                break;
            }
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    done.exists()
}

#[test]
#[ignore = "many minutes: cargo test --test boot -- --ignored"]
fn drawterm_logs_in_and_copies_both_ways_and_strangers_stay_outside() {
    let test = "drawterm_logs_in_and_copies_both_ways_and_strangers_stay_outside";
    if ["Xvfb", "xdotool", "drawterm"].iter().any(|tool| !have(test, &[tool])) {
        return;
    }
    let Some(lab) = Running::build(test) else { return };
    lab.up(&[]);
    let screen = Screen::new();
    let folder = tempfile::Builder::new().prefix("p9").tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("in"), "from the host\n".repeat(1000)).unwrap();
    let here = format!("/mnt/term{}", folder.path().display());
    // drawterm and cpu take short commands only.
    let script = format!(
        "cat /dev/sysname /dev/user >{here}/who\ncp {here}/in /tmp/in\ncp /tmp/in {here}/back\n\
         cp /lib/ndb/local {here}/ndb && >{here}/done\n"
    );
    std::fs::write(path("s"), script).unwrap();
    let command = format!("rc {here}/s");
    let password = lab.password("bootes");
    for node in NODES {
        // In the first seconds after the prompt a listener may not be there yet,
        // and drawterm gives up at once.
        let login = || drawterm(&lab, &screen, node, ["bootes", &password], &command, &path("done"));
        assert!((0..3).any(|_| login()), "{node}");
        assert_eq!(std::fs::read_to_string(path("who")).unwrap(), format!("{node}bootes"));
        assert_eq!(std::fs::read(path("back")).unwrap(), std::fs::read(path("in")).unwrap());
        assert_eq!(std::fs::read_to_string(path("ndb")).unwrap(), lab.lab.cat(node, "fossil:/lib/ndb/local"));
        for name in ["who", "back", "ndb", "done"] {
            std::fs::remove_file(path(name)).unwrap();
        }
    }
    for login in [["bootes", "not the password"], ["mallory", &password]] {
        assert!(!drawterm(&lab, &screen, "plan9n2", login, &command, &path("done")), "{login:?}");
        assert!(!path("who").exists());
    }
}

/// Debian's packages of the two drawterms bring a program of one name, so this
/// one is named by `P9IMG_DRAWTERM_9FRONT`.
#[test]
#[ignore = "some minutes: cargo test --test boot -- --ignored"]
fn the_drawterm_of_9front_logs_in_to_9front() {
    let test = "the_drawterm_of_9front_logs_in_to_9front";
    let Some(program) = std::env::var_os("P9IMG_DRAWTERM_9FRONT") else {
        return skipped(format_args!("{test}: P9IMG_DRAWTERM_9FRONT names no drawterm (Debian: drawterm-9front)"));
    };
    let Some(media) = front::ready(test) else { return };
    let lab = Running::of(|| front::lab(&media, "cwfs64x"));
    lab.up(&[]);
    let folder = tempfile::Builder::new().prefix("p9").tempdir().unwrap();
    std::fs::write(folder.path().join("in"), "from the host\n".repeat(1000)).unwrap();
    let here = format!("/mnt/term{}", folder.path().display());
    let command = format!("cat /dev/user /dev/sysname; cp {here}/in /tmp/in; cp /tmp/in {here}/back");
    let login = |node: &str, user: &str, password: &str| {
        let mut client = Command::new(&program);
        client.args(["-G", "-a", &lab.port("plan9n1", "auth"), "-s", &lab.port("plan9n1", "secstore")]);
        client.args(["-h", &lab.port(node, "rcpu"), "-u", user, "-c", &command]).env("PASS", password);
        let output = client.stdin(Stdio::null()).output().unwrap();
        (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let password = lab.password("glenda");
    for node in NODES {
        // The listener may come some seconds after the prompt.
        let said = (0..5).map(|n| {
            std::thread::sleep(Duration::from_secs(n * 3));
            login(node, "glenda", &password)
        });
        let said: Vec<_> = said.take_while(|(out, _)| !out.starts_with(&format!("glenda{node}"))).collect();
        assert!(said.len() < 5, "{node}: {said:?}");
        assert_eq!(
            std::fs::read(folder.path().join("back")).unwrap(),
            std::fs::read(folder.path().join("in")).unwrap()
        );
        std::fs::remove_file(folder.path().join("back")).unwrap();
    }
    for (user, password) in [("glenda", "not the password"), ("mallory", &*password)] {
        let (out, err) = login("plan9n2", user, password);
        assert!(!out.contains("plan9n2") && format!("{out}{err}").contains("password"), "{user}: {out}{err}");
        assert!(!folder.path().join("back").exists());
    }
}

#[test]
#[ignore = "some minutes: cargo test --test boot -- --ignored"]
fn a_changed_password_survives_a_reboot() {
    if only_thorough("a_changed_password_survives_a_reboot") {
        return;
    }
    let Some(lab) = Running::build("a_changed_password_survives_a_reboot") else { return };
    lab.up(&["plan9n1", "plan9n2"]);
    let old = lab.password("glenda");
    let new = "another-password";
    // cpu asks again and again for a password that is wrong.
    let logs_in = |password: &str| {
        let command = "@{rfork n; auth/factotum; cpu -h plan9n1 -c 'cat /dev/user; echo'}";
        let answers = [("user[", "glenda"), ("password:", password)].map(|(a, b)| (a.into(), b.into()));
        match lab.console("plan9n2").run(command, &answers, Duration::from_secs(60)) {
            Ok(output) => output.succeeded() && output.text.ends_with("glenda\n"),
            Err(_) => false,
        }
    };
    assert!(logs_in(&old));
    let typed =
        [("Plan 9 Password:", &*old), ("change Plan 9 Password? (y/n)", "y"), ("Password(8 to 31 characters):", new)];
    let confirmed = [("Confirm:", new), ("(y/n)", "n")];
    let answers: Vec<_> = typed.iter().chain(&confirmed).map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let output = lab.console("plan9n2").run("passwd glenda", &answers, SHORT).unwrap_or_else(|e| panic!("{e}"));
    assert!(output.succeeded(), "{}: {}", output.status, output.text);
    assert!(logs_in(new), "with the new password");
    lab.must(&["down", "plan9n1"]);
    lab.up(&["plan9n1"]);
    assert!(logs_in(new), "with the new password, after a reboot");
    assert!(!logs_in(&old), "the old one is no longer good");
}

/// A fifth node, with a screen.
const TERMINAL: (&str, &str) = ("node.term1", "[\"terminal\"]");

#[test]
#[ignore = "some minutes: cargo test --test boot -- --ignored"]
fn a_terminal_comes_to_rio() {
    let Some(lab) = Running::build_with("a_terminal_comes_to_rio", &[TERMINAL]) else { return };
    // Colours of the windows that glenda's own profile opens: acme's yellow and a
    // window's white.
    rio(&lab, &[(BACKGROUND, 0.05), ([0xFF, 0xFF, 0xEF], 0.2), ([0xFF; 3], 0.1)], "term1.png");
}

#[test]
#[ignore = "some minutes: cargo test --test boot -- --ignored"]
fn a_terminal_of_9front_comes_to_rio() {
    let Some(media) = front::ready("a_terminal_of_9front_comes_to_rio") else { return };
    let amd64 = ("defaults.arch", "amd64");
    let lab = Running::of(|| Lab::build(Some(&media), &[amd64, TERMINAL], "qcow2"));
    // Two of the windows that glenda's own riostart opens: clock's face, stats' pink.
    rio(&lab, &[(BACKGROUND, 0.5), ([0xEF, 0xFF, 0xFF], 0.02), ([0xFF, 0xEB, 0xEF], 0.005)], "term1-9front.png");
}

/// `up` waits for rio itself, and says so when it does not come.
#[test]
#[ignore = "some minutes: cargo test --test boot -- --ignored"]
fn a_terminal_without_rio_is_not_up() {
    if only_thorough("a_terminal_without_rio_is_not_up") {
        return;
    }
    let Some(lab) = Running::build_with("a_terminal_without_rio_is_not_up", &[TERMINAL]) else { return };
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("roles/terminal");
    let role = lab.lab.path("roles/terminal");
    for file in ["role.toml", "9legacy/plan9.ini", "9front/plan9.ini"] {
        let text = std::fs::read_to_string(ours.join(file)).unwrap();
        std::fs::create_dir_all(role.join(file).parent().unwrap()).unwrap();
        // A size that no video BIOS has.
        std::fs::write(role.join(file), text.replace("1024x768x16", "77x77x8")).unwrap();
    }
    let media = ready("a_terminal_without_rio_is_not_up").unwrap();
    lab.must(&["build", "term1", "--media", media.to_str().unwrap(), "--format", "qcow2"]);
    let output = lab.p9img(&["up", "term1", "--accel", "tcg"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let picture = "output/run/term1/screen.png";
    for word in ["The screen of term1 shows no rio", "display open", picture] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert!(std::fs::read(lab.lab.path(picture)).unwrap().starts_with(b"\x89PNG"));
    assert!(!lab.grid().node("term1").is_running());
}

/// rio's own, in 16 bits a pixel.
const BACKGROUND: [u8; 3] = [0x73, 0x75, 0x73];

/// Starts the terminal, waits for a screen of which each of `colours` has more
/// than a share, and keeps a picture of it as `name` if that is wanted.
fn rio(lab: &Running, colours: &[([u8; 3], f64)], name: &str) {
    lab.up(&["plan9n1", "term1"]);
    let begin = Instant::now();
    let seen = loop {
        let screen = screen(lab, "term1");
        let seen: Vec<f64> = colours.iter().map(|(colour, _)| share_of(&screen, *colour)).collect();
        if seen.iter().zip(colours).all(|(share, (_, least))| share > least) || begin.elapsed() > SHORT {
            break seen;
        }
        std::thread::sleep(Duration::from_secs(1));
    };
    let png = lab.lab.path("term1.png");
    lab.must(&["screenshot", "term1", png.to_str().unwrap()]);
    assert!(std::fs::read(&png).unwrap().starts_with(b"\x89PNG\r\n"));
    if let Some(keep) = std::env::var_os("P9IMG_SCREENSHOTS") {
        std::fs::copy(&png, Path::new(&keep).join(name)).unwrap();
    }
    for (share, (colour, least)) in seen.iter().zip(colours) {
        assert!(share > least, "{colour:x?} is on {share:.2} of the screen");
    }
    let mut n1 = lab.console("plan9n1");
    run(&mut n1, "for(i in 1 2 3) if(! ~ $seen 1 && ip/ping -n 1 term1 >/dev/null >[2=1]) seen=1; ~ $seen 1");
}

/// A node's screen: red, green and blue of each pixel.
fn screen(lab: &Running, node: &str) -> Vec<[u8; 3]> {
    let bytes = Qemu.screen(&lab.grid().node(node).folder, Picture::Pixmap).unwrap_or_else(|e| panic!("{e}"));
    // "P6", width, height and 255, each with one blank after it.
    let end = bytes.iter().enumerate().filter(|(_, b)| b.is_ascii_whitespace()).nth(3).unwrap().0;
    assert!(bytes.starts_with(b"P6"));
    bytes[end + 1..].chunks_exact(3).map(|p| [p[0], p[1], p[2]]).collect()
}

fn share_of(screen: &[[u8; 3]], colour: [u8; 3]) -> f64 {
    screen.iter().filter(|p| **p == colour).count() as f64 / screen.len().max(1) as f64
}
