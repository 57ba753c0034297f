//! fossil, the file system of 9legacy.
