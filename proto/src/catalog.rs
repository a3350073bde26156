//! The catalog as it is stored: a log of changes and a snapshot that stands for its beginning.
//!
//! The log is a folder of the state store with one object per version. Fields may be added, never renumbered.
//!
//! Every stored message begins with its format number in field 1 and ends with field [`CHECKSUM_FIELD`], the SHA-256
//! of all bytes before it. These two hold for every format, so that any version can tell damage from novelty.

mod shards;
mod topics;

use prost::{Message, Oneof};

pub use shards::{CommitShards, DeleteRows, DeletedRows, PlaceShards, ShardPlaces, TableShard};
pub use topics::{Outbox, TopicBefore};

/// Format number written into every stored object. A reader refuses a number above its own.
pub const FORMAT: u32 = 1;

/// Number of the field that ends every stored message: 32 bytes, the SHA-256 of everything before the field.
pub const CHECKSUM_FIELD: u32 = 15;

/// One version of the catalog: what one writer changed in one atomic step.
#[derive(Clone, PartialEq, Message)]
pub struct Entry {
    /// [`FORMAT`] of the writer.
    #[prost(uint32, tag = "1")]
    pub format: u32,
    /// Scheduler process that wrote the entry.
    #[prost(string, tag = "2")]
    pub writer_id: String,
    /// Random per put, so that a writer recognises its own entry after an ambiguous answer.
    #[prost(string, tag = "3")]
    pub nonce: String,
    /// Milliseconds since the Unix epoch.
    #[prost(uint64, tag = "4")]
    pub written_at_ms: u64,
    /// Changes in order. An entry without changes is a lease: it says that `writer_id` serves from here on.
    #[prost(message, repeated, tag = "5")]
    pub changes: Vec<Change>,
    /// Version of Millpond that wrote the entry.
    #[prost(string, tag = "6")]
    pub written_by: String,
}

/// One change of the catalog.
#[derive(Clone, PartialEq, Message)]
pub struct Change {
    /// What changes. Empty means: written by a newer version, refuse.
    #[prost(
        oneof = "ChangeKind",
        tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21"
    )]
    pub kind: Option<ChangeKind>,
}

/// The kinds of change.
#[derive(Clone, PartialEq, Oneof)]
pub enum ChangeKind {
    /// A schema appears.
    #[prost(message, tag = "1")]
    CreateSchema(SchemaRef),
    /// A schema goes, with everything in it.
    #[prost(message, tag = "2")]
    DropSchema(SchemaRef),
    /// A table or view appears, or takes the place of one with the same name.
    #[prost(message, tag = "3")]
    PutRelation(Relation),
    /// A table or view goes.
    #[prost(message, tag = "4")]
    DropRelation(RelationRef),
    /// A table or view appears; refused if its name is taken.
    #[prost(message, tag = "5")]
    CreateRelation(Relation),
    /// A schema goes; refused if anything is in it.
    #[prost(message, tag = "6")]
    DropEmptySchema(SchemaRef),
    /// Rows are added to a table in memory, or taken away.
    #[prost(message, tag = "7")]
    CommitShards(CommitShards),
    /// Rows of a table or view are kept in memory, or are not any more.
    #[prost(message, tag = "8")]
    SetCache(SetCache),
    /// Shards are at other places than before; the rows are the same.
    #[prost(message, tag = "9")]
    PlaceShards(PlaceShards),
    /// A table in memory has other columns, and its rows are stored anew.
    #[prost(message, tag = "10")]
    AlterColumns(AlterColumns),
    /// A table or view has another name.
    #[prost(message, tag = "11")]
    RenameRelation(RenameRelation),
    /// Topic partitions of a table are followed by other executors than before.
    #[prost(message, tag = "12")]
    PlacePartitions(PlacePartitions),
    /// A table stops following its topic, or goes on.
    #[prost(message, tag = "13")]
    PauseTable(PauseTable),
    /// A table follows its topic in another way from now on.
    #[prost(message, tag = "14")]
    AlterTopic(AlterTopic),
    /// A pipeline was run, and what it has learned is its newest version.
    #[prost(message, tag = "15")]
    AddPipeline(AddPipeline),
    /// A pipeline goes, with all versions.
    #[prost(message, tag = "16")]
    DropPipeline(DropPipeline),
    /// A model that was not there, or takes the place of another with all its versions.
    #[prost(message, tag = "17")]
    PutModel(Model),
    /// A model was trained again.
    #[prost(message, tag = "18")]
    AddModelVersion(AddModelVersion),
    /// Another version of a model answers.
    #[prost(message, tag = "19")]
    ServeModel(ServeModel),
    /// A model goes, with all versions.
    #[prost(message, tag = "20")]
    DropModel(DropModel),
    /// Rows of a table in memory are deleted.
    #[prost(message, tag = "21")]
    DeleteRows(DeleteRows),
}

