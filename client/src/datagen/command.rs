//! The command `millpond datagen`: from its arguments to a finished file.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use clap::{Subcommand, ValueEnum, value_parser};

use super::data_set::{DataSet, ROWS_MAX};
use super::event::{Envelope, Stream, events};
use super::ordered::for_each_in_order;
use super::target::Target;
use super::{csv, parquet};
use crate::error::Error;

/// Writes a data set to try Millpond with. The same seed gives the same bytes.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    data_set: Kind,
}

#[derive(Debug, Subcommand)]
enum Kind {
    /// Customers of a marketing campaign, tab separated, with the dirt of such files
    Marketing(Marketing),
    /// Readings of sensors, a JSON object a line
    Sensors(Events),
    /// Changes of customers, a JSON object a line
    CustomerUpdates(Changes),
}

#[derive(Debug, clap::Args)]
struct Changes {
    /// How changes are written
    #[arg(long, value_enum, default_value = "debezium")]
    envelope: Envelope,
    #[command(flatten)]
    events: Events,
}

#[derive(Debug, clap::Args)]
struct Events {
    /// Lines to write
    #[arg(long, value_name = "N", default_value_t = 1000)]
    rows: u64,
    /// Another seed, other events
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// File to write; - is standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Marketing {
    /// Rows to write, copies included
    #[arg(long, value_name = "N", default_value_t = 2240, value_parser = value_parser!(u64).range(0..=ROWS_MAX))]
    rows: u64,
    /// Another seed, other rows
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Format of the file [default: what its name ends with, else csv]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// File to write; - is standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Threads; the rows do not depend on it [default: one per core]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Tab separated text with a header
    Csv,
    /// Parquet; Income and Dt_Customer are text
    Parquet,
}

/// Runs the command.
///
/// # Errors
/// [`Error::Output`] if the file cannot be written, [`Error::Usage`] for Parquet on a terminal.
pub fn run(args: &Args) -> Result<(), Error> {
    match &args.data_set {
        Kind::Marketing(marketing) => write_marketing(marketing),
        // How changes would be written does not matter to sensors.
        Kind::Sensors(args) => write_events(Stream::Sensors, Envelope::Op, args),
        Kind::CustomerUpdates(args) => write_events(Stream::CustomerUpdates, args.envelope, &args.events),
    }
}

fn write_events(stream: Stream, envelope: Envelope, args: &Events) -> Result<(), Error> {
    let name = target_name(args.output.as_deref());
    let failed = |source| Error::Output {
        target: name.clone(),
        source,
    };
    let mut target = Target::open(args.output.as_deref()).map_err(failed)?;
    let rows = usize::try_from(args.rows).unwrap_or(usize::MAX);
    for event in events(stream, envelope, args.seed).take(rows) {
        writeln!(target, "{}", event.value).map_err(failed)?;
    }
    target.close().map_err(failed)
}

fn write_marketing(args: &Marketing) -> Result<(), Error> {
    let name = target_name(args.output.as_deref());
    let failed = |source| Error::Output {
        target: name.clone(),
        source,
    };
    let started = Instant::now();
    let mut target = Target::open(args.output.as_deref()).map_err(failed)?;
    let format = args.format.unwrap_or_else(|| format_of(args.output.as_deref()));
    if format == Format::Parquet && target.is_terminal() {
        return Err(Error::Usage(
            "parquet is not for a terminal\nhint: write it into a file with -o FILE".to_owned(),
        ));
    }
    let data_set = DataSet {
        rows: args.rows,
        seed: args.seed,
    };
    let jobs = args
        .jobs
        .unwrap_or_else(|| thread::available_parallelism().unwrap_or(NonZeroUsize::MIN));
    match format {
        Format::Csv => write_csv(data_set, jobs, &mut target),
        Format::Parquet => write_parquet(data_set, jobs, &mut target),
    }
    .map_err(failed)?;
    target.close().map_err(failed)?;
    eprintln!(
        "{} rows to {name} in {:.2} s",
        args.rows,
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

fn write_csv(data_set: DataSet, jobs: NonZeroUsize, target: &mut impl Write) -> io::Result<()> {
    target.write_all(&csv::header())?;
    let make = |index| csv::lines(&data_set.block(index));
    for_each_in_order(data_set.blocks(), jobs, make, |lines| target.write_all(&lines))
}

fn write_parquet(data_set: DataSet, jobs: NonZeroUsize, target: &mut (impl Write + Send)) -> io::Result<()> {
    let mut writer = parquet::open(target)?;
    let make = |index| parquet::batch(&data_set.block(index));
    for_each_in_order(data_set.blocks(), jobs, make, |batch| {
        let batch = batch.map_err(io::Error::other)?;
        writer.write(&batch).map_err(io::Error::from)
    })?;
    writer.close().map(drop).map_err(io::Error::from)
}

fn target_name(path: Option<&Path>) -> String {
    match path {
        Some(path) if path != Path::new("-") => path.display().to_string(),
        _ => "standard output".to_owned(),
    }
}

fn format_of(path: Option<&Path>) -> Format {
    let extension = path.and_then(Path::extension);
    if extension.is_some_and(|extension| extension.eq_ignore_ascii_case("parquet")) {
        Format::Parquet
    } else {
        Format::Csv
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(format: Format, seed: u64, jobs: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let data_set = DataSet { rows: 10_000, seed };
        let jobs = NonZeroUsize::new(jobs).unwrap();
        match format {
            Format::Csv => write_csv(data_set, jobs, &mut out),
            Format::Parquet => write_parquet(data_set, jobs, &mut out),
        }
        .unwrap();
        out
    }

    #[test]
    fn bytes_depend_on_the_seed_and_not_on_the_threads() {
        for format in [Format::Csv, Format::Parquet] {
            let one = bytes(format, 7, 1);
            assert!(one == bytes(format, 7, 2));
            assert!(one == bytes(format, 7, 5));
            assert!(one != bytes(format, 8, 1));
        }
    }

    #[test]
    fn text_starts_with_the_names_of_the_columns() {
        let text = String::from_utf8(bytes(Format::Csv, 1, 2)).unwrap();
        assert!(text.starts_with(
            "ID\tYear_Birth\tEducation\tMarital_Status\tIncome\tKidhome\tTeenhome\tDt_Customer\t"
        ));
        assert!(
            text.lines()
                .next()
                .unwrap()
                .ends_with("\tComplain\tZ_CostContact\tZ_Revenue\tResponse")
        );
        assert_eq!(text.lines().count(), 10_001);
        assert!(text.lines().all(|line| line.split('\t').count() == 29));
    }

    #[test]
    fn name_of_the_file_decides_the_format() {
        assert_eq!(format_of(Some(Path::new("a/b.PARQUET"))), Format::Parquet);
        assert_eq!(format_of(Some(Path::new("a/b.csv"))), Format::Csv);
        assert_eq!(format_of(Some(Path::new("-"))), Format::Csv);
        assert_eq!(format_of(None), Format::Csv);
    }
}
