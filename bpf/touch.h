/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 OR MIT */
/*
 * The level-triggered core. A touch of a watched object is an entry of `dirty`, per object and actor; the
 * ring only announces that the entry came to be. All runs after the change, in the context of who made it:
 * whoever takes the entry and then reads the object sees every change that the entry counts.
 */
#ifndef FIMK_TOUCH_H
#define FIMK_TOUCH_H

#include "fimk.h"
#include "actor.h"
#include "identity.h"
#include "maps.h"

static __always_inline void note_operation(struct fimk_entry *entry, __u32 operation)
{
	entry->operations[operation & (FIMK_OPERATIONS_MAX - 1)] = 1;
}

/* A call, as it is marked: by its thread, its hook, what else tells it from the thread's next, and the copy. */
static __always_inline __u32 mark_of(__u32 hook, __u64 what)
{
	__u32 thread = (__u32)bpf_get_current_pid_tgid();

	return ((thread * FIMK_HOOKS_MAX + hook) ^ (__u32)what) << 2 | copy;
}

static __always_inline __u32 *last_mark(void)
{
	return &marks[(__u32)bpf_get_current_pid_tgid() & ((1 << MARK_BITS) - 1)];
}

/*
 * Whether the other copy has counted this call: then its mark is taken away, so that the next call is not taken
 * for this. A mark of 0: there is no other copy. When a copy is skipped, the mark stays as it is its own, and it
 * does not ignore that. (Left over by the first of two calls that only one copy each saw, it makes the second go
 * uncounted: never unseen, for it is dirty.)
 */
static __always_inline bool counted_already(__u32 mark)
{
	if (!mark || *last_mark() != (mark ^ 3))
		return false;
	*last_mark() = 0;
	return true;
}

static __always_inline void mark_as_counted(__u32 mark)
{
	if (mark)
		*last_mark() = mark;
}

/* While an entry is dirty its `take` is the tick of its last_ns: the clock is read once a tick. The entry may be taken
 * away meanwhile, and its memory serve another: then a count is lost, no change. */
static __always_inline void add_to_entry(struct fimk_entry *entry, __u32 operation, __u64 bytes)
{
	__u64 tick = bpf_jiffies64();

	__sync_fetch_and_add(&entry->count, 1);
	if (bytes)
		__sync_fetch_and_add(&entry->bytes, bytes);
	if (entry->take != tick) {
		entry->take = tick;
		entry->last_ns = bpf_ktime_get_boot_ns();
	}
	note_operation(entry, operation);
}

static __always_inline void count_coalesced(__u32 hook, bool shared)
{
	struct fimk_counters *counters = bpf_map_lookup_elem(&file_counters, &hook);

	if (!counters)
		return;
	count_at(counters, FIMK_COUNT_SEEN, shared);
	count_at(counters, FIMK_COUNT_COALESCED, shared);
}

/* A new entry, composed in the scratch: its operation is known only at run time, and 5.10 indexes no stack. */
static __always_inline struct fimk_entry *new_entry(struct file_scratch *scratch, bool announced, bool again)
{
	struct fimk_entry *new = &scratch->entry;

	__builtin_memset(new, 0, sizeof(*new));
	new->first_ns = new->last_ns = bpf_ktime_get_boot_ns();
	new->count = 1;
	new->bytes = scratch->bytes;
	new->uid = (__u32)bpf_get_current_uid_gid();
	new->announced = announced;
	new->again = again;
	new->counted = scratch->counted;
	new->take = bpf_jiffies64();
	note_operation(new, scratch->operation);
	return new;
}

enum dirtied { DIRTY_NEW, DIRTY_COUNTED, DIRTY_LOST };

/*
 * Makes scratch->key an entry of the map, or counts where it is.
 * `announced` is what a new entry says of itself before its announcement is out: who sweeps must not announce it
 * again, and to set it afterwards might hit another entry in the same memory. When the entry in which the other copy
 * counted this call has been taken, there is a new one all the same: the mark may be wrong, and the entry says so.
 */
