#![allow(clippy::expect_used, reason = "a test stops at the first surprise")]

use std::sync::Arc;

use fimk_core::{config, rules::RuleSet};
use zerocopy::FromZeros;

use super::*;
use crate::{signal::Fact, tree::Entry, walk::Walker};

mod overtaken;

const DIRECTORY: u64 = 10;

struct World {
    bpf: Bpf,
    tree: Tree,
    walker: Walker,
}

fn object(inode: u64) -> Object {
    Object {
        inode,
        device: 1,
        generation: 5,
    }
}

fn path(text: &str) -> BytePath {
    BytePath::new(text.as_bytes())
}

fn actor() -> raw::fimk_actor_key {
    raw::fimk_actor_key {
        pid: 7,
        image: 1,
        start_ns: 9,
    }
}

fn world() -> World {
    let text = "[[rule]]\nname = \"r\"\npaths = [\"/watched\"]\n[[output]]\ntype = \"stdout\"\n";
    let config = config::parse(text, "test").expect("valid");
    let rules = Arc::new(RuleSet::new(&config).expect("simple"));
    let mut tree = Tree::default();
    tree.insert(
        path("/watched"),
        Entry {
            object: Some(object(DIRECTORY)),
            directory: true,
        },
    );
    World {
        bpf: Bpf::default(),
        tree,
        walker: Walker::new(&rules, &Arc::default()),
    }
}

fn put(record: &mut raw::fimk_name, at: &mut u16, bytes: &[u8]) -> raw::fimk_span {
    let start = *at;
    let end = usize::from(start) + bytes.len();
    record.tail[usize::from(start)..end].copy_from_slice(bytes);
    *at = u16::try_from(end).expect("short");
    raw::fimk_span {
        start,
        length: *at - start,
    }
}

/// A record of `inode` by `name`, from `old` where it moved, in the watched directory.
fn record(operation: u32, inode: u64, name: &str, old: Option<&str>) -> raw::fimk_name {
    let mut record = raw::fimk_name::new_zeroed();
    record.actor = actor();
    record.operation = operation;
    record.mode = 0o100_644;
    record.directory = object(DIRECTORY).wire();
    record.object = object(inode).wire();
    let mut at = 0;
    record.name = put(&mut record, &mut at, format!("{name}\0").as_bytes());
    record.path = put(&mut record, &mut at, b"watched\0");
    if let Some(old) = old {
        record.old_directory = object(DIRECTORY).wire();
        record.old_name = put(&mut record, &mut at, format!("{old}\0").as_bytes());
        record.old_path = put(&mut record, &mut at, b"watched\0");
    }
    record
}

fn taken(inode: u64, operation: u32, count: u64) -> raw::fimk_taken {
    let mut taken = raw::fimk_taken::new_zeroed();
    taken.key.object = object(inode).wire();
    taken.key.actor = actor();
    taken.entry.count = count;
    taken.entry.take = 1;
    taken.entry.operations[operation as usize] = 1;
    taken
}

impl World {
    fn name(&mut self, record: &raw::fimk_name) -> Vec<Signal> {
        self.bpf
            .name(&mut self.tree, &self.walker, &Table::default(), record)
    }

    fn taken(&mut self, taken: &raw::fimk_taken) -> Vec<Signal> {
        while self.bpf.takes.next(0).is_some() {}
        self.bpf.taken(&self.tree, &Table::default(), taken)
    }
}

fn told(signals: &[Signal]) -> Vec<(String, Option<Fact>)> {
    let touched = |signal: &Signal| match signal {
        Signal::Touched(path, touch) => Some((path.to_string(), touch.fact.clone())),
        _ => None,
    };
    signals.iter().filter_map(touched).collect()
}

#[test]
fn a_new_name_is_created_and_its_writes_are_told_by_it() {
    let mut world = world();
    let signals = world.name(&record(raw::FIMK_OP_CREATE, 20, "f", None));
    assert_eq!(
        told(&signals),
        [("/watched/f".to_owned(), Some(Fact::Created))]
    );
    let signals = world.taken(&taken(20, raw::FIMK_OP_WRITE, 3));
    assert_eq!(told(&signals), [("/watched/f".to_owned(), None)]);
}