/// What a pipeline has learned in one run. Names of pipelines are apart from those of tables.
#[derive(Clone, PartialEq, Message)]
pub struct PipelineVersion {
    /// From 1.
    #[prost(uint64, tag = "1")]
    pub version: u64,
    /// The pipeline as it was written: YAML.
    #[prost(string, tag = "2")]
    pub spec: String,
    /// What was learned, as JSON.
    #[prost(string, tag = "3")]
    pub fitted: String,
    /// What it was learned from: a table, a query or a file.
    #[prost(string, tag = "4")]
    pub source: String,
    /// Rows of the source.
    #[prost(uint64, tag = "5")]
    pub rows_in: u64,
    /// Rows that came out.
    #[prost(uint64, tag = "6")]
    pub rows_out: u64,
    /// Milliseconds since the Unix epoch.
    #[prost(uint64, tag = "7")]
    pub created_at_ms: u64,
    /// Milliseconds that the run took.
    #[prost(uint64, tag = "8")]
    pub elapsed_ms: u64,
    /// The transform as a query over a relation `source` that has the columns of the source.
    #[prost(string, tag = "9")]
    pub transform: String,
}

/// A pipeline with its versions, the newest last.
#[derive(Clone, PartialEq, Message)]
pub struct Pipeline {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its versions.
    #[prost(message, repeated, tag = "2")]
    pub versions: Vec<PipelineVersion>,
}

/// Adds a version. Its number is given when it is added.
#[derive(Clone, PartialEq, Message)]
pub struct AddPipeline {
    /// Name of the pipeline, which need not be there.
    #[prost(string, tag = "1")]
    pub name: String,
    /// What is added.
    #[prost(message, optional, tag = "2")]
    pub version: Option<PipelineVersion>,
    /// Versions that are kept at most.
    #[prost(uint32, tag = "3")]
    pub keep: u32,
}

