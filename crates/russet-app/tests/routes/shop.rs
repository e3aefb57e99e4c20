//! `/api/stock`, `/api/reservations` and `/api/demo/flash_sale`.

use std::time::Duration;

use futures_util::future::join_all;
use russet::testing::eventually;
use serde_json::{Value, json};

use crate::support::{Answer, App};

const LONG: Duration = Duration::from_secs(120);

/// The body of a refusal that tells more than its text.
#[track_caller]
fn conflict(answer: &Answer) -> Value {
    assert_eq!(answer.status, 409, "{}", answer.text());
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["request_id"], answer.header("x-request-id"));
    assert!(!body["error"].as_str().unwrap().is_empty());
    body
}

async fn stock(app: &App, product: &str) -> [u64; 4] {
    let stock = app.get(&format!("/api/stock/{product}")).await.json();
    assert_eq!(stock["product"], product);
    ["total", "free", "reserved", "sold"].map(|part| stock[part].as_u64().unwrap())
}

async fn wish(app: &App, wish: Value) -> Answer {
    app.post("/api/reservations", wish).await
}

async fn confirm(app: &App, id: &str) -> Answer {
    app.call(axum::http::Method::POST, &format!("/api/reservations/{id}/confirm"), None).await
}

#[tokio::test]
async fn units_are_reserved_and_then_sold_or_given_back() {
    let app = App::start().await;
    app.get("/api/stock/cider").await.error(404);
    let made = app.put("/api/stock/cider", json!({"total": 10})).await.json();
    assert_eq!(
        made,
        json!({"product": "cider", "total": 10, "free": 10, "reserved": 0, "sold": 0})
    );

    let body = json!({"product": "cider", "quantity": 3, "user": "ada", "request_id": "order/7", "hold": 600});
    let first = wish(&app, body.clone()).await;
    assert_eq!(
        (first.status.as_u16(), first.header("location")),
        (201, "/api/reservations/order%2F7")
    );
    let held = first.json();
    assert_eq!(
        (&held["id"], &held["state"], &held["quantity"]),
        (&json!("order/7"), &json!("held"), &json!(3))
    );
    assert!((500.0..=600.0).contains(&held["left"].as_f64().unwrap()), "{held}");
    assert!(held["until"].as_f64().unwrap() > 1.7e9);
    assert_eq!(stock(&app, "cider").await, [10, 7, 3, 0]);
    // The same call once more does nothing.
    let again = wish(&app, body.clone()).await;
    assert_eq!((again.status.as_u16(), &again.json()["until"]), (200, &held["until"]));
    let found = app.get(first.header("location")).await.json();
    assert_eq!((&found["user"], &found["until"]), (&json!("ada"), &held["until"]));
    assert_eq!(app.get("/api/reservations").await.json()[0]["id"], "order/7");

    for _ in 0..2 {
        assert_eq!(
            confirm(&app, "order%2F7").await.json(),
            json!({"id": "order/7", "state": "sold"})
        );
    }
    assert_eq!(stock(&app, "cider").await, [10, 7, 0, 3]);
    assert_eq!(wish(&app, body).await.json()["state"], "sold", "as it is by now");
    let late = app.delete("/api/reservations/order%2F7").await;
    assert_eq!(conflict(&late)["state"], "sold");

    let other = wish(&app, json!({"product": "cider", "user": "bob"})).await.json();
    assert_eq!((&other["quantity"], other["id"].as_str().unwrap().len()), (&json!(1), 32));
    let path = format!("/api/reservations/{}", other["id"].as_str().unwrap());
    let extended = app.post(&format!("{path}/extend"), json!({"hold": 3_000})).await.json();
    assert!(extended["left"].as_f64().unwrap() > 2_000.0, "{extended}");
    assert_eq!(app.delete(&path).await.json()["state"], "cancelled");
    let ended = app.post(&format!("{path}/extend"), json!({"hold": 60})).await;
    assert_eq!(conflict(&ended)["state"], "cancelled");
    assert_eq!(app.get(&path).await.json()["left"], 0.0);
    assert_eq!(stock(&app, "cider").await, [10, 7, 0, 3]);
    assert_eq!(app.get("/api/reservations").await.json(), json!([]));
}

