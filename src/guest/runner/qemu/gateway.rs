//! The gateway as a QEMU without a machine, which joins the nodes' segment and
//! forwards ports of this host. It needs no root, and lets nothing out.

use super::arguments::to_switch;
use super::control::control;
use crate::guest::gateway::Gateway;
use crate::guest::runner::{MachineFolder, RunnerError};
use std::ffi::OsString;
use std::net::SocketAddrV4;
use std::os::fd::BorrowedFd;

/// QEMU's arguments for it, with its connection to the switch.
pub fn arguments(gateway: &Gateway, network: BorrowedFd<'_>) -> Vec<OsString> {
    let Gateway { subnet, host, dns, dhcp, forwards } = gateway;
    let mut user =
        format!("user,id=host0,restrict=on,ipv6=off,net={},host={host},dns={dns},dhcpstart={dhcp}", subnet.trunc());
    for (local, to) in forwards {
        user.push_str(&format!(",hostfwd={}", rule(*local, *to)));
    }
    let mut args: Vec<OsString> = Vec::new();
    for arg in ["-machine", "none", "-nodefaults", "-display", "none", "-netdev", &user] {
        args.push(arg.into());
    }
    args.extend(["-netdev".into(), to_switch("lab0", network)]);
    for (i, netdev) in ["host0", "lab0"].into_iter().enumerate() {
        args.extend(["-netdev".into(), format!("hubport,id=port{i},hubid=0,netdev={netdev}").into()]);
    }
    args
}

/// Makes a gateway that runs as `from` forward the ports of `to`.
///
/// # Errors
/// Fails when it cannot listen on a port.
pub fn forward(folder: &MachineFolder, from: &Gateway, to: &Gateway) -> Result<(), RunnerError> {
    let gone = from.forwards.iter().filter(|(local, target)| to.forwards.get(local) != Some(target));
    for (local, _) in gone {
        monitor(folder, &format!("hostfwd_remove host0 tcp:127.0.0.1:{local}"))?;
    }
    let new = to.forwards.iter().filter(|(local, target)| from.forwards.get(local) != Some(target));
    for (local, target) in new {
        let said = monitor(folder, &format!("hostfwd_add host0 {}", rule(*local, *target)))?;
        if !said.trim().is_empty() {
            return Err(RunnerError::Forward { port: *local, said: said.trim().to_owned() });
        }
    }
    Ok(())
}

/// A forwarding rule as QEMU has it.
fn rule(local: u16, to: SocketAddrV4) -> String {
    format!("tcp:127.0.0.1:{local}-{}:{}", to.ip(), to.port())
}

/// Runs a command of QEMU's monitor for people; returns what it says.
fn monitor(folder: &MachineFolder, line: &str) -> Result<String, RunnerError> {
    let said = control(folder, "human-monitor-command", serde_json::json!({ "command-line": line }))?;
    Ok(said.as_str().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;

    #[test]
    fn every_service_is_forwarded_to_its_node() {
        let gateway = Gateway {
            subnet: "10.9.0.0/24".parse().unwrap(),
            host: [10, 9, 0, 1].into(),
            dns: [10, 9, 0, 254].into(),
            dhcp: [10, 9, 0, 253].into(),
            forwards: [(2020, "10.9.0.12:17010".parse().unwrap())].into(),
        };
        let args = arguments(&gateway, std::io::stdin().as_fd());
        let args: Vec<&str> = args.iter().map(|a| a.to_str().unwrap()).collect();
        let args = args.join(" ");
        for part in [
            "net=10.9.0.0/24,host=10.9.0.1,dns=10.9.0.254,dhcpstart=10.9.0.253",
            "hostfwd=tcp:127.0.0.1:2020-10.9.0.12:17010",
            "-netdev stream,id=lab0,server=off,addr.type=fd,addr.str=0",
            "hubport,id=port1,hubid=0,netdev=lab0",
            "restrict=on",
        ] {
            assert!(args.contains(part), "{part} not in {args}");
        }
    }
}
