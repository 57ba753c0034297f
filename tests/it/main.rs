//! Tests of the whole program, and of the library from outside, that need no
//! guest with Plan 9: one file or folder per subject.

mod artifact;
mod bad_input;
mod card;
mod diff;
mod fetch;
mod flash;
mod foreign_tools;
mod front_medium;
mod fsck;
mod git;
mod image_medium;
mod incremental;
mod init;
mod interrupt;
mod layout;
mod media;
mod media_show;
mod mixed;
mod names;
mod rebuild;
mod roles;
mod roots;
mod run;
mod serve;
mod structure;
mod venti;
mod virtualbox;
