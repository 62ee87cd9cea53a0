#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;

use super::*;
use crate::config::parse;

fn set(text: &str) -> RuleSet {
    RuleSet::new(&parse(text, "test").expect(text)).expect("compiles")
}

/// One rule `r` with these lines.
fn one(lines: &str) -> RuleSet {
    set(&format!("[[rule]]\nname = \"r\"\n{lines}\n"))
}

fn path(text: &str) -> BytePath {
    BytePath::new(text.as_bytes())
}

fn covered(set: &RuleSet, text: &str) -> bool {
    set.covers(&path(text)).is_some()
}

#[test]
fn a_tree_covers_itself_and_all_below_but_no_namesake() {
    let set = one("paths = [\"/etc\"]");
    for text in ["/etc", "/etc/passwd", "/etc/a/b/c"] {
        assert!(covered(&set, text), "{text}");
    }
    for text in ["/", "/etcetera", "/usr/etc"] {
        assert!(!covered(&set, text), "{text}");
    }
    assert!(set.covers(&BytePath::new(b"/etc/\xff\n")).is_some());
}

#[test]
fn attempts_are_asked_for_by_the_most_specific_rule_and_inherited_wherever_one_may_ask() {
    use crate::config::Kind::{Denied, Opened};
    let set = set(
        "[[rule]]\nname = \"all\"\npaths = [\"/srv\"]\nreport = [\"opened\"]\n\
         [[rule]]\nname = \"keys\"\npaths = [\"/srv/keys\", \"/home/*/.k\"]\nreport = [\"denied\"]\n",
    );
    let asked = |text: &str| {
        let report = set.report(&path(text));
        (report.has(Denied), report.has(Opened))
    };
    assert_eq!(asked("/srv/a"), (false, true));
    assert_eq!(asked("/srv/keys/a"), (true, false));
    assert_eq!(asked("/etc/a"), (false, false));
    let within = |text: &str| {
        let report = set.report_within(&path(text));
        (report.has(Denied), report.has(Opened))
    };
    assert_eq!(within("/"), (true, true));
    assert_eq!(within("/srv/other"), (false, true));
    assert_eq!(within("/srv/keys/deep"), (true, true));
    assert_eq!(within("/home"), (true, false));
    assert_eq!(within("/home/eve"), (true, false));
    assert_eq!(within("/etc"), (false, false));
    assert!(one("paths = [\"/srv\"]").reports().is_empty());
}

#[test]
fn without_recursion_only_direct_entries_are_covered() {
    let set = one("paths = [\"/etc\", \"/home/*\"]\nrecursive = false");
    assert!(covered(&set, "/etc") && covered(&set, "/etc/passwd"));
    assert!(!covered(&set, "/etc/ssh/sshd_config"));
    assert!(covered(&set, "/home/eve") && !covered(&set, "/home/eve/x"));
}

#[test]
fn a_glob_covers_its_matches_and_what_is_below_them() {
    let set = one("paths = [\"/home/*/.ssh\"]");
    assert!(covered(&set, "/home/eve/.ssh"));
    assert!(covered(&set, "/home/eve/.ssh/a/b"));
    assert!(!covered(&set, "/home/eve/x/.ssh"));
    assert!(!covered(&set, "/home/eve"));
    assert!(
        set.covers(&BytePath::new(b"/home/\xff\n/.ssh/\xfe\n"))
            .is_some()
    );
}

#[test]
fn the_most_specific_rule_is_named_first_and_all_are_listed() {
    let set = set(
        "[[rule]]\nname = \"all\"\npaths = [\"/\"]\n[[rule]]\nname = \"etc\"\npaths = [\"/etc\"]\n\
         [[rule]]\nname = \"glob\"\npaths = [\"/etc/pass*\"]\n[[rule]]\nname = \"file\"\npaths = [\"/etc/passwd\"]\n\
         [[rule]]\nname = \"again\"\npaths = [\"/etc/passwd\"]\n",
    );
    let found = set.covers(&path("/etc/passwd")).expect("covered");
    assert_eq!((found.rule.name.as_str(), found.number), ("file", 3));
    assert_eq!(found.rules, ["all", "etc", "glob", "file", "again"]);
    assert_eq!(
        set.covers(&path("/etc/passwd-"))
            .expect("covered")
            .rule
            .name,
        "glob"
    );
    assert_eq!(
        set.covers(&path("/etc/group")).expect("covered").rule.name,
        "etc"
    );
    assert_eq!(set.covers(&path("/srv")).expect("covered").rules, ["all"]);
}

