//! What the library does not ask of a name: it is shown to people.

use russet_axum::ApiError;

/// Refuses a name of which nothing would be seen, or that would do something to what it is shown on.
pub(super) fn check_shown(what: &str, name: &str) -> Result<(), ApiError> {
    if name.trim().is_empty() {
        return Err(ApiError::bad_request(format!("{what} is missing or empty")));
    }
    if name.chars().any(char::is_control) {
        return Err(ApiError::bad_request(format!("{what} has a control character")));
    }
    Ok(())
}

/// Refuses a number of entries that is out of its range.
pub(super) fn check_limit(limit: usize) -> Result<usize, ApiError> {
    if (1..=100).contains(&limit) {
        return Ok(limit);
    }
    Err(ApiError::bad_request("limit must be 1 to 100"))
}
