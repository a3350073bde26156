//! All 22 TPC-H queries on two executors, from files and with every table cached, against DataFusion in one process.
//!
//! Data and query texts come from `tpchgen`; the parameters are the validation values of the TPC-H specification 3.0.1.
//! The scale factor is 0.1, or what `MILLPOND_TPCH_SCALE` says. Tables are generated once, and DataFusion answers once.

use std::fmt::Display;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use cluster_tests::{Client, Cluster, text_rows};
use datafusion::prelude::SessionContext;
use tpchgen::csv;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};
use tpchgen::q_and_a::queries;

/// Scale factor if the environment does not say.
const SCALE: f64 = 0.1;
/// The number of the query with a parameter that depends on the scale factor, and that parameter at scale factor 1.
const SCALED: (usize, f64) = (11, 0.0001);

/// Columns of each table, as the specification has them.
const TABLES: [(&str, &str); 8] = [
    ("region", "r_regionkey BIGINT, r_name TEXT, r_comment TEXT"),
    (
        "nation",
        "n_nationkey BIGINT, n_name TEXT, n_regionkey BIGINT, n_comment TEXT",
    ),
    (
        "supplier",
        "s_suppkey BIGINT, s_name TEXT, s_address TEXT, s_nationkey BIGINT, s_phone TEXT, s_acctbal DECIMAL(15,2), \
         s_comment TEXT",
    ),
    (
        "customer",
        "c_custkey BIGINT, c_name TEXT, c_address TEXT, c_nationkey BIGINT, c_phone TEXT, c_acctbal DECIMAL(15,2), \
         c_mktsegment TEXT, c_comment TEXT",
    ),
    (
        "part",
        "p_partkey BIGINT, p_name TEXT, p_mfgr TEXT, p_brand TEXT, p_type TEXT, p_size INT, p_container TEXT, \
         p_retailprice DECIMAL(15,2), p_comment TEXT",
    ),
    (
        "partsupp",
        "ps_partkey BIGINT, ps_suppkey BIGINT, ps_availqty INT, ps_supplycost DECIMAL(15,2), ps_comment TEXT",
    ),
    (
        "orders",
        "o_orderkey BIGINT, o_custkey BIGINT, o_orderstatus TEXT, o_totalprice DECIMAL(15,2), o_orderdate DATE, \
         o_orderpriority TEXT, o_clerk TEXT, o_shippriority INT, o_comment TEXT",
    ),
    (
        "lineitem",
        "l_orderkey BIGINT, l_partkey BIGINT, l_suppkey BIGINT, l_linenumber INT, l_quantity DECIMAL(15,2), \
         l_extendedprice DECIMAL(15,2), l_discount DECIMAL(15,2), l_tax DECIMAL(15,2), l_returnflag TEXT, \
         l_linestatus TEXT, l_shipdate DATE, l_commitdate DATE, l_receiptdate DATE, l_shipinstruct TEXT, \
         l_shipmode TEXT, l_comment TEXT",
    ),
];

/// Validation values of the parameters `:1`, `:2`... of each query. The second of query 11 is [`SCALED`].
const PARAMETERS: [&[&str]; 22] = [
    &["90"],
    &["15", "BRASS", "EUROPE"],
    &["BUILDING", "1995-03-15"],
    &["1993-07-01"],
    &["ASIA", "1994-01-01"],
    &["1994-01-01", "0.06", "24"],
    &["FRANCE", "GERMANY"],
    &["BRAZIL", "AMERICA", "ECONOMY ANODIZED STEEL"],
    &["green"],
    &["1993-10-01"],
    &["GERMANY"],
    &["MAIL", "SHIP", "1994-01-01"],
    &["special", "requests"],
    &["1995-09-01"],
    &["1996-01-01"],
    &[
        "Brand#45",
        "MEDIUM POLISHED",
        "49",
        "14",
        "23",
        "45",
        "19",
        "3",
        "36",
        "9",
    ],
    &["Brand#23", "MED BOX"],
    &["300"],
    &["Brand#12", "Brand#23", "Brand#34", "1", "10", "20"],
    &["forest", "1994-01-01", "CANADA"],
    &["SAUDI ARABIA"],
    &["13", "31", "23", "29", "30", "18", "17"],
];

#[tokio::test(flavor = "multi_thread")]
async fn every_query_answers_as_datafusion_does() -> Result<()> {
    let scale = match std::env::var("MILLPOND_TPCH_SCALE") {
        Ok(scale) => scale.parse().context("MILLPOND_TPCH_SCALE")?,
        Err(_) => SCALE,
    };
    let cluster = Cluster::start(2).await?;
    let folder = cluster.folder().join("tpch");
    std::fs::create_dir_all(&folder)?;
    write_tables(&folder, scale)?;
    let client = cluster.connect().await?;
    let questions = questions(&client, &folder, scale).await?;
    let rows: usize = questions.iter().map(|question| question.answer.len()).sum();
    ensure!(
        rows as f64 > 1_000.0 * (scale / SCALE).min(1.0),
        "the queries answer {rows} rows only, so they prove little"
    );
    ask_all(&client, &questions, "auto", "files").await?;
    for (table, _) in TABLES {
        client.run(&format!("CACHE TABLE {table}")).await?;
    }
    for mode in ["staged", "direct"] {
        let hits = hits_by_table(&client).await?;
        ask_all(&client, &questions, mode, "cached").await?;
        for (before, after) in hits.iter().zip(hits_by_table(&client).await?) {
            ensure!(
                before[1] != after[1],
                "{} was not read from memory: {before:?}, {after:?}",
                before[0]
            );
        }
    }
    Ok(())
}

