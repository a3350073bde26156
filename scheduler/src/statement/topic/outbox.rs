//! Rows that are sent exactly once: first into an outbox, then each shard of it in one transaction.
//!
//! ```text
//! query ─► messages ─► shards, and their snapshots ─► one commit: table `__outbox_...`    before it nothing has happened
//!                                                                │
//!            shard ─► transaction `millpond.<outbox>.<shard>` ─► topic                    as often as it must be tried
//!                                                                │
//!                              all shards sent ─► DropRelation                            the statement ends
//! ```
//!
//! From the commit on the rows will be sent, whatever becomes of the statement, for some may have been sent already: what it
//! leaves, [`super::unsent`] sends, in the next scheduler too. The shards of an outbox stay as they are, so that a
//! transaction has the same rows whenever it is tried; the catalog refuses other changes of such a table.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::datasource::provider_as_source;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{DmlStatement, LogicalPlan, LogicalPlanBuilder};
use millpond_engine::clock::now_ms;
use millpond_engine::error::{Class, Code, Error};
use millpond_engine::schema::encode_schema;
use millpond_engine::session::{CATALOG, DEFAULT_SCHEMA};
use millpond_engine::topics::messages_schema;
use millpond_proto::catalog::{
    Change, ChangeKind, KafkaTable, MemoryTable, Outbox, Relation, RelationKind, RelationRef, TableShard,
};
use millpond_proto::plan::TopicSink;

use super::super::frontend::Services;
use super::super::memory::{self, Storing};
use super::super::registry::Statement;
use super::super::write::Written;
use super::super::{job, run};
use super::{plan, sent_by, sink_over};
use crate::catalog::{RelationKey, SessionFactory, StatementCatalog, TableOptions};

/// Start of the names of such tables.
const PREFIX: &str = "__outbox_";
/// Holders of each shard, if there is no state store to have it again from.
const REPLICAS: &str = "2";

/// Sends the rows of an `INSERT`, and answers how many.
///
/// # Errors
/// What the query says, or brokers about its messages: what was not sent yet is given up then. [`Code::NOT_ALL_SENT`] if it is
/// sent later.
pub(super) async fn insert(
    services: &Services,
    statement: &Arc<Statement>,
    state: &SessionState,
    dml: &DmlStatement,
    table: &KafkaTable,
) -> Result<Written, Error> {
    let target = dml.table_name.clone().resolve(CATALOG, DEFAULT_SCHEMA);
    let id = uuid::Uuid::new_v4().simple().to_string();
    let key = (
        target.schema.to_string(),
        format!("{PREFIX}{}_{}", target.table, &id[..8]),
    );
    let claim = services.outboxes.claim(&id);
    let settings = settings(services);
    let (schema, options) = (messages_schema(), TableOptions::of(&settings));
    let storing = Storing::table(&key.1, &schema, &options);
    let stored = memory::store(services, statement, state, plan(dml, table)?, &storing).await?;
    if stored.shards.is_empty() {
        statement.update(|status| status.affected_rows = Some(0));
        return Ok(Written {
            rows: 0,
            job: stored.job,
        });
    }
    let outbox = MemoryTable {
        table_id: id,
        arrow_schema: encode_schema(&schema).map_err(Error::from_datafusion)?,
        version: 1,
        shards: stored.shards,
        definition: statement.sql.clone(),
        settings,
        lineage: None,
        outbox: Some(Outbox {
            table: format!("{}.{}", target.schema, target.table),
            brokers: table.brokers.clone(),
            topic: table.topic.clone(),
            settings: table.settings.clone(),
        }),
    };
    let relation = Relation {
        schema: key.0.clone(),
        name: key.1.clone(),
        created_at_ms: now_ms(),
        owner: statement.session.principal.clone(),
        kind: Some(RelationKind::Memory(outbox)),
        cache: None,
    };
    let change = Change {
        kind: Some(ChangeKind::CreateRelation(relation)),
    };
    services.catalog.commit(vec![change]).await?;
    drop(stored.write);
    let written = Box::pin(send(services, statement, &key)).await;
    drop(claim);
    written
}

/// How an outbox is kept: in the state store if there is one.
fn settings(services: &Services) -> HashMap<String, String> {
    match services.shards.snapshot_url().is_empty() {
        true => HashMap::from([("replicas".to_string(), REPLICAS.to_string())]),
        false => HashMap::new(),
    }
}

/// The plan that fills the outbox, as `EXPLAIN` shows it.
///
/// # Errors
/// What cannot be sent.
pub(super) fn explained(dml: &DmlStatement, table: &KafkaTable) -> Result<LogicalPlan, Error> {
    let (schema, options) = (
        messages_schema(),
        TableOptions::of(&HashMap::<String, String>::new()),
    );
    let name = format!("{PREFIX}{}", dml.table_name.table());
    Storing::table(&name, &schema, &options).plan(Arc::new(plan(dml, table)?), "", "")
}