#[test]
fn excludes_win_over_the_paths_of_their_rule_and_of_no_other() {
    let set = set(
        "[[rule]]\nname = \"a\"\npaths = [\"/etc\"]\nexclude = [\"/etc/foo\", \"/etc/t*/x\", \"*.swp\", \"cache\"]\n\
         [[rule]]\nname = \"b\"\npaths = [\"/etc/foo/kept\"]\n",
    );
    for text in [
        "/etc/foo",
        "/etc/foo/bar",
        "/etc/tt/x",
        "/etc/tt/x/y",
        "/etc/.a.swp",
        "/etc/b/c.swp/d",
        "/etc/x/cache/y",
    ] {
        assert!(!covered(&set, text), "{text}");
    }
    for text in ["/etc/foobar", "/etc/tt", "/etc/a.swpx", "/etc/cached"] {
        assert!(covered(&set, text), "{text}");
    }
    assert_eq!(
        set.covers(&path("/etc/foo/kept")).expect("covered").rules,
        ["b"]
    );
}

#[test]
fn a_name_to_exclude_does_not_reach_above_the_rules_path() {
    let set = one("paths = [\"/srv/cache/app\"]\nexclude = [\"cache\"]");
    assert!(covered(&set, "/srv/cache/app/x"));
    assert!(!covered(&set, "/srv/cache/app/cache/x"));
}

#[test]
fn pseudo_file_systems_are_never_covered() {
    let set = one("paths = [\"/\", \"/*/self\"]");
    for text in ["/proc", "/proc/self", "/sys/kernel", "/dev/null"] {
        assert!(
            !covered(&set, text) && !set.may_contain(&path(text)),
            "{text}"
        );
    }
    assert!(covered(&set, "/devel") && covered(&set, "/"));
}

#[test]
fn the_walker_is_led_to_matches_and_nowhere_else() {
    let set = one("paths = [\"/home/*/.ssh/authorized_keys\", \"/etc/passwd\", \"/opt/**/bin\"]");
    for text in [
        "/",
        "/home",
        "/home/eve",
        "/home/eve/.ssh",
        "/home/eve/.ssh/authorized_keys",
        "/etc",
        "/opt",
        "/opt/a/b",
    ] {
        assert!(set.may_contain(&path(text)), "{text}");
    }
    for text in [
        "/usr",
        "/home/eve/src",
        "/home/eve/.ssh/x",
        "/etc/ssh",
        "/optical",
    ] {
        assert!(!set.may_contain(&path(text)), "{text}");
    }
}

#[test]
fn a_directory_that_only_leads_to_what_is_covered_has_nothing_of_interest_in_it() {
    let set = one("paths = [\"/var/log/app\", \"/etc/passwd\", \"/srv/*/x\"]");
    for text in [
        "/var/log",
        "/var/log/app",
        "/var/log/app/deep",
        "/etc",
        "/srv",
        "/srv/a",
    ] {
        assert!(set.may_cover_in(&path(text)), "{text}");
    }
    for text in ["/", "/var", "/usr", "/proc"] {
        assert!(!set.may_cover_in(&path(text)), "{text}");
    }
}

#[test]
fn the_walker_does_not_enter_what_is_excluded() {
    let set = one(
        "paths = [\"/etc\", \"/home/*/x\"]\nexclude = [\"/etc/big\", \".git\", \"/home/mallory\"]",
    );
    assert!(set.may_contain(&path("/etc/a")));
    for text in ["/etc/big", "/etc/big/deep", "/etc/a/.git", "/home/mallory"] {
        assert!(!set.may_contain(&path(text)), "{text}");
    }
}

#[test]
fn roots_are_the_literal_paths_and_the_bases_of_globs() {
    let set = set(
        "[[rule]]\nname = \"a\"\npaths = [\"/etc/\", \"/home/*/.ssh\"]\n[[rule]]\nname = \"b\"\npaths = [\"/*\"]\n",
    );
    let roots: Vec<_> = set
        .roots()
        .iter()
        .map(|root| (root.path.to_string(), root.rule, root.literal))
        .collect();
    let expected = [("/etc", 0, true), ("/home", 0, false), ("/", 1, false)];
    assert_eq!(
        roots,
        expected.map(|(path, rule, literal)| (path.to_owned(), rule, literal))
    );
}

