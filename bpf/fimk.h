/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 OR MIT */
/*
 * What crosses a boundary of fimk: kernel -> loader -> analyzer (packets) and analyzer -> loader
 * (requests). This file is the only definition; crates/fimk-wire generates its Rust side from it.
 *
 * Packets are one header, fixed numbers, and for some kinds one variable tail that spans point into.
 * All integers are in host order: both ends are the same machine. Every hole is named `reserved`,
 * so that a record never carries stale kernel memory and can be viewed without copying.
 * A change of any layout raises FIMK_WIRE_VERSION.
 */
#ifndef FIMK_H
#define FIMK_H

#ifdef __bpf__
#include "kernel.h"
#else
#include <linux/types.h>
#endif

#define FIMK_WIRE_VERSION 3

/* The largest packet. A reader that gives a buffer of this size never sees one truncated. */
#define FIMK_PACKET_MAX 8192

/* Objects on the watch at a time: what HELLO may ask for, and what there is room for where it does not ask. */
#define FIMK_OBJECTS_MIN 1024
#define FIMK_OBJECTS_DEFAULT 262144
#define FIMK_OBJECTS_MAX 1048576

/* Processes that have an entry of `dirty` each for one object; what more of them do to it is one entry of the others,
 * without a process: a file that everybody writes would fill the map. */
#define FIMK_PROCESSES_MAX 16
/* Rules are armed under the numbers below this; 0: of none, or it is not known of which. */
#define FIMK_RULES_MAX 1024

/* Bytes of a path sent leaf first (struct fimk_touch). Longer ones are cut and say so; the object
 * and not the path decides what is watched, so nothing is missed for it. */
#define FIMK_PATH_MAX 1024
/* Components walked for such a path; bounds the verifier's work. */
#define FIMK_PATH_STEPS_MAX 24
#define FIMK_NAME_MAX 256
/* Bytes kept of an executable's path and of its arguments as of exec. */
#define FIMK_EXECUTABLE_MAX 512
#define FIMK_ARGUMENTS_MAX 512
/* Bytes kept of a control group's path, and components walked: the leaf and what is next to it name a container. */
#define FIMK_CGROUP_MAX 256
#define FIMK_CGROUP_STEPS_MAX 6
/* Holders of files told at once, by process and file: a busy host has some hundreds of such mappings and a few
 * thousand files open for writing. */
#define FIMK_HOLDERS_MAX 8192

/* ---- Identity ---------------------------------------------------------------------------- */

/* An object of a file system, as the kernel itself names it (s_dev, i_ino, i_generation): st_dev
 * differs from s_dev on btrfs and in its encoding everywhere. */
struct fimk_object {
	__u64 inode;
	__u32 device;
	__u32 generation;
};

/* A program image run by a process. `image` is the low half of task->self_exec_id: it tells what ran
 * before an exec from what ran after. `start_ns` is the group leader's start_boottime. */
struct fimk_actor_key {
	__u32 pid;
	__u32 image;
	__u64 start_ns;
};

/*
 * Of an entry of `dirty` or `attempts`. A pid ends at 2^22 (PID_MAX_LIMIT): for an attempt, the bits of actor.pid
 * above say which kind it is and with which errno it was refused (0: it was not), so that each has an entry and a
 * count of its own and the key stays as short as changes need it. Everywhere else a pid is only a pid.
 */
struct fimk_key {
	struct fimk_object object;
	struct fimk_actor_key actor;
};

/* `image` of the key, without a process, of those beyond FIMK_PROCESSES_MAX. */
#define FIMK_OTHERS 0xffffffffu

#define FIMK_PID_MASK 0x003fffffu
#define FIMK_KIND_SHIFT 22
#define FIMK_KIND_MASK 3u
#define FIMK_ERROR_SHIFT 24

/* ---- Vocabulary -------------------------------------------------------------------------- */