#[test]
fn a_write_to_an_object_of_two_names_is_told_of_both() {
    let mut world = world();
    world.name(&record(raw::FIMK_OP_CREATE, 20, "f", None));
    let signals = world.name(&record(raw::FIMK_OP_LINK, 20, "g", None));
    let first = Some(path("/watched/f"));
    assert_eq!(
        told(&signals),
        [("/watched/g".to_owned(), Some(Fact::Linked(first)))]
    );
    assert_eq!(
        told(&world.taken(&taken(20, raw::FIMK_OP_WRITE, 1))).len(),
        2
    );
}

#[test]
fn an_object_without_a_name_is_forgotten_by_the_kernel_and_not_before() {
    let mut world = world();
    world.name(&record(raw::FIMK_OP_CREATE, 20, "f", None));
    world.name(&record(raw::FIMK_OP_LINK, 20, "g", None));
    world.name(&record(raw::FIMK_OP_UNLINK, 20, "f", None));
    assert!(world.bpf.unwanted.is_empty());
    world.name(&record(raw::FIMK_OP_UNLINK, 20, "g", None));
    assert_eq!(world.bpf.unwanted, [object(20)]);
    world.name(&record(raw::FIMK_OP_CREATE, 20, "h", None));
    let walked: Vec<_> = world.bpf.to_walk.iter().map(|(path, _)| path).collect();
    assert_eq!(walked, [&path("/watched/h")]);
}

#[test]
fn a_file_renamed_over_another_takes_its_name_and_the_other_is_forgotten() {
    let mut world = world();
    world.name(&record(raw::FIMK_OP_CREATE, 20, "f", None));
    world.name(&record(raw::FIMK_OP_CREATE, 21, "f.new", None));
    let signals = world.name(&record(raw::FIMK_OP_RENAME, 21, "f", Some("f.new")));
    let [
        Signal::Moved {
            old,
            new,
            replaced,
            before: false,
            ..
        },
    ] = &signals[..]
    else {
        panic!("not a move")
    };
    assert_eq!(old.as_ref(), Some(&path("/watched/f.new")));
    assert_eq!(new.as_ref(), Some(&path("/watched/f")));
    assert!(replaced);
    assert_eq!(world.tree.names_of(object(21)), [path("/watched/f")]);
    assert_eq!(world.bpf.unwanted, [object(20)]);
}

#[test]
fn a_directory_whose_records_all_came_is_not_compared() {
    let mut world = world();
    for name in ["a", "b"] {
        world.name(&record(raw::FIMK_OP_CREATE, 20, name, None));
    }
    world.taken(&taken(DIRECTORY, raw::FIMK_OP_CREATE, 2));
    assert!(world.bpf.short.is_empty() && world.bpf.names_seen.is_empty());
}

#[test]
fn a_record_that_comes_late_is_not_missing_and_one_that_never_comes_is() {
    let mut world = world();
    world.taken(&taken(DIRECTORY, raw::FIMK_OP_CREATE, 2));
    world.name(&record(raw::FIMK_OP_CREATE, 20, "a", None));
    assert_eq!(world.bpf.short.len(), 1);
    world.name(&record(raw::FIMK_OP_CREATE, 21, "b", None));
    assert!(world.bpf.short.is_empty());

    world.taken(&taken(DIRECTORY, raw::FIMK_OP_CREATE, 1));
    std::thread::sleep(NAME_PATIENCE);
    let signals = world.bpf.overdue(&world.tree, Instant::now());
    assert!(
        matches!(&signals[..], [Signal::Compare(it, by)] if *it == path("/watched") && by.len() == 1)
    );
    assert_eq!(world.bpf.next_due(), None);
}

#[test]
fn records_about_directories_that_are_not_watched_are_not_remembered() {
    let mut world = world();
    let mut elsewhere = record(raw::FIMK_OP_LINK, 20, "f", None);
    elsewhere.directory = object(99).wire();
    world.name(&elsewhere);
    world.taken(&taken(99, raw::FIMK_OP_LINK, 0));
    assert!(world.bpf.names_seen.is_empty());
    assert!(world.bpf.taken.is_empty());
}

#[test]
fn spans_beyond_the_tail_and_counts_beyond_reason_harm_nobody() {
    let mut world = world();
    let wild = raw::fimk_span {
        start: u16::MAX,
        length: u16::MAX,
    };
    for operation in [0, 11, 12, 13, 14, 15, u32::from(u16::MAX) % 32] {
        let mut record = record(operation, u64::MAX, "f", Some("g"));
        (record.name, record.old_name) = (wild, wild);
        (record.path, record.old_path) = (wild, wild);
        record.time_ns = u64::MAX;
        world.name(&record);
        world.taken(&taken(DIRECTORY, raw::FIMK_OP_CREATE, u64::MAX));
        world.taken(&taken(DIRECTORY, raw::FIMK_OP_RENAME, u64::MAX));
    }
}

