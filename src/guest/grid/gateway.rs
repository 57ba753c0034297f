//! The way into the lab's network: a QEMU without a machine that joins the
//! nodes' segment and forwards ports of this host. It needs no root, and lets
//! nothing out.

use super::{GridError, GridSpec};
use crate::guest::qemu::to_switch;
use crate::render::HostPorts;
use std::ffi::OsString;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

/// Local ports of one node, from a multiple of this on.
const STRIDE: u16 = 10;

/// Gives every service of every node a local port: the first node's begin at
/// `base + 10`, the second's at `base + 20`, whatever else is there.
///
/// # Errors
/// When there are not enough, or one is taken.
pub fn ports(spec: &GridSpec, base: u16) -> Result<HostPorts, GridError> {
    let mut out = HostPorts::new();
    for (i, node) in spec.nodes.iter().enumerate() {
        for (j, port) in node.ports.iter().take(STRIDE.into()).enumerate() {
            let local = usize::from(base) + usize::from(STRIDE) * (i + 1) + j;
            let Ok(local) = u16::try_from(local) else { return Err(GridError::PortsEnd { base }) };
            // Bound and let go again: QEMU binds it in a moment.
            TcpListener::bind((Ipv4Addr::LOCALHOST, local)).map_err(|source| GridError::Port {
                port: local,
                service: port.name.clone(),
                node: node.name.clone(),
                source,
            })?;
            out.entry(node.name.clone()).or_default().insert(port.name.clone(), local);
        }
    }
    Ok(out)
}

/// QEMU's arguments for the gateway; `network` is the switch's socket.
///
/// # Errors
/// When the network has no address left for it.
pub fn arguments(spec: &GridSpec, ports: &HostPorts, network: &Path) -> Result<Vec<OsString>, GridError> {
    let taken: Vec<Ipv4Addr> = spec.nodes.iter().map(|n| n.ip).collect();
    // From the end: people count from the start.
    let hosts: Vec<Ipv4Addr> = spec.subnet.hosts().take(1 << 16).collect();
    let mut free = hosts.into_iter().rev().filter(|ip| !taken.contains(ip) && Some(*ip) != spec.gateway);
    let mut next = || free.next().ok_or(GridError::NoAddress { subnet: spec.subnet });
    let (host, dns, dhcp) = (spec.gateway.map_or_else(&mut next, Ok)?, next()?, next()?);
    let mut user = format!(
        "user,id=host0,restrict=on,ipv6=off,net={},host={host},dns={dns},dhcpstart={dhcp}",
        spec.subnet.trunc()
    );
    for node in &spec.nodes {
        for port in &node.ports {
            if let Some(local) = ports.get(&node.name).and_then(|p| p.get(&port.name)) {
                user.push_str(&format!(",hostfwd=tcp:127.0.0.1:{local}-{}:{}", node.ip, port.tcp));
            }
        }
    }
    let mut args: Vec<OsString> = Vec::new();
    for arg in ["-machine", "none", "-nodefaults", "-display", "none", "-netdev", &user] {
        args.push(arg.into());
    }
    args.extend(["-netdev".into(), to_switch("lab0", network)]);
    for (i, netdev) in ["host0", "lab0"].into_iter().enumerate() {
        args.extend(["-netdev".into(), format!("hubport,id=port{i},hubid=0,netdev={netdev}").into()]);
    }
    Ok(args)
}

#[cfg(test)]
mod tests {
    use super::super::tests::spec;
    use super::*;

    fn text(args: &[OsString]) -> String {
        args.iter().map(|a| a.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    /// A base under which ports are free just now.
    fn base() -> u16 {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port().saturating_sub(200).max(2000)
    }

    #[test]
    fn every_service_is_forwarded_to_its_node() {
        let spec = spec(2);
        let base = base();
        let ports = ports(&spec, base).unwrap();
        assert_eq!(ports["n2"]["cpu"], base + 20);
        let args = text(&arguments(&spec, &ports, Path::new("/x/network.sock")).unwrap());
        for part in [
            "net=10.9.0.0/24,host=10.9.0.1,dns=10.9.0.254,dhcpstart=10.9.0.253",
            &format!("hostfwd=tcp:127.0.0.1:{}-10.9.0.12:17010", base + 20),
            "-netdev stream,id=lab0,server=off,addr.type=unix,addr.path=/x/network.sock",
            "hubport,id=port1,hubid=0,netdev=lab0",
            "restrict=on",
        ] {
            assert!(args.contains(part), "{part} not in {args}");
        }
    }

    #[test]
    fn a_taken_port_is_named() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let said = ports(&spec(1), port - 10).unwrap_err().to_string();
        assert!(said.contains(&format!("127.0.0.1:{port}")) && said.contains("cpu of n1"), "{said}");
        assert!(matches!(ports(&spec(1), 65530), Err(GridError::PortsEnd { .. })));
    }

    #[test]
    fn a_network_that_is_full_is_refused() {
        let mut spec = spec(2);
        spec.subnet = "10.9.0.8/29".parse().unwrap();
        spec.gateway = None;
        assert!(arguments(&spec, &HostPorts::new(), Path::new("s")).is_ok());
        spec.subnet = "10.9.0.8/30".parse().unwrap();
        assert!(matches!(arguments(&spec, &HostPorts::new(), Path::new("s")), Err(GridError::NoAddress { .. })));
    }
}
