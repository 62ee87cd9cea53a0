//! The command line. The loader parses nothing else.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use fimk_wire::{SOURCE_NAMES, raw};

use crate::error::{Error, Result};
use crate::exit::Status;
use crate::handover;
use crate::vigil::{STUCK_AFTER, STUCK_AFTER_SECONDS};

/// Shown by `--help`.
pub const HELP: &str = "\
fimk-loader: loads fimk's kernel programs and serves an analyzer, which runs as an unprivileged user

usage: fimk-loader [--handover PATH] [--pin-dir DIR] [--user NAME] [--stuck-after SECONDS]
       fimk-loader --run-analyzer --config FILE [flags]
       fimk-loader --detach [--pin-dir DIR]

Without --run-analyzer it serves whichever analyzer connects to its socket.

  --handover PATH    the socket where analyzers ask for a channel (/run/fimk-loader/handover.sock)
  --run-analyzer     start the analyzer and stay in the foreground; events on standard output
  --config FILE      the analyzer's configuration; the loader does not read it
  --source NAME      auto, bpf, fanotify or periodic; wins over the configuration
  --pin-dir DIR      where the BPF maps and links are pinned (/sys/fs/bpf/fimk)
  --state-dir DIR    the analyzer's database; wins over the configuration (/var/lib/fimk)
  --run-dir DIR      the analyzer's sockets; wins over the configuration (/run/fimk)
  --user NAME        the user that the analyzer becomes (fimk)
  --analyzer PATH    the analyzer's executable (fimk-analyzer beside this one)
  --stuck-after SECONDS
                     drop an analyzer that has said nothing for so long (120)
  --keep             leave the pins in place at the end
  --detach           remove the pins that a loader left, so that no program stays, and exit
  --probe            print how this kernel serves each operation, and exit
  --version, --help  print and exit

Start it as root. See fimk-loader(8).
";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Print [`HELP`].
    Help,
    /// Print the version.
    Version,
    /// Print the plan of this kernel.
    Probe,
    /// Run in the foreground.
    Run(Box<Flags>),
    /// Serve whoever connects.
    Serve(Service),
    /// Remove the pins from this directory.
    Detach(PathBuf),
}

/// The flags of service mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The socket to listen at.
    pub handover: PathBuf,
    /// Where maps and links are pinned.
    pub pin_dir: PathBuf,
    /// Whose processes are served.
    pub user: String,
    /// How long one may be silent.
    pub stuck_after: Duration,
}

/// The flags of the foreground mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flags {
    /// Passed to the analyzer.
    pub config: PathBuf,
    /// `FIMK_SOURCE_*`; `None` leaves it to the configuration.
    pub source: Option<u32>,
    /// Where maps and links are pinned.
    pub pin_dir: PathBuf,
    /// `None` leaves it to the configuration.
    pub state_dir: Option<PathBuf>,
    /// `None` leaves it to the configuration.
    pub run_dir: Option<PathBuf>,
    /// Whom the analyzer runs as.
    pub user: String,
    /// `None`: the one beside this executable.
    pub analyzer: Option<PathBuf>,
    /// How long it may be silent.
    pub stuck_after: Duration,
    /// Leave the pins at the end.
    pub keep: bool,
}

/// Parses the arguments after the program's name.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command> {
    let mut given = Given::default();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let (name, value) = split(&argument);
        match name {
            "--help" => return Ok(Command::Help),
            "--version" => return Ok(Command::Version),
            "--run-analyzer" | "--keep" | "--detach" | "--probe" if value.is_some() => {
                return Err(usage(format!("{name} takes no value")));
            }
            "--run-analyzer" => given.run_analyzer = true,
            "--keep" => given.keep = true,
            "--detach" => given.detach = true,
            "--probe" => return Ok(Command::Probe),
            _ => {
                let slot = given.slot(name).ok_or_else(|| unknown(&argument))?;
                let value = value
                    .or_else(|| arguments.next())
                    .filter(|value| !value.is_empty());
                let value = value.ok_or_else(|| usage(format!("{name} needs a value")))?;
                if slot.replace(value).is_some() {
                    return Err(usage(format!("{name} is given twice")));
                }
            }
        }
    }
    given.finish()
}

#[derive(Default)]
struct Given {
    run_analyzer: bool,
    detach: bool,
    keep: bool,
    handover: Option<OsString>,
    config: Option<OsString>,
    source: Option<OsString>,
    pin_dir: Option<OsString>,
    state_dir: Option<OsString>,
    run_dir: Option<OsString>,
    user: Option<OsString>,
    analyzer: Option<OsString>,
    stuck_after: Option<OsString>,
}

