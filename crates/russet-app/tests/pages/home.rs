//! What the home page does.

use std::time::Duration;

use serde_json::json;

use crate::browser::{self, App, Page};

const LOOKED_UP: &str = "#lookup table";
const BOARD: &str = "#leaderboard table";

/// Looks a user up and answers the new line: user, source, time, commands.
async fn look_up(page: &Page, id: &str) -> Vec<String> {
    let before = page.table(LOOKED_UP).await.len();
    page.fill("#user-id", id).await;
    page.click("#lookup button").await;
    page.until(&format!("document.querySelector('{LOOKED_UP}').tBodies[0].rows.length > {before}"))
        .await;
    page.table(LOOKED_UP).await.remove(0)
}

fn milliseconds(text: &str) -> f64 {
    text.strip_suffix(" ms").unwrap().replace(',', "").parse().unwrap()
}

async fn add_points(page: &Page, player: &str, points: &str) {
    page.fill("#leaderboard input[name=player]", player).await;
    page.fill("#leaderboard input[name=score]", points).await;
    page.click("#leaderboard button").await;
}

/// In the process, in Redis.
const HITS: [&str; 2] = ["hit in the process", "cache hit"];

#[tokio::test]
async fn a_look_up_shows_miss_then_hit_with_time_and_commands() {
    let Some((app, page)) = browser::open("/").await else { return };
    let first = look_up(&page, "1").await;
    assert!(
        first[0].contains("1 · Donald Fuji") && first[0].contains("donald.fuji1@"),
        "{first:?}"
    );
    assert_eq!(first[1], "miss: read from SQL");
    assert!(milliseconds(&first[2]) > 0.0, "{first:?}");
    assert!(first[3].parse::<u32>().unwrap() > 1, "{first:?}");

    let gets = app.redis.calls("get").await.unwrap();
    let second = look_up(&page, "1").await;
    assert_eq!(second[0], first[0]);
    assert!(milliseconds(&second[2]) > 0.0, "{second:?}");
    // As many commands as the page says and the server counted: none once the process keeps copies.
    let commands = second[3].parse::<u64>().unwrap();
    assert!(HITS[usize::from(commands == 1)] == second[1] && commands <= 1, "{second:?}");
    assert_eq!(app.redis.calls("get").await.unwrap() - gets, commands);
}

#[tokio::test]
async fn an_unknown_user_is_shown_as_none_and_remembered() {
    let Some((_app, page)) = browser::open("/").await else { return };
    // The largest id: a number of JavaScript cannot hold it.
    let id = i64::MAX.to_string();
    for sources in [&["miss: read from SQL"][..], &HITS] {
        let line = look_up(&page, &id).await;
        assert_eq!(line[0], format!("{id} · no such user"));
        assert!(sources.contains(&line[1].as_str()), "{line:?}");
    }
    let refused = look_up(&page, "0").await;
    assert!(refused[0].contains("the id must be a whole number from 1 to"), "{refused:?}");
}

#[tokio::test]
async fn points_from_the_form_reach_the_board() {
    let Some((_app, page)) = browser::open("/").await else { return };
    assert_eq!(page.table(BOARD).await[0], ["1", "player8", "9,310"]);
    page.run::<()>("window.sameVisit = true").await;

    add_points(&page, "Ada", "9310.5").await;
    page.shows("#leaderboard .message", |text| text == "Ada · Rank 1 · Score 9,310.5").await;
    page.until("document.querySelector('#leaderboard tbody').innerText.includes('Ada')").await;
    assert_eq!(page.table(BOARD).await[..2], [["1", "Ada", "9,310.5"], ["2", "player8", "9,310"]]);

    add_points(&page, "Ada", "-500").await;
    page.shows("#leaderboard .message", |text| text == "Ada · Rank 3 · Score 8,810.5").await;
    page.until(
        "document.querySelector('#leaderboard tbody').rows[0].innerText.includes('player8')",
    )
    .await;
    assert_eq!(page.table(BOARD).await[2][1..], ["Ada", "8,810.5"]);
    assert!(page.run::<bool>("return window.sameVisit").await, "the page was loaded again");
}

#[tokio::test]
async fn a_players_name_with_markup_is_shown_as_text() {
    let Some((app, page)) = browser::open("/").await else { return };
    let name = "<img src=x onerror=document.title='run'><b>&amp;";
    add_points(&page, name, "90000").await;
    // By the script, then by the server.
    page.until("document.querySelector('#leaderboard tbody').innerText.includes('90,000')").await;
    for _ in 0..2 {
        assert_eq!(page.table(BOARD).await[0], ["1", name, "90,000"]);
        assert!(page.run::<bool>("return !document.querySelector('main img, main b')").await);
        assert_ne!(page.title().await.unwrap(), "run");
        page.go("/").await;
    }
    app.put("/api/users/1", json!({ "name": name, "email": "a@example.com" })).await;
    assert!(look_up(&page, "1").await[0].contains(name));
    assert!(page.run::<bool>("return !document.querySelector('main img, main b')").await);
}

