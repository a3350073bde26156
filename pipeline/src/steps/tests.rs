//! What steps make of columns, and what they refuse, without rows.

use crate::chain::Chain;
use crate::compile::{Compiled, Known, Purpose, Question, Repeats, compile};
use crate::fitted::{Key, Value};
use crate::kind::{Column, Kind};
use crate::mistake::Mistake;
use crate::spec::Spec;

fn columns() -> Vec<Column> {
    [
        ("id", Kind::Integer),
        ("amount", Kind::Number),
        ("city", Kind::Text),
        ("x*", Kind::Number),
    ]
    .map(|(name, kind)| Column {
        name: name.to_owned(),
        kind,
    })
    .to_vec()
}

fn compiled(
    steps: &str,
    fitted: &[(&str, &str, &str, Value)],
    purpose: Purpose,
) -> Result<Compiled, Mistake> {
    let spec = Spec::parse(&format!("name: p\nsource: {{table: t}}\nsteps: {steps}"))?;
    let mut known = Known {
        stored: usize::MAX,
        ..Known::default()
    };
    for (step, column, what, value) in fitted {
        let key = Key {
            step: (*step).to_owned(),
            column: (*column).to_owned(),
            what: (*what).to_owned(),
        };
        known.fitted.insert(key, value.clone());
    }
    known.kinds.insert((1, "condition".to_owned()), Kind::Number);
    compile(&spec, "t", &columns(), &known, purpose)
}

/// The query of a column at the end.
fn query(chain: &Chain, column: &str) -> String {
    let (_, id) = chain.visible().iter().find(|(name, _)| name == column).unwrap();
    chain.query(&chain.sql(*id), &[*id], "")
}

fn names(compiled: &Compiled) -> Vec<String> {
    compiled
        .chain
        .columns()
        .into_iter()
        .map(|column| column.name)
        .collect()
}

#[test]
fn what_cannot_be_is_refused_before_a_row_is_read() {
    for (step, said) in [
        ("{select: dates}", "no column would be left"),
        ("{filter: amount}", "filter: 'amount' is number, and no condition"),
        (
            "{filter: city > 5}",
            "filter: 'city > 5' compares a number with 'city'",
        ),
        (
            "{expect: {holds: amount}}",
            "expect: 'amount' is number, and no condition",
        ),
        ("{derive: {x: max(id)}}", "'max(id)' is about several rows"),
        (
            "{replace: {columns: [city], pattern: '('}}",
            "replace: '(' is no regular expression: unclosed group",
        ),
        (
            "{expect: {columns: [city], matches: '('}}",
            "expect: '(' is no regular expression",
        ),
        (
            "{cast: {columns: [city], to: date, formats: ['%Q']}}",
            "'%Q' is no format of a date",
        ),
        (
            "{cast: {columns: [city], to: date, formats: ['%m-%d']}}",
            "'%m-%d' is no format of a date: it says no day",
        ),
        (
            "{cast: {columns: [city], to: date, formats: ['%Y-%m-%!']}}",
            "is no format of a date",
        ),
        (
            "{impute: {columns: [amount], strategy: constant, value: x}}",
            "impute: 'amount' is number, and 'x' is not",
        ),
        (
            "{replace: {columns: [id], values: {1: one}}}",
            "replace: 'id' is integer, and 'one' is not",
        ),
        (
            "{replace: {columns: [id], values: {one: 1}}}",
            "replace: 'id' is integer, and 'one' is not",
        ),
        (
            "{replace: {columns: [id], values: {1: 1.5}}}",
            "replace: 'id' is integer, and '1.5' is not",
        ),
        (
            "{clip: {columns: [id], lower: 5, upper: 1}}",
            "lower is 5, and upper is 1",
        ),
        ("{expect: {columns: [id]}}", "nothing is expected"),
    ] {
        let mistake = compiled(&format!("[{step}]"), &[], Purpose::Look).unwrap_err();
        assert!(mistake.to_string().contains(said), "{step}: {mistake}");
    }
}

#[test]
fn what_can_be_is_not_refused() {
    for step in [
        "{cast: {columns: [city], to: date, formats: ['%d.%m.%Y', '%b %d, %Y', '%y%m%d']}}",
        "{cast: {columns: [city], to: timestamp, formats: ['%s', '%Y-%m-%dT%H:%M:%S%.f%:z', '%d/%m/%Y %I:%M %p']}}",
        "{impute: {columns: [amount], strategy: constant, value: 0}}",
        "{impute: {columns: [city], strategy: constant, value: 0}}",
        "{replace: {columns: [amount], values: {-1: null, nan: 0}}}",
        "{expect: {columns: [id], unique: true}}",
        "{derive: {x: 'greatest(id, 1)'}}",
    ] {
        for purpose in [Purpose::Look, Purpose::Serve] {
            assert_eq!(compiled(&format!("[{step}]"), &[], purpose).err(), None, "{step}");
        }
    }
}

