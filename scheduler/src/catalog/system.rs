//! The tables of the schema `system`: what the cluster is doing, as SQL.
//!
//! Each table is a list of columns and a function that makes its rows from live state when it is scanned.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BinaryArray, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray, UInt64Array,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::catalog::TableProvider;
use datafusion::error::Result;
use millpond_engine::shards::Stored;
use millpond_proto::catalog::{RelationKind, TableShard};
use millpond_proto::statement::LiveRead;

use super::cached::Caches;
use super::metadata::{MetadataTable, rows_fn};
use super::model_tables::{self, ModelErrors};
use super::stream_tables;
use crate::cluster::Cluster;
use crate::session::Sessions;
use crate::shards::{Shards, holders, rows_of};
use crate::state::CatalogState;
use crate::statement::Registry;
use crate::streams::Streams;
use crate::upkeep::Queue;

/// What the system tables read.
pub(crate) struct SystemTables {
    pub(crate) cluster: Cluster,
    pub(crate) shards: Shards,
    pub(crate) streams: Streams,
    pub(crate) caches: Arc<Caches>,
    pub(crate) upkeep: Arc<Queue>,
    pub(crate) model_errors: Arc<ModelErrors>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) statements: Arc<Registry>,
    /// Node settings: key, value (secrets hidden), description.
    pub(crate) node_settings: Vec<(String, String, String)>,
}

/// A cell that a row of a system table may hold.
pub(super) enum Cell {
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
    Number(Option<u64>),
    Real(Option<f64>),
    /// Milliseconds since the Unix epoch.
    Time(Option<u64>),
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<String>> for Cell {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<Option<f64>> for Cell {
    fn from(number: Option<f64>) -> Self {
        Self::Real(number)
    }
}

impl From<Option<u64>> for Cell {
    fn from(number: Option<u64>) -> Self {
        Self::Number(number)
    }
}

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    Bytes,
    Number,
    Real,
    Time,
}

pub(super) type Columns = &'static [(&'static str, Kind)];

const JOBS: Columns = &[
    ("job_id", Kind::Text),
    ("statement_id", Kind::Text),
    ("name", Kind::Text),
    ("verb", Kind::Text),
    ("state", Kind::Text),
    ("stages_done", Kind::Number),
    ("stages", Kind::Number),
    ("tasks_done", Kind::Number),
    ("tasks", Kind::Number),
    ("affected_rows", Kind::Number),
    ("submitted_at", Kind::Time),
    ("elapsed_ms", Kind::Number),
    ("principal", Kind::Text),
    ("session_id", Kind::Text),
    ("sql", Kind::Text),
    ("error", Kind::Text),
];
const STAGES: Columns = &[
    ("job_id", Kind::Text),
    ("stage_id", Kind::Number),
    ("state", Kind::Text),
    ("tasks_done", Kind::Number),
    ("tasks", Kind::Number),
    ("executors", Kind::Text),
    ("elapsed_ms", Kind::Number),
    ("output_rows", Kind::Number),
    ("spilled_bytes", Kind::Number),
    ("shards_local", Kind::Number),
    ("shards_remote", Kind::Number),
    ("shards_cached", Kind::Number),
    ("read_by", Kind::Text),
    ("plan", Kind::Text),
];
const EXECUTORS: Columns = &[
    ("executor_id", Kind::Text),
    ("host", Kind::Text),
    ("data_port", Kind::Number),
    ("grpc_port", Kind::Number),
    ("vcores", Kind::Number),
    ("state", Kind::Text),
    ("last_heartbeat", Kind::Time),
];
const TABLES: Columns = &[
    ("table_schema", Kind::Text),
    ("table_name", Kind::Text),
    ("kind", Kind::Text),
    ("format", Kind::Text),
    ("location", Kind::Text),
    ("owner", Kind::Text),
    ("created_at", Kind::Time),
    ("definition", Kind::Text),
    ("version", Kind::Number),
    ("rows", Kind::Number),
    ("bytes", Kind::Number),
    ("cache", Kind::Text),
    ("cached_at", Kind::Time),
    ("source_checked_at", Kind::Time),
];
const SHARDS: Columns = &[
    ("table_schema", Kind::Text),
    ("table_name", Kind::Text),
    ("version", Kind::Number),
    ("shard", Kind::Text),
    ("executor_id", Kind::Text),
    ("holder", Kind::Text),
    ("replica", Kind::Number),
    ("rows", Kind::Number),
    ("deleted_rows", Kind::Number),
    ("bytes", Kind::Number),
    ("memory_bytes", Kind::Number),
    ("disk_bytes", Kind::Number),
    ("hits", Kind::Number),
    ("snapshot", Kind::Text),
];
const SETTINGS: Columns = &[
    ("name", Kind::Text),
    ("value", Kind::Text),
    ("scope", Kind::Text),
    ("description", Kind::Text),
];
const SESSIONS: Columns = &[
    ("session_id", Kind::Text),
    ("principal", Kind::Text),
    ("created_at", Kind::Time),
    ("last_used_at", Kind::Time),
    ("statements", Kind::Number),
    ("read_positions", Kind::Text),
    ("read_age_ms", Kind::Number),
];