/// Presses the button and answers the number of queries that each run shows and draws.
async fn run_cold_key(page: &Page) -> [u32; 2] {
    page.run_cold_key().await;
    let mut queries = [0; 2];
    for (run, shown) in ["without", "with"].into_iter().zip(&mut queries) {
        let text = page.text(&format!("#{run} .value strong")).await;
        *shown = text.replace(',', "").parse().unwrap();
        let drawn = |dots| {
            format!(
                "return (document.querySelector('#{run} {dots}').getAttribute('d').match(/M/g) ?? []).length"
            )
        };
        assert_eq!(page.run::<u32>(&drawn(".asked")).await, *shown, "{run}");
        assert_eq!(page.run::<u32>(&drawn(".spared")).await, 1_000 - *shown, "{run}");
        let colours: [String; 2] = page
            .run(&format!(
                "const svg = document.querySelector('#{run} svg');
                 if (svg.getBoundingClientRect().width < 200) throw new Error('not to be seen');
                 return [...svg.children].map((dots) => getComputedStyle(dots).stroke)"
            ))
            .await;
        assert_ne!(colours[0], colours[1], "{run}");
        let took = page.text(&format!("#{run} .took")).await;
        assert!(milliseconds(took.strip_prefix("Last answer after ").unwrap()) > 0.0, "{took}");
    }
    queries
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cold_key_button_draws_the_queries_of_both_runs_and_the_protected_one_needs_one() {
    let Some((_app, page)) = browser::open("/").await else { return };
    let [without, with] = run_cold_key(&page).await;
    assert_eq!(with, 1);
    // Hundreds also with a database that answers at once.
    assert!((500..=1_000).contains(&without), "{without} queries without protection");
    assert_eq!(page.text("#cold .query").await, "A query takes 100 ms");

    // Those who came late or got an error are accounted for.
    page.run::<()>(
        "const answer = { callers: 1000, query_ms: 100, unprotected: { sql_queries: 985, failed: 12, ms: 5000.4 },
             protected: { sql_queries: 1, failed: 0, ms: 100 } };
         window.fetch = async () => new Response(JSON.stringify(answer))",
    )
    .await;
    page.run_cold_key().await;
    let took = page.text("#without .took").await;
    assert_eq!(took, "Last answer after 5,000 ms · 12 callers got an error");
    let message = page.text("#cold .message").await;
    assert_eq!(message, "15 of them came only after the first result had been cached.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_database_is_named_and_asked_by_hundreds() {
    if browser::left_out() {
        return;
    }
    let app = App::start(Duration::from_millis(500)).await;
    let page = Page::open(&app, "en").await;
    page.go("/").await;
    assert!(page.text("#database").await.ends_with("each look-up slowed by 500 ms"));
    let [without, with] = run_cold_key(&page).await;
    assert_eq!(with, 1);
    assert!(without > 500, "{without} queries without protection");
    assert_eq!(page.text("#cold .query").await, "A query takes 500 ms");
    let line = look_up(&page, "2").await;
    assert!(milliseconds(&line[2]) >= 500.0, "{line:?}");
}

#[tokio::test]
async fn page_views_rise_without_reload_when_somebody_else_visits() {
    let Some((app, page)) = browser::open("/").await else { return };
    assert_eq!(
        (page.text("#total-views").await, page.text("#daily-views").await),
        ("1".into(), "1".into())
    );
    for _ in 0..1_233 {
        app.state.views.add("page_views", 1).await.unwrap();
    }
    app.get("/").await;
    page.shows("#total-views", |text| text == "1,235").await;
    assert_eq!(page.text("#daily-views").await, "1,235");
}

#[tokio::test]
async fn the_page_says_what_runs() {
    let Some((app, page)) = browser::open("/").await else { return };
    let health = app.state.russet.health().await.unwrap();
    let server = page.text("#redis").await.to_lowercase();
    assert_eq!(server, format!("{} {}", health.server, health.version));
    let version = app.state.db.version().await.unwrap();
    assert_eq!(page.text("#database").await, format!("SQLite {}", version.number));
    assert_eq!(page.text("#users").await, "100");
    assert!(page.text("#memory").await.ends_with(" MB"));
    let commands = page.text("#commands-run").await;
    // Our own question is a command, too.
    page.shows("#commands-run", |text| text != commands).await;
}

#[tokio::test]
async fn what_is_away_is_shown_as_away() {
    let Some((mut app, page)) = browser::open("/").await else { return };
    app.redis.kill().await.unwrap();
    page.shows("#redis", |text| text == "Away").await;
    page.shows("#total-views", |text| text == "away").await;
    assert_eq!(page.table(BOARD).await, [["away"]]);
    assert_eq!(look_up(&page, "1").await[1], "bypass: Redis is away");
    page.go("/").await;
    assert_eq!(
        (page.text("#redis").await, page.text("#total-views").await),
        ("Away".into(), "away".into())
    );
    assert_eq!(page.table(BOARD).await, [["away"]]);

    app.redis.restart().await.unwrap();
    page.shows("#redis", |text| text != "Away").await;
    assert_eq!(page.text("#lost").await, "");
    app.stop().await;
    page.shows("#lost", |text| text.starts_with("The server does not answer")).await;
}
