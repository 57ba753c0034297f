//! Ports of this machine that lead to the nodes.
//!
//! A lab keeps the ports that it once had, whatever is added to it or taken
//! out. New ones follow the order of the lab: the first node's from `base + 10`
//! on, the second's from `base + 20`, and a node with more than ten services
//! takes as many tens as it needs.

use super::{GridError, GridSpec, State};
use crate::lab::local_ports::{self, STRIDE};
use crate::render::HostPorts;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};

/// Base of the ports when none is given and no other is in use.
const FIRST: u16 = 27_000;
/// Beyond this, systems give ports to programs that want any.
const LAST: u16 = 32_000;

/// Chooses the ports of a lab: from `asked` on; without it, those of the run
/// before if they are still free, else the first free ones.
///
/// # Errors
/// Fails when the ports that were asked for are taken, or there are none.
pub fn choose(spec: &GridSpec, before: Option<&State>, asked: Option<u16>) -> Result<(u16, HostPorts), GridError> {
    let none = HostPorts::new();
    let old = |base: u16| before.filter(|s| s.base == base).map_or(&none, |s| &s.ports);
    if let Some(base) = asked {
        return Ok((base, assign(spec, base, old(base), None)?));
    }
    let mut first = None;
    let step = (STRIDE * (1 + spec.nodes.iter().map(tens).sum::<usize>())).next_multiple_of(100);
    let remembered = before.map(|s| s.base).filter(|base| *base != 0);
    for base in remembered.into_iter().chain((FIRST..LAST).step_by(step)) {
        match assign(spec, base, old(base), None) {
            Ok(ports) => return Ok((base, ports)),
            Err(error) => drop(first.get_or_insert(error)),
        }
    }
    Err(first.unwrap_or(GridError::PortsEnd { base: FIRST }))
}

/// Groups of ten ports that a node takes.
fn tens(node: &super::NodeSpec) -> usize {
    local_ports::tens(node.ports.len())
}

/// Gives every service of every node a port: that of `old` if it has one, else
/// a new one from `base` on. `held` are ports that this lab itself listens on;
/// with them, a new port that is taken is passed over.
///
/// # Errors
/// Fails when there are not enough, or one is taken.
pub fn assign(
    spec: &GridSpec,
    base: u16,
    old: &HostPorts,
    held: Option<&dyn Fn(u16) -> bool>,
) -> Result<HostPorts, GridError> {
    let mut out = HostPorts::new();
    let ours = |local: u16| held.is_some_and(|held| held(local));
    let mut used: BTreeSet<u16> = old.values().flat_map(|p| p.values().copied()).collect();
    let mut begin = usize::from(base) + STRIDE;
    let end = begin + STRIDE * spec.nodes.iter().map(tens).sum::<usize>();
    for node in &spec.nodes {
        for (i, port) in node.ports.iter().enumerate() {
            let kept = old.get(&node.name).and_then(|p| p.get(&port.name)).copied();
            // One that an older node has is given in no other's place: then one after all.
            let mut new = std::iter::once(begin + i).chain(end..).map(u16::try_from).map_while(Result::ok);
            let local = kept.or_else(|| {
                new.find(|local| !used.contains(local) && (held.is_none() || ours(*local) || free(*local).is_ok()))
            });
            let local = local.ok_or(GridError::PortsEnd { base })?;
            used.insert(local);
            if !ours(local) {
                free(local).map_err(|source| GridError::Port {
                    port: local,
                    service: port.name.clone(),
                    node: node.name.clone(),
                    source,
                })?;
            }
            out.entry(node.name.clone()).or_default().insert(port.name.clone(), local);
        }
        begin += STRIDE * tens(node);
    }
    Ok(out)
}

/// Whether nobody listens: bound and let go again, as the gateway binds it in a moment.
fn free(port: u16) -> std::io::Result<()> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::spec::tests::spec;
    use super::*;
    use crate::guest::Accel;
    use crate::render::Port;

    /// A port that is taken, far from where labs begin by themselves.
    fn taken() -> (TcpListener, u16) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    fn many(count: u16) -> Vec<Port> {
        (0..count).map(|i| Port { name: format!("s{i:02}"), tcp: 1000 + i, only: None }).collect()
    }

    fn of(spec: &GridSpec, base: u16, old: &HostPorts) -> HostPorts {
        assign(spec, base, old, Some(&|_| true)).unwrap()
    }

    #[test]
    fn a_node_has_as_many_as_it_needs() {
        let mut spec = spec(3);
        spec.nodes[1].ports = many(12);
        let ports = of(&spec, 2000, &HostPorts::new());
        assert_eq!(ports["n1"]["cpu"], 2010);
        assert_eq!(ports["n2"].values().copied().collect::<Vec<_>>(), (2020..2032).collect::<Vec<_>>());
        assert_eq!(ports["n3"]["cpu"], 2040);
    }

    #[test]
    fn a_lab_that_changes_keeps_its_ports() {
        let mut spec = spec(3);
        let before = of(&spec, 2000, &HostPorts::new());
        // The first goes, one comes between the others, and one has more services.
        spec.nodes.remove(0);
        let mut new = spec.nodes[0].clone();
        new.name = "new".into();
        spec.nodes.insert(1, new);
        spec.nodes[2].ports.extend(many(3));
        let after = of(&spec, 2000, &before);
        assert_eq!((after["n2"]["cpu"], after["n3"]["cpu"]), (2020, 2030));
        assert!(!after.contains_key("n1"));
        let all: Vec<u16> = after.values().flat_map(|p| p.values().copied()).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{after:?}");
        assert_eq!(of(&spec, 2000, &after), after);
    }

    #[test]
    fn a_taken_port_is_named_if_it_was_asked_for_and_avoided_if_not() {
        let (_listener, port) = taken();
        let said = choose(&spec(1), None, Some(port - 10)).unwrap_err().to_string();
        assert!(said.contains(&format!("127.0.0.1:{port}")) && said.contains("cpu of n1"), "{said}");
        assert!(matches!(choose(&spec(1), None, Some(65530)), Err(GridError::PortsEnd { .. })));
        // The same base, remembered.
        let mut state = State::new("test", Accel::Tcg);
        state.base = port - 10;
        let (base, ports) = choose(&spec(1), Some(&state), None).unwrap();
        assert!(base != state.base && ports["n1"]["cpu"] == base + 10, "{ports:?}");
        drop(_listener);
        assert_eq!(choose(&spec(1), Some(&state), None).unwrap().0, state.base);
    }
}