/* What was done. Indexes fimk_entry.operations; printed in fimk.operations. */
enum fimk_operation {
	FIMK_OP_WRITE = 0,
	FIMK_OP_TRUNCATE = 1,
	FIMK_OP_ALLOCATE = 2,
	FIMK_OP_CLONE = 3,
	FIMK_OP_MAP = 4, /* a writable shared mapping was made: contents may change until it is gone */
	FIMK_OP_CLOSE = 5, /* a description open for writing, or the last such mapping, went away */
	FIMK_OP_CHMOD = 6,
	FIMK_OP_CHOWN = 7,
	FIMK_OP_UTIMES = 8,
	FIMK_OP_SETXATTR = 9,
	FIMK_OP_SETFLAGS = 10,
	FIMK_OP_CREATE = 11,
	FIMK_OP_LINK = 12,
	FIMK_OP_UNLINK = 13,
	FIMK_OP_RENAME = 14,
	FIMK_OP_EXCHANGE = 15,
	FIMK_OP_SETACL = 16,
	FIMK_OP_MOUNT = 17, /* something was mounted on the object */
	FIMK_OP_UNMOUNT = 18,
	/* only of attempts */
	FIMK_OP_OPEN_READ = 19,
	FIMK_OP_OPEN_WRITE = 20,
	FIMK_OP_EXECUTE = 21,
	FIMK_OP_SEARCH = 22, /* a path through a directory */
	FIMK_OP_SETTRUSTED = 23, /* an extended attribute that only CAP_SYS_ADMIN can read was set or removed */
	FIMK_OPERATIONS = 24,
	FIMK_OPERATIONS_MAX = 32, /* a power of two: an index is masked, not compared */
};

/* What an entry is about. All but changes are attempts: watched for only where a rule asks. */
enum fimk_kind {
	FIMK_KIND_CHANGE = 0,
	FIMK_KIND_DENIED = 1, /* refused by permissions or a read-only file system: nothing has changed */
	FIMK_KIND_OPENED = 2,
	FIMK_KIND_EXECUTED = 3,
};

/* Every program by its place in the counters. Which of them serve an operation, and in which order they are
 * tried, is the table in crates/fimk-wire/src/plan.rs. */
enum fimk_hook {
	FIMK_HOOK_VFS_WRITE = 0,
	FIMK_HOOK_VFS_WRITEV = 1,
	FIMK_HOOK_VFS_ITER_WRITE = 2,
	FIMK_HOOK_IO_WRITE = 3,
	FIMK_HOOK_AIO_WRITE = 4,
	FIMK_HOOK_SPLICE_WRITE = 5,
	FIMK_HOOK_COPY_FILE_RANGE = 6,
	FIMK_HOOK_CLONE_FILE_RANGE = 7,
	FIMK_HOOK_FALLOCATE = 8,
	FIMK_HOOK_NOTIFY_CHANGE = 9,
	FIMK_HOOK_INSTANTIATE = 10,
	FIMK_HOOK_MOVE = 11,
	FIMK_HOOK_EXCHANGE = 12,
	FIMK_HOOK_DELETE = 13,
	FIMK_HOOK_FPUT = 14,
	FIMK_HOOK_MMAP = 15,
	FIMK_HOOK_MPROTECT = 16,
	FIMK_HOOK_GETATTR = 17, /* arms by touch; attached only while the analyzer walks */
	FIMK_HOOK_EXEC = 18,
	FIMK_HOOK_FORK = 19,
	FIMK_HOOK_EXIT = 20,
	FIMK_HOOK_TASKS = 21, /* the iterator that fills the actors at start */
	FIMK_HOOK_POST_SETXATTR = 22,
	FIMK_HOOK_SETXATTR = 23,
	FIMK_HOOK_POST_REMOVEXATTR = 24,
	FIMK_HOOK_REMOVEXATTR = 25,
	FIMK_HOOK_SET_ACL = 26,
	FIMK_HOOK_REMOVE_ACL = 27,
	FIMK_HOOK_FILEATTR_SET = 28,
	FIMK_HOOK_FILE_SETATTR = 29,
	FIMK_HOOK_FILE_IOCTL = 30,
	FIMK_HOOK_PATH_MOUNT = 31,
	FIMK_HOOK_MOVE_MOUNT = 32,
	FIMK_HOOK_UMOUNT = 33,
	FIMK_HOOK_PIVOT_ROOT = 34,
	FIMK_HOOK_FILE_PERMISSION = 35,
	FIMK_HOOK_POST_SETATTR = 36,
	FIMK_HOOK_SETATTR = 37,
	FIMK_HOOK_FILE_RELEASE = 38,
	FIMK_HOOK_OPEN_FILES = 39, /* these two: iterators that tell who holds a file */
	FIMK_HOOK_MAPPINGS = 40,
	/* of attempts: loaded only when a rule asks */
	FIMK_HOOK_FILE_OPEN = 41,
	FIMK_HOOK_EXECUTED = 42,
	FIMK_HOOK_BPRM_CHECK = 43,
	FIMK_HOOK_PATH_OPENAT = 44,
	FIMK_HOOK_CHMOD_COMMON = 45,
	FIMK_HOOK_CHOWN_COMMON = 46,
	FIMK_HOOK_VFS_UTIMES = 47,
	FIMK_HOOK_VFS_TRUNCATE = 48,
	FIMK_HOOK_VFS_SETXATTR = 49,
	FIMK_HOOK_VFS_REMOVEXATTR = 50,
	FIMK_HOOK_VFS_UNLINK = 51,
	FIMK_HOOK_VFS_RMDIR = 52,
	FIMK_HOOK_VFS_RENAME = 53,
	FIMK_HOOK_VFS_LINK = 54,
	FIMK_HOOK_VFS_MKDIR = 55,
	FIMK_HOOK_VFS_SYMLINK = 56,
	FIMK_HOOK_VFS_MKNOD = 57,
	FIMK_HOOK_MAY_DELETE = 58,
	FIMK_HOOKS = 59,
	FIMK_HOOKS_MAX = 96,
};

