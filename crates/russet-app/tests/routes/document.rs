//! `/openapi.json` against the routes: neither knows of something that the other does not.

use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use russet_app::http;
use russet_app::killed_worker::Launcher;
use serde_json::{Value, json};

use crate::support::{Answer, App};

/// The operations of the document by path and method, the latter in capitals.
fn operations(document: &Value) -> BTreeMap<(String, String), Value> {
    let paths = document["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, methods)| {
        methods.as_object().unwrap().iter().map(move |(method, operation)| {
            ((path.clone(), method.to_uppercase()), operation.clone())
        })
    });
    all.collect()
}

/// A path with something in place of each parameter.
fn some(path: &str) -> String {
    [
        ("{id}", "1"),
        ("{player}", "ada"),
        ("{room}", "lobby"),
        ("{name}", "a"),
        ("{product}", "cider"),
    ]
    .into_iter()
    .fold(path.to_owned(), |path, (parameter, value)| path.replace(parameter, value))
}

async fn document(app: &App) -> Value {
    app.get("/openapi.json").await.json()
}

#[tokio::test]
async fn every_route_is_documented_and_every_documented_route_exists() {
    let app = App::start().await;
    let mut routed = BTreeSet::new();
    for (path, methods) in http::api() {
        // The answer to a method that no route has names those that it has.
        let one = Router::new().route(path, methods).with_state(app.state.clone());
        let asked = App { router: one, ..App::start().await };
        let refused = asked.call(Method::TRACE, &some(path), None).await;
        assert_eq!(refused.status, 405, "{path}");
        let allowed = refused.header("allow").split(',').filter(|method| *method != "HEAD");
        routed.extend(allowed.map(|method| (path.to_owned(), method.to_owned())));
    }
    let documented: BTreeSet<_> = operations(&document(&app).await).into_keys().collect();
    assert_eq!(documented, routed);
    assert_eq!(routed.len(), 49, "the walk found them all");
}

