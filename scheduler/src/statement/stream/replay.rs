//! `REPLAY DEAD LETTERS FROM t [WHERE ...]`: the letters are found as a query finds them, and their owners try them again.
//!
//! ```text
//! system.dead_letters ─ WHERE ─► offsets by topic partition ─► owners ─► how many are no dead letters any more
//! ```

use std::collections::BTreeMap;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, UInt64Type};
use datafusion::common::TableReference;
use datafusion::prelude::SessionContext;
use millpond_engine::error::{Code, Error};
use millpond_proto::catalog::Relation;

use super::super::frontend::Services;
use super::super::result::ResultSet;
use super::super::write::count_result;
use super::followed;
use crate::catalog::{Reads, StatementCatalog, what_is_read};

pub(super) async fn run(
    services: &Services,
    catalog: &StatementCatalog,
    name: &TableReference,
    condition: Option<&str>,
) -> Result<ResultSet, Error> {
    let (relation, table) = followed(catalog, name)?;
    // From here on it does not move, so what owners say of letters stays true.
    let _stays = services
        .streams
        .start_to_replay(&table.table_id, &name.to_string())?;
    services.streams.placed().await;
    let version = services.catalog.current();
    let mut tables = version.kafka_tables().map(|(_, newest)| newest);
    let table = tables.find(|newest| newest.table_id == table.table_id);
    let table = table.ok_or_else(|| gone(name))?;
    services.streams.check_letters(table).await?;
    let letters = letters(catalog, &relation, condition).await?;
    let settled = services.streams.replay(table, letters).await?;
    count_result(settled)
}

fn gone(name: &TableReference) -> Error {
    Error::user(Code::STATE_CONFLICT, format!("{name} was made anew meanwhile"))
        .with_hint("run the statement again")
}

/// Offsets of the letters that are meant, by topic partition.
async fn letters(
    catalog: &StatementCatalog,
    relation: &Relation,
    condition: Option<&str>,
) -> Result<BTreeMap<u32, Vec<u64>>, Error> {
    let text = |value: &str| value.replace('\'', "''");
    let (schema, name) = (text(&relation.schema), text(&relation.name));
    let condition = condition.unwrap_or("true");
    let sql = format!(
        "SELECT kafka_partition, kafka_offset FROM system.dead_letters \
         WHERE table_schema = '{schema}' AND table_name = '{name}' AND ({condition})"
    );
    let state = catalog.session_state().map_err(Error::from_datafusion)?;
    let plan = state
        .create_logical_plan(&sql)
        .await
        .map_err(Error::from_datafusion)?;
    if what_is_read(&plan).map_err(Error::from_datafusion)? != Reads::MetadataOnly {
        return Err(Error::user(
            Code::NOT_SUPPORTED,
            "the condition reads other tables than those of the system",
        )
        .with_hint("ask system.dead_letters first, and write offsets into the condition"));
    }
    let frame = SessionContext::new_with_state(state)
        .execute_logical_plan(plan)
        .await;
    let batches = frame.map_err(Error::from_datafusion)?.collect().await;
    let mut letters: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    for batch in batches.map_err(Error::from_datafusion)? {
        let column = |place: usize| cast(batch.column(place), &DataType::UInt64);
        let (partitions, offsets) = (column(0), column(1));
        let (partitions, offsets) = partitions
            .and_then(|partitions| Ok((partitions, offsets?)))
            .map_err(|error| Error::from_datafusion(error.into()))?;
        let partitions = partitions.as_primitive::<UInt64Type>().values().iter();
        for (partition, offset) in partitions.zip(offsets.as_primitive::<UInt64Type>().values()) {
            letters.entry(*partition as u32).or_default().push(*offset);
        }
    }
    Ok(letters)
}
