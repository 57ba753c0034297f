//! Positions in the picture of the lab: a card for each node in rows, the
//! network as a line below each row, and above it a line for each thing that
//! nodes do with one of them. Units are those of the SVG.

use super::view::{Bundle, NodeView};
use serde::Serialize;

/// Most lines of links: more could not be told apart.
pub(super) const LINES: usize = 6;

const CARD: u32 = 196;
const GAP: u32 = 22;
/// Height of a card's head and of a line of its text.
const HEAD: u32 = 30;
const TEXT: u32 = 18;
/// Distance between lines of links.
const LANE: u32 = 12;
/// From a card to the network's line.
const DROP: u32 = 26;
/// Characters of a line that fit a card.
const WIDE: usize = 27;

#[derive(Serialize)]
pub(super) struct Picture {
    width: u32,
    height: u32,
    cards: Vec<Card>,
    lines: Vec<Line>,
    /// Paths of the network.
    network: Vec<String>,
    /// Position of its name.
    label_x: u32,
    label_y: u32,
}

#[derive(Serialize)]
struct Card {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
    head: u32,
    name: String,
    name_x: u32,
    name_y: u32,
    /// The name is so long that it must be fitted to this width; 0: no.
    fit: u32,
    text: Vec<Text>,
}

#[derive(Serialize)]
struct Text {
    x: u32,
    y: u32,
    text: String,
    strong: bool,
}

/// One bundle of links.
#[derive(Serialize)]
struct Line {
    index: usize,
    paths: Vec<String>,
    dots: Vec<(u32, u32)>,
    /// Tip of the arrow, pointing down.
    tip: String,
}

impl Picture {
    /// Draws rows of at most `columns` cards.
    pub fn draw(nodes: &[NodeView<'_>], bundles: &[Bundle], columns: usize) -> Self {
        let bundles = &bundles[..bundles.len().min(LINES)];
        let columns = columns.min(nodes.len()).max(1);
        let rows = nodes.len().div_ceil(columns);
        let texts: Vec<Vec<(String, bool)>> = nodes.iter().map(lines_of).collect();
        let most = texts.iter().map(Vec::len).max().unwrap_or(0) as u32;
        let lanes = bundles.len() as u32 * LANE;
        // Lines that lead from row to row run to the left of the cards.
        let left = if rows > 1 { 12 + lanes } else { 12 };
        let right = if rows > 1 { 24 } else { 12 };
        let card_height = HEAD + most * TEXT + 14;
        let row_height = lanes + 14 + card_height + DROP + GAP;
        let width = left + columns as u32 * (CARD + GAP) - GAP + right;
        let top = |row: usize| 8 + row as u32 * row_height;
        let at = |i: usize| {
            let (row, column) = (i / columns, (i % columns) as u32);
            (left + column * (CARD + GAP), top(row) + lanes + 14)
        };

        let mut cards = Vec::new();
        for (i, (node, texts)) in nodes.iter().zip(texts).enumerate() {
            let (x, y) = at(i);
            let line = |(n, (text, strong)): (usize, (String, bool))| Text {
                x: x + 12,
                y: y + HEAD + 8 + n as u32 * TEXT + 12,
                text,
                strong,
            };
            let name = node.node.name.clone();
            cards.push(Card {
                x,
                y,
                width: CARD,
                height: card_height,
                head: HEAD,
                name_x: x + CARD / 2,
                name_y: y + 20,
                fit: if name.len() > 21 { CARD - 20 } else { 0 },
                name,
                text: texts.into_iter().enumerate().map(line).collect(),
            });
        }

        let mut network = Vec::new();
        for row in 0..rows {
            let bus = top(row) + lanes + 14 + card_height + DROP;
            let in_row = nodes.len().min((row + 1) * columns) - row * columns;
            for i in row * columns..row * columns + in_row {
                let x = at(i).0 + CARD / 2;
                network.push(format!("M{x} {}V{bus}", bus - DROP));
            }
            let end = if rows > 1 { width - 8 } else { width - 12 };
            network.push(format!("M{} {bus}H{end}", at(0).0));
        }
        let bus = |row: usize| top(row) + lanes + 14 + card_height + DROP;
        if rows > 1 {
            network.push(format!("M{} {}V{}", width - 8, bus(0), bus(rows - 1)));
        }

        let lines = bundles.iter().enumerate().filter_map(|(index, bundle)| {
            let lane = |row: usize| top(row) + 6 + index as u32 * LANE;
            let shift = index as u32 * LANE;
            let place = |name: &String| nodes.iter().position(|n| n.node.name == *name);
            let target = place(&bundle.to)?;
            let sources: Vec<usize> = bundle.from.iter().filter_map(place).collect();
            let (mut paths, mut dots) = (Vec::new(), Vec::new());
            let mut used = Vec::new();
            for row in 0..rows {
                let mut xs: Vec<u32> = Vec::new();
                for i in sources.iter().filter(|i| **i / columns == row) {
                    let (x, y) = (at(*i).0 + 18 + shift, at(*i).1);
                    paths.push(format!("M{x} {y}V{}", lane(row)));
                    dots.push((x, y));
                    xs.push(x);
                }
                if target / columns == row {
                    let x = at(target).0 + CARD - 18 - shift;
                    paths.push(format!("M{x} {}V{}", lane(row), at(target).1 - 6));
                    xs.push(x);
                }
                if let (Some(first), Some(last)) = (xs.iter().min().copied(), xs.iter().max()) {
                    used.push((row, first));
                    paths.push(format!("M{first} {}H{last}", lane(row)));
                }
            }
            if let [(first, _), .., (last, _)] = used[..] {
                let x = 8 + shift;
                paths.push(format!("M{x} {}V{}", lane(first), lane(last)));
                paths.extend(used.iter().map(|(row, start)| format!("M{x} {}H{start}", lane(*row))));
            }
            let (x, y) = (at(target).0 + CARD - 18 - shift, at(target).1);
            Some(Line { index, paths, dots, tip: format!("M{} {}h10l-5 8z", x - 5, y - 8) })
        });
        let lines = lines.collect();
        Self { width, height: bus(rows - 1) + 26, cards, lines, network, label_x: left, label_y: bus(rows - 1) + 18 }
    }
}

/// The text on a node's card, and whether each line is strong.
fn lines_of(node: &NodeView<'_>) -> Vec<(String, bool)> {
    let mut out = Vec::new();
    wrap(&mut out, node.node.roles.iter().map(String::as_str), " + ", true);
    out.push((node.node.ip.to_string(), false));
    wrap(&mut out, node.ports.iter().map(String::as_str), ", ", false);
    let cpus = crate::count::of(node.node.cpus, "CPU");
    wrap(&mut out, [cpus, format!("{} MiB", node.memory_mib), format!("{} disk", node.disk_size)], ", ", false);
    out
}

/// Joins words to lines that fit a card.
fn wrap(out: &mut Vec<(String, bool)>, words: impl IntoIterator<Item = impl AsRef<str>>, between: &str, strong: bool) {
    let mut line = String::new();
    for word in words {
        let word = word.as_ref();
        if !line.is_empty() && line.chars().count() + between.len() + word.chars().count() > WIDE {
            out.push((std::mem::take(&mut line) + between.trim_end(), strong));
        }
        if !line.is_empty() {
            line += between;
        }
        // A word longer than a card is cut; the table has it whole.
        let long = word.chars().count() > WIDE;
        line.extend(word.chars().take(if long { WIDE - 1 } else { WIDE }));
        if long {
            line.push('…');
        }
    }
    if !line.is_empty() {
        out.push((line, strong));
    }
}
