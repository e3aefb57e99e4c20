//! `process_image`: a picture of the folder `uploads` becomes one in the folder `images`.

use std::path::{Component, Path};

use russet::{BoxError, Task, TaskContext};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::files::Folder;
use super::image::{self, Change, Sizes};
use super::{Checked, Work};

/// The largest file that is read.
const MOST_BYTES: u64 = 20 << 20;
/// The longest side of what is made.
const LONGEST_SIDE: u32 = 4_096;

/// Makes a picture smaller, marks it, or both.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessImage {
    /// The file, PNG or JPEG, in the folder `uploads` of the data folder; `/uploads/photo.jpg` is the same as `photo.jpg`.
    pub image_path: String,
    /// What is done, in this order: `resize`, `watermark`.
    pub operations: Vec<Operation>,
    /// `resize` makes it fit into this width, keeping its shape. Default 800.
    #[serde(default = "default_side")]
    pub width: u32,
    /// And into this height. Default 800.
    #[serde(default = "default_side")]
    pub height: u32,
}

fn default_side() -> u32 {
    800
}

/// Something that is done to a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// Makes it smaller, never larger.
    Resize,
    /// Writes `russet` into its corner.
    Watermark,
}

impl Task for ProcessImage {
    const NAME: &'static str = "process_image";
}

impl Checked for ProcessImage {
    // What is wrong with a picture is so the next time, too.
    const ATTEMPTS: u32 = 2;

    fn check(&self) -> Result<(), String> {
        let path = inside(&self.image_path);
        let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        if path.is_empty() || path.len() > 1_024 || path.contains(char::is_control) {
            return Err("image_path is no path of a file in uploads".to_owned());
        }
        if !Path::new(path).components().all(plain) {
            return Err("image_path leads out of uploads".to_owned());
        }
        if self.operations.is_empty() || self.operations.len() > 2 {
            return Err("operations must be resize, watermark or both".to_owned());
        }
        for (field, side) in [("width", self.width), ("height", self.height)] {
            if !(1..=LONGEST_SIDE).contains(&side) {
                return Err(format!("{field} must be 1 to {LONGEST_SIDE}"));
            }
        }
        Ok(())
    }
}

/// The path below the folder.
fn inside(path: &str) -> &str {
    path.strip_prefix("/uploads/").or(path.strip_prefix("uploads/")).unwrap_or(path)
}

/// How far it is; told before each step.
#[derive(Debug, Serialize)]
struct Progress {
    /// `read`, `resize`, `watermark` or `write`.
    step: &'static str,
    /// How many of the steps are done.
    percent: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct Processed {
    /// The file, in the data folder.
    path: String,
    width: u32,
    height: u32,
    bytes: usize,
}

/// The result is named after the task: done again, it is the same file, which is there as a whole or not at all.
pub(super) async fn process(
    job: ProcessImage,
    ctx: TaskContext<Work>,
) -> Result<Processed, BoxError> {
    let work = ctx.state();
    let _room = work.images.acquire().await?;
    if ctx.is_cancelled() {
        return Err("cancelled".into());
    }
    let (files, id) = (work.files.clone(), ctx.id());
    let (runtime, telling) = (Handle::current(), ctx.clone());
    tokio::task::spawn_blocking(move || {
        let steps = job.operations.len() + 2;
        let told = |step: &'static str, done: usize| {
            let progress = Progress { step, percent: 100 * done / steps };
            // Who asks how far it is may be told late or never: the picture is made all the same.
            if let Err(error) = runtime.block_on(telling.progress(&progress)) {
                tracing::debug!(%error, %id, "the progress could not be told");
            }
        };
        told("read", 0);
        let path = inside(&job.image_path);
        let original = files.read(Folder::Uploads, Path::new(path), MOST_BYTES)?;
        let sizes = Sizes { width: job.width, height: job.height };
        let changes = job.operations.iter().zip(1..).map(|(operation, done)| match operation {
            Operation::Resize => {
                told("resize", done);
                Change::Fit(sizes)
            }
            Operation::Watermark => {
                told("watermark", done);
                Change::Mark
            }
        });
        let made = image::process(&original, changes)?;
        told("write", steps - 1);
        let stem = Path::new(path).file_stem().and_then(|stem| stem.to_str()).unwrap_or("image");
        let stem: String = stem.chars().take(60).collect();
        let name = format!("{stem}-{id}.{}", made.extension);
        files.write(Folder::Images, &name, &made.bytes)?;
        let (width, height, bytes) = (made.width, made.height, made.bytes.len());
        Ok(Processed { path: format!("images/{name}"), width, height, bytes })
    })
    .await?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(image_path: &str) -> ProcessImage {
        let operations = vec![Operation::Resize, Operation::Watermark];
        ProcessImage { image_path: image_path.to_owned(), operations, width: 800, height: 800 }
    }

    #[test]
    fn paths_inside_of_the_folder_pass() {
        for path in ["photo.jpg", "/uploads/photo.jpg", "uploads/2026/photo.png", "照片.png"] {
            assert_eq!(job(path).check(), Ok(()), "{path}");
        }
    }

    #[test]
    fn paths_out_of_the_folder_are_refused() {
        for path in [
            "",
            "/etc/passwd",
            "../secret-key",
            "/uploads/../secret-key",
            "a/../../b",
            "/uploads/",
            "/uploads//etc/passwd",
            "a\0b",
            "./photo.jpg",
        ] {
            assert!(job(path).check().is_err(), "{path:?}");
        }
    }
}
