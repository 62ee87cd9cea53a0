//! What a rule tells of what it covers: which changes, of which attributes, how deep.

use std::{fs, path::Path};

use fimk_tests::{Event, Expect, OBJECTS_MAX, Site, append_line, run, text};

#[test]
fn what_a_rule_does_not_ask_for_is_recorded_without_an_event() {
    let site = Site::new();
    let kept = site.write("switched/kept", "a\n");
    let gone = site.write("switched/gone", "a\n");
    let private = site.write("cares/private", "a\n");
    let deep = site.write("deep/1/2/3", "a\n");
    let shallow = site.write("deep/1/2b", "a\n");
    let hidden = site.write("deep/.hidden", "a\n");
    let config = |switched: &str| {
        let rule = |name: &str, lines: &str| {
            let path = site.file(name);
            format!(
                "[[rule]]\nname = \"{name}\"\npaths = [\"{}\"]\n{lines}\n",
                path.display()
            )
        };
        format!("objects_max = {OBJECTS_MAX}\n")
            + &rule("switched", switched)
            + &rule("cares", "attributes = [\"permissions\"]")
            + &rule("deep", "depth = 2\nhidden = false")
    };
    let monitor = site.start(&config("events = [\"on_create\", \"on_chmod\"]"));
    append_line(&kept, "not told");
    append_line(&private, "not told");
    append_line(&deep, "not told");
    append_line(&hidden, "not told");
    fs::remove_file(&gone).expect("it is ours");
    let created = site.write("switched/new", "");
    monitor.expect(Expect::action("created").of(&created));
    let chmod = run("chmod", &["0600", text(&private)]);
    monitor.expect(
        Expect::action("attributes_modified")
            .of(&private)
            .by(&chmod)
            .says_of_it("mode", "0644", "0600"),
    );
    let chmod = run("chmod", &["0664", text(&kept)]);
    monitor.expect(Expect::action("attributes_modified").of(&kept).by(&chmod));
    let shell = append_line(&shallow, "told");
    monitor.expect(Expect::action("modified").of(&shallow).by(&shell));
    let told: Vec<String> = monitor.stop().iter().filter_map(about).collect();
    assert_eq!(
        told,
        [
            "created new",
            "attributes_modified private",
            "attributes_modified kept",
            "modified 2b"
        ]
    );

    // What was not told is recorded: nothing of it comes back.
    let monitor = site.start(&config(""));
    let shell = append_line(&kept, "told");
    monitor.expect(Expect::action("modified").of(&kept).by(&shell).adds("told"));
    let told: Vec<String> = monitor.stop().iter().filter_map(about).collect();
    assert_eq!(told, ["modified kept"]);
}

#[test]
fn a_name_that_comes_or_goes_by_a_renaming_is_told_to_who_asks_for_names_only() {
    let site = Site::new();
    let [came, went, both] = ["came", "went", "both"].map(|name| {
        for file in ["a", "b", "c"] {
            site.write(&format!("{name}/{file}"), "one\n");
        }
        site.file(name)
    });
    let rule = |path: &Path, events: &str| {
        let name = Path::new(path.file_name().expect("it has one"));
        let (name, path) = (text(name), text(path));
        format!("[[rule]]\nname = \"{name}\"\npaths = [\"{path}\"]\nevents = [{events}]\n")
    };
    let config = format!(
        "objects_max = {OBJECTS_MAX}\n{}{}{}",
        rule(&came, "\"onCreate\""),
        rule(&went, "\"onRemove\""),
        rule(&both, "\"onCreate\", \"onRemove\""),
    );
    site.write("steps/0", "");
    let steps = format!("{config}{}", rule(&site.file("steps"), "\"created\""));
    let monitor = site.start(&steps);
    let mut step = 0;
    // What was done before the next step is told before it.
    let mut mv = |from: &Path, to: &Path| {
        run("mv", &[text(from), text(to)]);
        step += 1;
        let done = site.write(&format!("steps/{step}"), "");
        monitor.expect(Expect::action("created").of(&done));
    };
    for directory in [&came, &went, &both] {
        let there = site.outside("there");
        mv(&directory.join("a"), &there);
        mv(&there, &directory.join("new"));
        mv(&directory.join("b"), &directory.join("c"));
        mv(&directory.join("c"), &directory.join("d"));
    }
    let events = monitor.stop();
    let told = |rule: &str| -> Vec<String> {
        let of = |it: &&Event| it.text("fimk.rule") == Some(rule);
        events.iter().filter(of).filter_map(about).collect()
    };
    assert_eq!(told("came"), ["renamed new", "renamed d"]);
    assert_eq!(told("went"), ["renamed a", "modified c", "renamed d"]);
    assert_eq!(
        told("both"),
        ["renamed a", "renamed new", "modified c", "renamed d"]
    );
}

fn about(event: &Event) -> Option<String> {
    Some(format!("{} {}", event.action(), event.text("file.name")?))
}
