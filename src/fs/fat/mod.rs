//! FAT12 and FAT16 as Plan 9's loader needs them.
