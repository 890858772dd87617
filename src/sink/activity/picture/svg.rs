//! The picture as SVG.

use std::fmt::Write;

use super::colour::Colour;
use super::{HEIGHT, Picture, Shape, WIDTH};

impl Picture {
    /// The picture as a document of its own: nothing in it is loaded from elsewhere.
    pub fn to_svg(&self) -> String {
        let mut svg = String::with_capacity(160 * 1024);
        svg.push_str(r#"<svg xmlns="http://www.w3.org/2000/svg" role="img" "#);
        let _ = write!(
            svg,
            r#"width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" "#
        );
        svg.push_str(
            r#"font-family="ui-monospace, Menlo, Consolas, monospace" font-weight="600">"#,
        );
        svg.push_str("\n<title>");
        escape(&mut svg, &self.summary);
        svg.push_str("</title>\n");
        for shape in &self.shapes {
            // Writing into a string cannot fail.
            let _ = write(&mut svg, shape);
        }
        svg.push_str("</svg>\n");
        svg
    }
}

fn write(svg: &mut String, shape: &Shape) -> std::fmt::Result {
    match shape {
        Shape::Rectangle {
            x,
            y,
            width,
            height,
            colour,
            hint,
        } => {
            let colour = hex(*colour);
            write!(
                svg,
                r#"<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="{colour}""#
            )?;
            match hint {
                Some(hint) => {
                    svg.push_str("><title>");
                    escape(svg, hint);
                    svg.push_str("</title></rect>\n");
                }
                None => svg.push_str("/>\n"),
            }
        }
        Shape::Text {
            x,
            y,
            size,
            colour,
            text,
        } => {
            let ((_, height), colour) = (size.letter(), hex(*colour));
            // Letters stand on a line at about three quarters of their height; whatever the font,
            // the text is as wide as it was laid out.
            let (line, width) = (y + height * 3 / 4, size.width(text));
            write!(
                svg,
                r#"<text x="{x}" y="{line}" font-size="{}" textLength="{width}" "#,
                height * 4 / 5
            )?;
            write!(svg, r#"lengthAdjust="spacingAndGlyphs" fill="{colour}">"#)?;
            escape(svg, text);
            svg.push_str("</text>\n");
        }
    }
    Ok(())
}

fn hex([red, green, blue]: Colour) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

fn escape(svg: &mut String, text: &str) {
    for letter in text.chars() {
        match letter {
            '<' => svg.push_str("&lt;"),
            '>' => svg.push_str("&gt;"),
            '&' => svg.push_str("&amp;"),
            '"' => svg.push_str("&quot;"),
            letter => svg.push(letter),
        }
    }
}
