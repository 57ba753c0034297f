//! The lab as a whole: `p9img up`, `test` and `down` on real Plan 9, and what
//! its nodes do for each other.

use crate::built::{Artifact, Lab};
use crate::front;
use crate::legacy::{LONG, SHORT, plain, ready, shell};
use crate::plan9::good;
use crate::running::{NODES, Running, only_thorough, run, thorough};
use crate::served::Served;
use p9img::guest::grid::session::Session;
use p9img::guest::{Disk, DiskFormat};
use p9img_test::guest::Link;
use sha1_checked::{Digest, Sha1};
use std::time::{Duration, Instant};

#[test]
fn the_lab_comes_up_does_its_work_and_halts() {
    let Some(lab) = Running::build("the_lab_comes_up_does_its_work_and_halts") else { return };
    lab.up(&[]);
    lab.test();
    lab.no_password_is_told();
    // One node is down: the checks need the whole lab.
    lab.must(&["down", "plan9n2"]);
    let output = lab.p9img(&["test"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("plan9n2 is down: start it with `p9img up plan9n2`"), "{said}");
    // A node whose console somebody uses is not halted.
    let mut session = lab.console("plan9n1");
    let output = lab.p9img(&["down", "plan9n1"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("in use by another p9img"), "{said}");
    run(&mut session, "date");
    drop(session);
    assert!(lab.network().exists());
    lab.must(&["down"]);
    for node in NODES {
        let log = std::fs::read_to_string(lab.grid().node(node).log()).unwrap();
        assert!(log.contains("done halting"), "{node}:\n{log}");
    }
    assert!(!lab.network().exists(), "the switch ends and leaves nothing");
}

#[test]
fn a_node_starts_from_an_image_over_a_base() {
    let test = "a_node_starts_from_an_image_over_a_base";
    let Some(lab) = Running::build_with(test, &[("lab.layout", "overlay")]) else { return };
    lab.up(&["plan9n1"]);
    let mut n1 = lab.console("plan9n1");
    // Of the base, and a copy of it over the base.
    let digest =
        run(&mut n1, "cp /386/9pccpuf /usr/bootes/copy; cmp /386/9pccpuf /usr/bootes/copy; sha1sum /386/9pccpuf");
    assert!(digest.contains("/386/9pccpuf"), "{digest}");
    drop(n1);
    lab.must(&["down"]);
    assert!(lab.must(&["fsck", "output/run/plan9n1/disk.qcow2"]).contains("fossil is sound"));
    let copy = |path: &str| lab.p9img(&["cat", &format!("output/run/plan9n1/disk.qcow2:fossil:/{path}")]).stdout;
    let (kernel, copied) = (copy("386/9pccpuf"), copy("usr/bootes/copy"));
    assert!(kernel.len() > 1 << 20 && kernel == copied);
    let artifact = lab.p9img(&["cat", "output/plan9n1.qcow2:fossil:/386/9pccpuf"]).stdout;
    assert!(artifact == kernel);
}

#[test]
#[ignore = "many minutes: cargo test --test boot -- --ignored"]
fn nodes_run_without_images() {
    let test = "nodes_run_without_images";
    let Some(media) = ready(test) else { return };
    let lab = Running::of(|| Lab::described(Some(&media), &[], None));
    let (all, medium) = (thorough(), media.to_str().unwrap());
    let nodes = if all { &NODES[..] } else { &NODES[..1] };
    lab.up(&[&["--live", "--media", medium], nodes].concat());
    if all {
        lab.test();
    }
    let mut n1 = lab.console("plan9n1");
    run(&mut n1, "echo written >/usr/bootes/own; echo $sysname >>/usr/bootes/own");
    drop(n1);
    lab.must(&["down"]);
    let images = std::fs::read_dir(lab.lab.path("output")).unwrap().map(|e| e.unwrap().file_name());
    assert_eq!(images.collect::<Vec<_>>(), ["run"], "no image was written");
    let disk = "output/run/plan9n1/disk.qcow2";
    assert!(lab.must(&["fsck", disk]).contains("fossil is sound"));
    assert_eq!(lab.must(&["cat", &format!("{disk}:fossil:/usr/bootes/own")]), "written\nplan9n1\n");
    // As at the last start.
    lab.up(&["plan9n1"]);
    let mut n1 = lab.console("plan9n1");
    assert!(run(&mut n1, "cat /usr/bootes/own").contains("written"));
    drop(n1);
    lab.must(&["down"]);
}

#[test]
#[ignore = "many minutes: cargo test --test boot -- --ignored"]
fn any_order_of_start_works() {
    if only_thorough("any_order_of_start_works") {
        return;
    }
    let Some(lab) = Running::build_with("any_order_of_start_works", &[("lab.layout", "overlay")]) else { return };
    let orders = [[3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]];
    for order in &orders {
        for node in order {
            lab.up(&[NODES[*node]]);
        }
        lab.test();
        lab.must(&["down"]);
    }
}

#[test]
#[ignore = "many minutes: cargo test --test boot -- --ignored"]
fn a_node_of_another_domain_is_refused() {
    let Some(lab) = Running::build("a_node_of_another_domain_is_refused") else { return };
    let media = ready("a_node_of_another_domain_is_refused").unwrap();
    lab.up(&["plan9n1"]);
    // The same node by name and address, with keys and a domain of its own.
    let stranger = Lab::build(Some(&media), &[("lab.authdom", "other.lab")], "qcow2");
    let node = stranger.node("plan9n2");
    let mut machine = plain(stranger.disk("plan9n2", Artifact::Qcow2), node);
    machine.link = Link::Switch(lab.network());
    let mut guest = machine.start().unwrap();
    let mut sh = shell(&mut guest, "plan9n2");
    // The first packet may be lost while addresses are resolved.
    let ping = "if(! ~ $seen 1 && ip/ping -n 1 10.9.0.11 >/dev/null >[2=1]) seen=1";
    good(sh.run(&format!("for(i in 1 2 3 4 5) {{{ping}}}; ~ $seen 1"), SHORT));
    for command in ["cpu -h plan9n1 -c 'cat /dev/sysname'", "srv tcp!plan9n1!564 fs /n/fs && ls /n/fs/lib/ndb"] {
        let output = sh.run(command, SHORT).unwrap_or_else(|e| panic!("{command}: {e}"));
        assert!(!output.succeeded() && !output.text.contains("plan9n1\n"), "{command}: {}", output.text);
        let said = format!("{} {}", output.text, output.status);
        assert!(said.contains("auth"), "{command} says why: {said}");
        eprintln!("{command}: {}", said.trim());
    }
}

#[test]
#[ignore = "many minutes: cargo test --test boot -- --ignored"]
fn many_logins_and_many_files_at_once() {
    if only_thorough("many_logins_and_many_files_at_once") {
        return;
    }
    let Some(lab) = Running::build("many_logins_and_many_files_at_once") else { return };
    lab.up(&[]);
    let files = 5000;
    let mut nodes = ["plan9n3", "plan9n4"].map(|name| (name, lab.console(name)));
    for (name, console) in &mut nodes {
        run(console, &format!("9fs plan9n1; mkdir /n/plan9n1/usr/bootes/{name}"));
    }
    // From two nodes at once: 25 logins each, while files are written.
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for (name, console) in &mut nodes {
            scope.spawn(move || {
                run(
                    console,
                    // cpu's output is the caller's /dev/cons, whatever its standard output.
                    "for(i in `{seq 25}) cpu -h plan9n2 -c 'echo in `{cat /dev/sysname} >/mnt/term/tmp/in'^$i \
                     </dev/null &",
                );
                run(console, &format!("for(i in `{{seq {files}}}) echo {name} $i >/n/plan9n1/usr/bootes/{name}/f$i"));
                run(console, "wait");
            });
        }
    });
    let took = begin.elapsed();
    for (name, console) in &mut nodes {
        let said = run(console, "cat /tmp/in* | sort | uniq -c");
        assert_eq!(said.split_whitespace().collect::<Vec<_>>(), ["25", "in", "plan9n2"], "{name}: {said}");
        let n1 = format!("/n/plan9n1/usr/bootes/{name}");
        assert_eq!(run(console, &format!("ls {n1} | wc -l")).trim(), files.to_string());
        assert_eq!(run(console, &format!("cat {n1}/f* | sort -u | wc -l")).trim(), files.to_string());
    }
    eprintln!("50 logins and {} files in {:.0} s", 2 * files, took.as_secs_f64());
}