/// A request to each operation for each status that it can be made to answer with while both stores are there.
///
/// `tasks` are the paths of one that waits, one that runs, and one that waits.
fn requests(
    tasks: [String; 3],
) -> Vec<(&'static str, &'static str, String, Body, Option<&'static str>)> {
    const JSON: Option<&str> = Some("application/json");
    const USER: &str = r#"{"name": "Ada", "email": "a@b.co"}"#;
    const TASK: &str = r#"{"name": "order", "body": {"order_id": "1"}, "unique": "order 1"}"#;
    const POINTS: &str = r#"{"player": "ada", "score": 1.5}"#;
    let none = || (Body::empty(), None);
    let text = |body: &'static str| (Body::from(body), JSON);
    let long = || (Body::from(format!("\"{}\"", "x".repeat(3 << 20))), JSON);
    let plain = || (Body::from(USER), Some("text/plain"));
    let mut all = Vec::new();
    let mut ask = |operation: (&'static str, &'static str), path: &str, (body, kind)| {
        all.push((operation.0, operation.1, path.to_owned(), body, kind));
    };
    let cold = ("POST", "/api/demo/cold_key");
    ask(cold, "/api/demo/cold_key", none());
    for (operation, path) in
        [(("POST", "/api/users"), "/api/users"), (("PUT", "/api/users/{id}"), "/api/users/1")]
    {
        ask(operation, path, text(USER));
        ask(operation, path, text(USER));
        ask(operation, path, text("{}"));
        ask(operation, path, plain());
        ask(operation, path, long());
    }
    ask(("PUT", "/api/users/{id}"), "/api/users/777", text(USER));
    ask(cold, "/api/demo/cold_key", none());
    let list = ("GET", "/api/users");
    ask(list, "/api/users", none());
    ask(list, "/api/users?limit=0", none());
    let find = ("GET", "/api/users/{id}");
    ask(find, "/api/users/1", none());
    ask(find, "/api/users/0", none());
    ask(find, "/api/users/123456", none());
    let delete = ("DELETE", "/api/users/{id}");
    ask(delete, "/api/users/1", none());
    ask(delete, "/api/users/1", none());
    ask(delete, "/api/users/x", none());
    ask(("GET", "/api/stats/page_views"), "/api/stats/page_views", none());
    let update = ("POST", "/api/leaderboard/update");
    ask(update, "/api/leaderboard/update", text(POINTS));
    ask(update, "/api/leaderboard/update", text("{}"));
    ask(update, "/api/leaderboard/update", plain());
    ask(update, "/api/leaderboard/update", long());
    let top = ("GET", "/api/leaderboard");
    ask(top, "/api/leaderboard", none());
    ask(top, "/api/leaderboard?limit=0", none());
    let standing = ("GET", "/api/leaderboard/{player}");
    ask(standing, "/api/leaderboard/ada", none());
    ask(standing, "/api/leaderboard/nobody", none());
    ask(standing, "/api/leaderboard/ada?around=99", none());
    let standing_of_update = ("GET", "/api/leaderboard/update");
    ask(standing_of_update, "/api/leaderboard/update", none());
    ask(update, "/api/leaderboard/update", text(r#"{"player": "update"}"#));
    ask(standing_of_update, "/api/leaderboard/update", none());
    ask(standing_of_update, "/api/leaderboard/update?around=99", none());
    let put = ("POST", "/api/tasks");
    ask(put, "/api/tasks", text(TASK));
    ask(put, "/api/tasks", text(TASK));
    ask(put, "/api/tasks", text("{}"));
    ask(put, "/api/tasks", plain());
    ask(put, "/api/tasks", long());
    ask(("GET", "/api/tasks"), "/api/tasks", none());
    ask(("GET", "/api/tasks"), "/api/tasks?dead=101", none());
    let (find, cancel) = (("GET", "/api/tasks/{id}"), ("DELETE", "/api/tasks/{id}"));
    let [waits, runs, other] = &tasks;
    let nobody = "/api/tasks/0000000000000000000000";
    for path in [waits, runs, other, nobody, "/api/tasks/1"] {
        ask(find, path, none());
    }
    for path in [waits, waits, runs, nobody, "/api/tasks/1"] {
        ask(cancel, path, none());
    }
    ask(find, waits, none());
    super::requests::all(&mut ask);
    ask(("POST", "/api/demo/flash_sale"), "/api/demo/flash_sale", none());
    ask(("GET", "/api/demo/flash_sale"), "/api/demo/flash_sale", none());
    let history = ("GET", "/api/chat/{room}/messages");
    ask(history, "/api/chat/lobby/messages", none());
    ask(history, "/api/chat/lobby/messages?limit=0", none());
    ask(("GET", "/api/chat/{room}/ws"), "/api/chat/lobby/ws?name=Ada", none());
    ask(("POST", "/api/demo/killed_worker"), "/api/demo/killed_worker", none());
    ask(("GET", "/api/demo/killed_worker"), "/api/demo/killed_worker", none());
    for path in ["/api/overview", "/healthz", "/readyz", "/metrics"] {
        ask(("GET", path), path, none());
    }
    all
}

/// What only an outage brings, which `outage.rs` shows, or two callers at the same moment, or a slow socket, or one of its
/// own that speaks WebSocket.
const NOT_ASKED_FOR: [&str; 4] = ["101", "408", "429", "503"];

#[tokio::test]
async fn every_operation_answers_as_documented_in_status_and_body() {
    http::metrics::collect();
    let app = App::start().await;
    let mut app = app;
    let launcher = Launcher::new(env!("CARGO_BIN_EXE_russet"), ["--no-such-flag"], Vec::new());
    app.state.killed_worker = app.state.killed_worker.clone().with_launcher(launcher);
    app.router = http::app(app.state.clone());
    let document = document(&app).await;
    let operations = operations(&document);
    let tasks = tasks(&app).await;
    let mut seen: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for (method, route, path, body, kind) in requests(tasks) {
        let mut request = Request::builder().method(method).uri(&path);
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        let answer = app.send(request.body(body).unwrap()).await;
        let operation = (route.to_owned(), method.to_owned());
        let status = answer.status.as_str().to_owned();
        let documented = operations[&operation]["responses"].get(&status);
        let documented =
            documented.unwrap_or_else(|| panic!("{method} {path}: {status} is not documented"));
        check_answer(&document, documented, &answer, &format!("{method} {path}: {status}"));
        seen.entry(operation).or_default().insert(status);
    }
    for (method, route, answer) in super::accounts::each_answer(&app).await {
        let (operation, status) =
            ((route.to_owned(), method.to_owned()), answer.status.as_str().to_owned());
        let what = format!("{method} {route}: {status}");
        let documented = operations[&operation]["responses"].get(&status);
        let documented = documented.unwrap_or_else(|| panic!("{what} is not documented"));
        check_answer(&document, documented, &answer, &what);
        seen.entry(operation).or_default().insert(status);
    }
    for (operation, described) in operations {
        let statuses = described["responses"].as_object().unwrap().keys().cloned();
        let expected: BTreeSet<_> =
            statuses.filter(|status| !NOT_ASKED_FOR.contains(&status.as_str())).collect();
        assert_eq!(seen.get(&operation), Some(&expected), "{operation:?}");
    }
}

/// The paths of a task that waits, of one that runs, and of one that waits; the queue gives no more afterwards.
async fn tasks(app: &App) -> [String; 3] {
    let queue = &app.state.tasks;
    let task = json!({"name": "order", "body": {"order_id": "0"}});
    let mut paths = Vec::new();
    for _ in 0..3 {
        let put = app.post("/api/tasks", task.clone()).await;
        paths.push(put.header("location").to_owned());
    }
    let taken = queue.receive(std::time::Duration::from_secs(9)).await.unwrap().unwrap();
    let runs = format!("/api/tasks/{}", taken.id());
    // A task that died, so that there is one to list.
    let dead = queue.receive(std::time::Duration::from_secs(9)).await.unwrap().unwrap();
    assert_eq!(dead.dead_letter("no use").await.unwrap(), russet::Settled::Done);
    [paths.remove(2), runs, paths.remove(1)]
}

fn check_answer(document: &Value, documented: &Value, answer: &Answer, what: &str) {
    let headers = documented["headers"].as_object();
    for name in headers.into_iter().flat_map(serde_json::Map::keys) {
        assert_ne!(answer.header(name), "", "{what}: the header {name} is documented");
    }
    let Some(content) = documented["content"].as_object() else {
        assert!(answer.body.is_empty(), "{what}: no body is documented");
        return;
    };
    let kind = answer.header("content-type").split(';').next().unwrap();
    let schema =
        &content.get(kind).unwrap_or_else(|| panic!("{what}: {kind} is not documented"))["schema"];
    if kind == "application/json" {
        let body = serde_json::from_slice(&answer.body).unwrap();
        check(document, schema, &body, what);
    }
}

/// Holds a value to a schema of the few words that this document uses.
fn check(document: &Value, schema: &Value, value: &Value, what: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        return check(document, resolve(document, reference), value, what);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let null = choices.iter().any(|choice| choice["type"] == "null");
        if null && value.is_null() {
            return;
        }
        let other = choices.iter().find(|choice| choice["type"] != "null").unwrap();
        return check(document, other, value, what);
    }
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let types: Vec<_> = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(all) => all.iter().map(|one| one.as_str().unwrap()).collect(),
        other => panic!("{what}: a schema with the type {other}"),
    };
    let fits = types.contains(&found) || (found == "integer" && types.contains(&"number"));
    assert!(fits, "{what}: {value} is no {types:?}");
    if let (Some(least), Some(number)) = (schema["minimum"].as_f64(), value.as_f64()) {
        assert!(number >= least, "{what}: {value} is below {least}");
    }
    for item in value.as_array().into_iter().flatten() {
        check(document, &schema["items"], item, what);
    }
    let Some(fields) = value.as_object() else { return };
    for name in schema["required"].as_array().into_iter().flatten() {
        assert!(
            fields.contains_key(name.as_str().unwrap()),
            "{what}: {name} is missing in {value}"
        );
    }
    // An object without any may have what it likes: the fields of a task are its own.
    let Some(properties) = schema.get("properties") else { return };
    for (name, field) in fields {
        let described = properties.get(name);
        let described = described.unwrap_or_else(|| panic!("{what}: {name} is not documented"));
        check(document, described, field, &format!("{what}: {name}"));
    }
}

