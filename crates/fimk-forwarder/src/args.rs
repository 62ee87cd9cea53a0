//! The command line.

use std::path::PathBuf;

use crate::exit::{Failure, Status};

/// What packages install.
const CONFIG: &str = "/etc/fimk/fimk.toml";

/// See fimk-forwarder(8).
#[derive(Debug, PartialEq, Eq)]
pub struct Args {
    /// The configuration file, the analyzer's.
    pub config: PathBuf,
    /// Where the analyzer's control socket is; wins over the configuration.
    pub run_dir: Option<PathBuf>,
    /// Only its version is wanted.
    pub version: bool,
    /// Only to know whether there is anything to do is wanted.
    pub check: bool,
}

/// Parses what comes behind the program's name.
///
/// # Errors
/// A flag that there is not, or one without its value.
pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Args, Failure> {
    let usage = |sentence: String| {
        Failure::new(Status::Usage, format!("{sentence}; see fimk-forwarder(8)"))
    };
    let mut args = Args {
        config: CONFIG.into(),
        run_dir: None,
        version: false,
        check: false,
    };
    while let Some(flag) = words.next() {
        let mut value = || {
            let value = words.next().filter(|value| !value.is_empty());
            value.ok_or_else(|| usage(format!("{flag} needs a value")))
        };
        match flag.as_str() {
            "--config" => args.config = value()?.into(),
            "--run-dir" => args.run_dir = Some(value()?.into()),
            "--version" => args.version = true,
            "--check" => args.check = true,
            _ => return Err(usage(format!("there is no flag {flag}"))),
        }
    }
    Ok(args)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use super::*;

    fn parsed(line: &str) -> Result<Args, Failure> {
        parse(line.split_whitespace().map(String::from))
    }

    #[test]
    fn all_flags_are_taken_and_no_other() {
        let args = parsed("--config /c --run-dir /r --check").expect("valid");
        assert_eq!(
            (args.config, args.run_dir),
            ("/c".into(), Some("/r".into()))
        );
        assert!(args.check && !args.version);
        assert_eq!(parsed("").expect("valid").config, PathBuf::from(CONFIG));
        for bad in ["--config", "--frob", "x"] {
            assert_eq!(parsed(bad).expect_err(bad).status, Status::Usage);
        }
    }

    #[test]
    fn the_manual_page_has_every_flag_and_no_other() {
        let page = include_str!("../../../man/fimk-forwarder.8");
        let mut flags: Vec<&str> = page
            .lines()
            .filter_map(|line| line.strip_prefix(".It Fl -"))
            .filter_map(|rest| rest.split_whitespace().next())
            .collect();
        flags.sort_unstable();
        assert_eq!(flags, ["check", "config", "run-dir", "version"]);
    }
}
