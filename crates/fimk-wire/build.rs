//! Generates the Rust side of `bpf/fimk.h`.
#![allow(
    clippy::expect_used,
    reason = "a build ends at the first thing that is wrong"
)]

use std::{env, path::PathBuf};

use bindgen::callbacks::{DeriveInfo, ParseCallbacks, TypeKind};

/// Lets every struct be viewed as bytes and back without `unsafe`; refused at compile time for a
/// layout with a hole in it.
#[derive(Debug)]
struct ViewAsBytes;

impl ParseCallbacks for ViewAsBytes {
    fn add_derives(&self, info: &DeriveInfo<'_>) -> Vec<String> {
        if info.kind != TypeKind::Struct {
            return Vec::new();
        }
        ["FromBytes", "IntoBytes", "KnownLayout", "Immutable"]
            .map(|name| format!("zerocopy::{name}"))
            .to_vec()
    }
}

fn main() {
    let header = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"))
        .join("../../bpf/fimk.h");
    println!("cargo:rerun-if-changed={}", header.display());
    bindgen::builder()
        .header(header.to_str().expect("the checkout's path is UTF-8"))
        .allowlist_item("(fimk|FIMK)_.*")
        .use_core()
        .layout_tests(true)
        .derive_default(false)
        .derive_copy(true)
        .derive_debug(false)
        .prepend_enum_name(false)
        .default_enum_style(bindgen::EnumVariation::Consts)
        .parse_callbacks(Box::new(ViewAsBytes))
        .generate()
        .expect("bpf/fimk.h is a header that libclang can read")
        .write_to_file(
            PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("fimk.rs"),
        )
        .expect("OUT_DIR can be written");
}
