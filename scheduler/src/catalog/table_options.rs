//! Options of tables in memory, as `CREATE TABLE ... WITH` and `CACHE TABLE ... OPTIONS` give them.
//!
//! The catalog stores the words that were given, checked; everybody who acts on them reads them here.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::error::Result as PlanResult;
use datafusion::physical_plan::metrics::Time;
use datafusion::physical_plan::repartition::BatchPartitioner;
use millpond_engine::error::{Code, Error};
use millpond_engine::shards::key_of;

use super::cached::Validate;

/// Most executors that hold the same rows.
const REPLICAS_MAX: u32 = 3;
/// Most output partitions of the query that fills a table.
const PARTITIONS_MAX: usize = 4096;
/// Hash classes of a table whose owner does not say how many.
const DEFAULT_BUCKETS: u32 = 8;
const COMMON: &[&str] = &[
    "storage_level",
    "replicas",
    "partitions",
    "partition_by",
    "sort_by",
];
const OF_TABLES: &[&str] = &["durable"];
const OF_CACHES: &[&str] = &["validate"];
const STORAGE_LEVELS: &[&str] = &["memory", "memory_and_disk", "disk"];

/// What the options belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A table whose rows are nowhere else.
    Table,
    /// Rows beside their source.
    Cache,
}

/// When the rows of a table are written to the state store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durable {
    /// Before a commit is acknowledged.
    On,
    /// Soon after.
    Async,
    /// Never: they are lost with the last executor that holds them, unless they can be computed again.
    Off,
}

/// The options of one table or cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableOptions {
    pub(crate) storage_level: String,
    pub(crate) replicas: u32,
    pub(crate) durable: Durable,
    /// Output partitions of the query that fills the table; `None`: as for any query.
    pub(crate) partitions: Option<usize>,
    /// Columns by whose hash the rows are distributed.
    pub(crate) partition_by: Vec<String>,
    /// What DataFusion's hash function made of some values when the table was made.
    pub(crate) hash_probe: String,
    /// Columns by which the rows of each task are sorted.
    pub(crate) sort_by: Vec<String>,
}

impl TableOptions {
    /// Reads stored options. Words of a newer version count as not given.
    pub(crate) fn of<S: BuildHasher>(settings: &HashMap<String, String, S>) -> Self {
        let word = |key: &str| settings.get(key).map(String::as_str);
        Self {
            storage_level: word("storage_level").unwrap_or("memory_and_disk").to_string(),
            replicas: word("replicas").and_then(|word| word.parse().ok()).unwrap_or(1),
            durable: word("durable").and_then(durable).unwrap_or(Durable::On),
            partitions: word("partitions").and_then(|word| word.parse().ok()),
            hash_probe: word("hash_probe").unwrap_or_default().to_string(),
            partition_by: columns(word("partition_by")),
            sort_by: columns(word("sort_by")),
        }
    }

    /// Hash classes of the rows; 0 if they are not distributed by columns.
    pub(crate) fn buckets(&self) -> u32 {
        match self.partition_by.is_empty() {
            true => 0,
            false => self.partitions.map_or(DEFAULT_BUCKETS, |count| count as u32),
        }
    }

    /// Places of columns in a table.
    ///
    /// # Errors
    /// A column that there is not.
    pub(crate) fn places(names: &[String], schema: &Schema) -> Result<Vec<u32>, Error> {
        let place = |name: &String| {
            let place = schema.index_of(name).ok();
            place.and_then(|place| u32::try_from(place).ok()).ok_or_else(|| {
                let columns: Vec<_> = schema
                    .fields()
                    .iter()
                    .map(|field| field.name().as_str())
                    .collect();
                Error::user(Code::UNKNOWN_COLUMN, format!("there is no column '{name}'"))
                    .with_hint(format!("the columns are {}", columns.join(", ")))
            })
        };
        names.iter().map(place).collect()
    }
}

/// Checks options and gives them as the catalog stores them.
///
/// # Errors
/// An option that there is not, or a value that it cannot have; both say what there is.
pub(crate) fn checked(options: &[(String, String)], owner: Owner) -> Result<HashMap<String, String>, Error> {
    let mut settings = HashMap::new();
    for (key, value) in options {
        let key = match key.to_ascii_lowercase().as_str() {
            "cache.validate" => "validate".to_string(),
            "storagelevel" => "storage_level".to_string(),
            key => key.to_string(),
        };
        let value = match key.as_str() {
            "partition_by" | "sort_by" => value.trim().to_string(),
            _ => value.trim().to_ascii_lowercase(),
        };
        check(&key, &value, owner)?;
        settings.insert(key, value);
    }
    if settings.contains_key("partition_by") {
        settings.insert("hash_probe".to_string(), hash_probe());
    }
    Ok(settings)
}