/// A tree of 1,000 files of many sizes, and what its digest is.
fn thousand(session: &mut Session) -> String {
    run(session, "mkdir /usr/bootes/thousand");
    // Each file another part of the kernel, none like another.
    run(
        session,
        "for(i in `{seq 1000}) dd -if /386/9pccpuf -iseek $i -bs `{echo 'x='^$i^'*7919; 1+x-x/20011*20011' | bc} \
         -count 1 -of /usr/bootes/thousand/f$i >[2]/dev/null",
    );
    let digest = run(session, &digest_in("/usr/bootes"));
    assert_eq!(run(session, "ls /usr/bootes/thousand | wc -l").trim(), "1000");
    digest
}

/// Command that prints the digest of the thousand files under a home.
/// Words for a file, with a newline one block, whose score ends in 00, and that score. Venti cuts
/// such a zero off the end of a directory that has this file alone.
fn ends_in_zero() -> (String, String) {
    let words = (0..).map(|n| format!("{n} zeros")).find(|words| score_of(words)[19] == 0).expect("one of 256 has it");
    let score = score_of(&words).iter().map(|byte| format!("{byte:02x}")).collect();
    (words, score)
}
fn score_of(words: &str) -> [u8; 20] {
    Sha1::digest(format!("{words}\n")).into()
}
fn digest_in(home: &str) -> String {
    format!("@{{cd {home}/thousand && sha1sum f* | sha1sum}}")
}

