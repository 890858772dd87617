use std::time::Instant;

use super::*;

/// A day like those of a contact center: it begins at seven and ends at nine.
fn busy_day() -> Grid {
    let mut grid = Grid::default();
    for (hour, row) in grid.0.iter_mut().enumerate() {
        for (minute, count) in row.iter_mut().enumerate() {
            let at = hour as f64 + minute as f64 / 60.0;
            let bell = |middle: f64, width: f64| (-((at - middle) / width).powi(2)).exp();
            let noise = (hour * 7919 + minute * 104_729) % 97;
            let expected = 90.0 * (bell(10.5, 1.8) + 0.8 * bell(15.0, 2.4)) + 0.4;
            *count = (expected * (0.5 + noise as f64 / 97.0)) as u32;
        }
    }
    grid.0[14][32] = 211;
    grid
}

fn scene(grid: &Grid) -> Scene<'_> {
    Scene {
        grid,
        day: "Friday, 20 November 2026".to_owned(),
        zone: "Europe/Berlin".to_owned(),
        active: Some(1342),
    }
}

fn decode(bytes: &[u8]) -> Vec<u8> {
    let mut reader = ::png::Decoder::new(std::io::Cursor::new(bytes))
        .read_info()
        .unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((frame.width, frame.height), (1920, 1080));
    assert_eq!(frame.color_type, ::png::ColorType::Rgb);
    pixels
}

fn pixel(pixels: &[u8], x: u32, y: u32) -> Colour {
    let at = (y * WIDTH + x) as usize * 3;
    [pixels[at], pixels[at + 1], pixels[at + 2]]
}

#[test]
fn every_cell_has_the_colour_of_its_count_in_both_forms() {
    let grid = busy_day();
    let begun = Instant::now();
    let picture = Picture::of(&scene(&grid));
    let (svg, png) = (picture.to_svg(), picture.to_png().unwrap());
    println!(
        "both forms in {:?}: {} and {} bytes",
        begun.elapsed(),
        svg.len(),
        png.len()
    );
    let (pixels, scale) = (decode(&png), Scale::up_to(211));
    for (hour, minute) in (0..24).flat_map(|hour| (0..60).map(move |minute| (hour, minute))) {
        let count = grid.0[hour as usize][minute as usize];
        let ((x, y), colour) = (cell(hour, minute), scale.colour(count));
        for (x, y) in [(x, y), (x + 13, y + 14), (x + 26, y + 28)] {
            assert_eq!(pixel(&pixels, x, y), colour, "{hour:02}:{minute:02}");
        }
        let [r, g, b] = colour;
        let cell = format!(
            r##"<rect x="{x}" y="{y}" width="27" height="29" fill="#{r:02x}{g:02x}{b:02x}""##
        );
        assert!(svg.contains(&cell), "{hour:02}:{minute:02}");
    }
    let most = cell(14, 32);
    assert_eq!(pixel(&pixels, most.0 + 5, most.1 + 5), scale.at(1.0));
    assert!(svg.contains("<title>14:32: 211</title>"));
}

#[test]
fn says_in_words_what_it_shows() {
    let svg = Picture::of(&scene(&busy_day())).to_svg();
    for text in [
        ">Participant activity<",
        ">Friday, 20 November 2026 \u{b7} Europe/Berlin<",
        ">1,342<",
        "busiest minute 14:32 with 211<",
        ">07:00<",
        ">:55<",
        ">Events in a minute<",
    ] {
        assert!(svg.contains(text), "{text}");
    }
    let mut empty = scene(&Grid::default()).day;
    empty.push_str(" <&>");
    let grid = Grid::default();
    let of_old = Scene {
        grid: &grid,
        day: empty,
        zone: "UTC".to_owned(),
        active: None,
    };
    let svg = Picture::of(&of_old).to_svg();
    assert!(svg.contains("No activity on this day") && !svg.contains("active interaction"));
    assert!(svg.contains("2026 &lt;&amp;&gt; "), "text is escaped");
}

#[test]
fn letters_are_drawn_and_stay_inside() {
    let grid = busy_day();
    let pixels = decode(&Picture::of(&scene(&grid)).to_png().unwrap());
    let strong = |x: std::ops::Range<u32>, y: std::ops::Range<u32>| {
        let all = x.flat_map(|x| y.clone().map(move |y| (x, y)));
        all.filter(|(x, y)| pixel(&pixels, *x, *y) == STRONG)
            .count()
    };
    assert!(strong(LEFT..LEFT + 540, 28..82) > 2000, "the title");
    assert!(
        strong(RIGHT - 140..RIGHT, 28..82) > 500,
        "the number of active ones"
    );
    assert_eq!(strong(RIGHT + 1..WIDTH, 0..HEIGHT), 0);
    assert_eq!(
        grouped(0) + &grouped(999) + &grouped(1_000_000),
        "09991,000,000"
    );
}
