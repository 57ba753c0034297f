//! Every text with advice, and whether its commands and options exist. Each `match`
//! has all variants, so that the author of a new one decides whether it needs advice.

use super::*;
use crate::cli::commands::Cli;
use crate::digest::Digest;
use crate::guest::{Accel, Firmware};
use crate::lab::Problem;
use clap::CommandFactory as _;
use std::collections::BTreeSet;
use std::io;

fn node() -> String {
    "plan9n1".into()
}

fn broken() -> io::Error {
    io::Error::other("broken")
}

/// Texts of the samples, which are one for each number that `number` gives.
fn texts<T>(samples: Vec<T>, number: impl Fn(&T) -> Option<usize>, text: impl Fn(&T) -> String) -> Vec<String> {
    let numbers: BTreeSet<Option<usize>> = samples.iter().map(number).collect();
    assert_eq!(numbers, (0..numbers.len()).map(Some).collect(), "{}", std::any::type_name::<T>());
    samples.iter().map(text).collect()
}

/// As [`texts`], of errors, whose advice is more than what they say themselves.
fn errors<T: Error + 'static>(samples: Vec<T>, number: impl Fn(&T) -> Option<usize>) -> Vec<String> {
    texts(samples, number, |e| {
        let advised = text(e);
        assert_ne!(advised, e.to_string(), "it has advice");
        advised
    })
}

fn of_labs() -> Vec<String> {
    errors(
        vec![
            LabError::Medium(Problem::bad("x")),
            LabError::Format(Problem::bad("x")),
            LabError::Layout(Problem::bad("x")),
        ],
        |e| match e {
            LabError::Medium(_) => Some(0),
            LabError::Format(_) => Some(1),
            LabError::Layout(_) => Some(2),
            LabError::Catalog(_) | LabError::Mistakes(_) | LabError::Epoch(_) | LabError::NoNode { .. } => None,
        },
    )
}

fn of_remedies() -> Vec<String> {
    let number = |remedy: &Remedy| match remedy {
        Remedy::OtherFile => Some(0),
        Remedy::FreePorts => Some(1),
    };
    texts(vec![Remedy::OtherFile, Remedy::FreePorts], number, |remedy| {
        let mistakes = Mistakes::whole_file("lab.toml", Problem::bad("x").help("unsaid").remedy(*remedy));
        let said = text(&mistakes);
        assert!(said.contains(help(*remedy)) && !said.contains("unsaid"), "{said}");
        assert_eq!(super::mistakes(&LabError::Mistakes(mistakes)).unwrap().render(false), said);
        said
    })
}

fn change(said_by: SaidBy, is_file: bool) -> MediaError {
    let (found, expected) = (Digest::of(b"a"), Digest::of(b"b"));
    MediaError::Changed(Box::new(Changed {
        name: "m".into(),
        place: "m.iso".into(),
        found,
        expected,
        said_by,
        is_file,
    }))
}

fn of_media() -> Vec<String> {
    let pinned = MediaError::Pinned {
        name: "m".into(),
        source: crate::media::MediumError::Read { path: "m.iso".into(), source: broken() },
    };
    let samples = vec![change(SaidBy::Lock, true), change(SaidBy::Lock, false), pinned];
    let mut all = errors(samples, |e| match e {
        MediaError::Changed(_) => Some(0),
        MediaError::Pinned { .. } => Some(1),
        MediaError::Unknown { .. }
        | MediaError::Folder { .. }
        | MediaError::Read { .. }
        | MediaError::Digest(_)
        | MediaError::Host(_)
        | MediaError::Pins(_)
        | MediaError::Fetch(_)
        | MediaError::Medium(_)
        | MediaError::Firmware(_) => None,
    });
    let sources = vec![SaidBy::Lock, SaidBy::Caller, SaidBy::Lab, SaidBy::Releases];
    let number = |source: &SaidBy| match source {
        SaidBy::Lock => Some(0),
        SaidBy::Caller => Some(1),
        SaidBy::Lab => Some(2),
        SaidBy::Releases => Some(3),
    };
    all.extend(sources.iter().map(|source| text(&change(*source, true))));
    all.extend(texts(sources, number, |source| said_by_and_change(*source, "m")));
    all
}

fn of_fetches() -> Vec<String> {
    errors(vec![FetchError::Failed { name: "m".into(), failed: vec!["x".into()] }], |e| match e {
        FetchError::Failed { .. } => Some(0),
        FetchError::Store(_) => None,
    })
}

