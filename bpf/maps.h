/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 OR MIT */
/* The maps of the file object, and its variables that the loader writes. */
#ifndef FIMK_MAPS_H
#define FIMK_MAPS_H

#include "fimk.h"
#include "counters.h"
#include "path.h"

/* The loader sets how many objects and touches there is room for, by what the analyzer asks for. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FIMK_OBJECTS_DEFAULT);
	__type(key, struct fimk_object);
	__type(value, struct fimk_watch);
} watch SEC(".maps");

/*
 * Trampolines guard against recursion: a program is skipped on a CPU on which it is inside already. On a
 * preemptible kernel that may be another task's call, which lies preempted there as long as its priority is low:
 * so anybody can have a program skipped. Therefore this object may be loaded twice, as the copies 1 and 2 of the
 * same programs on the same functions, and what one is skipped for the other does. They share all maps but their
 * scratch. 0: the only copy.
 */
const volatile __u8 copy;

/* What waits for the analyzer: minutes of a busy package manager. Each entry implies a watched object. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FIMK_OBJECTS_DEFAULT / 16);
	__type(key, struct fimk_key);
	__type(value, struct fimk_entry);
} dirty SEC(".maps");

/* What the analyzer is at work on. No program uses it: it lies here to outlive the loader. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct fimk_key);
	__type(value, struct fimk_entry);
} taken SEC(".maps");

/* Attempts that wait for the analyzer. Beside `dirty`, so that no number of them costs a change; about 2 MB. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct fimk_key);
	__type(value, struct fimk_entry);
} attempts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 * 1024 * 1024);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FIMK_HOOKS_MAX);
	__type(key, __u32);
	__type(value, struct fimk_counters);
} file_counters SEC(".maps");

/* Room for a packet, and what a program hands to its slow path: addresses, because a global function
 * takes no pointers on 5.10. A slot for each program: see actor_scratch. */
struct file_scratch {
	struct fimk_key key;
	__u64 dentry;
	__u64 mount;
	__u64 old_dentry;
	__u64 bytes;
	__u64 end; /* of the packet's tail */
	struct walk walk;
	__u32 operation;
	__u32 replaced_mode;
	__u32 owner; /* of the object that the record names */
	__u32 replaced_owner;
	__u32 actor_flags; /* for path_flags */
	__u32 mark; /* of this call, see touch.h */
	__u32 rule; /* of what is made dirty */
	__u32 old_rule; /* of the directory that a name leaves */
	__u32 counted; /* for the entry */
	struct fimk_entry entry;
	union {
		struct fimk_touch touch;
		struct fimk_name name;
	};
	__u8 slack[FIMK_NAME_MAX]; /* see struct tail */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FIMK_HOOKS);
	__type(key, __u32);
	__type(value, struct file_scratch);
} file_scratch SEC(".maps");

/* Open files, by address, on which an ioctl asked for other flags, where only a hook before the change sees
 * that: their release makes the object dirty again. A hash that is full says so, and everything is compared; one
 * that evicts would lose a change in silence. Each is held open by somebody: few are, of files that are watched. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u8);
} flagged SEC(".maps");

/* Whether `flagged` was ever used: spares every release the lookup. */
bool any_flagged;

/* Watched files by the address of the linux_binprm that is to execute them: as many as are inside execve at once. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, struct fimk_object);
} executing SEC(".maps");

/* Whether `executing` was ever used. */
bool any_executing;

/* The pids of this loader and its analyzer (0: none): what they open is no attempt. */
__u32 own_loader;
__u32 own_analyzer;

/*
 * Which objects may be watched: one byte for each value of filter_slot(). Set before the object enters
 * `watch` and never cleared, so a byte of 0 is certain; it is all that a write to any other file costs.
 * Whoever puts objects into `watch` from outside must set their bytes first.
 */
#define FILTER_BITS 20
__u8 filter[1 << FILTER_BITS];

/* The thread whose statx calls arm (pid << 32 | tid; 0: none), under which rule, with which FIMK_WATCH_*. */
__u64 arming_thread;
__u32 arming_rule;
__u32 arming_flags;