fn check(key: &str, value: &str, owner: Owner) -> Result<(), Error> {
    let own = if owner == Owner::Cache {
        OF_CACHES
    } else {
        OF_TABLES
    };
    if !COMMON.contains(&key) && !own.contains(&key) {
        let there_are: Vec<&str> = COMMON.iter().chain(own).copied().collect();
        return Err(
            Error::user(Code::UNKNOWN_SETTING, format!("there is no option '{key}' here"))
                .with_hint(format!("the options are {}", there_are.join(", "))),
        );
    }
    let number_up_to = |most: u32| {
        value
            .parse()
            .is_ok_and(|number: u32| (1..=most).contains(&number))
    };
    let remedy = match key {
        "storage_level" if STORAGE_LEVELS.contains(&value) => return Ok(()),
        "storage_level" => "write memory, memory_and_disk or disk",
        "replicas" if number_up_to(REPLICAS_MAX) => return Ok(()),
        "replicas" => "write 1, 2 or 3",
        "partitions" if number_up_to(PARTITIONS_MAX as u32) => return Ok(()),
        "partitions" => "write a number from 1 to 4096",
        "durable" if durable(value).is_some() => return Ok(()),
        "durable" => "write on, async or off",
        "validate" if Validate::parse(value).is_some() => return Ok(()),
        "validate" => "write always, never, interval (10 s), or a duration such as 30s",
        _ if !columns(Some(value)).is_empty() => return Ok(()),
        _ => "write names of columns with commas between them",
    };
    Err(Error::user(
        Code::INVALID_SETTING,
        format!("'{value}' is no value for '{key}'"),
    )
    .with_hint(remedy))
}

/// What today's hash function makes of some values: rows are found by it only as long as it stays the same.
pub(crate) fn hash_probe() -> String {
    let key = |data_type| {
        let schema = Arc::new(Schema::new(vec![Field::new("key", data_type, true)]));
        (key_of(&[0], &schema), schema)
    };
    let classes = |column: ArrayRef| -> PlanResult<Vec<String>> {
        let (key, schema) = key(column.data_type().clone());
        let mut partitioner = BatchPartitioner::new_hash_partitioner(key, 251, Time::new())?;
        let mut found = Vec::new();
        let batch = RecordBatch::try_new(schema, vec![column])?;
        partitioner.partition(batch, |class, rows| {
            found.push(format!("{class}:{}", rows.num_rows()));
            Ok(())
        })?;
        found.sort();
        Ok(found)
    };
    let numbers = classes(Arc::new(Int64Array::from(vec![0, 1, -1, 1 << 40])));
    let texts = classes(Arc::new(StringArray::from(vec!["", "a", "millpond"])));
    let version = datafusion::DATAFUSION_VERSION;
    match (numbers, texts) {
        (Ok(numbers), Ok(texts)) => format!("{version} {} {}", numbers.join(","), texts.join(",")),
        _ => version.to_string(),
    }
}

fn durable(word: &str) -> Option<Durable> {
    match word {
        "on" | "true" => Some(Durable::On),
        "async" => Some(Durable::Async),
        "off" | "false" => Some(Durable::Off),
        _ => None,
    }
}

/// Names with commas between them; one in double quotes keeps its case.
fn columns(list: Option<&str>) -> Vec<String> {
    let names = list.unwrap_or_default().split(',').map(str::trim);
    let unquoted = |name: &str| match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(quoted) => quoted.to_string(),
        None => name.to_ascii_lowercase(),
    };
    names.filter(|name| !name.is_empty()).map(unquoted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(options: &[(&str, &str)], owner: Owner) -> Result<HashMap<String, String>, Error> {
        let options: Vec<_> = options
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect();
        checked(&options, owner)
    }

    #[test]
    fn options_are_read_as_they_were_given() {
        let settings = given(
            &[
                ("replicas", "2"),
                ("durable", "ASYNC"),
                ("partition_by", "a, \"B\""),
                ("storageLevel", "DISK"),
            ],
            Owner::Table,
        );
        let options = TableOptions::of(&settings.unwrap());
        assert_eq!((options.replicas, options.durable), (2, Durable::Async));
        assert_eq!(options.partition_by, ["a", "B"]);
        assert_eq!(options.storage_level, "disk");
    }

    #[test]
    fn what_is_not_given_has_a_default() {
        let options = TableOptions::of(&HashMap::<String, String>::new());
        assert_eq!((options.replicas, options.durable), (1, Durable::On));
        assert_eq!(options.storage_level, "memory_and_disk");
        assert!(options.partition_by.is_empty() && options.partitions.is_none());
    }

    #[test]
    fn words_that_mean_nothing_are_refused_with_those_that_do() {
        for (key, value, owner) in [
            ("replicas", "4", Owner::Table),
            ("replicas", "0", Owner::Cache),
            ("durable", "perhaps", Owner::Table),
            ("validate", "perhaps", Owner::Cache),
            ("storage_level", "paper", Owner::Cache),
            ("sort_by", " , ", Owner::Cache),
        ] {
            let error = given(&[(key, value)], owner).unwrap_err();
            assert_eq!(error.code, Code::INVALID_SETTING, "{key} {value}");
        }
        for (key, owner) in [
            ("validate", Owner::Table),
            ("durable", Owner::Cache),
            ("colour", Owner::Table),
        ] {
            let error = given(&[(key, "on")], owner).unwrap_err();
            assert_eq!(error.code, Code::UNKNOWN_SETTING, "{key}");
        }
    }

    #[test]
    fn columns_that_are_not_there_are_named() {
        use datafusion::arrow::datatypes::DataType;
        let schema = Schema::new(vec![
            Field::new("a", DataType::Int64, true),
            Field::new("b", DataType::Int64, true),
        ]);
        assert_eq!(TableOptions::places(&["b".to_string()], &schema).unwrap(), [1]);
        let error = TableOptions::places(&["c".to_string()], &schema).unwrap_err();
        assert!(error.user_text().contains("a, b"), "{}", error.user_text());
    }
}
