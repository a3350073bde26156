//! The wire contract of Millpond: messages that processes of one cluster, their clients and the state store exchange.
//!
//! There is no logic here beyond encoding. A message that is *stored* ([`catalog`]) carries a format number and is
//! only ever extended by new fields; a message that is *sent* ([`statement`], [`plan`]) lives as long as one statement.
//! The messages are declared with `prost` derives, so a build needs no `protoc`.

pub mod catalog;
pub mod checkpoint;
pub mod plan;
pub mod statement;
pub mod stream;

pub use prost::Message;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// Numbers with commas between them.
    fn numbers(text: &str) -> BTreeSet<u32> {
        text.split(',')
            .map(|number| number.trim().parse().unwrap())
            .collect()
    }

    fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
        let (_, rest) = text.split_once(start)?;
        rest.split_once(end).map(|(inside, _)| inside)
    }

    /// What is not listed is written, and when it is read again it is not there.
    #[test]
    fn every_kind_of_a_choice_can_be_read() {
        let mut choices = 0;
        for source in [
            include_str!("catalog.rs"),
            include_str!("checkpoint.rs"),
            include_str!("plan.rs"),
            include_str!("statement.rs"),
            include_str!("stream.rs"),
        ] {
            for choice in source.split("oneof = ").skip(1) {
                let name = between(choice, "\"", "\"").unwrap();
                let listed = numbers(between(choice, "tags = \"", "\"").unwrap());
                let kinds = between(source, &format!("pub enum {name} {{\n"), "\n}").unwrap();
                let kinds = kinds.split("tag = \"").skip(1);
                let kinds: BTreeSet<u32> = kinds
                    .map(|kind| kind.split_once('"').unwrap().0.parse().unwrap())
                    .collect();
                assert_eq!(listed, kinds, "{name}");
                choices += 1;
            }
        }
        assert_eq!(choices, 3);
    }
}
