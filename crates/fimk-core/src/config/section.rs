//! One table of the file: its keys are checked first, then asked for by type.

use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{
    ConfigError, KEYS,
    error::{Source, shown},
};

/// A string and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Text<'t> {
    pub(super) text: &'t str,
    pub(super) offset: usize,
}

/// A table whose keys are all known.
pub(super) struct Section<'t> {
    source: &'t Source<'t>,
    place: &'static str,
    table: &'t DeTable<'t>,
    offset: usize,
}

impl<'t> Section<'t> {
    /// `place` is one of the sections of [`KEYS`].
    pub(super) fn new(
        source: &'t Source<'t>,
        place: &'static str,
        table: &'t DeTable<'t>,
        offset: usize,
    ) -> Result<Self, ConfigError> {
        let unknown = table
            .keys()
            .filter(|key| !known(place).contains(&key.get_ref().as_ref()))
            .min_by_key(|key| key.span().start);
        match unknown {
            Some(key) => Err(source.error(key.span().start, unknown_key(place, key.get_ref()))),
            None => Ok(Self {
                source,
                place,
                table,
                offset,
            }),
        }
    }

    /// The file that it stands in, for messages.
    pub(super) fn file(&self) -> &'t str {
        self.source.file
    }

    /// An error at the table itself.
    pub(super) fn error(&self, message: impl Into<String>) -> ConfigError {
        self.source.error(self.offset, message)
    }

    /// An error at one of its strings.
    pub(super) fn error_at(&self, text: Text<'_>, message: impl Into<String>) -> ConfigError {
        self.source.error(text.offset, message)
    }

    /// Whether it has this key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    fn value(&self, key: &str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.table.get(key)
    }

    fn wrong_type(&self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) -> ConfigError {
        let message = format!(
            "`{key}` in {} must be {wanted}, not {}",
            self.place,
            a(value.get_ref().type_str())
        );
        self.source.error(value.span().start, message)
    }

    pub(super) fn string(&self, key: &str) -> Result<Option<Text<'t>>, ConfigError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let text = value
            .get_ref()
            .as_str()
            .ok_or_else(|| self.wrong_type(key, value, "a string"))?;
        Ok(Some(Text {
            text,
            offset: value.span().start,
        }))
    }

    pub(super) fn boolean(&self, key: &str) -> Result<Option<bool>, ConfigError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        value
            .get_ref()
            .as_bool()
            .map(Some)
            .ok_or_else(|| self.wrong_type(key, value, "true or false"))
    }

    pub(super) fn integer(
        &self,
        key: &str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, ConfigError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let wanted = format!("an integer from {} to {}", range.start(), range.end());
        let integer = value
            .get_ref()
            .as_integer()
            .ok_or_else(|| self.wrong_type(key, value, &wanted))?;
        u64::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .filter(|number| range.contains(number))
            .map(Some)
            .ok_or_else(|| {
                let message = format!("`{key}` in {} must be {wanted}", self.place);
                self.source.error(value.span().start, message)
            })
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(
        &self,
        key: &str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, ConfigError> {
        let text = self.string(key)?;
        text.map(|text| self.meaning(key, text, words)).transpose()
    }

    /// One of a few words, or a list of them.
    pub(super) fn word_or_words<T: Copy>(
        &self,
        key: &str,
        words: &[(&str, T)],
    ) -> Result<Vec<T>, ConfigError> {
        let is_list = |value: &Spanned<DeValue<'_>>| value.get_ref().as_array().is_some();
        if !self.value(key).is_some_and(is_list) {
            return Ok(self.word(key, words)?.into_iter().collect());
        }
        let texts = self.strings(key)?.into_iter();
        texts.map(|text| self.meaning(key, text, words)).collect()
    }

    fn meaning<T: Copy>(
        &self,
        key: &str,
        text: Text<'_>,
        words: &[(&str, T)],
    ) -> Result<T, ConfigError> {
        let found = words.iter().find(|(word, _)| *word == text.text);
        found.map(|&(_, meaning)| meaning).ok_or_else(|| {
            let known: Vec<String> = words
                .iter()
                .map(|(word, _)| format!("\"{word}\""))
                .collect();
            let message = format!(
                "`{key}` in {} must be {}, not \"{}\"",
                self.place,
                known.join(" or "),
                shown(text.text)
            );
            self.error_at(text, message)
        })
    }

    pub(super) fn strings(&self, key: &str) -> Result<Vec<Text<'t>>, ConfigError> {
        let Some(value) = self.value(key) else {
            return Ok(Vec::new());
        };
        let wrong = || self.wrong_type(key, value, "a list of strings");
        let list = value.get_ref().as_array().ok_or_else(wrong)?;
        list.iter()
            .map(|item| {
                let text = item.get_ref().as_str().ok_or_else(|| {
                    let found = a(item.get_ref().type_str());
                    self.source.error(
                        item.span().start,
                        format!(
                            "`{key}` in {} must hold strings only, not {found}",
                            self.place
                        ),
                    )
                })?;
                Ok(Text {
                    text,
                    offset: item.span().start,
                })
            })
            .collect()
    }

    /// The table of a `[key]`.
    pub(super) fn table(
        &self,
        key: &'static str,
        place: &'static str,
    ) -> Result<Option<Section<'t>>, ConfigError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let start = value.span().start;
        let table = value.get_ref().as_table().ok_or_else(|| {
            let message = format!("`{key}` must be written as {place}, once");
            self.source.error(start, message)
        })?;
        Section::new(self.source, place, table, start).map(Some)
    }

    /// The tables of a `[[key]]`.
    pub(super) fn tables(
        &self,
        key: &'static str,
        place: &'static str,
    ) -> Result<Vec<Section<'t>>, ConfigError> {
        let Some(value) = self.value(key) else {
            return Ok(Vec::new());
        };
        let wrong = |value: &Spanned<DeValue<'_>>| {
            self.source.error(
                value.span().start,
                format!("`{key}` must be written as {place}, once for each"),
            )
        };
        let list = value.get_ref().as_array().ok_or_else(|| wrong(value))?;
        list.iter()
            .map(|item| {
                let table = item.get_ref().as_table().ok_or_else(|| wrong(item))?;
                Section::new(self.source, place, table, item.span().start)
            })
            .collect()
    }
}

