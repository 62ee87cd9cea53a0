/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 OR MIT */
/*
 * Names that appear, go and move: each is a record of its own, and makes the watched directories dirty,
 * whose entries count the records. What appears in a watched directory is watched from here on.
 *
 * The record is also the announcement of the directories' entries. Where no directory but only an object is
 * watched, the object becomes dirty by a touch with an announcement of its own: an entry that nobody takes would
 * swallow whatever the same process does to the object later.
 */
#ifndef FIMK_NAMES_H
#define FIMK_NAMES_H

#include "fimk.h"
#include "actor.h"
#include "maps.h"
#include "touch.h"

struct appearance {
	const struct fimk_object *object;
	__u32 mode;
	__u32 owner;
	const struct fimk_watch *instead_of; /* NULL: of nothing that is watched */
};

/* Watches what appeared in a directory, under the directory's rule; what takes the place of a named object is
 * named. Returns FIMK_NAME_UNWATCHED if there is no room. */
static __always_inline __u32 watch_child(__u32 hook, const struct fimk_watch *of_directory, struct appearance what)
{
	struct fimk_watch child = {};
	__u32 kinds;

	if (!of_directory || !(of_directory->flags & FIMK_WATCH_CHILDREN))
		return 0;
	child.rule = of_directory->rule;
	kinds = of_directory->flags >> FIMK_WATCH_INHERITED_SHIFT & FIMK_WATCH_KINDS;
	child.flags = kinds;
	if ((what.mode & S_IFMT) == S_IFDIR)
		child.flags |= FIMK_WATCH_CHILDREN | kinds << FIMK_WATCH_INHERITED_SHIFT;
	if (what.instead_of)
		child.flags |= what.instead_of->flags & FIMK_WATCH_NAMED;
	if (watch_object(what.object, &child, what.owner))
		return 0;
	count(hook, FIMK_COUNT_WATCH_FULL);
	return FIMK_NAME_UNWATCHED;
}

static __always_inline bool same_object(const struct fimk_object *one, const struct fimk_object *other)
{
	return one->inode == other->inode && one->device == other->device && one->generation == other->generation;
}

/* The compiler may ask of two pointers at once whether they are NULL, by or-ing them, which the verifier refuses:
 * so each is asked by itself. */
static __always_inline bool is_there(const void *pointer)
{
	__u64 there = pointer != NULL;

	asm volatile("" : "+r"(there));
	return there;
}

struct watched {
	struct fimk_watch *directory;
	struct fimk_watch *old_directory;
	struct fimk_watch *object;
	struct fimk_watch *replaced;
};

static __always_inline bool make_object_dirty(struct file_scratch *scratch, __u32 hook,
					      const struct fimk_object *object, bool announced)
{
	scratch->key.object = *object;
	return make_dirty(scratch, hook, announced) == DIRTY_NEW;
}

/* Bits of which directories are watched, or were made dirty. */
enum { THE_DIRECTORY = 1, THE_OLD_DIRECTORY = 2 };

static __always_inline __u32 make_watched_dirty(struct file_scratch *scratch, __u32 hook, __u32 watched,
						bool announced)
{
	struct fimk_name *name = &scratch->name;
	__u32 made = 0;

	scratch->counted = 0;
	if (watched & THE_DIRECTORY && make_object_dirty(scratch, hook, &name->directory, announced))
		made |= THE_DIRECTORY;
	scratch->rule = scratch->old_rule;
	if (watched & THE_OLD_DIRECTORY && !same_object(&name->directory, &name->old_directory) &&
	    make_object_dirty(scratch, hook, &name->old_directory, announced))
		made |= THE_OLD_DIRECTORY;
	return made;
}

/* An object that is not watched is not touched. */
static __always_inline void touch_objects(struct file_scratch *scratch, __u32 hook)
{
	struct fimk_object replaced = scratch->name.replaced; /* the touch is composed where the record was */

	scratch->mount = 0;
	scratch->key.object = scratch->name.object;
	touch_first(hook);
	scratch->key.object = replaced;
	actor_of_current(&scratch->key.actor);
	touch_first(hook);
}

