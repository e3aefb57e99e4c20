//! A window of a browser, and what a visitor does in it.

use std::ops::Deref;

use russet::testing::eventually;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use thirtyfour::prelude::*;

use super::session::Session;
use super::{App, PATIENCE};

/// The window of a phone.
pub const PHONE: (u32, u32) = (375, 812);

pub struct Page {
    /// The browser; always there but while the page is dropped.
    session: Option<Session>,
    url: String,
}

impl Deref for Page {
    type Target = WebDriver;

    fn deref(&self) -> &WebDriver {
        &self.session.as_ref().unwrap().driver
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // After a failure the browser may be in any state: it ends here.
        if let Some(session) = self.session.take().filter(|_| !std::thread::panicking()) {
            session.give_back();
        }
    }
}

impl Page {
    /// A window for this application; `languages` is what it accepts, as in `Accept-Language`.
    pub async fn open(app: &App, languages: &str) -> Self {
        let page = Self { session: Some(Session::take().await), url: app.url.clone() };
        let agent = page.devtools("Browser.getVersion", json!({})).await["userAgent"].clone();
        let wanted = json!({ "userAgent": agent, "acceptLanguage": languages });
        page.devtools("Emulation.setUserAgentOverride", wanted).await;
        page
    }

    /// Opens a page of the application and waits until it is loaded.
    pub async fn go(&self, path: &str) {
        self.goto(format!("{}{path}", self.url)).await.unwrap();
    }

    /// Runs a script and answers what it returns.
    pub async fn run<T: DeserializeOwned>(&self, script: &str) -> T {
        self.execute(script, []).await.unwrap().convert().unwrap()
    }

    /// A command of the browser's DevTools protocol.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.cdp().send_raw(command, parameters).await.unwrap()
    }

    /// Makes the window this large, in CSS pixels.
    pub async fn resize(&self, (width, height): (u32, u32), scale: f32) {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": scale, "mobile": false,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// What the operating system says about colours and motion: the names and values of CSS media features.
    pub async fn prefer(&self, features: &[(&str, &str)]) {
        let features: Vec<Value> =
            features.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    async fn element(&self, css: &str) -> WebElement {
        self.find(By::Css(css)).await.unwrap_or_else(|error| panic!("{css}: {error}"))
    }

    pub async fn click(&self, css: &str) {
        self.element(css).await.click().await.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    /// Types a text over what is in a field.
    pub async fn fill(&self, css: &str, text: &str) {
        let field = self.element(css).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// The text that is to be seen in an element; nothing when there is no such element to be seen.
    pub async fn text(&self, css: &str) -> String {
        let css = json!(css);
        self.run(&format!(
            "const one = document.querySelector({css});
             return one?.checkVisibility() ? one.innerText.trim() : ''"
        ))
        .await
    }

    /// The cells of a table's body, line by line.
    pub async fn table(&self, css: &str) -> Vec<Vec<String>> {
        let css = json!(css);
        self.run(&format!(
            "return [...document.querySelector({css}).tBodies[0].rows]
                .map((row) => [...row.cells].map((cell) => cell.innerText.trim()))"
        ))
        .await
    }

    /// Waits until an element shows a text that `wanted` accepts, and answers it.
    pub async fn shows(&self, css: &str, wanted: impl Fn(&str) -> bool) -> String {
        eventually(PATIENCE, async || {
            let text = self.text(css).await;
            if wanted(&text) { Ok(text) } else { Err(format!("{css} shows {text:?}")) }
        })
        .await
    }

    /// Waits until a script that returns a boolean returns true.
    pub async fn until(&self, condition: &str) {
        eventually(PATIENCE, async || {
            if self.run(&format!("return {condition}")).await {
                Ok(())
            } else {
                Err(format!("not so: {condition}"))
            }
        })
        .await;
    }

    /// Lets the 1,000 callers go, and waits until both runs are shown.
    pub async fn run_cold_key(&self) {
        self.click("#cold button").await;
        self.until("!document.querySelector('#cold button').disabled").await;
        let message = self.text("#cold .message").await;
        assert_ne!(self.text("#with .value").await, "", "{message}");
    }

    /// Opens a flash sale, and waits until it is over.
    pub async fn run_flash_sale(&self) {
        self.click("#sale button").await;
        // A few holds that nobody pays for, one after the other.
        let done = "return !document.querySelector('#sale button').disabled";
        eventually(4 * PATIENCE, async || {
            if self.run(done).await { Ok(()) } else { Err(self.text("#sale").await) }
        })
        .await;
    }

    /// Kills a worker, and waits until its tasks are done.
    pub async fn run_killed_worker(&self) {
        self.click("#kill button").await;
        // Two starts of a process and a lease.
        let done = "return !document.querySelector('#kill button').disabled";
        eventually(3 * PATIENCE, async || {
            if self.run(done).await { Ok(()) } else { Err(self.text("#kill").await) }
        })
        .await;
    }

    /// What the browser has to say about the pages: errors, warnings, remarks.
    pub async fn log(&self) -> Vec<String> {
        let entries = self.browser_log().await.unwrap();
        entries.into_iter().map(|entry| format!("{}: {}", entry.level, entry.message)).collect()
    }
}
