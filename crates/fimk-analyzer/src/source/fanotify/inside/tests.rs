#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]
use super::*;
use proptest::prelude::*;

const HOST: [&str; 4] = [
    "1 0 8:1 / / rw - ext4 /dev/sda1 rw",
    "2 1 0:40 / /run/merged rw - overlay o rw,lowerdir=/l,upperdir=/u",
    "3 1 8:2 / /home rw - ext4 /dev/sda2 rw",
    "4 1 8:3 /sub /mnt/part rw - ext4 /dev/sda3 rw",
];

const OVERLAY_ROOT: &str = "50 9 0:40 / / rw - overlay o rw,lowerdir=/l,upperdir=/u";

/// As a process with these mounts sees what the host has under this name.
fn seen(path: &str, mounts: &[&str]) -> Option<String> {
    let table = view(HOST.join("\n").as_bytes()).expect("it is whole");
    let view = view(mounts.join("\n").as_bytes())?;
    let seen = seen_as(&BytePath::new(path.as_bytes()), &table, &view);
    seen.map(|path| path.to_string())
}

#[test]
fn a_directory_of_the_host_is_seen_where_it_is_bound() {
    let bound = "51 50 8:1 /srv/volume /data rw - ext4 /dev/sda1 rw";
    let mounts = [OVERLAY_ROOT, bound];
    let at = |path| seen(path, &mounts);
    assert_eq!(at("/srv/volume/a/b").as_deref(), Some("/data/a/b"));
    assert_eq!(at("/srv/volume").as_deref(), Some("/data"));
    assert_eq!(at("/srv/volumes/a"), None, "only the beginning is alike");
    assert_eq!(at("/srv/a"), None, "it is above what is bound");
    assert_eq!(at("/home/srv/volume/a"), None, "it is of another device");
}

#[test]
fn a_part_that_the_host_has_bound_is_seen_by_its_place_in_the_file_system() {
    let all = "51 50 8:3 / /all rw - ext4 /dev/sda3 rw";
    let one = "51 50 8:3 /sub/file /etc/hosts rw - ext4 /dev/sda3 rw";
    let at = |path, mount| seen(path, &[OVERLAY_ROOT, mount]);
    assert_eq!(at("/mnt/part/file", all).as_deref(), Some("/all/sub/file"));
    assert_eq!(at("/mnt/part/file", one).as_deref(), Some("/etc/hosts"));
    assert_eq!(at("/mnt/part/other", one), None);
}

#[test]
fn the_root_of_a_container_is_the_merged_directory_of_the_host() {
    let at = |path| seen(path, &[OVERLAY_ROOT]);
    assert_eq!(at("/run/merged/etc/passwd").as_deref(), Some("/etc/passwd"));
    assert_eq!(at("/run/merged").as_deref(), Some("/"));
    assert_eq!(at("/etc/passwd"), None, "that is the host's own");
    assert_eq!(at("/home/a"), None);
}

#[test]
fn of_several_names_the_same_as_on_the_host_is_meant_and_else_the_shortest() {
    let all = "51 50 8:1 / /host rw - ext4 /dev/sda1 rw";
    let part = "52 50 8:1 /srv /volume rw - ext4 /dev/sda1 rw";
    let same = "53 50 8:1 /srv /srv rw - ext4 /dev/sda1 rw";
    let at = |mounts: &[&str]| seen("/srv/a", mounts);
    let both = at(&[OVERLAY_ROOT, all, part]);
    assert_eq!(both.as_deref(), Some("/volume/a"));
    let with_the_same = at(&[OVERLAY_ROOT, all, part, same]);
    assert_eq!(with_the_same.as_deref(), Some("/srv/a"));
}