static __always_inline void mark_watched_unannounced(struct file_scratch *scratch, __u32 made)
{
	if (made & THE_DIRECTORY) {
		scratch->key.object = scratch->name.directory;
		mark_unannounced(&scratch->key);
	}
	if (made & THE_OLD_DIRECTORY) {
		scratch->key.object = scratch->name.old_directory;
		mark_unannounced(&scratch->key);
	}
}

static __always_inline void append_name(struct tail *tail, struct fimk_span *span, struct dentry *dentry)
{
	span->start = *tail->end;
	append(tail, span->start + FIMK_NAME_MAX, BPF_CORE_READ(dentry, d_name.name));
	span->length = *tail->end - span->start;
}

__attribute__((noinline)) int name_step(__u32 hook)
{
	struct file_scratch *scratch = bpf_map_lookup_elem(&file_scratch, &hook);
	struct tail tail;

	if (!scratch)
		return 0;
	tail = (struct tail){ scratch->name.tail, sizeof(scratch->name.tail), &scratch->end };
	return go_up(&tail, &scratch->walk);
}

static __always_inline __u32 append_directory(struct file_scratch *scratch, __u32 hook, struct fimk_span *span,
					      struct dentry *dentry)
{
	__u32 flags;

	span->start = scratch->end;
	scratch->walk = (struct walk){ (__u64)BPF_CORE_READ(dentry, d_parent), 0, scratch->end + FIMK_PATH_MAX };
	flags = walk_up(name_step, hook);
	span->length = scratch->end - span->start;
	return flags;
}

/* Fills in the names and puts the record out. */
__attribute__((noinline)) int announce_name(__u32 hook)
{
	struct file_scratch *scratch = bpf_map_lookup_elem(&file_scratch, &hook);
	struct fimk_name *name;
	struct tail tail;
	__u64 end;

	if (!scratch)
		return -1;
	name = &scratch->name;
	tail = (struct tail){ name->tail, sizeof(name->tail), &scratch->end };
	scratch->end = 0;
	append_name(&tail, &name->name, (struct dentry *)scratch->dentry);
	name->path_flags |= scratch->actor_flags |
			   append_directory(scratch, hook, &name->path, (struct dentry *)scratch->dentry);
	name->old_name = name->old_path = (struct fimk_span){};
	if (scratch->old_dentry) {
		append_name(&tail, &name->old_name, (struct dentry *)scratch->old_dentry);
		name->path_flags |= append_directory(scratch, hook, &name->old_path, (struct dentry *)scratch->old_dentry);
	}
	if (name->path_flags & FIMK_PATH_CUT)
		count(hook, FIMK_COUNT_PATH_CUT);
	end = scratch->end;
	if (end > sizeof(name->tail))
		return -1;
	name->header.length = __builtin_offsetof(struct fimk_name, tail) + end;
	return bpf_ringbuf_output(&ring, name, __builtin_offsetof(struct fimk_name, tail) + end, 0);
}

static __always_inline void describe(struct file_scratch *scratch, __u32 hook)
{
	struct fimk_name *name = &scratch->name;

	name->header.version = FIMK_WIRE_VERSION;
	name->header.kind = FIMK_PACKET_NAME;
	name->time_ns = bpf_ktime_get_boot_ns();
	name->hook = hook;
	name->uid = (__u32)bpf_get_current_uid_gid();
	name->actor = scratch->key.actor;
	scratch->operation = name->operation;
	scratch->bytes = 0;
}

/* Whether the other copy has made the record, and what it made dirty waits still. */
static __always_inline bool recorded_already(struct file_scratch *scratch, __u32 hook, const struct watched *are)
{
	struct fimk_name *name = &scratch->name;
	bool already;

	scratch->mark = mark_of(hook, scratch->dentry >> 3);
	already = counted_already(scratch->mark);
	if (is_there(are->directory))
		scratch->key.object = name->directory;
	else if (is_there(are->old_directory))
		scratch->key.object = name->old_directory;
	else
		scratch->key.object = is_there(are->object) ? name->object : name->replaced;
	return already && bpf_map_lookup_elem(&dirty, &scratch->key);
}

/* Whether the record's object has come to be in its directory. */
static __always_inline bool appeared(const struct fimk_name *name)
{
	return name->operation != FIMK_OP_UNLINK && name->operation != FIMK_OP_MOUNT &&
	       name->operation != FIMK_OP_UNMOUNT;
}

