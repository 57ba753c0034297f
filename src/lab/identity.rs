//! Ids that are hashes of what they name: the same for the same lab, everywhere.

use uuid::Uuid;

/// Namespace of the ids of machines and disks.
const NAMESPACE: Uuid = Uuid::from_u128(0x7039_696d_6720_4c61_8220_706c_616e_2039);

/// Id of a node's machine: the same for every build of this lab's node.
pub fn node_uuid(lab: &str, node: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("machine {lab}\n{node}").as_bytes())
}

/// Id of a disk with this content, given as its digest.
pub fn disk_uuid(content: &[u8; 32]) -> Uuid {
    Uuid::new_v5(&NAMESPACE, &[b"disk ", &content[..]].concat())
}

/// Seed of the ids in a node's venti. Images contain what it decides, so it stays
/// the UUID in a namespace of its own that it always was.
pub fn venti_seed(lab: &str, node: &str) -> String {
    let namespace = Uuid::new_v5(&Uuid::NAMESPACE_URL, b"p9img");
    Uuid::new_v5(&namespace, format!("{lab}/{node}").as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_from_names() {
        assert_eq!(node_uuid("a", "b"), node_uuid("a", "b"));
        assert_ne!(node_uuid("a", "b"), node_uuid("b", "a"));
        assert_eq!(node_uuid("a", "b").get_version_num(), 5);
        assert_ne!(venti_seed("a", "b"), venti_seed("b", "a"));
        assert_ne!(disk_uuid(&[0; 32]), disk_uuid(&[1; 32]));
    }

    /// Artifacts contain them.
    #[test]
    fn ids_stay_what_they_were() {
        assert_eq!(node_uuid("lab", "fs").to_string(), "16f39de1-920b-56e9-adba-9b996288d32c");
        assert_eq!(disk_uuid(&[0; 32]).to_string(), "ac003720-9e67-517c-b276-4984f205212b");
        assert_eq!(venti_seed("lab", "fs"), "c8211b8b-7964-5c4e-b4c0-94435fbd9eec");
    }
}
