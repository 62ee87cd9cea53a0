/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 OR MIT */
/*
 * Where the arguments and the result of a hooked function lie, where that differs between kernels.
 *
 * All differences met between 5.10 and 7.2 have one reason: idmapped mounts came in 5.12, and the functions
 * that check permissions got the mount's user namespace (an idmap since 6.3) as a new first argument. So
 * their arguments, and behind them the result of an fexit program, moved by one slot:
 *
 *   notify_change  security_inode_setattr  __vfs_setxattr_noperm  __vfs_removexattr_locked
 *
 * vfs_fileattr_set (5.13), vfs_set_acl and vfs_remove_acl (6.2) and security_inode_post_setattr (6.9) are
 * younger and have always had it; the other hooks never got it. How many arguments a program expects at all
 * is in crates/fimk-wire/src/plan.rs, and one that finds another number is not loaded.
 */
#ifndef FIMK_ARGS_H
#define FIMK_ARGS_H

#include "kernel.h"
#include <bpf/bpf_core_read.h>

static __always_inline bool has_idmapped_mounts(void)
{
	struct vfsmount *mount = NULL;

	return bpf_core_field_exists(mount->mnt_idmap) || bpf_core_field_exists(mount->mnt_userns);
}

/* Slot n as counted on 5.10. The branch not taken is never verified. The two comments keep the compiler from
 * making one load at a computed offset of it, which the verifier refuses. */
#define SHIFTED(ctx, n)                                                        \
	({                                                                     \
		__u64 slot;                                                    \
		if (has_idmapped_mounts()) {                                   \
			slot = (ctx)[(n) + 1];                                 \
			asm volatile("/* since 5.12 */" : "+r"(slot));         \
		} else {                                                       \
			slot = (ctx)[n];                                       \
			asm volatile("/* before 5.12 */" : "+r"(slot));        \
		}                                                              \
		slot;                                                          \
	})

#endif
