//! Media: anything that a tree can be read from.
