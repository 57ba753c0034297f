//! Common code of the tests of real Plan 9: the medium, disks for a guest, and
//! the commands that install on one.

use p9img::fs::fossil::{Base, Fossil, Options, needed_len};
use p9img::guest::{ConsoleError, Output, Shell};
use p9img::tree::Tree;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A checker reads the whole file system.
const CHECK: Duration = Duration::from_secs(40 * 60);

pub fn good(result: Result<Output, ConsoleError>) -> String {
    let output = result.unwrap_or_else(|e| panic!("{e}"));
    assert!(output.succeeded(), "{}\n{}", output.status, output.text);
    output.text
}

/// Runs `fossil/flchk` over a partition that nothing serves. It dials a venti
/// even with `-f`, which says that it needs none: the address is one where
/// nobody answers at once, or it would wait for the lab's for minutes.
pub fn flchk(sh: &mut Shell, device: &str) {
    let report = good(sh.run(&format!("fossil/flchk -f -h 'tcp!127.0.0.1!9' /dev/{device}/fossil"), CHECK));
    let progress = ["checking epoch ", "check: visited ", "fsys blocks: "];
    let found: Vec<&str> =
        report.lines().filter(|l| !l.is_empty() && !progress.iter().any(|p| l.starts_with(p))).collect();
    assert!(found.is_empty(), "flchk on {device}:\n{}", found.join("\n"));
    let blocks = report.lines().find(|l| l.starts_with("fsys blocks: ")).unwrap_or_else(|| panic!("{report}"));
    assert!(blocks.ends_with(" lost=0(0.0%)"), "flchk on {device}: {blocks}");
}

/// Writes a fossil that holds `tree` and nothing else.
pub fn write_fossil(tree: &Arc<Tree>, epoch: u32, out: &Path) {
    let base = Arc::new(Base::layout(tree).unwrap());
    let options = Options {
        len: needed_len(&base, tree).unwrap() + (8 << 20),
        config: "fossil config\nfsys main config\nfsys main open -V -c 3000\n".into(),
        name: "main".into(),
        epoch,
    };
    let fossil = Fossil::layout(&base, tree, &options).unwrap();
    p9img_test::sparse::write(&fossil, out);
}

/// The steps of `/sys/lib/dist/pc/inst` up to the copy, on an empty disk such
/// as `sdC1`: partdisk, prepdisk, fmtfossil, mountfossil. The new fossil is then
/// on /n/newfs, its console in /srv/newcons.
pub fn prepare(disk: &str) -> Vec<String> {
    [
        "disk/mbr -m /386/mbr /dev/DISK/data",
        "disk/fdisk -baw /dev/DISK/data",
        "disk/fdisk -p /dev/DISK/data >/dev/DISK/ctl",
        "disk/prep -bw -a 9fat -a nvram -a fossil -a swap /dev/DISK/plan9",
        "disk/prep -p /dev/DISK/plan9 >/dev/DISK/ctl",
        "disk/format -b /386/pbslba -d -r 2 /dev/DISK/9fat /386/9load /386/9pccpuf",
        "fossil/flfmt -y /dev/DISK/fossil",
        "{echo fsys main config /dev/DISK/fossil; echo fsys main open -V -c 3000} >/tmp/conf",
        "fossil/conf -w /dev/DISK/fossil /tmp/conf",
        "fossil/fossil -c 'fsys main config /dev/DISK/fossil' -c 'fsys main open -AWVP -c 3000' \
         -c 'srv -p newcons' -c 'srv -AP newfs'",
        "mount -c /srv/newfs /n/newfs",
        "for(c in 'fsys main create /active/adm adm sys d775' \
         'fsys main create /active/adm/users adm sys 664' 'uname upas :upas' 'users -w') \
         {echo $c >>/srv/newcons; sleep 1}",
    ]
    .map(|step| step.replace("DISK", disk))
    .into()
}