const PIPELINES: Columns = &[
    ("name", Kind::Text),
    ("version", Kind::Number),
    ("created_at", Kind::Time),
    ("source", Kind::Text),
    ("rows_in", Kind::Number),
    ("rows_out", Kind::Number),
    ("elapsed_ms", Kind::Number),
    ("transform", Kind::Text),
    ("fitted", Kind::Text),
    ("spec", Kind::Text),
];

/// A row for each version of each pipeline.
fn pipelines(version: &CatalogState) -> Vec<Vec<Cell>> {
    let mut rows = Vec::new();
    for pipeline in version.pipelines.values() {
        for version in &pipeline.versions {
            rows.push(vec![
                pipeline.name.clone().into(),
                version.version.into(),
                Cell::Time(Some(version.created_at_ms)),
                version.source.clone().into(),
                version.rows_in.into(),
                version.rows_out.into(),
                version.elapsed_ms.into(),
                version.transform.clone().into(),
                version.fitted.clone().into(),
                version.spec.clone().into(),
            ]);
        }
    }
    rows
}

impl SystemTables {
    /// Names of all system tables.
    pub(crate) fn names() -> Vec<String> {
        [
            "dead_letters",
            "executors",
            "jobs",
            "model_coefficients",
            "model_versions",
            "models",
            "pipelines",
            "sessions",
            "settings",
            "shards",
            "stages",
            "stream_partitions",
            "streams",
            "tables",
        ]
        .map(String::from)
        .to_vec()
    }

    /// The table of that name, over the catalog at `version`.
    pub(crate) fn table(
        self: &Arc<Self>,
        name: &str,
        version: Arc<CatalogState>,
    ) -> Option<Arc<dyn TableProvider>> {
        let columns = match name {
            "executors" => EXECUTORS,
            "jobs" => JOBS,
            "model_coefficients" => model_tables::COEFFICIENTS,
            "model_versions" => model_tables::VERSIONS,
            "models" => model_tables::MODELS,
            "pipelines" => PIPELINES,
            "sessions" => SESSIONS,
            "settings" => SETTINGS,
            "shards" => SHARDS,
            "stages" => STAGES,
            "streams" => stream_tables::STREAMS,
            "stream_partitions" => stream_tables::PARTITIONS,
            "dead_letters" => stream_tables::DEAD_LETTERS,
            "tables" => TABLES,
            _ => return None,
        };
        let (this, name) = (self.clone(), name.to_string());
        let rows = rows_fn(move |session| {
            let settings = session.config_options().entries();
            let (this, name, version) = (this.clone(), name.clone(), version.clone());
            Box::pin(async move {
                let rows = match name.as_str() {
                    "executors" => this.executors().await,
                    "jobs" => this.jobs(),
                    "model_coefficients" => model_tables::coefficients(&version),
                    "model_versions" => model_tables::versions(&version),
                    "models" => model_tables::models(&version, &this.model_errors),
                    "pipelines" => pipelines(&version),
                    "sessions" => this.sessions(),
                    "settings" => this.settings(settings),
                    "shards" => this.shards(&version).await,
                    "stages" => this.stages().await,
                    "streams" => stream_tables::streams(&this, &version).await,
                    "stream_partitions" => stream_tables::partitions(&this, &version).await,
                    "dead_letters" => stream_tables::dead_letters(&this, &version).await,
                    _ => this.tables(&version),
                };
                Ok(vec![batch_of(columns, rows)?])
            })
        });
        Some(Arc::new(MetadataTable::new(schema_of(columns), rows)))
    }

