//! `os_list.json`: the cards of a lab as Raspberry Pi Imager shows a
//! repository (`rpi-imager --repo URL`).
//!
//! The Imager fetches both this list and the images by address, so the output
//! folder must be served: at the lab's `url`, or at [`BASE`], where a web server
//! started in it by hand is found. Its schema is `doc/json-schema/os-list-schema.json` in its sources.

use crate::artifact::error::Error;
use crate::artifact::output::folder::Folder;
use crate::artifact::output::manifest::Manifest;
use crate::lab::{Board, Format};
use serde::Serialize;
use std::collections::BTreeMap;
use time::OffsetDateTime;

/// Name of the file.
pub const FILE: &str = "os_list.json";
/// Default address of the output folder on the web.
pub const BASE: &str = "http://127.0.0.1:8000/";

#[derive(Serialize)]
struct List<'a> {
    os_list: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    name: String,
    description: String,
    icon: &'static str,
    url: String,
    extract_size: u64,
    extract_sha256: &'a str,
    image_download_size: u64,
    image_download_sha256: &'a str,
    release_date: String,
    /// Nothing that the Imager could fill in before the first start.
    init_format: &'static str,
    devices: [String; 1],
}

/// The text of the list; none without a card.
fn text(manifest: &Manifest, boards: &BTreeMap<&str, Board>, base: &str) -> serde_json::Result<Option<Vec<u8>>> {
    let day = OffsetDateTime::from_unix_timestamp(manifest.epoch.into()).unwrap_or(OffsetDateTime::UNIX_EPOCH).date();
    let formats = Format::cards();
    let mut os_list = Vec::new();
    for (node, board) in boards {
        // Of several forms of a card, the one that every Imager reads.
        let Some((_, file, artifact)) = manifest.artifact_of(node, &formats) else { continue };
        let Some(image) = &artifact.image else { continue };
        let roles = manifest.nodes.get(*node).and_then(|n| n["roles"].as_array()).into_iter().flatten();
        let roles: Vec<_> = roles.filter_map(|r| r.as_str()).collect();
        os_list.push(Entry {
            name: format!("{node} (Plan 9, {})", manifest.lab),
            description: format!("For the {} that is {node}: {}", board.name(), roles.join(", ")),
            icon: "",
            url: format!("{base}{file}"),
            extract_size: image.len,
            extract_sha256: &image.sha256,
            image_download_size: artifact.len,
            image_download_sha256: &artifact.sha256,
            release_date: format!("{:04}-{:02}-{:02}", day.year(), u8::from(day.month()), day.day()),
            init_format: "none",
            devices: [format!("{}-32bit", board.name())],
        });
    }
    if os_list.is_empty() {
        return Ok(None);
    }
    let mut text = serde_json::to_vec_pretty(&List { os_list })?;
    text.push(b'\n');
    Ok(Some(text))
}

/// Writes the list of all cards in the manifest; takes an old one away
/// when there is none. `base` is the address of the folder.
///
/// # Errors
/// Fails when the file cannot be written.
pub fn save(
    folder: &Folder,
    manifest: &Manifest,
    boards: &BTreeMap<&str, Board>,
    base: Option<&str>,
) -> Result<(), Error> {
    let path = folder.path().join(FILE);
    match text(manifest, boards, base.unwrap_or(BASE)) {
        Ok(Some(text)) => folder.replace(FILE, &text),
        Ok(None) => match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::Write { path, source: e }),
            _ => Ok(()),
        },
        Err(e) => Err(Error::Write { path, source: e.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::job::Image;
    use crate::artifact::output::manifest::Artifact;

    #[test]
    fn cards_are_listed_with_both_sizes_and_digests() {
        let mut manifest = Manifest::new("lab", 1_767_225_600);
        let boards = BTreeMap::from([("n1", Board::Pc), ("n2", Board::Pi2)]);
        assert_eq!(text(&manifest, &boards, BASE).unwrap(), None);
        let artifact = |format: &str, image| Artifact {
            node: "n2".into(),
            format: format.into(),
            len: 5,
            sha256: "aa".into(),
            mark: String::new(),
            image,
            base: None,
            stale: false,
        };
        let image = || Some(Image { len: 9, sha256: "bb".into() });
        manifest.artifacts.insert("n2.qcow2".into(), artifact("qcow2", None));
        manifest.artifacts.insert("n2.sd.img.xz".into(), artifact("sd-xz", image()));
        manifest.artifacts.insert("n2.sd.img.zip".into(), artifact("sd", image()));
        let list: serde_json::Value =
            serde_json::from_slice(&text(&manifest, &boards, "https://a.example/lab/").unwrap().unwrap()).unwrap();
        let entry = &list["os_list"][0];
        assert_eq!(list["os_list"].as_array().unwrap().len(), 1);
        assert_eq!(entry["url"], "https://a.example/lab/n2.sd.img.zip");
        assert_eq!((&entry["extract_size"], &entry["extract_sha256"]), (&9.into(), &"bb".into()));
        assert_eq!((&entry["image_download_size"], &entry["image_download_sha256"]), (&5.into(), &"aa".into()));
        manifest.artifacts.get_mut("n2.sd.img.zip").unwrap().stale = true;
        let now = text(&manifest, &boards, BASE).unwrap().unwrap();
        let now: serde_json::Value = serde_json::from_slice(&now).unwrap();
        assert_eq!(now["os_list"][0]["url"], format!("{BASE}n2.sd.img.xz"), "the file that the last build made");
        assert_eq!((&entry["release_date"], &entry["devices"][0]), (&"2026-01-01".into(), &"pi2-32bit".into()));
    }
}
