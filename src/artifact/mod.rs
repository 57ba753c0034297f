//! Files that people import: raw, qcow2, streamOptimized VMDK in an OVA.
