//! The table.

use crate::case::{Case, case};

const NEW: &[&str] = &["created", "linked"];
const GONE: &[&str] = &["deleted", "renamed"];
const MOVED: &[&str] = &["renamed"];
const MOUNTED: &[&str] = &["mounted"];
const UNMOUNTED: &[&str] = &["unmounted"];

/// All cases, in the order in which they run. Each has a directory of its own.
pub fn all() -> Vec<Case> {
    [
        content(),
        mappings(),
        rings(),
        ways(),
        names(),
        directories(),
        attributes(),
        mounts(),
        overlays(),
        devices(),
        silence(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn content() -> Vec<Case> {
    vec![
        case("write", "write").modified(),
        case("pwrite", "pwrite").modified(),
        case("writev", "writev").modified(),
        case("pwritev2", "pwritev2").modified(),
        case("append", "append").modified(),
        case("single-bytes", "a write of each byte").modified(),
        case("open-truncate", "open with O_TRUNC").modified(),
        case("open-truncate-readonly", "open with O_TRUNC and O_RDONLY").modified(),
        case("truncate", "truncate").modified(),
        case("truncate-longer", "truncate that makes it longer").modified(),
        case("ftruncate", "ftruncate").modified(),
        case("fallocate", "fallocate").modified(),
        case("punch", "fallocate that punches a hole").modified(),
        case("zero-range", "fallocate that writes zeros").modified(),
        case("collapse", "fallocate that takes a range out").modified(),
        case("insert", "fallocate that puts a range in").modified(),
        case("sendfile", "sendfile").modified(),
        case("splice", "splice").modified(),
        case("vmsplice", "vmsplice and splice").modified(),
        case("copy-file-range", "copy_file_range").modified(),
        case("copy-file-range-blocks", "copy_file_range of a whole block").modified(),
        case("clone", "FICLONE").modified(),
        case("clone-range", "FICLONERANGE").modified(),
        case("aio", "aio").modified(),
        case("direct", "O_DIRECT").modified(),
        case("aio-direct", "aio with O_DIRECT").modified(),
        case("revert-later", "a change taken back, seconds later").modified(),
        case("revert-at-once", "a change taken back at once")
            .told(&["attributes_modified", "modified"], "file"),
    ]
}

fn mappings() -> Vec<Case> {
    vec![
        case("map-sync", "mapping, store, msync").modified(),
        case("map-unmap", "mapping, store, munmap").modified(),
        case("map-close-store-unmap", "mapping, close, store, munmap")
            .modified()
            .slow_for_fanotify(),
        case("map-exit", "mapping, close, store, exit")
            .modified()
            .slow_for_fanotify(),
        case("map-keep", "mapping, close, store; it stays mapped")
            .modified()
            .kept()
            .by_holder(),
        case("map-keep-open", "mapping, store; it stays open")
            .modified()
            .kept()
            .by_holder(),
        case("map-protect", "a store after mprotect; it stays mapped")
            .modified()
            .kept()
            .by_holder(),
        case(
            "map-dirty",
            "a second store to a dirty page; it stays mapped",
        )
        .modified()
        .kept()
        .by_holder(),
        case("map-earlier", "a store to a mapping made before the start")
            .modified()
            .prepared_before()
            .kept()
            .by_holder(),
        case(
            "map-of-another",
            "process_vm_writev into the mapping of another",
        )
        .modified()
        .kept()
        .by_holder(),
        case("map-memory-file", "a store by /proc/self/mem")
            .modified()
            .slow_for_fanotify(),
    ]
}

fn rings() -> Vec<Case> {
    vec![
        case("ring", "io_uring write").modified(),
        case("ring-async", "io_uring write by a worker").modified(),
        case("ring-polled", "io_uring write with SQPOLL").modified(),
        case("ring-open", "io_uring openat and write").made("made"),
        case("ring-unlink", "io_uring unlinkat").told(&["deleted"], "file"),
        case("ring-rename", "io_uring renameat").told(MOVED, "moved"),
        case("ring-fallocate", "io_uring fallocate").modified(),
    ]
}

fn ways() -> Vec<Case> {
    vec![
        case("opened-earlier", "a descriptor opened before the start")
            .modified()
            .prepared_before(),
        case(
            "opened-earlier-kept",
            "a descriptor opened before the start, kept open",
        )
        .modified()
        .prepared_before()
        .kept(),
        case("thread", "a write by a thread").modified(),
        case("child", "a write by a child that is gone").modified(),
        case("socket", "a descriptor passed over a socket").modified(),
        case("pidfd", "a descriptor taken by pidfd_getfd").modified(),
        case("own-descriptor", "/proc/self/fd").modified(),
        case("descriptor-of-another", "/proc/PID/fd of another").modified(),
        case("process-root", "/proc/self/root").modified(),
        case("process-directory", "/proc/self/cwd").modified(),
        case("handle", "open_by_handle_at").modified(),
        case("alias-old", "a hard link made before the start")
            .modified()
            .through("alias")
            .prepared_before(),
        case("alias-new", "a hard link made just before")
            .modified()
            .through("alias"),
        case("alias-chmod", "chmod by a hard link")
            .attribute("mode")
            .through("alias")
            .prepared_before(),
        case("bind", "a bind mount elsewhere")
            .modified()
            .through("bind/file"),
        case("namespace", "another mount namespace").modified(),
        case("chroot", "chroot").modified(),
        case("pivot-root", "pivot_root").modified(),
        case("user-namespace", "another user namespace").modified(),
        case("another-user", "another user").modified(),
        case("another-name", "a process that calls itself fimk-analyzer").modified(),
    ]
}

fn names() -> Vec<Case> {
    vec![
        case("replace", "rename over it, from outside").modified(),
        case("replace-inside", "rename over it, from inside").modified(),
        case("exchange", "RENAME_EXCHANGE with a file outside").modified(),
        case("exchange-inside", "RENAME_EXCHANGE inside")
            .prepared_before()
            .content("file")
            .content("other"),
        case("whiteout", "RENAME_WHITEOUT")
            .told(MOVED, "moved")
            .told(&["created", "modified"], "file"),
        case("away", "rename away")
            .told(GONE, "file")
            .through("away"),
        case("away-and-back", "rename away and back")
            .told(&["renamed", "modified", "created"], "file")
            .unseen_by_comparing(),
        case("away-change-back", "rename away, change, rename back").content_of_name("file"),
        case("remove", "unlink").told(&["deleted"], "file"),
        case("remove-kept", "unlink, then a write to what has no name").told(&["deleted"], "file"),
        case("remove-and-make", "unlink and create again").content_of_name("file"),
        case("transient", "create and unlink at once")
            .told(&["created", "deleted"], "made")
            .unseen_by_comparing(),
        case("tmpfile", "O_TMPFILE and linkat").made("made"),
        case("tmpfile-write", "O_TMPFILE, linkat, then a write").made("made"),
        case("link-into", "a hard link to a file outside").made("made"),
        case("fifo", "mknod of a pipe").told(NEW, "made"),
        case("device", "mknod of a device").told(NEW, "made"),
        case("symlink", "symlink").told(NEW, "made"),
        case("longest-name", "a name of 255 bytes").told_below(NEW, "nnnnnnnn"),
        case(
            "odd-names",
            "line break, quote, escape, backslash, no UTF-8",
        )
        .made_as(b"line\nbreak")
        .made_as(b"quote\"quote")
        .made_as(b"escape\x1b[31m")
        .made_as(b"back\\slash")
        .made_as(b"bytes\xff\xfe"),
    ]
}

fn directories() -> Vec<Case> {
    vec![
        case("rename-parent", "rename of the directory, then a write")
            .prepared_before()
            .told(MOVED, "above/moved")
            .told(&["modified", "renamed"], "above/moved/file"),
        case(
            "rename-grandparent",
            "rename of the directory above, then a write",
        )
        .prepared_before()
        .told(MOVED, "moved")
        .told(&["modified", "renamed"], "moved/dir/file"),
        case(
            "rename-parent-back",
            "the directory moved away, a write, moved back",
        )
        .prepared_before()
        .content_of_name("above/dir/file")
        .slow(),
        case("replace-parent", "RENAME_EXCHANGE of the directory")
            .prepared_before()
            .content_of_name("above/dir/file")
            .slow(),
        case(
            "move-tree-in",
            "a directory moved in, then a file made in it",
        )
        .told(&["created", "renamed"], "tree")
        .made("tree/later")
        .slow_for_fanotify(),
        case("symlink-swap", "a symbolic link put to another directory")
            .prepared_before()
            .told(&["modified"], "link"),
        case("directory-and-file", "mkdir and a file in it at once")
            .told(NEW, "dir")
            .made("dir/made")
            .slow_for_fanotify(),
        case("deep", "three directories and a file at once")
            .told(NEW, "a")
            .made("a/b/c/made")
            .slow_for_fanotify(),
        case("directory-moved", "mkdir, rename, a file in it at once")
            .told(&["created", "renamed"], "moved")
            .made("moved/made")
            .slow_for_fanotify(),
        case("transient-deep", "mkdir, create, unlink, rmdir at once")
            .told(&["created", "deleted"], "dir")
            .unseen_by_comparing(),
        case("beyond-path-max", "a path longer than PATH_MAX").told_below(NEW, "dddddddd"),
    ]
}

fn attributes() -> Vec<Case> {
    vec![
        case("chmod", "chmod").attribute("mode"),
        case("fchmod", "fchmod that sets a set-id bit").attribute("mode"),
        case("fchmodat2", "fchmodat2").attribute("mode"),
        case("chown", "chown").attribute("uid"),
        case("fchownat", "fchownat").attribute("uid"),
        case("utimensat", "utimensat").told(&["attributes_modified"], "file"),
        case("timestomp", "a write, then the time put back").modified(),
        case("set-user", "setxattr").attribute("xattr user.fimk"),
        case("remove-user", "removexattr")
            .prepared_before()
            .attribute("xattr user.fimk"),
        case("set-trusted", "setxattr of trusted.*")
            .attribute("xattr trusted.fimk")
            .unseen_by_fanotify(),
        case("set-list", "an access control list").attribute("acl user:nobody"),
        case("remove-list", "an access control list removed")
            .prepared_before()
            .attribute("acl user:nobody"),
        case("set-capability", "a file capability").attribute("capabilities"),
        case("set-label", "an SELinux label").attribute("xattr security.selinux"),
        case("immutable", "chattr +i")
            .attribute("flags")
            .kept()
            .slow_for_fanotify(),
        case("nodump", "chattr +d")
            .attribute("flags")
            .slow_for_fanotify(),
        case("fsxattr", "FS_IOC_FSSETXATTR")
            .attribute("flags")
            .kept()
            .slow_for_fanotify(),
        case("file-setattr", "file_setattr")
            .attribute("flags")
            .kept()
            .slow_for_fanotify(),
    ]
}

fn mounts() -> Vec<Case> {
    vec![
        case("cover-file", "a file bound over it")
            .told(MOUNTED, "file")
            .slow_for_fanotify(),
        case("cover-directory", "a tmpfs over the directory")
            .prepared_before()
            .told(MOUNTED, "dir")
            .slow_for_fanotify(),
        case("cover-bind", "a directory bound over the directory")
            .prepared_before()
            .told(MOUNTED, "dir")
            .slow_for_fanotify(),
        case("cover-tree", "open_tree and move_mount")
            .prepared_before()
            .told(MOUNTED, "dir")
            .slow_for_fanotify(),
        case("cover-new", "fsmount and move_mount")
            .prepared_before()
            .told(MOUNTED, "dir")
            .slow_for_fanotify(),
        case("uncover", "umount that uncovers the directory")
            .prepared_before()
            .told(UNMOUNTED, "dir")
            .slow_for_fanotify(),
        case("uncover-lazily", "lazy umount that uncovers the directory")
            .prepared_before()
            .told(UNMOUNTED, "dir")
            .slow_for_fanotify(),
        case("mount-moved", "a mount moved over the directory")
            .prepared_before()
            .told(MOUNTED, "private/to")
            .slow_for_fanotify(),
    ]
}

fn overlays() -> Vec<Case> {
    let cases = [
        case(
            "overlay-upper",
            "overlay: a write to a file of the upper layer",
        )
        .content("merged/up"),
        case("overlay-copy-up", "overlay: a write that copies up").content("merged/low"),
        case(
            "overlay-deep",
            "overlay: a write that copies up with the directory",
        )
        .content("merged/sub/file"),
        case("overlay-truncate", "overlay: truncate that copies up").content("merged/low"),
        case("overlay-map", "overlay: mapping, close, store, munmap")
            .content("merged/low")
            .slow_for_fanotify(),
        case("overlay-chmod", "overlay: a chmod that copies up")
            .told(&["attributes_modified", "modified"], "merged/low"),
        case("overlay-attribute", "overlay: setxattr that copies up")
            .told(&["attributes_modified", "modified"], "merged/low"),
        case("overlay-make", "overlay: a new file").made("merged/made"),
        case("overlay-remove", "overlay: unlink").told(&["deleted"], "merged/low"),
        case("overlay-rename", "overlay: rename that copies up")
            .told(MOVED, "merged/moved")
            // The copy is younger than the record.
            .compared_as(&["created"]),
        case(
            "overlay-replace",
            "overlay: rename over a file of the lower layer",
        )
        .content("merged/low"),
        case("overlay-remake", "overlay: unlink and create again").content_of_name("merged/low"),
        case(
            "overlay-link",
            "overlay: a hard link, then a write through it",
        )
        .content("merged/low")
        .made("merged/made"),
        case(
            "overlay-below",
            "overlay: a write to the upper layer itself",
        )
        .content("merged/up")
        .slow_for_fanotify(),
        case(
            "overlay-lowest",
            "overlay: a write to the lower layer itself",
        )
        .content("merged/low")
        .slow_for_fanotify(),
    ];
    cases.into_iter().map(Case::prepared_before).collect()
}

fn devices() -> Vec<Case> {
    vec![
        case("loop", "a write through a loop device")
            .modified()
            .slow(),
        case(
            "loop-attached",
            "a write through a loop device attached before the start",
        )
        .modified()
        .prepared_before()
        .kept()
        .slow(),
        case("below", "a raw write to the block device below")
            .content("disk/file")
            .prepared_before()
            .kept()
            .unseen(),
    ]
}

fn silence() -> Vec<Case> {
    vec![
        case("read", "read"),
        case("look", "stat and access"),
        case("open-only", "open for writing without a write"),
        case("write-nothing", "a write of no byte"),
        case("refused", "everything that permissions refuse"),
        case("beyond-limit", "a write beyond the limit"),
        case("bad-address", "a write from a bad address"),
        case(
            "read-only-descriptor",
            "a write to a descriptor for reading",
        ),
        case("rewrite-same", "the same bytes written again"),
        case("chmod-same", "chmod to the same mode"),
        case("chown-same", "chown to the same owner"),
        case("setxattr-same", "setxattr with the same value").prepared_before(),
        case("truncate-same", "truncate to the same length"),
        case("keep-size", "fallocate behind the end that keeps the size"),
        case("map-read", "a mapping for reading"),
        case("map-private", "a store to a private mapping"),
        case("map-unused", "a writable mapping without a store"),
        case("dedupe", "FIDEDUPERANGE"),
        case("lock", "flock"),
        case("outside", "changes outside the rule"),
        case("failing-names", "mkdir, unlink, rename, create that fail"),
        case("unnamed", "a file that never has a name"),
        case(
            "mount-elsewhere",
            "a tmpfs over it in another mount namespace",
        ),
    ]
}
