//! `DELETE` and `UPDATE`: rows are found by a query, and their shards stay where they are.
//!
//! The condition is evaluated once, over the table with the number of each row behind its columns. What it is true for is
//! noted in the catalog as deleted; an `UPDATE` adds the same rows with their new values, read by their numbers. A shard of
//! which nothing is left goes, and one of which much is gone is written anew.
//!
//! ```text
//! SELECT row_set(number) WHERE condition ─► rows of each shard ─┬─► deleted there
//!                                                               ├─► new values (UPDATE) ──┐
//!                                                               └─► rest of worn shards ──┴─► new shards
//! ```
//!
//! It starts from the plan that SQL was turned into, before any optimizer has touched it: a filter over a scan, and for
//! `UPDATE` a projection with the new values over that. What the filter says of a row is true, false or unknown; only true
//! deletes or updates.

use std::sync::Arc;

use ballista_core::JobId;
use datafusion::arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::common::Column;
use datafusion::datasource::provider_as_source;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{
    DmlStatement, Expr, LogicalPlan, LogicalPlanBuilder, Projection, TableSource, WriteOp,
};
use futures::TryStreamExt;
use millpond_engine::error::{Code, Error};
use millpond_engine::schema::decode_schema;
use millpond_engine::shards::{Deleted, ROW_NUMBER, read_row_set, row_set};
use millpond_proto::catalog::{
    Change, ChangeKind, DeleteRows, DeletedRows, MemoryTable as Stored, TableShard,
};
use roaring::RoaringTreemap;

use super::super::direct;
use super::super::frontend::{Request, Services};
use super::super::job::{self, Watched};
use super::super::registry::Statement;
use super::super::run::Planned;
use super::store::{StoredShards, Storing, store};
use super::{Target, Written};
use crate::catalog::{SessionFactory, StatementCatalog, TableOptions};

/// A shard of which a larger part is deleted is written anew: one row in this many.
const WORN_SHARE: u64 = 4;
/// So is one whose deleted rows take more bytes to write down. Plans and the catalog carry them.
const DELETED_BYTES_MAX: usize = 64 << 10;

/// A statement that changes or deletes rows.
pub(super) struct Edit<'a> {
    services: &'a Services,
    statement: &'a Arc<Statement>,
    catalog: &'a Arc<StatementCatalog>,
    state: &'a SessionState,
    target: &'a Target,
}

impl<'a> Edit<'a> {
    pub(super) fn new(
        services: &'a Services,
        statement: &'a Arc<Statement>,
        catalog: &'a Arc<StatementCatalog>,
        state: &'a SessionState,
        target: &'a Target,
    ) -> Self {
        Self {
            services,
            statement,
            catalog,
            state,
            target,
        }
    }

    /// Runs it.
    ///
    /// # Errors
    /// [`Code::STATE_CONFLICT`] if another statement has changed the same shards meanwhile.
    pub(super) async fn run(&self, dml: &DmlStatement) -> Result<Written, Error> {
        let (found, job) = self.find(dml).await?;
        if found.is_empty() {
            return Ok(Written { rows: 0, job });
        }
        let touched = Touched::new(&self.target.table, &found)?;
        let stored = self.store(dml, &found, &touched.worn).await?;
        let (add, job, _write) = match stored {
            Some(stored) => (stored.shards, Some(stored.job), Some(stored.write)),
            None => (Vec::new(), job, None),
        };
        let new = if dml.op == WriteOp::Update { found.len() } else { 0 };
        let expected = new + touched.worn.iter().map(TableShard::live_rows).sum::<u64>();
        let written: u64 = add.iter().map(|shard| shard.rows).sum();
        if written != expected {
            let message = format!("{written} rows were written in the place of {expected}");
            return Err(Error::bug(message));
        }
        let mut changes = Vec::new();
        if !(add.is_empty() && touched.gone.is_empty()) {
            changes.push(self.target.commit(add, &touched.gone));
        }
        if !touched.deleted.is_empty() {
            let deletion = DeleteRows {
                schema: self.target.schema.clone(),
                name: self.target.name.clone(),
                table_id: self.target.table.table_id.clone(),
                shards: touched.deleted,
            };
            changes.push(Change {
                kind: Some(ChangeKind::DeleteRows(deletion)),
            });
        }
        self.services.catalog.commit(changes).await?;
        Ok(Written {
            rows: found.len(),
            job,
        })
    }

    /// The rows that the condition is true for, and the job that has found them, if it was one.
    async fn find(&self, dml: &DmlStatement) -> Result<(RoaringTreemap, Option<JobId>), Error> {
        let planned = Planned {
            catalog: self.catalog.clone(),
            state: self.state.clone(),
            plan: search(self.catalog, dml, self.target).await?,
        };
        let request = Request {
            is_part: true,
            ..Default::default()
        };
        let (services, statement) = (self.services, self.statement);
        if let Some(answer) = direct::query(services, statement, &planned, &request).await? {
            let answers = answer.read(services, statement, 0).await?;
            let answers: Vec<RecordBatch> = answers.try_collect().await.map_err(Error::from_datafusion)?;
            return Ok((union_of(&answers)?, None));
        }
        let context = SessionFactory::of_job(self.state);
        let run = || job::run(services, statement, context.clone(), &planned.plan, Watched::Yes);
        let finished = job::rerun_after_loss(services, run).await?;
        let mut found = RoaringTreemap::new();
        for partition in finished.partitions {
            found |= union_of(&services.cluster.fetch_all(partition).await?)?;
        }
        Ok((found, Some(finished.id)))
    }

