//! The queries behind the commands that look at the catalog.

/// `\d`
pub(crate) const RELATIONS: &str = "SELECT table_schema AS schema, table_name AS name, table_type AS kind \
     FROM information_schema.tables WHERE table_schema NOT IN ('information_schema', 'system') ORDER BY 1, 2";

/// `\dt`
pub(crate) const TABLES: &str = "SELECT table_schema AS schema, table_name AS name, format, location \
     FROM system.tables WHERE kind <> 'view' ORDER BY 1, 2";

/// `\l`
pub(crate) const SCHEMAS: &str = "SELECT catalog_name AS catalog, schema_name AS schema \
     FROM information_schema.schemata ORDER BY 1, 2";

/// `\jobs`
pub(crate) const JOBS: &str = "SELECT job_id, name, verb, state, tasks_done, tasks, elapsed_ms, submitted_at, sql \
     FROM system.jobs ORDER BY submitted_at";

/// `\lag`
pub(crate) const LAG: &str = "SELECT table_name, partition, state, position, end_offset, lag, lag_ms, messages_per_s, executor_id \
     FROM system.stream_partitions ORDER BY table_schema, table_name, partition";

/// All columns of all tables, for completion.
pub(crate) const NAMES: &str = "SELECT table_schema, table_name, column_name FROM information_schema.columns";

/// All functions, for completion.
pub(crate) const FUNCTION_NAMES: &str = "SELECT DISTINCT routine_name FROM information_schema.routines";

/// All settings, for completion.
pub(crate) const SETTING_NAMES: &str = "SELECT name FROM information_schema.df_settings";

/// `\d NAME`, where the name may have a schema before it.
pub(crate) fn columns(name: &str) -> String {
    format!(
        "SELECT column_name AS column, data_type AS type, is_nullable AS nullable FROM information_schema.columns \
         WHERE {} ORDER BY table_schema, ordinal_position",
        is_table(name)
    )
}

/// `\df [PART]`
pub(crate) fn functions(part: Option<&str>) -> String {
    let filter = part.map_or(String::new(), |part| {
        format!(" WHERE strpos(lower(routine_name), lower({})) > 0", literal(part))
    });
    format!(
        "SELECT routine_name AS function, function_type AS kind, data_type AS returns, description \
         FROM information_schema.routines{filter} ORDER BY 1, 3"
    )
}

/// `.schema [NAME]`
pub(crate) fn definition(name: Option<&str>) -> String {
    let filter = name.map_or(String::new(), |name| format!(" WHERE {}", is_table(name)));
    format!("SELECT definition FROM system.tables{filter} ORDER BY table_schema, table_name")
}

/// The condition that a row of a catalog table is about the table of a name.
fn is_table(name: &str) -> String {
    let (schema, table) = split_name(name);
    let in_schema = schema.map_or(String::new(), |schema| {
        format!(" AND table_schema = {}", literal(&schema))
    });
    format!("table_name = {}{in_schema}", literal(&table))
}

/// Reads `t`, `s.t` or `c.s.t`, where each part may be quoted; unquoted parts mean their lower case, as in SQL.
fn split_name(name: &str) -> (Option<String>, String) {
    let mut parts = vec![String::new()];
    let mut in_quotes = false;
    for character in name.chars() {
        match character {
            '"' => in_quotes = !in_quotes,
            '.' if !in_quotes => parts.push(String::new()),
            _ if in_quotes => parts
                .iter_mut()
                .next_back()
                .into_iter()
                .for_each(|part| part.push(character)),
            _ => parts
                .iter_mut()
                .next_back()
                .into_iter()
                .for_each(|part| part.extend(character.to_lowercase())),
        }
    }
    let table = parts.pop().unwrap_or_default();
    (parts.pop(), table)
}

/// Writes a text as a literal.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_have_schema_and_quotes() {
        let check = |name, schema: Option<&str>, table: &str| {
            assert_eq!(
                split_name(name),
                (schema.map(str::to_owned), table.to_owned()),
                "{name}"
            );
        };
        check("Campaign", None, "campaign");
        check("public.\"My.Table\"", Some("public"), "My.Table");
        check("millpond.System.jobs", Some("system"), "jobs");
        check("", None, "");
    }

    #[test]
    fn quotes_in_names_stay_inside_the_literal() {
        assert!(columns("x' OR '1'='1").contains("table_name = 'x'' or ''1''=''1'"));
        assert!(functions(Some("'")).contains("lower('''')"));
    }
}
