//! A window of a real browser for each test, on an application of its own.
//!
//! `RUSSET_SKIP_BROWSER=1` leaves these tests out; without it, a missing browser is a failure.

mod app;
mod client;
mod page;
mod session;

use std::path::PathBuf;
use std::time::Duration;

pub use app::App;
pub use page::{PHONE, Page};

/// How long a page may take to show what it should, also on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
const DRIVER: &str = "chromedriver";

/// An application, and a browser of English that shows one of its pages. `None`: the browser's tests are left out.
pub async fn open(path: &str) -> Option<(App, Page)> {
    open_in("en", path).await
}

/// The same with another list of accepted languages.
pub async fn open_in(languages: &str, path: &str) -> Option<(App, Page)> {
    if left_out() {
        return None;
    }
    let app = App::start(Duration::ZERO).await;
    let page = Page::open(&app, languages).await;
    page.go(path).await;
    Some((app, page))
}

/// Says so when the tests of the browser are left out.
pub fn left_out() -> bool {
    let skip = std::env::var("RUSSET_SKIP_BROWSER").is_ok_and(|value| value == "1");
    if skip {
        println!("left out, because RUSSET_SKIP_BROWSER is 1");
    }
    skip
}

/// The browser and its driver.
fn programs() -> (PathBuf, PathBuf) {
    let browser = BROWSERS.iter().find_map(|name| on_path(name));
    match (browser, on_path(DRIVER)) {
        (Some(browser), Some(driver)) => (browser, driver),
        (browser, _) => panic!(
            "{} is not on PATH: install it (Debian: `sudo apt-get install chromium chromium-driver`), \
             or leave these tests out with RUSSET_SKIP_BROWSER=1",
            if browser.is_none() { BROWSERS.join(" or ") } else { DRIVER.to_owned() }
        ),
    }
}

fn on_path(program: &str) -> Option<PathBuf> {
    let search = std::env::var_os("PATH")?;
    std::env::split_paths(&search).map(|folder| folder.join(program)).find(|path| path.is_file())
}
