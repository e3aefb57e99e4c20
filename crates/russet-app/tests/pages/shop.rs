//! What the shop's page does.

use crate::browser::{self, Page};

const PRODUCTS: &str = "#shop .products";

/// Reserves so many as whoever is named.
async fn reserve(page: &Page, product: &str, quantity: &str) {
    page.fill(&format!("[data-product={product}] input"), quantity).await;
    page.click(&format!("[data-product={product}] button")).await;
}

/// The figures of a product: free, reserved, sold, total.
async fn figures(page: &Page, product: &str) -> Vec<String> {
    let rows = page.table(PRODUCTS).await;
    rows.into_iter().find(|row| row[0] == product).unwrap()[1..5].to_vec()
}

/// The n-th of one's reservations, from 0.
fn mine(nth: usize, part: &str) -> String {
    format!("#shop .mine li:nth-child({}) {part}", nth + 1)
}

#[tokio::test]
async fn what_is_reserved_counts_down_and_is_paid_given_back_or_expired() {
    let Some((app, page)) = browser::open("/shop").await else { return };
    assert_eq!(figures(&page, "cider").await, ["20", "0", "0", "20"]);
    page.shows("#shop .none", |text| text == "You have reserved nothing yet.").await;
    page.fill("#buyer", "Ada").await;
    reserve(&page, "cider", "3").await;
    page.shows(&mine(0, ".what"), |text| text == "3 × cider").await;
    page.shows("#shop .message", |text| text == "Reserved: 3 × cider").await;
    assert_eq!(page.text("#shop .none").await, "");
    let first = page.shows(&mine(0, ".how"), |text| text.ends_with(" left")).await;
    assert!(first.starts_with("5:00") || first.starts_with("4:"), "{first}");
    page.shows(&mine(0, ".how"), |text| text < first.as_str()).await;
    page.until("document.querySelector('[data-product=cider]').cells[2].textContent === '3'").await;
    assert_eq!(figures(&page, "cider").await, ["17", "3", "0", "20"]);

    page.click(&mine(0, "button")).await;
    page.shows(&mine(0, ".how"), |text| text == "bought").await;
    assert_eq!(page.text(&mine(0, "button")).await, "", "there is nothing more to do");
    assert_eq!(figures(&page, "cider").await, ["17", "0", "3", "20"]);

    reserve(&page, "cider", "2").await;
    page.shows(&mine(0, ".what"), |text| text == "2 × cider").await;
    page.click(&mine(0, "button:nth-of-type(3)")).await;
    page.shows(&mine(0, ".how"), |text| text == "given back").await;
    assert_eq!(figures(&page, "cider").await, ["17", "0", "3", "20"]);

    reserve(&page, "cider", "1").await;
    page.shows(&mine(0, ".what"), |text| text == "1 × cider").await;
    let id = app.state.shop.reservations(0, 1).await.unwrap().remove(0).id;
    // Somebody else makes it shorter; asked for more time, the page shows that, and then its end.
    let brief = std::time::Duration::from_millis(1);
    let _ = app.state.shop.extend(&id, std::time::Duration::from_secs(60)).await.unwrap();
    page.click(&mine(0, "button:nth-of-type(2)")).await;
    page.shows(&mine(0, ".how"), |text| text.starts_with("5:00") || text.starts_with("4:")).await;
    let _ = app.state.shop.extend(&id, brief).await.unwrap();
    page.refresh().await.unwrap();
    page.shows(&mine(0, ".how"), |text| text == "its time has passed").await;
    // All of it is remembered over a reload, and so is the name.
    page.shows(&mine(2, ".how"), |text| text == "bought").await;
    assert_eq!(page.run::<String>("return document.querySelector('#buyer').value").await, "Ada");
}

#[tokio::test]
async fn a_countdown_that_ends_shows_the_end_by_itself() {
    let Some((app, page)) = browser::open("/shop").await else { return };
    let shop = &app.state.shop;
    let reserve = shop.reserve("cider", 1).user("Ada").hold(std::time::Duration::from_secs(3));
    let russet::Reservation::Held(held) = reserve.await.unwrap() else { panic!("20 are free") };
    page.run::<()>(&format!("remember(['{}'])", held.id)).await;
    page.refresh().await.unwrap();
    page.shows(&mine(0, ".how"), |text| text == "its time has passed").await;
    page.until("document.querySelector('[data-product=cider]').cells[1].textContent === '20'")
        .await;
}

#[tokio::test]
async fn what_is_refused_says_why_and_how_many_could_be_had() {
    let Some((app, page)) = browser::open("/shop").await else { return };
    page.fill("#buyer", "Ada").await;
    reserve(&page, "apple-pie", "6").await;
    page.shows("#shop .message", |text| {
        text == "That did not work: not so many are free. 5 could be had."
    })
    .await;
    reserve(&page, "cider", "11").await;
    page.shows("#shop .message", |text| {
        text == "That did not work: this user may not have so many. 10 could be had."
    })
    .await;
    assert_eq!(page.text("#shop .mine").await, "");
    // Without a name nothing is sent.
    page.fill("#buyer", " ").await;
    reserve(&page, "cider", "1").await;
    assert_eq!(app.state.shop.reservations(0, 10).await.unwrap().len(), 0);
}

#[tokio::test]
async fn what_others_do_shows_by_itself_and_names_are_text() {
    let Some((app, page)) = browser::open("/shop").await else { return };
    page.run::<()>("window.sameVisit = true").await;
    page.fill("[data-product=bramley] input", "7").await;
    let name = "<img src=x onerror=document.title='run'>";
    let _ = app.state.shop.set_stock(name, 7).await.unwrap();
    let _ = app.state.shop.reserve("bramley", 4).user("bob").await.unwrap();
    page.until("document.querySelector('[data-product=bramley]').cells[2].textContent === '4'")
        .await;
    page.shows(PRODUCTS, |text| text.contains(name)).await;
    assert!(
        page.run::<bool>("return window.sameVisit && !document.querySelector('main img')").await
    );
    // What somebody was typing is still there.
    let typed = "return document.querySelector('[data-product=bramley] input').value";
    assert_eq!(page.run::<String>(typed).await, "7");
    page.go("/shop").await;
    assert!(page.run::<bool>("return !document.querySelector('main img')").await);
}

#[tokio::test]
async fn while_redis_is_away_the_shop_says_so_and_comes_back() {
    let Some((app, page)) = browser::open("/shop").await else { return };
    app.redis.kill().await.unwrap();
    page.shows(PRODUCTS, |text| text.ends_with("away")).await;
    page.go("/shop").await;
    assert_eq!(page.table(PRODUCTS).await, [["away"]]);
    app.redis.restart().await.unwrap();
    page.shows(PRODUCTS, |text| {
        text.contains("The shop has no products.") || text.contains("cider")
    })
    .await;
}
