//! The way into the lab's network: a QEMU without a machine that joins the
//! nodes' segment and forwards ports of this host. It needs no root, and lets
//! nothing out.

use super::{GridError, GridSpec, Process, folder, switch};
use crate::guest::qemu::to_switch;
use crate::render::HostPorts;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

/// File with the gateway's settings, in its folder.
const FILE: &str = "forwards.json";

/// Settings of a gateway: its addresses on the network, and the targets of its
/// ports of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateway {
    subnet: ipnet::Ipv4Net,
    host: Ipv4Addr,
    dns: Ipv4Addr,
    dhcp: Ipv4Addr,
    pub forwards: BTreeMap<u16, SocketAddrV4>,
}

impl Gateway {
    /// One that forwards `ports` to the nodes; `others` are addresses of
    /// machines that run without being nodes of the lab.
    ///
    /// # Errors
    /// Fails when the network has no address left for it.
    pub fn new(spec: &GridSpec, ports: &HostPorts, others: &[Ipv4Addr]) -> Result<Self, GridError> {
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
        Ok(Self { subnet: spec.subnet, host, dns, dhcp, forwards })
    }

    /// QEMU's arguments for it, from the folder of a machine.
    pub fn arguments(&self) -> Vec<OsString> {
        let Self { subnet, host, dns, dhcp, .. } = self;
        let mut user =
            format!("user,id=host0,restrict=on,ipv6=off,net={},host={host},dns={dns},dhcpstart={dhcp}", subnet.trunc());
        for (local, to) in &self.forwards {
            user.push_str(&format!(",hostfwd={}", rule(*local, *to)));
        }
        let mut args: Vec<OsString> = Vec::new();
        for arg in ["-machine", "none", "-nodefaults", "-display", "none", "-netdev", &user] {
            args.push(arg.into());
        }
        args.extend(["-netdev".into(), to_switch("lab0", Path::new(switch::FROM_MACHINE))]);
        for (i, netdev) in ["host0", "lab0"].into_iter().enumerate() {
            args.extend(["-netdev".into(), format!("hubport,id=port{i},hubid=0,netdev={netdev}").into()]);
        }
        args
    }

    /// Whether a gateway that runs can become this one: its own addresses are
    /// right, and only its ports differ.
    fn can_become(&self, wanted: &Self) -> bool {
        let own = |g: &Self| (g.subnet, g.host, g.dns, g.dhcp);
        own(self) == own(wanted)
    }

    /// Makes the gateway that runs in `process`, if it does, this one. Logins
    /// through its other ports go on; false when it has to be started again.
    ///
    /// # Errors
    /// Fails when it cannot listen on a port.
    pub fn apply(&mut self, process: &Process) -> Result<bool, GridError> {
        let Some(now) = Self::load(&process.dir).filter(|now| now.can_become(self)) else { return Ok(false) };
        let gone = now.forwards.iter().filter(|(local, to)| self.forwards.get(local) != Some(to));
        for (local, _) in gone {
            monitor(process, &format!("hostfwd_remove host0 tcp:127.0.0.1:{local}"))?;
        }
        for (local, to) in self.forwards.iter().filter(|(local, to)| now.forwards.get(local) != Some(to)) {
            let said = monitor(process, &format!("hostfwd_add host0 {}", rule(*local, *to)))?;
            if !said.trim().is_empty() {
                return Err(GridError::Forward { port: *local, said: said.trim().to_owned() });
            }
        }
        self.save(&process.dir)?;
        Ok(true)
    }

    /// Settings that the gateway in `dir` was last given; none when there is no
    /// record of them.
    pub fn load(dir: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(dir.join(FILE)).ok()?).ok()
    }

    /// Writes it whole or not at all.
    ///
    /// # Errors
    /// Error of the operating system.
    pub fn save(&self, dir: &Path) -> Result<(), GridError> {
        let path = dir.join(FILE);
        let text = serde_json::to_vec(self).map_err(|e| GridError::Folder { path: path.clone(), source: e.into() })?;
        folder::replace(&path, &text)
    }
}

/// A forwarding rule as QEMU has it.
fn rule(local: u16, to: SocketAddrV4) -> String {
    format!("tcp:127.0.0.1:{local}-{}:{}", to.ip(), to.port())
}

/// Runs a command of QEMU's monitor for people; returns what it says.
fn monitor(process: &Process, line: &str) -> Result<String, GridError> {
    let said = process.control("human-monitor-command", serde_json::json!({ "command-line": line }))?;
    Ok(said.as_str().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::{ports, tests::spec};
    use super::*;

    fn text(args: &[OsString]) -> String {
        args.iter().map(|a| a.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    fn of(spec: &GridSpec) -> Gateway {
        let ports = ports::assign(spec, 2000, &HostPorts::new(), Some(&|_| true)).unwrap();
        Gateway::new(spec, &ports, &[]).unwrap()
    }

    #[test]
    fn every_service_is_forwarded_to_its_node() {
        let args = text(&of(&spec(2)).arguments());
        for part in [
            "net=10.9.0.0/24,host=10.9.0.1,dns=10.9.0.254,dhcpstart=10.9.0.253",
            "hostfwd=tcp:127.0.0.1:2020-10.9.0.12:17010",
            "-netdev stream,id=lab0,server=off,addr.type=unix,addr.path=../network.sock",
            "hubport,id=port1,hubid=0,netdev=lab0",
            "restrict=on",
        ] {
            assert!(args.contains(part), "{part} not in {args}");
        }
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
        assert_eq!(Gateway::load(dir.path()), None);
        two.save(dir.path()).unwrap();
        assert_eq!(Gateway::load(dir.path()), Some(two));
    }

    #[test]
    fn a_network_that_is_full_is_refused() {
        let mut spec = spec(2);
        spec.subnet = "10.9.0.8/29".parse().unwrap();
        spec.gateway = None;
        let new = |spec: &GridSpec| Gateway::new(spec, &HostPorts::new(), &[]);
        assert!(new(&spec).is_ok());
        spec.subnet = "10.9.0.8/30".parse().unwrap();
        assert!(matches!(new(&spec), Err(GridError::NoAddress { .. })));
    }
}