fn of_secrets() -> Vec<String> {
    errors(vec![SecretsError::NoneYet { path: "secrets.toml".into() }], |e| match e {
        SecretsError::NoneYet { .. } => Some(0),
        SecretsError::Read { .. }
        | SecretsError::Write { .. }
        | SecretsError::Random(_)
        | SecretsError::Readable { .. }
        | SecretsError::NoSuchName { .. }
        | SecretsError::Linked { .. }
        | SecretsError::Unusable { .. }
        | SecretsError::Malformed { .. } => None,
    })
}

fn of_builds() -> Vec<String> {
    let real = BuildError::RealImages { nodes: vec![node()], medium: "m".into(), out: "output".into() };
    errors(vec![BuildError::NoFormat, real], |e| match e {
        BuildError::NoFormat => Some(0),
        BuildError::RealImages { .. } => Some(1),
        BuildError::NoneFits
        | BuildError::NoSecrets { .. }
        | BuildError::StopFlag { .. }
        | BuildError::Digests { .. }
        | BuildError::WorkFolder { .. }
        | BuildError::Read { .. }
        | BuildError::Remove { .. }
        | BuildError::Record(_)
        | BuildError::Lab(_)
        | BuildError::Secrets(_)
        | BuildError::Media(_)
        | BuildError::Assemble(_)
        | BuildError::Page(_)
        | BuildError::Artifact(_) => None,
    })
}

fn of_images() -> Vec<String> {
    let samples = vec![
        ImagesError::NothingBuilt { out: "output".into() },
        ImagesError::OtherLab { out: "output".into(), found: "a".into(), lab: "b".into() },
        ImagesError::Changed { out: "output".into(), key: "name" },
        ImagesError::Sample { out: "output".into(), nodes: vec![] },
        ImagesError::NoImage { node: node() },
        ImagesError::Image { node: node(), source: broken() },
        ImagesError::NoCard { node: node(), out: "output".into() },
        ImagesError::SampleMedium { nodes: vec![] },
    ];
    errors(samples, |e| match e {
        ImagesError::NothingBuilt { .. } => Some(0),
        ImagesError::OtherLab { .. } => Some(1),
        ImagesError::Changed { .. } => Some(2),
        ImagesError::Sample { .. } => Some(3),
        ImagesError::NoImage { .. } => Some(4),
        ImagesError::Image { .. } => Some(5),
        ImagesError::NoCard { .. } => Some(6),
        ImagesError::SampleMedium { .. } => Some(7),
        ImagesError::Read { .. }
        | ImagesError::Differs { .. }
        | ImagesError::Interrupted
        | ImagesError::NoBoard { .. }
        | ImagesError::Lab(_)
        | ImagesError::Role(_)
        | ImagesError::Manifest(_)
        | ImagesError::Build(_) => None,
    })
}

