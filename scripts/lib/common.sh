# Sourced by the scripts beside this folder: where the repository is, and whether Rust is there.
# shellcheck shell=bash

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

say() { printf '%s\n' "$*" >&2; }
have() { command -v "$1" > /dev/null 2>&1; }

# A rustup outside the home folder (a shared machine, an empty home) keeps its toolchains beside itself.
find_rustup_home() {
  local beside
  if [ -z "${RUSTUP_HOME:-}" ] && [ ! -d "$HOME/.rustup" ]; then
    beside="$(dirname "$(dirname "$(dirname "$(readlink -f "$(command -v cargo)")")")")/.rustup"
    if [ -d "$beside/toolchains" ]; then
      export RUSTUP_HOME="$beside"
    fi
  fi
}

# Makes sure that `cargo` works in the repository, or says how to get it and leaves.
need_cargo() {
  if ! have cargo && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
    PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
  fi
  if ! have cargo; then
    say "Rust is missing. Install it with the one command shown at https://rustup.rs, then run this again."
    say "No Rust wanted? With Docker: docker compose up -d"
    exit 1
  fi
  find_rustup_home
  if ! (cd "$root" && cargo --version > /dev/null); then
    say "cargo is there but does not run (see above). Try: rustup toolchain install"
    exit 1
  fi
  if ! have cc && ! have gcc && ! have clang; then
    say "A C compiler is missing (the TLS library needs one). On Debian or Ubuntu: sudo apt-get install build-essential"
    exit 1
  fi
}

# cargo_tool CRATE PROGRAM VERSION FOLDER: prints where the program is, after installing it below FOLDER if it has
# to be. A version of its own folder each: what other projects have installed stays as it is.
cargo_tool() {
  local crate="$1" program="$2" version="$3" home="$4/rust-tools/$1-$3" found log
  found="$(command -v "$program" || true)"
  if [ -x "$home/bin/$program" ]; then
    found="$home/bin/$program"
  elif [ -z "$found" ] || [ "$("$found" --version 2> /dev/null | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1)" != "$version" ]; then
    say "Installing $crate $version (some minutes, once)"
    # A folder that all installations share: what two have in common is built once, and two at once take turns.
    local install=(env "CARGO_TARGET_DIR=$4/tools" cargo install --quiet --root "$home" "$crate" --version "=$version")
    log="$(mktemp)"
    if ! "${install[@]}" --locked > "$log" 2>&1; then
      # A registry's copy may be behind what the crate's lock file names. Its own version is exact all the same;
      # of what it is made of, the newest that is there has to do. Any other failure would only come again.
      if ! grep -q '(locked to ' "$log" || ! "${install[@]}" > "$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        say "$crate $version could not be installed (see above)."
        return 1
      fi
    fi
    rm -f "$log"
    found="$home/bin/$program"
  fi
  printf '%s' "$found"
}

# Reads FILE (NAME=value lines, as Docker Compose does) into the environment without running it.
# What is set in the environment already stays.
load_env() {
  local line name value number=0
  [ -f "$1" ] || return 0
  while IFS= read -r line || [ -n "$line" ]; do
    number=$((number + 1))
    line="${line%$'\r'}"
    line="${line#"${line%%[![:space:]]*}"}"
    line="${line#export }"
    case "$line" in
      '' | '#'*) continue ;;
      *=*) ;;
      *)
        say "$1:$number: no \`=\` in this line, it is left out"
        continue
        ;;
    esac
    name="${line%%=*}"
    name="${name%"${name##*[![:space:]]}"}"
    value="${line#*=}"
    value="${value#"${value%%[![:space:]]*}"}"
    if [[ ! "$name" =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]]; then
      say "$1:$number: what stands before \`=\` is no name of a variable, the line is left out"
      continue
    fi
    case "$value" in
      \"*\"*) value="${value#\"}" value="${value%%\"*}" ;;
      \'*\'*) value="${value#\'}" value="${value%%\'*}" ;;
      *)
        value="${value%%[[:space:]]#*}"
        value="${value%"${value##*[![:space:]]}"}"
        ;;
    esac
    if [ -z "${!name+set}" ]; then
      # A folder named in the file lies beside the file, wherever the caller stands.
      if [ "$name" = DATA_DIR ] && [ -n "$value" ] && [ "${value#/}" = "$value" ]; then
        value="$(dirname "$1")/$value"
      fi
      export "$name=$value"
    fi
  done < "$1"
}
