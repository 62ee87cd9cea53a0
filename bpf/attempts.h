/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 OR MIT */
/*
 * Attempts: what was refused, opened or executed, of the objects whose rule asks for it. They change nothing:
 * each is an entry of `attempts`, never of `dirty`. None of these programs is loaded unless a rule asks. (Those on
 * access lists and flags in file.bpf.c are always loaded, for changes, and tell of a refusal if a rule asks.)
 */
#ifndef FIMK_ATTEMPTS_H
#define FIMK_ATTEMPTS_H

#include "fimk.h"
#include "actor.h"
#include "args.h"
#include "identity.h"
#include "maps.h"
#include "touch.h"
#include <bpf/bpf_tracing.h>

static __always_inline bool asked_for(const struct fimk_object *object, enum fimk_kind kind)
{
	struct fimk_watch *watched = bpf_map_lookup_elem(&watch, object);

	return watched && watched->flags & (FIMK_WATCH_DENIED << (kind - FIMK_KIND_DENIED));
}

static __always_inline bool is_own(__u32 pid)
{
	return pid == own_loader || pid == own_analyzer;
}

/* The slow path: this actor has no such entry yet. */
__attribute__((noinline)) int attempt_first(__u32 hook)
{
	struct file_scratch *scratch = bpf_map_lookup_elem(&file_scratch, &hook);
	struct fimk_actor_key actor;
	enum dirtied dirtied;
	bool room;

	if (!scratch)
		return 0;
	count(hook, FIMK_COUNT_SEEN);
	room = ring_has_room();
	scratch->counted = 0;
	dirtied = make_entry(&attempts, scratch, hook, room);
	if (dirtied == DIRTY_COUNTED)
		count(hook, FIMK_COUNT_COALESCED);
	if (dirtied != DIRTY_NEW)
		return 0;
	actor = scratch->key.actor;
	actor.pid &= FIMK_PID_MASK;
	scratch->actor_flags = ensure_actor(hook, &actor);
	if (room && !announce_touch(scratch, hook)) {
		count(hook, FIMK_COUNT_ANNOUNCED);
		return 0;
	}
	if (room)
		mark_entry_unannounced(&attempts, &scratch->key);
	count(hook, FIMK_COUNT_RING_FULL);
	return 0;
}

/* What was attempted, and how the actor reached it. */
struct attempted {
	enum fimk_kind kind;
	__u32 error; /* errno, 0: not refused */
	__u32 operation;
	__u32 also; /* another operation of the same call, or the same */
	struct dentry *dentry; /* NULL: unknown */
	struct vfsmount *mount; /* NULL: unknown */
};

/* Whether it was asked for. */
static __always_inline bool attempt_on(__u32 hook, const struct fimk_object *object, struct attempted what)
{
	struct file_scratch *scratch;
	struct fimk_entry *entry;
	struct fimk_key key;
	__u32 mark = 0;

	if (!asked_for(object, what.kind))
		return false;
	key.object = *object;
	actor_of_current(&key.actor);
	if (is_own(key.actor.pid))
		return true;
	key.actor.pid |= what.kind << FIMK_KIND_SHIFT | what.error << FIMK_ERROR_SHIFT;
	if (copy)
		mark = mark_of(hook, what.operation ^ object->inode << 8);
	entry = bpf_map_lookup_elem(&attempts, &key);
	if (entry) {
		if (counted_already(mark))
			return true;
		mark_as_counted(mark);
		add_to_entry(entry, what.operation, 0);
		note_operation(entry, what.also);
		count_coalesced(hook, mark);
		return true;
	}
	scratch = bpf_map_lookup_elem(&file_scratch, &hook);
	if (!scratch)
		return true;
	scratch->key = key;
	scratch->operation = what.operation;
	scratch->bytes = 0;
	scratch->mark = mark;
	scratch->dentry = (__u64)what.dentry;
	scratch->mount = (__u64)mount_of((__u64)what.mount);
	attempt_first(hook);
	if (what.also != what.operation) {
		entry = bpf_map_lookup_elem(&attempts, &key);
		if (entry)
			note_operation(entry, what.also);
	}
	return true;
}