    async fn executors(&self) -> Vec<Vec<Cell>> {
        let executors = self.cluster.executors().await;
        executors
            .into_iter()
            .map(|executor| {
                let heartbeat = self
                    .cluster
                    .last_heartbeat_s(&executor.id)
                    .map(|seconds| seconds * 1000);
                let state = match self.cluster.is_draining(&executor.id) {
                    true => "draining",
                    false => "active",
                };
                vec![
                    executor.id.into(),
                    executor.host.into(),
                    u64::from(executor.port).into(),
                    u64::from(executor.grpc_port).into(),
                    u64::from(executor.specification.vcores).into(),
                    state.to_string().into(),
                    Cell::Time(heartbeat),
                ]
            })
            .collect()
    }

    /// Shards of the catalog, a row for each of their holders, with what these say of them; an executor that does not
    /// answer says nothing.
    async fn shards(&self, version: &CatalogState) -> Vec<Vec<Cell>> {
        let mut held: HashMap<(String, String), Stored> = HashMap::new();
        let mut executors: HashMap<String, String> = HashMap::new();
        for member in self.cluster.members().await {
            match self.shards.held_by(&member.address).await {
                Ok(stored) => {
                    let at = |stored: &Stored| (member.address.clone(), stored.id.to_string());
                    held.extend(stored.into_iter().map(|stored| (at(&stored), stored)));
                }
                Err(error) => tracing::debug!(holder = member.address, %error, "ask for shards"),
            }
            executors.insert(member.address, member.id);
        }
        let mut rows = Vec::new();
        for (relation, table) in version
            .relations
            .values()
            .filter_map(|relation| Some((relation, rows_of(relation)?)))
        {
            for shard in &table.shards {
                for (replica, holder) in holders(shard).enumerate() {
                    let stored = held.get(&(holder.clone(), shard.shard.clone()));
                    let number = |of: fn(&Stored) -> u64| Cell::Number(stored.map(of));
                    rows.push(vec![
                        relation.schema.clone().into(),
                        relation.name.clone().into(),
                        table.version.into(),
                        shard.shard.clone().into(),
                        executors.get(holder).cloned().into(),
                        holder.clone().into(),
                        (replica as u64).into(),
                        shard.live_rows().into(),
                        shard.deleted_rows.into(),
                        shard.bytes.into(),
                        number(|stored| {
                            if stored.disk_bytes > 0 {
                                0
                            } else {
                                stored.bytes as u64
                            }
                        }),
                        number(|stored| stored.disk_bytes as u64),
                        number(|stored| stored.hits),
                        Some(shard.snapshot.clone())
                            .filter(|path| !path.is_empty())
                            .into(),
                    ]);
                }
            }
        }
        rows
    }

    fn jobs(&self) -> Vec<Vec<Cell>> {
        self.statements
            .records()
            .into_iter()
            .map(|record| {
                let status = record.status;
                vec![
                    Some(status.job_id).filter(|id| !id.is_empty()).into(),
                    status.statement_id.into(),
                    Some(record.name).filter(|name| !name.is_empty()).into(),
                    status.verb.into(),
                    status.state.into(),
                    u64::from(status.stages_done).into(),
                    u64::from(status.stages_total).into(),
                    u64::from(status.tasks_done).into(),
                    u64::from(status.tasks_total).into(),
                    status.affected_rows.into(),
                    Cell::Time(Some(record.submitted_at_ms)),
                    record.elapsed_ms.into(),
                    record.principal.into(),
                    record.session_id.into(),
                    record.sql.into(),
                    record.error.into(),
                ]
            })
            .collect()
    }

