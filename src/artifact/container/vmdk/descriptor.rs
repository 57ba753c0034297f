//! The text inside a VMDK that says what kind of disk it is.

use crate::hex::hex;
use crate::lab::Controller;
use crate::lab::identity::disk_uuid;

/// Fields of the descriptor of a disk.
pub struct Descriptor<'a> {
    /// Name of the file itself.
    pub file: &'a str,
    /// Sectors.
    pub capacity: u64,
    pub controller: Controller,
    /// Digest of the disk's content, from which its identities come.
    pub content: [u8; 32],
}

/// The geometry that BIOSes make of a disk's length in sectors: 16 heads up
/// to the 1024 × 16 × 63 that old ones reach, else what VMware writes.
fn geometry(capacity: u64) -> (u64, u64, u64) {
    let (heads, sectors) = (16, 63);
    ((capacity / (heads * sectors)).clamp(1, 16_383), heads, sectors)
}

impl Descriptor<'_> {
    /// The content id: never one of the two values that mean "none".
    pub fn cid(&self) -> u32 {
        let cid = u32::from_be_bytes([self.content[0], self.content[1], self.content[2], self.content[3]]);
        if cid >= 0xffff_fffe { 0x9fff_fffe } else { cid }
    }

    pub fn text(&self) -> String {
        let (cylinders, heads, sectors) = geometry(self.capacity);
        let cid = self.cid();
        let long = hex(&self.content[4..16]);
        let uuid = disk_uuid(&self.content);
        // VMware has no AHCI adapter type; the OVF says which controller it is.
        let adapter = match self.controller {
            Controller::Ide | Controller::Sata | Controller::Virtio | Controller::Sd => "ide",
        };
        format!(
            "# Disk DescriptorFile\n\
             version=1\n\
             encoding=\"UTF-8\"\n\
             CID={cid:08x}\n\
             parentCID=ffffffff\n\
             createType=\"streamOptimized\"\n\
             \n\
             # Extent description\n\
             RW {capacity} SPARSE \"{file}\"\n\
             \n\
             # The Disk Data Base\n\
             #DDB\n\
             \n\
             ddb.adapterType = \"{adapter}\"\n\
             ddb.geometry.cylinders = \"{cylinders}\"\n\
             ddb.geometry.heads = \"{heads}\"\n\
             ddb.geometry.sectors = \"{sectors}\"\n\
             ddb.longContentID = \"{long}{cid:08x}\"\n\
             ddb.uuid.image = \"{uuid}\"\n\
             ddb.virtualHWVersion = \"4\"\n",
            capacity = self.capacity,
            file = self.file,
        )
    }
}