static __always_inline bool attempt(__u32 hook, const struct inode *inode, struct attempted what)
{
	struct fimk_object object;

	if (!maybe_watched(inode))
		return false;
	object_of(&object, inode);
	return attempt_on(hook, &object, what);
}

/* ---- Opened --------------------------------------------------------------------------------- */

/* Directories are not told: they are opened by whoever lists what is around. Nor is what was just made, or is opened
 * to be executed: those are events of their own. Before the open, which only the file system itself can still refuse. */
SEC("?fentry/security_file_open")
int BPF_PROG(fimk_security_file_open, struct file *file)
{
	struct attempted what = { .kind = FIMK_KIND_OPENED, .operation = FIMK_OP_OPEN_READ };
	struct inode *inode = file->f_inode;
	__u32 mode = file->f_mode;

	if ((inode->i_mode & S_IFMT) == S_IFDIR || mode & (FMODE_EXEC | FMODE_CREATED))
		return 0;
	if (mode & FMODE_WRITE)
		what.operation = FIMK_OP_OPEN_WRITE;
	what.also = mode & FMODE_READ ? FIMK_OP_OPEN_READ : what.operation;
	what.dentry = file->f_path.dentry;
	what.mount = file->f_path.mnt;
	attempt(FIMK_HOOK_FILE_OPEN, inode, what);
	return 0;
}

/* ---- Executed ------------------------------------------------------------------------------- */

/* A script is in the hands of exec only until its interpreter is known: it is remembered for the end of exec. */
SEC("?fentry/security_bprm_check")
int BPF_PROG(fimk_security_bprm_check, struct linux_binprm *program)
{
	struct inode *inode = program->file->f_inode;
	__u64 address = (__u64)program;
	struct fimk_object object;

	if (program->interp != program->filename)
		return 0;
	if (any_executing)
		bpf_map_delete_elem(&executing, &address); /* of an exec that failed */
	if (!maybe_watched(inode))
		return 0;
	object_of(&object, inode);
	if (!asked_for(&object, FIMK_KIND_EXECUTED))
		return 0;
	any_executing = true;
	count(FIMK_HOOK_BPRM_CHECK, FIMK_COUNT_SEEN);
	bpf_map_update_elem(&executing, &address, &object, BPF_ANY);
	return 0;
}

/* Once the new image runs: it is the actor. */
SEC("?tp_btf/sched_process_exec")
int BPF_PROG(fimk_executed, struct task_struct *task, int old_pid, struct linux_binprm *program)
{
	struct attempted what = {
		.kind = FIMK_KIND_EXECUTED,
		.operation = FIMK_OP_EXECUTE,
		.also = FIMK_OP_EXECUTE,
	};
	struct file *file = program->file;
	__u64 address = (__u64)program;
	struct fimk_object *found;
	struct fimk_object image, named;

	object_of(&image, file->f_inode);
	if (any_executing) {
		found = bpf_map_lookup_elem(&executing, &address);
		if (found) {
			named = *found;
			bpf_map_delete_elem(&executing, &address);
			if (named.inode != image.inode || named.device != image.device)
				attempt_on(FIMK_HOOK_EXECUTED, &named, what);
		}
	}
	if (!maybe_watched_object(&image))
		return 0;
	what.dentry = file->f_path.dentry;
	what.mount = file->f_path.mnt;
	attempt_on(FIMK_HOOK_EXECUTED, &image, what);
	return 0;
}

/* ---- Denied: where a call that was refused comes back --------------------------------------- */

/* ETXTBSY refuses to write what runs, and to run what is written. */
static __always_inline bool is_refusal(int result)
{
	return result == -EACCES || result == -EPERM || result == -EROFS || result == -ETXTBSY;
}

static __always_inline struct attempted denied(enum fimk_operation operation, int result)
{
	struct attempted what = {
		.kind = FIMK_KIND_DENIED,
		.error = -result,
		.operation = operation,
		.also = operation,
	};

	return what;
}

