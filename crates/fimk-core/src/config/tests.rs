#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod outputs;

use super::*;
use crate::rules::RuleSet;

fn error(text: &str) -> String {
    parse(text, "/etc/fimk/fimk.toml")
        .expect_err(text)
        .to_string()
}

/// The error of a rule with these lines; they begin at line 4.
fn rule_error(lines: &str) -> String {
    error(&format!(
        "[[rule]]\nname = \"r\"\npaths = [\"/etc\"]\n{lines}\n"
    ))
}

fn path_error(path: &str) -> String {
    error(&format!(
        "[[rule]]\nname = \"r\"\npaths = [\n  \"/etc\", {path},\n]\n"
    ))
}

#[test]
fn what_is_not_said_has_a_default() {
    let config = parse("[[rule]]\nname = \"r\"\npaths = [\"/etc/\"]\n", "x").expect("valid");
    assert_eq!(
        (config.source, config.settle_ms, config.scan_interval_s),
        (SourceWanted::Auto, 50, 300)
    );
    assert_eq!(
        (config.read_bytes_max, config.objects_max, config.names_max),
        (64 << 20, 262_144, 1 << 20)
    );
    assert_eq!(
        (config.state_dir, config.run_dir),
        ("/var/lib/fimk".into(), "/run/fimk".into())
    );
    assert_eq!(config.host_root, None);
    assert_eq!(config.outputs, [Output::default()]);
    let rule = &config.rules[0];
    assert_eq!(
        (rule.recursive, rule.content, rule.severity),
        (true, ContentMode::Auto, 47)
    );
    assert_eq!(rule.paths, [Pattern::Path(BytePath::new(b"/etc"))]);
}

#[test]
fn what_a_rule_reports_beside_changes_is_a_list_of_three_words() {
    let of = |list: &str| {
        let text = format!("[[rule]]\nname = \"r\"\npaths = [\"/a\"]\nreport = {list}\n");
        parse(&text, "x").map(|config| KINDS.map(|kind| config.rules[0].report.has(kind)))
    };
    assert_eq!(of("[]"), Ok([false; 3]));
    assert_eq!(of("[\"opened\", \"opened\"]"), Ok([false, true, false]));
    let all = "[\"executed\", \"opened\", \"denied\"]";
    assert_eq!(of(all), Ok([true; 3]));
    assert_eq!(
        rule_error("report = [\"opened\",\n\"read\"]"),
        "/etc/fimk/fimk.toml:5:1: `report` in [[rule]] may hold \"denied\", \"opened\", \"executed\", not \"read\""
    );
    assert!(rule_error("report = \"opened\"").contains("a list of strings"));
}

#[test]
fn what_is_kept_has_defaults_and_one_age_for_all_severities_that_have_none_of_their_own() {
    let of = |store: &str| {
        let text = format!("{store}\n[[rule]]\nname = \"a\"\npaths = [\"/a\"]\n");
        parse(&text, "x").map(|config| config.store)
    };
    let store = of("").expect("valid");
    assert_eq!((store.keep_bytes, store.keep_days), (1 << 30, [None; 4]));
    let store = of("[store]\nkeep_days = 90\nkeep_days_high = 365").expect("valid");
    assert_eq!(store.keep_days, [90, 90, 365, 90].map(Some));
    for wrong in [
        "store = 1",
        "[store]\nkeep_days = 0",
        "[store]\nkeep_bytes = 1",
        "[store]\nkeep_day = 1",
        "[[store]]\nkeep_days = 1",
    ] {
        of(wrong).expect_err(wrong);
    }
}