#[test]
#[ignore = "many minutes: cargo test --test boot -- --ignored"]
fn a_thousand_files_come_back_from_the_archive() {
    let Some(lab) = Running::build("a_thousand_files_come_back_from_the_archive") else { return };
    lab.up(&["plan9n4", "plan9n1"]);
    let mut n1 = lab.console("plan9n1");
    let digest = thousand(&mut n1);
    if !thorough() {
        run(&mut n1, "for(i in 386 acme sys) echo exclude active/$i >>/cfg/plan9n1/archive.exclude");
    }
    let (words, score) = ends_in_zero();
    run(&mut n1, &format!("mkdir /usr/bootes/zero; echo {words} >/usr/bootes/zero/file"));
    let said = run(&mut n1, "/cfg/plan9n1/archive");
    assert!(!said.contains("not for flfmt"), "{said}");
    let stored = run(&mut n1, &format!("venti/read -h plan9n4 {score} >[2]/dev/null"));
    assert_eq!(stored.trim(), words, "what this test takes for the score of its file");
    let file = said.lines().find(|l| l.ends_with(".vac")).unwrap_or_else(|| panic!("{said}")).to_owned();
    run(&mut n1, "rm -r /usr/bootes/thousand");

    lab.up(&["plan9n2"]);
    let mut n2 = lab.console("plan9n2");
    let mut run2 = |command: &str| run(&mut n2, command);

    // From the mounted archive, over the mounted file server.
    run2("9fs plan9n1; import plan9n4 /lib/vac /n/scores");
    let name = file.rsplit('/').next().unwrap();
    run2(&format!("vacfs -h plan9n4 -m /n/vac /n/scores/plan9n1/{name}"));
    assert_eq!(run2(&digest_in("/n/vac/active/usr/bootes")), digest, "in the archive");
    run2("cd /n/vac/active/usr/bootes && tar c thousand | @{cd /n/plan9n1/usr/bootes && tar x}; cd");
    assert_eq!(run(&mut n1, &digest_in("/usr/bootes")), digest, "restored");

    // As a fossil of its own on a fresh partition, which can be written to.
    let mut run2 = |command: &str| run(&mut n2, command);
    run2(&format!("score=`{{sed 's/vac://' /n/scores/plan9n1/{name}}}"));
    run2("fossil/flfmt -y -h plan9n4 -v $score /dev/sdC0/swap");
    run2(
        "fossil/fossil -c 'fsys main config /dev/sdC0/swap' -c 'fsys main venti plan9n4' \
         -c 'fsys main open -AWPa' -c 'fsys main' -c 'srv -AWP old'",
    );
    run2("mount /srv/old /n/old main");
    assert_eq!(run2(&digest_in("/n/old/active/usr/bootes")), digest, "in the fossil from the score");
    assert_eq!(run2("cat /n/old/active/usr/bootes/zero/file").trim(), words, "whose score ends in 00");
    run2("cp /lib/ndb/local /n/old/active/usr/bootes/thousand/new; rm /n/old/active/usr/bootes/thousand/f500");
    assert_eq!(run2("ls /n/old/active/usr/bootes/thousand | wc -l").trim(), "1000");
    assert_eq!(run2("cmp /lib/ndb/local /n/old/active/usr/bootes/thousand/new"), "");
}