static __always_inline enum dirtied make_entry(void *map, struct file_scratch *scratch, __u32 hook, bool announced)
{
	bool again = counted_already(scratch->mark);
	struct fimk_entry *entry;
	int error;

	if (!again)
		mark_as_counted(scratch->mark);
	entry = bpf_map_lookup_elem(map, &scratch->key);
	if (!entry) {
		error = bpf_map_update_elem(map, &scratch->key, new_entry(scratch, announced, again), BPF_NOEXIST);
		if (!error)
			return DIRTY_NEW;
		if (error != -EEXIST) {
			count(hook, FIMK_COUNT_DIRTY_FULL);
			return DIRTY_LOST;
		}
		entry = bpf_map_lookup_elem(map, &scratch->key); /* another thread of the actor was faster */
	}
	if (entry && !again)
		add_to_entry(entry, scratch->operation, scratch->bytes);
	return DIRTY_COUNTED;
}

static __always_inline enum dirtied make_dirty(struct file_scratch *scratch, __u32 hook, bool announced)
{
	enum dirtied dirtied = make_entry(&dirty, scratch, hook, announced);

	if (dirtied == DIRTY_LOST)
		lose_of_rule(scratch->rule);
	return dirtied;
}

static __always_inline void others(struct fimk_actor_key *actor)
{
	actor->pid = 0;
	actor->image = FIMK_OTHERS;
	actor->start_ns = 0;
}

/* As make_dirty(), within the limit of processes for one object: what more of them do is that of the others. */
static __always_inline enum dirtied make_dirty_by_process(struct file_scratch *scratch, __u32 hook, bool announced)
{
	enum dirtied dirtied;

	if (is_crowded(&scratch->key.object) && !bpf_map_lookup_elem(&dirty, &scratch->key)) {
		others(&scratch->key.actor);
		count(hook, FIMK_COUNT_CROWDED);
	}
	scratch->counted = 1;
	dirtied = make_dirty(scratch, hook, announced);
	if (dirtied == DIRTY_NEW)
		__sync_fetch_and_add(&crowd_made[crowd_slot(&scratch->key.object)], 1);
	return dirtied;
}

/* The announcement failed after all: the sweep must make it. Hitting another entry would only announce twice. */
static __always_inline void mark_entry_unannounced(void *map, const struct fimk_key *key)
{
	struct fimk_entry *entry = bpf_map_lookup_elem(map, key);

	if (entry)
		entry->announced = 0;
}

static __always_inline void mark_unannounced(const struct fimk_key *key)
{
	mark_entry_unannounced(&dirty, key);
}

static __always_inline bool has_lost_executable(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct inode *inode = BPF_CORE_READ(task, mm, exe_file, f_inode);

	return inode && !BPF_CORE_READ(inode, i_nlink);
}

/* An actor is missing when its exec was, or when it is the kernel's or older than the loader. Returns what
 * is to be told of one that is known: that its executable was removed since its exec. */
static __always_inline __u32 ensure_actor(__u32 hook, const struct fimk_actor_key *key)
{
	struct fimk_actor *actor = bpf_map_lookup_elem(&actors, key);

	if (!actor) {
		if (store_current(hook, 0))
			count(hook, FIMK_COUNT_ACTORS_FULL);
		return 0;
	}
	if (actor->flags & FIMK_ACTOR_KERNEL)
		return 0;
	if (!(actor->flags & FIMK_ACTOR_EXECUTABLE_GONE)) {
		if (!has_lost_executable())
			return 0;
		actor->flags |= FIMK_ACTOR_EXECUTABLE_GONE;
	}
	return FIMK_PATH_EXECUTABLE_GONE;
}

__attribute__((noinline)) int touch_step(__u32 hook)
{
	struct file_scratch *scratch = bpf_map_lookup_elem(&file_scratch, &hook);
	struct tail tail;

	if (!scratch)
		return 0;
	tail = (struct tail){ scratch->touch.tail, FIMK_PATH_MAX, &scratch->end };
	return go_up(&tail, &scratch->walk);
}

static __always_inline long announce_touch(struct file_scratch *scratch, __u32 hook)
{
	struct fimk_touch *touch = &scratch->touch;
	__u64 end;

	scratch->end = 0;
	touch->header.version = FIMK_WIRE_VERSION;
	touch->header.kind = FIMK_PACKET_TOUCH;
	touch->key = scratch->key;
	touch->operation = scratch->operation;
	touch->time_ns = bpf_ktime_get_boot_ns();
	touch->hook = hook;
	touch->uid = (__u32)bpf_get_current_uid_gid();
	touch->reserved = 0;
	scratch->walk = (struct walk){ scratch->dentry, scratch->mount, FIMK_PATH_MAX };
	touch->path_flags = walk_up(touch_step, hook) | scratch->actor_flags;
	if (touch->path_flags & FIMK_PATH_CUT)
		count(hook, FIMK_COUNT_PATH_CUT);
	end = scratch->end;
	if (end > FIMK_PATH_MAX)
		return -1;
	touch->path.start = 0;
	touch->path.length = end;
	touch->header.length = __builtin_offsetof(struct fimk_touch, tail) + end;
	return bpf_ringbuf_output(&ring, touch, __builtin_offsetof(struct fimk_touch, tail) + end, 0);
}

