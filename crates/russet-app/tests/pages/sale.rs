//! A flash sale on the home page: real buyers, real calls.

use serde_json::Value;

use crate::browser;

/// Adds up what the page shows of the stock at each look of its own.
const WATCH: &str = "
    window.sums = [];
    const sum = document.querySelector('#sale .sum');
    new MutationObserver(() => {
        const [free, reserved, sold, total] = sum.textContent.match(/\\d+/g).map(Number);
        window.sums.push({ free, reserved, sold, total, drawn: document.querySelectorAll('#sale path').length });
    }).observe(sum, { childList: true, characterData: true, subtree: true })";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flash_sale_is_drawn_while_it_runs_and_adds_up() {
    let Some((app, page)) = browser::open("/").await else { return };
    assert_eq!(page.text("#sale .drawn").await, "");
    page.run::<()>(WATCH).await;
    page.run_flash_sale().await;

    let looks: Vec<Value> = page.run("return window.sums").await;
    for look in &looks {
        let units = ["free", "reserved", "sold"].map(|part| look[part].as_u64().unwrap());
        assert_eq!((units.iter().sum::<u64>(), look["total"].as_u64()), (100, Some(100)), "{look}");
    }
    // On the way as well as at the end.
    assert!(looks.iter().any(|look| look["reserved"] != 0), "{looks:?}");
    assert_eq!(page.text("#sale .sum").await, "0 free + 0 reserved + 100 sold = 100");
    let message = page.text("#sale .message").await;
    assert!(
        message.starts_with("100 buyers were told that they have bought, and 100 units are sold. "),
        "{message}"
    );

    // Each buyer is a dot, in the colour of what became of it; the figures beside it are the server's.
    let sale: Value = serde_json::from_str(&app.get("/api/demo/flash_sale").await).unwrap();
    let buyers = sale["buyers"].as_str().unwrap();
    let mut all = 0;
    for state in ["w", "h", "b", "c", "e", "s"] {
        let drawn: u64 = page
            .run(&format!("return (document.querySelector('#sale path.{state}').getAttribute('d').match(/M/g) ?? []).length"))
            .await;
        assert_eq!(drawn, buyers.matches(state).count() as u64, "{state}");
        let told = page.text(&format!("#sale [data-state={state}] strong")).await;
        assert_eq!(told.replace(',', ""), drawn.to_string());
        all += drawn;
    }
    assert_eq!(all, 1_000);
    let colours: Vec<String> = page
        .run("return ['w', 'h', 'b', 'c', 'e', 's'].map((state) => getComputedStyle(document.querySelector(`#sale path.${state}`)).stroke)")
        .await;
    let different: std::collections::BTreeSet<_> = colours.iter().collect();
    assert_eq!(different.len(), colours.len(), "{colours:?}");
}

#[tokio::test]
async fn a_sale_that_cannot_be_opened_says_why() {
    let Some((app, page)) = browser::open("/").await else { return };
    app.state.flash_sale.start().unwrap();
    page.run_flash_sale().await;
    assert_eq!(page.text("#sale .message").await, "That did not work: another run is under way");
    app.state.flash_sale.close().await;
    assert_eq!(page.text("#sale .drawn").await, "");
}
