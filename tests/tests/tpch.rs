//! All 22 TPC-H queries at scale factor 0.1 on two executors, against DataFusion in one process on the same files.
//!
//! Data and query texts come from `tpchgen`; the parameters are the validation values of the TPC-H specification 3.0.1.

use std::fmt::Display;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use cluster_tests::{Cluster, text_rows};
use datafusion::prelude::SessionContext;
use tpchgen::csv;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};
use tpchgen::q_and_a::queries;

const SCALE_FACTOR: f64 = 0.1;

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

/// Validation values of the parameters `:1`, `:2`... of each query.
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
    &["GERMANY", "0.001"],
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
    let cluster = Cluster::start(2).await?;
    let folder = cluster.folder().join("tpch");
    std::fs::create_dir_all(&folder)?;
    write_tables(&folder)?;
    let local = SessionContext::new();
    let client = cluster.connect().await?;
    for (table, columns) in TABLES {
        let location = folder.join(format!("{table}.csv"));
        let definition = format!(
            "CREATE EXTERNAL TABLE {table} ({columns}) STORED AS CSV LOCATION '{}' OPTIONS ('format.has_header' 'true')",
            location.display()
        );
        local.sql(&definition).await?.collect().await?;
        client.run(&definition).await?;
    }
    let mut rows = 0;
    for (index, parameters) in PARAMETERS.iter().enumerate() {
        let number = index + 1;
        let name = || format!("query {number}");
        for statement in statements(number, parameters)? {
            let expected = local
                .sql(&statement)
                .await
                .with_context(name)?
                .collect()
                .await
                .with_context(name)?;
            let answered = client.query(&statement).await.with_context(name)?;
            let (expected, answered) = (sorted(text_rows(&expected)?), sorted(text_rows(&answered)?));
            assert_eq!(expected, answered, "query {number}");
            rows += answered.len();
        }
    }
    assert!(
        rows > 1_000,
        "the queries answered {rows} rows only, so they prove little"
    );
    Ok(())
}

/// The statements of one query, with its parameters.
fn statements(number: usize, parameters: &[&str]) -> Result<Vec<String>> {
    let mut text = queries::query(number as i32)
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

fn write_tables(folder: &Path) -> Result<()> {
    let sf = SCALE_FACTOR;
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
