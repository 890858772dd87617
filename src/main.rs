//! The `trunkline` binary: see the library's documentation for what it is made of.

use std::process::ExitCode;

/// What one thread allocates another often frees (a decoder, the graph, a writer): the system's
/// allocator takes a lock for that, this one does not.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    trunkline::cli::main()
}
