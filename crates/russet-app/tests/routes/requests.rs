//! A request to the operations of counters, windows, stock and reservations for each status that it can be made to answer with.

use axum::body::Body;

pub fn all(ask: &mut Ask<'_>) {
    counters_and_windows(ask);
    stock(ask);
    reservations(ask);
}

/// Takes an operation, a path, and a body with its type.
pub type Ask<'a> = dyn FnMut((&'static str, &'static str), &str, (Body, Option<&'static str>)) + 'a;

fn none() -> (Body, Option<&'static str>) {
    (Body::empty(), None)
}

fn text(body: &'static str) -> (Body, Option<&'static str>) {
    (Body::from(body), Some("application/json"))
}

/// Two bodies that are refused before they are read.
fn refused_bodies() -> [(Body, Option<&'static str>); 2] {
    let long = Body::from(format!("\"{}\"", "x".repeat(3 << 20)));
    [(Body::from("{}"), Some("text/plain")), (long, Some("application/json"))]
}

fn counters_and_windows(ask: &mut Ask<'_>) {
    let counter = ("POST", "/api/counters/{name}");
    ask(counter, "/api/counters/a", text("{}"));
    ask(counter, "/api/counters/a", text(r#"{"amount": 0}"#));
    for path in ["/api/counters", "/api/counters?limit=0"] {
        ask(("GET", "/api/counters"), path, none());
    }
    for path in ["/api/counters/a", "/api/counters/%00"] {
        ask(("GET", "/api/counters/{name}"), path, none());
    }
    for path in ["/api/counters/a/series?granularity=hour", "/api/counters/a/series"] {
        ask(("GET", "/api/counters/{name}/series"), path, none());
    }
    let window = ("POST", "/api/windows/{name}");
    ask(window, "/api/windows/a", text(r#"{"amount": 2}"#));
    ask(window, "/api/windows/a?seconds=0", text("{}"));
    for path in ["/api/windows/a", "/api/windows/a?seconds=0"] {
        ask(("GET", "/api/windows/{name}"), path, none());
    }
    for (operation, path) in [(counter, "/api/counters/a"), (window, "/api/windows/a")] {
        for body in refused_bodies() {
            ask(operation, path, body);
        }
    }
}

fn stock(ask: &mut Ask<'_>) {
    const WISH: &str = r#"{"product": "a", "quantity": 2, "user": "ada", "request_id": "one"}"#;
    let (set, adjust) = (("PUT", "/api/stock/{product}"), ("POST", "/api/stock/{product}/adjust"));
    ask(set, "/api/stock/a", text(r#"{"total": 3}"#));
    ask(adjust, "/api/stock/b/adjust", text(r#"{"units": 1}"#));
    let wish = ("POST", "/api/reservations");
    ask(wish, wish.1, text(WISH));
    ask(wish, wish.1, text(WISH));
    ask(wish, wish.1, text(r#"{"product": "a", "quantity": 2, "user": "ada"}"#));
    ask(wish, wish.1, text(r#"{"product": "z", "user": "ada"}"#));
    ask(wish, wish.1, text("{}"));
    for (operation, path, bad) in [
        (set, "/api/stock/a", r#"{"total": 1}"#),
        (set, "/api/stock/a", r#"{"total": -1}"#),
        (adjust, "/api/stock/a/adjust", r#"{"units": -2}"#),
        (adjust, "/api/stock/a/adjust", "{}"),
    ] {
        ask(operation, path, text(bad));
    }
    for (operation, path) in
        [(set, "/api/stock/a"), (adjust, "/api/stock/a/adjust"), (wish, wish.1)]
    {
        for body in refused_bodies() {
            ask(operation, path, body);
        }
    }
    for path in ["/api/stock", "/api/stock?limit=0"] {
        ask(("GET", "/api/stock"), path, none());
    }
    for path in ["/api/stock/a", "/api/stock/z", "/api/stock/%20"] {
        ask(("GET", "/api/stock/{product}"), path, none());
    }
    for path in ["/api/stock/a", "/api/stock/b", "/api/stock/b", "/api/stock/%20"] {
        ask(("DELETE", "/api/stock/{product}"), path, none());
    }
}

fn reservations(ask: &mut Ask<'_>) {
    for path in ["/api/reservations", "/api/reservations?limit=0"] {
        ask(("GET", "/api/reservations"), path, none());
    }
    let paths = ["/api/reservations/one", "/api/reservations/z", "/api/reservations/%00"];
    for path in paths {
        ask(("GET", "/api/reservations/{id}"), path, none());
    }
    let extend = ("POST", "/api/reservations/{id}/extend");
    const HOLD: &str = r#"{"hold": 60}"#;
    ask(extend, "/api/reservations/one/extend", text("{}"));
    for path in paths {
        ask(extend, &format!("{path}/extend"), text(HOLD));
    }
    for body in refused_bodies() {
        ask(extend, "/api/reservations/one/extend", body);
    }
    let (confirm, cancel) =
        (("POST", "/api/reservations/{id}/confirm"), ("DELETE", "/api/reservations/{id}"));
    for path in paths {
        ask(cancel, path, none());
    }
    for path in paths {
        ask(confirm, &format!("{path}/confirm"), none());
    }
    ask(extend, "/api/reservations/one/extend", text(HOLD));
    ask(("PUT", "/api/stock/{product}"), "/api/stock/c", text(r#"{"total": 1}"#));
    let wish = r#"{"product": "c", "user": "ada", "request_id": "two"}"#;
    ask(("POST", "/api/reservations"), "/api/reservations", text(wish));
    ask(confirm, "/api/reservations/two/confirm", none());
    ask(cancel, "/api/reservations/two", none());
}