/* How an operation is served: a byte of fimk_ready.plan for each row of the plan table. */
enum fimk_plan {
	FIMK_PLAN_NONE = 0, /* not part of this source */
	FIMK_PLAN_NUMBER = 0x0f, /* mask: which of the row's plans serves, from 1 */
	FIMK_PLAN_SEEN = 0x10, /* the self-test saw it; with neither bit it was not tested */
	FIMK_PLAN_UNSEEN = 0x20, /* attached, but the self-test did not see the operation */
	FIMK_PLAN_ABSENT = 0x40, /* no plan serves: this kernel lacks the functions */
	FIMK_PLAN_REFUSED = 0x80, /* no plan serves: the kernel refused to load or attach the programs */
};

enum fimk_source {
	FIMK_SOURCE_AUTO = 0,
	FIMK_SOURCE_BPF = 1,
	FIMK_SOURCE_FANOTIFY = 2,
	FIMK_SOURCE_PERIODIC = 3,
};

/* Why `auto` did not take a better source: fimk_ready.reason. */
enum fimk_reason {
	FIMK_REASON_BEST = 0, /* nothing better exists */
	FIMK_REASON_ASKED = 1,
	FIMK_REASON_TRAMPOLINES_REFUSED = 2,
	FIMK_REASON_NO_BTF = 3,
	FIMK_REASON_LOAD_FAILED = 4,
	FIMK_REASON_FANOTIFY_REFUSED = 5,
	FIMK_REASON_PID_NAMESPACE = 6, /* programs see the numbers of the host */
};

/* How the recursion guard of trampolines is met, see maps.h: fimk_ready.coverage, and what HELLO wants. */
enum fimk_coverage {
	FIMK_COVERAGE_AUTO = 0,
	FIMK_COVERAGE_NORMAL = 1, /* each program once: what one is skipped for is looked for */
	FIMK_COVERAGE_STRICT = 2, /* each program twice: what one is skipped for the other sees */
};

/* What happened to a touch of a watched object: per hook, per CPU (fimk_counters.of). */
enum fimk_count {
	FIMK_COUNT_SEEN = 0, /* a watched object was touched */
	FIMK_COUNT_ANNOUNCED = 1,
	FIMK_COUNT_COALESCED = 2, /* already dirty: only counted */
	FIMK_COUNT_RING_FULL = 3, /* announcement lost; the dirty entry stands */
	FIMK_COUNT_DIRTY_FULL = 4, /* the change is found only by a scan */
	FIMK_COUNT_WATCH_FULL = 5, /* a new object could not be watched */
	FIMK_COUNT_ACTORS_FULL = 6,
	FIMK_COUNT_PATH_CUT = 7,
	FIMK_COUNT_CROWDED = 8, /* counted with the others of the object */
	FIMK_COUNTS = 9,
};

/* ---- Kernel maps ------------------------------------------------------------------------- */

#define FIMK_WATCH_CHILDREN 1u /* a directory: what appears in it is watched as well */
#define FIMK_WATCH_NAMED 2u /* a rule spells out its name or passes it: may use the room that is kept for such */
/* Attempts on the object to be told: a bit for each enum fimk_kind, in order. Shifted, what new objects in it inherit. */
#define FIMK_WATCH_DENIED 4u
#define FIMK_WATCH_OPENED 8u
#define FIMK_WATCH_EXECUTED 16u
#define FIMK_WATCH_KINDS 28u
#define FIMK_WATCH_INHERITED_SHIFT 3

