//! A lab of cards: a medium of a few files, firmware that is none, and nodes
//! that are Raspberry Pis.

use std::fs;
use std::path::PathBuf;

/// Files that the boards load: their bytes do not matter.
const FIRMWARE: [&str; 6] = ["bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat", "LICENCE.broadcom"];
const MEDIUM: [&str; 9] = [
    "386/9load",
    "386/pbslba",
    "386/mbr",
    "rc/bin/cpurc",
    "adm/timezone/GMT",
    "arm/9picpu",
    "arm/9pi2cpu",
    "arm/9pi2",
    "arm/9pi4cpu",
];

/// The text of a lab. `formats` and `card` are as it has them; of each node,
/// which is n1, n2 and so on, the roles and the board, none for a PC.
pub fn text(formats: &str, card: &str, nodes: &[(&str, Option<&str>)]) -> String {
    let mut text = format!(
        "[lab]\nname = \"cards\"\nmedium = \"tiny\"\nformats = [{formats}]\n\n\
         [media.tiny]\npath = \"tiny\"\n\n\
         [media.pi-firmware]\npath = \"firmware\"\n\n\
         [defaults]\ncard = \"{card}\"\n"
    );
    for ((roles, board), n) in nodes.iter().zip(1..) {
        text += &format!("\n[[node]]\nname = \"n{n}\"\nroles = [{roles}]\n");
        text.extend(board.map(|board| format!("board = \"{board}\"\n")));
    }
    text
}

/// A folder with a lab, its medium and the firmware.
pub fn folder(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let put = |path: PathBuf| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, path.file_name().unwrap().as_encoded_bytes().repeat(1000)).unwrap();
    };
    MEDIUM.iter().for_each(|f| put(dir.path().join("tiny").join(f)));
    FIRMWARE.iter().for_each(|f| put(dir.path().join("firmware").join(f)));
    fs::write(dir.path().join("lab.toml"), text).unwrap();
    dir
}
