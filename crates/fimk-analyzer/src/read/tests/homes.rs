//! A user who bends names in a home, and a file of root's that must not be read by way of them.

use std::{
    fs::{Permissions, hard_link, set_permissions},
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::PathBuf,
};

use nix::unistd::geteuid;
use tempfile::TempDir;

use super::*;
use crate::not_run::not_run;

/// A user that no host has, and another.
const EVE: u32 = 61_234;
const BOB: u32 = 61_235;

const SECRET: &str = "the secret of root\n";

/// A home of Eve's below a directory of root's, and beside it a secret.
struct Scene {
    directory: TempDir,
    reader: Reader,
}

impl Scene {
    /// None, with a word, where directories cannot be given to others.
    fn new(test: &str) -> Option<Self> {
        if !geteuid().is_root() {
            not_run(test, "only root can give files to other users");
            return None;
        }
        let directory = tempdir().expect("a directory");
        set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("ours");
        let passwd = directory.path().join("passwd");
        let home = directory.path().join("home/eve");
        let lines = format!(
            "eve:x:{EVE}:{EVE}::{}:/bin/sh\ndaemon:x:1:1::{}:/bin/false\n",
            home.display(),
            directory.path().display()
        );
        fs::write(&passwd, lines).expect("written");
        fs::create_dir_all(home.join(".ssh")).expect("made");
        fs::create_dir(directory.path().join("root")).expect("made");
        fs::write(directory.path().join("root/authorized_keys"), SECRET).expect("written");
        for path in [&home, &home.join(".ssh")] {
            chown(path, Some(EVE), Some(EVE)).expect("given");
        }
        let key = Arc::new(DigestKey::from_bytes([7; 32]));
        Some(Self {
            directory,
            reader: Reader::new(key, MAX, Homes::at(&passwd)),
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn secret(&self) -> PathBuf {
        self.path("root/authorized_keys")
    }

    fn keys(&self) -> PathBuf {
        self.path("home/eve/.ssh/authorized_keys")
    }

    /// A file of a user's.
    fn write(&self, name: &str, text: &str, uid: u32) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("written");
        chown(&path, Some(uid), Some(uid)).expect("given");
        path
    }

    fn link(&self, target: &Path, name: &str, uid: u32) -> PathBuf {
        let path = self.path(name);
        symlink(target, &path).expect("linked");
        std::os::unix::fs::lchown(&path, Some(uid), Some(uid)).expect("given");
        path
    }

    fn read(&self, path: &Path) -> Snapshot {
        let read = self
            .reader
            .snapshot(&bytes(path), &TEXT)
            .expect("a reading");
        read.snapshot
    }

    /// Nothing of the content is there, and the sentence has these words.
    fn refuses(&self, path: &Path, words: &[&str]) {
        let snapshot = self.read(path);
        assert_eq!(snapshot.extended, None);
        match snapshot.content {
            Content::Unread(why) => {
                for word in words {
                    assert!(why.contains(word), "{word:?} is not in {why:?}");
                }
            }
            other => panic!("read: {other:?}"),
        }
    }

    fn reads(&self, path: &Path, text: &str) {
        let snapshot = self.read(path);
        assert!(
            matches!(snapshot.content, Content::Read { digest, .. } if digest == plain(text.as_bytes())),
            "{snapshot:?}"
        );
    }
}

#[test]
fn a_users_own_file_and_one_of_roots_are_read_in_the_home() {
    let Some(scene) = Scene::new("a_users_own_file_and_one_of_roots_are_read_in_the_home") else {
        return;
    };
    let keys = scene.write("home/eve/.ssh/authorized_keys", "one\n", EVE);
    scene.reads(&keys, "one\n");
    hard_link(&keys, scene.path("home/eve/again")).expect("linked");
    scene.reads(&keys, "one\n");
    let of_root = scene.write("home/eve/.ssh/rc", "two\n", 0);
    scene.reads(&of_root, "two\n");
}

#[test]
fn a_link_in_a_home_is_told_as_a_link_and_its_target_is_not_read() {
    let Some(scene) = Scene::new("a_link_in_a_home_is_told_as_a_link_and_its_target_is_not_read")
    else {
        return;
    };
    let keys = scene.link(&scene.secret(), "home/eve/.ssh/authorized_keys", EVE);
    let snapshot = scene.read(&keys);
    assert_eq!(snapshot.attributes.kind, FileKind::Symlink);
    assert_eq!(snapshot.content, Content::Link(bytes(&scene.secret())));
}

#[test]
fn a_directory_in_a_home_that_is_a_link_is_not_passed() {
    let Some(scene) = Scene::new("a_directory_in_a_home_that_is_a_link_is_not_passed") else {
        return;
    };
    fs::remove_dir(scene.path("home/eve/.ssh")).expect("removed");
    scene.link(&scene.path("root"), "home/eve/.ssh", EVE);
    scene.refuses(&scene.keys(), &["/home/eve/.ssh is a link", "the home"]);
    // A link of root's too: whoever owns the directory can have moved it there.
    fs::remove_file(scene.path("home/eve/.ssh")).expect("removed");
    scene.link(Path::new("../../root"), "home/eve/.ssh", 0);
    scene.refuses(&scene.keys(), &["/home/eve/.ssh is a link"]);
}

#[test]
fn a_file_of_roots_with_a_name_elsewhere_is_not_read_in_a_home() {
    let Some(scene) = Scene::new("a_file_of_roots_with_a_name_elsewhere_is_not_read_in_a_home")
    else {
        return;
    };
    hard_link(scene.secret(), scene.keys()).expect("linked");
    scene.refuses(&scene.keys(), &["belongs to root and has 2 links"]);
    scene.reads(&scene.secret(), SECRET);
}

#[test]
fn a_file_of_another_user_is_not_read_in_a_home() {
    let Some(scene) = Scene::new("a_file_of_another_user_is_not_read_in_a_home") else {
        return;
    };
    let keys = scene.write("home/eve/.ssh/authorized_keys", "one\n", BOB);
    scene.refuses(&keys, &["it belongs to uid 61235", "/home/eve"]);
    chown(&keys, Some(1), None).expect("given");
    scene.refuses(&keys, &["it belongs to uid 1 (daemon)"]);
}

#[test]
fn a_directory_of_roots_is_no_home_whatever_passwd_says() {
    let Some(scene) = Scene::new("a_directory_of_roots_is_no_home_whatever_passwd_says") else {
        return;
    };
    // The home of the user daemon is the whole directory, which is root's.
    let file = scene.write("root/of-bob", "one\n", BOB);
    scene.reads(&file, "one\n");
    let link = scene.link(Path::new("root"), "by-root", 0);
    scene.reads(&link.join("authorized_keys"), SECRET);
    scene.reads(&link.join("../by-root/./authorized_keys"), SECRET);
}

#[test]
fn a_home_behind_a_link_of_roots_has_the_same_rules() {
    let Some(scene) = Scene::new("a_home_behind_a_link_of_roots_has_the_same_rules") else {
        return;
    };
    scene.write("home/eve/.ssh/authorized_keys", "one\n", EVE);
    let link = scene.link(&scene.path("home"), "homes", 0);
    let keys = link.join("eve/.ssh/authorized_keys");
    scene.reads(&keys, "one\n");
    fs::remove_file(scene.keys()).expect("removed");
    hard_link(scene.secret(), scene.keys()).expect("linked");
    scene.refuses(&keys, &["2 links"]);
    fs::remove_dir_all(scene.path("home/eve/.ssh")).expect("removed");
    scene.link(&scene.path("root"), "home/eve/.ssh", EVE);
    scene.refuses(&keys, &["/home/eve/.ssh is a link"]);
}

#[test]
fn a_users_link_outside_of_homes_leads_only_to_that_users_files() {
    let Some(scene) = Scene::new("a_users_link_outside_of_homes_leads_only_to_that_users_files")
    else {
        return;
    };
    fs::create_dir(scene.path("app")).expect("made");
    fs::create_dir(scene.path("app/releases")).expect("made");
    scene.write("app/releases/authorized_keys", "one\n", BOB);
    chown(scene.path("app"), Some(BOB), None).expect("given");
    let current = scene.link(Path::new("releases"), "app/current", BOB);
    scene.reads(&current.join("authorized_keys"), "one\n");
    fs::remove_file(&current).expect("removed");
    for uid in [BOB, 0] {
        let current = scene.link(Path::new("../root"), "app/current", uid);
        let words = ["/app/current leads from uid 61235", "to uid 0"];
        scene.refuses(&current.join("authorized_keys"), &words[..1]);
        fs::remove_file(&current).expect("removed");
    }
}

#[test]
fn names_that_are_exchanged_without_a_pause_never_give_the_secret() {
    let Some(scene) = Scene::new("names_that_are_exchanged_without_a_pause_never_give_the_secret")
    else {
        return;
    };
    let (ssh, other) = (scene.path("home/eve/.ssh"), scene.path("home/eve/other"));
    scene.write("home/eve/.ssh/authorized_keys", "one\n", EVE);
    scene.link(&scene.path("root"), "home/eve/other", EVE);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let here = nix::fcntl::AT_FDCWD;
                nix::fcntl::renameat2(
                    here,
                    &ssh,
                    here,
                    &other,
                    nix::fcntl::RenameFlags::RENAME_EXCHANGE,
                )
                .expect("exchanged");
            }
        });
        let mut seen = [0, 0];
        for _ in 0..5_000 {
            let read = scene.reader.snapshot(&bytes(&scene.keys()), &TEXT);
            match read.map(|read| read.snapshot.content) {
                Ok(Content::Read { digest, .. }) => {
                    assert_eq!(digest, plain(b"one\n"), "the secret was read");
                    seen[0] += 1;
                }
                Ok(Content::Unread(_)) => seen[1] += 1,
                Ok(Content::Link(target)) => panic!("no link is there: {target}"),
                Err(_) => {}
            }
        }
        stop.store(true, Ordering::Relaxed);
        assert!(
            seen.iter().all(|&count| count > 0),
            "both were met: {seen:?}"
        );
    });
}

#[test]
fn a_user_who_is_added_is_at_home_at_once() {
    let Some(scene) = Scene::new("a_user_who_is_added_is_at_home_at_once") else {
        return;
    };
    fs::create_dir(scene.path("bob")).expect("made");
    let file = scene.write("bob/rc", "one\n", EVE);
    chown(scene.path("bob"), Some(BOB), None).expect("given");
    scene.reads(&file, "one\n");
    let passwd = scene.path("passwd");
    let more = format!(
        "bob:x:{BOB}:{BOB}::{}:/bin/sh\n",
        scene.path("bob").display()
    );
    let lines = fs::read_to_string(&passwd).expect("read") + &more;
    fs::write(&passwd, lines).expect("written");
    scene.refuses(&file, &["it belongs to uid 61234"]);
}