struct fimk_watch {
	__u32 rule; /* the number the analyzer armed it under, see FIMK_RULES_MAX */
	__u32 flags;
};

/* The state of one dirty (object, actor). Times are CLOCK_BOOTTIME; the last may be a tick of the kernel too
 * early, at most 10 ms. `operations` are flags, one byte each: a byte store needs no atomic, which 5.10 lacks. */
struct fimk_entry {
	__u64 first_ns;
	__u64 last_ns;
	__u64 count;
	__u64 bytes; /* as the calls returned; 0 where a call does not say */
	__u64 take; /* in `taken`: the number DONE must name; in `dirty` the programs' own, see add_to_entry() */
	__u8 operations[FIMK_OPERATIONS_MAX];
	__u32 uid; /* of the first touch: a process can change its own */
	__u8 announced;
	__u8 again; /* 1: its first call is, as far as can be told, the last that an entry taken before has counted */
	__u16 counted; /* among those of its object, see FIMK_PROCESSES_MAX; what only names make is not */
};

struct fimk_counters {
	__u64 of[FIMK_COUNTS];
};

/* ---- Packets, kernel or loader -> analyzer ------------------------------------------------ */

enum fimk_packet {
	/* made by the kernel, forwarded as they are */
	FIMK_PACKET_TOUCH = 1,
	FIMK_PACKET_NAME = 2,
	FIMK_PACKET_ARMED = 3,
	FIMK_PACKET_ACTOR = 4, /* the value of the actors map; also the answer to WHO */
	/* made by the loader */
	FIMK_PACKET_READY = 16,
	FIMK_PACKET_TAKEN = 17,
	FIMK_PACKET_SYNCED = 18,
	FIMK_PACKET_COUNTERS = 19,
	FIMK_PACKET_HOLDER = 20,
};

struct fimk_header {
	__u16 version;
	__u16 kind;
	__u32 length; /* of the whole packet */
};

/* Bytes [start, start + length) of the packet's tail. */
struct fimk_span {
	__u16 start;
	__u16 length;
};

#define FIMK_PATH_WHOLE 1u /* the walk reached the root of the file system tree */
#define FIMK_PATH_CUT 2u
/* fimk_name.path_flags only: somebody has the object mapped writable and shared, so that its content may change
 * without a further record. */
#define FIMK_NAME_MAPPED 4u
#define FIMK_NAME_UNWATCHED 8u /* fimk_name only: the watch map had no room for what appeared */
#define FIMK_PATH_INSIDE 32u /* the mount is not known: the path is one of the object's file system */
#define FIMK_PATH_EXECUTABLE_GONE 16u /* not of the path: the actor's executable has lost its name since its exec */

/*
 * An object became dirty. The path is that by which the actor reached it: names leaf first, each
 * ended by NUL ("passwd\0etc\0"). Without FIMK_PATH_WHOLE it ends at the root of its mount, or with
 * FIMK_PATH_INSIDE of its file system.
 */
struct fimk_touch {
	struct fimk_header header;
	struct fimk_key key;
	__u64 time_ns;
	__u32 operation;
	__u32 hook;
	__u32 uid;
	__u32 path_flags;
	struct fimk_span path;
	__u32 reserved;
	__u8 tail[FIMK_PATH_MAX];
};

/*
 * A name appeared, went or moved. CREATE, LINK and UNLINK name `object` as `name` in `directory`.
 * RENAME and EXCHANGE moved `object` from `old_name` in `old_directory` to `name` in `directory`;
 * `replaced` is what had the new name before (all zero: nothing; for EXCHANGE, it now has the old).
 * The dirty entries of the directories count the records that name them: a reader that has fewer lost one.
 * MOUNT and UNMOUNT name the covered `object` as `name` in `directory`; what is there now the mount table
 * tells, and it may change only after the record.
 * SETTRUSTED names an extended attribute of `object` as `name`, and no directory: its value no analyzer can read.
 * `path` and `old_path` are those of the directories, as in fimk_touch, up to the root of the file
 * system (a dentry does not know its mount).
 */