/* Puts the record out, or leaves what it would have announced to the sweep. Global, and told of the directories by
 * bits: else the verifier goes through it for each way in which four pointers may be there or not. */
__attribute__((noinline)) int announce_or_leave(__u32 hook, __u32 watched)
{
	struct file_scratch *scratch = bpf_map_lookup_elem(&file_scratch, &hook);
	bool room = ring_has_room();
	__u32 made;

	if (!scratch)
		return 0;
	made = make_watched_dirty(scratch, hook, watched, room);
	scratch->actor_flags = ensure_actor(hook, &scratch->name.actor);
	if (room && !announce_name(hook)) {
		count(hook, FIMK_COUNT_ANNOUNCED);
		return 0;
	}
	mark_watched_unannounced(scratch, made);
	count(hook, FIMK_COUNT_RING_FULL);
	return 0;
}

/* Watches what came to be in a watched directory; returns flags of the record. */
static __always_inline __u32 watch_appeared(struct file_scratch *scratch, __u32 hook, struct watched *are)
{
	struct fimk_name *name = &scratch->name;
	struct appearance object = { &name->object, name->mode, scratch->owner, are->replaced };
	struct appearance replaced = { &name->replaced, scratch->replaced_mode, scratch->replaced_owner, are->object };
	__u32 flags = 0;

	if (appeared(name))
		flags |= watch_child(hook, are->directory, object);
	if (name->operation == FIMK_OP_EXCHANGE)
		flags |= watch_child(hook, are->old_directory, replaced);
	return flags;
}

/* The slow path: one of the objects that the scratch's record names may be watched. */
__attribute__((noinline)) int record_name(__u32 hook)
{
	struct file_scratch *scratch = bpf_map_lookup_elem(&file_scratch, &hook);
	struct fimk_name *name;
	struct watched are;
	__u32 directories = 0;

	if (!scratch)
		return 0;
	name = &scratch->name;
	are.directory = bpf_map_lookup_elem(&watch, &name->directory);
	are.old_directory = bpf_map_lookup_elem(&watch, &name->old_directory);
	are.object = bpf_map_lookup_elem(&watch, &name->object);
	are.replaced = bpf_map_lookup_elem(&watch, &name->replaced);
	if (are.directory) {
		directories |= THE_DIRECTORY;
		scratch->rule = are.directory->rule;
	}
	if (are.old_directory) {
		directories |= THE_OLD_DIRECTORY;
		scratch->old_rule = are.old_directory->rule;
	}
	if (!directories && !is_there(are.object) && !is_there(are.replaced))
		return 0;
	actor_of_current(&scratch->key.actor);
	if (copy && recorded_already(scratch, hook, &are))
		return 0;
	count(hook, FIMK_COUNT_SEEN);
	describe(scratch, hook);
	name->path_flags |= watch_appeared(scratch, hook, &are);
	announce_or_leave(hook, directories);
	if (!directories)
		touch_objects(scratch, hook);
	return 0;
}

static __always_inline struct inode *directory_of(struct dentry *dentry)
{
	return dentry->d_parent->d_inode;
}

/* Tells which extended attribute of a watched object it is. The touch of the object comes after: whoever takes
 * that has had this. */
static __always_inline void name_attribute(__u32 hook, const struct inode *inode, const char *attribute)
{
	struct file_scratch *scratch = bpf_map_lookup_elem(&file_scratch, &hook);
	struct fimk_name *name;
	struct tail tail;
	__u64 end;

	if (!scratch)
		return;
	name = &scratch->name;
	object_of(&name->object, inode);
	if (!bpf_map_lookup_elem(&watch, &name->object) || !ring_has_room())
		return;
	name->directory = name->old_directory = name->replaced = (struct fimk_object){};
	name->operation = FIMK_OP_SETTRUSTED;
	name->mode = name->links = name->path_flags = 0;
	actor_of_current(&scratch->key.actor);
	describe(scratch, hook);
	tail = (struct tail){ name->tail, sizeof(name->tail), &scratch->end };
	scratch->end = 0;
	append(&tail, FIMK_NAME_MAX, attribute);
	end = scratch->end;
	if (end > FIMK_NAME_MAX)
		return;
	name->name = (struct fimk_span){ .length = end };
	name->old_name = name->path = name->old_path = (struct fimk_span){};
	name->header.length = __builtin_offsetof(struct fimk_name, tail) + end;
	bpf_ringbuf_output(&ring, name, __builtin_offsetof(struct fimk_name, tail) + end, 0);
}

