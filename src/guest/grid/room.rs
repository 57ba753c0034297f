//! Room on this host: processors and memory for the nodes.

use super::{GridError, NodeSpec};
use crate::guest::machine::Accel;
use std::fs;

/// Software emulation of more nodes than this on one core is no use.
const NODES_PER_CORE: usize = 4;

/// Processors of this host.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

/// Whether this host can carry the nodes, each of which takes `overhead` bytes of
/// memory in addition to its own.
pub fn enough(start: &[&NodeSpec], running: usize, accel: Accel, overhead: u64) -> Result<(), GridError> {
    let needed = start.iter().map(|n| n.memory + overhead).sum();
    if let Some(available) = available_memory().filter(|a| *a < needed) {
        return Err(GridError::Memory { nodes: start.len(), needed, available });
    }
    let nodes = start.len() + running;
    if accel == Accel::Tcg && !start.is_empty() && nodes > cores() * NODES_PER_CORE {
        return Err(GridError::Cores { nodes, cores: cores(), each: NODES_PER_CORE });
    }
    Ok(())
}

/// Bytes of memory that programs can still have; not every system tells it.
fn available_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|k| k << 10)
}

#[cfg(test)]
mod tests {
    use super::super::spec::tests::spec;
    use super::*;

    #[test]
    fn a_machine_that_is_too_small_is_told_what_it_lacks() {
        let mut spec = spec(2);
        for node in &mut spec.nodes {
            node.memory = 1 << 50;
        }
        let nodes: Vec<_> = spec.nodes.iter().collect();
        let said = enough(&nodes, 0, Accel::Kvm, 96 << 20).unwrap_err().to_string();
        assert!(said.starts_with("2 nodes need 2147483840 MiB"), "{said}");
        let many = super::super::spec::tests::spec(200);
        let mut nodes: Vec<NodeSpec> = many.nodes.into_iter().cycle().take(cores() * NODES_PER_CORE + 1).collect();
        for node in &mut nodes {
            node.memory = 1 << 20;
        }
        let nodes: Vec<_> = nodes.iter().collect();
        let said = enough(&nodes, 0, Accel::Tcg, 0).unwrap_err().to_string();
        assert!(said.contains(&format!("need {} processors", cores() + 1)), "{said}");
        assert!(enough(&nodes[1..], 0, Accel::Tcg, 0).is_ok());
        assert!(enough(&nodes[1..], 1, Accel::Tcg, 0).is_err());
        assert!(enough(&nodes, 0, Accel::Kvm, 0).is_ok());
    }
}
