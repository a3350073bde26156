//! What a `COPY` or an `INSERT` asks for, checked and brought to one form.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::execution::SessionState;
use datafusion::logical_expr::dml::{CopyTo, InsertOp};
use datafusion::logical_expr::{DmlStatement, LogicalPlan, WriteOp};
use millpond_engine::error::{Code, Error};
use millpond_engine::files::{self, Layout};
use millpond_engine::session::{CATALOG, DEFAULT_SCHEMA};
use millpond_proto::catalog::{FileTable, RelationKind};
use millpond_proto::plan::FileSink;

use crate::catalog::ddl::carries_secret;
use crate::catalog::{StatementCatalog, resolve_location};
use crate::statement::frontend::Services;

/// A write, independent of how it was said.
pub(super) struct Write {
    pub(super) input: Arc<LogicalPlan>,
    /// Without the folder, which each run has its own of.
    pub(super) sink: FileSink,
    pub(super) layout: Layout,
    pub(super) target: Target,
}

/// Where the files go.
pub(super) struct Target {
    /// A folder ends with a slash; anything else is one file.
    pub(super) location: String,
    /// Add to a folder, or make a new file or folder.
    pub(super) append: bool,
}

impl Target {
    pub(super) fn is_folder(&self) -> bool {
        self.location.ends_with('/')
    }
}

impl Write {
    /// Reads a plan that writes.
    ///
    /// # Errors
    /// A target that cannot be written, an unknown format or option.
    pub(super) fn of(
        services: &Services,
        catalog: &StatementCatalog,
        state: &SessionState,
        plan: LogicalPlan,
    ) -> Result<Self, Error> {
        let (input, sink, target) = match plan {
            LogicalPlan::Copy(copy) => of_copy(services, state, copy)?,
            LogicalPlan::Dml(dml) => {
                let table = written_table(catalog, &dml)?;
                of_insert(dml, table)?
            }
            other => return Err(Error::bug(format!("{} does not write", other.display()))),
        };
        check_format(&sink.format)?;
        let schema = Arc::new(input.schema().as_arrow().clone());
        let layout = files::layout(state, &sink, &schema).map_err(Error::from_datafusion)?;
        let one_task = !target.is_folder() && !layout.concatenable;
        Ok(Self {
            input,
            sink: FileSink {
                one_task,
                extension: layout.extension.clone(),
                ..sink
            },
            layout,
            target,
        })
    }
}

fn of_copy(
    services: &Services,
    state: &SessionState,
    copy: CopyTo,
) -> Result<(Arc<LogicalPlan>, FileSink, Target), Error> {
    let mut options = copy.options;
    if let Some(option) = options.keys().find(|key| carries_secret(key)) {
        return Err(Error::user(
            Code::SECRET_REFUSED,
            format!("option '{option}' would carry a secret through the cluster"),
        )
        .with_hint(
            "put it into a [[storage.bucket]] of millpond.toml on the scheduler and on every executor",
        ));
    }
    let single_file = take_flag(&mut options, "single_file_output")?;
    let keep = take_flag(&mut options, "execution.keep_partition_by_columns")?;
    let mut location = resolve_location(&copy.output_url, &services.local_paths)?;
    let folder_wanted = single_file == Some(false) || !copy.partition_by.is_empty();
    if folder_wanted && !location.ends_with('/') {
        location.push('/');
    }
    if single_file == Some(true) && location.ends_with('/') {
        return Err(Error::user(
            Code::INVALID_SETTING,
            format!("'{location}' is a folder, and 'single_file_output' asks for one file"),
        )
        .with_hint("name a file, without a slash at the end"));
    }
    let sink = FileSink {
        format: copy.file_type.get_ext(),
        options,
        partition_by: copy.partition_by,
        keep_partition_columns: keep.unwrap_or(state.config_options().execution.keep_partition_by_columns),
        ..Default::default()
    };
    let target = Target {
        location,
        append: false,
    };
    Ok((copy.input, sink, target))
}

