//! Every address, size, offset, id and time of every node, decided before a byte is written.