/* The slow path: the object may be watched and is not dirty by this actor. */
__attribute__((noinline)) int touch_first(__u32 hook)
{
	struct file_scratch *scratch = bpf_map_lookup_elem(&file_scratch, &hook);
	struct fimk_watch *watched;
	enum dirtied dirtied;
	bool room;

	if (!scratch)
		return 0;
	watched = bpf_map_lookup_elem(&watch, &scratch->key.object);
	if (!watched)
		return 0;
	count(hook, FIMK_COUNT_SEEN);
	scratch->rule = watched->rule;
	room = ring_has_room();
	dirtied = make_dirty_by_process(scratch, hook, room);
	if (dirtied == DIRTY_COUNTED)
		count(hook, FIMK_COUNT_COALESCED);
	if (dirtied != DIRTY_NEW)
		return 0;
	scratch->actor_flags = scratch->key.actor.pid ? ensure_actor(hook, &scratch->key.actor) : 0;
	if (room && !announce_touch(scratch, hook)) {
		count(hook, FIMK_COUNT_ANNOUNCED);
		return 0;
	}
	if (room)
		mark_unannounced(&scratch->key);
	count(hook, FIMK_COUNT_RING_FULL);
	return 0;
}

/* What was done, where, and how the actor reached it. */
struct touched {
	__u32 operation;
	__u64 bytes;
	const struct inode *inode;
	bool by_file; /* then the last two are read from it, and only when they are needed */
	const struct file *file;
	struct dentry *dentry;
	struct vfsmount *mount; /* NULL: unknown */
};

static __always_inline void note_place(struct file_scratch *scratch, const struct touched *what)
{
	struct dentry *dentry = what->by_file ? what->file->f_path.dentry : what->dentry;
	struct vfsmount *mount = what->by_file ? what->file->f_path.mnt : what->mount;

	scratch->dentry = (__u64)dentry;
	scratch->mount = (__u64)mount_of((__u64)mount);
}

/* Every read of a kernel object costs some instructions more than a read, so none is made twice. */
static __always_inline int touch(__u32 hook, struct touched what)
{
	__u32 device = what.inode->i_sb->s_dev;
	__u64 number = what.inode->i_ino;
	struct file_scratch *scratch;
	struct fimk_entry *entry;
	struct fimk_key key;
	__u32 mark = 0;

	if (!passes_filter(number, device))
		return 0;
	key.object.inode = number;
	key.object.device = device;
	key.object.generation = what.inode->i_generation;
	actor_of_current(&key.actor);
	if (copy)
		mark = mark_of(hook, what.bytes ^ number << 8);
	entry = bpf_map_lookup_elem(&dirty, &key);
	if (entry) {
		if (counted_already(mark))
			return 0;
		mark_as_counted(mark);
		add_to_entry(entry, what.operation, what.bytes);
		count_coalesced(hook, mark);
		return 0;
	}
	scratch = bpf_map_lookup_elem(&file_scratch, &hook);
	if (!scratch)
		return 0;
	scratch->key = key;
	scratch->operation = what.operation;
	scratch->bytes = what.bytes;
	scratch->mark = mark;
	note_place(scratch, &what);
	return touch_first(hook);
}

/* A call that did two things at once: the touch is made, this adds the other operation to its entry. */
static __always_inline void touch_also(const struct inode *inode, enum fimk_operation operation)
{
	struct fimk_entry *entry;
	struct fimk_key key;

	if (!maybe_watched(inode))
		return;
	object_of(&key.object, inode);
	actor_of_current(&key.actor);
	entry = bpf_map_lookup_elem(&dirty, &key);
	if (!entry) {
		others(&key.actor);
		entry = bpf_map_lookup_elem(&dirty, &key);
	}
	if (entry)
		note_operation(entry, operation);
}

static __always_inline int touch_file(__u32 hook, enum fimk_operation operation, struct file *file, __u64 bytes)
{
	struct touched what = {
		.operation = operation,
		.bytes = bytes,
		.inode = file->f_inode,
		.by_file = true,
		.file = file,
	};

	return touch(hook, what);
}

#endif
