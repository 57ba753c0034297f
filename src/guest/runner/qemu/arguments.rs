//! QEMU's command line for a machine.

use super::program::{ARM64, drive};
use super::{QemuError, devices, uboot, uefi};
use crate::guest::machine::{Accel, Machine};
use crate::lab::{Boot, Controller};
use std::ffi::OsString;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::path::PathBuf;

/// Name of a disk controller that is none of the board's.
const CONTROLLER: &str = "ahci0";

/// The arguments for everything but the ways to talk to the machine, which is a
/// PC or QEMU's own for 64-bit ARM. `network` is the network device `net0`,
/// which the machine's card is connected to.
///
/// # Errors
/// Fails when the firmware that starts the machine is not on this host.
pub fn hardware(machine: &Machine, network: OsString) -> Result<Vec<OsString>, QemuError> {
    let node = || machine.name.clone();
    let firmware = if machine.has_uefi() {
        uefi::find().ok_or_else(|| QemuError::NoUefi { node: node() })?.arguments()
    } else if machine.board.boot() == Boot::UBoot {
        let path: PathBuf = uboot::find().ok_or_else(|| QemuError::NoUboot { node: node() })?;
        vec!["-bios".into(), path.into()]
    } else {
        Vec::new()
    };
    Ok(started_by(firmware, machine, network))
}

/// The arguments for a machine that starts from firmware with these arguments.
fn started_by(firmware: Vec<OsString>, machine: &Machine, network: OsString) -> Vec<OsString> {
    let arm = machine.board.boot() == Boot::UBoot;
    // The probe of KVM was for the processors of PCs.
    let accel = if arm { Accel::Tcg } else { machine.accel };
    let mut args: Vec<OsString> = Vec::new();
    let mut arg = |a: &str| args.push(a.into());
    for a in ["-accel", accel.name(), "-nodefaults", "-display", "none"] {
        arg(a);
    }
    let board = if arm { ["-machine", ARM64, "-cpu", "cortex-a72"] } else { ["-machine", "pc", "-vga", "std"] };
    for a in board {
        arg(a);
    }
    for (flag, value) in [("-m", format!("{}M", machine.memory >> 20)), ("-smp", machine.cpus.to_string())] {
        arg(flag);
        arg(&value);
    }
    args.extend(firmware);
    args.extend(disks_and_card(machine, network));
    args
}

/// The arguments for disks and the network card.
fn disks_and_card(machine: &Machine, network: OsString) -> Vec<OsString> {
    let mut args: Vec<OsString> = Vec::new();
    if let Some(controller) = devices::controller(machine) {
        args.extend(["-device".into(), format!("{controller},id={CONTROLLER}").into()]);
    }
    for (i, disk) in machine.disks.iter().enumerate() {
        // Writes that stay go to the host's kernel one by one (it is not
        // asked to bring them to the platter, which is slow).
        let (keep, cache) = match disk.keep_writes {
            true => ("snapshot=off,cache.no-flush=on", ",write-cache=off"),
            false => ("snapshot=on,cache=unsafe", ""),
        };
        let rest = format!(",if=none,id=disk{i},{keep}");
        let place = match machine.controller {
            Controller::Ide => format!(",bus=ide.{},unit={}", i / 2, i % 2),
            Controller::Sata => format!(",bus={CONTROLLER}.{i}"),
            Controller::Virtio | Controller::Sd => String::new(),
        };
        let device = devices::disk(machine);
        args.extend(["-drive".into(), drive(disk, &rest)]);
        args.extend(["-device".into(), format!("{device},drive=disk{i}{place},bootindex={i}{cache}").into()]);
    }
    if let Some(card) = &machine.network {
        let model = devices::card(machine, card.model);
        args.extend(["-netdev".into(), network]);
        args.extend(["-device".into(), format!("{model},netdev=net0,mac={},romfile=", card.mac).into()]);
    }
    args
}