    /// Stores the new values of an `UPDATE`, and what is left of worn shards.
    async fn store(
        &self,
        dml: &DmlStatement,
        found: &RoaringTreemap,
        worn: &[TableShard],
    ) -> Result<Option<StoredShards>, Error> {
        let mut rows = Vec::new();
        if dml.op == WriteOp::Update {
            rows.push(self.new_values(dml, found).await?);
        }
        if !worn.is_empty() {
            let worn = self.source(worn.to_vec()).await?;
            rows.push(
                LogicalPlanBuilder::scan(self.target.name.as_str(), worn, None)
                    .map_err(Error::from_datafusion)?,
            );
        }
        let mut rows = rows.into_iter();
        let Some(first) = rows.next() else {
            return Ok(None);
        };
        let plan = rows
            .try_fold(first, |all, more| all.union(more.build()?))
            .and_then(LogicalPlanBuilder::build)
            .map_err(Error::from_datafusion)?;
        let schema = decode_schema(&self.target.table.arrow_schema).map_err(Error::from_datafusion)?;
        let options = TableOptions::of(&self.target.table.settings);
        let storing = Storing::table(&self.target.name, &schema, &options);
        store(self.services, self.statement, self.state, plan, &storing)
            .await
            .map(Some)
    }

    /// The new values of the rows that were found.
    async fn new_values(
        &self,
        dml: &DmlStatement,
        found: &RoaringTreemap,
    ) -> Result<LogicalPlanBuilder, Error> {
        let (values, condition) = projection(&dml.input)?;
        let source = self.source(only(&self.target.table, found)?).await?;
        LogicalPlanBuilder::from(over(unfiltered(condition), source)?)
            .project(values.to_vec())
            .map_err(Error::from_datafusion)
    }

    /// Some shards of the table.
    async fn source(&self, shards: Vec<TableShard>) -> Result<Arc<dyn TableSource>, Error> {
        let part = Stored {
            shards,
            ..self.target.table.clone()
        };
        let rows = self.catalog.open_rows(&self.target.key(), &part).await;
        Ok(provider_as_source(Arc::new(
            rows.map_err(Error::from_datafusion)?,
        )))
    }
}

/// The query for the rows that a statement changes or deletes.
pub(super) async fn search(
    catalog: &Arc<StatementCatalog>,
    dml: &DmlStatement,
    target: &Target,
) -> Result<LogicalPlan, Error> {
    let condition = match &dml.op {
        WriteOp::Update => projection(&dml.input)?.1,
        _ => dml.input.as_ref(),
    };
    let rows = catalog.open_rows(&target.key(), &target.table).await;
    let rows = rows.map_err(Error::from_datafusion)?;
    if rows.schema().index_of(ROW_NUMBER).is_ok() {
        return Err(Error::user(
            Code::NOT_SUPPORTED,
            format!("rows of a table with a column '{ROW_NUMBER}' cannot be changed or deleted"),
        )
        .with_hint("give the column another name with ALTER TABLE ... RENAME COLUMN"));
    }
    let rows = rows.numbered();
    let number = Expr::Column(Column::from_name(ROW_NUMBER));
    LogicalPlanBuilder::from(over(condition, provider_as_source(Arc::new(rows)))?)
        .aggregate(Vec::<Expr>::new(), vec![row_set().call(vec![number])])
        .and_then(LogicalPlanBuilder::build)
        .map_err(Error::from_datafusion)
}

fn union_of(answers: &[RecordBatch]) -> Result<RoaringTreemap, Error> {
    let mut all = RoaringTreemap::new();
    for answer in answers {
        all |= read_row_set(answer).map_err(Error::from_datafusion)?;
    }
    Ok(all)
}

/// What becomes of the shards in which rows were found.
#[derive(Debug, Default)]
struct Touched {
    /// Those that stay.
    deleted: Vec<DeletedRows>,
    /// Those that go, as they were read.
    gone: Vec<TableShard>,
    /// Those of them that are written anew, with the rows that are left.
    worn: Vec<TableShard>,
}

impl Touched {
    fn new(table: &Stored, found: &RoaringTreemap) -> Result<Self, Error> {
        let mut touched = Self::default();
        for (place, rows) in found.bitmaps() {
            let shard = shard_at(table, place)?;
            let before = Deleted::from_bytes(&shard.deleted)?;
            let after = with_deleted(shard, &before.and(rows));
            if after.live_rows() > 0 && !is_worn(&after) {
                touched.deleted.push(DeletedRows {
                    shard: after.shard,
                    deleted: after.deleted,
                    deleted_rows: after.deleted_rows,
                    deleted_when_read: shard.deleted_rows,
                });
                continue;
            }
            touched.gone.push(shard.clone());
            if after.live_rows() > 0 {
                touched.worn.push(after);
            }
        }
        Ok(touched)
    }
}

