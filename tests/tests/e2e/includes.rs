//! Files that are what they are because another says so: what sudoers includes, and where sshd takes keys from.

use fimk_tests::{Expect, Site};

use crate::holes::ED25519;

const KEY: &str = "key SHA256:b71XwJZhTN4A6MpP4lj8cNyeqZU25LcAxjevwG17enw";

fn modified() -> Expect {
    Expect::action("modified")
}

#[test]
fn what_is_included_is_understood_and_what_comes_to_be_included_too() {
    let site = Site::new();
    let rights = site.write("rights/ops", "bob ALL=/bin/ls\n");
    let later = site.write("later/ops", "eve ALL=/bin/ls\n");
    let directory = |of: &std::path::Path| {
        let directory = of.parent().map(std::path::Path::display);
        directory.map_or_else(String::new, |it| format!("@includedir {it}\n"))
    };
    let sudoers = site.write("etc/sudoers", &directory(&rights));
    let monitor = site.watch();
    site.replace(&rights, "bob ALL=NOPASSWD: /bin/ls\n");
    let tags = modified().says("bob may run /bin/ls", "tags", None, Some("NOPASSWD"));
    let event = monitor.expect(tags.of(&rights));
    let findings = event.get("fimk.findings").map(ToString::to_string);
    assert!(findings.is_some_and(|it| it.contains("sudoers-nopasswd")));
    site.replace(
        &sudoers,
        &format!("{}{}", directory(&rights), directory(&later)),
    );
    monitor.expect(modified().of(&sudoers));
    site.replace(&later, "eve ALL=NOPASSWD: /bin/ls\n");
    let tags = modified().says("eve may run /bin/ls", "tags", None, Some("NOPASSWD"));
    monitor.expect(tags.of(&later));
    monitor.stop();
}

#[test]
fn keys_elsewhere_are_keys_also_after_a_restart() {
    let site = Site::new();
    let keys = site.write("keys/alice", "# none yet\n");
    let pattern = keys.with_file_name("%u");
    let config = format!("AuthorizedKeysFile {}\n", pattern.display());
    site.write("etc/ssh/sshd_config", &config);
    let monitor = site.watch();
    monitor.stop();
    // What is as it was is not read again, and what it says is known all the same.
    let monitor = site.watch();
    site.replace(&keys, &format!("{ED25519} mallory\n"));
    monitor.expect(modified().mentions(KEY).of(&keys));
    monitor.stop();
}
