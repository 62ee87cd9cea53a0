//! Compiles the BPF programs and generates their skeletons.

#![allow(
    clippy::expect_used,
    reason = "a build that cannot go on must say so and stop"
)]

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use libbpf_cargo::SkeletonBuilder;

/// Tried in this order when `CLANG` does not name one.
const CLANGS: [&str; 7] = [
    "clang", "clang-19", "clang-18", "clang-17", "clang-16", "clang-15", "clang-14",
];

fn main() {
    // Asked at run time: a build directory may serve several checkouts, one after the other.
    let here = env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let sources = Path::new(&here).join("../../bpf");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let clang = clang();
    println!("cargo:rerun-if-changed={}", sources.display());
    println!("cargo:rerun-if-env-changed=CLANG");
    for object in ["process", "file"] {
        let source = sources.join(format!("{object}.bpf.c"));
        SkeletonBuilder::new()
            .source(&source)
            .clang(&clang)
            .clang_args(["-Wall", "-Werror", "-D__bpf__"])
            .build_and_generate(out.join(format!("{object}.skel.rs")))
            .unwrap_or_else(|error| panic!("{} cannot be compiled: {error:#}", source.display()));
    }
}

fn clang() -> OsString {
    if let Some(named) = env::var_os("CLANG") {
        return named;
    }
    CLANGS
        .iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success()))
        .map(OsString::from)
        .expect("the BPF programs need clang: install the package \"clang\" (14 or newer), or set CLANG to one")
}
