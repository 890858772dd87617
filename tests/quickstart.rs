//! The first pipeline from end to end: the real binary, the shipped pipeline file, the shipped input.

#[path = "../examples/generate_quickstart.rs"]
mod input;

#[path = "quickstart/capture.rs"]
mod capture;
#[path = "quickstart/disturbed.rs"]
mod disturbed;
#[path = "quickstart/full_disk.rs"]
mod full_disk;
#[path = "quickstart/place.rs"]
mod place;
#[path = "quickstart/privacy.rs"]
mod privacy;
#[path = "quickstart/shipped.rs"]
mod shipped;