#[test]
fn a_name_with_a_star_is_itself_before_it_is_a_pattern() {
    let chosen = compiled("[{select: ['x*']}]", &[], Purpose::Look).unwrap();
    assert_eq!(names(&chosen), ["x*"]);
}

#[test]
fn a_column_is_derived_anew_under_its_name_in_other_letters() {
    let derived = compiled("[{derive: {Amount: id + 1, new: AMOUNT}}]", &[], Purpose::Look).unwrap();
    assert_eq!(names(&derived), ["id", "amount", "city", "x*", "new"]);
    assert!(query(&derived.chain, "new").contains("+ 1"));
}

#[test]
fn a_small_deviation_divides_and_that_of_a_constant_does_not() {
    let with = |mean: f64, deviation: f64| {
        let answers = [("mean", mean), ("deviation", deviation), ("values", 20.0)];
        let answers = answers.map(|(what, value)| ("1 standardize", "amount", what, Value::Number(value)));
        let done = compiled("[{standardize: [amount]}]", &answers, Purpose::Serve).unwrap();
        query(&done.chain, "amount")
    };
    assert!(with(1e-20, 1e-20).contains("- 1e-20) / 1e-20"));
    assert!(with(0.1, 1e-17).contains("- 0.1) / 1.0"));
}

#[test]
fn an_edge_at_the_least_or_the_greatest_value_is_none() {
    let answers = [
        ("min", 1.0),
        ("max", 5.0),
        ("quantile 0.25", 1.0),
        ("quantile 0.5", 3.0),
        ("quantile 0.75", 5.0),
    ];
    let answers = answers.map(|(what, value)| ("1 bin", "amount", what, Value::Number(value)));
    let done = compiled(
        "[{bin: {columns: [amount], quantile: 4}}]",
        &answers,
        Purpose::Serve,
    )
    .unwrap();
    let query = query(&done.chain, "amount");
    assert!(query.contains("< 3.0 THEN 0 ELSE 1 END"), "{query}");
}

#[test]
fn a_quantile_is_between_the_two_values_next_to_it() {
    let clip = |fitted: &[(&str, &str, &str, Value)]| {
        let step = "[{clip: {columns: [amount], quantiles: [0.25, 0.4]}}]";
        let asked = compiled(step, fitted, Purpose::Fit).unwrap().asks;
        let aggregates = asked.into_iter().filter_map(|ask| match ask.question {
            Question::Aggregate(sql) => Some((ask.key.what, sql)),
            _ => None,
        });
        aggregates.collect::<Vec<_>>()
    };
    let first: Vec<String> = clip(&[]).into_iter().map(|(what, _)| what).collect();
    assert_eq!(first, ["rows", "lower", "values"]);
    let second = clip(&[("1 clip", "amount", "values", Value::Number(5.0))]);
    let (_, upper) = second.iter().find(|(what, _)| what == "upper").unwrap();
    // Place 1.6 of 0 to 4.
    assert!(upper.contains("percentile_cont(0.250000125)"), "{upper}");
    assert!(upper.contains("percentile_cont(0.500000125)"), "{upper}");
    assert!(upper.ends_with("* 0.6000000000000001"), "{upper}");
}

#[test]
fn rare_categories_do_not_take_the_name_of_another_one() {
    let one_hot = |categories: &[(&str, u64)]| {
        let categories = categories.iter().map(|(name, rows)| ((*name).to_owned(), *rows));
        let answer = (
            "1 one_hot",
            "city",
            "categories",
            Value::Categories(categories.collect()),
        );
        let step = "[{one_hot: {columns: [city], min_share: 0.1}}, {select: ['city_*']}]";
        names(&compiled(step, &[answer], Purpose::Serve).unwrap())
    };
    assert_eq!(one_hot(&[("car", 98), ("bus", 2)]), ["city_car", "city_other"]);
    assert_eq!(
        one_hot(&[("car", 50), ("other", 48), ("bus", 2)]),
        ["city_car", "city_other", "city_rare"]
    );
}

