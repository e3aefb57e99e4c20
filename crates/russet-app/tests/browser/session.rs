//! Browsers, used by one test after the other: to start one takes longer than most tests.

use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use russet::testing::WorkerProcess;
use serde_json::json;
use thirtyfour::prelude::*;
use thirtyfour::{ChromeCapabilities, LoggingPrefsLogLevel};

use super::client::Client;
use super::programs;

/// Those that no test uses at the moment. What is left here is ended with the test process, by its watchdog.
static FREE: Mutex<Vec<Session>> = Mutex::new(Vec::new());

/// A browser and its driver. When it is dropped they are killed.
pub struct Session {
    pub driver: WebDriver,
    // The driver and all processes of the browser are one group; their files are in its temporary folder.
    _process: WorkerProcess,
}

impl Session {
    /// One that nobody uses, with an empty tab, no cookies, and nothing in its log.
    pub async fn take() -> Self {
        let free = FREE.lock().unwrap().pop();
        let session = match free {
            Some(session) => session,
            None => Self::start().await,
        };
        session.forget().await.unwrap();
        session
    }

    /// For the next test.
    pub fn give_back(self) {
        FREE.lock().unwrap().push(self);
    }

    /// A new tab has none of the settings that a test made in its own.
    async fn forget(&self) -> WebDriverResult<()> {
        let old = self.driver.window().await?;
        let new = self.driver.new_tab().await?;
        self.driver.close_window().await?;
        self.driver.switch_to_window(new).await?;
        assert_ne!(self.driver.window().await?, old);
        self.driver.cdp().send_raw("Network.clearBrowserCookies", json!({})).await?;
        self.driver.browser_log().await?;
        Ok(())
    }

    async fn start() -> Self {
        let (browser, driver) = programs();
        let mut command = Command::new(driver);
        command.arg("--port=0");
        let mut process = WorkerProcess::command(&command).unwrap();
        let started = "ChromeDriver was started successfully on port ";
        let line = process.line_starting(started).await.unwrap();
        let port = line.trim_start_matches(started).trim_end_matches('.');
        let driver = WebDriver::builder(format!("http://127.0.0.1:{port}"), wanted(&browser))
            .client(Client)
            .connect()
            .await
            .unwrap();
        Self { driver, _process: process }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Without this the driver would be asked to end the browser.
        let _ = self.driver.clone().leak();
    }
}

fn wanted(browser: &Path) -> ChromeCapabilities {
    let mut wanted = ChromeCapabilities::new();
    wanted.set_binary(&browser.to_string_lossy()).unwrap();
    wanted.set_browser_log_level(LoggingPrefsLogLevel::All).unwrap();
    for arg in [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--window-size=1200,900",
        "--lang=en",
        // Whatever is not on this machine is out of reach.
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        "--no-proxy-server",
    ] {
        wanted.add_arg(arg).unwrap();
    }
    wanted
}
