//! Plan 9 authentication data: password to key, nvram, the key file.
