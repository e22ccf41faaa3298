# One recipe per habit; `just` lists them. Every recipe is one plain command, so `just` itself is optional.

[private]
default:
    @just --list --unsorted

# Build the release binary and run the relay (arguments go to `crs serve`).
start *ARGS:
    scripts/start {{ ARGS }}

# Run the Worker here, in Miniflare, with a Redis behind a front like Upstash's.
worker:
    scripts/start --worker

# Run the command line on the release binary: `just crs key list`.
crs *ARGS:
    scripts/crs {{ ARGS }}

# Everything a change must pass: lints for both targets, docs, then all tests.
test:
    scripts/test

# The console: types, lints, unit tests, then a browser against the release binary; `login` runs e2e/login.test.ts alone.
test-console *ARGS:
    scripts/test-console {{ ARGS }}

# Pictures of all pages of the console, into admin-spa/screenshots.
screenshots *ARGS:
    scripts/test-console screenshots {{ ARGS }}

# Only the tests whose names contain FILTER.
only FILTER:
    cargo nextest run --workspace {{ FILTER }}

# What the relay costs: a table and bench-results/latest.json. `just bench --quick` for a first look, `--worker` too.
bench *ARGS:
    scripts/bench {{ ARGS }}

# Install the real command-line clients the tests run, into the cache.
real-clients:
    scripts/real-clients

# Format the code.
fmt:
    cargo fmt --all

# Lints as in `scripts/test`, natively and for the edge.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    cargo clippy --lib --target wasm32-unknown-unknown --locked -- -D warnings

# Build the Worker into build/ and check it as Cloudflare will see it.
wasm:
    scripts/check-wasm

# Put the Worker on Cloudflare; `--secrets` first, `--dry-run` needs no account.
deploy *ARGS:
    scripts/deploy {{ ARGS }}

# Cloudflare's command line: `just wrangler tail`, `just wrangler rollback`.
wrangler *ARGS:
    scripts/wrangler {{ ARGS }}

# Read the crate's documentation.
doc:
    cargo doc --workspace --no-deps --document-private-items --open

# Renew the table of public prices from the newest litellm package, or from `--from FILE`.
prices *ARGS:
    scripts/update-prices {{ ARGS }}

# Licences, sources and bans (needs `cargo install cargo-deny`).
deny:
    cargo deny --workspace check licenses bans sources

# Build the image for this machine.
image TAG="crs-edge:dev":
    docker build --tag {{ TAG }} .

# Build the image for both architectures and push it; needs buildx with an emulator or a builder of each.
image-all TAG:
    docker buildx build --platform linux/amd64,linux/arm64 --tag {{ TAG }} --push .