/// Names a pipeline that goes.
#[derive(Clone, PartialEq, Message)]
pub struct DropPipeline {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// What a model has learned in one training.
#[derive(Clone, PartialEq, Message)]
pub struct ModelVersion {
    /// From 1.
    #[prost(uint64, tag = "1")]
    pub version: u64,
    /// What was learned, as JSON: features, coefficients, metrics.
    #[prost(string, tag = "2")]
    pub fitted: String,
    /// Why it was trained: `create`, `refresh`, `refresh full` or `change`.
    #[prost(string, tag = "3")]
    pub cause: String,
    /// Rows that it was trained on.
    #[prost(uint64, tag = "4")]
    pub rows: u64,
    /// Rows that were left out, since a feature or the label is null or not finite.
    #[prost(uint64, tag = "5")]
    pub left_out: u64,
    /// What it has seen of tables that follow topics.
    #[prost(message, repeated, tag = "6")]
    pub reads: Vec<crate::statement::LiveRead>,
    /// Milliseconds since the Unix epoch.
    #[prost(uint64, tag = "7")]
    pub created_at_ms: u64,
    /// Milliseconds that the training took.
    #[prost(uint64, tag = "8")]
    pub elapsed_ms: u64,
    /// Numbers that change with the tables in memory, views and other models that it has seen, by name.
    #[prost(btree_map = "string, uint64", tag = "9")]
    pub versions_read: std::collections::BTreeMap<String, u64>,
}

/// A model with its versions, the newest last.
#[derive(Clone, PartialEq, Message)]
pub struct Model {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its options, as they were written.
    #[prost(message, repeated, tag = "2")]
    pub options: Vec<ModelOption>,
    /// The query whose rows it learns from.
    #[prost(string, tag = "3")]
    pub query: String,
    /// Its versions.
    #[prost(message, repeated, tag = "4")]
    pub versions: Vec<ModelVersion>,
    /// The version that answers; absent: the newest.
    #[prost(uint64, optional, tag = "5")]
    pub served: Option<u64>,
    /// Who made it.
    #[prost(string, tag = "6")]
    pub owner: String,
    /// Milliseconds since the Unix epoch.
    #[prost(uint64, tag = "7")]
    pub created_at_ms: u64,
}

/// An option of a model.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct ModelOption {
    /// Its name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// Adds a version. Its number is given when it is added.
#[derive(Clone, PartialEq, Message)]
pub struct AddModelVersion {
    /// Name of the model.
    #[prost(string, tag = "1")]
    pub name: String,
    /// When the model was made that was trained. Another one of that name is left as it is.
    #[prost(uint64, tag = "2")]
    pub model_created_at_ms: u64,
    /// What is added.
    #[prost(message, optional, tag = "3")]
    pub version: Option<ModelVersion>,
    /// Versions that are kept at most, beside the one that answers.
    #[prost(uint32, tag = "4")]
    pub keep: u32,
}

/// Chooses the version that answers.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct ServeModel {
    /// Name of the model.
    #[prost(string, tag = "1")]
    pub name: String,
    /// A version; absent: always the newest.
    #[prost(uint64, optional, tag = "2")]
    pub version: Option<u64>,
}

/// Names a model that goes.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct DropModel {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// Names a schema of the cluster's one catalog.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct SchemaRef {
    /// Schema name.
    #[prost(string, tag = "1")]
    pub schema: String,
}

/// Names a table or view.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct RelationRef {
    /// Schema name.
    #[prost(string, tag = "1")]
    pub schema: String,
    /// Name within the schema.
    #[prost(string, tag = "2")]
    pub name: String,
}

/// A table or view: everything needed to open it again.
#[derive(Clone, PartialEq, Message)]
pub struct Relation {
    /// Schema name.
    #[prost(string, tag = "1")]
    pub schema: String,
    /// Name within the schema.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Milliseconds since the Unix epoch.
    #[prost(uint64, tag = "3")]
    pub created_at_ms: u64,
    /// Principal that created it.
    #[prost(string, tag = "4")]
    pub owner: String,
    /// What it is.
    #[prost(oneof = "RelationKind", tags = "5, 6, 7, 9")]
    pub kind: Option<RelationKind>,
    /// Its rows in memory, if they are kept there too. Only for files and views.
    #[prost(message, optional, tag = "8")]
    pub cache: Option<Cache>,
}

/// The kinds of relation.
#[derive(Clone, PartialEq, Oneof)]
pub enum RelationKind {
    /// Rows in files.
    #[prost(message, tag = "5")]
    Files(FileTable),
    /// A query under a name.
    #[prost(message, tag = "6")]
    View(View),
    /// Rows in the memory of the executors.
    #[prost(message, tag = "7")]
    Memory(MemoryTable),
    /// Rows that follow a Kafka topic.
    #[prost(message, tag = "9")]
    Kafka(KafkaTable),
}

