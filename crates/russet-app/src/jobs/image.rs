//! Pictures: read within limits, made smaller, marked, written in their own format.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{
    DynamicImage, GenericImageView as _, ImageDecoder as _, ImageError, ImageFormat, ImageReader,
    Limits, Rgba, RgbaImage,
};

/// The longest side of what is read, and the most memory that reading takes: a small file can stand for a huge picture.
const LONGEST_SIDE: u32 = 10_000;
const MOST_MEMORY: u64 = 256 << 20;
const JPEG_QUALITY: u8 = 85;

/// Into what a picture has to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) width: u32,
    pub(super) height: u32,
}

/// Something that is done to a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Made to fit, keeping its shape; never larger than it was.
    Fit(Sizes),
    /// Marked in its corner.
    Mark,
}

/// A picture as a file.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) bytes: Vec<u8>,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) extension: &'static str,
}

/// Why a picture was not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("the file is neither PNG nor JPEG")]
    OtherFormat,
    #[error("the picture cannot be read or written: {0}")]
    Broken(#[from] ImageError),
}

/// Does this to a picture.
pub(super) fn process(file: &[u8], changes: impl Iterator<Item = Change>) -> Result<Made, Refused> {
    let (mut picture, format) = decode(file)?;
    for change in changes {
        picture = match change {
            Change::Fit(sizes) => fit(picture, sizes),
            Change::Mark => mark(picture),
        };
    }
    let mut bytes = Cursor::new(Vec::new());
    let extension = match format {
        ImageFormat::Jpeg => {
            let encoder = JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY);
            picture.to_rgb8().write_with_encoder(encoder)?;
            "jpg"
        }
        _ => {
            picture.write_to(&mut bytes, ImageFormat::Png)?;
            "png"
        }
    };
    let (width, height) = picture.dimensions();
    Ok(Made { bytes: bytes.into_inner(), width, height, extension })
}

/// The picture as its camera meant it: turned when the file says so.
fn decode(file: &[u8]) -> Result<(DynamicImage, ImageFormat), Refused> {
    let mut reader =
        ImageReader::new(Cursor::new(file)).with_guessed_format().map_err(ImageError::IoError)?;
    let format = reader.format().filter(|format| {
        // By what is in it: a name proves nothing.
        [ImageFormat::Jpeg, ImageFormat::Png].contains(format)
    });
    let format = format.ok_or(Refused::OtherFormat)?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(LONGEST_SIDE);
    limits.max_image_height = Some(LONGEST_SIDE);
    limits.max_alloc = Some(MOST_MEMORY);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let orientation = decoder.orientation()?;
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    Ok((picture, format))
}

fn fit(picture: DynamicImage, Sizes { width, height }: Sizes) -> DynamicImage {
    if picture.width() <= width && picture.height() <= height {
        return picture;
    }
    picture.resize(width, height, FilterType::CatmullRom)
}

/// `russet` in dots, seven rows of 35.
const WORD: [&str; 7] = [
    "                               #   ",
    "                               #   ",
    "# ##  #   #  ####  ####  ###  #### ",
    "##  # #   # #     #     #   #  #   ",
    "#     #   #  ###   ###  #####  #   ",
    "#     #  ##     #     # #      #  #",
    "#      ## # ####  ####   ###    ## ",
];
const WORD_WIDTH: u32 = 35;
const WORD_HEIGHT: u32 = 7;

/// Writes the word into the lower right corner, a fifth of the width, light with a dark edge, so that it is seen on both.
fn mark(picture: DynamicImage) -> DynamicImage {
    let mut marked: RgbaImage = picture.to_rgba8();
    let (width, height) = marked.dimensions();
    let dot = (width / 5 / WORD_WIDTH).clamp(1, (height / WORD_HEIGHT / 2).max(1));
    let (left, top) = (
        width.saturating_sub((WORD_WIDTH + 1) * dot),
        height.saturating_sub((WORD_HEIGHT + 2) * dot),
    );
    for (shift, colour) in
        [(dot.div_ceil(4), Rgba([20, 10, 5, 140])), (0, Rgba([255, 250, 243, 210]))]
    {
        for (row, line) in (0..).zip(WORD) {
            for (column, _) in (0..).zip(line.chars()).filter(|(_, dot)| *dot == '#') {
                square(
                    &mut marked,
                    left + column * dot + shift,
                    top + row * dot + shift,
                    dot,
                    colour,
                );
            }
        }
    }
    DynamicImage::ImageRgba8(marked)
}

fn square(picture: &mut RgbaImage, left: u32, top: u32, side: u32, colour: Rgba<u8>) {
    let (width, height) = picture.dimensions();
    for y in top..(top + side).min(height) {
        for x in left..(left + side).min(width) {
            image::Pixel::blend(picture.get_pixel_mut(x, y), &colour);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;
    use crate::jobs::files::PHOTO;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut file = Cursor::new(Vec::new());
        let picture = RgbImage::from_pixel(width, height, Rgb([10, 20, 30]));
        DynamicImage::ImageRgb8(picture).write_to(&mut file, ImageFormat::Png).unwrap();
        file.into_inner()
    }

    const FIT: Change = Change::Fit(Sizes { width: 100, height: 100 });

    #[test]
    fn a_picture_is_made_to_fit_and_keeps_its_shape_and_format() {
        let made = process(&png(400, 200), [FIT].into_iter()).unwrap();
        assert_eq!((made.width, made.height, made.extension), (100, 50, "png"));
        assert_eq!(decode(&made.bytes).unwrap().0.dimensions(), (100, 50));
        let made = process(PHOTO, [FIT].into_iter()).unwrap();
        assert_eq!((made.width, made.height, made.extension), (100, 67, "jpg"));
        assert_eq!(decode(&made.bytes).unwrap().1, ImageFormat::Jpeg);
    }

    #[test]
    fn a_small_picture_is_not_made_larger() {
        let made = process(&png(40, 20), [FIT].into_iter()).unwrap();
        assert_eq!((made.width, made.height), (40, 20));
    }

    #[test]
    fn a_mark_changes_the_lower_right_corner_alone() {
        for (width, height) in [(400, 300), (1_000, 40), (20, 10), (1, 1)] {
            let made = process(&png(width, height), [Change::Mark].into_iter()).unwrap();
            let picture = decode(&made.bytes).unwrap().0.to_rgb8();
            let changed =
                picture.enumerate_pixels().filter(|(_, _, pixel)| pixel.0 != [10, 20, 30]);
            let changed: Vec<_> = changed.map(|(x, y, _)| (x, y)).collect();
            if width > 36 {
                assert!(!changed.is_empty(), "{width} × {height}");
                assert!(changed.iter().all(|(x, y)| *x >= width / 2 && *y >= height / 4));
            }
        }
    }

    #[test]
    fn what_is_no_picture_or_a_huge_one_is_refused() {
        assert!(matches!(process(b"GIF89a", [FIT].into_iter()), Err(Refused::OtherFormat)));
        assert!(matches!(process(b"", [FIT].into_iter()), Err(Refused::OtherFormat)));
        let mut cut = png(40, 20);
        cut.truncate(60);
        assert!(matches!(process(&cut, [FIT].into_iter()), Err(Refused::Broken(_))));
        // A few kilobytes that would become hundreds of megabytes.
        let wide = png(10_001, 8);
        assert!(matches!(process(&wide, [FIT].into_iter()), Err(Refused::Broken(_))));
    }
}
