//! `INSERT INTO` a table that follows a topic: rows go to the topic, at least once, or once through an [`outbox`].

mod outbox;
mod unsent;

use std::sync::Arc;

use datafusion::execution::SessionState;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{DmlStatement, Extension, LogicalPlan, WriteOp};
use datafusion::prelude::SessionContext;
use millpond_engine::encode::Encoder;
use millpond_engine::error::{Code, Error};
use millpond_engine::schema::decode_schema;
use millpond_engine::session::{CATALOG, DEFAULT_SCHEMA};
use millpond_engine::streams::{Delivery, StreamOptions};
use millpond_engine::topics::{TopicSinkNode, rows_sent};
use millpond_proto::catalog::{KafkaTable, RelationKind};
use millpond_proto::plan::TopicSink;

use super::frontend::Services;
use super::job::{self, Watched};
use super::registry::Statement;
use super::write::Written;
use crate::catalog::{SessionFactory, StatementCatalog};

pub(super) use self::outbox::send;
pub(crate) use self::unsent::Outboxes;
pub(super) use self::unsent::follow;

/// The table over a topic that a statement writes to, or `None` if it writes to something else.
pub(super) fn target(catalog: &StatementCatalog, dml: &DmlStatement) -> Option<KafkaTable> {
    let name = dml.table_name.clone().resolve(CATALOG, DEFAULT_SCHEMA);
    let key = (name.schema.to_string(), name.table.to_string());
    match &catalog.version().relations.get(&key)?.kind {
        Some(RelationKind::Kafka(table)) => Some(table.clone()),
        _ => None,
    }
}

/// Sends rows, and answers how many.
///
/// # Errors
/// What is not an `INSERT`, a format that is only read, and what brokers say.
pub(super) async fn insert(
    services: &Services,
    statement: &Arc<Statement>,
    state: &SessionState,
    dml: &DmlStatement,
    table: &KafkaTable,
) -> Result<Written, Error> {
    if delivery(table)? == Delivery::ExactlyOnce {
        return Box::pin(outbox::insert(services, statement, state, dml, table)).await;
    }
    let plan = plan(dml, table)?;
    let send = || async {
        let context = SessionFactory::of_job(state);
        sent_by(services, statement, context, &plan).await
    };
    let written = job::rerun_after_loss(services, send).await?;
    statement.update(|status| status.affected_rows = Some(written.rows));
    Ok(written)
}

/// Runs the plan of a sink, and counts what it says that it has sent.
async fn sent_by(
    services: &Services,
    statement: &Arc<Statement>,
    context: Arc<SessionContext>,
    plan: &LogicalPlan,
) -> Result<Written, Error> {
    let finished = job::run(services, statement, context, plan, Watched::Yes).await?;
    let mut rows = 0;
    for partition in finished.partitions {
        for batch in &services.cluster.fetch_all(partition).await? {
            rows += rows_sent(batch).map_err(Error::from_datafusion)?;
        }
    }
    Ok(Written {
        rows,
        job: finished.id,
    })
}

/// The plan of such a write: of exactly once, the one that fills the outbox.
///
/// # Errors
/// As for [`insert`].
pub(super) fn explained(dml: &DmlStatement, table: &KafkaTable) -> Result<LogicalPlan, Error> {
    match delivery(table)? {
        Delivery::AtLeastOnce => plan(dml, table),
        Delivery::ExactlyOnce => outbox::explained(dml, table),
    }
}

fn delivery(table: &KafkaTable) -> Result<Delivery, Error> {
    Ok(StreamOptions::parse(&table.settings)?.delivery)
}

/// The plan that sends, or makes the messages of an outbox.
///
/// # Errors
/// As for [`insert`].
fn plan(dml: &DmlStatement, table: &KafkaTable) -> Result<LogicalPlan, Error> {
    if dml.op != WriteOp::Insert(InsertOp::Append) {
        return Err(Error::user(
            Code::NOT_SUPPORTED,
            format!("{} follows a topic, and only messages change it", dml.table_name),
        )
        .with_hint("INSERT INTO sends messages to the topic; what changes or deletes rows comes from the source of the topic"));
    }
    let schema = decode_schema(&table.arrow_schema).map_err(Error::from_datafusion)?;
    let key: Vec<usize> = table.key.iter().map(|place| *place as usize).collect();
    Encoder::new(&table.settings, &schema, &key)?;
    let sink = TopicSink {
        brokers: table.brokers.clone(),
        topic: table.topic.clone(),
        arrow_schema: table.arrow_schema.clone(),
        key: table.key.clone(),
        settings: table.settings.clone(),
        makes_messages: delivery(table)? == Delivery::ExactlyOnce,
        transaction: String::new(),
    };
    sink_over(dml.input.clone(), sink)
}

fn sink_over(input: Arc<LogicalPlan>, sink: TopicSink) -> Result<LogicalPlan, Error> {
    let node = TopicSinkNode::try_new(input, Arc::new(sink)).map_err(Error::from_datafusion)?;
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}