/// A statement and the rows it must answer, in order.
struct Question {
    query: usize,
    statement: String,
    answer: Vec<Vec<String>>,
}

/// Defines the tables on the cluster and has DataFusion, with the tables in memory, answer all queries.
async fn questions(client: &Client, folder: &Path, scale: f64) -> Result<Vec<Question>> {
    let local = SessionContext::new();
    for (table, columns) in TABLES {
        let definition = |name: &str| {
            format!(
                "CREATE EXTERNAL TABLE {name} ({columns}) STORED AS CSV LOCATION '{}' OPTIONS ('format.has_header' 'true')",
                folder.join(format!("{table}.csv")).display()
            )
        };
        client.run(&definition(table)).await?;
        local
            .sql(&definition(&format!("{table}_file")))
            .await?
            .collect()
            .await?;
        let copy = format!("CREATE TABLE {table} AS SELECT * FROM {table}_file");
        local.sql(&copy).await?.collect().await?;
    }
    let mut questions = Vec::new();
    for query in 1..=PARAMETERS.len() {
        for statement in statements(query, scale)? {
            let name = || format!("query {query}");
            let frame = local.sql(&statement).await.with_context(name)?;
            let answer = sorted(text_rows(&frame.collect().await.with_context(name)?)?);
            questions.push(Question {
                query,
                statement,
                answer,
            });
        }
    }
    Ok(questions)
}

/// Asks every question and compares the answers.
async fn ask_all(client: &Client, questions: &[Question], mode: &str, tables: &str) -> Result<()> {
    let start = Instant::now();
    client
        .run(&format!("SET millpond.execution_mode = '{mode}'"))
        .await?;
    for question in questions {
        let name = || format!("query {}, {mode}, {tables}", question.query);
        let answer = client.query(&question.statement).await.with_context(name)?;
        assert_eq!(question.answer, sorted(text_rows(&answer)?), "{}", name());
    }
    eprintln!("22 queries, {mode}, {tables}: {:?}", start.elapsed());
    Ok(())
}

/// How often shards of each table were read.
async fn hits_by_table(client: &Client) -> Result<Vec<Vec<String>>> {
    let hits = client
        .rows("SELECT table_name, sum(hits) FROM system.shards GROUP BY table_name ORDER BY table_name")
        .await?;
    ensure!(
        hits.len() == TABLES.len(),
        "not every table is in memory: {hits:?}"
    );
    Ok(hits)
}

/// The statements of one query, with its parameters.
fn statements(query: usize, scale: f64) -> Result<Vec<String>> {
    let mut parameters: Vec<String> = PARAMETERS[query - 1].iter().map(ToString::to_string).collect();
    if query == SCALED.0 {
        parameters.push(format!("{:.10}", SCALED.1 / scale));
    }
    let mut text = queries::query(query as i32)
        .context("query text")?
        .replace("day (3)", "day")
        .replace("revenue:s", "revenue0");
    for (index, value) in parameters.iter().enumerate().rev() {
        text = text.replace(&format!(":{}", index + 1), value);
    }
    Ok(text
        .split(';')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(String::from)
        .collect())
}

/// Rows with equal sort keys may come in any order.
fn sorted(mut rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    rows.sort();
    rows
}

fn write_tables(folder: &Path, sf: f64) -> Result<()> {
    write(
        folder,
        "region",
        csv::RegionCsv::header(),
        RegionGenerator::new(sf, 1, 1).iter().map(csv::RegionCsv::new),
    )?;
    write(
        folder,
        "nation",
        csv::NationCsv::header(),
        NationGenerator::new(sf, 1, 1).iter().map(csv::NationCsv::new),
    )?;
    write(
        folder,
        "supplier",
        csv::SupplierCsv::header(),
        SupplierGenerator::new(sf, 1, 1).iter().map(csv::SupplierCsv::new),
    )?;
    write(
        folder,
        "customer",
        csv::CustomerCsv::header(),
        CustomerGenerator::new(sf, 1, 1).iter().map(csv::CustomerCsv::new),
    )?;
    write(
        folder,
        "part",
        csv::PartCsv::header(),
        PartGenerator::new(sf, 1, 1).iter().map(csv::PartCsv::new),
    )?;
    write(
        folder,
        "partsupp",
        csv::PartSuppCsv::header(),
        PartSuppGenerator::new(sf, 1, 1).iter().map(csv::PartSuppCsv::new),
    )?;
    write(
        folder,
        "orders",
        csv::OrderCsv::header(),
        OrderGenerator::new(sf, 1, 1).iter().map(csv::OrderCsv::new),
    )?;
    write(
        folder,
        "lineitem",
        csv::LineItemCsv::header(),
        LineItemGenerator::new(sf, 1, 1).iter().map(csv::LineItemCsv::new),
    )
}

fn write<R: Display>(folder: &Path, table: &str, header: &str, rows: impl Iterator<Item = R>) -> Result<()> {
    let mut out = BufWriter::new(File::create(folder.join(format!("{table}.csv")))?);
    writeln!(out, "{header}")?;
    for row in rows {
        writeln!(out, "{row}")?;
    }
    Ok(out.flush()?)
}
