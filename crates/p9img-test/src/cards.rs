//! A lab of cards: a medium of a few files, a stand-in for firmware, and nodes that
//! are Raspberry Pis.

use crate::Lab;
use std::path::Path;

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

/// The text of a lab. `formats` and `card` are the values of these keys; `nodes`
/// has the roles and the board of each node, none for a PC. The nodes are called
/// n1, n2 and so on.
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

/// A lab with its medium and the firmware.
pub fn lab(text: &str) -> Lab {
    let lab = Lab::of(text);
    for (folder, files) in [("tiny", &MEDIUM[..]), ("firmware", &FIRMWARE)] {
        for file in files {
            let name = Path::new(file).file_name().unwrap();
            lab.put(Path::new(folder).join(file), name.as_encoded_bytes().repeat(1000));
        }
    }
    lab
}
