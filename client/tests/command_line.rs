//! The `millpond` binary as a script sees it: data on standard output, exit codes, an embedded cluster.
#![expect(clippy::unwrap_used, reason = "a test may end with a panic")]

use std::process::{Command, Output};

fn millpond(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
    command
        .args(arguments)
        .env_remove("MILLPOND_URL")
        .output()
        .unwrap()
}

fn check(arguments: &[&str], code: i32, out: &str) -> String {
    let output = millpond(arguments);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{errors}");
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        out,
        "{arguments:?}\n{errors}"
    );
    errors
}

#[test]
fn data_goes_to_standard_output_and_nothing_else() {
    check(
        &["sql", "--format", "csv", "-c", "SELECT 1 AS a, 'x' AS b"],
        0,
        "a,b\n1,x\n",
    );
    check(
        &["sql", "--format", "ndjson", "-c", "SELECT 1 AS a"],
        0,
        "{\"a\":1}\n",
    );
    check(
        &[
            "sql",
            "--format",
            "csv",
            "-c",
            "CREATE VIEW v AS SELECT 7 AS n",
            "-c",
            "SELECT n FROM v",
        ],
        0,
        "n\n7\n",
    );
}

#[test]
fn switches_tell_their_new_state() {
    let switches = [
        "-c",
        "\\timing on",
        "-c",
        "\\x",
        "-c",
        "\\x off",
        "-c",
        "\\timing",
    ];
    let arguments: Vec<&str> = ["sql", "--format", "csv"].into_iter().chain(switches).collect();
    let errors = check(&arguments, 0, "");
    let told: Vec<&str> = errors.lines().filter(|line| line.contains(" is o")).collect();
    let expected = [
        "Timing is on.",
        "Expanded display is on.",
        "Expanded display is off.",
        "Timing is off.",
    ];
    assert_eq!(told, expected, "{errors}");
}

#[test]
fn exit_codes_tell_what_went_wrong() {
    let errors = check(&["sql", "-c", "SELECT * FROM nowhere"], 1, "");
    assert!(errors.contains("MP0002"), "{errors}");
    check(&["sql", "--no-such-flag"], 2, "");
    check(&["sql", "--url", "grpc://127.0.0.1:1", "-c", "SELECT 1"], 3, "");
    check(
        &[
            "sql",
            "-c",
            "SET millpond.statement_timeout = '1ms'",
            "-c",
            "SELECT count(*) FROM generate_series(1, 100000000)",
        ],
        5,
        "",
    );
}

#[test]
fn a_query_runs_on_an_embedded_cluster_of_two_executors() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("n.parquet").display().to_string();
    let copy = format!("COPY (SELECT value AS n FROM generate_series(1, 1000)) TO '{file}'");
    let create = format!("CREATE EXTERNAL TABLE n STORED AS PARQUET LOCATION '{file}'");
    let query = "SELECT sum(n) AS s, (SELECT count(*) FROM system.executors) AS e FROM n";
    check(
        &[
            "sql",
            "--executors",
            "2",
            "--format",
            "csv",
            "-c",
            &copy,
            "-c",
            &create,
            "-c",
            query,
        ],
        0,
        "s,e\n500500,2\n",
    );
}

#[test]
fn generated_data_is_the_same_for_the_same_seed() {
    let data = |seed| millpond(&["datagen", "marketing", "--rows", "500", "--seed", seed, "-o", "-"]).stdout;
    assert_eq!(data("1"), data("1"));
    assert_ne!(data("1"), data("2"));
    assert_eq!(data("1").iter().filter(|byte| **byte == b'\n').count(), 501);
}