#[test]
fn what_another_mount_covers_there_is_not_seen() {
    let bound = "51 50 8:1 /srv /data rw - ext4 /dev/sda1 rw";
    let below = "52 51 0:60 / /data/a rw - tmpfs t rw";
    let over = "52 51 0:60 / /data rw - tmpfs t rw";
    // Of another file system, and at the same place in it.
    let alike = "52 51 0:60 /srv/a /data/a rw - tmpfs t rw";
    let again = "53 52 8:1 /srv/a /data/a rw - ext4 /dev/sda1 rw";
    let at = |path, mounts: &[&str]| seen(path, &[&[OVERLAY_ROOT, bound], mounts].concat());
    assert_eq!(at("/srv/a/f", &[below]), None);
    assert_eq!(at("/srv/b", &[below]).as_deref(), Some("/data/b"));
    assert_eq!(at("/srv/a/f", &[over]), None);
    assert_eq!(at("/srv/a/f", &[alike]), None);
    assert_eq!(
        at("/srv/a/f", &[alike, again]).as_deref(),
        Some("/data/a/f")
    );
}

#[test]
fn any_byte_of_a_name_in_a_container_comes_back() {
    let bound = r"51 50 8:1 /a\040b /c\012d\134 rw - ext4 /dev/sda1 rw";
    let at = seen("/a b/e f", &[OVERLAY_ROOT, bound]);
    assert_eq!(at, Some(BytePath::new(b"/c\nd\\/e f").to_string()));
}

#[test]
fn a_table_that_is_too_long_or_not_understood_is_not_believed() {
    let bound = "51 50 8:1 /srv /data rw - ext4 /dev/sda1 rw";
    assert_eq!(seen("/srv/a", &[bound]).as_deref(), Some("/data/a"));
    assert_eq!(seen("/srv/a", &[bound, "52 51 8:1 /srv relative"]), None);
    assert_eq!(seen("/srv/a", &[]), None);
    let lines: Vec<String> = (0..TABLE_BYTES / 32)
        .map(|at| format!("{} 51 0:70 / /data/{at} rw - tmpfs t rw", at + 100))
        .collect();
    let long = [bound, &lines.join("\n")].join("\n");
    assert!(long.len() as u64 > TABLE_BYTES);
    assert_eq!(seen("/srv/a", &[&long]), None);
}

fn ourselves() -> ActorKey {
    let stat = std::fs::read("/proc/self/stat").expect("/proc is mounted");
    ActorKey {
        pid: std::process::id(),
        image: 0,
        start_ns: started(&stat).expect("it is understood") * TICK_NS + 7,
    }
}

#[test]
fn the_table_of_a_process_is_that_of_who_began_then_and_lives() {
    let ourselves = ourselves();
    let text = mountinfo_of(ourselves).expect("we live");
    assert!(!text.is_empty());
    let another = ActorKey {
        start_ns: ourselves.start_ns - TICK_NS,
        ..ourselves
    };
    assert!(mountinfo_of(another).is_err(), "the number is another's");
    let mut child = std::process::Command::new("true")
        .spawn()
        .expect("it is there");
    let gone = ActorKey {
        pid: child.id(),
        ..ourselves
    };
    child.wait().expect("it ends");
    assert!(mountinfo_of(gone).is_err());
}

#[test]
fn the_start_stands_behind_the_name_whatever_that_is() {
    let numbers = (3..=52).map(|at| at.to_string()).collect::<Vec<_>>();
    for name in ["sh", "a) R 1 2 (b", "))", ""] {
        let stat = format!("7 ({name}) {}\n", numbers.join(" "));
        assert_eq!(started(stat.as_bytes()), Some(22), "{name}");
    }
    assert_eq!((started(b""), started(b"7 (sh) R 1")), (None, None));
}

proptest! {
    #[test]
    fn whatever_a_process_has_mounted_is_an_absolute_path_or_none(
        root in "/[a-c/]{0,6}", point in "/[a-c/]{0,6}", path in "/[a-c]/[a-c]"
    ) {
        let mount = format!("51 50 8:1 {root} {point} rw - ext4 x rw");
        if let Some(seen) = seen(&path, &[&mount]) {
            prop_assert!(seen.starts_with('/'));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        started(&bytes);
        view(&bytes);
    }
}
