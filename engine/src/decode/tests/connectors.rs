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
            r#""data":{"id":111,"name":"board","on_sale":0},"old":{"name":"scooter"}"#,
        ),
        "Put 111|board|false",
    );
    // With `binlog_row_image=minimal` columns that did not change are not there: test_minimal of zendesk/maxwell.
    check(
        &change(
            "update",
            r#""data":{"id":111,"name":"board"},"old":{"name":"scooter"}"#,
        ),
        "Merge 111|board|keep",
    );
    check(
        &change("update", r#""data":{"id":112,"name":"board"},"old":{"id":111}"#),
        "Rekey 111|-|-; Merge 112|board|keep",
    );
    // With `output_nulls=false` one that has become null is only in what was before.
    check(
        &change(
            "update",
            r#""data":{"id":111,"on_sale":1},"old":{"name":"scooter"}"#,
        ),
        "Put 111|-|true",
    );
    check(
        &change(
            "update",
            r#""old":{"name":"scooter","on_sale":1},"data":{"id":111}"#,
        ),
        "Put 111|-|-",
    );
    check(&change("insert", r#""data":{"id":111}"#), "Put 111|-|-");
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
        "Merge 1|b|keep; Rekey 2|-|-; Merge 9|c|keep",
    );
    check(
        r#"{"data":[{"id":"1","name":"b","on_sale":"1"},{"id":"2","on_sale":"0"}],"old":[{"name":"a"},{"name":"b"}],"type":"UPDATE"}"#,
        "Put 1|b|true; Put 2|-|false",
    );
    check(
        r#"{"data":[{"id":"1","name":"b"}],"old":null,"type":"UPDATE"}"#,
        "Merge 1|b|keep",
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
fn rows_of_canal_may_be_in_old_alone() {
    let check = |value: &str, expected: &str| {
        assert_eq!(
            one(&[("format", "canal-json")], &products(), None, Some(value)),
            expected,
            "{value}"
        );
    };
    check(
        r#"{"data":null,"old":[{"id":"1","name":"a","on_sale":"0"},{"id":"2"}],"type":"DELETE"}"#,
        "Delete 1|a|false; Delete 2|-|-",
    );
    check(r#"{"type":"DELETE","old":[{"id":"1"}]}"#, "Delete 1|-|-");
    check(
        r#"{"data":[{"id":"1"}],"old":[{"id":"2"}],"type":"DELETE"}"#,
        "Delete 1|-|-",
    );
    check(
        r#"{"data":[],"old":[{"id":"1"}],"type":"DELETE"}"#,
        "skipped empty",
    );
    check(r#"{"data":null,"old":[],"type":"DELETE"}"#, "skipped empty");
    for kind in ["INSERT", "UPDATE", "DELETE"] {
        check(&format!(r#"{{"type":"{kind}"}}"#), "missing_row");
        check(
            &format!(r#"{{"data":null,"old":null,"type":"{kind}"}}"#),
            "missing_row",
        );
    }
    for kind in ["INSERT", "UPDATE"] {
        check(
            &format!(r#"{{"data":null,"old":[{{"id":"1"}}],"type":"{kind}"}}"#),
            "missing_row",
        );
    }
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
fn golden_gate_marks_columns_that_are_missing() {
    let check = |table: &Table, rows: &str, expected: &str| {
        let value = format!(r#"{{"table":"SHOP.PRODUCT","op_type":"U",{rows}}}"#);
        assert_eq!(
            one(&[("format", "ogg-json")], table, None, Some(&value)),
            expected,
            "{rows}"
        );
    };
    check(
        &products(),
        r#""before":{"ID":1,"NAME":"a","NAME_isMissing":false,"ON_SALE":null,"ON_SALE_isMissing":true},
            "after":{"ID":1,"ID_isMissing":false,"NAME_isMissing":true,"NAME":null,"ON_SALE":1,"ON_SALE_isMissing":false}"#,
        "Merge 1|keep|true",
    );
    check(
        &products(),
        r#""after":{"ID":1,"NAME":null,"NAME_isMissing":false,"ON_SALE":null,"ON_SALE_isMissing":true}"#,
        "Merge 1|-|keep",
    );
    // A key that is missing is that of the other image.
    check(
        &products(),
        r#""before":{"ID":1},"after":{"ID":9,"ID_isMissing":true,"NAME":"b","ON_SALE":0}"#,
        "Put 1|b|false",
    );
    check(
        &products(),
        r#""before":{"ID_isMissing":true,"ID":9},"after":{"ID":1,"NAME":"b","ON_SALE":0}"#,
        "Put 1|b|false",
    );
    let marked = table(
        &[
            ("id", DataType::Int32),
            ("name", DataType::Utf8),
            ("name_isMissing", DataType::Boolean),
        ],
        1,
    );
    check(
        &marked,
        r#""after":{"id":1,"name":"a","name_isMissing":true}"#,
        "Put 1|a|true",
    );
    check(
        &marked,
        r#""after":{"id":1,"name":"a","name_isMissing":null,"name_isMissing_isMissing":true}"#,
        "Merge 1|a|keep",
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
fn the_row_that_was_has_any_name_in_dms() {
    let check = |options: &[(&str, &str)], before: &str, expected: &str| {
        let value = format!(
            r#"{{"data":{{"id":2,"name":"a"}},"{before}":{{"id":1}},"metadata":{{"record-type":"data","operation":"update"}}}}"#
        );
        let options = [&[("format", "dms-json")][..], options].concat();
        assert_eq!(
            one(&options, &products(), None, Some(&value)),
            expected,
            "{before}"
        );
    };
    let changed = "Rekey 1|-|-; Put 2|a|-";
    check(&[], "before-image", changed);
    check(&[], "was", "Put 2|a|-");
    check(&[("format.before_field", "was")], "was", changed);
    check(&[("format.before_field", "was")], "before-image", "Put 2|a|-");
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