/// A table whose rows follow a Kafka topic, in the memory of the executors.
#[derive(Clone, PartialEq, Message)]
pub struct KafkaTable {
    /// Drawn when the table is created.
    #[prost(string, tag = "1")]
    pub table_id: String,
    /// Arrow schema, as an encapsulated IPC message; columns about the message come last.
    #[prost(bytes = "vec", tag = "2")]
    pub arrow_schema: Vec<u8>,
    /// `HOST:PORT` of brokers to begin with, with commas between them.
    #[prost(string, tag = "3")]
    pub brokers: String,
    /// The topic.
    #[prost(string, tag = "4")]
    pub topic: String,
    /// Columns of the primary key, by their place; none: every message is a row.
    #[prost(uint32, repeated, tag = "5")]
    pub key: Vec<u32>,
    /// Options it was created with, checked.
    #[prost(map = "string, string", tag = "6")]
    pub settings: std::collections::HashMap<String, String>,
    /// The statement that created it.
    #[prost(string, tag = "7")]
    pub definition: String,
    /// The topic partitions, in order of number.
    #[prost(message, repeated, tag = "8")]
    pub partitions: Vec<TopicPartition>,
    /// It does not follow its topic now.
    #[prost(bool, tag = "9")]
    pub paused: bool,
}

/// A topic partition and who follows it.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct TopicPartition {
    /// Its number.
    #[prost(uint32, tag = "1")]
    pub number: u32,
    /// Offset of the first message that belongs to the table.
    #[prost(uint64, tag = "2")]
    pub start: u64,
    /// Who follows it; absent: nobody yet.
    #[prost(message, optional, tag = "3")]
    pub owner: Option<PartitionOwner>,
    /// Who is to follow it next: it reads along as a standby until it is as far as the owner.
    #[prost(message, optional, tag = "4")]
    pub standby: Option<PartitionOwner>,
    /// The offset at which it stands still while the table is paused. Absent: the table is not paused, or the owner has not
    /// said yet.
    #[prost(uint64, optional, tag = "5")]
    pub paused_at: Option<u64>,
    /// The topic got it after the table was made, which begins with what there is of it.
    #[prost(bool, tag = "6")]
    pub added: bool,
}

/// The executor that follows a topic partition.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct PartitionOwner {
    /// `HOST:PORT` of its data port.
    #[prost(string, tag = "1")]
    pub address: String,
    /// The process: one that is started again at the same address is another, and has no rows.
    #[prost(string, tag = "2")]
    pub instance: String,
    /// Counts the owners of the topic partition, from 1.
    #[prost(uint64, tag = "3")]
    pub epoch: u64,
}

/// New owners of topic partitions of one table.
#[derive(Clone, PartialEq, Message)]
pub struct PlacePartitions {
    /// Schema of the table.
    #[prost(string, tag = "1")]
    pub schema: String,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The table; refused if another one has the name now.
    #[prost(string, tag = "3")]
    pub table_id: String,
    /// The topic partitions with new owners or standbys. Refused if the epoch of an owner goes back.
    #[prost(message, repeated, tag = "4")]
    pub partitions: Vec<TopicPartition>,
}

/// Whether a table follows its topic.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct PauseTable {
    /// Schema of the table.
    #[prost(string, tag = "1")]
    pub schema: String,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The table; refused if another one has the name now.
    #[prost(string, tag = "3")]
    pub table_id: String,
    /// It does not from now on.
    #[prost(bool, tag = "4")]
    pub paused: bool,
}

/// How a table follows its topic.
#[derive(Clone, PartialEq, Message)]
pub struct AlterTopic {
    /// Schema of the table.
    #[prost(string, tag = "1")]
    pub schema: String,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The table; refused if another one has the name now.
    #[prost(string, tag = "3")]
    pub table_id: String,
    /// All its options.
    #[prost(map = "string, string", tag = "4")]
    pub settings: std::collections::HashMap<String, String>,
    /// It begins anew, if this is there.
    #[prost(message, optional, tag = "5")]
    pub restart: Option<RestartTopic>,
    /// All its columns; empty if they stay as they are.
    #[prost(bytes = "vec", tag = "6")]
    pub arrow_schema: Vec<u8>,
    /// What the table was when the change was made up; refused if it is something else now.
    #[prost(message, optional, tag = "7")]
    pub before: Option<TopicBefore>,
}

/// A table begins anew, without rows.
#[derive(Clone, PartialEq, Message)]
pub struct RestartTopic {
    /// Drawn for what it is from now on.
    #[prost(string, tag = "1")]
    pub table_id: String,
    /// All topic partitions, without owners.
    #[prost(message, repeated, tag = "2")]
    pub partitions: Vec<TopicPartition>,
}

