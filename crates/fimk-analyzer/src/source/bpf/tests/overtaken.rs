//! Records of moves from before a walk, and such as it overtook: it takes time, and what is moved meanwhile it may have found
//! where it went.

use super::*;

/// What a walk found.
fn found(names: &[(&str, u64, bool)]) -> World {
    let mut world = world();
    world.bpf.begins_to_walk();
    for &(name, inode, directory) in names {
        let entry = Entry {
            object: Some(object(inode)),
            directory,
        };
        let path = path("/watched").join(name.as_bytes());
        world.tree.insert(path, entry);
    }
    world
}

/// A move that was made after the walk began.
fn moves(inode: u64, mode: u32, new: &str, old: &str) -> raw::fimk_name {
    let mut moves = record(raw::FIMK_OP_RENAME, inode, new, Some(old));
    (moves.mode, moves.time_ns) = (mode, clock::since_boot_ns());
    moves
}

fn names_of(world: &World, inode: u64) -> Vec<String> {
    let names = world.tree.names_of(object(inode)).iter();
    names.map(ToString::to_string).collect()
}

const DIRECTORY_MODE: u32 = 0o040_755;
const FILE_MODE: u32 = 0o100_644;

#[test]
fn a_directory_that_moved_on_takes_nothing_along_from_what_has_its_old_name_now() {
    let mut world = found(&[("e", 30, true), ("d", 31, true), ("d/f", 20, false)]);
    let signals = world.name(&moves(30, DIRECTORY_MODE, "c", "d"));
    assert!(
        matches!(&signals[..], [Signal::Moved { old: Some(old), new: Some(new), before: true, .. }]
            if *old == path("/watched/d") && *new == path("/watched/c")),
        "it is told, and carries nothing that waits: {signals:?}"
    );
    assert_eq!(names_of(&world, 30), ["/watched/e"]);
    assert_eq!(names_of(&world, 31), ["/watched/d"]);
    assert_eq!(names_of(&world, 20), ["/watched/d/f"]);
    let signals = world.taken(&taken(20, raw::FIMK_OP_CHMOD, 1));
    assert_eq!(told(&signals), [("/watched/d/f".to_owned(), None)]);
}

#[test]
fn what_a_walk_found_below_the_new_name_of_a_directory_stays_known() {
    let mut world = found(&[("d", 30, true), ("d/f", 20, false), ("c", 31, true)]);
    world.name(&moves(30, DIRECTORY_MODE, "d", "c"));
    assert_eq!(names_of(&world, 20), ["/watched/d/f"]);
    assert_eq!(names_of(&world, 31), ["/watched/c"]);
    assert!(world.bpf.unwanted.is_empty(), "{:?}", world.bpf.unwanted);
}

#[test]
fn a_file_that_moved_on_is_not_what_has_its_old_name_now() {
    let mut world = found(&[("new", 20, false), ("old", 21, false)]);
    world.name(&moves(20, FILE_MODE, "new", "old"));
    assert_eq!(names_of(&world, 20), ["/watched/new"]);
    assert_eq!(names_of(&world, 21), ["/watched/old"]);
    assert!(world.bpf.unwanted.is_empty(), "{:?}", world.bpf.unwanted);
    // Nor is it what came to the name between.
    let mut world = found(&[("last", 20, false), ("old", 21, false)]);
    world.name(&moves(20, FILE_MODE, "new", "old"));
    world.name(&moves(20, FILE_MODE, "last", "new"));
    assert_eq!(names_of(&world, 20), ["/watched/last"]);
    assert_eq!(names_of(&world, 21), ["/watched/old"]);
}

#[test]
fn what_left_for_where_no_rule_reaches_leaves_what_has_its_old_name_now() {
    let mut world = found(&[("old", 21, false)]);
    let mut moves = moves(20, FILE_MODE, "out", "old");
    moves.directory = object(99).wire();
    world.name(&moves);
    assert_eq!(names_of(&world, 21), ["/watched/old"]);
}

#[test]
fn a_record_from_before_the_walk_moves_nothing_that_the_walk_found() {
    let mut world = world();
    // The walk found `d`, in which the file lies now; it was called `c` when the record was made.
    for (name, inode, directory) in [("d", 30, true), ("d/f", 20, false), ("c", 31, true)] {
        let entry = Entry {
            object: Some(object(inode)),
            directory,
        };
        world
            .tree
            .insert(path("/watched").join(name.as_bytes()), entry);
    }
    world.bpf.begins_to_walk();
    let mut moves = directory_moves("b", Some("c"));
    moves.object = object(30).wire();
    let signals = world.name(&moves);
    assert!(
        matches!(&signals[..], [Signal::Moved { old: Some(old), new: Some(new), directory: true, .. }]
            if *old == path("/watched/c") && *new == path("/watched/b"))
    );
    assert_eq!(world.tree.names_of(object(30)), [path("/watched/d")]);
    assert_eq!(world.tree.names_of(object(31)), [path("/watched/c")]);
    assert_eq!(world.tree.names_of(object(20)), [path("/watched/d/f")]);
    let mut unlinked = record(raw::FIMK_OP_UNLINK, 22, "gone", None);
    unlinked.time_ns = 1_000;
    let gone = ("/watched/gone".to_owned(), Some(Fact::Deleted));
    assert_eq!(told(&world.name(&unlinked)), [gone]);
    let written = taken(22, raw::FIMK_OP_WRITE, 1);
    let former = ("/watched/gone".to_owned(), Some(Fact::Former(22)));
    assert_eq!(told(&world.taken(&written)), [former]);
}
