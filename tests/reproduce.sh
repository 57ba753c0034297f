#!/usr/bin/env bash
# Builds the default lab again and again, each time with something changed that
# must not matter, and compares every byte of every artifact.
#
#   tests/reproduce.sh [P9IMG] [--media PATH] [--quick] [--other NAME=P9IMG]…
#
# --other: the same program built in another way, such as debug=…/debug/p9img or
# musl=…/x86_64-unknown-linux-musl/release/p9img; `just reproduce` builds these and one
# for aarch64, which runs emulated.
# One line for each variation: `same`, `DIFFERS` or `SKIPPED`. Without --media
# the sample medium is used. --quick leaves out what only the program's own
# code decides (environment, clock, emulated processor): enough for a second
# medium. Exit status 3 when something differs; a skip is a failure with
# P9IMG_REQUIRE_TOOLS=1.
set -uo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)

p9img=$top/target/release/p9img media='' quick='' others=()
while [ $# -gt 0 ]; do
  case $1 in
    --media) media=$(cd "$2" && pwd) || exit 2; shift ;;
    --quick) quick=1 ;;
    --other) others+=("${2%%=*}=$(realpath -m "${2#*=}")"); shift ;;
    -*) echo "usage: $0 [P9IMG] [--media PATH] [--quick] [--other NAME=P9IMG]…" >&2; exit 2 ;;
    *) p9img=$(cd "$(dirname "$1")" && pwd)/$(basename "$1") ;;
  esac
  shift
done
[ -x "$p9img" ] || { echo "$p9img is missing: cargo build --release" >&2; exit 2; }

# Everything happens in a folder that other users may enter.
scratch=$(mktemp -d) || exit 1
trap 'chmod -R u+rwX "$scratch" 2>/dev/null; rm -rf "$scratch"' EXIT
chmod 755 "$scratch"
cp "$p9img" "$scratch/p9img"
p9img=$scratch/p9img

differs=0 skipped=0

# lab DIR: a lab folder with the same description and secrets as all others.
lab() {
  mkdir -p "$1"
  cp "$top/lab.toml" "$1/"
  [ ! -f "$scratch/secrets.toml" ] || install -m 600 "$scratch/secrets.toml" "$1/secrets.toml"
}

# compare NAME SECONDS DIR: every file that the reference has, byte for byte.
compare() {
  local name=$1 time=$2 dir=$3 file bad='' reference=$scratch/${REFERENCE:-reference}
  for file in "$reference"/output/*; do
    cmp -s "$file" "$dir/output/${file##*/}" || bad="$bad ${file##*/}"
  done
  if [ "$(ls "$dir/output" | wc -l)" != "$(ls "$reference/output" | wc -l)" ]; then
    bad="$bad (other files)"
  fi
  if [ -z "$bad" ]; then
    printf 'same     %-44s %5.1f s\n' "$name" "$time"
  else
    printf 'DIFFERS  %-44s %5.1f s :%s\n' "$name" "$time" "$bad"
    differs=1
  fi
}

skip() {
  printf 'SKIPPED  %-44s %s\n' "$1" "$2"
  skipped=1
}

now() { date +%s.%N; }

# vary NAME DIR MEDIUM COMMAND…: runs COMMAND in a new lab DIR and compares.
# The word BUILD in COMMAND stands for the build itself, by PROGRAM if it is set.
vary() {
  local name=$1 dir=$scratch/$2 medium=$3 begin command=() word
  shift 3
  lab "$dir"
  local build=("${PROGRAM:-$p9img}" build --all --quiet ${medium:+--media "$medium"} ${FORMATS:+--format "$FORMATS"})
  for word in "$@"; do
    if [ "$word" = BUILD ]; then command+=("${build[@]}"); else command+=("$word"); fi
  done
  [ -z "${OWNER:-}" ] || chown -R "$OWNER" "$dir"
  begin=$(now)
  if (cd "$dir" && "${command[@]}" </dev/null) >"$scratch/log" 2>&1; then
    compare "$name" "$(echo "$(now) - $begin" | awk '{ print $1 - $3 }')" "$dir"
  else
    printf 'DIFFERS  %-44s the build failed:\n' "$name"
    sed 's/^/         /' "$scratch/log" | tail -n 5
    differs=1
  fi
  rm -rf "$dir"
}

has() { command -v "$1" >/dev/null; }
root() { [ "$(id -u)" = 0 ]; }

