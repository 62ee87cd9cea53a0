//! fimk in a container that sees the host in a directory of its own.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use fimk_tests::{Account, Expect, Monitor, Site, append_line, loader, rule, run, text};

/// Where the container sees the host.
const HOST: &str = "/host";

/// A root with the host's programs, an /etc of its own that knows two users, the host itself, fimk's directories and its programs.
/// In the words of the shell: root, directories, programs, and what is to be run there.
const CONTAINER: &str = r#"
set -e
own="$1" programs="$2"
mount -t tmpfs none "$0"
cd "$0"
mkdir host etc tmp run old
mount --rbind / host
umount "host$0"
for directory in /bin /sbin /lib /lib64 /usr /dev /proc /sys; do
    if [ -e "$directory" ]; then
        mkdir ".$directory"
        mount --rbind "$directory" ".$directory"
    fi
done
mkdir -p ".$own" ".$programs"
mount --bind "$own" ".$own"
mount --bind "$programs" ".$programs"
for list in passwd group; do
    grep -E '^(root|fimk):' "/etc/$list" >"etc/$list"
done
if [ -e /etc/fimk ]; then cp -a /etc/fimk etc; fi
if [ -e /etc/ld.so.cache ]; then cp /etc/ld.so.cache etc; fi
if [ -e /etc/nsswitch.conf ]; then cp /etc/nsswitch.conf etc; fi
pivot_root . old
umount -l /old
cd /
echo container >/proc/sys/kernel/hostname
shift 2
exec "$@"
"#;

/// Starts fimk there, with its directories in one that the host has as well.
fn start(site: &Site, config: &str) -> Monitor {
    let (own, root) = (own(site), site.outside("root"));
    for directory in [&own, &root] {
        fs::create_dir(directory).expect("it is ours");
    }
    let mut launch = site.launch(&format!("host_root = \"{HOST}\"\n{config}"));
    fs::rename(&launch.config, own.join("fimk.toml")).expect("both are on one file system");
    launch.config = own.join("fimk.toml");
    launch.state = own.join("state");
    launch.run = own.join("run");
    let programs = launch.loader.parent().expect("it lies somewhere");
    let words = ["unshare", "--mount", "--uts", "--propagation", "private"];
    let words = words.into_iter().chain(["sh", "-c", CONTAINER]);
    let places = [root.as_path(), &own, programs].map(text);
    launch.under = words.chain(places).map(str::to_owned).collect();
    let monitor = launch.spawn();
    monitor.await_start();
    monitor
}

fn own(site: &Site) -> PathBuf {
    site.outside("own")
}

#[test]
fn in_a_container_that_sees_the_host_names_are_those_of_the_host() {
    let site = Site::new();
    let account = Account::with_home("fimkhost", &site.outside("home"));
    let path = site.write("deep/file", "one\n");
    let link = site.outside("link");
    let behind = site.outside("elsewhere/inside");
    fs::create_dir(site.outside("elsewhere")).expect("it is ours");
    fs::write(&behind, "one\n").expect("it is ours");
    // Absolute: in the container there is nothing of this name.
    symlink(site.outside("elsewhere"), &link).expect("it is ours");
    let keys = Path::new("~/.ssh/authorized_keys");
    let monitor = start(&site, &rule(&[&site.files(), &own(&site), &link, keys]));
    let modified = || Expect::action("modified");

    let writer = append_line(&path, "two");
    let expected = modified().of(&path).by(&writer).adds("two");
    let event = monitor.expect(expected.without("fimk.accessed_path"));
    let name = fs::read_to_string("/etc/hostname").unwrap_or_default();
    if !name.trim().is_empty() {
        assert_eq!(event.text("host.name"), Some(name.trim()), "{event:?}");
    }
    let writer = append_line(&behind, "two");
    monitor.expect(modified().of(&behind).by(&writer).adds("two"));

    // Told with the owner's name, of whom the container knows nothing.
    let home = site.outside("home");
    let ssh = home.join(".ssh");
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0FxkmRwPIpUe6iYyXxUq8CbFAIBrTqQlkQPGWzPRYs";
    let script = format!("mkdir {0}; echo '{key}' >{0}/authorized_keys", text(&ssh));
    account.sh(&script);
    let created = Expect::action("created").of(&ssh.join("authorized_keys"));
    monitor.expect(created.field("file.owner", account.name.as_str()));

    let (new, renamed) = (site.file("deep/new"), Expect::action("renamed"));
    run("mv", &[&path, &new]);
    monitor.expect(renamed.of(&new).field("fimk.previous_path", text(&path)));
    let made = site.file("made/directories/file");
    let script = "mkdir -p \"${0%/*}\" && echo one >\"$0\"";
    run("sh", &["-c", script, text(&made)]);
    monitor.expect(Expect::action("created").of(&made));

    for event in monitor.stop() {
        let named = event.text("file.path").unwrap_or_default();
        let by_our_own_name = named.starts_with(HOST) || Path::new(named).starts_with(own(&site));
        assert!(!by_our_own_name, "{event:?}");
    }
}

#[test]
fn a_host_root_that_is_no_directory_is_an_error_of_the_configuration() {
    let site = Site::new();
    for (root, words) in [
        (site.outside("nowhere"), "No such file or directory"),
        (loader(), "Not a directory"),
    ] {
        let config = format!("host_root = {:?}\n{}", text(&root), rule(&[&site.files()]));
        let refusal = site.launch(&config).refused();
        refusal.assert(78, &["host_root", words, "mount the host's root there"]);
    }
}

#[test]
fn a_configuration_is_checked_by_what_the_host_has() {
    let site = Site::new();
    let root = site.outside("other");
    fs::create_dir_all(root.join("etc/below")).expect("it is ours");
    fs::write(root.join("etc/below/file"), "12345").expect("it is ours");
    let config = format!(
        "host_root = {:?}\n{}",
        text(&root),
        rule(&[Path::new("/etc")])
    );
    let file = site.outside("other.toml");
    fs::write(&file, config).expect("it is ours");
    let words = ["check-config", "--dry-run", "--format", "json", text(&file)];
    let found = run(site.fimk(), &words).output;
    let found: serde_json::Value = serde_json::from_str(&found).expect("one object");
    let watches = &found["watches"];
    assert_eq!(
        (&watches["objects"], &watches["bytes"]),
        (&3.into(), &5.into()),
        "{found}"
    );
}