struct fimk_name {
	struct fimk_header header;
	struct fimk_actor_key actor;
	struct fimk_object directory;
	struct fimk_object old_directory;
	struct fimk_object object;
	struct fimk_object replaced;
	__u64 time_ns;
	__u32 operation;
	__u32 hook;
	__u32 uid;
	__u32 mode; /* of the object, with the file type */
	__u32 links;
	__u32 path_flags;
	struct fimk_span name;
	struct fimk_span old_name;
	struct fimk_span path;
	struct fimk_span old_path;
	__u8 tail[2 * FIMK_NAME_MAX + 2 * FIMK_PATH_MAX];
};

#define FIMK_ARMED_FULL 1u /* the watch map had no room: the object is not watched */

/* Answer, in order, to each statx of the arming thread. */
struct fimk_armed {
	struct fimk_header header;
	struct fimk_object object;
	__u32 mode;
	__u32 rule;
	__s32 writers; /* i_writecount: above 0, somebody holds it open for writing */
	__s32 mappings; /* i_mmap_writable: above 0, somebody has it mapped writable and shared */
	__u32 flags;
	__u32 reserved;
};

#define FIMK_NO_LOGIN 0xffffffffu /* login_uid, session: not set */
#define FIMK_ACTOR_KERNEL 1u /* a kernel thread: no executable */
#define FIMK_ACTOR_EXECUTABLE_GONE 2u /* its executable has no name any more (deleted, memfd) */
#define FIMK_ACTOR_ARGUMENTS_CUT 4u
#define FIMK_ACTOR_EXECUTABLE_CUT 8u
#define FIMK_ACTOR_UNKNOWN 16u /* answer to WHO: nobody of that key or pid is known */
#define FIMK_ACTOR_EXECUTABLE_MEMORY 32u /* its executable lies in memory and never had a name (memfd) */
#define FIMK_ACTOR_CGROUP_CUT 64u /* the group's path begins further up */

/* A process and the image it runs, gathered at exec, copied at fork. Credentials and control group (of the
 * unified hierarchy) as of then. */
struct fimk_actor {
	struct fimk_header header;
	struct fimk_actor_key key;
	struct fimk_actor_key parent;
	struct fimk_object executable_object;
	__u64 exec_ns; /* 0: before fimk looked */
	__u64 exit_ns; /* 0: alive */
	__u64 cgroup;
	__u32 uid;
	__u32 gid;
	__u32 effective_uid;
	__u32 login_uid;
	__u32 session; /* audit session */
	__u32 session_leader; /* pid */
	__u32 terminal; /* device number, 0: none */
	__u32 flags;
	__u8 name[16]; /* comm, NUL-padded */
	struct fimk_span executable; /* leaf first, as in fimk_touch */
	struct fimk_span arguments; /* each ended by NUL */
	struct fimk_span cgroup_path; /* leaf first; empty: the root's, or not known */
	__u32 pid_in_namespace; /* in its own pid namespace, where that is not the first; else 0 */
	__u8 tail[FIMK_EXECUTABLE_MAX + FIMK_ARGUMENTS_MAX + FIMK_CGROUP_MAX];
};

/* Answer to HELLO, once hooks are attached. With source fanotify it carries the group's descriptor and, where there is one,
 * that of a socket at which marks can be asked for: see struct fimk_mark. */
struct fimk_ready {
	struct fimk_header header;
	__u32 source;
	__u32 reason;
	__s32 error; /* errno behind the reason, 0: none */
	__u32 watch_max;
	__u32 fanotify_flags; /* of fanotify_init */
	__u32 objects_kept; /* dirty or taken entries found, that were left by an earlier run */
	__u8 plan[FIMK_HOOKS_MAX]; /* enum fimk_plan, by row of the plan table */
	__u64 map_bytes; /* kernel memory of all maps */
	__u32 load; /* tells the counters of one load of the programs from those of another during a boot */
	__u32 coverage; /* enum fimk_coverage; 0: the source has no programs to skip */
	__u32 preempts; /* 1: this kernel may preempt a program, so that its guard skips others */
	__u32 reserved;
};

/* Answer to TAKE; unasked for each entry taken by an analyzer that is gone. entry.count 0: not dirty. */
struct fimk_taken {
	struct fimk_header header;
	struct fimk_key key;
	struct fimk_entry entry;
};

struct fimk_synced {
	struct fimk_header header;
	__u64 cookie;
};

/* At every tick at which something was counted: sums over all CPUs since the programs were loaded. */
struct fimk_counters_packet {
	struct fimk_header header;
	__u64 skipped; /* runs that the recursion guard refused and that no second program made up for */
	__u64 swept; /* entries that the loader found dirty and announced, because the ring had no room */
	struct fimk_counters hooks[FIMK_HOOKS_MAX];
	__u8 rules[FIMK_RULES_MAX / 8]; /* a bit for each rule of which an entry found no room since the last packet */
};

