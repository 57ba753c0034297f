//! Builds the sample lab into a folder, and prints the SHA-256 and the name of each
//! artifact: `cargo run --example build_lab FOLDER`.

use p9img::lab::template;
use p9img::ops::{self, BuildRequest, Note, Reporter};
use std::error::Error;
use std::path::PathBuf;

/// Shows notes, and no progress.
struct Notes;

impl Reporter for Notes {
    fn note(&self, note: &Note) {
        eprintln!("note: {note}");
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("sample-lab"), PathBuf::from);
    std::fs::create_dir_all(&folder)?;
    let lab = folder.join("lab.toml");
    if !lab.exists() {
        std::fs::write(&lab, template::LAB)?;
    }
    let outcome = ops::build(&BuildRequest::new(lab), &Notes)?;
    for artifact in &outcome.artifacts {
        println!("{}  {}", artifact.sha256, artifact.path.display());
    }
    outcome.notes.iter().for_each(|note| Notes.note(note));
    Ok(())
}