fn resolve<'a>(document: &'a Value, reference: &str) -> &'a Value {
    let pointer = reference.strip_prefix('#').expect("a reference into the document itself");
    document.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"))
}

#[tokio::test]
async fn the_document_has_the_shape_of_openapi_3_1() {
    let app = App::start().await;
    let document = document(&app).await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."), "{}", document["openapi"]);
    assert_eq!(document["info"]["title"], "russet");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let tags: BTreeSet<_> =
        document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).map(text).collect();
    let mut names = BTreeSet::new();
    for ((path, method), operation) in operations(&document) {
        let what = format!("{method} {path}");
        assert!(
            names.insert(text(&operation["operationId"])),
            "{what}: its operationId is another's too"
        );
        assert!(!text(&operation["summary"]).is_empty(), "{what}");
        assert!(
            operation["tags"].as_array().unwrap().iter().all(|tag| tags.contains(&text(tag))),
            "{what}"
        );
        let in_path: BTreeSet<_> = path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .map(str::to_owned)
            .collect();
        let mut described = BTreeSet::new();
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(
                parameter["schema"].is_object() && parameter["description"].is_string(),
                "{what}: {parameter}"
            );
            match text(&parameter["in"]).as_str() {
                "path" => {
                    assert_eq!(parameter["required"], true, "{what}: {parameter}");
                    described.insert(text(&parameter["name"]));
                }
                place => assert_eq!(place, "query", "{what}: {parameter}"),
            }
        }
        assert_eq!(described, in_path, "{what}");
        let has_no_body =
            path.starts_with("/api/demo/") || path.ends_with("/confirm") || path == "/api/logout";
        let takes_body = method == "PUT" || (method == "POST" && !has_no_body);
        assert_eq!(
            operation["requestBody"]["content"].get("application/json").is_some(),
            takes_body,
            "{what}"
        );
        for (status, answer) in operation["responses"].as_object().unwrap() {
            assert!((100..600).contains(&status.parse::<u16>().unwrap()), "{what}: {status}");
            assert!(!text(&answer["description"]).is_empty(), "{what}: {status}");
        }
    }
    references(&document, &mut |reference| {
        resolve(&document, reference);
    });
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