/// The shards in which rows were found, with no others than these.
fn only(table: &Stored, found: &RoaringTreemap) -> Result<Vec<TableShard>, Error> {
    let only_these = |(place, rows)| {
        let shard = shard_at(table, place)?;
        Ok(with_deleted(shard, &Deleted::all_but(rows, shard.rows)))
    };
    found.bitmaps().map(only_these).collect()
}

fn shard_at(table: &Stored, place: u32) -> Result<&TableShard, Error> {
    let shard = table.shards.get(place as usize);
    shard.ok_or_else(|| Error::bug("rows were found in a shard that is not there"))
}

fn with_deleted(shard: &TableShard, deleted: &Deleted) -> TableShard {
    TableShard {
        deleted: deleted.to_bytes(),
        deleted_rows: deleted.rows(),
        ..shard.clone()
    }
}

fn is_worn(shard: &TableShard) -> bool {
    shard.deleted_rows > shard.rows / WORN_SHARE || shard.deleted.len() > DELETED_BYTES_MAX
}

fn projection(plan: &LogicalPlan) -> Result<(&[Expr], &LogicalPlan), Error> {
    match plan {
        LogicalPlan::Projection(Projection { expr, input, .. }) => Ok((expr, input)),
        other => Err(Error::bug(format!("an UPDATE of the form {}", other.display()))),
    }
}

fn unfiltered(plan: &LogicalPlan) -> &LogicalPlan {
    match plan {
        LogicalPlan::Filter(filter) => &filter.input,
        other => other,
    }
}

/// A filter, or a table, over other rows of the table.
fn over(plan: &LogicalPlan, rows: Arc<dyn TableSource>) -> Result<LogicalPlan, Error> {
    let built = match plan {
        LogicalPlan::TableScan(scan) => LogicalPlanBuilder::scan(scan.table_name.clone(), rows, None),
        LogicalPlan::SubqueryAlias(alias) if matches!(*alias.input, LogicalPlan::TableScan(_)) => {
            LogicalPlanBuilder::from(over(&alias.input, rows)?).alias(alias.alias.clone())
        }
        LogicalPlan::Filter(filter) if !matches!(*filter.input, LogicalPlan::Filter(_)) => {
            LogicalPlanBuilder::from(over(&filter.input, rows)?).filter(filter.predicate.clone())
        }
        _ => {
            return Err(Error::user(
                Code::NOT_SUPPORTED,
                "UPDATE ... FROM and DELETE ... LIMIT are not supported on a table in memory",
            )
            .with_hint("say which rows with a condition, such as WHERE id IN (SELECT ...)"));
        }
    };
    built
        .and_then(LogicalPlanBuilder::build)
        .map_err(Error::from_datafusion)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(name: &str, rows: u64, deleted: impl IntoIterator<Item = u32>) -> TableShard {
        let shard = TableShard {
            shard: name.to_string(),
            rows,
            ..Default::default()
        };
        with_deleted(&shard, &Deleted::new(deleted.into_iter().collect()))
    }

    #[test]
    fn a_shard_stays_or_goes_or_is_written_anew() {
        let table = Stored {
            shards: vec![
                shard("stays", 100, [1, 2]),
                shard("untouched", 10, []),
                shard("goes", 3, [0]),
                shard("worn", 8, [0, 1]),
            ],
            ..Default::default()
        };
        let row = |place: u64, row: u64| (place << 32) + row;
        let found = [row(0, 50), row(0, 51), row(2, 1), row(2, 2), row(3, 7)];
        let found = found.into_iter().collect();
        let touched = Touched::new(&table, &found).unwrap();
        let [stays] = touched.deleted.as_slice() else {
            panic!("one stays");
        };
        assert_eq!(
            (stays.shard.as_str(), stays.deleted_rows, stays.deleted_when_read),
            ("stays", 4, 2)
        );
        let names = |shards: &[TableShard]| -> Vec<(String, u64)> {
            shards
                .iter()
                .map(|shard| (shard.shard.clone(), shard.live_rows()))
                .collect()
        };
        assert_eq!(names(&touched.gone), [("goes".into(), 2), ("worn".into(), 6)]);
        assert_eq!(names(&touched.worn), [("worn".into(), 5)]);
        let expected = [("stays".into(), 2), ("goes".into(), 2), ("worn".into(), 1)];
        assert_eq!(names(&only(&table, &found).unwrap()), expected);
    }

    #[test]
    fn many_scattered_rows_wear_a_shard_and_many_in_a_row_do_not() {
        let scattered = shard("s", 10_000_000, (0..1_000_000).map(|row| row * 10));
        let in_a_row = shard("s", 10_000_000, 0..1_000_000);
        assert!(is_worn(&scattered));
        assert!(!is_worn(&in_a_row));
    }
}
