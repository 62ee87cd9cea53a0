//! Files in the homes of users, of those who come later too; and what a user cannot make fimk print.

use std::{
    fs,
    os::unix::fs::{chown, symlink},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use fimk_tests::{Account, Event, Expect, Monitor, Site, append_line, deadline, rule, run, text};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0FxkmRwPIpUe6iYyXxUq8CbFAIBrTqQlkQPGWzPRYs";

/// In a file of root's that nobody else may read.
const MARKER: &str = "marker-4f7a-of-what-root-alone-may-read";

/// What the monitor logs when it watches homes that have come.
const WATCHED: &str = "homes are watched, for passwd changed";

fn keys_of_all() -> String {
    rule(&[Path::new("~/.ssh/authorized_keys")])
}

fn add_key(account: &Account, home: &Path, comment: &str) -> fimk_tests::Ran {
    let ssh = home.join(".ssh");
    let ssh = text(&ssh);
    account.sh(&format!(
        "mkdir -p {ssh} && echo '{KEY} {comment}' >> {ssh}/authorized_keys"
    ))
}

#[test]
fn a_key_of_a_user_who_came_later_is_an_event() {
    let site = Site::new();
    let monitor = site.start(&keys_of_all());
    let home = site.outside("eve");
    let account = Account::with_home("fimkhome", &home);
    monitor.expect_logged(WATCHED);
    let keys = home.join(".ssh/authorized_keys");
    add_key(&account, &home, "one");
    monitor.expect(Expect::action("created").of(&keys));
    let shell = add_key(&account, &home, "two");
    monitor.expect(
        Expect::action("modified")
            .of(&keys)
            .by(&shell)
            .field("fimk.content", "changed"),
    );
    monitor.stop();
}

#[test]
fn what_is_in_a_home_that_comes_is_recorded_without_an_event_for_each_file() {
    let site = Site::new();
    let home = site.outside("eve");
    fs::create_dir_all(home.join(".ssh")).expect("it is ours");
    let keys = home.join(".ssh/authorized_keys");
    fs::write(&keys, format!("{KEY} old\n")).expect("it is ours");
    let monitor = site.start(&keys_of_all());
    let _account = Account::with_home("fimkold", &home);
    monitor.expect_logged(WATCHED);
    monitor.wait_until("two baselines", |events| {
        let baselines = events.iter().filter(|it| it.action() == "baseline_created");
        baselines
            .filter_map(|it| it.number("fimk.counts.objects"))
            .sum::<u64>()
            >= 1
    });
    let shell = append_line(&keys, "# more");
    monitor.expect(Expect::action("modified").of(&keys).by(&shell));
    let events = monitor.stop();
    let of_keys = events.iter().filter(|event| event.is_about(&keys));
    let actions: Vec<&str> = of_keys.map(Event::action).collect();
    assert_eq!(actions, ["modified"]);
}

/// A user, and a file of root's with a marker in it.
struct Scene {
    site: Site,
    account: Account,
    home: PathBuf,
    secret: PathBuf,
}

impl Scene {
    fn new(name: &str) -> Self {
        let site = Site::new();
        let home = site.outside("home");
        let account = Account::with_home(name, &home);
        let root = site.outside("root");
        fs::create_dir(&root).expect("it is ours");
        let secret = root.join("authorized_keys");
        fs::write(&secret, format!("{MARKER}\n")).expect("it is ours");
        run("chmod", &["0600", text(&secret)]);
        run("chmod", &["0700", text(&root)]);
        fs::create_dir(home.join(".ssh")).expect("it is ours");
        chown(home.join(".ssh"), Some(account.uid()), None).expect("it is ours");
        Self {
            site,
            account,
            home,
            secret,
        }
    }

    fn ssh(&self, name: &str) -> PathBuf {
        self.home.join(".ssh").join(name)
    }

    fn config(&self) -> String {
        rule(&[
            Path::new("~/.ssh"),
            Path::new("~/.profile"),
            &self.site.outside("*/.config/x"),
        ])
    }

    /// The marker is nowhere, though what may be shown is.
    fn stop_and_search(&self, monitor: Monitor) {
        let raw = |monitor: &Monitor| (monitor.raw(), monitor.errors());
        let (printed, _) = raw(&monitor);
        monitor.stop();
        for (place, bytes) in [("output", printed), ("state", self.site.state_bytes())] {
            assert!(!has(&bytes, MARKER), "the {place} has the marker");
            assert!(bytes.len() > 1_000, "the {place} is where it is looked for");
        }
    }
}

fn has(bytes: &[u8], words: &str) -> bool {
    bytes
        .windows(words.len())
        .any(|window| window == words.as_bytes())
}

fn unread(words: &'static str) -> Expect {
    Expect::any_of(&["created", "linked", "modified", "attributes_modified"])
        .without("fimk.diff")
        .without("file.hash.sha256")
        .without("fimk.digest")
        .and(format!("unread, because {words}"), move |event| {
            event
                .text("fimk.unread")
                .is_some_and(|why| why.contains(words))
        })
}

#[test]
fn a_link_to_a_file_of_roots_is_told_and_its_content_is_not() {
    let scene = Scene::new("fimklink");
    let monitor = scene.site.start(&scene.config());
    let keys = scene.ssh("authorized_keys");
    let secret = text(&scene.secret).to_owned();
    scene.account.sh(&format!("ln -s {secret} {}", text(&keys)));
    monitor.expect(
        Expect::action("created")
            .of(&keys)
            .field("file.type", "symlink")
            .field("file.target_path", secret.as_str()),
    );
    // The same name by a rule of another kind.
    let config = scene.home.join(".config");
    let x = config.join("x");
    scene
        .account
        .sh(&format!("mkdir {0} && ln -s {secret} {0}/x", text(&config)));
    monitor.expect(
        Expect::action("created")
            .of(&x)
            .field("file.type", "symlink"),
    );
    append_line(&scene.secret, "more");
    let shown = scene.home.join(".profile");
    scene.account.sh(&format!("echo shown > {}", text(&shown)));
    monitor.expect(Expect::any_of(&["created", "modified"]).of(&shown));
    scene.stop_and_search(monitor);
    // The first scan of a start reads everything again.
    let monitor = scene.site.start(&scene.config());
    scene.stop_and_search(monitor);
}

#[test]
fn a_directory_that_became_a_link_is_not_passed_in_a_home() {
    let scene = Scene::new("fimkdir");
    let ssh = scene.home.join(".ssh");
    let root = scene.secret.parent().expect("it is below a directory");
    let away = scene.home.join("away");
    scene.account.sh(&format!(
        "mv {0} {1} && ln -s {2} {0}",
        text(&ssh),
        text(&away),
        text(root)
    ));
    let keys = scene.ssh("authorized_keys");
    let config = rule(&[Path::new("~/.ssh/authorized_keys")]);
    let monitor = scene.site.start(&config);
    let shell = append_line(&scene.secret, "more");
    monitor.expect(unread("is a link").of(&keys).by(&shell));
    scene.stop_and_search(monitor);
    let monitor = scene.site.start(&scene.config());
    scene.stop_and_search(monitor);
}

#[test]
fn a_file_of_another_owner_is_not_read_in_a_home() {
    let scene = Scene::new("fimkown");
    let monitor = scene.site.start(&scene.config());
    let (hard, foreign) = (scene.ssh("hard"), scene.ssh("foreign"));
    fs::hard_link(&scene.secret, &hard).expect("both are on one file system");
    let reason = "belongs to root and has 2 links";
    monitor.expect(unread(reason).of(&hard).field("fimk.content", "unread"));
    // As long as before: that it was written is all that is known.
    let other = MARKER.replace("marker", "MARKER");
    let line = format!("printf %s {other} 1<>{}", text(&scene.secret));
    let shell = run("sh", &["-c", &line]);
    let told = unread(reason).of(&hard).by(&shell);
    monitor.expect(
        told.field("event.action", "modified")
            .field("fimk.content", "unread"),
    );
    let shell = append_line(&scene.secret, "more");
    let told = unread(reason).of(&hard).by(&shell);
    monitor.expect(told.field("fimk.content", "changed"));
    let moved = scene.site.outside("moved");
    fs::write(&moved, format!("{MARKER}\n")).expect("it is ours");
    chown(&moved, Some(1), None).expect("it is ours");
    fs::rename(&moved, &foreign).expect("both are on one file system");
    monitor.wait_until("the file of another user is told", |events| {
        events.iter().any(|event| {
            event.is_about(&foreign)
                && event
                    .text("fimk.unread")
                    .is_some_and(|why| why.contains("belongs to uid 1 ("))
        })
    });
    scene.stop_and_search(monitor);
    let monitor = scene.site.start(&scene.config());
    scene.stop_and_search(monitor);
}

/// Gives a user another home in the real passwd, whatever it is: usermod would refuse it.
fn set_home(account: &Account, home: &str) {
    let line = format!("s#^({}:([^:]*:){{4}})[^:]*#\\1{home}#", account.name);
    run("sed", &["-E", "-i", &line, "/etc/passwd"]);
    let passwd = fs::read_to_string("/etc/passwd").expect("it can be read");
    assert!(passwd.contains(&format!(":{home}:")), "{home} is a home");
}

#[test]
fn odd_homes_do_no_harm() {
    let site = Site::new();
    let account = Account::new("fimkodd");
    for home in [
        "/",
        "/proc",
        "/proc/1/root",
        "relative/home",
        "",
        "/a/../etc",
        "/dev/null",
    ] {
        set_home(&account, home);
        let monitor = site.start(&keys_of_all());
        assert!(
            !monitor.errors().contains("panicked"),
            "{}",
            monitor.errors()
        );
        monitor.stop();
    }
}

#[test]
fn a_home_that_is_missing_and_one_that_is_a_link_are_watched() {
    let site = Site::new();
    let real = site.outside("real");
    fs::create_dir_all(real.join("eve/.ssh")).expect("it is ours");
    let link = site.outside("link");
    symlink(&real, &link).expect("it is ours");
    let account = Account::new("fimkodd");
    let uid = account.uid();
    run("chown", &["-R", &uid.to_string(), text(&real.join("eve"))]);
    set_home(&account, text(&link.join("eve")));
    let keys = link.join("eve/.ssh/authorized_keys");
    fs::write(&keys, format!("{KEY} one\n")).expect("it is ours");
    chown(&keys, Some(uid), None).expect("it is ours");
    let monitor = site.start(&keys_of_all());
    let shell = append_line(&keys, &format!("{KEY} two"));
    monitor.expect(
        Expect::action("modified")
            .of(&keys)
            .by(&shell)
            .field("fimk.content", "changed"),
    );
    let missing = site.outside("later/eve");
    set_home(&account, text(&missing));
    monitor.expect_logged(WATCHED);
    fs::create_dir_all(missing.join(".ssh")).expect("it is ours");
    let keys = missing.join(".ssh/authorized_keys");
    fs::write(&keys, format!("{KEY} one\n")).expect("it is ours");
    monitor.expect(Expect::action("created").of(&keys));
    monitor.stop();
}

#[test]
fn the_target_of_a_link_within_a_home_is_watched_too() {
    let scene = Scene::new("fimkdots");
    let dots = scene.home.join("dots");
    let (first, second) = (dots.join("one"), dots.join("two"));
    let keys = scene.ssh("authorized_keys");
    let user = |line: String| scene.account.sh(&line);
    user(format!(
        "mkdir {0} && echo one > {0}/one && echo two > {0}/two && ln -s {0}/one {1}",
        text(&dots),
        text(&keys)
    ));
    let config = rule(&[Path::new("~/.ssh/authorized_keys")]);
    let monitor = scene.site.start(&config);
    let shell = user(format!("echo more >> {}", text(&first)));
    monitor.expect(Expect::action("modified").of(&first).by(&shell));
    user(format!("ln -sfn {} {}", text(&second), text(&keys)));
    monitor.expect(Expect::any_of(&["modified", "created", "renamed"]).of(&keys));
    // It is watched some seconds later, for users may move links as often as they like.
    let end = Instant::now() + deadline();
    let told = || monitor.events().iter().any(|event| event.is_about(&second));
    while !told() {
        assert!(Instant::now() < end, "{}", monitor.account());
        user(format!("echo more >> {}", text(&second)));
        thread::sleep(Duration::from_millis(100));
    }
    monitor.stop();
}
