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
    // The objects name their sources, for who reads the verifier's words: not where this build has them, so that two
    // builds of one tree are one build.
    let placeless = [
        format!("-ffile-prefix-map={}=bpf", sources.display()),
        format!("-ffile-prefix-map={}=.", Path::new(&here).display()),
    ];
    println!("cargo:rerun-if-changed={}", sources.display());
    println!("cargo:rerun-if-env-changed=CLANG");
    let mut build = Build::new();
    for object in ["process", "file", "holders", "preempt"] {
        let source = sources.join(format!("{object}.bpf.c"));
        let compiled = out.join(format!("{object}.bpf.o"));
        SkeletonBuilder::new()
            .source(&source)
            .obj(&compiled)
            .clang(&clang)
            .clang_args(
                ["-Wall", "-Werror", "-D__bpf__"]
                    .into_iter()
                    .chain(placeless.iter().map(String::as_str)),
            )
            .build_and_generate(out.join(format!("{object}.skel.rs")))
            .unwrap_or_else(|error| panic!("{} cannot be compiled: {error:#}", source.display()));
        build.add(&std::fs::read(compiled).expect("it was just compiled"));
    }
    // The wire version is in a header that all objects include; it is added by itself all the same.
    build.add(&std::fs::read(sources.join("fimk.h")).expect("it was just included"));
    let folded = build.0 ^ (build.0 >> 64);
    let id = format!("b\"{:016x}\"", folded & u128::from(u64::MAX));
    std::fs::write(out.join("build_id.rs"), id).expect("cargo gives us a directory");
}

/// Tells builds apart whose programs or maps may differ: FNV-1a with 128 bits. Nobody has a use for two builds
/// of one hash, so it need not resist more than chance.
struct Build(u128);

impl Build {
    fn new() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }

    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u128::from(byte)).wrapping_mul(0x0100_0000_0000_0000_0000_013b);
        }
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
