//! The list of all codes, each with its page.
//!
//! Numbers are grouped: 1 to 19 the statement, 20 to 29 limits of the cluster, 30 to 39 files, 40 to 49 the life of
//! a statement, 50 to 59 the doors, 60 to 69 the state store, 70 to 79 settings, 80 to 89 topics, 90 and above mistakes of ours. A
//! code that is no longer raised keeps its number and its page.

use super::code::{Class, Code, CodePage, Retry};

/// The page of a code, or `None` for a number that no page has.
pub fn page_of(code: Code) -> Option<&'static CodePage> {
    CODES.iter().find(|page| page.code == code)
}

macro_rules! pages {
    ($($name:ident = $number:literal, $class:ident, $retry:ident, $title:literal {
        happened: $happened:literal,
        why: $why:literal,
        remedy: $remedy:literal $(,)?
    })+) => {
        impl Code {
            $(#[doc = concat!($title, ".")] pub const $name: Self = Self($number);)+
        }

        /// Every code, in the order of their numbers.
        pub const CODES: &[CodePage] = &[$(CodePage {
            code: Code::$name,
            title: $title,
            happened: $happened,
            why: $why,
            remedy: $remedy,
            class: Class::$class,
            retry: Retry::$retry,
        }),+];
    };
}

pages! {
    SYNTAX = 1, User, Never, "SQL cannot be parsed" {
        happened: "The text is not a statement of Millpond's SQL. The message gives line and column, and shows the line with a caret under the first token that does not fit.",
        why: "A misspelt or missing keyword, an unbalanced parenthesis or quote, or syntax of another database.",
        remedy: "Look just before the caret. Names with capitals or spaces need double quotes, texts need single quotes.",
    }
    UNKNOWN_RELATION = 2, User, Never, "no such table, view or schema" {
        happened: "The statement names a table, view, schema or catalog that the cluster does not have.",
        why: "It was never created, was dropped, is in another schema, or was created with a quoted name in capitals.",
        remedy: "List what there is with `SHOW TABLES` or `\\d`, and write the schema where it is not `public`. Create a table over files with `CREATE EXTERNAL TABLE`.",
    }
    UNKNOWN_COLUMN = 3, User, Never, "no such column" {
        happened: "The statement names a column that none of its tables has.",
        why: "A misspelling, or capitals: a name without double quotes is read in lower case.",
        remedy: "Follow the hint where there is one, or `DESCRIBE` the table. Put a name with capitals in double quotes: `\"Year_Birth\"`.",
    }
    TYPE_MISMATCH = 4, User, Never, "types do not fit" {
        happened: "An operator or function was given types it does not take.",
        why: "For example text compared with a number, or a date added to a date.",
        remedy: "Convert one side with `CAST(x AS type)`, or with `TRY_CAST` where some values cannot be converted.",
    }
    NOT_SUPPORTED = 5, User, Never, "not supported" {
        happened: "The statement is understood, but Millpond cannot do it.",
        why: "The feature is not there, or does not work on a cluster.",
        remedy: "Write it another way; the message names the part that is missing.",
    }
    RELATION_EXISTS = 6, User, Never, "the name is taken" {
        happened: "A table, view or schema of that name is already there, or a schema that still has tables was to be dropped.",
        why: "The catalog belongs to the whole cluster: another session may have created it.",
        remedy: "Choose another name, add `IF NOT EXISTS`, use `CREATE OR REPLACE`, or `DROP` the old one first.",
    }
    INVALID_STATEMENT = 7, User, Never, "the statement makes no sense" {
        happened: "The statement can be parsed, but breaks a rule of SQL.",
        why: "For example a column that is neither grouped nor aggregated, or the two sides of a `UNION` with different numbers of columns.",
        remedy: "The message names the rule and the part of the statement.",
    }
    UNKNOWN_FUNCTION = 8, User, Never, "no such function" {
        happened: "The statement calls a function that does not exist.",
        why: "A misspelling, or a function of another database.",
        remedy: "Follow the hint where there is one; `SHOW FUNCTIONS` lists them all.",
    }
    AMBIGUOUS_COLUMN = 9, User, Never, "the column could be one of several" {
        happened: "A column name occurs in more than one table of the statement.",
        why: "After a join both sides have a column of that name.",
        remedy: "Write the table before it: `t.id`.",
    }
    INVALID_VALUE = 10, User, Never, "a value cannot be used" {
        happened: "While running, a value could not be converted or computed with.",
        why: "For example `CAST('abc' AS INT)`, a division by zero, or a result too large for its type.",
        remedy: "Use `TRY_CAST` or `NULLIF(x, 0)`, a wider type, or filter such rows out first.",
    }
    STATEMENT_TOO_LARGE = 11, User, Never, "the statement is too large" {
        happened: "The text of the statement is too long or too deeply nested to be planned.",
        why: "It is usually generated: a very long `IN` list, or thousands of terms joined by `OR`.",
        remedy: "Put the values in a table and join it.",
    }
    EXECUTION_FAILED = 12, User, Never, "the statement failed while running" {
        happened: "A part of the statement failed on an executor for a reason that has no code of its own.",
        why: "The message and the detail say what the operator reported.",
        remedy: "Change the statement as the message suggests. The executor's log has the same line with the job and the task.",
    }
    INVALID_PARAMETER = 13, User, Never, "parameters do not fit" {
        happened: "The values bound to `$1`, `$2` and so on do not fit the statement.",
        why: "There are too few, or one has the wrong type.",
        remedy: "Bind one value for each parameter, of the type that the prepared statement reports.",
    }

    MEMORY_LIMIT = 20, Resource, Never, "memory limit reached" {
        happened: "An executor could not give an operator or a table in memory the memory it needs, even after spilling what can be spilled.",
        why: "The statement needs more than `executor.memory_limit`, for example for a join whose small side is not small; or tables that must be in memory fill `executor.storage_limit`.",
        remedy: "Raise the limit that the message names, add executors, raise `datafusion.execution.target_partitions` so that each part is smaller, or reduce the input first. For tables: drop some, or give them the `storage_level` `memory_and_disk`.",
    }
    DISK_FULL = 21, Resource, Retry, "disk full" {
        happened: "An executor could not write intermediate data or a result to its disk.",
        why: "The file system of `executor.work_dir` is full, or the limit on spilled data was reached.",
        remedy: "Free space, or set `executor.work_dir` to a larger file system and restart that executor.",
    }
    ADMISSION_FULL = 22, Resource, Retry, "too many statements" {
        happened: "The statement was not started because the queue is full.",
        why: "`admission.max_running` statements are running and `admission.max_queued` are waiting.",
        remedy: "Try again later. `SELECT * FROM system.jobs` shows what is running and `millpond cancel` stops it; or raise the limits.",
    }
    NO_EXECUTORS = 23, Resource, Retry, "no executors" {
        happened: "The statement needs executors, and the cluster has none.",
        why: "None was started, none can reach the scheduler's internal port, or all are draining.",
        remedy: "Start one with `millpond executor --scheduler HOST:PORT`; `millpond executors` lists those the scheduler knows.",
    }
    EXECUTOR_LOST = 24, Resource, RetryElsewhere, "an executor was lost" {
        happened: "An executor died or became unreachable, and its work could not be repeated elsewhere.",
        why: "The process ended, the machine failed, or it did not report for `cluster.executor_timeout`.",
        remedy: "Run the statement again. If it happens often, look at that executor's log and memory.",
    }

    TABLE_LOST = 25, Resource, Never, "a table in memory has lost rows" {
        happened: "A part of a table in memory was with an executor that is gone, and there is no other copy of it.",
        why: "The table was created with `durable = 'off'` or on a cluster without lasting state, has no replica left, and its rows cannot be computed again: a statement has changed it, its query answers anew each time, or what it was made of has changed.",
        remedy: "Make the table again with `CREATE OR REPLACE TABLE ... AS SELECT ...`, or drop it. Leave `durable` on, or give the table `replicas`, so that it comes back by itself.",
    }
    SHARD_MOVED = 26, Resource, Retry, "a part of a table in memory is not where it was" {
        happened: "The executors that held a part of a table in memory could not be read, and the statement could not be planned again by itself.",
        why: "An executor was lost or drained while a part of the result had already been sent, or recovery took longer than `recovery.timeout`.",
        remedy: "Run the statement again. `SELECT * FROM system.shards` shows where the parts are now.",
    }
    FILE_MISSING = 30, External, Never, "no such file" {
        happened: "A file or folder that the statement reads is not there.",
        why: "The path is misspelt, the file was moved after the table was created, or it is on another machine: every executor must see it under the same path.",
        remedy: "Check the location. Use an object store or a shared file system for a cluster of several machines.",
    }
    FILE_UNREADABLE = 31, External, Retry, "a location cannot be reached" {
        happened: "A file or an object store did not answer, or its address or configuration is wrong.",
        why: "A network failure, a wrong endpoint or region, or no `[[storage.bucket]]` for this prefix.",
        remedy: "Check the endpoint and add a `[[storage.bucket]]` with this prefix to `millpond.toml` on the scheduler and on every executor.",
    }
    BAD_DATA = 32, External, Never, "a file holds bad data" {
        happened: "A file could be opened, but its content is not what the table's format and columns say.",
        why: "A row with too many or too few fields, bytes that are not UTF-8, a damaged or cut Parquet file, a value that does not fit its column's type, or the wrong format.",
        remedy: "Look at the row that the message names. For CSV see the options `format.delimiter`, `format.has_header`, `format.quote` and `format.truncated_rows`; declare a doubtful column as `TEXT` and use `TRY_CAST`.",
    }
    PATH_REFUSED = 33, User, Never, "path is not allowed" {
        happened: "The statement names a local path that this cluster does not serve.",
        why: "A server reads and writes local files only below `storage.local_roots`, and only by absolute paths.",
        remedy: "Use a path below one of the roots, or an object store, or add the folder to `storage.local_roots` on the scheduler and every executor.",
    }
    SECRET_REFUSED = 34, User, Never, "secret in a statement" {
        happened: "The options of a statement hold a key, a password or a token, and the statement was refused.",
        why: "Statements are stored in the catalog and written to logs, where a secret does not belong.",
        remedy: "Put credentials into a `[[storage.bucket]]` of `millpond.toml`, or into `MILLPOND_STORAGE_S3_*`, on the scheduler and every executor. If the secret was real, change it.",
    }
    FILE_DENIED = 35, External, Never, "access to a location was denied" {
        happened: "The file system or the object store refused to read or write.",
        why: "The credentials are wrong or lack the right, or the process runs as a user who may not.",
        remedy: "Check the `[[storage.bucket]]` of this prefix, or the rights of the folder, on the node that the message names.",
    }
    FILE_NOT_WRITTEN = 36, External, Never, "a result could not be written" {
        happened: "The place to write to cannot take the result: something is already there, or it cannot be created.",
        why: "The target exists, or is a folder where a file is expected.",
        remedy: "Choose another target or remove what is there.",
    }

    CANCELLED = 40, User, Never, "cancelled" {
        happened: "The statement was stopped before it finished.",
        why: "Somebody cancelled it, its client went away, or the node is shutting down.",
        remedy: "Run it again if that was not intended.",
    }
    DEADLINE = 41, Resource, Never, "statement took too long" {
        happened: "The statement was stopped at its deadline.",
        why: "It ran longer than `statement.timeout` of the cluster or `millpond.statement_timeout` of the session.",
        remedy: "Give it more time with `SET millpond.statement_timeout = '10min'`, or make it do less.",
    }
    TICKET_VOID = 42, User, Never, "ticket is not valid" {
        happened: "A client asked for a result with a ticket that this cluster did not issue to it.",
        why: "It was changed, belongs to another user, or was issued before the scheduler restarted.",
        remedy: "Run the statement again and read the result with the tickets it returns.",
    }
    STATEMENT_EXPIRED = 43, User, Retry, "result has expired" {
        happened: "The result is no longer kept.",
        why: "It was not read within `result.ttl`.",
        remedy: "Run the statement again and read the result at once, or write it to a file with `COPY`.",
    }
    STATEMENT_UNKNOWN = 44, User, Retry, "no such statement" {
        happened: "A client asked for a statement, a prepared statement or a session that the scheduler does not know.",
        why: "It was closed, or the scheduler restarted: results and prepared statements do not survive that.",
        remedy: "Prepare or run it again.",
    }

    NOT_LET_IN = 50, User, Never, "not let in" {
        happened: "The scheduler did not accept the caller.",
        why: "No token was sent, or it is not the one of `auth.token`.",
        remedy: "Set `MILLPOND_TOKEN` or `client.token` to the cluster's token.",
    }
    CANNOT_CONNECT = 51, External, Retry, "cannot connect" {
        happened: "No connection to the scheduler could be made.",
        why: "Nothing listens at that address, a firewall is in between, or one side uses TLS and the other does not.",
        remedy: "Check the address and its scheme: `grpc://` without TLS, `grpc+tls://` with it.",
    }
    INSECURE_BIND = 52, User, Never, "open door refused" {
        happened: "A public port was to listen beyond this machine without a token and TLS.",
        why: "Anybody who can reach the port could read and write all data.",
        remedy: "Set `auth.token`, `tls.cert` and `tls.key`; or, on a network you trust, start with `--insecure`.",
    }

    STATE_CONFLICT = 60, Resource, Retry, "the catalog was changed by another" {
        happened: "A change of the catalog was not made because another one was made first.",
        why: "Two sessions changed the same thing at the same time.",
        remedy: "Run the statement again.",
    }
    STATE_TOO_NEW = 61, External, Never, "the state is of a newer version" {
        happened: "The state store was written by a newer Millpond, and this one does not touch it.",
        why: "The cluster was upgraded and this node was not, or it was downgraded.",
        remedy: "Start the newer version, or restore a backup made before the upgrade with `millpond state restore`.",
    }
    STATE_UNREADABLE = 62, External, Never, "the state cannot be read or written" {
        happened: "The state store does not answer, or holds something that Millpond did not write.",
        why: "`state.url` is wrong, its disk is full, its credentials are missing, or a file in it was changed or removed.",
        remedy: "Check `state.url` and its `[[storage.bucket]]`. Restore a backup with `millpond state restore` if it is damaged.",
    }
    LEASE_LOST = 63, Resource, RetryElsewhere, "another scheduler has taken over" {
        happened: "This scheduler lost its right to change the state, and stopped.",
        why: "A second scheduler was started on the same `state.url`, or this one was stopped for so long that its lease ended.",
        remedy: "Run one scheduler per `state.url`; connect to the one that is running.",
    }

    UNKNOWN_SETTING = 70, User, Never, "no such setting" {
        happened: "A key of the configuration or of `SET` does not exist.",
        why: "A misspelling, or a key of another version.",
        remedy: "Follow the hint; `docs/configuration.md` and `millpond config show` list the keys of a node, `SHOW ALL` those of a session.",
    }
    SETTING_PROTECTED = 71, User, Never, "the setting cannot be changed here" {
        happened: "A setting exists, but not for this use.",
        why: "A session may not change what the cluster depends on, and a node's configuration does not hold settings of sessions.",
        remedy: "The message says where it is set, or why it is fixed.",
    }
    INVALID_SETTING = 72, User, Never, "the value of a setting is wrong" {
        happened: "A setting was given a value of the wrong form.",
        why: "For example a duration without a unit, or an address without a port.",
        remedy: "Write it in the form that the message gives; `millpond config explain KEY` shows an example.",
    }
    CONFIG_UNREADABLE = 73, User, Never, "the configuration file cannot be read" {
        happened: "`millpond.toml` is missing where it was asked for, cannot be opened, or is not TOML.",
        why: "A wrong path, missing rights, or a mistake in the line that the message names.",
        remedy: "Correct the file or the path.",
    }
    UNKNOWN_PROFILE = 74, User, Never, "no such profile" {
        happened: "The chosen profile is not in the configuration file.",
        why: "A misspelling, or another file is read than you think.",
        remedy: "Add a `[profile.NAME]` table, or choose one of those that the message lists.",
    }

    TOPIC_UNKNOWN = 80, External, Never, "no such topic" {
        happened: "The brokers know no topic of that name, do not let this client read it, or it has not the topic partitions or offsets that were named.",
        why: "The name is misspelt, the topic is not created yet, the account has no right to it, or old messages are deleted already.",
        remedy: "List the topics with a Kafka tool and compare, create the topic first, or give `kafka.*` options with an account that may read it. `scan.startup` says where to begin.",
    }
    BROKERS_SILENT = 81, External, Retry, "the brokers do not answer" {
        happened: "An executor that would follow the topic cannot reach the Kafka brokers, or they do not take it in.",
        why: "Host or port are wrong, the brokers are down, the advertised addresses of the brokers cannot be reached from the executors, or TLS and SASL settings do not fit.",
        remedy: "Try the address from an executor's machine. What `kafka://` names is only where to begin: executors must also reach what brokers give as `advertised.listeners`.",
    }
    MESSAGES_UNREADABLE = 82, User, Never, "messages of the topic do not fit the table" {
        happened: "None of the messages that were looked at can become a row. The message shows where the first is and what is wrong with it.",
        why: "The option `format` is not the one of the producer, or columns have other names or types than the values.",
        remedy: "Compare the table with a message. Messages that are bad one by one are no obstacle: they go to `system.dead_letters`.",
    }
    POSITION_NOT_REACHED = 83, Resource, Retry, "a table has not reached an offset" {
        happened: "`WAIT FOR TABLE` gave up before the table had all messages below the named offsets.",
        why: "The stream is behind, paused, stalled or failed, or the offsets are beyond the end of the topic.",
        remedy: "Look at `system.stream_partitions`, which has position, end, state and reason. Give a longer `TIMEOUT`.",
    }
    NOT_ALL_SENT = 84, External, Never, "rows are not all sent yet" {
        happened: "An `INSERT` into a table with `sink.delivery` `exactly_once` ended before the brokers had all of its rows.",
        why: "The brokers or executors were not there for long enough. The rows are kept in the table that the message names, its outbox, and those that were sent are not sent again.",
        remedy: "Do not run the statement again: the scheduler goes on sending until all rows are in the topic, and drops the outbox then. `DROP TABLE` of the outbox gives up what is left.",
    }
    REGISTRY_SILENT = 86, External, Retry, "the schema registry does not answer" {
        happened: "An executor that would follow the topic cannot get the schemas of its messages.",
        why: "The address in `format.registry` is wrong, the registry is down, or it asks for a user and password.",
        remedy: "Try the address from an executor's machine: `GET /subjects` must answer a list. User and password are `kafka.registry.url`, `kafka.registry.user` and `kafka.registry.password` of the executors.",
    }
    PIPELINE = 87, User, Never, "a pipeline cannot be run as it is written" {
        happened: "A pipeline has a word, a column or a value that cannot be, or what it expects of its rows does not hold.",
        why: "The message says the line and column of the YAML, or the step. Expectations with `otherwise: fail` end the pipeline before anything is written.",
        remedy: "Mend the place that is named. `millpond pipeline check FILE` looks at a pipeline without running it.",
    }
    MODEL = 88, User, Never, "a model cannot be made or asked as it is written" {
        happened: "A model has an option or a column that cannot be, cannot be learned from these rows, or is asked for what it does not have.",
        why: "The message names the option, the column or what is wrong with the rows: too few of them, one class only, classes that can be told apart without an error.",
        remedy: "Mend what is named. `DESCRIBE MODEL name` shows what a model has learned, `SHOW MODELS` which there are.",
    }
    INTERNAL = 90, Bug, Never, "a mistake in Millpond" {
        happened: "Millpond came into a state that should be impossible.",
        why: "This is a bug in Millpond or in a library it is built on, not in your statement.",
        remedy: "Report it with the statement and the lines of the scheduler's and executors' logs around it. Writing the statement differently often helps meanwhile.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_in_order() {
        assert!(CODES.is_sorted_by(|a, b| a.code < b.code));
    }

    #[test]
    fn every_page_is_whole() {
        for page in CODES {
            assert!(!page.title.ends_with('.'), "{}", page.code);
            for text in [page.happened, page.why, page.remedy] {
                assert!(text.len() > 10 && text.ends_with('.'), "{}: {text}", page.code);
            }
        }
    }
}
