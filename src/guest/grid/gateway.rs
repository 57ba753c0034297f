//! Settings of a lab's gateway: which of its ports lead where, and what the one
//! that runs was last told.

use super::{GridError, GridSpec, Process};
use crate::guest::folder::{self, FolderError};
use crate::guest::gateway::Gateway;
use crate::render::HostPorts;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

/// File with the gateway's settings, in its folder.
const FILE: &str = "forwards.json";

/// A gateway that forwards `ports` to the nodes; `others` are addresses of
/// machines that run without being nodes of the lab.
///
/// # Errors
/// Fails when the network has no address left for it.
pub fn of(spec: &GridSpec, ports: &HostPorts, others: &[Ipv4Addr]) -> Result<Gateway, GridError> {
    let taken: Vec<Ipv4Addr> = spec.nodes.iter().map(|n| n.ip).chain(others.iter().copied()).collect();
    // From the end: people count from the start.
    let hosts: Vec<Ipv4Addr> = spec.subnet.hosts().take(1 << 16).collect();
    let mut free = hosts.into_iter().rev().filter(|ip| !taken.contains(ip) && Some(*ip) != spec.gateway);
    let mut next = || free.next().ok_or(GridError::NoAddress { subnet: spec.subnet });
    let (host, dns, dhcp) = (spec.gateway.map_or_else(&mut next, Ok)?, next()?, next()?);
    let mut forwards = BTreeMap::new();
    for node in &spec.nodes {
        for port in &node.ports {
            if let Some(local) = ports.get(&node.name).and_then(|p| p.get(&port.name)) {
                forwards.insert(*local, SocketAddrV4::new(node.ip, port.tcp));
            }
        }
    }
    Ok(Gateway { subnet: spec.subnet, host, dns, dhcp, forwards })
}

/// Makes the gateway that runs in `process`, if it does, the `wanted` one. Logins
/// through its other ports go on; false when it has to be started again.
///
/// # Errors
/// Fails when it cannot listen on a port.
pub fn apply(wanted: &Gateway, process: &Process) -> Result<bool, GridError> {
    let Some(now) = load(process.dir()).filter(|now| now.can_become(wanted)) else { return Ok(false) };
    process.runner.forward(&process.folder, &now, wanted)?;
    save(wanted, process.dir())?;
    Ok(true)
}

/// Settings that the gateway in `dir` was last given; none when there is no
/// record of them.
pub fn load(dir: &Path) -> Option<Gateway> {
    serde_json::from_slice(&std::fs::read(dir.join(FILE)).ok()?).ok()
}

/// Writes them whole or not at all.
///
/// # Errors
/// Error of the operating system.
pub fn save(gateway: &Gateway, dir: &Path) -> Result<(), GridError> {
    let path = dir.join(FILE);
    let text = serde_json::to_vec(gateway).map_err(|e| FolderError::Use { path: path.clone(), source: e.into() })?;
    Ok(folder::replace(&path, &text)?)
}

#[cfg(test)]
mod tests {
    use super::super::{ports, spec::tests::spec};
    use super::*;

    fn of(spec: &GridSpec) -> Gateway {
        let ports = ports::assign(spec, 2000, &HostPorts::new(), Some(&|_| true)).unwrap();
        super::of(spec, &ports, &[]).unwrap()
    }

    #[test]
    fn every_service_has_a_port_that_leads_to_it() {
        let gateway = of(&spec(2));
        assert_eq!(gateway.host, Ipv4Addr::new(10, 9, 0, 1));
        assert_eq!((gateway.dns, gateway.dhcp), ([10, 9, 0, 254].into(), [10, 9, 0, 253].into()));
        assert_eq!(gateway.forwards.get(&2020), Some(&"10.9.0.12:17010".parse().unwrap()));
    }

    #[test]
    fn a_gateway_learns_ports_but_no_addresses() {
        let two = of(&spec(2));
        assert!(two.can_become(&of(&spec(3))));
        // A new node has the address that the gateway took for itself.
        let mut clash = spec(3);
        clash.nodes[2].ip = [10, 9, 0, 254].into();
        assert!(!two.can_become(&of(&clash)));
        let mut elsewhere = spec(2);
        elsewhere.subnet = "10.9.0.0/25".parse().unwrap();
        assert!(!two.can_become(&of(&elsewhere)));
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(load(dir.path()), None);
        save(&two, dir.path()).unwrap();
        assert_eq!(load(dir.path()), Some(two));
    }

    #[test]
    fn a_network_that_is_full_is_refused() {
        let mut spec = spec(2);
        spec.subnet = "10.9.0.8/29".parse().unwrap();
        spec.gateway = None;
        let new = |spec: &GridSpec| super::of(spec, &HostPorts::new(), &[]);
        assert!(new(&spec).is_ok());
        spec.subnet = "10.9.0.8/30".parse().unwrap();
        assert!(matches!(new(&spec), Err(GridError::NoAddress { .. })));
    }
}
