//! Values that are one of a few words.

use super::key::Kind;
use super::value::{Setting, Written};

macro_rules! choice {
    ($(#[$about:meta])+ $name:ident { $($(#[$word_about:meta])+ $variant:ident = $word:literal,)+ }) => {
        $(#[$about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$word_about])+ $variant,)+
        }

        impl $name {
            /// Every word, in the order of the documentation.
            pub const WORDS: &[&str] = &[$($word),+];

            /// The word as it is written in a configuration.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// The value of a word, or `None` for any other text.
            pub fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl Setting for $name {
            const KIND: Kind = Kind::Choice(Self::WORDS);

            fn read(written: &Written) -> Option<Self> {
                Self::from_word(written.one()?)
            }
        }
    };
}

choice! {
    /// How log lines are written.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object for each line, for programs.
        Json = "json",
    }
}

choice! {
    /// How the client prints a result.
    ResultFormat {
        /// Aligned columns with a frame.
        Table = "table",
        /// Comma-separated values with a header.
        Csv = "csv",
        /// Tab-separated values with a header.
        Tsv = "tsv",
        /// One JSON array of objects.
        Json = "json",
        /// One JSON object for each line.
        Ndjson = "ndjson",
        /// Arrow IPC stream.
        Arrow = "arrow",
        /// Parquet file.
        Parquet = "parquet",
        /// Markdown table.
        Markdown = "markdown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_back() {
        for word in ResultFormat::WORDS {
            assert_eq!(
                ResultFormat::from_word(word).map(ResultFormat::as_str),
                Some(*word)
            );
        }
        assert_eq!(LogFormat::from_word("xml"), None);
    }
}
