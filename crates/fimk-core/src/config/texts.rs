//! Of what a configuration consists: the file that is named, and those of its drop-in directory.

use toml::de::DeTable;

use super::{
    CONFIG_BYTES_MAX, Config, ConfigError, DROP_IN, TOP, build,
    error::{Source, shown},
    section::Section,
};

/// The directory of drop-ins, beside the file that is named.
pub const DROP_IN_DIRECTORY: &str = "conf.d";

/// What the names of drop-ins end with; others there are passed over.
pub const DROP_IN_ENDING: &str = ".toml";

/// Drop-ins that are read: packages bring one each.
pub const DROP_INS_MAX: usize = 256;

/// Stands between the texts in [`Texts::joined`]; no TOML holds it.
const SEPARATOR: char = '\0';

/// The texts of a configuration, each with its name for messages: the file itself, then its drop-ins in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts {
    main: (String, String),
    drop_ins: Vec<(String, String)>,
}

impl Texts {
    /// Without drop-ins.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            main: (name.into(), text.into()),
            drop_ins: Vec::new(),
        }
    }

    /// With one more drop-in, after the others.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) {
        self.drop_ins.push((name.into(), text.into()));
    }

    /// How many drop-ins there are.
    pub fn drop_ins(&self) -> usize {
        self.drop_ins.len()
    }

    /// Of all texts, in bytes.
    pub fn bytes(&self) -> usize {
        self.each().map(|(_, text)| text.len()).sum()
    }

    /// As one: the text of the file itself, and behind it name and text of each drop-in. What digests of the
    /// configuration are made of, and what is kept of it.
    pub fn joined(&self) -> String {
        let mut joined = self.main.1.clone();
        for (name, text) in &self.drop_ins {
            for part in [name, text] {
                joined.push(SEPARATOR);
                joined.push_str(part);
            }
        }
        joined
    }

    /// The reverse of [`Self::joined`]; `name` is that of the file itself.
    pub fn split(name: &str, joined: &str) -> Self {
        let mut parts = joined.split(SEPARATOR);
        let mut texts = Self::new(name, parts.next().unwrap_or_default());
        while let (Some(name), Some(text)) = (parts.next(), parts.next()) {
            texts.add(name, text);
        }
        texts
    }

    fn each(&self) -> impl Iterator<Item = &(String, String)> {
        [&self.main].into_iter().chain(&self.drop_ins)
    }

    /// Reads all of them as one configuration.
    ///
    /// # Errors
    /// One sentence, with file, line and column where it has a place.
    pub fn parse(&self) -> Result<Config, ConfigError> {
        let sources: Vec<Source<'_>> = self
            .each()
            .map(|(file, text)| Source { file, text })
            .collect();
        if self.bytes() > CONFIG_BYTES_MAX {
            let message = format!(
                "the configuration is larger than {CONFIG_BYTES_MAX} bytes; make it shorter"
            );
            return Err(sources[0].error_without_place(message));
        }
        let documents = sources
            .iter()
            .map(document)
            .collect::<Result<Vec<_>, _>>()?;
        let sections = sources
            .iter()
            .zip(&documents)
            .enumerate()
            .map(|(number, (source, document))| {
                let place = if number == 0 { TOP } else { DROP_IN };
                Section::new(source, place, document, 0)
            })
            .collect::<Result<Vec<_>, _>>()?;
        build(&sections)
    }
}

fn document<'t>(source: &Source<'t>) -> Result<DeTable<'t>, ConfigError> {
    let document = DeTable::parse(source.text).map_err(|error| {
        let message = error.message().lines().collect::<Vec<_>>().join("; ");
        source.error(
            error.span().map_or(0, |span| span.start),
            format!("this is not TOML: {}", shown(&message)),
        )
    })?;
    Ok(document.into_inner())
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const MAIN: &str = "source = \"auto\"\n[[rule]]\nname = \"a\"\npaths = [\"/a\"]\n";

    fn with(drop_ins: &[(&str, &str)]) -> Texts {
        let mut texts = Texts::new("/c/fimk.toml", MAIN);
        for (name, text) in drop_ins {
            texts.add(*name, *text);
        }
        texts
    }

    fn error(drop_ins: &[(&str, &str)]) -> String {
        with(drop_ins).parse().expect_err("refused").to_string()
    }

    #[test]
    fn rules_of_drop_ins_follow_those_of_the_file_in_order() {
        let config = with(&[
            (
                "/c/conf.d/1.toml",
                "[[rule]]\nname = \"b\"\npaths = [\"/b\"]\n",
            ),
            ("/c/conf.d/2.toml", "# nothing\n"),
            (
                "/c/conf.d/3.toml",
                "[[rule]]\nname = \"c\"\npaths = [\"/c\"]\n",
            ),
        ])
        .parse()
        .expect("valid");
        let names: Vec<&str> = config.rules.iter().map(|rule| rule.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
    }

    #[test]
    fn an_error_in_a_drop_in_names_that_file_and_the_place_in_it() {
        let at = "/c/conf.d/1.toml";
        for (text, sentence) in [
            (
                "\n[[rule]]\nname = \"b\"\npath = []\n",
                "/c/conf.d/1.toml:4:1: unknown key `path` in [[rule]]; did you mean `paths`?",
            ),
            (
                "\nsettle_ms = 5\n",
                "/c/conf.d/1.toml:2:1: unknown key `settle_ms` in a drop-in; it belongs in the main section",
            ),
            (
                "[[rule]]\nname = \"a\"\npaths = [\"/b\"]\n",
                "/c/conf.d/1.toml:1:1: there is another rule \"a\", in /c/fimk.toml; give each a name of its own",
            ),
            (
                "[[rule]]\nname = \"b\"\npaths = [\"/b\"]\nexclude = [\"/b\"]\n",
                "/c/conf.d/1.toml:3:10: rule \"b\": path \"/b\" is also left out by `exclude`; remove one of them",
            ),
        ] {
            assert_eq!(error(&[(at, text)]), sentence);
        }
        assert!(error(&[(at, "a b")]).starts_with("/c/conf.d/1.toml:1:"));
    }

    #[test]
    fn limits_hold_for_all_files_together() {
        let half = format!("# {}\n", "x".repeat(CONFIG_BYTES_MAX / 2));
        assert!(with(&[("1", &half)]).parse().is_ok());
        assert!(error(&[("1", &half), ("2", &half)]).contains("larger than"));
    }

    #[test]
    fn joined_texts_are_the_same_when_they_are_split() {
        assert_eq!(with(&[]).joined(), MAIN);
        for texts in [with(&[]), with(&[("1", ""), ("2", "# x\n")])] {
            assert_eq!(Texts::split("/c/fimk.toml", &texts.joined()), texts);
        }
    }
}