#define FIMK_HOLDS_OPEN 1u /* a description open for writing */
#define FIMK_HOLDS_MAPPED 2u /* a shared mapping that is, or may be made, writable */
#define FIMK_HOLDS_CUT 4u /* in the first packet: there are more holders than can be told */

/* Answer to HOLDERS: who holds a watched file, or with source fanotify any file that has a name. The first is
 * about nobody, and its flags say what was looked for: none, when it is too soon after the last time or the
 * kernel cannot tell. The others follow, one for each process and file, then SYNCED. */
struct fimk_holder {
	struct fimk_header header;
	struct fimk_key key;
	__u32 flags; /* FIMK_HOLDS_* */
	__u32 milliseconds; /* in the first packet: how long the looking took */
};

/* ---- Requests, analyzer -> loader --------------------------------------------------------- */

enum fimk_request_kind {
	/* number = source wanted, cookie = objects to have room for (0: as many as usual), key.actor.image = enum
	 * fimk_coverage, key.actor.pid = kinds of attempts wanted, as FIMK_WATCH_* */
	FIMK_REQUEST_HELLO = 1,
	FIMK_REQUEST_ARM = 2, /* number = rule, cookie = thread id, key.actor.image = FIMK_WATCH_* flags; thread 0 ends it */
	FIMK_REQUEST_UNWATCH = 3, /* key.object */
	FIMK_REQUEST_TAKE = 4, /* key */
	FIMK_REQUEST_DONE = 5, /* key, cookie = entry.take */
	FIMK_REQUEST_SYNC = 6, /* cookie comes back in SYNCED, behind all that was recorded before */
	FIMK_REQUEST_WHO = 7, /* key.actor, or only its pid: an ACTOR for it and each ancestor, then SYNCED */
	FIMK_REQUEST_HOLDERS = 8, /* cookie: that of the SYNCED behind the answer */
};

struct fimk_request {
	__u16 version;
	__u16 kind;
	__u32 number;
	struct fimk_key key;
	__u64 cookie;
};

/* ---- Marks on whole file systems, analyzer <-> the loader's marker, over a socket of their own ------ */

/* Which of its events are put into the group. */
enum fimk_mark_kind {
	FIMK_MARK_CHANGES = 1, /* everything that changes on it, too */
	FIMK_MARK_ERRORS = 2, /* the errors that it reports, too */
	FIMK_MARK_NO_CHANGES = 3, /* no longer FIMK_MARK_CHANGES */
	FIMK_MARK_NOTHING = 4, /* of no file system anything; without a descriptor */
};

/* Carries one descriptor of a directory on the file system, and comes back with its error. */
struct fimk_mark {
	__u16 version;
	__u16 kind;
	__s32 error; /* errno, 0: done */
	__u64 cookie;
};

/* ---- Sizes: asserted here and in crates/fimk-wire ----------------------------------------- */

#define FIMK_SIZE(type, bytes) _Static_assert(sizeof(struct type) == (bytes), #type " changed its size")

FIMK_SIZE(fimk_object, 16);
FIMK_SIZE(fimk_actor_key, 16);
FIMK_SIZE(fimk_key, 32);
FIMK_SIZE(fimk_entry, 80);
FIMK_SIZE(fimk_header, 8);
FIMK_SIZE(fimk_touch, 72 + FIMK_PATH_MAX);
FIMK_SIZE(fimk_name, 136 + 2 * FIMK_NAME_MAX + 2 * FIMK_PATH_MAX);
FIMK_SIZE(fimk_armed, 48);
FIMK_SIZE(fimk_actor, 144 + FIMK_EXECUTABLE_MAX + FIMK_ARGUMENTS_MAX + FIMK_CGROUP_MAX);
FIMK_SIZE(fimk_ready, 56 + FIMK_HOOKS_MAX);
FIMK_SIZE(fimk_taken, 120);
FIMK_SIZE(fimk_synced, 16);
FIMK_SIZE(fimk_holder, 48);
FIMK_SIZE(fimk_counters_packet, 24 + FIMK_HOOKS_MAX * FIMK_COUNTS * 8 + FIMK_RULES_MAX / 8);
FIMK_SIZE(fimk_request, 48);
FIMK_SIZE(fimk_mark, 16);

#endif
