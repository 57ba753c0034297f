//! The way into a lab's network from this host.

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Settings of a gateway: its addresses on the network, and the targets of its
/// ports of this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateway {
    pub subnet: Ipv4Net,
    pub host: Ipv4Addr,
    pub dns: Ipv4Addr,
    pub dhcp: Ipv4Addr,
    pub forwards: BTreeMap<u16, SocketAddrV4>,
}

impl Gateway {
    /// Whether a gateway that runs can become this one: its own addresses are
    /// right, and only its ports differ.
    pub fn can_become(&self, wanted: &Self) -> bool {
        let own = |g: &Self| (g.subnet, g.host, g.dns, g.dhcp);
        own(self) == own(wanted)
    }
}
