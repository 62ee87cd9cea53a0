//! Compiles `evade`, which changes files in every way there is: in C, because most of them are system calls that no
//! crate offers, and Rust could make them only with `unsafe` at every step. Linked statically, it runs in any guest; the
//! suite carries it inside itself.

#![allow(
    clippy::expect_used,
    reason = "a build that cannot go on must say so and stop"
)]

use std::{env, fs, path::PathBuf, process::Command};

const FLAGS: [&str; 7] = [
    "-std=gnu11",
    "-O1",
    "-Wall",
    "-Wextra",
    "-Wno-missing-field-initializers",
    "-static",
    "-pthread",
];

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let sources = here.join("evade");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    // What links Rust programs compiles C, too.
    let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
    println!("cargo:rerun-if-changed={}", sources.display());
    println!("cargo:rerun-if-env-changed=CC");
    let mut files: Vec<PathBuf> = fs::read_dir(&sources)
        .expect("it is part of the tree")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.extension().is_some_and(|it| it == "c"))
        .collect();
    files.sort();
    let status = Command::new(&compiler)
        .args(FLAGS)
        .arg("-o")
        .arg(out.join("evade"))
        .args(&files)
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "tests/evade cannot be compiled: install gcc and libc6-dev, or set CC to a C compiler"
    );
}