/// A table whose rows lie in the memory of the executors.
#[derive(Clone, PartialEq, Message)]
pub struct MemoryTable {
    /// Drawn when the table is created; a table of the same name that is made later has another.
    #[prost(string, tag = "1")]
    pub table_id: String,
    /// Arrow schema, as an encapsulated IPC message.
    #[prost(bytes = "vec", tag = "2")]
    pub arrow_schema: Vec<u8>,
    /// Commits so far, the first being the creation.
    #[prost(uint64, tag = "3")]
    pub version: u64,
    /// The shards of this version.
    #[prost(message, repeated, tag = "4")]
    pub shards: Vec<TableShard>,
    /// The statement that created it.
    #[prost(string, tag = "5")]
    pub definition: String,
    /// Options it was created with, checked.
    #[prost(map = "string, string", tag = "6")]
    pub settings: std::collections::HashMap<String, String>,
    /// How its rows can be computed again; absent if they cannot.
    #[prost(message, optional, tag = "7")]
    pub lineage: Option<Lineage>,
    /// Set if the rows are messages that wait to be sent: its shards are as they are, and the table goes when all are sent.
    #[prost(message, optional, tag = "8")]
    pub outbox: Option<Outbox>,
}

/// How the rows of a table's first version can be computed again, from its definition.
#[derive(Clone, PartialEq, Message)]
pub struct Lineage {
    /// SHA-256 of the definitions and files that were read; others than today's mean that it cannot be done any more.
    #[prost(bytes = "vec", tag = "1")]
    pub source: Vec<u8>,
    /// Schema that names without one belong to, in the definition.
    #[prost(string, tag = "2")]
    pub default_schema: String,
}

/// Rows of a relation that are kept in memory beside their source.
#[derive(Clone, PartialEq, Message)]
pub struct Cache {
    /// The rows; absent if they have not been read yet.
    #[prost(message, optional, tag = "1")]
    pub rows: Option<MemoryTable>,
    /// Options of `CACHE TABLE` that were given.
    #[prost(map = "string, string", tag = "2")]
    pub settings: std::collections::HashMap<String, String>,
    /// SHA-256 of definitions and files when the rows were read; others than today's mean that they are out of date.
    #[prost(bytes = "vec", tag = "3")]
    pub source: Vec<u8>,
    /// All files of the source are on local disks.
    #[prost(bool, tag = "4")]
    pub local: bool,
    /// Milliseconds since the Unix epoch when the rows were read.
    #[prost(uint64, tag = "5")]
    pub filled_at_ms: u64,
}

/// A change of a relation's cache.
#[derive(Clone, PartialEq, Message)]
pub struct SetCache {
    /// Schema of the relation.
    #[prost(string, tag = "1")]
    pub schema: String,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// When the relation was created; refused if another one has the name now.
    #[prost(uint64, tag = "3")]
    pub created_at_ms: u64,
    /// The cache; absent: there is none any more.
    #[prost(message, optional, tag = "4")]
    pub cache: Option<Cache>,
    /// Refused if there is no cache now.
    #[prost(bool, tag = "5")]
    pub only_if_cached: bool,
}

/// Other columns of a table in memory, with its rows in shards that fit them.
#[derive(Clone, PartialEq, Message)]
pub struct AlterColumns {
    /// Schema of the table.
    #[prost(string, tag = "1")]
    pub schema: String,
    /// Its name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The table that was read; refused if another one has the name now.
    #[prost(string, tag = "3")]
    pub table_id: String,
    /// The version that was read; refused if the table has another one now.
    #[prost(uint64, tag = "4")]
    pub version: u64,
    /// The table's identifier from now on, so that a write that began with the old columns is refused.
    #[prost(string, tag = "5")]
    pub new_table_id: String,
    /// Arrow schema, as an encapsulated IPC message.
    #[prost(bytes = "vec", tag = "6")]
    pub arrow_schema: Vec<u8>,
    /// All shards of the table.
    #[prost(message, repeated, tag = "7")]
    pub shards: Vec<TableShard>,
}

