//! `PAUSE TABLE`, `RESUME TABLE`, `ALTER TABLE ... SET OPTIONS`, `REFRESH TABLE`, `REPLAY DEAD LETTERS` and `WAIT FOR
//! TABLE`: statements about tables that follow topics.

mod replay;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use datafusion::common::TableReference;
use millpond_engine::config::parse_duration;
use millpond_engine::error::{Code, Error};
use millpond_engine::streams::{Delivery, StreamOptions, offsets_of};
use millpond_proto::catalog::{
    AlterTopic, Change, ChangeKind, KafkaTable, PauseTable, Relation, RelationKind, RestartTopic, TopicBefore,
};

use super::cache::{find, key_of};
use super::frontend::Services;
use super::registry::Statement;
use super::result::ResultSet;
use super::syntax::StreamStatement;
use crate::catalog::{DESCRIPTOR, RelationKey, StatementCatalog, ddl, descriptor, topic_partitions};

/// How long to wait for offsets, if nothing is said.
const WAIT_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for executors to do as a statement says: one that does not answer does so when it does.
const HEED_TIMEOUT: Duration = Duration::from_secs(10);
/// How often to look how far a table is.
const WAIT_INTERVAL: Duration = Duration::from_millis(20);

/// Options that decide about rows that are there already. Those of the format are for messages from then on.
const FIXED_OPTIONS: &[&str] = &["event_time", "format", "metadata", "version_column"];
/// They have said where the table begins.
const STARTUP_OPTIONS: &str = "scan.startup";

/// Runs a statement about a table that follows a topic.
pub(super) async fn run(
    services: &Services,
    statement: &Statement,
    catalog: &StatementCatalog,
    command: StreamStatement,
) -> Result<ResultSet, Error> {
    statement.start_running();
    match command {
        StreamStatement::Pause(name) => pause(services, catalog, &name, true).await?,
        StreamStatement::Resume(name) => pause(services, catalog, &name, false).await?,
        StreamStatement::SetOptions(name, options) => set_options(services, catalog, &name, options).await?,
        StreamStatement::Replay { name, condition } => {
            return replay::run(services, catalog, &name, condition.as_deref()).await;
        }
        StreamStatement::Wait {
            name,
            offsets,
            timeout,
        } => {
            let (_, table) = followed(catalog, &name)?;
            let offsets = match offsets {
                Some(offsets) => offsets_of(&offsets)?,
                None => services.streams.ends(&table, &name.to_string()).await?,
            };
            let timeout = timeout
                .as_deref()
                .map(duration)
                .transpose()?
                .unwrap_or(WAIT_TIMEOUT);
            wait(services, catalog, &name, &table, &offsets, timeout).await?;
        }
    }
    Ok(ResultSet::nothing())
}

/// The table of that name, which follows a topic.
fn followed(catalog: &StatementCatalog, name: &TableReference) -> Result<(Relation, KafkaTable), Error> {
    let relation = find(catalog, &key_of(name, &catalog.default_schema())?)?;
    match &relation.kind {
        Some(RelationKind::Kafka(table)) => Ok((relation.as_ref().clone(), table.clone())),
        _ => Err(
            Error::user(Code::INVALID_STATEMENT, format!("{name} does not follow a topic"))
                .with_hint("this is for tables made with STORED AS KAFKA"),
        ),
    }
}

/// Stops following a topic, or goes on. Nothing is read any more when a pause has ended.
async fn pause(
    services: &Services,
    catalog: &StatementCatalog,
    name: &TableReference,
    paused: bool,
) -> Result<(), Error> {
    let (relation, table) = followed(catalog, name)?;
    if table.paused == paused {
        return Ok(());
    }
    let key = (relation.schema.clone(), relation.name.clone());
    let pause = ChangeKind::PauseTable(PauseTable {
        schema: relation.schema,
        name: relation.name,
        table_id: table.table_id,
        paused,
    });
    let version = services
        .catalog
        .commit(vec![Change { kind: Some(pause) }])
        .await?;
    services.streams.look_now();
    if paused {
        let is_done = |table: &KafkaTable| !table.paused || !services.streams.reads_on(table, version);
        heeded(services, &key, is_done).await;
    }
    Ok(())
}

/// Waits until the owners of a table, as they say now, do what a statement wants.
async fn heeded(services: &Services, key: &RelationKey, is_done: impl Fn(&KafkaTable) -> bool) {
    let deadline = Instant::now() + HEED_TIMEOUT;
    while let Some(table) = newest(services, key) {
        services.streams.refresh_table(&table).await;
        if is_done(&table) || Instant::now() >= deadline {
            return;
        }
        tokio::time::sleep(WAIT_INTERVAL).await;
    }
}

/// The table of that name as it is now, after the statement has begun: others may own it.
fn newest(services: &Services, key: &RelationKey) -> Option<KafkaTable> {
    match &services.catalog.current().relations.get(key)?.kind {
        Some(RelationKind::Kafka(table)) => Some(table.clone()),
        _ => None,
    }
}

