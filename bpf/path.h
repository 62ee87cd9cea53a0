/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 OR MIT */
/* Paths as the kernel holds them: leaf first, each name ended by NUL. */
#ifndef FIMK_PATH_H
#define FIMK_PATH_H

#include "fimk.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/* The tail of a packet under construction. `bytes` has FIMK_NAME_MAX bytes of slack behind `size`, so
 * that a name may be read before it is known to fit. `end` lies in a map: what is read from there the
 * verifier knows nothing of, so that all turns of a loop look alike to it and it follows only one. */
struct tail {
	__u8 *bytes;
	__u64 size;
	volatile __u64 *end;
};

/* Appends the NUL-ended string at an address; false when it does not fit below `limit`. */
static __always_inline bool append(struct tail *tail, __u64 limit, const void *string)
{
	__u64 end = *tail->end;
	long length;

	if (end >= tail->size)
		return false;
	length = bpf_probe_read_kernel_str(tail->bytes + end, FIMK_NAME_MAX, string);
	if (length <= 0 || end + length > limit || end + length > tail->size)
		return false;
	*tail->end = end + length;
	return true;
}

/* Where a walk up to the root stands, by addresses; it lies in a program's scratch. `mount` is 0 where only a dentry
 * is known: such a walk ends at the root of its file system. */
struct walk {
	__u64 dentry;
	__u64 mount;
	__u64 limit; /* of the tail's end */
};

/* What a step comes to, where it does not end the walk with FIMK_PATH_* flags. */
#define WALK_ON (-1)

static __always_inline struct mount *mount_of(__u64 vfsmount)
{
	return vfsmount ? (struct mount *)(vfsmount - bpf_core_field_offset(struct mount, mnt)) : NULL;
}

/* The kernel's own mounts (of the layers of an overlay) and those that were detached have no place in a tree: their
 * namespace is an error number, or none. */
static __always_inline bool has_place(struct mount *mount)
{
	__u64 space = (__u64)BPF_CORE_READ(mount, mnt_ns);

	return space && space < (__u64)-4095;
}

/* Appends a name, or leaves a mount by its root. */
static __always_inline int go_up(struct tail *tail, struct walk *walk)
{
	/* not read through `walk`: CO-RE would look for it in the kernel */
	struct dentry *dentry = (struct dentry *)walk->dentry;
	struct mount *mount = (struct mount *)walk->mount;
	struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
	struct mount *above;

	if (mount && dentry == BPF_CORE_READ(mount, mnt.mnt_root)) {
		above = BPF_CORE_READ(mount, mnt_parent);
		if (above == mount)
			return has_place(mount) ? FIMK_PATH_WHOLE : 0;
		walk->dentry = (__u64)BPF_CORE_READ(mount, mnt_mountpoint);
		walk->mount = (__u64)above;
		return WALK_ON;
	}
	if (parent == dentry)
		return !mount && dentry == BPF_CORE_READ(dentry, d_sb, s_root) ? FIMK_PATH_INSIDE : 0;
	if (!append(tail, walk->limit, BPF_CORE_READ(dentry, d_name.name)))
		return FIMK_PATH_CUT;
	walk->dentry = (__u64)parent;
	return WALK_ON;
}

/* Appends the names from where the walk of `hook`'s scratch stands up to the root; returns FIMK_PATH_* flags.
 * `step` is a global function around go_up(): the verifier follows those once, and each turn of a loop anew. That is
 * most of what loading costs, because every program brings its own copy of all this. */
static __always_inline __u32 walk_up(int (*step)(__u32 hook), __u32 hook)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < FIMK_PATH_STEPS_MAX; i++) {
		int flags = step(hook);

		if (flags != WALK_ON)
			return flags;
	}
	return FIMK_PATH_CUT;
}

#endif
