//! `trunkline graph`.

use std::io::stderr;
use std::path::Path;
use std::process::ExitCode;

use super::show;
use super::{Colour, Picture};
use crate::graph::draw;

pub(super) fn graph(file: &Path, format: Picture, colour: Colour) -> ExitCode {
    let (loaded, checked) = show::read(file);
    if checked.report.has_errors() {
        let colour = show::colours(colour, &stderr());
        show::complain(&show::text(&checked.report, &loaded.sources(), colour));
        return ExitCode::FAILURE;
    }
    show::print(&match format {
        Picture::Text => draw::text(&checked.outline),
        Picture::Mermaid => draw::mermaid(&checked.outline),
        Picture::Dot => draw::dot(&checked.outline),
    });
    ExitCode::SUCCESS
}
