//! The picture as PNG.

use std::convert::Infallible;

use embedded_graphics::mono_font::iso_8859_1::{FONT_7X13_BOLD, FONT_9X18_BOLD};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::{DrawTarget, Drawable, OriginDimensions, Pixel, Point, RgbColor};
use embedded_graphics::text::{Baseline, Text};

use super::colour::Colour;
use super::{HEIGHT, Picture, Shape, Size, WIDTH};

/// Bytes of a pixel.
const DEPTH: usize = 3;

impl Size {
    /// The font, and how many pixels each of its own becomes.
    fn font(self) -> (MonoFont<'static>, u32) {
        match self {
            Self::Medium => (FONT_7X13_BOLD, 2),
            Self::Large => (FONT_9X18_BOLD, 3),
        }
    }
}

impl Picture {
    /// The picture with 8 bits a channel.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn to_png(&self) -> Result<Vec<u8>, png::EncodingError> {
        let mut canvas = Canvas::new();
        for shape in &self.shapes {
            canvas.draw(shape);
        }
        let mut bytes = Vec::with_capacity(128 * 1024);
        let mut encoder = png::Encoder::new(&mut bytes, WIDTH, HEIGHT);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        // Even areas are small whatever the effort.
        encoder.set_compression(png::Compression::Fast);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&canvas.pixels)?;
        writer.finish()?;
        Ok(bytes)
    }
}

struct Canvas {
    pixels: Vec<u8>,
}

impl Canvas {
    fn new() -> Self {
        Self {
            pixels: vec![0; WIDTH as usize * HEIGHT as usize * DEPTH],
        }
    }

    fn draw(&mut self, shape: &Shape) {
        match shape {
            Shape::Rectangle {
                x,
                y,
                width,
                height,
                colour,
                ..
            } => self.fill((*x, *y), (*width, *height), *colour),
            Shape::Text {
                x,
                y,
                size,
                colour: [red, green, blue],
                text,
            } => {
                let (font, scale) = size.font();
                let style = MonoTextStyle::new(&font, Rgb888::new(*red, *green, *blue));
                let text = Text::with_baseline(text, Point::zero(), style, Baseline::Top);
                let mut letters = Letters {
                    canvas: self,
                    at: (*x, *y),
                    scale,
                };
                let Ok(_) = text.draw(&mut letters);
            }
        }
    }

    /// What lies outside is left out.
    fn fill(&mut self, (x, y): (u32, u32), (width, height): (u32, u32), colour: Colour) {
        let (right, bottom) = ((x + width).min(WIDTH), (y + height).min(HEIGHT));
        for y in y..bottom {
            let line = y as usize * WIDTH as usize;
            let (from, to) = (line + x.min(right) as usize, line + right as usize);
            for pixel in self.pixels[from * DEPTH..to * DEPTH].chunks_exact_mut(DEPTH) {
                pixel.copy_from_slice(&colour);
            }
        }
    }
}

/// Draws the small fonts larger.
struct Letters<'c> {
    canvas: &'c mut Canvas,
    at: (u32, u32),
    scale: u32,
}

impl OriginDimensions for Letters<'_> {
    fn size(&self) -> embedded_graphics::prelude::Size {
        embedded_graphics::prelude::Size::new(WIDTH, HEIGHT)
    }
}

impl DrawTarget for Letters<'_> {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<Rgb888>>,
    {
        for Pixel(point, colour) in pixels {
            let (Ok(x), Ok(y)) = (u32::try_from(point.x), u32::try_from(point.y)) else {
                continue;
            };
            let (x, y) = (self.at.0 + x * self.scale, self.at.1 + y * self.scale);
            let colour = [colour.r(), colour.g(), colour.b()];
            self.canvas.fill((x, y), (self.scale, self.scale), colour);
        }
        Ok(())
    }
}