impl Given {
    fn slot(&mut self, name: &str) -> Option<&mut Option<OsString>> {
        Some(match name {
            "--handover" => &mut self.handover,
            "--config" => &mut self.config,
            "--source" => &mut self.source,
            "--pin-dir" => &mut self.pin_dir,
            "--state-dir" => &mut self.state_dir,
            "--run-dir" => &mut self.run_dir,
            "--user" => &mut self.user,
            "--analyzer" => &mut self.analyzer,
            "--stuck-after" => &mut self.stuck_after,
            _ => return None,
        })
    }

    fn finish(self) -> Result<Command> {
        match (self.run_analyzer, self.detach) {
            (true, true) => Err(usage("--detach and --run-analyzer exclude each other")),
            (true, false) => self.foreground(),
            (false, true) => self.detach(),
            (false, false) => self.service(),
        }
    }

    fn foreground(mut self) -> Result<Command> {
        self.refuse(
            &["--handover"],
            "is of service mode: leave out --run-analyzer",
        )?;
        let (pin_dir, user, stuck_after) = (self.pin_dir(), self.user()?, self.stuck_after()?);
        let config = self
            .config
            .ok_or_else(|| usage("--run-analyzer needs --config FILE"))?;
        Ok(Command::Run(Box::new(Flags {
            config: config.into(),
            source: self.source.as_deref().map(source).transpose()?,
            pin_dir,
            state_dir: self.state_dir.map(PathBuf::from),
            run_dir: self.run_dir.map(PathBuf::from),
            user,
            analyzer: self.analyzer.map(PathBuf::from),
            stuck_after,
            keep: self.keep,
        })))
    }

    fn service(mut self) -> Result<Command> {
        self.refuse(&OF_FOREGROUND, "needs --run-analyzer")?;
        if self.keep {
            return Err(usage(
                "--keep needs --run-analyzer: a service keeps its pins",
            ));
        }
        Ok(Command::Serve(Service {
            pin_dir: self.pin_dir(),
            user: self.user()?,
            stuck_after: self.stuck_after()?,
            handover: self
                .handover
                .unwrap_or_else(|| handover::DEFAULT.into())
                .into(),
        }))
    }

    fn detach(mut self) -> Result<Command> {
        let why = "is of no use with --detach";
        self.refuse(&OF_FOREGROUND, why)?;
        self.refuse(&["--handover", "--user", "--stuck-after"], why)?;
        Ok(Command::Detach(self.pin_dir()))
    }

    fn refuse(&mut self, names: &[&str], why: &str) -> Result<()> {
        for name in names {
            if self.slot(name).is_some_and(|slot| slot.is_some()) {
                return Err(usage(format!("{name} {why}")));
            }
        }
        Ok(())
    }

    fn pin_dir(&mut self) -> PathBuf {
        let given = self.pin_dir.take();
        given.map_or_else(|| "/sys/fs/bpf/fimk".into(), PathBuf::from)
    }

    fn stuck_after(&mut self) -> Result<Duration> {
        let Some(given) = self.stuck_after.take() else {
            return Ok(STUCK_AFTER);
        };
        let seconds = given.to_str().and_then(|text| text.parse().ok());
        let seconds = seconds.filter(|seconds| STUCK_AFTER_SECONDS.contains(seconds));
        seconds.map(Duration::from_secs).ok_or_else(|| {
            usage(format!(
                "--stuck-after {}: it must be a number of seconds from {} to {}",
                given.display(),
                STUCK_AFTER_SECONDS.start(),
                STUCK_AFTER_SECONDS.end()
            ))
        })
    }

    fn user(&mut self) -> Result<String> {
        let user = self.user.take().unwrap_or_else(|| "fimk".into());
        user.into_string()
            .map_err(|_| usage("--user must be a name in UTF-8"))
    }
}

/// Flags that need `--run-analyzer`.
const OF_FOREGROUND: [&str; 5] = [
    "--config",
    "--source",
    "--state-dir",
    "--run-dir",
    "--analyzer",
];

/// `--name=value` or `--name`. A flag's name is ASCII; what is not becomes a name that no flag has.
fn split(argument: &OsStr) -> (&str, Option<OsString>) {
    use std::os::unix::ffi::OsStrExt;
    let bytes = argument.as_bytes();
    let end = bytes.iter().position(|&byte| byte == b'=');
    let name = &bytes[..end.unwrap_or(bytes.len())];
    let value = end.map(|end| OsStr::from_bytes(&bytes[end + 1..]).to_owned());
    (std::str::from_utf8(name).unwrap_or(""), value)
}

fn source(name: &OsStr) -> Result<u32> {
    let number = SOURCE_NAMES.iter().position(|known| name == *known);
    number
        .and_then(|number| u32::try_from(number).ok())
        .ok_or_else(|| {
            usage(format!(
                "--source {}: it must be one of {}",
                name.display(),
                SOURCE_NAMES.join(", ")
            ))
        })
}

