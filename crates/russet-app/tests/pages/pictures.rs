//! The pictures in the README, of the application as it is. `make screenshots` keeps them; the ordinary run takes
//! some, throws them away, and so shows that they can be taken.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::browser::{self, App, PHONE, Page};

/// The folder for the pictures.
const VARIABLE: &str = "RUSSET_SCREENSHOTS";
const DESKTOP: (u32, u32) = (1_200, 900);
/// Name, query, window, and a user to look up. The ordinary run takes the last two.
const PICTURES: [(&str, &str, (u32, u32), &str); 4] = [
    ("home-light", "lang=en&theme=light", DESKTOP, "7"),
    ("home-dark", "lang=en&theme=dark", DESKTOP, "12"),
    ("home-zh", "lang=zh&theme=light", DESKTOP, "23"),
    ("home-phone", "lang=en&theme=light", (PHONE.0, 1_640), "42"),
];

/// What other people have done here.
async fn liven_up(app: &App) {
    for (player, points) in [
        ("Ada", 12_480.0),
        ("Grace", 11_905.5),
        ("小林", 11_230.0),
        ("Edsger", 9_875.0),
        ("Radia", 9_640.0),
    ] {
        app.post("/api/leaderboard/update", json!({ "player": player, "score": points })).await;
    }
    for _ in 0..127 {
        app.get("/api/stats/page_views").await;
    }
}

/// Looks a user up twice and one that is unknown, lets the 1,000 callers go, opens a sale, and kills a worker.
async fn use_the_page(page: &Page, user: &str) {
    let unknown = format!("47{user}");
    for (count, id) in [user, user, &unknown].into_iter().enumerate() {
        page.fill("#user-id", id).await;
        page.click("#lookup button").await;
        page.until(&format!("document.querySelectorAll('#lookup tbody tr').length > {count}"))
            .await;
    }
    page.run_cold_key().await;
    page.run_flash_sale().await;
    page.run_killed_worker().await;
    page.run::<()>("document.activeElement.blur(); scrollTo(0, 0)").await;
}

/// A picture of the window, or with `whole` of the whole page.
async fn picture(page: &Page, size: (u32, u32), whole: bool, scale: f32) -> Vec<u8> {
    let height = page.run::<u32>("return document.documentElement.scrollHeight").await;
    let (width, height) = if whole { (size.0, height) } else { size };
    page.resize((width, height), scale).await;
    let png = page.screenshot_as_png().await.unwrap();
    // The size stands at the beginning of the file.
    let side = |at| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    let wanted = [width, height].map(|pixels| (pixels as f32 * scale).round() as u32);
    assert_eq!([side(16), side(20)], wanted);
    png
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pictures_of_the_readme_can_be_taken() {
    if browser::left_out() {
        return;
    }
    let kept = std::env::var_os(VARIABLE).map(PathBuf::from);
    let thrown_away = TempDir::new().unwrap();
    let (folder, pictures) = match &kept {
        Some(folder) => (folder.as_path(), &PICTURES[..]),
        None => (thrown_away.path(), &PICTURES[2..]),
    };
    let app = App::start(Duration::ZERO).await;
    liven_up(&app).await;
    let page = Page::open(&app, "en").await;
    page.prefer(&[("prefers-reduced-motion", "reduce")]).await;
    for &(name, query, size, user) in pictures {
        page.resize(size, 1.0).await;
        page.go(&format!("/?{query}")).await;
        use_the_page(&page, user).await;
        let phone = size.0 == PHONE.0;
        let png = picture(&page, size, !phone, if phone { 1.6 } else { 1.0 }).await;
        assert!(png.len() > 20_000, "{name} is blank");
        std::fs::write(folder.join(format!("{name}.png")), png).unwrap();
    }
}
