//! Another configuration while fimk runs, by SIGHUP, and one that was exchanged while it did not.

use std::{fs, path::Path};

use fimk_tests::{Event, Expect, Monitor, OBJECTS_MAX, Site, append_line};
use nix::sys::signal::Signal;

fn rule(name: &str, path: &Path) -> String {
    format!(
        "[[rule]]\nname = \"{name}\"\npaths = [\"{}\"]\n",
        path.display()
    )
}

/// A configuration of rules, each a name with a path.
fn rules(rules: &[(&str, &Path)]) -> String {
    let rules: String = rules.iter().map(|(name, path)| rule(name, path)).collect();
    format!("objects_max = {OBJECTS_MAX}\n{rules}")
}

fn nth(monitor: &Monitor, action: &str, number: usize) -> Event {
    monitor.wait_until(&format!("{number} times {action}"), |events| {
        events.iter().filter(|it| it.action() == action).count() >= number
    });
    let events = monitor.events();
    let mut all = events.iter().filter(|it| it.action() == action);
    all.nth(number - 1).expect("it was seen").clone()
}

fn reload(monitor: &Monitor, config: &Path, text: &str) {
    fs::write(config, text).expect("it is ours");
    monitor.signal(Signal::SIGHUP);
}

fn count(event: &Event, name: &str) -> u64 {
    event
        .number(&format!("fimk.counts.{name}"))
        .unwrap_or_else(|| panic!("no count {name} in {event:?}"))
}

#[test]
fn a_reload_watches_what_is_new_and_lets_go_of_the_rest_and_a_bad_one_changes_nothing() {
    let site = Site::new();
    let (one, two) = (site.file("one"), site.file("two"));
    let old = site.write("one/old", "a\n");
    let files: Vec<_> = (0..20)
        .map(|number| site.write(&format!("two/{number}"), "a\n"))
        .collect();
    let config = site.outside("fimk.toml");
    let monitor = site.start(&rules(&[("one", &one)]));
    let shell = append_line(&old, "b");
    monitor.expect(Expect::action("modified").of(&old).by(&shell));

    let text = rules(&[("two", &two)]).replace(&OBJECTS_MAX.to_string(), "4096");
    reload(&monitor, &config, &text);
    let reloaded = nth(&monitor, "config_reloaded", 1);
    let counted = [
        "rules_added",
        "rules_removed",
        "objects_added",
        "objects_dropped",
    ];
    assert_eq!(counted.map(|name| count(&reloaded, name)), [1, 1, 21, 2]);
    assert_eq!(
        reloaded.get("fimk.not_reloaded"),
        Some(&serde_json::json!(["objects_max"]))
    );
    let digest = reloaded.text("fimk.config_digest").map(str::to_owned);
    let before = reloaded.text("fimk.previous_config_digest");
    assert!(digest.is_some() && before.is_some() && digest.as_deref() != before);
    monitor.expect(Expect::action("baseline_created").field("fimk.counts.objects", 21));
    append_line(&old, "not watched any more");
    let shell = append_line(&files[7], "b");
    monitor.expect(Expect::action("modified").of(&files[7]).by(&shell));

    reload(&monitor, &config, "\n[[rule]]\nname = \"two\"\npath = []\n");
    let rejected = nth(&monitor, "config_rejected", 1);
    let error = rejected.text("error.message").unwrap_or_default();
    assert!(
        error.contains("fimk.toml:4:1: unknown key `path`"),
        "{error}"
    );
    assert_eq!(rejected.text("fimk.config_digest"), digest.as_deref());
    let shell = append_line(&files[8], "b");
    monitor.expect(Expect::action("modified").of(&files[8]).by(&shell));

    // A drop-in adds a rule; the signal may as well come to the analyzer itself.
    fs::write(&config, &text).expect("it is ours");
    let drop_ins = site.outside("conf.d");
    fs::create_dir(&drop_ins).expect("it is ours");
    fs::write(drop_ins.join("10.toml"), rule("one", &one)).expect("it is ours");
    let analyzer = monitor.analyzer_pid().expect("it runs");
    let analyzer = nix::unistd::Pid::from_raw(i32::try_from(analyzer).expect("pids are small"));
    nix::sys::signal::kill(analyzer, Signal::SIGHUP).expect("we are root");
    let reloaded = nth(&monitor, "config_reloaded", 2);
    assert_eq!(counted.map(|name| count(&reloaded, name)), [1, 0, 2, 0]);
    let shell = append_line(&old, "c");
    monitor.expect(Expect::action("modified").of(&old).by(&shell));
    monitor.signal(Signal::SIGHUP);
    let same = nth(&monitor, "config_reloaded", 3);
    assert_eq!(same.get("fimk.previous_config_digest"), None);

    let told: Vec<String> = monitor
        .stop()
        .iter()
        .filter_map(|it| Some(format!("{} {}", it.action(), it.text("file.name")?)))
        .collect();
    assert_eq!(
        told,
        ["modified old", "modified 7", "modified 8", "modified old"]
    );
    let monitor = site.start(&rules(&[("two", &two)]));
    let changed = nth(&monitor, "config_reloaded", 1);
    assert!(changed.text("fimk.previous_config_digest").is_some());
    monitor.stop();
}

#[test]
fn what_changes_while_the_configuration_is_exchanged_is_told() {
    const FILES: usize = 60;
    let site = Site::new();
    let files: Vec<_> = (0..FILES)
        .map(|number| site.write(&format!("both/{number}"), "a\n"))
        .collect();
    for number in 0..200 {
        site.write(&format!("other/{number}"), "a\n");
    }
    let (both, other) = (site.file("both"), site.file("other"));
    let config = site.outside("fimk.toml");
    let with = rules(&[("both", &both), ("other", &other)]);
    let without = rules(&[("both", &both)]);
    let monitor = site.start(&without);
    for (number, some) in files.chunks(FILES / 4).enumerate() {
        let text = if number % 2 == 0 { &with } else { &without };
        reload(&monitor, &config, text);
        for file in some {
            append_line(file, "b");
        }
        nth(&monitor, "config_reloaded", number + 1);
    }
    for file in &files {
        monitor.expect(Expect::action("modified").of(file));
    }
    let events = monitor.stop();
    let others = events.iter().filter(|it| {
        it.text("file.path")
            .is_some_and(|path| path.contains("/other"))
    });
    assert_eq!(others.count(), 0);
}