# The reference makes the secrets that all later builds are given.
lab "$scratch/reference"
begin=$(now)
(cd "$scratch/reference" && "$p9img" build --all --quiet ${media:+--media "$media"}) >"$scratch/log" 2>&1 || {
  echo "The reference build failed:" >&2
  cat "$scratch/log" >&2
  exit 1
}
cp "$scratch/reference/secrets.toml" "$scratch/secrets.toml" 2>/dev/null
count=$(find "$scratch/reference/output" -name '*.qcow2' -o -name '*.ova' | wc -l)
printf 'reference: %s, %d images, %s s\n' "${media:-sample medium}" "$count" \
  "$(echo "$(now) - $begin" | awk '{ printf "%.1f", $1 - $3 }')"
[ "$count" = 8 ] || { echo "expected eight images, found $count" >&2; exit 1; }

vary "a second time" again "$media" BUILD
vary "another folder, with a blank and an accent" "elsewhere/o ne/é" "$media" BUILD
vary "one thread" one "$media" BUILD --jobs 1
vary "seven threads" seven "$media" BUILD --jobs 7

# Each node alone, one format at a time, into one folder: the sums and the
# manifest speak of one build only, so just the images are compared.
alone() {
  local node format file bad='' begin
  begin=$(now)
  lab "$scratch/alone"
  for node in plan9n4 plan9n3 plan9n2 plan9n1; do
    for format in ova qcow2; do
      (cd "$scratch/alone" && "$p9img" build "$node" --format "$format" --quiet ${media:+--media "$media"}) \
        >"$scratch/log" 2>&1 || bad="$bad $node.$format(failed)"
    done
  done
  for file in "$scratch"/reference/output/*.{qcow2,ova}; do
    cmp -s "$file" "$scratch/alone/output/${file##*/}" || bad="$bad ${file##*/}"
  done
  if [ -z "$bad" ]; then
    printf 'same     %-44s %5.1f s\n' "each image alone, in reverse" "$(echo "$(now) - $begin" | awk '{ print $1 - $3 }')"
  else
    printf 'DIFFERS  %-44s :%s\n' "each image alone, in reverse" "$bad"
    differs=1
  fi
  rm -rf "$scratch/alone"
}
alone

# The medium's files made in another order, with other times and owners: what
# the host's file system says must not matter. Two copies, because the sample
# from its folder is not the embedded one by name.
shuffled() {
  local source=${media:-$top/media/sample} where=$scratch name="medium's files in another order" reference=$1
  # A memory file system lists files in the order of their making, so there
  # the order really differs; disk file systems often hash it away.
  if [ -d /dev/shm ] && [ "$(df --output=avail -k /dev/shm | tail -n 1)" -gt 1000000 ]; then
    where=$(mktemp -d /dev/shm/p9img-reproduce.XXXXXX)
  fi
  if ! copy_shuffled "$source" "$where/medium"; then
    skip "$name" "the medium cannot be copied"
  else
    lab "$scratch/order"
    begin=$(now)
    # The same path for both, so that nothing but the order is another.
    (cd "$scratch/order" && "$p9img" build --all --quiet --media "$where/medium" &&
      sed -n '/\.\(qcow2\|ova\|img\)$/p' output/SHA256SUMS | sort) >"$scratch/second" 2>"$scratch/log"
    if [ -s "$scratch/second" ] && cmp -s "$reference" "$scratch/second"; then
      printf 'same     %-44s %5.1f s\n' "$name" "$(echo "$(now) - $begin" | awk '{ print $1 - $3 }')"
    else
      printf 'DIFFERS  %-44s\n' "$name"
      diff "$reference" "$scratch/second" | head -n 4
      tail -n 3 "$scratch/log"
      differs=1
    fi
    rm -rf "$scratch/order"
  fi
  [ "$where" = "$scratch" ] || rm -rf "$where"
}

copy_shuffled() { # SOURCE TARGET
  mkdir -p "$2"
  (cd "$1" && find . -mindepth 1 -type d | LC_ALL=C sort -r | (cd "$2" && xargs -d '\n' mkdir -p)) || return 1
  (cd "$1" && find . ! -type d | shuf --random-source=<(yes) >"$scratch/list")
  tar -C "$1" --no-recursion -T "$scratch/list" --mtime=@987654321 --owner=65534 --group=65534 -cf - | tar -C "$2" -xf -
}

if [ -n "$media" ]; then
  sort "$scratch/reference/output/SHA256SUMS" | sed -n '/\.\(qcow2\|ova\|img\)$/p' >"$scratch/first"
else
  # The sample from its folder is compared with itself from its folder.
  lab "$scratch/order"
  (cd "$scratch/order" && "$p9img" build --all --quiet --media "$top/media/sample" &&
    sed -n '/\.\(qcow2\|ova\|img\)$/p' output/SHA256SUMS | sort) >"$scratch/first" 2>"$scratch/log" ||
    cat "$scratch/log"
  rm -rf "$scratch/order"
