//! Strings cut to size.

use crate::path::escaped;

/// The longest beginning of at most `bytes_max` bytes that ends between characters.
pub(crate) fn head(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A string from outside as messages show it: escaped, and cut with an ellipsis where it is longer.
pub(crate) fn shown(text: &str, bytes_max: usize) -> String {
    let cut = head(text, bytes_max);
    let mut out = escaped(cut.as_bytes());
    if cut.len() < text.len() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_falls_between_characters_and_is_marked() {
        assert_eq!(head("aé", 2), "a");
        assert_eq!(shown("aé", 3), "aé");
        assert_eq!(shown("aé\n", 3), "aé…");
        assert_eq!(shown("a\n", 3), "a\\x0a");
    }
}