    async fn stages(&self) -> Vec<Vec<Cell>> {
        let mut rows = Vec::new();
        for record in self.statements.records() {
            let job = record.status.job_id;
            if job.is_empty() {
                continue;
            }
            for stage in self.cluster.stages(&job.as_str().into()).await {
                let links: Vec<String> = stage.output_links.iter().map(ToString::to_string).collect();
                rows.push(vec![
                    job.clone().into(),
                    (stage.stage_id as u64).into(),
                    stage.state.into(),
                    (stage.tasks_done as u64).into(),
                    (stage.tasks_total as u64).into(),
                    stage.executors.join(" ").into(),
                    stage.elapsed_ms.into(),
                    stage.output_rows.into(),
                    stage.spilled_bytes.into(),
                    stage.shards.local.into(),
                    stage.shards.remote.into(),
                    stage.shards.cached.into(),
                    links.join(" ").into(),
                    stage.plan.into(),
                ]);
            }
        }
        rows
    }

    fn sessions(&self) -> Vec<Vec<Cell>> {
        self.sessions
            .all()
            .into_iter()
            .map(|session| {
                let reads = session.live_reads();
                vec![
                    session.id.clone().into(),
                    session.principal.clone().into(),
                    Cell::Time(Some(session.created_at_ms)),
                    Cell::Time(Some(session.last_used_ms())),
                    session.statements().into(),
                    positions_of(&reads).into(),
                    age_of(&reads).into(),
                ]
            })
            .collect()
    }

    fn settings(&self, session: Vec<datafusion::config::ConfigEntry>) -> Vec<Vec<Cell>> {
        let node = self.node_settings.iter().map(|(name, value, description)| {
            vec![
                name.clone().into(),
                value.clone().into(),
                "node".to_string().into(),
                description.clone().into(),
            ]
        });
        let session = session.into_iter().map(|entry| {
            vec![
                entry.key.into(),
                entry.value.into(),
                "session".to_string().into(),
                entry.description.to_string().into(),
            ]
        });
        node.chain(session).collect()
    }

    fn tables(&self, version: &CatalogState) -> Vec<Vec<Cell>> {
        let relations = version.relations.iter();
        relations
            .map(|(key, relation)| {
                let (kind, format, location, definition) = match &relation.kind {
                    Some(RelationKind::Files(files)) => (
                        "files",
                        Some(files.format.clone()),
                        Some(files.location.clone()),
                        Some(files.definition.clone()),
                    ),
                    Some(RelationKind::View(view)) => ("view", None, None, Some(view.definition.clone())),
                    Some(RelationKind::Memory(table)) => {
                        ("memory", None, None, Some(table.definition.clone()))
                    }
                    Some(RelationKind::Kafka(table)) => (
                        "kafka",
                        table.settings.get("format").cloned(),
                        Some(format!("kafka://{}/{}", table.brokers, table.topic)),
                        Some(table.definition.clone()),
                    ),
                    None => ("unknown", None, None, None),
                };
                let rows = rows_of(relation);
                let sum = |of: fn(&TableShard) -> u64| rows.map(|rows| rows.shards.iter().map(of).sum());
                let cache = relation.cache.as_ref();
                let state = cache.map(|cache| if cache.rows.is_some() { "filled" } else { "lazy" });
                let filled_at = cache
                    .filter(|cache| cache.rows.is_some())
                    .map(|cache| cache.filled_at_ms);
                vec![
                    relation.schema.clone().into(),
                    relation.name.clone().into(),
                    kind.to_string().into(),
                    format.into(),
                    location.into(),
                    relation.owner.clone().into(),
                    Cell::Time(Some(relation.created_at_ms)),
                    definition.into(),
                    Cell::Number(rows.map(|rows| rows.version)),
                    Cell::Number(sum(TableShard::live_rows)),
                    Cell::Number(sum(|shard| shard.bytes)),
                    Cell::Text(state.map(str::to_string)),
                    Cell::Time(filled_at),
                    Cell::Time(cache.and_then(|_| self.caches.looked_at_ms(key))),
                ]
            })
            .collect()
    }
}