fn hints(signals: &[Signal]) -> Vec<(Vec<String>, bool)> {
    let hint = |signal: &Signal| match signal {
        Signal::Mount(hint) => Some((
            hint.points.iter().map(ToString::to_string).collect(),
            hint.unmount,
        )),
        _ => None,
    };
    signals.iter().filter_map(hint).collect()
}

#[test]
fn a_mount_call_is_only_a_hint_and_moves_nothing() {
    let mut world = world();
    for (operation, unmount) in [(raw::FIMK_OP_MOUNT, false), (raw::FIMK_OP_UNMOUNT, true)] {
        let signals = world.name(&record(operation, 20, "dir", None));
        let points = vec!["/watched/dir".to_owned()];
        assert_eq!(hints(&signals), [(points, unmount)]);
        assert_eq!(world.tree.len(), 1);
        assert!(world.taken(&taken(DIRECTORY, operation, 1)).is_empty());
        assert!(world.bpf.next_due().is_none(), "its record came");
    }
}

#[test]
fn a_mount_on_the_root_of_a_mount_is_known_by_that_root_and_accounted_for() {
    let mut world = world();
    let mut covering = record(raw::FIMK_OP_MOUNT, DIRECTORY, "/", None);
    covering.directory = raw::fimk_object::new_zeroed();
    let signals = world.name(&covering);
    assert_eq!(hints(&signals), [(vec!["/watched".to_owned()], false)]);
    let signals = world.taken(&taken(DIRECTORY, raw::FIMK_OP_MOUNT, 1));
    assert!(signals.is_empty() && world.bpf.next_due().is_none());
}

/// A directory that moves into the watched one, or within it.
fn directory_moves(name: &str, old: Option<&str>) -> raw::fimk_name {
    let mut moves = record(raw::FIMK_OP_RENAME, 20, name, old);
    moves.mode = 0o040_755;
    moves
}

fn to_walk(world: &World) -> Vec<String> {
    let paths = world.bpf.to_walk.iter().map(|(path, _)| path.to_string());
    paths.collect()
}

#[test]
fn a_directory_that_moves_on_before_it_is_walked_is_walked_where_it_is() {
    let mut world = world();
    world.name(&directory_moves("one", None));
    assert_eq!(to_walk(&world), ["/watched/one"]);
    world.name(&directory_moves("two", Some("one")));
    assert_eq!(to_walk(&world), ["/watched/two"]);
}

#[test]
fn a_directory_that_had_moved_on_when_it_was_walked_is_walked_again() {
    let mut world = world();
    world.name(&directory_moves("one", None));
    world.bpf.to_walk.clear();
    world.bpf.missed(&world.tree, &path("/watched/one"));
    world.name(&directory_moves("two", Some("one")));
    assert_eq!(to_walk(&world), ["/watched/two"]);
    world.bpf.to_walk.clear();
    world.name(&directory_moves("three", Some("two")));
    assert!(to_walk(&world).is_empty(), "it was walked");
}

const LAYER: u64 = 90;

/// The watched directory is one of an overlay, and `LAYER` lies below it.
fn on_an_overlay() -> World {
    let mut world = world();
    world.tree.lay(object(LAYER), path("/watched"));
    world
}

/// A record of a name in the layer.
fn below(operation: u32, inode: u64, name: &str) -> raw::fimk_name {
    let mut record = record(operation, inode, name, None);
    record.directory = object(LAYER).wire();
    record
}

#[test]
fn a_name_made_in_a_layer_is_asked_for_and_what_lies_below_is_told_by_it() {
    let mut world = on_an_overlay();
    let signals = world.name(&below(raw::FIMK_OP_CREATE, 91, "f"));
    let beneath = ("/watched/f".to_owned(), Some(Fact::Beneath));
    assert_eq!(told(&signals), [beneath]);
    assert!(world.bpf.unwanted.is_empty());
    // By way of the overlay: its own record follows, and names the overlay's own object.
    let signals = world.name(&record(raw::FIMK_OP_CREATE, 20, "f", None));
    let created = ("/watched/f".to_owned(), Some(Fact::Created));
    assert_eq!(told(&signals), [created]);
    assert!(!world.bpf.look_beneath(&mut world.tree));
    let signals = world.taken(&taken(91, raw::FIMK_OP_WRITE, 1));
    assert_eq!(told(&signals), [("/watched/f".to_owned(), None)]);
}