static __always_inline enum fimk_operation operation_of_open(const struct open_flags *flags, const struct inode *inode)
{
	if ((BPF_CORE_READ(inode, i_mode) & S_IFMT) == S_IFDIR) {
		if (flags->open_flag & O_CREAT)
			return FIMK_OP_CREATE;
		return flags->open_flag & O_DIRECTORY ? FIMK_OP_OPEN_READ : FIMK_OP_SEARCH;
	}
	if (flags->acc_mode & MAY_EXEC)
		return FIMK_OP_EXECUTE;
	return flags->acc_mode & MAY_WRITE ? FIMK_OP_OPEN_WRITE : FIMK_OP_OPEN_READ;
}

/* All of open, creat and what exec opens. The walk's last inode is what refused: the object, or a directory on the
 * way to it. Its path is gone by now, and perhaps the inode: it is read by probes. */
SEC("?fexit/path_openat")
int fimk_path_openat(__u64 *ctx)
{
	struct nameidata *walk = (struct nameidata *)ctx[0];
	struct open_flags *flags = (struct open_flags *)ctx[1];
	int result = pointer_result(ctx, 3);
	struct fimk_object object;
	struct inode *inode;

	if (!is_refusal(result))
		return 0;
	inode = walk->inode;
	if (!inode)
		return 0;
	object_at(&object, inode);
	if (maybe_watched_object(&object))
		attempt_on(FIMK_HOOK_PATH_OPENAT, &object, denied(operation_of_open(flags, inode), result));
	return 0;
}

static __always_inline int refused_path(__u32 hook, enum fimk_operation operation, const struct path *path, int result)
{
	struct attempted what = denied(operation, result);

	if (!is_refusal(result))
		return 0;
	what.dentry = path->dentry;
	what.mount = path->mnt;
	attempt(hook, path->dentry->d_inode, what);
	return 0;
}

/* These four include the refusal by a read-only mount, of which the functions below them learn nothing. */

SEC("?fexit/chmod_common")
int BPF_PROG(fimk_chmod_common, const struct path *path, unsigned short mode, int result)
{
	return refused_path(FIMK_HOOK_CHMOD_COMMON, FIMK_OP_CHMOD, path, result);
}

SEC("?fexit/chown_common")
int BPF_PROG(fimk_chown_common, const struct path *path, unsigned int user, unsigned int group, int result)
{
	return refused_path(FIMK_HOOK_CHOWN_COMMON, FIMK_OP_CHOWN, path, result);
}

SEC("?fexit/vfs_utimes")
int BPF_PROG(fimk_vfs_utimes, const struct path *path, void *times, int result)
{
	return refused_path(FIMK_HOOK_VFS_UTIMES, FIMK_OP_UTIMES, path, result);
}

SEC("?fexit/vfs_truncate")
int BPF_PROG(fimk_vfs_truncate, const struct path *path, __s64 length, int result)
{
	return refused_path(FIMK_HOOK_VFS_TRUNCATE, FIMK_OP_TRUNCATE, path, result);
}

/* On what has this name, or else on the directory it would have been in. */
static __always_inline int refused_name(__u32 hook, enum fimk_operation operation, struct dentry *dentry, int result)
{
	struct attempted what = denied(operation, result);
	struct inode *inode;

	if (!is_refusal(result))
		return 0;
	what.dentry = dentry;
	inode = dentry->d_inode;
	if (inode && attempt(hook, inode, what))
		return 0;
	what.dentry = dentry->d_parent;
	attempt(hook, dentry->d_parent->d_inode, what);
	return 0;
}

static __always_inline int refused_dentry(__u32 hook, enum fimk_operation operation, struct dentry *dentry, int result)
{
	struct attempted what = denied(operation, result);

	if (!is_refusal(result))
		return 0;
	what.dentry = dentry;
	attempt(hook, dentry->d_inode, what);
	return 0;
}

SEC("?fexit/vfs_setxattr")
int fimk_vfs_setxattr(__u64 *ctx)
{
	struct dentry *dentry = (struct dentry *)SHIFTED(ctx, 0);

	return refused_dentry(FIMK_HOOK_VFS_SETXATTR, FIMK_OP_SETXATTR, dentry, RESULT(ctx, SHIFTED(ctx, 5)));
}

