//! The table of a topic that has rows of several.

/// Which table is wanted, if not all are.
#[derive(Debug, Clone)]
pub(super) struct Wanted(Option<String>);

impl Wanted {
    pub(super) fn new(table: Option<String>) -> Self {
        Self(table)
    }

    /// True if rows of a table are wanted. It may be named with or without what it lies in.
    pub(super) fn takes(&self, within: Option<&str>, table: Option<&str>) -> bool {
        let (Some(wanted), Some(table)) = (&self.0, table) else {
            return self.0.is_none();
        };
        let is_last = table.rsplit_once('.').is_some_and(|(_, last)| last == wanted);
        let is_qualified = within.is_some_and(|within| {
            let rest = wanted
                .strip_prefix(within)
                .and_then(|rest| rest.strip_prefix('.'));
            rest == Some(table)
        });
        table == wanted || is_last || is_qualified
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_with_and_without_what_they_lie_in() {
        let wanted = |table: &str| Wanted::new(Some(table.to_owned()));
        assert!(Wanted::new(None).takes(None, None));
        assert!(wanted("t").takes(Some("d"), Some("t")));
        assert!(wanted("d.t").takes(Some("d"), Some("t")));
        assert!(wanted("t").takes(None, Some("D.t")));
        assert!(!wanted("e.t").takes(Some("d"), Some("t")));
        assert!(!wanted("t").takes(None, None));
    }
}