#[test]
fn what_lies_below_a_name_follows_it_and_goes_with_it() {
    let mut world = on_an_overlay();
    world.name(&below(raw::FIMK_OP_CREATE, 91, "f"));
    world.name(&record(raw::FIMK_OP_CREATE, 20, "f", None));
    world.name(&record(raw::FIMK_OP_RENAME, 20, "g", Some("f")));
    let signals = world.taken(&taken(91, raw::FIMK_OP_WRITE, 1));
    assert_eq!(told(&signals), [("/watched/g".to_owned(), None)]);
    world.name(&record(raw::FIMK_OP_UNLINK, 20, "g", None));
    assert!(told(&world.taken(&taken(91, raw::FIMK_OP_WRITE, 1))).is_empty());
    assert!(world.bpf.unwanted.contains(&object(91)));
}

#[test]
fn the_end_of_a_mapping_of_what_lies_below_counts_and_not_the_close_above() {
    let mut world = on_an_overlay();
    world.name(&record(raw::FIMK_OP_CREATE, 20, "f", None));
    world.tree.lay(object(91), path("/watched/f"));
    assert!(told(&world.taken(&taken(20, raw::FIMK_OP_CLOSE, 1))).is_empty());
    assert_eq!(
        told(&world.taken(&taken(91, raw::FIMK_OP_CLOSE, 1))).len(),
        1
    );
}

/// Everything is on a btrfs of which `root` is mounted.
fn btrfs(root: &str) -> Table {
    let line = format!("1 0 0:1 {root} / rw - btrfs x rw");
    Table::read(line.as_bytes()).expect("memory can be read")
}

#[test]
fn a_name_in_a_snapshot_is_none_of_the_original_which_is_compared() {
    for (root, twin) in [("/", false), ("/snapshot", true)] {
        let mut world = world();
        let made = record(raw::FIMK_OP_CREATE, 20, "f", None);
        let signals = world
            .bpf
            .name(&mut world.tree, &world.walker, &btrfs(root), &made);
        assert_eq!(told(&signals).is_empty(), twin, "{root}");
        assert_eq!(world.tree.get(&path("/watched/f")).is_none(), twin);
        assert_eq!(world.bpf.next_due().is_some(), twin);
    }
}

#[test]
fn what_happens_to_a_covered_object_is_told_by_the_name_it_had() {
    let mut world = world();
    world.name(&record(raw::FIMK_OP_CREATE, 20, "f", None));
    assert_eq!(world.bpf.cover(&mut world.tree, &path("/watched")), 0);
    assert!(world.bpf.unwanted.is_empty() && world.tree.len() == 0);
    let covered = |signals: Vec<Signal>| -> Vec<String> {
        let names = signals.into_iter().filter_map(|signal| match signal {
            Signal::Covered(path, _) => Some(path.to_string()),
            _ => None,
        });
        names.collect()
    };
    let signals = world.taken(&taken(20, raw::FIMK_OP_WRITE, 1));
    assert_eq!(covered(signals), ["/watched/f"]);
    let signals = world.name(&record(raw::FIMK_OP_CREATE, 21, "g", None));
    assert_eq!(covered(signals), ["/watched/g"]);
    for object in world.bpf.covered.uncover(&path("/watched")) {
        world.bpf.forget(&world.tree, object);
    }
    assert!(world.bpf.unwanted.contains(&object(20)));
}

fn set_trusted(inode: u64, name: &str) -> raw::fimk_name {
    let mut set = raw::fimk_name::new_zeroed();
    set.actor = actor();
    set.operation = raw::FIMK_OP_SETTRUSTED;
    set.object = object(inode).wire();
    set.name = put(&mut set, &mut 0, format!("{name}\0").as_bytes());
    set
}

#[test]
fn an_attribute_that_cannot_be_read_is_told_by_the_name_that_the_kernel_had() {
    let mut world = world();
    world.name(&record(raw::FIMK_OP_CREATE, 20, "f", None));
    for name in ["trusted.a", "trusted.b", "trusted.a"] {
        assert!(world.name(&set_trusted(20, name)).is_empty());
    }
    let signals = world.taken(&taken(20, raw::FIMK_OP_SETTRUSTED, 3));
    let names = vec!["trusted.a".to_owned(), "trusted.b".to_owned()];
    let set = ("/watched/f".to_owned(), Some(Fact::Attributes(names)));
    assert_eq!(told(&signals), [set]);
    // Its record was lost, but not the change.
    let signals = world.taken(&taken(20, raw::FIMK_OP_SETTRUSTED, 1));
    let lost = ("/watched/f".to_owned(), Some(Fact::Attributes(Vec::new())));
    assert_eq!(told(&signals), [lost]);
}