#[test]
fn every_key_is_taken() {
    let text = r#"
        source = "periodic"
        state_dir = "/srv/state/"
        run_dir = "/srv/run"
        host_root = "/host/"
        settle_ms = 10_000
        settle_max_ms = 60_000
        settle_new_ms = 0
        scan_interval_s = 0x10
        compare_interval_s = 3600
        cpu_quota = 150
        scan_bytes_per_s = 4_194_304
        hash = "blake3"
        read_bytes_max = 4096
        objects_max = 1_048_576
        names_max = 0x4000
        [[rule]]
        name = "a"
        paths = ["/a", "/b/*"]
        recursive = false
        exclude = ["/b/c", "/b/d*", "*.swp"]
        content = "hash"
        report = ["denied", "executed", "denied"]
        severity = "critical"
        tags = ["x", "y"]
        keep_days = 3650
        [[rule]]
        name = "b"
        paths = ["/a"]
        severity = 0
        [[output]]
        type = "stdout"
        severity = "high"
        burst = "summary"
        burst_events = 2
        [store]
        keep_bytes = 1_048_576
        keep_days = 365
        keep_days_low = 7
        keep_days_medium = 30
        keep_days_high = 36525
        keep_days_critical = 1
    "#;
    let config = parse(text, "x").expect("valid");
    let days = [7, 30, 36_525, 1].map(Some);
    assert_eq!(
        (config.store.keep_bytes, config.store.keep_days),
        (1 << 20, days)
    );
    let of_rules: Vec<_> = config.rules.iter().map(|rule| rule.keep_days).collect();
    assert_eq!(of_rules, [Some(3650), None]);
    assert_eq!(
        (config.source, config.settle_ms, config.scan_interval_s),
        (SourceWanted::Periodic, 10_000, 16)
    );
    assert_eq!(config.state_dir, PathBuf::from("/srv/state"));
    assert_eq!(config.host_root, Some(PathBuf::from("/host")));
    assert_eq!((config.objects_max, config.names_max), (1 << 20, 1 << 14));
    let rule = &config.rules[0];
    assert_eq!(
        (rule.recursive, rule.content, rule.severity),
        (false, ContentMode::Hash, 99)
    );
    assert_eq!(
        (
            rule.paths.len(),
            rule.exclude.len(),
            rule.exclude_names.len()
        ),
        (2, 2, 1)
    );
    assert_eq!(rule.tags, ["x", "y"]);
    assert_eq!(config.rules[1].severity, 0);
    assert_eq!(
        config.outputs,
        [Output {
            filter: Filter {
                severity: 73,
                ..Filter::default()
            },
            burst: Some(Burst {
                events: 2,
                within_ms: 2_000
            }),
            ..Output::default()
        }]
    );
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_nearest() {
    assert_eq!(
        error("\n\n# first\n\n[[rule]]\nname = \"r\"\npath = [\"/etc\"]\n"),
        "/etc/fimk/fimk.toml:7:1: unknown key `path` in [[rule]]; did you mean `paths`?"
    );
    assert_eq!(
        rule_error("  Severety = 3"),
        "/etc/fimk/fimk.toml:4:3: unknown key `Severety` in [[rule]]; did you mean `severity`?"
    );
    assert!(
        error("sorce = \"auto\"")
            .ends_with(":1:1: unknown key `sorce` in the main section; did you mean `source`?")
    );
    assert!(error("exclude = []").ends_with("it belongs in [[rule]]"));
    assert!(error("[zebra]").ends_with("the keys known there are source, coverage, fanotify_marks, state_dir, run_dir, host_root, settle_ms, settle_max_ms, settle_new_ms, scan_interval_s, compare_interval_s, cpu_quota, scan_bytes_per_s, hash, heartbeat_interval_s, read_bytes_max, redact, objects_max, names_max, rule, output, store, metrics"));
    assert!(error("[[rules]]\nname = \"r\"").contains("did you mean `rule`?"));
}

#[test]
fn the_first_unknown_key_is_reported_whatever_its_name() {
    assert!(rule_error("zz = 1\naa = 2").contains(":4:1: unknown key `zz`"));
}

#[test]
fn a_column_counts_characters() {
    assert!(
        error("[[rule]]\nname = \"r\"\npaths = [\"/é\", \"etc\"]\n").contains(":3:16: "),
        "{}",
        error("[[rule]]\nname = \"r\"\npaths = [\"/é\", \"etc\"]\n")
    );
}

#[test]
fn syntax_errors_have_their_place_and_one_line() {
    let error = error("[[rule]]\nname = \"r\npaths = 1\n");
    assert!(error.starts_with("/etc/fimk/fimk.toml:2:"), "{error}");
    assert!(!error.contains('\n'), "{error}");
}

#[test]
fn a_path_that_cannot_be_watched_is_named_with_its_rule() {
    for path in [
        "/proc",
        "/proc/1/maps",
        "/sys/fs/bpf/fimk",
        "/dev/null",
        "//dev//",
        "/proc/*/maps",
    ] {
        let error = path_error(&format!("\"{path}\""));
        assert!(error.contains(":4:11: rule \"r\": path \""), "{error}");
        assert!(error.contains("pseudo file system"), "{error}");
    }
    assert!(
        parse(
            "[[rule]]\nname = \"r\"\npaths = [\"/procession\", \"/\", \"/devel\"]",
            "x"
        )
        .is_ok()
    );
}

#[test]
fn paths_must_be_absolute_and_plain() {
    assert!(
        path_error("\"etc/passwd\"")
            .contains(":4:11: rule \"r\": path \"etc/passwd\" is not absolute")
    );
    assert!(path_error("\"\"").contains("is empty"));
    assert!(path_error("\"/etc/../x\"").contains("`..`"));
    assert!(path_error("\"/etc/[x\"").contains("`[` is not closed"));
    assert!(path_error("\"/etc/{x\"").contains("is not a glob"));
    assert!(path_error("\"/etc\\u0000\"").contains("NUL"));
    assert!(path_error("7").contains("`paths` in [[rule]] must hold strings only, not an integer"));
    assert!(path_error(&format!("\"/{}\"", "x".repeat(4096))).contains("longer than 4096"));
}

#[test]
fn a_rule_needs_a_unique_name_and_a_path() {
    assert!(error("").contains("no [[rule]]"));
    assert!(error("[rule]\nname = \"r\"").contains("must be written as [[rule]]"));
    assert!(error("[[rule]]\npaths = [\"/a\"]").contains(":1:1: this [[rule]] has no `name`"));
    assert!(error("[[rule]]\nname = \"r\"").contains("no `paths`"));
    assert!(error("[[rule]]\nname = \"r\"\npaths = []").contains("no `paths`"));
    assert!(
        error("[[rule]]\nname = \"\"\npaths = [\"/a\"]").contains(":2:8: `name` must be 1 to 64")
    );
    assert!(error("[[rule]]\nname = \"a\\nb\"\npaths = [\"/a\"]").contains("control character"));
    let twice = "[[rule]]\nname = \"r\"\npaths = [\"/a\"]\n".repeat(2);
    assert!(error(&twice).contains(":4:1: there is another rule \"r\""));
}

#[test]
fn values_out_of_range_say_the_range() {
    assert!(
        rule_error("severity = 101")
            .contains(":4:12: `severity` in [[rule]] must be an integer from 0 to 100")
    );
    assert!(rule_error("severity = -1").contains("from 0 to 100"));
    assert!(
        rule_error("severity = \"dire\"")
            .contains("\"low\" or \"medium\" or \"high\" or \"critical\", not \"dire\"")
    );
    assert!(rule_error("severity = true").contains("not a boolean"));
    assert!(
        rule_error("content = \"all\"").contains("\"auto\" or \"diff\" or \"hash\" or \"none\"")
    );
    assert!(rule_error("recursive = 1").contains("true or false"));
    assert!(rule_error("tags = [\"\"]").contains("`tags` must be"));
    assert!(
        error("settle_ms = 0\n[[rule]]\nname=\"r\"\npaths=[\"/a\"]").contains("from 1 to 10000")
    );
    assert!(
        error("state_dir = \"x\"\n[[rule]]\nname=\"r\"\npaths=[\"/a\"]").contains("not absolute")
    );
}

#[test]
fn a_path_that_its_own_rule_excludes_is_refused() {
    for exclude in ["/etc", "/e*", "etc", "/"] {
        let error = rule_error(&format!("exclude = [\"{exclude}\"]"));
        assert!(
            error.contains(":3:10: rule \"r\": path \"/etc\" is also left out"),
            "{error}"
        );
    }
}

#[test]
fn a_tilde_stands_for_every_home_and_only_at_the_beginning() {
    for (path, words) in [
        ("~eve/.ssh", "names the home of one user"),
        ("~", "names the home of one user"),
        ("~/", "is every home as a whole"),
        ("~/.", "is every home as a whole"),
        ("~/.ssh/*", "has wildcards below ~/"),
        ("~/../eve", "has a `..`"),
        ("~/a/~/b", "has a second `~`"),
        ("/home/~/.ssh", "has a `~` where it means no home"),
    ] {
        let error = path_error(&format!("\"{path}\""));
        assert!(error.contains(words), "{path}: {error}");
    }
    let config = parse(
        "[[rule]]\nname = \"r\"\npaths = [\"~/.ssh/rc\", \"/etc/a~\"]\n",
        "x",
    )
    .expect("valid");
    let rule = &config.rules[0];
    assert_eq!(rule.paths, [Pattern::Path(BytePath::new(b"/etc/a~"))]);
    assert_eq!(
        rule.home_paths[0].below(&BytePath::new(b"/home/eve")),
        BytePath::new(b"/home/eve/.ssh/rc")
    );
}

#[test]
fn limits_are_kept() {
    let rules: Vec<String> = (0..=RULES_MAX)
        .map(|n| format!("[[rule]]\nname=\"{n}\"\npaths=[\"/a\"]\n"))
        .collect();
    assert!(error(&rules.concat()).contains("more than 1000 rules"));
    let many = |text: &str, count: usize| vec![format!("\"{text}\""); count].join(",");
    assert!(path_error(&many("/a", PATHS_MAX)).contains("more than 10000 `paths`"));
    assert!(
        path_error(&many("/a*", GLOBS_MAX + 1)).contains("more than 1000 paths with wildcards")
    );
    assert!(path_error(&many("~/a", HOME_PATHS_MAX + 1)).contains("more than 64 paths that begin"));
    assert!(error(&"#".repeat(CONFIG_BYTES_MAX + 1)).contains("larger than"));
}

#[test]
fn a_message_holds_no_control_characters() {
    let error = parse("\"a\\nb\\u001b\" = 1", "odd\nname")
        .expect_err("unknown key")
        .to_string();
    assert!(!error.contains(char::is_control), "{error}");
}

#[test]
fn the_packaged_configuration_is_valid() {
    let text = include_str!("../../../../packaging/fimk.toml");
    let config = parse(text, "packaging/fimk.toml").expect("the packaged configuration");
    assert!(config.rules.len() > 5);
    let homes = [BytePath::new(b"/home/eve")];
    let set = RuleSet::new(&config.with_homes(&homes)).expect("compiles");
    for (path, rule) in [
        ("/etc/passwd", "identity"),
        ("/home/eve/.ssh/authorized_keys", "ssh"),
        ("/etc/sudoers.d/eve", "privilege"),
        ("/etc/ld.so.preload", "library-loading"),
        ("/etc/cron.d/job", "scheduled-jobs"),
        ("/usr/local/bin/tool", "local-programs"),
        ("/etc/hosts", "etc"),
        ("/usr/bin/ls", "programs"),
        ("/usr/lib/x86_64-linux-gnu/libc.so.6", "programs"),
        ("/var/log/auth.log", "login-records"),
    ] {
        assert_eq!(
            set.covers(&BytePath::new(path.as_bytes()))
                .expect(path)
                .rule
                .name,
            rule
        );
    }
    assert!(set.covers(&BytePath::new(b"/etc/mtab")).is_none());
}

/// Headings of the page are the sections, and each key is an item below its own.
#[test]
fn the_manual_describes_exactly_the_keys_there_are() {
    let page = include_str!("../../../../man/fimk.toml.5");
    let mut section = "";
    let mut described = Vec::new();
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix(".Ss ") {
            section = match heading {
                "The main section" => TOP,
                "Section rule" => RULE,
                "Section output" => OUTPUT,
                "Section store" => STORE,
                "Section metrics" => METRICS,
                _ => "",
            };
        } else if line.starts_with(".Sh ") {
            section = "";
        } else if let Some(key) = line.strip_prefix(".It Ic ") {
            described.push((section, key));
        }
    }
    // What a drop-in may hold is described with what it is.
    let mut known: Vec<_> = KEYS
        .iter()
        .filter(|(name, _)| *name != DROP_IN)
        .flat_map(|(name, keys)| keys.iter().map(move |key| (*name, *key)))
        .collect();
    described.sort_unstable();
    known.sort_unstable();
    assert_eq!(described, known);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(\\[\\[(rule|output)\\]\\]\n|(name|paths|exclude|tags|severity|source) = (\"[a/*\\[{é!.]{0,6}\"|-?[0-9]{1,20}|\\[(\"/?[a/*?]{0,5}\",?){0,3}\\])\n|.{0,9}\n){0,12}") {
        if let Err(error) = parse(&text, "x") {
            proptest::prop_assert!(!error.to_string().contains('\n'));
        }
    }
}

fn rule_of(lines: &str) -> Result<Rule, ConfigError> {
    let text = format!("[[rule]]\nname = \"r\"\npaths = [\"/a\"]\n{lines}\n");
    parse(&text, "x").map(|mut config| config.rules.remove(0))
}

#[test]
fn a_message_quotes_no_secret() {
    let url = "[[output]]\ntype = \"http\"\nurl = \"ftp://u:hunter2hunter2@host\"";
    let error = rule_of(url).expect_err("no url").to_string();
    assert!(error.contains("ftp://u:[redacted]@host"), "{error}");
    let word = rule_of("severity = \"password=hunter2hunter2\"").expect_err("no severity");
    assert!(!word.to_string().contains("hunter2"), "{word}");
}

#[test]
fn events_of_a_rule_are_switched_by_our_names_and_by_others() {
    use crate::event::Action::{
        AttributesModified, Created, Deleted, Heartbeat, Linked, Modified, Renamed,
    };
    assert!(rule_of("").expect("valid").events.is_all());
    let events = rule_of("events = [\"modified\", \"on_create\", \"on_chmod\"]");
    let events = events.expect("valid").events;
    for (action, wanted) in [
        (Modified, true),
        (Created, true),
        (Linked, true),
        (AttributesModified, true),
        (Deleted, false),
        (Renamed, false),
        (Heartbeat, true),
    ] {
        assert_eq!(events.has(action), wanted, "{action:?}");
    }
    let ours =
        "[\"on_create\", \"on_change\", \"on_remove\", \"on_rename\", \"on_chmod\", \"on_move\"]";
    let theirs =
        "[\"onCreate\", \"onChange\", \"onRemove\", \"onRename\", \"onChmod\", \"onMove\"]";
    let [ours, theirs] = [ours, theirs].map(|it| rule_of(&format!("events = {it}")));
    assert_eq!(ours.expect("valid").events, theirs.expect("valid").events);
    for (lines, part) in [
        ("events = []", "would tell nothing"),
        ("events = [\"on_delete\"]", "not \"on_delete\""),
    ] {
        let error = rule_of(lines).expect_err(lines).to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn attributes_of_a_rule_are_words_and_groups_of_them() {
    assert!(rule_of("").expect("valid").cares.is_all());
    assert!(
        rule_of("attributes = [\"all\"]")
            .expect("valid")
            .cares
            .is_all()
    );
    let cares = rule_of("attributes = [\"permissions\", \"times\"]")
        .expect("valid")
        .cares;
    for field in [
        "type",
        "mode",
        "uid",
        "gid",
        "flags",
        "capabilities",
        "acl user:eve",
        "xattr security.selinux",
        "what comes later",
    ] {
        assert!(cares.about_field(field), "{field}");
    }
    assert!(!cares.about_field("xattr user.note") && !cares.about(Attribute::Content));
    let error = rule_of("attributes = [\"sha256\"]")
        .expect_err("unknown")
        .to_string();
    assert!(
        error.contains("or the groups all, permissions, not \"sha256\""),
        "{error}"
    );
}

#[test]
fn patterns_of_secrets_are_compiled_and_a_wrong_one_has_its_place() {
    let of = |redact: &str| {
        let text = format!("{redact}\n[[rule]]\nname = \"r\"\npaths = [\"/a\"]\n");
        parse(&text, "x").map(|config| config.redact)
    };
    assert_eq!(
        of("redact = [\"EMP-[0-9]+\"]"),
        Ok(vec!["EMP-[0-9]+".to_owned()])
    );
    let error = of("redact = [\"a\",\n\"(b\"]")
        .expect_err("refused")
        .to_string();
    assert!(
        error.starts_with("x:2:1: the pattern \"(b\" of `redact` is not a regular expression"),
        "{error}"
    );
    of("redact = [\"\"]").expect_err("empty");
}

#[test]
fn what_only_grows_may_have_rotators_and_must_be_read() {
    assert_eq!(rule_of("").expect("valid").growing, None);
    let growing = rule_of("growing = true\nrotators = [\"/usr/sbin/logrotate\"]");
    let rotators = growing.expect("valid").growing.expect("growing").rotators;
    assert_eq!(rotators.len(), 1);
    for lines in [
        "rotators = [\"/usr/sbin/logrotate\"]",
        "growing = true\nrotators = [\"logrotate\"]",
        "growing = true\nrotators = [\"/usr/*/logrotate\"]",
        "growing = true\ncontent = \"none\"",
        "recursive = false\ndepth = 2",
        "depth = 65",
    ] {
        rule_of(lines).expect_err(lines);
    }
}

#[test]
fn several_hashes_are_a_list_of_which_the_first_is_compared() {
    let rule = "[[rule]]\nname = \"a\"\npaths = [\"/a\"]\n";
    let hashes = |line: &str| {
        let config = parse(&format!("{line}\n{rule}"), "test")?;
        Ok((config.hash, config.also_hash))
    };
    assert_eq!(hashes(""), Ok((Hash::Sha256, vec![])));
    assert_eq!(hashes("hash = \"md5\""), Ok((Hash::Md5, vec![])));
    let list = "hash = [\"sha256\", \"md5\", \"sha1\", \"md5\", \"sha256\"]";
    let mut others = vec![Hash::Sha1, Hash::Md5];
    others.sort_unstable();
    assert_eq!(hashes(list), Ok((Hash::Sha256, others)));
    let error: Result<_, ConfigError> = hashes("hash = [\"sha256\", \"md4\"]");
    let error = error.expect_err("there is no md4").to_string();
    assert!(
        error.contains("1:19") && error.contains("not \"md4\""),
        "{error}"
    );
}
