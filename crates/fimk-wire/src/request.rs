//! What the analyzer may ask of the loader: one struct of numbers, nothing that names a thing.

use crate::raw;

/// A request of this kind with every field that is not given at zero.
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    reason = "the numbers of fimk.h are small, bindgen makes them u32"
)]
pub fn request(kind: u32, number: u32, key: raw::fimk_key, cookie: u64) -> raw::fimk_request {
    raw::fimk_request {
        version: raw::FIMK_WIRE_VERSION as u16,
        kind: kind as u16,
        number,
        key,
        cookie,
    }
}
