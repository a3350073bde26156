//! Where the catalog is kept, as people write it.

use url::Url;

use crate::error::Error;

/// Reads a folder or the URL of an object store as a URL.
///
/// # Errors
/// [`Error::Usage`] for neither.
pub fn state_url(text: &str) -> Result<Url, Error> {
    let wrong = |reason: &str| Error::Usage(format!("'{text}' is no place for the state: {reason}"));
    if text.contains("://") {
        return Url::parse(text).map_err(|error| wrong(&error.to_string()));
    }
    let folder = std::path::absolute(text).map_err(|error| wrong(&error.to_string()))?;
    Url::from_directory_path(folder).map_err(|()| wrong("the path has no URL"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_become_urls_and_urls_stay() {
        assert_eq!(
            state_url("/var/lib/mill pond").unwrap().as_str(),
            "file:///var/lib/mill%20pond/"
        );
        assert!(state_url("state").unwrap().as_str().ends_with("/state/"));
        assert_eq!(state_url("s3://bucket/x").unwrap().as_str(), "s3://bucket/x");
        assert!(state_url("").is_err());
    }
}