/// 9front has no fossil, so nothing archives by itself; vac(1) does when it is
/// told, and what it stored comes back on another node.
#[test]
#[ignore = "many minutes: cargo test --test boot -- --ignored"]
fn a_tree_of_9front_comes_back_from_venti() {
    if only_thorough("a_tree_of_9front_comes_back_from_venti") {
        return;
    }
    let Some(media) = front::ready("a_tree_of_9front_comes_back_from_venti") else { return };
    let lab = Running::of(|| front::lab(&media, "cwfs64x"));
    lab.up(&["plan9n4", "plan9n1", "plan9n2"]);
    let mut n1 = lab.console("plan9n1");
    let sums = |home: &str| format!("@{{cd {home} && sha1sum `{{walk -f . | sort}} | sha1sum}}");
    let digest = run(&mut n1, &sums("/rc"));
    let listing = |home: &str| format!("@{{cd {home}/bin && ls -l cpurc service termrc | sed 's/ M [0-9]+//'}}");
    // As doc/archive.md has it.
    run(&mut n1, "vac -h plan9n4 -f /lib/rc.vac /rc");
    let mut n2 = lab.console("plan9n2");
    run(&mut n2, "9fs plan9n1; vacfs -h plan9n4 -m /n/vac /n/plan9n1/lib/rc.vac");
    assert_eq!(run(&mut n2, &sums("/n/vac/rc")), digest);
    assert_eq!(run(&mut n2, &listing("/n/vac/rc")), run(&mut n1, &listing("/rc")));
}

#[test]
#[ignore = "many minutes: cargo test --test boot -- --ignored"]
fn the_replica_follows_and_reports_what_was_changed_there() {
    let Some(lab) = Running::build("the_replica_follows_and_reports_what_was_changed_there") else { return };
    replica_follows(&lab);
}

/// Tried on each file system, as each has its own way to let replica(1) give
/// files to their owners.
#[test]
#[ignore = "many minutes: cargo test --test boot -- --ignored"]
fn the_replica_of_9front_follows_and_reports_what_was_changed_there() {
    if only_thorough("the_replica_of_9front_follows_and_reports_what_was_changed_there") {
        return;
    }
    let test = "the_replica_of_9front_follows_and_reports_what_was_changed_there";
    let Some(media) = front::ready(test) else { return };
    for fs in ["cwfs64x", "gefs", "hjfs"] {
        replica_follows(&Running::of(|| front::lab(&media, fs)));
    }
}