#[tokio::test]
async fn a_conflict_tells_how_many_could_be_had() {
    let app = App::start().await;
    app.put("/api/stock/cider", json!({"total": 15})).await.json();
    app.put("/api/stock/none", json!({"total": 0})).await.json();
    let wished = |product: &str, quantity: u64, user: &str| json!({"product": product, "quantity": quantity, "user": user});
    assert_eq!(wish(&app, wished("cider", 8, "ada")).await.status, 201);
    // Of one user, ten in all.
    let over = wish(&app, wished("cider", 3, "ada")).await;
    assert_eq!(conflict(&over)["available"], 2);
    let many = wish(&app, wished("cider", 8, "bob")).await;
    assert_eq!(conflict(&many)["available"], 7);
    assert_eq!(conflict(&wish(&app, wished("none", 1, "bob")).await)["available"], 0);
    assert_eq!(
        wish(&app, wished("unknown", 1, "bob")).await.error(404),
        "there is no product of this name"
    );
    assert_eq!(stock(&app, "cider").await, [15, 7, 8, 0]);
}

#[tokio::test]
async fn a_reservation_whose_time_has_passed_is_expired_and_its_units_free() {
    let app = App::start().await;
    app.put("/api/stock/cider", json!({"total": 1})).await.json();
    let held = json!({"product": "cider", "user": "ada", "hold": 0.02, "request_id": "one"});
    assert_eq!(wish(&app, held).await.status, 201);
    eventually(LONG, async || {
        match app.get("/api/reservations/one").await.json()["state"].as_str() {
            Some("expired") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_eq!(conflict(&confirm(&app, "one").await)["state"], "expired");
    assert_eq!(stock(&app, "cider").await, [1, 1, 0, 0]);
    assert_eq!(wish(&app, json!({"product": "cider", "user": "bob"})).await.status, 201);
}

#[tokio::test]
async fn a_total_is_set_and_adjusted_and_never_below_what_is_taken() {
    let app = App::start().await;
    let adjust = async |body: Value| app.post("/api/stock/cider/adjust", body).await;
    assert_eq!(adjust(json!({"units": 5})).await.json()["total"], 5);
    let once = json!({"units": 3, "request_id": "delivery 1"});
    for _ in 0..2 {
        assert_eq!(adjust(once.clone()).await.json()["total"], 8);
    }
    let other = adjust(json!({"units": 4, "request_id": "delivery 1"})).await.error(400);
    assert!(other.contains("request id"), "{other}");
    let set = json!({"total": 9, "request_id": "stocktaking"});
    assert_eq!(app.put("/api/stock/cider", set.clone()).await.json()["total"], 9);
    assert_eq!(adjust(json!({"units": -3})).await.json()["total"], 6);
    assert_eq!(app.put("/api/stock/cider", set).await.json()["total"], 9, "the first answer");
    assert_eq!(stock(&app, "cider").await, [6, 6, 0, 0]);

    wish(&app, json!({"product": "cider", "quantity": 4, "user": "ada", "request_id": "one"}))
        .await
        .json();
    let low = app.put("/api/stock/cider", json!({"total": 3})).await;
    assert_eq!((&conflict(&low)["reserved"], &conflict(&low)["sold"]), (&json!(4), &json!(0)));
    assert_eq!(conflict(&adjust(json!({"units": -3})).await)["reserved"], 4);
    assert_eq!(app.delete("/api/stock/cider").await.error(409), "units of it are reserved");
    assert_eq!(stock(&app, "cider").await, [6, 2, 4, 0]);
    confirm(&app, "one").await.json();
    assert_eq!(app.delete("/api/stock/cider").await.status, 204);
    app.delete("/api/stock/cider").await.error(404);
}

#[tokio::test]
async fn products_are_listed_page_by_page() {
    let app = App::start().await;
    let names: Vec<_> = (0..25).map(|n| format!("product {n:02}/&")).collect();
    for name in &names {
        let path = format!(
            "/api/stock/{}",
            name.replace(' ', "%20").replace('/', "%2F").replace('&', "%26")
        );
        app.put(&path, json!({"total": 1})).await.json();
    }
    let page = async |query: &str| {
        let page = app.get(&format!("/api/stock{query}")).await.json();
        let name = |one: &Value| one["product"].as_str().unwrap().to_owned();
        page.as_array().unwrap().iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(page("").await, names[..20]);
    assert_eq!(page("?after=product%2019%2F%26").await, names[20..]);
    assert_eq!(page("?limit=100").await, names);
    for wrong in ["?limit=0", "?limit=101", "?limit=x"] {
        app.get(&format!("/api/stock{wrong}")).await.error(400);
        app.get(&format!("/api/reservations{wrong}")).await.error(400);
    }
    app.get("/api/reservations?offset=1000001").await.error(400);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_says_why() {
    let app = App::start().await;
    app.put("/api/stock/cider", json!({"total": 5})).await.json();
    let long = "x".repeat(257);
    for (change, word) in [
        (json!({"product": ""}), "product"),
        (json!({"product": "a\nb"}), "control"),
        (json!({"product": long}), "256"),
        (json!({"user": " "}), "user"),
        (json!({"user": "a\u{7}"}), "control"),
        (json!({"user": long}), "256"),
        (json!({"user": null}), "missing"),
        (json!({"quantity": 0}), "quantity"),
        (json!({"quantity": -1}), "integer"),
        (json!({"quantity": 1.5}), "floating"),
        (json!({"quantity": 9_007_199_254_740_993_u64}), "2^53"),
        (json!({"hold": 0}), "hold"),
        (json!({"hold": 86_401}), "hold"),
        (json!({"hold": "60"}), "string"),
        (json!({"request_id": ""}), "request_id"),
        (json!({"request_id": long}), "256"),
        (json!({"colour": "red"}), "colour"),
    ] {
        let mut body = json!({"product": "cider", "quantity": 1, "user": "ada"});
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let refused = wish(&app, body).await.error(400);
        assert!(refused.contains(word), "{change}: {refused}");
    }
    for body in [
        json!({}),
        json!({"total": -1}),
        json!({"total": 1.5}),
        json!({"total": 9_007_199_254_740_993_u64}),
    ] {
        app.put("/api/stock/cider", body).await.error(400);
    }
    for body in
        [json!({}), json!({"units": 1.5}), json!({"units": i64::MIN}), json!({"units": "1"})]
    {
        app.post("/api/stock/cider/adjust", body).await.error(400);
    }
    for hold in [json!(0), json!(-1), json!(1e300), json!("x")] {
        app.post("/api/reservations/one/extend", json!({"hold": hold})).await.error(400);
    }
    for path in ["%20", "a%00", "%FF", &long] {
        app.get(&format!("/api/stock/{path}")).await.error(400);
        app.get(&format!("/api/reservations/{path}")).await.error(400);
        confirm(&app, path).await.error(400);
        app.delete(&format!("/api/reservations/{path}")).await.error(400);
    }
    for path in ["one", "%3Cb%3E"] {
        confirm(&app, path).await.error(404);
    }
    assert_eq!(stock(&app, "cider").await, [5, 5, 0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flash_sale_sells_each_unit_once_and_runs_once_at_a_time() {
    let app = App::start().await;
    assert_eq!(app.get("/api/demo/flash_sale").await.json()["phase"], "idle");
    for _ in 0..2 {
        let mut answers =
            join_all((0..4).map(|_| app.post("/api/demo/flash_sale", json!({})))).await;
        answers.sort_by_key(|answer| answer.status);
        assert_eq!(answers[0].status, 202);
        for busy in &answers[1..] {
            assert_eq!(busy.error(429), "another run is under way");
            assert_eq!(busy.header("retry-after"), "1");
        }
        let over = eventually(LONG, async || {
            let now = app.get("/api/demo/flash_sale").await.json();
            let stock = &now["stock"];
            if !stock.is_null() {
                let units = ["free", "reserved", "sold"].map(|part| stock[part].as_u64().unwrap());
                assert_eq!(units.iter().sum::<u64>(), 100, "{stock}");
            }
            match now["phase"].as_str() {
                Some("over" | "failed") => Ok(now),
                phase => Err(format!("{phase:?} {stock}")),
            }
        })
        .await;
        assert_eq!((&over["phase"], &over["error"]), (&json!("over"), &Value::Null), "{over}");
        let buyers = over["buyers"].as_str().unwrap();
        let how_many = |state: char| buyers.chars().filter(|one| *one == state).count();
        assert_eq!(buyers.len(), 1_000);
        assert_eq!((how_many('w'), how_many('h'), how_many('f')), (0, 0, 0), "{buyers}");
        assert_eq!(how_many('b'), 100);
        assert_eq!((&over["bought"], &over["stock"]["sold"]), (&json!(100), &json!(100)));
        assert!(over["looks"].as_u64() > Some(1));
        // Of a hundred who hold one, ten give it back and ten do not pay: it is not over with the first hundred.
        assert!(how_many('c') > 0 && how_many('e') > 0, "{buyers}");
    }
}
