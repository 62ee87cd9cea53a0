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

/* Where a walk stands. `mount` is 0 where only a dentry is known: such a walk ends at the root of its
 * file system. */
struct place {
	struct dentry *dentry;
	struct mount *mount;
};

enum step { STEP_NAME, STEP_CROSSED, STEP_ROOT, STEP_END };

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

/* Leaves a mount by its root, else tells what the dentry is. */
static __always_inline enum step cross(struct place *at, struct dentry *dentry, struct dentry *parent)
{
	struct mount *mount = at->mount;
	struct mount *above;

	if (!mount || dentry != BPF_CORE_READ(mount, mnt.mnt_root))
		return parent == dentry ? STEP_END : STEP_NAME;
	above = BPF_CORE_READ(mount, mnt_parent);
	if (above == mount)
		return has_place(mount) ? STEP_ROOT : STEP_END;
	at->dentry = BPF_CORE_READ(mount, mnt_mountpoint);
	at->mount = above;
	return STEP_CROSSED;
}

/* Where a walk ended that did not come to the root of the tree. */
static __always_inline __u32 end_of(const struct place *at, struct dentry *dentry)
{
	return !at->mount && dentry == BPF_CORE_READ(dentry, d_sb, s_root) ? FIMK_PATH_INSIDE : 0;
}

/* Appends the names from a place up to the root, `room` bytes at most; returns FIMK_PATH_* flags. */
static __always_inline __u32 append_path(struct tail *tail, __u64 room, struct place at)
{
	__u64 limit = *tail->end + room;

#pragma clang loop unroll(disable)
	for (int i = 0; i < FIMK_PATH_STEPS_MAX; i++) {
		/* not read through `at`: CO-RE would look for struct place in the kernel */
		struct dentry *dentry = at.dentry;
		struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
		enum step step = cross(&at, dentry, parent);

		if (step == STEP_ROOT)
			return FIMK_PATH_WHOLE;
		if (step == STEP_END)
			return end_of(&at, dentry);
		if (step == STEP_CROSSED)
			continue;
		if (!append(tail, limit, BPF_CORE_READ(dentry, d_name.name)))
			return FIMK_PATH_CUT;
		at.dentry = parent;
	}
	return FIMK_PATH_CUT;
}

#endif
