//! The lines by which a node says where it listens. Programs that start nodes on free ports read them.

use std::io::{self, Write};

/// Writes `name  value` lines to standard output, then `ready`.
///
/// A reader that went away changes nothing: the node serves all the same.
pub fn announce(lines: &[(&str, String)]) {
    let mut out = io::stdout().lock();
    let _ = write_to(&mut out, lines);
}

fn write_to(out: &mut impl Write, lines: &[(&str, String)]) -> io::Result<()> {
    let widest = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in lines {
        writeln!(out, "{name:widest$}  {value}")?;
    }
    writeln!(out, "ready")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_below_each_other() {
        let mut out = Vec::new();
        write_to(
            &mut out,
            &[("flight_sql", "grpc://x:1".into()), ("http", "http://x:2".into())],
        )
        .unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "flight_sql  grpc://x:1\nhttp        http://x:2\nready\n"
        );
    }
}
