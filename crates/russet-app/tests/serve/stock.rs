//! `russet stock`: what an operator sees and sets.

use russet::{Inventory, Reservation};
use serde_json::json;

use super::operator::stage;

#[tokio::test]
async fn stock_is_seen_and_set_and_never_below_what_is_gone() {
    let stage = stage("stock").await;
    assert_eq!(stage.text(&["get"]).await, "no products");
    let (code, output) = stage.run(&["get", "ticket"]).await;
    assert!(code == 3 && output.contains("no such product: ticket"), "{output}");
    let set = stage.json(&["set", "ticket", "10"]).await;
    assert_eq!(
        set,
        json!({"product": "ticket", "free": 10, "reserved": 0, "sold": 0, "total": 10})
    );

    let shop = Inventory::builder(&stage.russet, "default").build().unwrap();
    let held = shop.reserve("ticket", 3).user("ada").request_id("order 1").await.unwrap();
    assert!(matches!(held, Reservation::Held(_)));
    let held = shop.reserve("ticket", 4).request_id("order 2").await.unwrap();
    assert!(matches!(held, Reservation::Held(_)));
    let _ = shop.confirm("order 2").await.unwrap();
    assert_eq!(stage.text(&["get", "ticket"]).await, "3 free, 3 reserved, 4 sold, 10 in all");
    let (code, output) = stage.run(&["set", "ticket", "6"]).await;
    assert!(code == 4 && output.contains("less than what is reserved and sold: 7"), "{output}");
    assert_eq!(stage.json_of(4, &["set", "ticket", "6"]).await["total"], 10);
    assert_eq!(stage.json(&["set", "ticket", "7"]).await["free"], 0);
    // The same change, done once.
    for _ in 0..2 {
        let words = ["set", "ticket", "20", "--request-id", "delivery 7"];
        assert_eq!(stage.json(&words).await["total"], 20);
    }

    let listed = stage.json(&["reservations"]).await;
    let one = &listed["reservations"][0];
    assert_eq!(listed["reservations"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&one["id"], &one["user"], &one["quantity"]),
        (&json!("order 1"), &json!("ada"), &json!(3))
    );
    let text = stage.text(&["reservations"]).await;
    assert!(text.contains("order 1") && text.contains("ada"), "{text}");
    assert_eq!(stage.text(&["reservations", "--offset", "1"]).await, "no reservations");
}

#[tokio::test]
async fn products_of_a_shop_are_listed_by_pages() {
    let stage = stage("stock").await;
    for product in ["a", "b", "c"] {
        stage.text(&["set", product, "5", "--shop", "west"]).await;
    }
    let page = stage.json(&["get", "--shop", "west", "--limit", "2"]).await;
    assert_eq!((page["products"].as_array().unwrap().len(), &page["after"]), (2, &json!("b")));
    let rest = stage.json(&["get", "--shop", "west", "--after", "b"]).await;
    assert_eq!((&rest["products"][0]["product"], &rest["after"]), (&json!("c"), &json!(null)));
    assert_eq!(stage.text(&["get"]).await, "no products", "of the shop named default");
}
