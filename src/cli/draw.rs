//! `trunkline graph`.

use std::io::stderr;
use std::path::Path;
use std::process::ExitCode;

use super::show;
use super::{Colour, Picture};
use crate::graph::Components;
use crate::graph::{draw, svg};

pub(super) fn graph(file: &Path, format: Picture, colour: Colour, own: &Components) -> ExitCode {
    let (loaded, checked) = show::read(file, own);
    if checked.report.has_errors() {
        let colour = show::colours(colour, &stderr());
        show::complain(&show::text(&checked.report, &loaded.sources(), colour));
        return ExitCode::FAILURE;
    }
    show::print(&match format {
        Picture::Text => draw::text(&checked.outline),
        Picture::Mermaid => draw::mermaid(&checked.outline),
        Picture::Dot => draw::dot(&checked.outline),
        Picture::Svg => match &checked.pipeline {
            Some(pipeline) => svg::svg(&checked.outline, pipeline),
            None => String::new(),
        },
    });
    ExitCode::SUCCESS
}