#[test]
fn what_an_overlay_notes_in_its_layers_is_not_told_of_the_overlay() {
    let mut world = on_an_overlay();
    world.name(&record(raw::FIMK_OP_CREATE, 20, "f", None));
    world.tree.lay(object(91), path("/watched/f"));
    world.name(&set_trusted(91, "trusted.overlay.origin"));
    assert!(told(&world.taken(&taken(91, raw::FIMK_OP_SETTRUSTED, 1))).is_empty());
    world.name(&set_trusted(91, "trusted.mine"));
    let signals = world.taken(&taken(91, raw::FIMK_OP_SETTRUSTED, 1));
    let mine = Fact::Attributes(vec!["trusted.mine".to_owned()]);
    assert_eq!(told(&signals), [("/watched/f".to_owned(), Some(mine))]);
}

/// A touch of object 20, which is `/watched/f`, by another place in its file system.
fn accessed_inside(leaf_first: &[u8], mounts: &str) -> Option<String> {
    let mut world = world();
    world.name(&record(raw::FIMK_OP_CREATE, 20, "f", None));
    let mut touch = raw::fimk_touch::new_zeroed();
    touch.key = taken(20, raw::FIMK_OP_CHMOD, 1).key;
    touch.operation = raw::FIMK_OP_CHMOD;
    touch.path_flags = raw::FIMK_PATH_INSIDE;
    touch.tail[..leaf_first.len()].copy_from_slice(leaf_first);
    touch.path.length = u16::try_from(leaf_first.len()).expect("short");
    world.bpf.touch(&touch);
    let table = Table::read(mounts.as_bytes()).expect("memory can be read");
    let taken = taken(20, raw::FIMK_OP_CHMOD, 1);
    let signals = world.bpf.taken(&world.tree, &table, &taken);
    let [Signal::Touched(_, touch)] = &signals[..] else {
        panic!("{signals:?}");
    };
    touch.accessed.as_ref().map(ToString::to_string)
}

#[test]
fn another_name_is_told_also_where_the_kernel_knows_no_mount() {
    let elsewhere = "1 0 8:1 / / rw - ext4 x rw\n2 1 0:1 / /watched rw - tmpfs t rw";
    let here = "1 0 0:1 / / rw - ext4 x rw";
    assert_eq!(accessed_inside(b"f\0", elsewhere), None);
    assert_eq!(accessed_inside(b"f\0watched\0", here), None);
    let alias = accessed_inside(b"alias\0", elsewhere);
    assert_eq!(alias.as_deref(), Some("/watched/alias"));
    let alias = accessed_inside(b"alias\0", here);
    assert_eq!(alias.as_deref(), Some("/alias"));
}

#[test]
fn what_was_done_before_the_last_name_went_is_told_under_it_and_what_came_after_is_not() {
    let mut world = world();
    world.name(&record(raw::FIMK_OP_CREATE, 20, "f", None));
    world.name(&record(raw::FIMK_OP_CREATE, 21, "f.new", None));
    let now = clock::since_boot_ns();
    let mut replaced = record(raw::FIMK_OP_RENAME, 21, "f", Some("f.new"));
    replaced.time_ns = now;
    world.name(&replaced);
    let write = |first_ns: u64, operation| {
        let mut written = taken(20, operation, 1);
        (written.entry.first_ns, written.entry.last_ns) = (first_ns, first_ns);
        written
    };
    let before = now.saturating_sub(1_000_000_000);
    let signals = world.taken(&write(before, raw::FIMK_OP_WRITE));
    let former = ("/watched/f".to_owned(), Some(Fact::Former(20)));
    assert_eq!(told(&signals), [former]);
    let signals = world.taken(&write(before, raw::FIMK_OP_CLOSE));
    assert!(signals.is_empty(), "nothing was written");
    let signals = world.taken(&write(now + 1_000_000_000, raw::FIMK_OP_WRITE));
    assert!(signals.is_empty(), "it was not watched any more");
}