/* Names one object by one dentry. */
static __always_inline int name_one(__u32 hook, enum fimk_operation operation, struct dentry *dentry,
				    struct inode *inode)
{
	struct inode *directory = directory_of(dentry);
	struct file_scratch *scratch;

	if (!maybe_watched(directory) && !maybe_watched(inode))
		return 0;
	scratch = bpf_map_lookup_elem(&file_scratch, &hook);
	if (!scratch)
		return 0;
	object_of(&scratch->name.directory, directory);
	object_of(&scratch->name.object, inode);
	scratch->name.old_directory = (struct fimk_object){};
	scratch->name.replaced = (struct fimk_object){};
	scratch->name.operation = operation;
	scratch->name.mode = inode->i_mode;
	scratch->name.links = inode->i_nlink;
	scratch->name.path_flags = inode->i_mapping->i_mmap_writable.counter > 0 ? FIMK_NAME_MAPPED : 0;
	scratch->owner = inode->i_uid.val;
	scratch->dentry = (__u64)dentry;
	scratch->old_dentry = 0;
	return record_name(hook);
}

/* Moves one dentry to where another is, before either has changed. */
static __always_inline int name_two(__u32 hook, enum fimk_operation operation, struct dentry *dentry,
				    struct dentry *target)
{
	struct inode *directory = directory_of(target);
	struct inode *old_directory = directory_of(dentry);
	struct inode *replaced = target->d_inode;
	struct inode *inode = dentry->d_inode;
	struct file_scratch *scratch;

	if (!inode)
		return 0;
	if (!maybe_watched(directory) && !maybe_watched(old_directory) && !maybe_watched(inode) &&
	    !(replaced && maybe_watched(replaced)))
		return 0;
	scratch = bpf_map_lookup_elem(&file_scratch, &hook);
	if (!scratch)
		return 0;
	object_of(&scratch->name.directory, directory);
	object_of(&scratch->name.old_directory, old_directory);
	object_of(&scratch->name.object, inode);
	scratch->name.replaced = (struct fimk_object){};
	scratch->replaced_mode = scratch->replaced_owner = 0;
	if (replaced) {
		object_of(&scratch->name.replaced, replaced);
		scratch->replaced_mode = replaced->i_mode;
		scratch->replaced_owner = replaced->i_uid.val;
	}
	scratch->name.operation = operation;
	scratch->name.mode = inode->i_mode;
	scratch->name.links = inode->i_nlink;
	scratch->name.path_flags = inode->i_mapping->i_mmap_writable.counter > 0 ? FIMK_NAME_MAPPED : 0;
	scratch->owner = inode->i_uid.val;
	scratch->dentry = (__u64)target;
	scratch->old_dentry = (__u64)dentry;
	return record_name(hook);
}

/* Names an object that something is mounted on, or was, by the address of its dentry. Mounts are rare: all is
 * read by probes. The root of a file system has no directory. */
static __always_inline int name_covered(__u32 hook, enum fimk_operation operation, struct dentry *dentry)
{
	struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
	struct inode *inode = BPF_CORE_READ(dentry, d_inode);
	struct file_scratch *scratch = bpf_map_lookup_elem(&file_scratch, &hook);

	if (!scratch || !inode)
		return 0;
	object_at(&scratch->name.object, inode);
	scratch->name.directory = (struct fimk_object){};
	if (parent != dentry)
		object_at(&scratch->name.directory, BPF_CORE_READ(parent, d_inode));
	if (!maybe_watched_object(&scratch->name.directory) && !maybe_watched_object(&scratch->name.object))
		return 0;
	scratch->name.old_directory = (struct fimk_object){};
	scratch->name.replaced = (struct fimk_object){};
	scratch->name.operation = operation;
	scratch->name.mode = BPF_CORE_READ(inode, i_mode);
	scratch->name.links = BPF_CORE_READ(inode, i_nlink);
	scratch->name.path_flags = 0;
	scratch->dentry = (__u64)dentry;
	scratch->old_dentry = 0;
	return record_name(hook);
}

#endif
