# Sourced by the scripts beside this folder: where the repository is, and whether Rust is there.
# shellcheck shell=bash

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"

say() { printf '%s\n' "$*" >&2; }
have() { command -v "$1" > /dev/null 2>&1; }

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
  # A rustup outside the home folder (a shared machine, an empty home) keeps its toolchains beside itself.
  if [ -z "${RUSTUP_HOME:-}" ] && [ ! -d "$HOME/.rustup" ]; then
    local beside
    beside="$(dirname "$(dirname "$(dirname "$(readlink -f "$(command -v cargo)")")")")/.rustup"
    if [ -d "$beside/toolchains" ]; then
      export RUSTUP_HOME="$beside"
    fi
  fi
  if ! (cd "$root" && cargo --version > /dev/null); then
    say "cargo is there but does not run (see above). Try: rustup toolchain install"
    exit 1
  fi
  if ! have cc && ! have gcc && ! have clang; then
    say "A C compiler is missing (the TLS library needs one). On Debian or Ubuntu: sudo apt-get install build-essential"
    exit 1
  fi
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