fn references(value: &Value, visit: &mut impl FnMut(&str)) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if let ("$ref", Some(reference)) = (name.as_str(), field.as_str()) {
                    visit(reference);
                }
                references(field, visit);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, visit)),
        _ => {}
    }
}

#[tokio::test]
async fn examples_in_the_document_are_taken() {
    let app = App::start().await;
    // What the paths of the examples name.
    app.put("/api/stock/cider", json!({"total": 10})).await.json();
    let wish = json!({"product": "cider", "user": "bob", "request_id": "1"});
    app.post("/api/reservations", wish).await.json();
    super::accounts::add(&app, "admin", "correct horse battery", &[]).await;
    let document = document(&app).await;
    for ((path, method), operation) in operations(&document) {
        let Some(schema) =
            operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str()
        else {
            continue;
        };
        let fields = resolve(&document, schema)["properties"].as_object().unwrap();
        let examples = fields.iter().filter(|(_, field)| field["example"] != Value::Null);
        let body: serde_json::Map<_, _> =
            examples.map(|(name, field)| (name.clone(), field["example"].clone())).collect();
        let answer = app.call(method.parse().unwrap(), &some(&path), Some(json!(body))).await;
        assert!(answer.status.is_success(), "{method} {path} with {body:?}: {}", answer.text());
    }
}