fn replica_follows(lab: &Running) {
    lab.up(&["plan9n1", "plan9n3"]);
    let (mut n1, mut n3) = (lab.console("plan9n1"), lab.console("plan9n3"));
    if !thorough() {
        // A smaller part of the tree takes seconds instead of minutes.
        run(&mut n3, "{echo lib; echo '\t+'} >/cfg/plan9n3/replica/proto");
    }
    let follow = |n3: &mut Session, what: &str, good: bool| {
        let begin = Instant::now();
        let output = n3.run("/cfg/plan9n3/replica/follow", &[], LONG).unwrap_or_else(|e| panic!("{e}"));
        eprintln!("{what}: {:.0} s\n{}", begin.elapsed().as_secs_f64(), output.text);
        assert_eq!(output.succeeded(), good, "{what}: {}", output.status);
        output.text
    };
    follow(&mut n3, "the first time", true);
    for command in [
        "mkdir /lib/made; echo new >/lib/made/one; cp /lib/words /lib/made/two; chmod 640 /lib/made/two",
        "echo changed >>/lib/mammals; chmod 444 /lib/katakana; rm /lib/hiragana; echo theirs >>/lib/constitution",
    ] {
        run(&mut n1, command);
    }
    run(&mut n3, "for(i in constitution gettysburg own) echo mine >>/lib/$i");
    let said = follow(&mut n3, "with changes on both sides", false);
    let reported: Vec<&str> = said.lines().filter(|l| l.starts_with('!')).collect();
    assert!(matches!(reported[..], [l] if l.starts_with("! lib/constitution: locally modified")), "{said}");
    for file in ["made/one", "made/two", "mammals", "katakana"] {
        let seen = |session: &mut Session| {
            run(session, &format!("ls -l /lib/{file} | sed 's/.* M [0-9]+ //'; sha1sum /lib/{file}"))
        };
        assert_eq!(seen(&mut n3), seen(&mut n1), "{file}");
    }
    assert_eq!(run(&mut n3, "if(test -e /lib/hiragana) echo there; status=''"), "");
    for file in ["constitution", "gettysburg", "own"] {
        assert_eq!(run(&mut n3, &format!("sed -n '$p' /lib/{file}")).trim(), "mine", "{file}");
    }
}

#[test]
#[ignore = "many minutes: cargo test --test boot -- --ignored"]
fn what_was_synced_survives_a_power_cut() {
    let Some(lab) = Running::build("what_was_synced_survives_a_power_cut") else { return };
    let mut disk = Served::new(&lab.lab, "plan9n2");
    let node = lab.lab.node("plan9n2");
    let mut synced: Vec<String> = Vec::new();
    // Any sequence will do that is the same in every run: 0 to 5 s.
    let mut seed = 12345_u64;
    let cuts = std::env::var("P9IMG_CUTS").map_or(if thorough() { 50 } else { 3 }, |n| n.parse().unwrap());
    for cut in 0..cuts {
        eprintln!("cut {cut} of {cuts}");
        let mut guest = plain(disk.start(), node).start().unwrap();
        let mut sh = shell(&mut guest, "plan9n2");
        for round in synced.iter().rev().take(4) {
            // Each file says its round and number.
            let said = good(sh.run(&format!("cat /sys/log/cut/{round}.* | wc -l"), SHORT));
            assert_eq!(said.trim(), "200", "cut {cut}: what was synced in round {round}");
        }
        good(sh.run("mkdir -p /sys/log/cut", SHORT));
        let round = format!("r{cut}");
        good(sh.run(&format!("for(i in `{{seq 200}}) echo {round} $i >/sys/log/cut/{round}.$i"), LONG));
        // fossil answers when everything is on the disk.
        let sync = "@{echo fsys main sync >[1=0]; while(! ~ $line *wrote*) line=`{read}; status=''} <>/srv/fscons";
        good(sh.run(sync, SHORT));
        synced.push(round);
        // Writing goes on until the plug is pulled.
        sh.send("for(i in `{seq 100000}) {cp /lib/ndb/common /sys/log/cut/x$i; rm -f /sys/log/cut/x^`{hoc -e $i-9}}")
            .unwrap();
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis((seed >> 33) % 5000));
        // The one first, or the other.
        if cut % 2 == 0 {
            disk.kill();
        }
        drop(guest);
        disk.kill();
        disk.is_sound();
        if cut % 10 == 2 {
            let mut machine = plain(lab.lab.disk("plan9n3", Artifact::Qcow2), node);
            // QEMU reads the overlay by itself.
            machine.disks.push(Disk::new(disk.file(), DiskFormat::Qcow2));
            let mut guest = machine.start().unwrap();
            let mut sh = shell(&mut guest, "plan9n3");
            let said = good(sh.run("fossil/flchk -f -h 'tcp!127.0.0.1!9' /dev/sdC1/fossil", LONG));
            // Blocks that nobody refers to yet are what a cut leaves; fossil
            // takes them back when it is told to.
            let bad: Vec<_> = said.lines().filter(|l| l.starts_with("error:") || l.contains("could not")).collect();
            assert!(bad.is_empty(), "cut {cut}:\n{said}");
        }
    }
}