/// The word of a source's number.
pub fn source_name(source: u32) -> &'static str {
    SOURCE_NAMES
        .get(source as usize)
        .copied()
        .unwrap_or(SOURCE_NAMES[raw::FIMK_SOURCE_AUTO as usize])
}

fn usage(sentence: impl Into<String>) -> Error {
    Error::new(
        Status::Usage,
        format!("{}; see fimk-loader --help", sentence.into()),
    )
}

fn unknown(argument: &OsStr) -> Error {
    usage(format!("unknown argument {}", argument.display()))
}

#[cfg(test)]
#[allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on must stop"
)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn flags(line: &str) -> Flags {
        match parsed(line) {
            Ok(Command::Run(flags)) => *flags,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn what_is_not_given_has_its_default_or_is_left_to_the_configuration() {
        let flags = flags("--run-analyzer --config f");
        assert_eq!(flags.pin_dir, PathBuf::from("/sys/fs/bpf/fimk"));
        assert_eq!(flags.user, "fimk");
        assert_eq!(
            (flags.source, flags.state_dir, flags.run_dir),
            (None, None, None)
        );
        assert!(!flags.keep);
    }

    #[test]
    fn without_run_analyzer_it_is_a_service_or_detaches() {
        let Ok(Command::Serve(service)) = parsed("--pin-dir /p --user u") else {
            panic!("no service");
        };
        assert_eq!(service.handover, PathBuf::from(handover::DEFAULT));
        assert_eq!((service.pin_dir, service.user), ("/p".into(), "u".into()));
        assert!(matches!(parsed(""), Ok(Command::Serve(_))));
        let detach = parsed("--detach --pin-dir=/p").expect("it is a flag");
        assert_eq!(detach, Command::Detach("/p".into()));
    }

    #[test]
    fn both_ways_of_giving_a_value_mean_the_same() {
        assert_eq!(
            flags("--run-analyzer --config f --source bpf --user x --keep"),
            flags("--config=f --user=x --keep --source=bpf --run-analyzer"),
        );
    }

    #[test]
    fn every_source_has_its_number() {
        for (number, name) in SOURCE_NAMES.iter().enumerate() {
            let flags = flags(&format!("--run-analyzer --config f --source {name}"));
            assert_eq!(flags.source, Some(u32::try_from(number).unwrap()));
        }
    }

    #[test]
    fn every_wrong_line_is_a_usage_error() {
        for line in [
            "--config f",
            "--keep",
            "--run-analyzer --config f --handover s",
            "--run-analyzer --config f --detach",
            "--detach --user u",
            "--detach --stuck-after 60",
            "--stuck-after soon",
            "--stuck-after 19",
            "--detach --config f",
            "--detach=now",
            "stray",
            "--run-analyzer",
            "--run-analyzer --config",
            "--run-analyzer --config=",
            "--run-analyzer --config f --config g",
            "--run-analyzer --config f --source other",
            "--run-analyzer --config f --keep=yes",
            "--run-analyzer --config f stray",
            "--run-analyzer --config f --unknown",
            "--probe=yes",
        ] {
            assert_eq!(
                parsed(line).map_err(|error| error.status),
                Err(64),
                "{line}"
            );
        }
    }

    #[test]
    fn help_version_and_probe_need_nothing_else() {
        assert_eq!(parsed("--probe").expect("it is a flag"), Command::Probe);
        assert_eq!(parsed("--help").expect("it is a flag"), Command::Help);
        assert_eq!(
            parsed("--version --nonsense").expect("it is a flag"),
            Command::Version
        );
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
    fn the_manual_page_has_the_flags_of_the_help_in_its_order() {
        let page = include_str!("../../../man/fimk-loader.8");
        let (synopsis, rest) = page.split_once(".Sh DESCRIPTION").expect("a section");
        let items: Vec<_> = rest
            .lines()
            .filter(|line| line.starts_with(".It Fl"))
            .collect();
        let help: Vec<_> = HELP
            .lines()
            .filter_map(|line| line.strip_prefix("  "))
            .filter(|line| line.starts_with('-'))
            .flat_map(|line| line.split([' ', ',']))
            .filter_map(|word| word.strip_prefix("--"))
            .collect();
        assert_eq!(help.len(), 15);
        assert_eq!(flags_in(synopsis), help);
        assert_eq!(flags_in(&items.join(" ")), help);
    }

    #[test]
    fn every_flag_is_in_the_help() {
        for name in [
            "--handover",
            "--config",
            "--source",
            "--pin-dir",
            "--state-dir",
            "--run-dir",
            "--user",
            "--analyzer",
            "--stuck-after",
        ] {
            assert!(Given::default().slot(name).is_some());
            assert!(HELP.contains(name), "{name}");
        }
    }
}
