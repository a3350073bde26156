//! Writes `docs/errors.md`.

use std::fmt::Write;

use super::pages::CODES;

/// The page of all error codes, as Markdown.
pub fn markdown() -> String {
    let mut page = String::from(
        "# Errors\n\n\
         <!-- Generated from engine/src/error/pages.rs by `cargo xtask generate`; do not edit. -->\n\n\
         Every error has a code that never changes its meaning. The first line says what went wrong and ends with the\n\
         code; detail and a hint may follow:\n\n\
         ```text\n\
         no table named 'campain' [MP0002]\n\
         hint: did you mean 'campaign'?\n\
         ```\n\n\
         | code | what | whose | try again |\n| --- | --- | --- | --- |\n",
    );
    for entry in CODES {
        // Writing to a String cannot fail.
        let _ = writeln!(
            page,
            "| [{code}](#{anchor}) | {title} | {class} | {retry} |",
            code = entry.code,
            anchor = anchor(&format!("{} {}", entry.code, entry.title)),
            title = entry.title,
            class = entry.class,
            retry = entry.retry
        );
    }
    for entry in CODES {
        let _ = write!(
            page,
            "\n## {} {}\n\n{}\n\n**Why.** {}\n\n**What to do.** {}\n",
            entry.code, entry.title, entry.happened, entry.why, entry.remedy
        );
    }
    page
}

/// The anchor that Markdown viewers make of a heading.
fn anchor(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_heading_that_the_table_links_to() {
        let page = markdown();
        for entry in CODES {
            assert!(page.contains(&format!("\n## {} {}\n", entry.code, entry.title)));
        }
        assert!(page.contains("(#mp0002-no-such-table-view-or-schema)"), "{page}");
    }
}