#[test]
fn ten_thousand_paths_and_a_thousand_globs_are_answered_quickly() {
    let mut text = String::new();
    for rule in 0..900 {
        let globs = if rule < 500 {
            format!(", \"/home/*/r{rule}/**/x?\", \"/srv/{rule}/[a-z]*/y\"")
        } else {
            String::new()
        };
        let _ = writeln!(
            text,
            "[[rule]]\nname = \"{rule}\"\npaths = [\"/d/{rule}/a\", \"/e/{rule}\"{globs}]"
        );
    }
    let set = set(&text);
    let start = std::time::Instant::now();
    for number in 0..2_000 {
        assert!(covered(
            &set,
            &format!("/d/{}/a/deep/er/file", number % 900)
        ));
        assert!(!covered(&set, "/usr/share/doc/thing/README"));
        assert!(covered(&set, &format!("/home/eve/r{}/q/x1", number % 500)));
    }
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}

#[test]
fn a_deep_path_takes_linear_time() {
    let set = one("paths = [\"/a\", \"/*/b\"]\nexclude = [\"*.swp\"]");
    let deep = "/a".repeat(32_768);
    let start = std::time::Instant::now();
    assert!(covered(&set, &deep));
    assert!(start.elapsed().as_secs() < 2, "{:?}", start.elapsed());
}

proptest::proptest! {
    /// Whatever is covered must be reachable by a walker that asks `may_contain` at every directory.
    #[test]
    fn what_is_covered_is_reached_by_the_walk(
        entries in proptest::collection::vec("/(a|b|\\*|\\*\\*|[ab]\\?|\\{a,b/a\\}|\\[!a\\])(/(a|b|\\*|\\*\\*|\\{a,bb\\})){0,3}", 1..4),
        recursive: bool,
        target in "(/(a|b|ab|bb)){1,5}",
    ) {
        let paths: Vec<String> = entries.iter().map(|entry| format!("{entry:?}")).collect();
        let set = one(&format!("paths = [{}]\nrecursive = {recursive}", paths.join(",")));
        let target = path(&target);
        if set.covers(&target).is_some() {
            let within = target.parent().is_some_and(|it| set.may_cover_in(&it));
            proptest::prop_assert!(within, "what is covered in the directory of {target} is not seen");
            let mut above = target.parent();
            while let Some(directory) = above {
                proptest::prop_assert!(set.may_contain(&directory), "{directory} hides {target}");
                above = directory.parent();
            }
        }
    }
}

#[test]
fn a_depth_counts_names_below_the_paths_of_a_rule() {
    for (depth, reached) in [(0, 1), (1, 2), (2, 3)] {
        let set = one(&format!(
            "paths = [\"/srv/a\", \"/home/*/b\"]\ndepth = {depth}"
        ));
        for paths in [
            ["/srv/a", "/srv/a/1", "/srv/a/1/2", "/srv/a/1/2/3"],
            [
                "/home/x/b",
                "/home/x/b/1",
                "/home/x/b/1/2",
                "/home/x/b/1/2/3",
            ],
        ] {
            for (number, text) in paths.iter().enumerate() {
                assert_eq!(covered(&set, text), number < reached, "{depth}: {text}");
                let enters = number + 1 < reached;
                assert_eq!(set.may_contain(&path(text)), enters, "{depth}: {text}");
            }
        }
        assert!(set.may_contain(&path("/home")) && set.may_contain(&path("/home/x")));
    }
}

#[test]
fn hidden_names_are_covered_unless_a_rule_says_otherwise_and_its_own_path_always_is() {
    let all = one("paths = [\"/srv\"]");
    assert!(covered(&all, "/srv/.a/b") && covered(&all, "/srv/a/.b"));
    let set = one("paths = [\"/srv\", \"/root/.ssh\"]\nhidden = false");
    for text in ["/srv/a", "/srv/a.b", "/root/.ssh", "/root/.ssh/keys"] {
        assert!(covered(&set, text), "{text}");
    }
    for text in ["/srv/.a", "/srv/.a/b", "/srv/a/.b", "/root/.ssh/.old"] {
        assert!(!covered(&set, text), "{text}");
    }
    assert!(!set.may_contain(&path("/srv/.a")) && set.may_contain(&path("/srv/a")));
}
