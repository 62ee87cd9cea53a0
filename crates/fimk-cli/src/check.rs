//! `fimk check-config`: whether a configuration holds, and what it would watch. Asks no monitor, and starts nothing.

mod dry_run;

use std::{fmt::Write as _, path::PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use fimk_core::{config::Config, render::one_line};
use serde_json::{Value, json};

use self::dry_run::{Found, dry_run};
use fimk_core::exit::{Failure, Status};

use crate::{
    arguments::{Format, format_flag},
    words::{bytes, counted, grouped, shown},
};

// One crate would be needed for it alone: the analyzer reads the same files.
#[path = "../../fimk-analyzer/src/config_files.rs"]
mod config_files;

/// The name of the command.
pub const NAME: &str = "check-config";

/// What packages install.
const FILE: &str = "/etc/fimk/fimk.toml";

/// What is to be checked, and how.
#[derive(Debug, PartialEq, Eq)]
pub struct Wanted {
    file: PathBuf,
    dry_run: bool,
    list: bool,
    format: Format,
}

/// Its command line.
pub fn command() -> Command {
    Command::new(NAME)
        .about("Says whether a configuration holds, and where it does not")
        .arg(
            Arg::new("file")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .default_value(FILE)
                .help("The configuration; drop-ins are read from conf.d beside it"),
        )
        .arg(
            Arg::new("dry-run")
                .long("dry-run")
                .action(ArgAction::SetTrue)
                .help("Count what it would watch now, rule by rule"),
        )
        .arg(
            Arg::new("list")
                .long("list")
                .action(ArgAction::SetTrue)
                .requires("dry-run")
                .help("Name each object as well, with its rule"),
        )
        .arg(format_flag())
}

/// From its command line.
pub fn wanted(matches: &ArgMatches) -> Option<Wanted> {
    Some(Wanted {
        file: matches.get_one::<PathBuf>("file")?.clone(),
        dry_run: matches.get_flag("dry-run"),
        list: matches.get_flag("list"),
        format: Format::of(matches)?,
    })
}

/// Checks it; what is to be printed.
///
/// # Errors
/// With [`Status::Configuration`] and the sentence of the configuration's error.
pub fn run(wanted: &Wanted) -> Result<String, Failure> {
    let refused = |sentence: String| Failure::new(Status::Configuration, sentence);
    let texts = config_files::read(&wanted.file).map_err(refused)?;
    let config = texts.parse().map_err(|error| refused(error.to_string()))?;
    let found = if wanted.dry_run {
        Some(dry_run(&config, wanted.list).map_err(refused)?)
    } else {
        None
    };
    let name = shown(&wanted.file.display().to_string());
    Ok(match wanted.format {
        Format::Human | Format::Prometheus => {
            in_words(&name, &config, texts.drop_ins(), found.as_ref())
        }
        Format::Json => one_line(&as_json(&name, &config, texts.drop_ins(), found.as_ref())) + "\n",
    })
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn in_words(name: &str, config: &Config, drop_ins: usize, found: Option<&Found>) -> String {
    let mut out = format!(
        "{name} is valid: {}, {}, {}\n",
        counted(count(config.rules.len()), "rule"),
        counted(count(config.outputs.len()), "output"),
        counted(count(drop_ins), "drop-in"),
    );
    let Some(found) = found else { return out };
    let names: Vec<String> = config.rules.iter().map(|rule| shown(&rule.name)).collect();
    let widest = names.iter().map(|name| name.chars().count()).max();
    let width = widest.unwrap_or(0).max("rule".len());
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "\n{:width$}  {:>12}  {:>12}",
        "rule", "objects", "content"
    );
    for (name, (objects, size)) in names.iter().zip(&found.of_rules) {
        let _ = writeln!(
            out,
            "{name:width$}  {:>12}  {:>12}",
            grouped(*objects),
            bytes(*size)
        );
    }
    let (objects, size) = found.sum();
    let _ = writeln!(
        out,
        "{:width$}  {:>12}  {:>12}",
        "all",
        grouped(objects),
        bytes(size)
    );
    for sentence in sentences(config, found) {
        let _ = writeln!(out, "\n{sentence}");
    }
    for (at, (path, rule)) in found.objects.iter().flatten().enumerate() {
        let between = if at == 0 { "\n" } else { "" };
        let name = names.get(*rule).map_or("", String::as_str);
        let _ = writeln!(out, "{between}{name:width$}  {}", path.escaped());
    }
    out
}

/// What is to be thought of.
fn sentences(config: &Config, found: &Found) -> Vec<String> {
    let mut sentences = Vec::new();
    let (objects, _) = found.sum();
    if objects > u64::from(config.objects_max) {
        sentences.push(format!(
            "With the source bpf there is room for {} objects only: raise objects_max, or watch fewer.",
            grouped(u64::from(config.objects_max))
        ));
    }
    if found.unreadable > 0 {
        sentences.push(format!(
            "{} could not be read, and what is in them is not counted: ask as root.",
            counted_directories(found.unreadable)
        ));
    }
    sentences
}

fn counted_directories(number: u64) -> String {
    match number {
        1 => "1 directory".to_owned(),
        number => format!("{} directories", grouped(number)),
    }
}

fn as_json(name: &str, config: &Config, drop_ins: usize, found: Option<&Found>) -> Value {
    let mut object = json!({
        "config": name,
        "valid": true,
        "rules": config.rules.len(),
        "outputs": config.outputs.len(),
        "drop_ins": drop_ins,
    });
    if let (Some(found), Some(members)) = (found, object.as_object_mut()) {
        let of_rules = config.rules.iter().zip(&found.of_rules);
        let mut by_rule: Vec<Value> = of_rules
            .map(|(rule, (objects, size))| json!({ "name": rule.name, "objects": objects, "bytes": size }))
            .collect();
        for (number, object) in by_rule.iter_mut().enumerate() {
            if let (Some(objects), Some(members)) = (&found.objects, object.as_object_mut()) {
                let own = objects.iter().filter(|(_, rule)| *rule == number);
                let paths: Vec<String> = own.map(|(path, _)| path.escaped()).collect();
                members.insert("paths".to_owned(), json!(paths));
            }
        }
        let (objects, size) = found.sum();
        members.insert(
            "watches".to_owned(),
            json!({
                "rules": by_rule,
                "objects": objects,
                "bytes": size,
                "objects_max": config.objects_max,
                "unreadable_directories": found.unreadable,
            }),
        );
    }
    object
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test stops at the first surprise")]
mod tests {
    use std::fs;

    use super::*;

    fn checked(
        text: &str,
        dry_run: bool,
        format: Format,
    ) -> (tempfile::TempDir, Result<String, Failure>) {
        asked(text, dry_run, false, format)
    }

    fn asked(
        text: &str,
        dry_run: bool,
        list: bool,
        format: Format,
    ) -> (tempfile::TempDir, Result<String, Failure>) {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("fimk.toml");
        let files = directory.path().join("files");
        fs::create_dir_all(files.join("below")).expect("made");
        fs::write(files.join("a"), "12345").expect("written");
        fs::write(files.join("below/b"), "1").expect("written");
        let text = text.replace("FILES", &files.display().to_string());
        fs::write(&file, text).expect("written");
        let wanted = Wanted {
            file,
            dry_run,
            list,
            format,
        };
        let done = run(&wanted);
        (directory, done)
    }

    const RULES: &str = "[[rule]]\nname = \"all\"\npaths = [\"FILES\"]\n\
        [[rule]]\nname = \"one\"\npaths = [\"FILES/a\", \"/nowhere/at/all\"]\n";

    #[test]
    fn a_valid_configuration_is_counted_and_a_wrong_one_has_its_place_and_status_78() {
        let (_directory, done) = checked(RULES, false, Format::Human);
        let text = done.expect("valid");
        assert!(
            text.ends_with("is valid: 2 rules, 1 output, 0 drop-ins\n"),
            "{text}"
        );
        let (_directory, done) = checked("[[rule]]\nnam = \"x\"\n", false, Format::Human);
        let failure = done.expect_err("refused");
        assert_eq!(failure.status as u8, 78);
        let sentence = failure.sentence;
        assert!(
            sentence
                .ends_with("fimk.toml:2:1: unknown key `nam` in [[rule]]; did you mean `name`?"),
            "{sentence}"
        );
    }

    #[test]
    fn a_dry_run_counts_each_object_for_the_rule_that_decides() {
        let (_directory, done) = checked(RULES, true, Format::Json);
        let found: Value = serde_json::from_str(&done.expect("valid")).expect("JSON");
        let watches = found.get("watches").expect("a member");
        let rules = json!([
            { "name": "all", "objects": 3, "bytes": 1 },
            { "name": "one", "objects": 1, "bytes": 5 },
        ]);
        assert_eq!(watches.get("rules"), Some(&rules));
        assert_eq!(watches.get("objects"), Some(&json!(4)));
        let (_directory, done) = checked(RULES, true, Format::Human);
        let text = done.expect("valid");
        assert!(
            text.contains("\nall              4       6 bytes\n"),
            "{text}"
        );
    }

    #[test]
    fn a_list_names_each_object_with_the_rule_that_decides() {
        let (directory, done) = asked(RULES, true, true, Format::Human);
        let files = directory.path().join("files").display().to_string();
        let text = done.expect("valid");
        let listed = format!(
            "\n\nall   {files}\none   {files}/a\nall   {files}/below\nall   {files}/below/b\n"
        );
        assert!(text.ends_with(&listed), "{text}");
        let (directory, done) = asked(RULES, true, true, Format::Json);
        let files = directory.path().join("files").display().to_string();
        let found: Value = serde_json::from_str(&done.expect("valid")).expect("JSON");
        let paths = found.pointer("/watches/rules/1/paths");
        assert_eq!(paths, Some(&json!([format!("{files}/a")])));
    }
}