fi
shuffled "$scratch/first"

# The same files in every form that people have them in. The release's records
# make the metadata, so a medium without them gets some.
forms() {
  local tree=$scratch/forms/tree form begin
  mkdir -p "$scratch/forms"
  cp -R "${media:-$top/media/sample}" "$tree"
  if [ ! -f "$tree/dist/replica/plan9.db" ]; then
    mkdir -p "$tree/dist/replica"
    echo 'nothing - 664 sys sys 1 0' >"$tree/dist/replica/plan9.db"
  fi
  export REFERENCE=forms-reference P9IMG_CACHE=$scratch/forms/cache
  lab "$scratch/$REFERENCE"
  # The sums and the manifest name the medium: only images are compared.
  images() { find "$1/output" -type f ! -name '*.qcow2' ! -name '*.ova' -delete; }
  (cd "$scratch/$REFERENCE" && "$p9img" build --all --quiet --media "$tree") && images "$scratch/$REFERENCE"
  form() { # NAME TOOL COMMAND…: COMMAND makes $scratch/forms/medium of $tree
    local name="medium as $1" tool=$2
    shift 2
    has "$tool" || { skip "$name" "no $tool"; return; }
    rm -rf "$scratch/forms/medium"
    if ! (cd "$tree" && "$@") >"$scratch/log" 2>&1; then
      printf 'DIFFERS  %-44s it cannot be made: %s\n' "$name" "$(tail -n 1 "$scratch/log")"
      differs=1
      return
    fi
    lab "$scratch/form"
    begin=$(now)
    if (cd "$scratch/form" && "$p9img" build --all --quiet --media "$scratch/forms/medium") >"$scratch/log" 2>&1; then
      images "$scratch/form"
      compare "$name" "$(echo "$(now) - $begin" | awk '{ print $1 - $3 }')" "$scratch/form"
    else
      printf 'DIFFERS  %-44s the build failed: %s\n' "$name" "$(tail -n 1 "$scratch/log")"
      differs=1
    fi
    rm -rf "$scratch/form"
  }
  local out=$scratch/forms/medium
  form "a tar archive" tar tar -cf "$out" .
  form "a tar archive of one folder, names in reverse" tar sh -c "cd .. && find tree | LC_ALL=C sort -r |
    tar --no-recursion -T - -cf '$out'"
  form "tar.gz" gzip sh -c "tar -cf - . | gzip -1 >'$out'"
  form "tar.bz2" bzip2 sh -c "tar -cf - . | bzip2 -1 >'$out'"
  form "tar.xz" xz sh -c "tar -cf - . | xz -0 >'$out'"
  form "tar.zst" zstd sh -c "tar -cf - . | zstd -q -1 >'$out'"
  form "an ISO image by xorriso" xorriso xorriso -as mkisofs -quiet -R -o "$out" .
  form "a git directory" git sh -c "git init -q --bare '$out' && git --git-dir='$out' --work-tree=. add -A -f . &&
    git --git-dir='$out' --work-tree=. -c user.name=a -c user.email=a@example.org commit -q -m one"
  rm -rf "$scratch/forms" "${scratch:?}/$REFERENCE"
  unset REFERENCE P9IMG_CACHE
}
[ -n "$quick" ] || forms

# The machine that a program is for, from its ELF header.
machine() { od -An -t u2 -j 18 -N 2 "$1" | tr -d ' '; }
AARCH64=183

for other in "${others[@]}"; do
  name="another build of p9img: ${other%%=*}"
  if [ ! -x "${other#*=}" ]; then
    skip "$name" "${other#*=} is not there"
    continue
  fi
  cp "${other#*=}" "$scratch/built-otherwise"
  # With the libraries of Debian's cross compiler, which it was linked with.
  emulator=()
  if [ "$(machine "$scratch/built-otherwise")" != "$(machine "$p9img")" ]; then
    emulator=(qemu-aarch64 -L /usr/aarch64-linux-gnu)
    if [ "$(machine "$scratch/built-otherwise")" != $AARCH64 ] || ! has qemu-aarch64; then
      skip "$name" "no qemu-aarch64 (Debian: qemu-user), or it is for another processor"
      continue
    fi
  fi
  PROGRAM=$scratch/built-otherwise vary "$name" program "$media" "${emulator[@]}" BUILD
done

# Another user needs to read the medium, too.
if ! root; then
  skip "another user" "needs root"