/// Sends what is in an outbox, and drops it.
///
/// # Errors
/// As for [`insert`].
pub(in super::super) async fn send(
    services: &Services,
    statement: &Arc<Statement>,
    key: &RelationKey,
) -> Result<Written, Error> {
    let attempt = || attempt(services, statement, key);
    let sent = run::until_whole(services, || job::rerun_after_loss(services, attempt)).await;
    let written = match sent {
        Ok(written) => written,
        Err(error) if is_final(&error) => {
            tracing::error!(outbox = key.1, %error, "rows that were inserted are given up");
            remove(services, key).await;
            return Err(given_up(error));
        }
        Err(error) => return Err(not_all_sent(&error, key)),
    };
    remove(services, key).await;
    statement.update(|status| status.affected_rows = Some(written.rows));
    Ok(written)
}

/// Sends every shard that is not sent yet.
async fn attempt(
    services: &Services,
    statement: &Arc<Statement>,
    key: &RelationKey,
) -> Result<Written, Error> {
    let catalog = run::statement_catalog(services, statement).await;
    let (table, outbox) = find(&catalog, key)?;
    let provider = catalog.open_rows(key, table).await;
    let provider = provider_as_source(Arc::new(provider.map_err(Error::from_datafusion)?));
    let scan = LogicalPlanBuilder::scan(key.1.as_str(), provider, None)
        .and_then(LogicalPlanBuilder::build)
        .map_err(Error::from_datafusion)?;
    let sink = TopicSink {
        brokers: outbox.brokers.clone(),
        topic: outbox.topic.clone(),
        settings: outbox.settings.clone(),
        transaction: format!("millpond.{}", table.table_id),
        ..TopicSink::default()
    };
    let plan = sink_over(Arc::new(scan), sink)?;
    let mut state = catalog.session_state().map_err(Error::from_datafusion)?;
    // A scan for fewer tasks than there are shards does not cut any of them into parts.
    state.config_mut().options_mut().execution.target_partitions = 1;
    let written = sent_by(services, statement, SessionFactory::of_job(&state), &plan).await?;
    match rows_of(&table.shards) == written.rows {
        true => Ok(written),
        false => Err(Error::bug(format!(
            "{} rows of {} were sent",
            written.rows,
            rows_of(&table.shards)
        ))),
    }
}

fn find<'a>(
    catalog: &'a StatementCatalog,
    key: &RelationKey,
) -> Result<(&'a MemoryTable, &'a Outbox), Error> {
    let kind = catalog
        .version()
        .relations
        .get(key)
        .map(|relation| &relation.kind);
    let found = match kind {
        Some(Some(RelationKind::Memory(table))) => table.outbox.as_ref().map(|outbox| (table, outbox)),
        _ => None,
    };
    found.ok_or_else(|| {
        Error::user(
            Code::UNKNOWN_RELATION,
            format!(
                "the outbox {}.{} was dropped before all of it was sent",
                key.0, key.1
            ),
        )
    })
}

fn rows_of(shards: &[TableShard]) -> u64 {
    shards.iter().map(|shard| shard.rows).sum()
}

/// True if it would fail the same way whenever it is tried.
fn is_final(error: &Error) -> bool {
    error.class == Class::User || matches!(error.code, Code::TABLE_LOST | Code::TOPIC_UNKNOWN)
}

/// Drops an outbox. One that stays is sent again, of which nothing comes.
async fn remove(services: &Services, (schema, name): &RelationKey) {
    let dropped = ChangeKind::DropRelation(RelationRef {
        schema: schema.clone(),
        name: name.clone(),
    });
    match services
        .catalog
        .commit(vec![Change { kind: Some(dropped) }])
        .await
    {
        Err(error) if error.code() != Code::UNKNOWN_RELATION => {
            tracing::warn!(outbox = name, %error, "drop an outbox");
        }
        _ => {}
    }
}

fn given_up(error: Error) -> Error {
    let told =
        "rows of other parts of the statement may be in the topic already; those that are not are given up";
    let detail = match &error.detail {
        Some(detail) => format!("{detail}\n{told}"),
        None => told.to_string(),
    };
    error.with_detail(detail)
}

fn not_all_sent(error: &Error, (schema, name): &RelationKey) -> Error {
    Error::external(Code::NOT_ALL_SENT, "the rows of the statement are not all sent yet")
        .with_detail(error.user_text())
        .with_hint(format!(
            "do not run it again: the scheduler goes on until all are sent; DROP TABLE {schema}.\"{name}\" gives up what is left"
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_get_better_is_given_up() {
        for (error, expect) in [
            (Error::user(Code::INVALID_VALUE, "too large"), true),
            (Error::external(Code::TOPIC_UNKNOWN, "no topic"), true),
            (Error::new(Code::TABLE_LOST, "lost"), true),
            (Error::external(Code::BROKERS_SILENT, "silent"), false),
            (Error::new(Code::EXECUTOR_LOST, "lost"), false),
            (Error::new(Code::SHARD_MOVED, "moved"), false),
            (Error::bug("a bug"), false),
        ] {
            assert_eq!(is_final(&error), expect, "{error}");
        }
    }

    #[test]
    fn a_statement_that_is_sent_later_is_not_run_again() {
        let key = ("public".to_string(), "__outbox_t_1".to_string());
        let error = not_all_sent(&Error::new(Code::SHARD_MOVED, "moved"), &key);
        assert_eq!(error.code, Code::NOT_ALL_SENT);
        assert!(error.user_text().contains("do not run it again"));
    }
}
