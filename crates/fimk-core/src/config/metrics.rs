//! `[metrics]`: a file of metrics, which the textfile collector of `node_exporter` reads.

use std::path::PathBuf;

use super::{ConfigError, METRICS, output::absolute, section::Section};

/// What the collector reads; nothing else.
const ENDING: &str = ".prom";

/// As often as Prometheus mostly asks.
const INTERVAL_DEFAULT_S: u64 = 15;

/// `[metrics]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    /// The file.
    pub path: PathBuf,
    /// Between two writings, in seconds.
    pub interval_s: u64,
}

impl Metrics {
    /// What is written before it takes the file's name.
    pub fn new_path(&self) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(".new");
        name.into()
    }

    /// All that is written.
    pub fn files(&self) -> [PathBuf; 2] {
        [self.path.clone(), self.new_path()]
    }
}

pub(super) fn metrics(top: &Section<'_>) -> Result<Option<Metrics>, ConfigError> {
    let Some(section) = top.table("metrics", METRICS)? else {
        return Ok(None);
    };
    let Some(path) = section.string("path")? else {
        return Err(section.error("[metrics] needs a `path`"));
    };
    if !path.text.ends_with(ENDING) {
        let why = format!("`path` must end with {ENDING}: the textfile collector reads no others");
        return Err(section.error_at(path, why));
    }
    Ok(Some(Metrics {
        path: absolute(&section, "path", path)?,
        interval_s: section
            .integer("interval_s", 1..=86_400)?
            .unwrap_or(INTERVAL_DEFAULT_S),
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test fails by panicking")]
    use crate::config::parse;

    #[test]
    fn a_file_of_metrics_has_a_path_with_its_ending_and_an_interval() {
        let of = |lines: &str| {
            let text = format!("{lines}\n[[rule]]\nname = \"r\"\npaths = [\"/a\"]\n");
            parse(&text, "x").map(|config| config.metrics)
        };
        assert_eq!(of("").expect("valid"), None);
        let metrics = of("[metrics]\npath = \"/m/fimk.prom\"").expect("valid");
        let metrics = metrics.expect("there is one");
        assert_eq!(metrics.interval_s, 15);
        assert_eq!(metrics.new_path().to_str(), Some("/m/fimk.prom.new"));
        for (lines, word) in [
            ("", "needs a `path`"),
            ("path = \"/m/fimk\"", ".prom"),
            ("path = \"m/fimk.prom\"", "not absolute"),
            ("path = \"/m/*.prom\"", "wildcards"),
            ("path = \"/m/a.prom\"\ninterval_s = 0", "1 to 86400"),
            ("path = \"/m/a.prom\"\nintervall = 1", "interval_s"),
        ] {
            let error = of(&format!("[metrics]\n{lines}")).expect_err(lines);
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
