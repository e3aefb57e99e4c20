//! Who must be signed in for what. One list for all routes: what is not named here is what its method says.

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use russet_axum::{ApiError, Visitor};

use crate::AppState;
use crate::accounts::ADMINISTRATOR;

/// What everybody may send, signed in or not: the way in, and the way out.
const OPEN: [(Method, &str); 4] = [
    (Method::POST, "/api/login"),
    (Method::POST, "/api/logout"),
    (Method::POST, "/login"),
    (Method::POST, "/logout"),
];

/// What only an administrator may: the total of the stock is theirs.
pub const ADMINISTRATORS: [(Method, &str); 3] = [
    (Method::PUT, "/api/stock/{product}"),
    (Method::DELETE, "/api/stock/{product}"),
    (Method::POST, "/api/stock/{product}/adjust"),
];

/// Reads that change something for others: who joins a room is seen there.
const AS_WRITES: [&str; 1] = ["/api/chat/{room}/ws"];

/// Who may send a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nobody,
    Session,
    Administrator,
}

/// Middleware, inside of the session layer: where a login is needed, refuses with 401 who changes something without one, and with
/// 403 who may not. A method that only reads is open, and so is what no route has.
pub async fn enforce(
    State(app): State<AppState>,
    visitor: Visitor,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let needs = match path {
        Some(path) if app.access.needs_login() => needs(request.method(), path),
        _ => Needs::Nobody,
    };
    if needs != Needs::Nobody {
        let session = visitor.session().await?.ok_or_else(ApiError::unauthorized)?;
        if needs == Needs::Administrator {
            session.require_role(ADMINISTRATOR)?;
        }
    }
    Ok(next.run(request).await)
}

fn needs(method: &Method, path: &str) -> Needs {
    let stands_in = |list: &[(Method, &str)]| list.iter().any(|one| *one == (method.clone(), path));
    if stands_in(&OPEN) {
        Needs::Nobody
    } else if stands_in(&ADMINISTRATORS) {
        Needs::Administrator
    } else if !method.is_safe() || AS_WRITES.contains(&path) {
        Needs::Session
    } else {
        Needs::Nobody
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_something_needs_a_session_unless_it_is_the_login() {
        for path in ["/api/users", "/api/tasks", "/api/stock/{product}", "/made/up/later"] {
            assert_eq!(needs(&Method::GET, path), Needs::Nobody, "{path}");
            for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
                assert_ne!(needs(&method, path), Needs::Nobody, "{method} {path}");
            }
        }
        assert_eq!(needs(&Method::POST, "/api/login"), Needs::Nobody);
        assert_eq!(needs(&Method::GET, "/api/chat/{room}/ws"), Needs::Session);
        assert_eq!(needs(&Method::PUT, "/api/stock/{product}"), Needs::Administrator);
    }
}
