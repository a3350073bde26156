//! The names of the formats.

use clap::ValueEnum;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns in a frame, for people.
    Table,
    /// Comma separated, with a header (RFC 4180).
    Csv,
    /// Tab separated, with a header.
    Tsv,
    /// One JSON array of objects.
    Json,
    /// One JSON object per line.
    Ndjson,
    /// Arrow IPC: the stream format on standard output, the file format in a file.
    Arrow,
    /// Parquet, compressed with zstd.
    Parquet,
    /// A Markdown table.
    Markdown,
}

impl Format {
    /// Whether the bytes are no text.
    pub fn is_binary(self) -> bool {
        matches!(self, Self::Arrow | Self::Parquet)
    }

    /// The format that the end of a file name asks for.
    pub fn of_file_name(name: &str) -> Option<Self> {
        let (_, extension) = name.rsplit_once('.')?;
        match extension.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "tsv" => Some(Self::Tsv),
            "json" => Some(Self::Json),
            "ndjson" | "jsonl" => Some(Self::Ndjson),
            "arrow" | "feather" | "ipc" => Some(Self::Arrow),
            "parquet" => Some(Self::Parquet),
            "md" => Some(Self::Markdown),
            _ => None,
        }
    }

    /// The name that the user types.
    pub fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Arrow => "arrow",
            Self::Parquet => "parquet",
            Self::Markdown => "markdown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_what_the_command_line_takes() {
        for format in Format::value_variants() {
            assert_eq!(Format::from_str(format.name(), false), Ok(*format));
        }
    }

    #[test]
    fn file_name_chooses_the_format() {
        assert_eq!(Format::of_file_name("a/b.PARQUET"), Some(Format::Parquet));
        assert_eq!(Format::of_file_name("b.jsonl"), Some(Format::Ndjson));
        assert_eq!(Format::of_file_name("parquet"), None);
        assert_eq!(Format::of_file_name("a.txt"), None);
    }
}
