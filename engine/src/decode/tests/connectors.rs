//! Changes of Maxwell, Canal, GoldenGate and DMS.

use super::*;

fn products() -> Table {
    table(
        &[
            ("id", DataType::Int32),
            ("name", DataType::Utf8),
            ("on_sale", DataType::Boolean),
        ],
        1,
    )
}

#[test]
fn maxwell() {
    let check = |value: &str, expected: &str| {
        let found = one(
            &[("format", "maxwell-json"), ("format.table", "shop.product")],
            &products(),
            None,
            Some(value),
        );
        assert_eq!(found, expected, "{value}");
    };
    let change = |kind: &str, rows: &str| {
        format!(
            r#"{{"database":"shop","table":"product","type":"{kind}","ts":1596684883,"xid":7201,"commit":true,{rows}}}"#
        )
    };
    check(
        &change("insert", r#""data":{"id":111,"name":"scooter","on_sale":1}"#),
        "Put 111|scooter|true",
    );
    check(
        &change(
            "update",
            r#""data":{"id":111,"name":"board"},"old":{"name":"scooter"}"#,
        ),
        "Put 111|board|-",
    );
    check(
        &change("update", r#""data":{"id":112,"name":"board"},"old":{"id":111}"#),
        "Rekey 111|-|-; Put 112|board|-",
    );
    check(
        &change("delete", r#""data":{"id":111,"name":"scooter"}"#),
        "Delete 111|scooter|-",
    );
    check(&change("bootstrap-start", r#""data":{}"#), "skipped control");
    check(&change("bootstrap-insert", r#""data":{"id":1}"#), "Put 1|-|-");
    check(
        &change("table-alter", r#""old":{"columns":[]},"def":{},"sql":"ALTER""#),
        "skipped ddl",
    );
    check(&change("other", r#""data":{"id":1}"#), "unknown_operation");
    check(
        r#"{"database":"shop","table":"stock","type":"insert","data":{"id":1}}"#,
        "skipped other_table",
    );
    let key = Some(r#"{"database":"shop","table":"product","pk.id":5}"#);
    assert_eq!(
        one(&[("format", "maxwell-json")], &products(), key, None),
        "Delete 5|-|-"
    );
}

#[test]
fn canal() {
    let check = |value: &str, expected: &str| {
        assert_eq!(
            one(&[("format", "canal-json")], &products(), None, Some(value)),
            expected,
            "{value}"
        );
    };
    check(
        r#"{"data":[{"id":"1","name":"a\u00e9","on_sale":"0"},{"id":"2","name":null,"on_sale":"1"}],"database":"shop","es":1,
            "isDdl":false,"mysqlType":{"id":"int"},"old":null,"pkNames":["id"],"sql":"","table":"product","type":"INSERT"}"#,
        "Put 1|aé|false; Put 2|-|true",
    );
    check(
        r#"{"data":[{"id":"1","name":"b"},{"id":"9","name":"c"}],"isDdl":false,"old":[{"name":"a"},{"id":"2"}],"type":"UPDATE"}"#,
        "Put 1|b|-; Rekey 2|-|-; Put 9|c|-",
    );
    check(
        r#"{"data":[{"id":"1","name":"b"}],"type":"DELETE","old":null,"isDdl":false}"#,
        "Delete 1|b|-",
    );
    check(
        r#"{"data":null,"isDdl":true,"type":"ALTER","sql":"ALTER TABLE"}"#,
        "skipped ddl",
    );
    check(r#"{"data":null,"isDdl":false,"type":"QUERY"}"#, "skipped ddl");
    check(
        r#"{"data":null,"isDdl":true,"type":"TRUNCATE"}"#,
        "Truncate -|-|-",
    );
    check(r#"{"data":[],"type":"INSERT"}"#, "skipped empty");
    check(
        r#"{"data":[{"id":"1"},{"name":"b"}],"type":"INSERT"}"#,
        "missing_key",
    );
    check(r#"{"data":[{"id":"1"},7],"type":"INSERT"}"#, "missing_row");
    let of_key = |value| one(&[("format", "canal-json")], &products(), Some("4"), Some(value));
    assert_eq!(of_key(r#"{"data":[{"name":"b"}],"type":"INSERT"}"#), "Put 4|b|-");
    assert_eq!(
        of_key(r#"{"data":[{"name":"b"},{"name":"c"}],"type":"INSERT"}"#),
        "missing_key"
    );
    let many = vec![r#"{"id":"1"}"#; 700_000].join(",");
    check(&format!(r#"{{"data":[{many}],"type":"INSERT"}}"#), "too_large");
    let bytes = table(&[("id", DataType::Int32), ("b", DataType::Binary)], 1);
    let value = Some(r#"{"data":[{"id":"1","b":"a\u00ff"}],"type":"INSERT"}"#);
    assert_eq!(
        one(&[("format", "canal-json")], &bytes, None, value),
        "Put 1|[97, 255]"
    );
}

#[test]
fn golden_gate() {
    let check = |value: &str, expected: &str| {
        let found = one(
            &[("format", "ogg-json"), ("format.table", "PRODUCT")],
            &products(),
            None,
            Some(value),
        );
        assert_eq!(found, expected, "{value}");
    };
    let change = |op: &str, rows: &str| {
        format!(
            r#"{{"table":"SHOP.PRODUCT","op_type":"{op}","op_ts":"2020-05-13 15:40:06.000000","pos":"00000000000000001444",
                "primary_keys":["ID"],{rows}}}"#
        )
    };
    check(
        &change("I", r#""after":{"ID":1,"NAME":"a","ON_SALE":1}"#),
        "Put 1|a|true",
    );
    check(
        &change("U", r#""before":{"ID":1,"NAME":"a"},"after":{"ID":1,"NAME":"b"}"#),
        "Merge 1|b|keep",
    );
    check(
        &change(
            "U",
            r#""before":{"ID":1},"after":{"ID":2,"NAME":"b","ON_SALE":null}"#,
        ),
        "Rekey 1|-|-; Put 2|b|-",
    );
    check(&change("D", r#""before":{"ID":1,"NAME":"a"}"#), "Delete 1|a|-");
    check(&change("T", r#""before":null,"after":null"#), "Truncate -|-|-");
    check(&change("X", r#""after":{"ID":1}"#), "unknown_operation");
    check(
        r#"{"table":"SHOP.STOCK","op_type":"I","after":{"ID":1}}"#,
        "skipped other_table",
    );
}

#[test]
fn dms() {
    let check = |rows: &str, operation: &str, expected: &str| {
        let value = format!(
            r#"{{{rows}"metadata":{{"timestamp":"2019-03-01T20:00:00.0Z","record-type":"data","operation":"{operation}",
                "partition-key-type":"primary-key","schema-name":"shop","table-name":"product"}}}}"#
        );
        let found = one(
            &[("format", "dms-json"), ("format.table", "product")],
            &products(),
            None,
            Some(&value),
        );
        assert_eq!(found, expected, "{value}");
    };
    check(r#""data":{"id":1,"name":"a"},"#, "load", "Put 1|a|-");
    check(r#""data":{"id":1,"name":"a"},"#, "insert", "Put 1|a|-");
    check(
        r#""data":{"id":2,"name":"a"},"before-image":{"id":1},"#,
        "update",
        "Rekey 1|-|-; Put 2|a|-",
    );
    check(
        r#""data":{"BI_id":1,"id":2,"name":"a"},"#,
        "update",
        "Rekey 1|-|-; Put 2|a|-",
    );
    check(
        r#""data":{"id":1,"name":"a"},"before-image":{"id":1},"#,
        "update",
        "Put 1|a|-",
    );
    check(r#""data":{"id":1},"#, "delete", "Delete 1|-|-");
    check("", "insert", "missing_row");
    check(r#""data":{"id":1},"#, "merge", "unknown_operation");
    let control =
        r#"{"metadata":{"record-type":"control","operation":"create-table","table-name":"product"}}"#;
    assert_eq!(
        one(&[("format", "dms-json")], &products(), None, Some(control)),
        "skipped control"
    );
}

#[test]
fn dates_of_zeros_are_null_where_mysql_writes_them() {
    let columns = [
        ("id", DataType::Int32),
        ("day", DataType::Date32),
        ("at", DataType::Timestamp(TimeUnit::Microsecond, None)),
    ];
    let row = r#"{"id":1,"day":"0000-00-00","at":"0000-00-00 00:00:00"}"#;
    let maxwell = format!(r#"{{"type":"insert","data":{row}}}"#);
    let canal = format!(r#"{{"type":"INSERT","isDdl":false,"data":[{row}]}}"#);
    let check =
        |format: &str, table: &Table, value: &str| one(&[("format", format)], table, None, Some(value));
    assert_eq!(check("maxwell-json", &table(&columns, 1), &maxwell), "Put 1|-|-");
    assert_eq!(check("canal-json", &table(&columns, 1), &canal), "Put 1|-|-");
    // Others have no such date, and a column that is NOT NULL has no room for it.
    assert_eq!(check("upsert", &table(&columns, 1), row), "wrong_type");
    let required = [("id", DataType::Int32), ("day!", DataType::Date32)];
    assert_eq!(
        check("maxwell-json", &table(&required, 1), &maxwell),
        "missing_column"
    );
}

#[test]
fn bytes_may_be_in_either_alphabet_of_base64() {
    let columns = [("id", DataType::Int32), ("bytes", DataType::Binary)];
    let check = |bytes: &str| {
        let value = format!(r#"{{"op":"c","after":{{"id":1,"bytes":"{bytes}"}}}}"#);
        one(
            &[("format", "debezium-json")],
            &table(&columns, 1),
            None,
            Some(&value),
        )
    };
    assert_eq!(check("+/8="), check("-_8="));
    assert_eq!(check("AP-_"), check("AP+/"));
    assert_eq!(check("A*=="), "wrong_type");
}
