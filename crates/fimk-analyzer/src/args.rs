//! The flags the loader starts the analyzer with.

use std::{os::fd::RawFd, path::PathBuf};

use fimk_wire::SOURCE_NAMES;

use crate::exit::{Failure, Status};

/// What the loader hands down; see fimk-analyzer(8).
#[derive(Debug, PartialEq, Eq)]
pub struct Args {
    /// Where the channel to the loader comes from.
    pub channel: Way,
    /// The configuration file.
    pub config: PathBuf,
    /// Given by flag; wins over the configuration.
    pub state_dir: Option<PathBuf>,
    /// Given by flag; wins over the configuration.
    pub run_dir: Option<PathBuf>,
    /// Number of `enum fimk_source`, given by flag; wins over the configuration.
    pub source: Option<u32>,
}

/// How the loader is reached.
#[derive(Debug, PartialEq, Eq)]
pub enum Way {
    /// The inherited end of its socketpair: it started us.
    Inherited(RawFd),
    /// The socket of a loader in service mode.
    Handover(PathBuf),
}

/// Whether only the version is wanted.
pub fn asks_version(mut words: impl Iterator<Item = String>) -> bool {
    words.next().is_some_and(|word| word == "--version")
}

/// Parses the command line behind the program's name.
pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Args, Failure> {
    let usage =
        |sentence: String| Failure::new(Status::Usage, format!("{sentence}; see fimk-analyzer(8)"));
    let mut channel = None;
    let mut args = Args {
        channel: Way::Inherited(-1),
        config: PathBuf::new(),
        state_dir: None,
        run_dir: None,
        source: None,
    };
    while let Some(flag) = words.next() {
        let value = words
            .next()
            .ok_or_else(|| usage(format!("{flag} needs a value")))?;
        match flag.as_str() {
            "--channel" | "--handover" if channel.is_some() => {
                return Err(usage(format!(
                    "{flag} comes after another way to the loader"
                )));
            }
            "--channel" => {
                // The standard three are not ours to take.
                let number = value.parse().ok().filter(|&number: &RawFd| number >= 3);
                channel = Some(Way::Inherited(number.ok_or_else(|| {
                    usage(format!("--channel {value} is not a descriptor from 3 on"))
                })?));
            }
            "--handover" => channel = Some(Way::Handover(value.into())),
            "--config" => args.config = value.into(),
            "--state-dir" => args.state_dir = Some(value.into()),
            "--run-dir" => args.run_dir = Some(value.into()),
            "--source" => {
                args.source = Some(
                    source_number(&value)
                        .ok_or_else(|| usage(format!("there is no source {value}")))?,
                );
            }
            _ => return Err(usage(format!("there is no flag {flag}"))),
        }
    }
    args.channel = channel.ok_or_else(|| {
        usage(
            "fimk-analyzer is started by fimk-loader, with --channel, or asks it for one, with --handover"
                .into(),
        )
    })?;
    if args.config.as_os_str().is_empty() {
        return Err(usage("--config is missing".into()));
    }
    Ok(args)
}

fn source_number(name: &str) -> Option<u32> {
    let at = SOURCE_NAMES.iter().position(|&known| known == name)?;
    u32::try_from(at).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
    use super::*;

    fn parsed(line: &str) -> Result<Args, Failure> {
        parse(line.split_whitespace().map(String::from))
    }

    #[test]
    fn all_flags_are_taken() {
        let args = parsed("--channel 3 --config /c --state-dir /s --run-dir /r --source fanotify")
            .expect("valid");
        assert_eq!(args.channel, Way::Inherited(3));
        let service = parsed("--handover /h --config /c").expect("valid");
        assert_eq!(service.channel, Way::Handover("/h".into()));
        assert_eq!(args.source, Some(fimk_wire::raw::FIMK_SOURCE_FANOTIFY));
    }

    /// The flags in a piece of the manual page, in its order.
    fn flags_in(page: &str) -> Vec<&str> {
        let words: Vec<_> = page.split_whitespace().collect();
        words
            .windows(2)
            .filter(|pair| pair[0].ends_with("Fl"))
            .filter_map(|pair| pair[1].strip_prefix('-'))
            .collect()
    }

    #[test]
    fn the_manual_page_has_every_flag_and_no_other() {
        let page = include_str!("../../../man/fimk-analyzer.8");
        let (synopsis, rest) = page.split_once(".Sh DESCRIPTION").expect("a section");
        let flags = flags_in(synopsis);
        assert_eq!(
            flags,
            [
                "channel",
                "config",
                "handover",
                "config",
                "source",
                "state-dir",
                "run-dir",
                "version"
            ]
        );
        let mut once = flags.clone();
        once.remove(1);
        assert_eq!(flags_in(rest), once);
        let (version, others) = flags.split_last().expect("there are some");
        assert!(asks_version([format!("--{version}")].into_iter()));
        for flag in others {
            let refused = parsed(&format!("--{flag} bpf")).expect_err("it is not enough");
            assert!(!refused.sentence.contains("there is no flag"), "{flag}");
        }
    }

    #[test]
    fn there_is_one_way_to_the_loader() {
        for line in [
            "--channel 2",
            "--channel x",
            "--channel 3 --handover /h",
            "--handover /h --handover /h",
        ] {
            let failure = parsed(&format!("{line} --config /c")).expect_err(line);
            assert_eq!(failure.status, Status::Usage, "{line}");
        }
    }

    #[test]
    fn a_start_by_hand_says_who_starts_it() {
        let failure = parsed("--config /c").expect_err("no channel");
        assert_eq!(failure.status, Status::Usage);
        assert!(failure.sentence.contains("fimk-loader"));
    }
}