#[test]
fn folds_follow_from_the_source_and_from_nothing_that_was_learned() {
    let answers = [("mean", 1.5), ("deviation", 0.5), ("values", 9.0)];
    let answers = answers.map(|(what, value)| ("1 standardize", "amount", what, Value::Number(value)));
    let step = "[{standardize: [amount]}, {target_encode: {columns: [city], target: id}}]";
    let asked = compiled(step, &answers, Purpose::Fit).unwrap();
    let sums = asked.asks.iter().find(|ask| ask.key.what == "sums").unwrap();
    let query = asked.chain.query("1", &sums.refs, "");
    assert!(query.contains("row__") && !query.contains("amount"), "{query}");
    // It is served without folds.
    let nothing = |what| ("2 target_encode", "city", what, Value::Groups(Vec::new()));
    let answers = [&answers[..], &[nothing("sums"), nothing("counts")]].concat();
    let served = compiled(step, &answers, Purpose::Serve).unwrap();
    assert!(!query_of_all(&served).contains("md5"));
}

fn query_of_all(compiled: &Compiled) -> String {
    let ids: Vec<_> = compiled.chain.visible().iter().map(|(_, id)| *id).collect();
    compiled.chain.query("*", &ids, "")
}

#[test]
fn rows_are_compared_by_groups_where_none_has_to_go() {
    let asked = |otherwise: &str| {
        let step = format!("[{{expect: {{columns: [id], unique: true, otherwise: {otherwise}}}}}]");
        let done = compiled(&step, &[], Purpose::Fit).unwrap();
        let by_groups = done
            .asks
            .iter()
            .any(|ask| matches!(ask.question, Question::Repeated { .. }));
        (by_groups, done.chain.fate().is_some())
    };
    assert_eq!(asked("fail"), (true, false));
    assert_eq!(asked("warn"), (true, false));
    assert_eq!(asked("drop"), (false, true));
}

#[test]
fn numbers_have_the_same_text_whatever_their_type_is() {
    let answer = (
        "1 ordinal",
        "amount",
        "categories",
        Value::Categories(vec![("2".to_owned(), 1)]),
    );
    let learned = compiled("[{ordinal: {columns: [amount]}}]", &[answer], Purpose::Serve).unwrap();
    let given = compiled(
        "[{ordinal: {columns: [amount], order: ['2.0']}}]",
        &[],
        Purpose::Serve,
    )
    .unwrap();
    assert_eq!(query(&learned.chain, "amount"), query(&given.chain, "amount"));
}

#[test]
fn equal_rows_are_found_by_hashes_and_only_those_of_repeated_ones_are_grouped() {
    let spec = Spec::parse("name: p\nsource: {table: t}\nsteps: [{drop_duplicates: {}}]").unwrap();
    let known = Known {
        prefix: "part".to_owned(),
        ..Known::default()
    };
    let store = compile(&spec, "t", &columns(), &known, Purpose::Fit)
        .unwrap()
        .store
        .unwrap();
    assert!(
        store
            .query
            .contains("row_hash(\"id__0\", \"amount__1\", \"city__2\", \"x*__3\") AS \"hash\"")
    );
    assert!(!store.query.contains("GROUP BY"), "{}", store.query);
    let distinct = store.distinct.unwrap();
    let (repeated, grouped) = (distinct.repeated, distinct.groups);
    assert_eq!(repeated.0, "part_0_repeated");
    assert!(
        repeated
            .1
            .ends_with("FROM \"part_0\" GROUP BY \"hash\" HAVING count(*) > 1")
    );
    assert_eq!(grouped.0, "part_0_groups");
    assert!(
        grouped
            .1
            .contains("WHERE \"hash\" IN (SELECT \"hash\" FROM \"part_0_repeated\") GROUP BY \"id__0\"")
    );

    let relation_if = |repeats| {
        let known = Known {
            stored: 1,
            repeats: [(0, repeats)].into(),
            ..known.clone()
        };
        let compiled = compile(&spec, "t", &columns(), &known, Purpose::Fit).unwrap();
        assert!(compiled.store.is_none());
        query(&compiled.chain, "id")
    };
    assert!(relation_if(Repeats::Few).contains("WHERE NOT EXISTS (SELECT 1 FROM \"part_0_repeated\""));
    assert!(relation_if(Repeats::Most).contains("FROM \"part_0_rest\""));
    let none = relation_if(Repeats::None);
    assert!(
        none.contains("FROM \"part_0\") AS rows") && !none.contains("EXISTS"),
        "{none}"
    );
}
