//! `p9img flash`: a node's image onto a card.

use crate::artifact::{self, Monitor as _};
use crate::cli::outcome::Outcome;
use crate::cli::printer::Printer;
use crate::cli::shared_args::GlobalArgs;
use crate::cli::{interrupt, say};
use crate::count;
use crate::flash::{Device, Facts, FlashError, Phase, flash};
use crate::ops::{self, Watched};
use crate::read_at::ReadAt;
use crate::size;
use anyhow::{Context as _, bail};
use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The node
    pub node: String,
    /// The card, such as /dev/sdX or /dev/mmcblk0
    #[arg(long, value_name = "PATH")]
    pub device: PathBuf,
    /// Do not ask for confirmation
    #[arg(long)]
    pub yes: bool,
    /// Folder of the artifacts
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

pub fn run(cli: &GlobalArgs, args: &Args) -> anyhow::Result<Outcome> {
    let printer = Printer::new(cli);
    let path = ops::images::card(&cli.request(args.out.as_ref()), &args.node, &printer)?;
    // The card is refused before anything is unpacked.
    let card = Device::open(&args.device)?;
    let image: Arc<dyn ReadAt> = artifact::open(&path)?;
    if image.len() > card.facts.len {
        return Err(FlashError::TooSmall { need: image.len(), have: card.facts.len }.into());
    }
    show(&card.facts)?;
    if !args.yes && !agreed(&card.facts)? {
        bail!("Nothing was written");
    }
    let stop = interrupt::flag()?;
    let progress = Watched::new(&printer, stop);
    let total = 2 * image.len();
    let result = flash(&*image, &card, &|phase, done| {
        let (word, before) = match phase {
            Phase::Writing => ("writing", 0),
            Phase::Verifying => ("verifying", image.len()),
        };
        progress.progress(word, before + done, total);
        !progress.cancelled()
    });
    drop(progress);
    match result {
        Ok(()) => {
            if !cli.quiet {
                let size = size::even(image.len());
                say::line(format_args!("{size} of {} written to {} and read back", args.node, args.device.display()))?;
            }
            Ok(Outcome::Good)
        }
        Err(e @ FlashError::Differs { .. }) => {
            say::error(&e.into());
            Ok(Outcome::Differs)
        }
        Err(e) => Err(e.into()),
    }
}

fn show(card: &Facts) -> anyhow::Result<()> {
    let model = if card.model.is_empty() { "of unknown model" } else { &card.model };
    let fixed = if card.removable || card.model == "a file" { "" } else { ", not removable" };
    let bytes = card.len;
    say::line(format_args!(
        "{}: {model}, {} ({bytes}){fixed}",
        card.path.display(),
        size::even(bytes),
        bytes = count::of(bytes, "byte")
    ))?;
    for (name, len) in &card.partitions {
        say::line(format_args!("  {name}  {}", size::even(*len)))?;
    }
    if card.partitions.is_empty() {
        say::line(format_args!("  no partitions"))?;
    }
    Ok(())
}

/// Asks for confirmation; any answer but `yes` is no.
fn agreed(card: &Facts) -> anyhow::Result<bool> {
    let mut err = anstream::stderr().lock();
    write!(err, "All data on {} will be lost. Type yes to write: ", card.path.display())?;
    err.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).context("Cannot read the answer")?;
    Ok(answer.trim() == "yes")
}