fn a(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'i', 'o', 'u', 'e']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {kind}")
}

fn known(place: &str) -> &'static [&'static str] {
    KEYS.iter()
        .find(|(section, _)| *section == place)
        .map_or(&[], |(_, keys)| keys)
}

fn unknown_key(place: &str, key: &str) -> String {
    let name = shown(key);
    if let Some(near) = nearest(key, known(place)) {
        return format!("unknown key `{name}` in {place}; did you mean `{near}`?");
    }
    if let Some((section, _)) = KEYS.iter().find(|(_, keys)| keys.contains(&key)) {
        return format!("unknown key `{name}` in {place}; it belongs in {section}");
    }
    format!(
        "unknown key `{name}` in {place}; the keys known there are {}",
        known(place).join(", ")
    )
}

/// The known key that takes the fewest edits, if they are few enough to be a slip.
fn nearest(key: &str, known: &[&'static str]) -> Option<&'static str> {
    // Longer ones are no slips, and the distance takes the product of both lengths.
    const KEY_CHARACTERS_MAX: usize = 64;
    if key.chars().count() > KEY_CHARACTERS_MAX {
        return None;
    }
    let lower = key.to_lowercase().replace('-', "_");
    let (edits, near) = known
        .iter()
        .map(|&candidate| (distance(&lower, candidate), candidate))
        .min()?;
    (edits <= 1 + near.len() / 4).then_some(near)
}

/// Levenshtein's: insertions, deletions and replacements.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (line, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, b) in right.chars().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}
