//! Writes one stream of rows with DataFusion's own file formats, and says how files of a format can be put together.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::file_options::csv_writer::CsvWriterOptions;
use datafusion::common::parsers::CompressionTypeVariant;
use datafusion::common::{internal_err, plan_datafusion_err};
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::datasource::physical_plan::{FileGroup, FileOutputMode, FileSinkConfig};
use datafusion::datasource::sink::DataSinkExec;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, SessionState, SessionStateBuilder, TaskContext};
use datafusion::logical_expr::dml::InsertOp;
use datafusion::physical_plan::empty::EmptyExec;
use millpond_proto::plan::FileSink;

/// What is known about the files of a write before it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// End of the file names without the first dot, such as `csv.gz`.
    pub extension: String,
    /// Files of this kind can be concatenated to one, which has the first `head_bytes` bytes once.
    pub concatenable: bool,
    /// Length of the header line of CSV, else 0.
    pub head_bytes: u64,
}

/// Checks the format and its options, and says how its files are laid out.
///
/// # Errors
/// An unknown format or option.
pub fn layout(state: &dyn Session, sink: &FileSink, schema: &SchemaRef) -> Result<Layout> {
    let format = open_format(state, sink)?;
    let compression = format.compression_type();
    let extension = match &compression {
        Some(compression) => format
            .get_ext_with_compression(compression)
            .unwrap_or_else(|_| format.get_ext()),
        None => format.get_ext(),
    };
    let compressed = compression
        .is_some_and(|compression| *compression.get_variant() != CompressionTypeVariant::UNCOMPRESSED);
    let head_bytes = csv_head(state, format.as_ref(), schema)?;
    let concatenable = match sink.format.as_str() {
        "csv" => head_bytes == 0 || !compressed,
        "json" => true,
        "parquet" => is_plain_parquet(format.as_ref()),
        _ => false,
    };
    Ok(Layout {
        extension: extension.trim_start_matches('.').to_string(),
        concatenable,
        head_bytes: if concatenable { head_bytes } else { 0 },
    })
}

fn is_plain_parquet(format: &dyn FileFormat) -> bool {
    format.downcast_ref::<ParquetFormat>().is_some_and(|parquet| {
        let options = parquet.options();
        options.crypto.file_encryption.is_none() && options.crypto.factory_id.is_none()
    })
}

fn csv_head(state: &dyn Session, format: &dyn FileFormat, schema: &SchemaRef) -> Result<u64> {
    let Some(csv) = format.downcast_ref::<CsvFormat>() else {
        return Ok(0);
    };
    let has_header = csv
        .options()
        .has_header
        .unwrap_or_else(|| state.config_options().catalog.has_header);
    let options = CsvWriterOptions::try_from(&csv.options().clone().with_has_header(has_header))?;
    let mut head = Vec::new();
    let mut writer = options.writer_options.build(&mut head);
    writer.write(&RecordBatch::new_empty(schema.clone()))?;
    drop(writer);
    Ok(head.len() as u64)
}

fn open_format(state: &dyn Session, sink: &FileSink) -> Result<Arc<dyn FileFormat>> {
    let session = state
        .as_any()
        .downcast_ref::<SessionState>()
        .ok_or_else(|| plan_datafusion_err!("files are written in a session of DataFusion"))?;
    session
        .get_file_format_factory(&sink.format)
        .ok_or_else(|| plan_datafusion_err!("cannot write files of format '{}'", sink.format))?
        .create(state, &sink.options)
}

/// Writes all rows of `stream` to `location`, a file or, if it ends with a slash, a folder. Returns how many there were.
///
/// # Errors
/// Whatever the stream, the format or the object store reports. A part of the files may then be there.
pub(super) async fn write(
    sink: &FileSink,
    location: &str,
    stream: SendableRecordBatchStream,
    context: Arc<TaskContext>,
) -> Result<u64> {
    let state = SessionStateBuilder::new()
        .with_config(context.session_config().clone())
        .with_runtime_env(context.runtime_env())
        .with_default_features()
        .build();
    let format = open_format(&state, sink)?;
    let schema = stream.schema();
    let url = ListingTableUrl::parse(location)?;
    let config = FileSinkConfig {
        original_url: location.to_string(),
        object_store_url: url.object_store(),
        file_group: FileGroup::default(),
        file_extension: sink.extension.clone(),
        file_output_mode: if url.is_folder() {
            FileOutputMode::Directory
        } else {
            FileOutputMode::SingleFile
        },
        table_paths: vec![url],
        output_schema: schema.clone(),
        table_partition_cols: sink
            .partition_by
            .iter()
            .map(|column| (column.clone(), DataType::Null))
            .collect(),
        insert_op: InsertOp::Append,
        keep_partition_by_columns: sink.keep_partition_columns,
    };
    let writer = format
        .create_writer_physical_plan(Arc::new(EmptyExec::new(schema)), &state, config, None)
        .await?;
    match writer.downcast_ref::<DataSinkExec>() {
        Some(writer) => writer.sink().write_all(stream, &context).await,
        None => internal_err!("format '{}' does not write through a sink", sink.format),
    }
}