fn take_flag(options: &mut HashMap<String, String>, key: &str) -> Result<Option<bool>, Error> {
    // A key without a dot comes as one of the format.
    let value = options
        .remove(key)
        .or_else(|| options.remove(&format!("format.{key}")));
    let Some(value) = value else {
        return Ok(None);
    };
    value.trim().parse().map(Some).map_err(|_| {
        Error::user(
            Code::INVALID_SETTING,
            format!("'{value}' is no value for '{key}'"),
        )
        .with_hint("write 'true' or 'false'")
    })
}

/// Refuses formats that DataFusion reads but does not write.
fn check_format(format: &str) -> Result<(), Error> {
    if matches!(format, "csv" | "json" | "parquet" | "arrow") {
        return Ok(());
    }
    Err(Error::user(
        Code::NOT_SUPPORTED,
        format!("files of format '{format}' cannot be written"),
    )
    .with_hint("write PARQUET, CSV, JSON or ARROW"))
}

fn written_table<'a>(catalog: &'a StatementCatalog, dml: &DmlStatement) -> Result<&'a FileTable, Error> {
    let name = dml.table_name.clone().resolve(CATALOG, DEFAULT_SCHEMA);
    let relation = catalog
        .version()
        .relations
        .get(&(name.schema.to_string(), name.table.to_string()));
    match relation.and_then(|relation| relation.kind.as_ref()) {
        Some(RelationKind::Files(table)) => Ok(table),
        Some(RelationKind::View(_)) => Err(Error::user(Code::NOT_SUPPORTED, format!("{name} is a view"))
            .with_hint("write to the table that the view reads")),
        Some(RelationKind::Memory(_)) => Err(Error::bug(format!("{name} is a table in memory"))),
        Some(RelationKind::Kafka(_)) => Err(Error::bug(format!("{name} follows a topic"))),
        None => Err(
            Error::user(Code::NOT_SUPPORTED, format!("{name} cannot be written"))
                .with_hint("write to a table made by CREATE EXTERNAL TABLE over a folder"),
        ),
    }
}

fn of_insert(dml: DmlStatement, table: &FileTable) -> Result<(Arc<LogicalPlan>, FileSink, Target), Error> {
    match dml.op {
        WriteOp::Insert(InsertOp::Append) => {}
        ref other => {
            return Err(Error::user(
                Code::NOT_SUPPORTED,
                format!("{other} is not supported on a file table"),
            )
            .with_hint("write the rows you want to keep with COPY into a new folder"));
        }
    }
    if !table.location.ends_with('/') {
        return Err(Error::user(
            Code::NOT_SUPPORTED,
            format!(
                "{} is over one file, to which rows cannot be added",
                dml.table_name
            ),
        )
        .with_hint("create the table over a folder: a LOCATION with a slash at the end"));
    }
    let sink = FileSink {
        format: table.format.to_ascii_lowercase(),
        options: table.options.clone(),
        partition_by: table.partition_columns.clone(),
        ..Default::default()
    };
    let target = Target {
        location: table.location.clone(),
        append: true,
    };
    Ok((dml.input, sink, target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_taken_out_of_the_options() {
        let mut options = HashMap::from([
            ("a".to_string(), " true".to_string()),
            ("b".to_string(), "perhaps".to_string()),
        ]);
        assert_eq!(take_flag(&mut options, "a").unwrap(), Some(true));
        assert_eq!(take_flag(&mut options, "a").unwrap(), None);
        assert!(
            take_flag(&mut options, "b")
                .unwrap_err()
                .user_text()
                .contains("perhaps")
        );
    }

    #[test]
    fn only_formats_with_a_writer_are_written() {
        assert!(check_format("arrow").is_ok());
        assert!(check_format("avro").unwrap_err().user_text().contains("PARQUET"));
    }
}
