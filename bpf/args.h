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
 * as did, of those that only attempts need,
 *
 *   vfs_setxattr  vfs_removexattr  vfs_unlink  vfs_rmdir  vfs_mkdir  vfs_symlink  vfs_mknod  may_delete
 *   vfs_link (behind its first argument)
 *
 * Their results moved once more in 7.x, when some got another argument at the end: see RESULT.
 *
 * vfs_fileattr_set (5.13), vfs_set_acl and vfs_remove_acl (6.2) and security_inode_post_setattr (6.9) are
 * younger and have always had it; the other hooks never got it. How many arguments a program expects at all
 * is in crates/fimk-wire/src/plan.rs, and one that finds another number is not loaded.
 */
#ifndef FIMK_ARGS_H
#define FIMK_ARGS_H

#include "kernel.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

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

static __always_inline bool has_func_ret(void)
{
	return bpf_core_enum_value_exists(enum bpf_func_id___fimk, BPF_FUNC_get_func_ret___fimk);
}

static __always_inline int func_ret(void *ctx)
{
	__u64 result = 0;

	bpf_get_func_ret(ctx, &result);
	return (int)result;
}

/* What an fexit program's function returned, as an int: an error, or of a pointer bits that are none, because no
 * address ends in one. The helper came in 5.17; before, it is in the slot behind the arguments. */
#define RESULT(ctx, slot) (has_func_ret() ? func_ret(ctx) : (int)(slot))

/* The same of a function that returns a pointer, where the verifier lets nobody calculate with what is in the slot. */
static __always_inline int pointer_result(__u64 *ctx, int slot)
{
	__u64 result = 0;

	if (has_func_ret())
		return func_ret(ctx);
	bpf_probe_read_kernel(&result, sizeof(result), ctx + slot);
	return (int)result;
}

#endif