SEC("?fexit/vfs_removexattr")
int fimk_vfs_removexattr(__u64 *ctx)
{
	struct dentry *dentry = (struct dentry *)SHIFTED(ctx, 0);

	return refused_dentry(FIMK_HOOK_VFS_REMOVEXATTR, FIMK_OP_SETXATTR, dentry, RESULT(ctx, SHIFTED(ctx, 2)));
}

SEC("?fexit/vfs_unlink")
int fimk_vfs_unlink(__u64 *ctx)
{
	struct dentry *dentry = (struct dentry *)SHIFTED(ctx, 1);

	return refused_name(FIMK_HOOK_VFS_UNLINK, FIMK_OP_UNLINK, dentry, RESULT(ctx, SHIFTED(ctx, 3)));
}

SEC("?fexit/vfs_rmdir")
int fimk_vfs_rmdir(__u64 *ctx)
{
	struct dentry *dentry = (struct dentry *)SHIFTED(ctx, 1);

	return refused_name(FIMK_HOOK_VFS_RMDIR, FIMK_OP_UNLINK, dentry, RESULT(ctx, SHIFTED(ctx, 2)));
}

/* In place of vfs_rmdir, which 5.10 inlines where it matters. It is asked for directories that are moved as well. */
SEC("?fexit/may_delete")
int fimk_may_delete(__u64 *ctx)
{
	struct dentry *dentry = (struct dentry *)SHIFTED(ctx, 1);
	bool is_directory = (__u8)SHIFTED(ctx, 2);

	if (!is_directory)
		return 0;
	return refused_name(FIMK_HOOK_MAY_DELETE, FIMK_OP_UNLINK, dentry, RESULT(ctx, SHIFTED(ctx, 3)));
}

SEC("?fexit/vfs_rename")
int fimk_vfs_rename(__u64 *ctx)
{
	struct renamedata *names = (struct renamedata *)ctx[0];
	int result = RESULT(ctx, ctx[1]);
	struct attempted what = denied(FIMK_OP_RENAME, result);
	struct dentry *dentry;

	if (!is_refusal(result))
		return 0;
	dentry = names->old_dentry;
	what.dentry = dentry;
	if (attempt(FIMK_HOOK_VFS_RENAME, dentry->d_inode, what))
		return 0;
	return refused_name(FIMK_HOOK_VFS_RENAME, FIMK_OP_RENAME, names->new_dentry, result);
}

SEC("?fexit/vfs_link")
int fimk_vfs_link(__u64 *ctx)
{
	struct dentry *target = (struct dentry *)ctx[0];
	struct dentry *dentry = (struct dentry *)SHIFTED(ctx, 2);
	int result = RESULT(ctx, SHIFTED(ctx, 4));
	struct attempted what = denied(FIMK_OP_LINK, result);

	if (!is_refusal(result))
		return 0;
	what.dentry = target;
	if (attempt(FIMK_HOOK_VFS_LINK, target->d_inode, what))
		return 0;
	return refused_name(FIMK_HOOK_VFS_LINK, FIMK_OP_LINK, dentry, result);
}

SEC("?fexit/vfs_mkdir")
int fimk_vfs_mkdir(__u64 *ctx)
{
	struct inode *directory = (struct inode *)SHIFTED(ctx, 0);
	int result = RESULT(ctx, SHIFTED(ctx, 3));

	if (is_refusal(result))
		attempt(FIMK_HOOK_VFS_MKDIR, directory, denied(FIMK_OP_CREATE, result));
	return 0;
}

SEC("?fexit/vfs_symlink")
int fimk_vfs_symlink(__u64 *ctx)
{
	struct inode *directory = (struct inode *)SHIFTED(ctx, 0);
	int result = RESULT(ctx, SHIFTED(ctx, 3));

	if (is_refusal(result))
		attempt(FIMK_HOOK_VFS_SYMLINK, directory, denied(FIMK_OP_CREATE, result));
	return 0;
}

SEC("?fexit/vfs_mknod")
int fimk_vfs_mknod(__u64 *ctx)
{
	struct inode *directory = (struct inode *)SHIFTED(ctx, 0);
	int result = RESULT(ctx, SHIFTED(ctx, 4));

	if (is_refusal(result))
		attempt(FIMK_HOOK_VFS_MKNOD, directory, denied(FIMK_OP_CREATE, result));
	return 0;
}

#endif
