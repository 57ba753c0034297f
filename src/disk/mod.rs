//! A disk: partitions over volumes.
