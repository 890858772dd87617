//! The heatmap as a picture for a wall display: hours down, minutes across.
//!
//! One layout of rectangles and lines of text; SVG and PNG are two ways to write it, so they agree.

mod colour;
mod png;
mod svg;

use super::days::Grid;
use colour::{BACKGROUND, Colour, EMPTY, MUTED, STRONG, Scale};

/// Full HD.
const WIDTH: u32 = 1920;
const HEIGHT: u32 = 1080;
/// Where the cells begin, and how far they are from each other.
const LEFT: u32 = 120;
const TOP: u32 = 156;
const ACROSS: u32 = 29;
const DOWN: u32 = 31;
/// Between two cells.
const GAP: u32 = 2;
const RIGHT: u32 = LEFT + 60 * ACROSS - GAP;
const BOTTOM: u32 = TOP + 24 * DOWN - GAP;

/// What is to be drawn.
pub(super) struct Scene<'s> {
    pub grid: &'s Grid,
    /// In words.
    pub day: String,
    pub zone: String,
    /// Interactions that are active, where the day is today.
    pub active: Option<usize>,
}

/// See the module.
pub(super) struct Picture {
    shapes: Vec<Shape>,
    /// The whole in a sentence, for those who do not see it.
    summary: String,
}

enum Shape {
    Rectangle {
        x: u32,
        y: u32,
        width: u32,
        height: u32,
        colour: Colour,
        /// What it stands for.
        hint: Option<String>,
    },
    Text {
        x: u32,
        /// Of its upper edge.
        y: u32,
        size: Size,
        colour: Colour,
        text: String,
    },
}

/// Sizes of letters. All letters of one size are equally wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Medium,
    Large,
}

impl Size {
    /// Width and height of a letter.
    fn letter(self) -> (u32, u32) {
        match self {
            Self::Medium => (14, 26),
            Self::Large => (27, 54),
        }
    }

    fn width(self, text: &str) -> u32 {
        self.letter().0 * text.chars().count() as u32
    }
}

impl Picture {
    pub fn of(scene: &Scene<'_>) -> Self {
        let summary = summary(scene.grid);
        let mut picture = Self {
            shapes: Vec::with_capacity(2048),
            summary: format!("{}, {}: {summary}", scene.day, scene.zone),
        };
        picture.rectangle((0, 0), (WIDTH, HEIGHT), BACKGROUND);
        let scale = Scale::up_to(scene.grid.busiest().map_or(0, |busiest| busiest.2));
        picture.header(scene);
        picture.axes();
        picture.cells(scene.grid, &scale);
        picture.legend(&scale);
        picture.right_text(BOTTOM + 110, Size::Medium, STRONG, &summary);
        picture
    }

    fn header(&mut self, scene: &Scene<'_>) {
        self.text((LEFT, 28), Size::Large, STRONG, "Participant activity");
        let below = format!("{} \u{b7} {}", scene.day, scene.zone);
        self.text((LEFT, 92), Size::Medium, MUTED, &below);
        if let Some(active) = scene.active {
            self.right_text(28, Size::Large, STRONG, &grouped(active as u64));
            let word = match active {
                1 => "active interaction now",
                _ => "active interactions now",
            };
            self.right_text(92, Size::Medium, MUTED, word);
        }
    }

    /// Every hour, and every fifth minute.
    fn axes(&mut self) {
        for hour in 0..24 {
            let (y, text) = (TOP + hour * DOWN + 2, format!("{hour:02}:00"));
            let x = LEFT - 16 - Size::Medium.width(&text);
            self.text((x, y), Size::Medium, MUTED, &text);
        }
        for minute in (0..60).step_by(5) {
            let text = format!(":{minute:02}");
            let middle = LEFT + minute * ACROSS + (ACROSS - GAP) / 2;
            self.rectangle((middle - 1, BOTTOM + 4), (2, 8), MUTED);
            let x = middle - Size::Medium.width(&text) / 2;
            self.text((x, BOTTOM + 16), Size::Medium, MUTED, &text);
        }
    }

    fn cells(&mut self, grid: &Grid, scale: &Scale) {
        for (hour, row) in (0..).zip(&grid.0) {
            for (minute, count) in (0..).zip(row) {
                let (x, y) = cell(hour, minute);
                let hint = (*count > 0)
                    .then(|| format!("{hour:02}:{minute:02}: {}", grouped(u64::from(*count))));
                self.shapes.push(Shape::Rectangle {
                    x,
                    y,
                    width: ACROSS - GAP,
                    height: DOWN - GAP,
                    colour: scale.colour(*count),
                    hint,
                });
            }
        }
    }

    /// What the colours mean: none, and from one to the most.
    fn legend(&mut self, scale: &Scale) {
        const BAR: u32 = 600;
        let (y, height) = (BOTTOM + 98, 30);
        let below = y + height + 8;
        self.text((LEFT, y - 34), Size::Medium, MUTED, "Events in a minute");
        self.rectangle((LEFT, y), (40, height), EMPTY);
        self.text((LEFT + 13, below), Size::Medium, MUTED, "0");
        let from = LEFT + 64;
        for x in 0..BAR {
            let colour = scale.at(f64::from(x) / f64::from(BAR - 1));
            self.rectangle((from + x, y), (1, height), colour);
        }
        for (place, count) in scale.ticks() {
            let middle = from + (place * f64::from(BAR - 1)) as u32;
            let text = grouped(u64::from(count));
            self.rectangle((middle, y + height), (1, 6), MUTED);
            let x = middle.saturating_sub(Size::Medium.width(&text) / 2);
            self.text((x, below), Size::Medium, MUTED, &text);
        }
    }

    fn rectangle(&mut self, (x, y): (u32, u32), (width, height): (u32, u32), colour: Colour) {
        self.shapes.push(Shape::Rectangle {
            x,
            y,
            width,
            height,
            colour,
            hint: None,
        });
    }

    fn text(&mut self, (x, y): (u32, u32), size: Size, colour: Colour, text: &str) {
        let text = text.to_owned();
        self.shapes.push(Shape::Text {
            x,
            y,
            size,
            colour,
            text,
        });
    }

    /// Text that ends where the cells end.
    fn right_text(&mut self, y: u32, size: Size, colour: Colour, text: &str) {
        let x = RIGHT.saturating_sub(size.width(text));
        self.text((x, y), size, colour, text);
    }
}

/// Where a cell is.
fn cell(hour: u32, minute: u32) -> (u32, u32) {
    (LEFT + minute * ACROSS, TOP + hour * DOWN)
}

fn summary(grid: &Grid) -> String {
    let Some((hour, minute, count)) = grid.busiest() else {
        return "No activity on this day".to_owned();
    };
    let events = |count: u64| match count {
        1 => "1 event".to_owned(),
        _ => format!("{} events", grouped(count)),
    };
    let (total, most) = (events(grid.total()), grouped(u64::from(count)));
    format!("{total} \u{b7} busiest minute {hour:02}:{minute:02} with {most}")
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