fn of_grids() -> Vec<String> {
    let runs = |wish| GridError::Runs { names: vec![node(), "plan9n2".into()], wish };
    let samples = vec![
        GridError::Port { port: 1, service: "cpu".into(), node: node(), source: broken() },
        GridError::PortsEnd { base: 65530 },
        GridError::NoNetwork,
        GridError::Rebuilt { node: node(), copy: "disk.img".into() },
        GridError::Recomputed { node: node(), copy: "disk.qcow2".into() },
        GridError::OtherStart { node: node(), copy: "disk.qcow2".into(), computed: true },
        GridError::OtherStart { node: node(), copy: "disk.qcow2".into(), computed: false },
        GridError::Folder(FolderError::NotOwn { path: "output/run".into(), what: "a file" }),
        GridError::Runner(RunnerError::Folder(FolderError::NotOwn { path: "output/run".into(), what: "a file" })),
        runs(Wish::Fresh),
        runs(Wish::Firmware(Firmware::Uefi)),
        runs(Wish::Accel(Accel::Tcg)),
        GridError::Address { node: node(), ip: [10, 9, 0, 1].into(), other: "plan9n2".into() },
        GridError::PortsRun { base: 1024, asked: 2048 },
        GridError::NotRunning { name: node() },
        GridError::NotHalted { name: node(), seconds: 60, tail: String::new() },
        GridError::NoPrompt { name: node() },
        GridError::Kvm { name: node(), what: "stopped" },
    ];
    errors(samples, |e| match e {
        GridError::Port { .. } => Some(0),
        GridError::PortsEnd { .. } => Some(1),
        GridError::NoNetwork => Some(2),
        GridError::Rebuilt { .. } => Some(3),
        GridError::Folder(e) | GridError::Runner(RunnerError::Folder(e)) => match e {
            FolderError::NotOwn { .. } => Some(4),
            FolderError::Use { .. } => None,
        },
        GridError::Runs { wish: Wish::Fresh, .. } => Some(5),
        GridError::Runs { wish: Wish::Firmware(_), .. } => Some(6),
        GridError::Runs { wish: Wish::Accel(_), .. } => Some(7),
        GridError::Address { .. } => Some(8),
        GridError::PortsRun { .. } => Some(9),
        GridError::NotRunning { .. } => Some(10),
        GridError::NotHalted { .. } => Some(11),
        GridError::NoPrompt { .. } => Some(12),
        GridError::Kvm { .. } => Some(13),
        GridError::Recomputed { .. } => Some(14),
        GridError::OtherStart { .. } => Some(15),
        GridError::Runner(RunnerError::Ports(_) | RunnerError::Forward { .. } | RunnerError::Own(_))
        | GridError::State { .. }
        | GridError::Busy
        | GridError::NoAddress { .. }
        | GridError::Memory { .. }
        | GridError::Cores { .. }
        | GridError::Image { .. }
        | GridError::Paused(_)
        | GridError::WillNotEnd { .. }
        | GridError::Ended { .. }
        | GridError::NotUp { .. }
        | GridError::NoRio { .. }
        | GridError::ConsoleBusy { .. }
        | GridError::Interrupted => None,
    })
}

fn of_pauses() -> Vec<String> {
    let number = |pause: &Pause| match pause {
        Pause::Disk => Some(0),
        Pause::Processor => Some(1),
        Pause::Asked => Some(2),
    };
    texts(vec![Pause::Disk, Pause::Processor, Pause::Asked], number, |pause| go_on(*pause, "plan9n1"))
}

fn of_artifacts() -> Vec<String> {
    let samples = vec![
        artifact::Error::ReadOnly { path: "output".into(), source: broken() },
        artifact::Error::FileTooLarge { path: "output".into(), size: Some(1), source: broken() },
    ];
    errors(samples, |e| match e {
        artifact::Error::ReadOnly { .. } => Some(0),
        artifact::Error::FileTooLarge { .. } => Some(1),
        artifact::Error::Folder { .. }
        | artifact::Error::Lock { .. }
        | artifact::Error::Busy { .. }
        | artifact::Error::Write { .. }
        | artifact::Error::Full { .. }
        | artifact::Error::Quota { .. }
        | artifact::Error::Limit { .. }
        | artifact::Error::Read { .. }
        | artifact::Error::Disk { .. }
        | artifact::Error::Length { .. }
        | artifact::Error::Extent { .. }
        | artifact::Error::TooLarge { .. }
        | artifact::Error::Twice { .. }
        | artifact::Error::Name { .. }
        | artifact::Error::Template { .. }
        | artifact::Error::TemplateSyntax { .. }
        | artifact::Error::Descriptor { .. }
        | artifact::Error::Codec { .. }
        | artifact::Error::Sums { .. }
        | artifact::Error::Interrupted => None,
    })
}