/// Follows a topic with other options from now on. What decides about rows that are there already cannot change.
async fn set_options(
    services: &Services,
    catalog: &StatementCatalog,
    name: &TableReference,
    options: Vec<(String, String)>,
) -> Result<(), Error> {
    let (relation, mut table) = followed(catalog, name)?;
    let before = StreamOptions::parse(&table.settings)?.delivery;
    let fixed = |key: &str| FIXED_OPTIONS.contains(&key) || key.starts_with(STARTUP_OPTIONS);
    for (key, value) in options {
        if ddl::carries_secret(&key) {
            return Err(ddl::secret_refused(&key));
        }
        if fixed(&key) && table.settings.get(&key) != Some(&value) {
            return Err(Error::user(
                Code::NOT_SUPPORTED,
                format!("option '{key}' cannot change, for it decides what the rows are"),
            )
            .with_hint("create another table with it"));
        }
        let value = match key == DESCRIPTOR {
            true => descriptor(&value, &services.local_paths).await?,
            false => value,
        };
        table.settings.insert(key, value);
    }
    // An executor reads all of them, and asks the brokers with them.
    services.streams.ends(&table, &name.to_string()).await?;
    let now = StreamOptions::parse(&table.settings)?.delivery;
    if now == Delivery::ExactlyOnce && now != before {
        services
            .streams
            .check_transactions(&table, &name.to_string())
            .await?;
    }
    alter(services, relation, table, None).await
}

/// Begins anew, where the options say.
pub(super) async fn refresh(services: &Services, relation: Relation, table: KafkaTable) -> Result<(), Error> {
    let name = format!("{}.{}", relation.schema, relation.name);
    let topic = services.streams.describe(&table, &name).await?;
    let restart = RestartTopic {
        table_id: uuid::Uuid::new_v4().simple().to_string(),
        partitions: topic_partitions(topic.starts),
    };
    alter(services, relation, table, Some(restart)).await
}

/// Has a table in the catalog with other options and columns, and begins anew if that is asked for. What is read when it
/// returns is read as they say.
///
/// # Errors
/// The table is gone; [`Code::STATE_CONFLICT`] if another statement has altered it since `relation` was looked at.
pub(super) async fn alter(
    services: &Services,
    relation: Relation,
    table: KafkaTable,
    restart: Option<RestartTopic>,
) -> Result<(), Error> {
    let before = match relation.kind {
        Some(RelationKind::Kafka(before)) => Some(TopicBefore {
            settings: before.settings,
            arrow_schema: before.arrow_schema,
        }),
        _ => None,
    };
    let follows_on = restart.is_none();
    let is_as_before = before
        .as_ref()
        .is_some_and(|before| before.settings == table.settings && before.arrow_schema == table.arrow_schema);
    let key = (relation.schema, relation.name);
    let altered = ChangeKind::AlterTopic(AlterTopic {
        schema: key.0.clone(),
        name: key.1.clone(),
        table_id: table.table_id,
        settings: table.settings,
        restart,
        arrow_schema: table.arrow_schema,
        before,
    });
    let change = Change { kind: Some(altered) };
    let version = services.catalog.commit(vec![change]).await?;
    services.streams.look_now();
    if follows_on && !is_as_before {
        heeded(services, &key, |table| {
            services.streams.follows_as(table, version)
        })
        .await;
    }
    Ok(())
}

async fn wait(
    services: &Services,
    catalog: &StatementCatalog,
    name: &TableReference,
    table: &KafkaTable,
    offsets: &HashMap<u32, u64>,
    timeout: Duration,
) -> Result<(), Error> {
    if let Some(number) = offsets
        .keys()
        .find(|number| **number as usize >= table.partitions.len())
    {
        return Err(Error::user(
            Code::INVALID_VALUE,
            format!(
                "{name} has {} topic partitions, and {number} is none of them",
                table.partitions.len()
            ),
        ));
    }
    let deadline = Instant::now() + timeout;
    loop {
        let Some(behind) = behind(services, catalog, name, table, offsets).await else {
            return Ok(());
        };
        if Instant::now() >= deadline {
            return Err(Error::new(
                Code::POSITION_NOT_REACHED,
                format!("{name} has not reached the offsets after {timeout:?}"),
            )
            .with_detail(behind)
            .with_hint("look at system.stream_partitions, or wait longer with TIMEOUT"));
        }
        tokio::time::sleep(WAIT_INTERVAL).await;
    }
}

/// The first topic partition that is not far enough, in words.
async fn behind(
    services: &Services,
    catalog: &StatementCatalog,
    name: &TableReference,
    table: &KafkaTable,
    offsets: &HashMap<u32, u64>,
) -> Option<String> {
    let key = key_of(name, &catalog.default_schema()).ok();
    let newest = key.and_then(|key| newest(services, &key));
    let table = newest.unwrap_or_else(|| table.clone());
    services.streams.refresh_table(&table).await;
    table.partitions.iter().find_map(|partition| {
        let wanted = offsets.get(&partition.number)?;
        let owner = partition.owner.as_ref();
        let status = owner.and_then(|owner| {
            services
                .streams
                .status_of(&table.table_id, partition.number, owner)
        });
        let position = status.as_ref().map_or(0, |status| status.position);
        let state = status.map_or_else(
            || "starting".to_string(),
            |status| format!("{} {}", status.state, status.reason),
        );
        let number = partition.number;
        (position < *wanted).then(|| {
            format!(
                "topic partition {number} is at offset {position} of {wanted}: {}",
                state.trim()
            )
        })
    })
}

fn duration(text: &str) -> Result<Duration, Error> {
    parse_duration(text).ok_or_else(|| {
        Error::user(Code::INVALID_VALUE, format!("'{text}' is no time"))
            .with_hint("write a number with its unit, such as 500ms, 5s or 2m")
    })
}
