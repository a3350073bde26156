# Short names for what CI runs; `.ci/run` calls these same recipes. `just` alone lists them.
# Recipes never use `--package`: it selects other features of the dependencies, and cargo would build them twice.

# Tools from PyPI come before those of the system.
export PATH := justfile_directory() / "target/venv/bin" + ":" + env("PATH")

[private]
default:
    @just --list

# Everything that is quick once the code is built: form, lints, licences, spelling, generated files.
check: fmt clippy deny spelling generated tidy

# All tests of the workspace.
test:
    cargo test --workspace

# The SQL behaviour files, on one executor, on three, and on three of which one is lost.
slt:
    cargo test --workspace --test slt

# The SQL behaviour files in every combination of cluster, way of execution and kind of table; many random histories.
full:
    cargo test --workspace --test slt --test history -- --ignored

# TPC-H on a cluster of processes, compared with DataFusion in one process.
cluster:
    cargo test --workspace --test tpch

# Killed, stalled and misused processes, and random histories of tables in memory.
faults:
    cargo test --workspace --test faults --test history --test loss

# Tables that follow topics, on real Apache Kafkas from Maven Central, the newest and the oldest that is promised; `just
# test` has the same on the embedded broker.
kafka: binary
    tests/kafka/with-broker cargo test --workspace --test kafka --test ingest --test moves --test schemas
    KAFKA_VERSION=3.9.1 tests/kafka/with-broker cargo test --workspace --test kafka --test moves

# Tables that follow a real PostgreSQL over Debezium and Apache Kafka, from Maven Central; MILLPOND_SEED repeats a history.
debezium: binary venv
    tests/kafka/with-broker tests/debezium/with-postgres python -m pytest -q tests/debezium

# The binary that the Python tests start.
binary:
    cargo build --workspace --bins

# The client without scheduler, executor and engine: nothing of DataFusion or Ballista is in it, and it compiles.
# Its features are its own, so it has a folder of its own, unless THIN_TARGET says otherwise: macros and libraries in C are
# also those of the workspace. `cargo tree` builds nothing and may name a package.
thin:
    #!/usr/bin/env bash
    set -euo pipefail
    tree=$(cargo tree --locked --package millpond-client --no-default-features --edges normal,build --prefix none)
    if grep -E '^(datafusion|ballista)' <<<"$tree"; then
        echo "the thin client contains the crates above; cargo tree --invert shows who brings them" >&2
        exit 1
    fi
    cargo check --locked --manifest-path client/Cargo.toml --no-default-features --bin millpond --target-dir "${THIN_TARGET:-target/thin}"

# The Python client against a cluster that it starts itself.
python: binary venv
    target/debug/millpond submit data/jobs/preprocess_marketing.sql
    python -m pytest -q tests/python

# Speed, compared with other programs on the same machine; bench/preprocess/README.md says what it needs.
bench: binary venv
    python -m pip install --quiet --requirement bench/preprocess/requirements.txt
    MILLPOND_BIN=target/debug/millpond python bench/preprocess/run.py

# TPC-H and small queries with all tables in memory, beside other engines; bench/tpch/README.md has options and method.
[positional-arguments]
bench-tpch *options: binary venv
    python -m pip install --quiet --requirement bench/tpch/requirements.txt
    MILLPOND_BIN="${MILLPOND_BIN:-target/debug/millpond}" python bench/tpch/run.py "$@"

# Tables over topics on a real Apache Kafka, beside Spark; bench/ingest/README.md has options and method.
[positional-arguments]
bench-ingest *options: binary venv
    python -m pip install --quiet --requirement bench/ingest/requirements.txt
    MILLPOND_BIN="${MILLPOND_BIN:-target/debug/millpond}" tests/kafka/with-broker python bench/ingest/run.py "$@"

# Changes of ten million keys in memory, beside a hash map: the longest stop of the stream and of readers.
bench-live keys="10000000":
    cargo bench --workspace --profile dev --bench live_shard -- {{ keys }}

# Messages that become columns, beside other readers of JSON.
bench-decode:
    cargo bench --workspace --profile dev --bench decode

# Models, beside scikit-learn and Spark; bench/models/README.md has options and method.
[positional-arguments]
bench-models *options: binary venv
    python -m pip install --quiet --requirement bench/models/requirements.txt
    MILLPOND_BIN="${MILLPOND_BIN:-target/debug/millpond}" tests/kafka/with-broker python bench/models/run.py "$@"

# Writes the documents that come from the code.
generate:
    cargo xtask generate

# Fails if those documents are not up to date.
generated:
    cargo xtask generate --check

# Explanations, file lengths, names, and a single Arrow and DataFusion.
tidy:
    cargo xtask tidy

# The form of the sources.
fmt:
    cargo fmt --all --check

# Lints, as errors.
clippy:
    cargo clippy --workspace --all-targets -- --deny warnings

# Lints of what CI has built: Clippy compiled it, and cargo repeats what was said then.
lints:
    #!/usr/bin/env bash
    set -euo pipefail
    export RUSTC_WORKSPACE_WRAPPER=clippy-driver
    said=$(cargo build --workspace --all-targets 2>&1 | tee /dev/stderr)
    if grep -E '^(warning|error)' <<<"$said" >/dev/null; then
        echo "there are warnings above; just clippy shows them too" >&2
        exit 1
    fi

# Licences, sources and second versions; advisories too where the advisory database can be reached.
deny: venv
    #!/usr/bin/env bash
    set -euo pipefail
    if timeout 60 cargo deny --log-level off fetch db; then
        cargo deny --locked check
    else
        echo "the advisory database cannot be reached: advisories are not checked"
        cargo deny --locked --offline check licenses bans sources
    fi

# Spelling of names, comments and documents.
spelling: venv
    typos

# The tools and packages that the recipes above need besides Rust.
venv:
    #!/usr/bin/env bash
    set -euo pipefail
    [ -x target/venv/bin/python ] || python3 -m venv target/venv
    target/venv/bin/python -m pip install --quiet --disable-pip-version-check \
        --requirement .ci/requirements.txt --requirement tests/python/requirements.txt