fn of_notes() -> Vec<String> {
    let list = || vec!["raw".to_owned()];
    let samples = vec![
        Note::MediumAsBefore { used: "a".into(), own: "b".into() },
        Note::MediumForgotten { given: "a".into(), was: "b".into(), own: "c".into() },
        Note::FormatsAsBefore { used: list(), own: list() },
        Note::FormatsForgotten { given: list(), own: list() },
        Note::EpochReplaced { from: "SOURCE_DATE_EPOCH", epoch: 1, own: 2 },
        Note::Leftovers { files: vec!["x.img".into()] },
        Note::LeftoverRuns { path: "x.img".into(), node: node() },
        Note::OtherOwner { owner: "bootes".into(), nodes: vec![node()] },
        Note::OtherUsers { users: vec!["glenda".into()], nodes: vec![node()] },
        Note::LayoutAsBefore { used: "overlay".into(), own: "whole".into() },
        Note::LayoutForgotten { given: "overlay".into(), own: "whole".into() },
    ];
    let number = |note: &Note| match note {
        Note::MediumAsBefore { .. } => Some(0),
        Note::MediumForgotten { .. } => Some(1),
        Note::FormatsAsBefore { .. } => Some(2),
        Note::FormatsForgotten { .. } => Some(3),
        Note::EpochReplaced { .. } => Some(4),
        Note::Leftovers { .. } => Some(5),
        Note::LeftoverRuns { .. } => Some(6),
        Note::OtherOwner { .. } => Some(7),
        Note::OtherUsers { .. } => Some(8),
        Note::LayoutAsBefore { .. } => Some(9),
        Note::LayoutForgotten { .. } => Some(10),
        Note::Noticed(_)
        | Note::ExposedSecrets { .. }
        | Note::LinkedSecrets { .. }
        | Note::SecretsCreated { .. }
        | Note::SecretsAdded { .. }
        | Note::EpochGoesBack { .. }
        | Note::EpochAsBuilt { .. }
        | Note::NoModes { .. }
        | Note::NewKeys { .. }
        | Note::OpenKeys { .. }
        | Note::LeftoverChanged { .. }
        | Note::LeftoversRemoved { .. }
        | Note::NotEmulated { .. } => None,
    };
    texts(samples, number, |sample| {
        let advised = note(sample);
        assert_ne!(advised, sample.to_string(), "it has advice");
        advised
    })
}

/// All texts with advice.
fn all() -> Vec<String> {
    let parts = [
        of_labs(),
        of_remedies(),
        of_media(),
        of_fetches(),
        of_secrets(),
        of_builds(),
        of_images(),
        of_grids(),
        of_pauses(),
        of_artifacts(),
        of_notes(),
    ];
    parts.concat()
}

/// Long options of a command, and those of its subcommands.
fn options(command: &clap::Command, into: &mut BTreeSet<String>) {
    into.extend(command.get_arguments().filter_map(|a| a.get_long()).map(str::to_owned));
    command.get_subcommands().for_each(|sub| options(sub, into));
}

/// First characters of a text that belong to a word.
fn word(text: &str) -> &str {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next().unwrap_or_default()
}

/// Checks the command line after `p9img `, up to the end of its quotation: its
/// commands exist, and have its options.
fn assert_runs(line: &str, root: &clap::Command, text: &str) {
    let (mut command, mut own) = (root, BTreeSet::new());
    let mut words = line.split(' ').peekable();
    while let Some(sub) = words.peek().and_then(|w| command.find_subcommand(w)) {
        command = sub;
        words.next();
    }
    assert_ne!(command.get_name(), root.get_name(), "no command begins {line:?}: {text}");
    assert!(command.get_subcommands().next().is_none(), "{line:?} lacks a subcommand: {text}");
    options(command, &mut own);
    own.extend(root.get_arguments().filter(|a| a.is_global_set()).filter_map(|a| a.get_long()).map(str::to_owned));
    for option in words.filter_map(|w| w.strip_prefix("--")) {
        assert!(own.contains(word(option)), "{line:?} has no option --{option}: {text}");
    }
}

#[test]
fn the_commands_and_options_of_all_advice_exist() {
    let mut root = Cli::command();
    root.build();
    let mut known = BTreeSet::new();
    options(&root, &mut known);
    let (mut commands, mut flags) = (0, 0);
    for text in all() {
        for line in text.split('`').skip(1).step_by(2).filter_map(|quoted| quoted.strip_prefix("p9img ")) {
            assert_runs(line, &root, &text);
            commands += 1;
        }
        // A command that is not quoted would not be looked at.
        assert_eq!(text.matches("p9img ").count(), text.matches("`p9img ").count(), "{text}");
        for option in text.split("--").skip(1) {
            assert!(known.contains(word(option)), "there is no option --{}: {text}", word(option));
            flags += 1;
        }
    }
    assert!(commands > 20 && flags > 20, "{commands} commands and {flags} options");
}

#[test]
fn causes_are_advised_where_an_error_passes_them_on() {
    let error = BuildError::Secrets(SecretsError::NoneYet { path: "s".into() });
    assert_eq!(text(&error), "There are no secrets yet: `p9img secrets create` makes s");
    let error = MediaError::Read { path: "m".into(), source: broken() };
    assert_eq!(line(&error), "Cannot read m: broken");
    assert!(is_usage(&BuildError::NoFormat) && !is_usage(&error));
}