/// The network device `id`, connected to a switch by a socket that QEMU inherits.
///
/// QEMU would connect to a path only later, beside its start, and `-daemonize` leaves
/// the folder then: on a busy machine the path led nowhere, and QEMU said nothing.
pub fn to_switch(id: &str, connection: BorrowedFd<'_>) -> OsString {
    format!("stream,id={id},server=off,addr.type=fd,addr.str={}", connection.as_raw_fd()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::machine::{Disk, DiskFormat, NetworkCard};
    use crate::lab::{Board, Mac, Nic};
    use std::os::fd::AsFd as _;

    fn text(machine: &Machine) -> String {
        let args = hardware(machine, to_switch("net0", std::io::stdin().as_fd())).unwrap();
        args.iter().map(|a| a.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn arguments_follow_the_machine() {
        let mut m = Machine::new(Controller::Ide, Disk::new("/a,b/n.qcow2", DiskFormat::Qcow2));
        m.disks.push(Disk { keep_writes: true, ..Disk::new("s.img", DiskFormat::Raw) });
        m.network = Some(NetworkCard { model: Nic::E1000, mac: Mac([0x52, 0x54, 0, 9, 0, 1]) });
        let args = text(&m);
        for part in [
            "-accel tcg",
            "-m 512M -smp 1",
            "file=/a,,b/n.qcow2,format=qcow2,if=none,id=disk0,snapshot=on",
            "ide-hd,drive=disk0,bus=ide.0,unit=0,bootindex=0",
            "file=s.img,format=raw,if=none,id=disk1,snapshot=off,cache.no-flush=on",
            "ide-hd,drive=disk1,bus=ide.0,unit=1,bootindex=1,write-cache=off",
            "stream,id=net0,server=off,addr.type=fd,addr.str=0",
            "e1000,netdev=net0,mac=52:54:00:09:00:01,romfile=",
        ] {
            assert!(args.contains(part), "{part} not in {args}");
        }
        m.disks.push(Disk { keep_writes: true, ..Disk::new("disk.sock", DiskFormat::Nbd) });
        let served =
            "driver=raw,file.driver=nbd,file.server.type=unix,file.server.path=disk.sock,if=none,id=disk2,snapshot=off";
        assert!(text(&m).contains(served), "{}", text(&m));
        m.controller = Controller::Sata;
        assert!(text(&m).contains("-device ahci,id=ahci0 ") && text(&m).contains("ide-hd,drive=disk1,bus=ahci0.1"));
        m.controller = Controller::Virtio;
        assert!(text(&m).contains("virtio-blk-pci,drive=disk0,bootindex=0"));
        assert_eq!(devices::emulator(&m), "qemu-system-x86_64");
    }

    #[test]
    fn the_machine_for_64_bit_arm_starts_from_u_boot_in_software() {
        let mut m = Machine::new(Controller::Virtio, Disk::new("s.img", DiskFormat::Raw));
        (m.board, m.accel) = (Board::Virt, Accel::Kvm);
        m.network = Some(NetworkCard { model: Nic::Virtio, mac: Mac([0x52, 0x54, 0, 9, 0, 1]) });
        assert_eq!(devices::emulator(&m), "qemu-system-aarch64");
        let args = started_by(vec!["-bios".into(), "/u/u-boot.bin".into()], &m, "none".into());
        let args: Vec<&str> = args.iter().map(|a| a.to_str().unwrap()).collect();
        let args = args.join(" ");
        for part in [
            "-accel tcg ",
            "-machine virt,gic-version=3,highmem-ecam=off -cpu cortex-a72 -m 512M",
            "-bios /u/u-boot.bin ",
            "virtio-blk-pci-non-transitional,drive=disk0,bootindex=0",
            "virtio-net-pci-non-transitional,netdev=net0,",
        ] {
            assert!(args.contains(part), "{part} not in {args}");
        }
        assert!(!args.contains("-vga"));
        assert!(matches!(hardware(&m, "none".into()), Ok(_) | Err(QemuError::NoUboot { .. })));
    }
}