/*
 * Shares of `watch`. Objects without FIMK_WATCH_NAMED are counted: those that the programs put in, less those
 * that the loader took out; each of them writes its own number only. Up to `room_for_others` anybody's objects
 * are watched, up to `room_for_root` root's, beyond only named ones: so a user who makes files without end
 * where that is permitted takes nothing from what a rule names, nor from the system's own files.
 */
__u64 ordinary;
__u64 ordinary_gone;
__u32 room_for_others;
__u32 room_for_root;

/*
 * How many entries of `dirty` an object has that count as processes: made by the programs, less those that the loader
 * took away; each of them writes its own numbers only. By a hash with a secret factor, so that nobody can choose an
 * object that shares a number with another: of the entries there is room for, some four share one.
 */
#define CROWD_BITS 16
__u32 crowd_made[1 << CROWD_BITS];
__u32 crowd_gone[1 << CROWD_BITS];
__u64 crowd_factor;

/* Where there are two copies: the call that was counted last of each thread, see mark_of(). Threads that share a place
 * may have a call counted twice; of threads at work on watched files in one moment there are few. */
#define MARK_BITS 12
__u32 marks[1 << MARK_BITS];

/* Rules of which something found no room in `dirty`: set here, cleared by the loader. */
__u8 lost_rules[FIMK_RULES_MAX];

static __always_inline __u32 crowd_slot(const struct fimk_object *object)
{
	return (object->inode + ((__u64)object->device << 32)) * crowd_factor >> (64 - CROWD_BITS);
}

static __always_inline bool is_crowded(const struct fimk_object *object)
{
	__u32 slot = crowd_slot(object);

	return (__s32)(crowd_made[slot] - crowd_gone[slot]) >= FIMK_PROCESSES_MAX;
}

static __always_inline void lose_of_rule(__u32 rule)
{
	lost_rules[rule < FIMK_RULES_MAX ? rule : 0] = 1;
}

/* Multiplication by 2^64 / golden ratio spreads consecutive inode numbers; the top bits are the best. */
static __always_inline __u64 filter_slot(__u64 inode, __u32 device)
{
	return (inode + ((__u64)device << 32)) * 0x9e3779b97f4a7c15ull >> (64 - FILTER_BITS);
}

static __always_inline bool passes_filter(__u64 inode, __u32 device)
{
	return filter[filter_slot(inode, device)];
}

static __always_inline bool maybe_watched(const struct inode *inode)
{
	return passes_filter(inode->i_ino, inode->i_sb->s_dev);
}

static __always_inline bool maybe_watched_object(const struct fimk_object *object)
{
	return passes_filter(object->inode, object->device);
}

static __always_inline void pass_filter(const struct fimk_object *object)
{
	filter[filter_slot(object->inode, object->device)] = 1;
}

static __always_inline bool has_room_for(__u32 owner)
{
	return (__s64)(ordinary - ordinary_gone) < (owner ? room_for_others : room_for_root);
}

/* Whether the object is on the watch after this. One that is watched already may come to be named. */
static __always_inline bool watch_object(const struct fimk_object *object, const struct fimk_watch *wanted,
					 __u32 owner)
{
	struct fimk_watch *known = bpf_map_lookup_elem(&watch, object);
	bool named = wanted->flags & FIMK_WATCH_NAMED;
	int error;

	if (known) {
		if (named && !(known->flags & FIMK_WATCH_NAMED))
			__sync_fetch_and_add(&ordinary, -1);
		if (known->rule != wanted->rule)
			known->rule = 0; /* it has names under both */
		known->flags |= wanted->flags;
		return true;
	}
	if (!named && !has_room_for(owner))
		return false;
	pass_filter(object);
	error = bpf_map_update_elem(&watch, object, wanted, BPF_NOEXIST);
	if (error)
		return error == -EEXIST;
	if (!named)
		__sync_fetch_and_add(&ordinary, 1);
	return true;
}

static __always_inline void count(__u32 hook, enum fimk_count cause)
{
	count_in(&file_counters, hook, cause, copy);
}

/* Asked before anything is gathered: when the ring is full, the gathering would be in vain. */
static __always_inline bool ring_has_room(void)
{
	return bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) + FIMK_PACKET_MAX < 4 * 1024 * 1024;
}

#endif
