//! `p9img media list`.

use super::named::{find, names};
use crate::cli::outcome::Outcome;
use crate::cli::printer::Printer;
use crate::cli::say;
use crate::cli::shared_args::GlobalArgs;
use crate::lab::{Lab, Medium, Origin, releases};
use crate::media::pins::{Pin, Pins};
use crate::media::store::Store;
use crate::ops;
use crate::size;
use serde_json::{Value, json};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(cli: &GlobalArgs, args: &Args) -> anyhow::Result<Outcome> {
    // Without a lab there are still the releases and the cache.
    let lab = match cli.lab.exists() {
        true => Some(ops::lab::read(&cli.lab, &Printer::new(cli))?.1),
        false => None,
    };
    let pins = lab.as_ref().map(|lab| Pins::load(&lab.dir)).transpose()?.unwrap_or_default();
    let store = Store::platform()?;
    let mut media = Vec::new();
    if let Some(lab) = &lab {
        for name in names(lab, &pins) {
            media.push(row(lab, &name, find(lab, &name).as_ref(), pins.media.get(&name), &store)?);
        }
    }
    let known: Vec<Value> = releases::all()
        .iter()
        .map(|r| {
            json!({"name": r.name, "what": r.what, "urls": r.urls, "sha256": r.sha256, "length": r.length, "source": r.source})
        })
        .collect();
    if args.json {
        let cache = json!({"path": store.root(), "size": store.size()?});
        let all = json!({"media": media, "releases": known, "cache": cache});
        say::json(&all)?;
        return Ok(Outcome::Good);
    }
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    for m in &media {
        let length = m["length"].as_u64().map_or_else(String::new, size::even);
        say::line(format_args!(
            "{:<20} {:<12} {length:>10}  {}",
            text(&m["name"]),
            text(&m["state"]),
            text(&m["source"])
        ))?;
        if let Some(digest) = m["sha256"].as_str().or(m["tree"].as_str()) {
            say::line(format_args!("{:20} {digest}", ""))?;
        }
    }
    if !cli.quiet {
        let title = if media.is_empty() { "" } else { "\n" };
        say::line(format_args!("{title}Releases by name (`p9img media add NAME`, `p9img build --media NAME`):"))?;
        for r in releases::all() {
            say::line(format_args!("  {:<24} {}", r.name, r.what))?;
        }
        say::line(format_args!("Cache: {} in {}", size::even(store.size()?), store.root().display()))?;
    }
    Ok(Outcome::Good)
}

fn row(lab: &Lab, name: &str, medium: Option<&Medium>, pin: Option<&Pin>, store: &Store) -> anyhow::Result<Value> {
    let (pinned, length, tree) = match pin {
        Some(Pin::File { sha256, length, .. }) => (Some(*sha256), Some(*length), None),
        Some(Pin::Folder { tree, .. }) => (None, None, Some(*tree)),
        None => (None, None, None),
    };
    let sha256 = medium.and_then(|m| m.sha256).or(pinned);
    let (state, source) = match medium.map(|m| &m.origin) {
        None => ("not in lab", pin.map(|p| p.source().to_owned())),
        Some(Origin::Path(path)) => {
            let state = match path.metadata() {
                Ok(meta) if meta.is_dir() => "folder",
                Ok(_) => "file",
                Err(_) => "missing",
            };
            (state, Some(path.strip_prefix(&lab.dir).unwrap_or(path).display().to_string()))
        }
        Some(Origin::Urls(urls)) => {
            let cached = sha256.map(|digest| store.open(&digest)).transpose()?.flatten().is_some();
            let from = pin.map(|p| p.source().to_owned()).or_else(|| urls.first().cloned());
            (if cached { "cached" } else { "not fetched" }, from)
        }
    };
    Ok(json!({
        "name": name,
        "state": state,
        "used": lab.media_in_use().contains(&name),
        "length": length.or(medium.and_then(|m| m.len)),
        "sha256": sha256,
        "tree": tree,
        "recorded": pin.is_some(),
        "source": source,
    }))
}