/// Another name for a table or view, in the same schema.
#[derive(Clone, PartialEq, Message)]
pub struct RenameRelation {
    /// Schema of the relation.
    #[prost(string, tag = "1")]
    pub schema: String,
    /// The name it has.
    #[prost(string, tag = "2")]
    pub name: String,
    /// When the relation was created; refused if another one has the name now.
    #[prost(uint64, tag = "3")]
    pub created_at_ms: u64,
    /// The name it gets; refused if it is taken.
    #[prost(string, tag = "4")]
    pub new_name: String,
}

/// An external table over files.
#[derive(Clone, PartialEq, Message)]
pub struct FileTable {
    /// `CSV`, `PARQUET`, `JSON`, `AVRO` or `ARROW`.
    #[prost(string, tag = "1")]
    pub format: String,
    /// Absolute path or URL of a file, a folder (with a slash at the end) or a glob.
    #[prost(string, tag = "2")]
    pub location: String,
    /// Options as the user gave them; never secrets.
    #[prost(map = "string, string", tag = "3")]
    pub options: std::collections::HashMap<String, String>,
    /// Arrow schema, as an encapsulated IPC message, fixed at creation.
    #[prost(bytes = "vec", tag = "4")]
    pub arrow_schema: Vec<u8>,
    /// Columns found in folder names (Hive style).
    #[prost(string, repeated, tag = "5")]
    pub partition_columns: Vec<String>,
    /// The statement that created it.
    #[prost(string, tag = "6")]
    pub definition: String,
}

/// A view.
#[derive(Clone, PartialEq, Message)]
pub struct View {
    /// Schema that names without one belong to, in the definition.
    #[prost(string, tag = "1")]
    pub default_schema: String,
    /// The statement that created it.
    #[prost(string, tag = "2")]
    pub definition: String,
}

/// The whole catalog at one version.
#[derive(Clone, PartialEq, Message)]
pub struct Snapshot {
    /// [`FORMAT`] of the writer.
    #[prost(uint32, tag = "1")]
    pub format: u32,
    /// Version of the last log entry that is contained.
    #[prost(uint64, tag = "2")]
    pub version: u64,
    /// Schemas, in order of name.
    #[prost(message, repeated, tag = "3")]
    pub schemas: Vec<SchemaRef>,
    /// Tables and views, in order of schema and name.
    #[prost(message, repeated, tag = "4")]
    pub relations: Vec<Relation>,
    /// Version of Millpond that wrote the snapshot.
    #[prost(string, tag = "5")]
    pub written_by: String,
    /// Pipelines, in order of name.
    #[prost(message, repeated, tag = "6")]
    pub pipelines: Vec<Pipeline>,
    /// Models, in order of name.
    #[prost(message, repeated, tag = "7")]
    pub models: Vec<Model>,
}

/// A backup: every object of a state store, in one file.
#[derive(Clone, PartialEq, Message)]
pub struct Backup {
    /// [`FORMAT`] of the writer.
    #[prost(uint32, tag = "1")]
    pub format: u32,
    /// Version of the catalog that the objects amount to.
    #[prost(uint64, tag = "2")]
    pub version: u64,
    /// Milliseconds since the Unix epoch.
    #[prost(uint64, tag = "3")]
    pub written_at_ms: u64,
    /// The objects, in order of path.
    #[prost(message, repeated, tag = "4")]
    pub objects: Vec<BackupObject>,
    /// Version of Millpond that wrote the backup.
    #[prost(string, tag = "5")]
    pub written_by: String,
}

/// One object of a state store.
#[derive(Clone, PartialEq, Message)]
pub struct BackupObject {
    /// Path in the store, such as `catalog/log/v00000000000000000001`.
    #[prost(string, tag = "1")]
    pub path: String,
    /// Its bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub content: Vec<u8>,
    /// SHA-256 of the bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub sha256: Vec<u8>,
}