fn schema_of(columns: Columns) -> Arc<Schema> {
    let fields = columns.iter().map(|(name, kind)| {
        let data_type = match kind {
            Kind::Text => DataType::Utf8,
            Kind::Bytes => DataType::Binary,
            Kind::Number => DataType::UInt64,
            Kind::Real => DataType::Float64,
            Kind::Time => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        };
        Field::new(*name, data_type, true)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn batch_of(columns: Columns, rows: Vec<Vec<Cell>>) -> Result<RecordBatch> {
    let count = rows.len();
    let mut cells: Vec<Vec<Cell>> = columns.iter().map(|_| Vec::with_capacity(count)).collect();
    for row in rows {
        debug_assert_eq!(row.len(), columns.len(), "a row has a cell for every column");
        for (column, cell) in cells.iter_mut().zip(row) {
            column.push(cell);
        }
    }
    let arrays = columns
        .iter()
        .zip(cells)
        .map(|((_, kind), cells)| array_of(*kind, cells))
        .collect();
    Ok(RecordBatch::try_new(schema_of(columns), arrays)?)
}

/// Positions as `WAIT FOR TABLE ... OFFSETS` takes them, each table with its name.
pub(super) fn positions_of(reads: &[LiveRead]) -> Option<String> {
    let tables = reads.iter().map(|read| {
        let positions = read.positions.iter();
        let positions = positions.map(|(number, position)| format!("{number}:{position}"));
        format!("{} {}", read.table, positions.collect::<Vec<_>>().join(","))
    });
    (!reads.is_empty()).then(|| tables.collect::<Vec<_>>().join("; "))
}

/// Milliseconds of the table that was most behind; none if not known of all.
fn age_of(reads: &[LiveRead]) -> Option<u64> {
    let ages: Option<Vec<u64>> = reads.iter().map(|read| read.age_ms).collect();
    ages.and_then(|ages| ages.into_iter().max())
}

fn array_of(kind: Kind, cells: Vec<Cell>) -> ArrayRef {
    match kind {
        Kind::Text => Arc::new(cells.into_iter().map(text_of).collect::<StringArray>()),
        Kind::Bytes => Arc::new(cells.into_iter().map(bytes_of).collect::<BinaryArray>()),
        Kind::Number => Arc::new(cells.into_iter().map(number_of).collect::<UInt64Array>()),
        Kind::Real => Arc::new(cells.into_iter().map(real_of).collect::<Float64Array>()),
        Kind::Time => {
            let times = cells
                .into_iter()
                .map(|cell| number_of(cell).map(|time| time as i64));
            Arc::new(times.collect::<TimestampMillisecondArray>().with_timezone("UTC"))
        }
    }
}

fn bytes_of(cell: Cell) -> Option<Vec<u8>> {
    match cell {
        Cell::Bytes(bytes) => bytes,
        _ => None,
    }
}

fn text_of(cell: Cell) -> Option<String> {
    match cell {
        Cell::Text(text) => text,
        Cell::Bytes(_) | Cell::Real(_) => None,
        Cell::Number(number) | Cell::Time(number) => number.map(|number| number.to_string()),
    }
}

fn number_of(cell: Cell) -> Option<u64> {
    match cell {
        Cell::Number(number) | Cell::Time(number) => number,
        Cell::Text(_) | Cell::Bytes(_) | Cell::Real(_) => None,
    }
}

fn real_of(cell: Cell) -> Option<f64> {
    match cell {
        Cell::Real(number) => number,
        _ => None,
    }
}
