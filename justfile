# `just` without a word lists what there is.
_default:
    @just --list --unsorted

# the four nodes of the default lab from the embedded sample medium
grid *ARGS:
    cargo run --release --locked -- build --all {{ARGS}}

# debug build of everything
build:
    cargo build --locked --workspace --all-targets

# unit and integration tests
test *ARGS:
    cargo test --locked --workspace {{ARGS}}

# what CI runs, all of it
ci:
    ./.ci/run

# everything, for hours: all guest tests at full length, long fuzzing; ends in one table
thorough:
    P9IMG_THOROUGH=1 ./.ci/run

# warnings are errors
lint:
    cargo clippy --locked --workspace --all-targets -- -D warnings

# format the code
fmt:
    cargo fmt --all

# every fuzz target for SECONDS; `just fuzz 600 fossil` for one
fuzz SECONDS="60" *TARGETS:
    fuzz/run {{SECONDS}} {{TARGETS}}

# ratios against mke2fs + qemu-img (needs a 9legacy tree: P9IMG_TEST_MEDIA)
bench *ARGS:
    cargo bench --locked --bench grid -- {{ARGS}}

# build the grid under changed surroundings, by other builds of p9img too, and compare every byte
reproduce *ARGS:
    cargo build --release --locked
    cargo build --locked
    -cargo build --release --locked --target x86_64-unknown-linux-musl --bin p9img
    -CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
        cargo build --release --locked --target aarch64-unknown-linux-gnu --bin p9img
    tests/reproduce.sh target/release/p9img --other debug=target/debug/p9img \
        --other musl=target/x86_64-unknown-linux-musl/release/p9img \
        --other aarch64=target/aarch64-unknown-linux-gnu/release/p9img {{ARGS}}

# the documentation of p9img and its crates
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --open

# licences, bans, sources, advisories of the dependencies
deny:
    cargo deny --locked check

# parse and evaluate flake.nix with stub inputs
check-flake:
    .ci/check-flake