elif ! has setpriv; then
  skip "another user" "no setpriv (Debian: util-linux)"
elif [ -n "$media" ] && ! setpriv --reuid=65534 --regid=65534 --clear-groups test -r "$media/lib"; then
  printf 'left out %-44s nobody may not read the medium\n' "another user"
else
  OWNER=65534:65534 vary "another user" other "$media" setpriv --reuid=65534 --regid=65534 --clear-groups BUILD
fi

if [ -z "$quick" ]; then
  vary "umask 077" umask "$media" sh -c 'umask 077; exec "$@"' sh BUILD
  vary "umask 000" umask "$media" sh -c 'umask 000; exec "$@"' sh BUILD
  vary "time zone of Kiritimati" zone "$media" env TZ=Pacific/Kiritimati BUILD
  vary "Turkish language" lang "$media" env LANG=tr_TR.UTF-8 LC_ALL=tr_TR.UTF-8 BUILD
  vary "no environment" env "$media" env -i BUILD
  vary "a large and odd environment" env "$media" env HOME=/nowhere USER=x LOGNAME=y HOSTNAME=z \
    RUST_BACKTRACE=full NO_COLOR=1 TERM=vt100 BUILD
  if root && unshare -u true 2>/dev/null; then
    vary "another host name" host "$media" unshare -u sh -c 'hostname elsewhere.example 2>/dev/null ||
      echo elsewhere.example >/proc/sys/kernel/hostname; exec "$@"' sh BUILD
  elif unshare -ru true 2>/dev/null; then
    vary "another host name" host "$media" unshare -ru sh -c 'hostname elsewhere.example; exec "$@"' sh BUILD
  else
    printf 'left out %-44s %s\n' "another host name" "unshare -u is not allowed here"
  fi
  if has faketime; then
    vary "a day later" later "$media" faketime -f +1d BUILD
    vary "in the year 2037" later "$media" faketime -f '@2037-12-31 23:59:58' BUILD
  else
    skip "a day later" "no faketime"
  fi
  # Everything above at once, as far as this machine can.
  together=(env -i PATH="$PATH" TZ=Pacific/Kiritimati LANG=tr_TR.UTF-8 LC_ALL=tr_TR.UTF-8 HOME=/nowhere USER=x)
  root && unshare -u true 2>/dev/null && together+=(unshare -u sh -c 'hostname elsewhere.example 2>/dev/null ||
    echo elsewhere.example >/proc/sys/kernel/hostname; exec "$@"' sh)
  if root && has setpriv && { [ -z "$media" ] || setpriv --reuid=65534 --regid=65534 --clear-groups test -r "$media/lib"; }; then
    export OWNER=65534:65534
    together+=(setpriv --reuid=65534 --regid=65534 --clear-groups)
  fi
  has faketime && together+=(faketime -f '@2037-12-31 23:59:58')
  vary "all of these together" "to/ge ther/é" "$media" sh -c 'umask 077; exec "$@"' sh "${together[@]}" BUILD --jobs 3
  unset OWNER

  if [ -n "$media" ]; then
    :
  elif ! has qemu-x86_64 || [ "$(uname -m)" != x86_64 ]; then
    skip "an emulated older processor" "no qemu-x86_64 (Debian: qemu-user)"
  else
    # The sample has few bytes to compress; this repository's text gives
    # compressors something to choose from.
    bulk=$scratch/bulk
    cp -R "$top/media/sample" "$bulk"
    mkdir -p "$bulk/sys/src"
    cp -R "$top/src" "$top/doc" "$top/Cargo.lock" "$bulk/sys/src/"
    export FORMATS=qcow2,qcow2-zlib,ova REFERENCE=bulk-reference
    lab "$scratch/$REFERENCE"
    (cd "$scratch/$REFERENCE" && "$p9img" build --all --quiet --media "$bulk" --format "$FORMATS") ||
      echo "The build of the sample with more text failed" >&2
    # A Core 2 of 2006: no SSE4, no AVX, no carry-less product, no SHA.
    vary "an emulated older processor (Conroe)" cpu "$bulk" qemu-x86_64 -cpu Conroe BUILD
    vary "an emulated newer processor (max)" cpu "$bulk" qemu-x86_64 -cpu max BUILD
    unset FORMATS REFERENCE
  fi
fi

[ "$differs" = 0 ] || exit 3
if [ "$skipped" = 1 ] && [ "${P9IMG_REQUIRE_TOOLS:-}" = 1 ]; then
  echo "variations were skipped, but P9IMG_REQUIRE_TOOLS=1" >&2
  exit 1
fi
