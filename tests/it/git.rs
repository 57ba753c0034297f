//! Git directories that somebody else made: whatever is in them, no command is
//! run, by no version of git.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const FILES: [&str; 5] = ["386/9load", "386/pbslba", "386/mbr", "rc/bin/cpurc", "sys/big"];

fn git(dir: &Path, args: &[&str]) -> String {
    let out = Command::new("git")
        .args(["-c", "user.name=a", "-c", "user.email=a@example.org"])
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

fn script(at: &Path, text: &str) {
    fs::write(at, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(at, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Path of the git that would be found.
fn found() -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join("git")).find(|git| git.is_file())
}

/// Every setting by which a repository can have git run a command or write a file.
fn config(mark: &str, dir: &str) -> String {
    let touch = format!("sh -c 'touch {mark}'");
    format!(
        r#"
[core]
    repositoryformatversion = 1
    bare = true
    fsmonitor = {touch}
    sshCommand = {touch}
    gitProxy = {touch}
    askPass = {touch}
    pager = {touch}
    editor = {touch}
    hooksPath = {dir}/hooks
    attributesFile = {dir}/attributes
    worktree = {dir}/work
    alternateRefsCommand = {touch}
[extensions]
    partialclone = origin
    worktreeConfig = true
[remote "origin"]
    url = "ext::sh -c touch% {mark}"
    uploadpack = {touch}
    promisor = true
    partialclonefilter = blob:none
    fetch = +refs/heads/*:refs/heads/*
[protocol]
    allow = always
[protocol "ext"]
    allow = always
[include]
    path = {dir}/more
[includeIf "gitdir:/**"]
    path = {dir}/more
[alias]
    cat-file = !{touch}
    rev-parse = !{touch}
    ls-tree = !{touch}
[pager]
    cat-file = {touch}
[filter "x"]
    smudge = {touch}
    clean = {touch}
    process = {touch}
    required = true
[diff]
    external = {touch}
[diff "x"]
    textconv = {touch}
    command = {touch}
[uploadpack]
    packObjectsHook = {touch}
[credential]
    helper = !{touch}
[gpg]
    program = {dir}/program
[log]
    showSignature = true
[trace2]
    eventTarget = {mark}
[gc]
    auto = 1
"#
    )
}

#[test]
fn no_command_of_a_repository_is_run() {
    let Some(real) = found() else {
        assert!(!p9img_test::tools::required(), "git is required but not installed");
        return p9img_test::skip::skipped("no_command_of_a_repository_is_run: no git");
    };
    let lab = p9img_test::folder::default_lab();
    let dir = lab.path().join("hostile");
    for path in FILES {
        let at = dir.join("work").join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, path.repeat(99)).unwrap();
    }
    git(&dir, &["init", "-q", "work"]);
    git(&dir, &["-C", "work", "add", "."]);
    git(&dir, &["-C", "work", "commit", "-q", "-m", "one"]);
    git(&dir, &["clone", "-q", "--bare", "--no-local", "work", "bare"]);
    let bare = dir.join("bare");
    // A file and a folder that are promised, so that git would want to fetch.
    let ids = [git(&bare, &["rev-parse", "HEAD:sys/big"]), git(&bare, &["rev-parse", "HEAD:sys"])];
    let pack = fs::read_dir(bare.join("objects/pack")).unwrap().map(|e| e.unwrap().path());
    let pack = pack.filter(|p| p.extension().is_some_and(|e| e == "pack")).collect::<Vec<_>>().remove(0);
    fs::rename(pack, dir.join("all.pack")).unwrap();
    fs::remove_dir_all(bare.join("objects/pack")).unwrap();
    let all = fs::File::open(dir.join("all.pack")).unwrap();
    let mut unpack = Command::new("git");
    let mut unpack = unpack.arg("--git-dir").arg(&bare).args(["unpack-objects", "-q"]).stdin(all).spawn().unwrap();
    assert!(unpack.wait().unwrap().success());

    let (mark, here) = (dir.join("MARK"), dir.display().to_string());
    for hook in ["post-checkout", "reference-transaction", "post-index-change", "pre-auto-gc", "fsmonitor-watchman"] {
        fs::create_dir_all(dir.join("hooks")).unwrap();
        for hooks in [dir.join("hooks"), bare.join("hooks")] {
            script(&hooks.join(hook), &format!("touch {}", mark.display()));
        }
    }
    script(&dir.join("program"), &format!("touch {}", mark.display()));
    fs::write(bare.join("config"), config(&mark.display().to_string(), &here)).unwrap();
    fs::copy(bare.join("config"), bare.join("config.worktree")).unwrap();
    fs::write(dir.join("more"), format!("[core]\n\tsshCommand = touch {}\n", mark.display())).unwrap();
    for attributes in [dir.join("attributes"), bare.join("info/attributes")] {
        fs::write(attributes, "* filter=x diff=x\n").unwrap();
    }

    // git as it is, and as it was before it could be told not to fetch what is
    // missing: it sees none of the variables that say so.
    fs::create_dir_all(dir.join("old")).unwrap();
    let old = "unset GIT_NO_LAZY_FETCH GIT_ALLOW_PROTOCOL GIT_CONFIG_GLOBAL GIT_CONFIG_NOSYSTEM";
    script(&dir.join("old/git"), &format!("{old}\nexec {} \"$@\"", real.display()));
    for id in ids {
        fs::remove_file(bare.join("objects").join(&id[..2]).join(&id[2..])).unwrap();
        for first in [None, Some(dir.join("old"))] {
            let path = std::env::var_os("PATH").unwrap();
            let path = std::env::join_paths(first.iter().cloned().chain(std::env::split_paths(&path))).unwrap();
            let out = Command::new(env!("CARGO_BIN_EXE_p9img"))
                .args(["media", "show"])
                .arg(&bare)
                .current_dir(lab.path())
                .env("PATH", path)
                .env("P9IMG_CACHE", lab.path().join("cache"))
                // Variables of the user do not lead git elsewhere, either.
                .env("GIT_DIR", dir.join("work/.git"))
                .env("GIT_CONFIG_COUNT", "1")
                .env("GIT_CONFIG_KEY_0", "core.pager")
                .env("GIT_CONFIG_VALUE_0", format!("touch {}", mark.display()))
                .output()
                .unwrap();
            let said = [&out.stdout[..], &out.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert!(!mark.exists(), "{first:?}: {said}");
            // The file is left out and named; without the folder there is no tree.
            let tree = bare.join("objects").join(&id[..2]);
            assert!(said.contains("sys/big") || said.contains("It lacks the tree"), "{tree:?} {said}");
        }
    }
}
