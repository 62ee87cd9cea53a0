// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 OR MIT
/*
 * What happens to files: one program a hook, all after the change and in the context of who makes it. The
 * hooks' reasons are beside them; what a touch does is in touch.h, a name in names.h. None is loaded unless
 * the loader asks for it by name.
 */
#include "fimk.h"
#include "actor.h"
#include "args.h"
#include "attempts.h"
#include "maps.h"
#include "names.h"
#include "touch.h"
#include <bpf/bpf_tracing.h>

/* ---- Contents: at the exit, where success is known ---------------------------------------- */

SEC("?fexit/vfs_write")
int BPF_PROG(fimk_vfs_write, struct file *file, const char *buffer, unsigned long size, __s64 *position, long ret)
{
	return ret > 0 ? touch_file(FIMK_HOOK_VFS_WRITE, FIMK_OP_WRITE, file, ret) : 0;
}

SEC("?fexit/vfs_writev")
int BPF_PROG(fimk_vfs_writev, struct file *file, const void *vector, unsigned long length, __s64 *position,
	     int flags, long ret)
{
	return ret > 0 ? touch_file(FIMK_HOOK_VFS_WRITEV, FIMK_OP_WRITE, file, ret) : 0;
}

/* overlayfs into its upper file, and loop devices up to 6.1. On these kernels splice comes by here as well
 * and counts twice. */
SEC("?fexit/vfs_iter_write")
int BPF_PROG(fimk_vfs_iter_write, struct file *file, struct iov_iter *iter, __s64 *position, int flags, long ret)
{
	return ret > 0 ? touch_file(FIMK_HOOK_VFS_ITER_WRITE, FIMK_OP_WRITE, file, ret) : 0;
}

/* An asynchronous call tells 0, or "queued" in an int that leaves the slot's upper half undefined; the
 * bytes are told elsewhere. "Again" comes before another call. */
static __always_inline bool submitted(__u64 ret)
{
	int result = (int)ret;

	return result >= 0 || result == -EIOCBQUEUED;
}

SEC("?fexit/io_write")
int BPF_PROG(fimk_io_write, struct io_kiocb *request, unsigned int issue_flags, __u64 ret)
{
	return submitted(ret) ? touch_file(FIMK_HOOK_IO_WRITE, FIMK_OP_WRITE, request->file, 0) : 0;
}

SEC("?fexit/aio_write")
int BPF_PROG(fimk_aio_write, struct kiocb *request, const void *iocb, bool vectored, bool compat, __u64 ret)
{
	return submitted(ret) ? touch_file(FIMK_HOOK_AIO_WRITE, FIMK_OP_WRITE, request->ki_filp, 0) : 0;
}

/* splice and sendfile */
SEC("?fexit/iter_file_splice_write")
int BPF_PROG(fimk_iter_file_splice_write, struct pipe_inode_info *pipe, struct file *file, __s64 *position,
	     unsigned long length, unsigned int flags, long ret)
{
	return ret > 0 ? touch_file(FIMK_HOOK_SPLICE_WRITE, FIMK_OP_WRITE, file, ret) : 0;
}

/* Where the file system cannot do it, it is done by splice, which counts as well. */
SEC("?fexit/vfs_copy_file_range")
int BPF_PROG(fimk_vfs_copy_file_range, struct file *from, __s64 from_position, struct file *file, __s64 position,
	     unsigned long length, unsigned int flags, long ret)
{
	return ret > 0 ? touch_file(FIMK_HOOK_COPY_FILE_RANGE, FIMK_OP_WRITE, file, ret) : 0;
}

/* Blocks shared with another file (FICLONE, and copies on btrfs and xfs). */
SEC("?fexit/vfs_clone_file_range")
int BPF_PROG(fimk_vfs_clone_file_range, struct file *from, __s64 from_position, struct file *file, __s64 position,
	     __s64 length, unsigned int flags, __s64 ret)
{
	return ret > 0 ? touch_file(FIMK_HOOK_CLONE_FILE_RANGE, FIMK_OP_CLONE, file, ret) : 0;
}

SEC("?fexit/vfs_fallocate")
int BPF_PROG(fimk_vfs_fallocate, struct file *file, int mode, __s64 offset, __s64 length, int ret)
{
	return ret == 0 ? touch_file(FIMK_HOOK_FALLOCATE, FIMK_OP_ALLOCATE, file, 0) : 0;
}

/* In place of any of the above that this kernel lacks or does not run. Before the change: what is read too early
 * is read again when the description is released. Not by default, because every read comes by here too. */
SEC("?fentry/security_file_permission")
int BPF_PROG(fimk_security_file_permission, struct file *file, int mask)
{
	if (!(mask & MAY_WRITE) || (file->f_inode->i_mode & S_IFMT) != S_IFREG)
		return 0;
	return touch_file(FIMK_HOOK_FILE_PERMISSION, FIMK_OP_WRITE, file, 0);
}

/* ---- Attributes and truncation ------------------------------------------------------------- */

#define ATTR_OWNER (ATTR_UID | ATTR_GID)
/* Asked for; the kernel's own updates of times carry none of these. */
#define ATTR_TIMES (ATTR_ATIME_SET | ATTR_MTIME_SET | ATTR_TIMES_SET | ATTR_TOUCH)

/* A call that only drops privileges (a write to a set-user-ID file) is by now a change of mode. */
static __always_inline int touch_attributes(__u32 hook, struct dentry *dentry, __u32 valid)
{
	struct touched what = { .inode = dentry->d_inode, .dentry = dentry };

	if (!(valid & (ATTR_SIZE | ATTR_MODE | ATTR_OWNER | ATTR_TIMES)))
		return 0;
	what.operation = valid & ATTR_SIZE ? FIMK_OP_TRUNCATE :
			 valid & ATTR_MODE ? FIMK_OP_CHMOD :
			 valid & ATTR_OWNER ? FIMK_OP_CHOWN : FIMK_OP_UTIMES;
	touch(hook, what);
	if (valid & ATTR_MODE && what.operation != FIMK_OP_CHMOD)
		touch_also(what.inode, FIMK_OP_CHMOD);
	if (valid & ATTR_OWNER && what.operation != FIMK_OP_CHOWN)
		touch_also(what.inode, FIMK_OP_CHOWN);
	if (valid & ATTR_TIMES && what.operation != FIMK_OP_UTIMES)
		touch_also(what.inode, FIMK_OP_UTIMES);
	return 0;
}

SEC("?fexit/notify_change")
int fimk_notify_change(__u64 *ctx)
{
	struct dentry *dentry = (struct dentry *)SHIFTED(ctx, 0);
	struct iattr *attributes = (struct iattr *)SHIFTED(ctx, 1);

	return (int)SHIFTED(ctx, 3) ? 0 : touch_attributes(FIMK_HOOK_NOTIFY_CHANGE, dentry, attributes->ia_valid);
}

/* In place of notify_change: by kernels since 6.9, and before the change by all. */
SEC("?fentry/security_inode_post_setattr")
int BPF_PROG(fimk_security_inode_post_setattr, void *idmap, struct dentry *dentry, int valid)
{
	return touch_attributes(FIMK_HOOK_POST_SETATTR, dentry, valid);
}

SEC("?fentry/security_inode_setattr")
int fimk_security_inode_setattr(__u64 *ctx)
{
	struct dentry *dentry = (struct dentry *)SHIFTED(ctx, 0);
	struct iattr *attributes = (struct iattr *)SHIFTED(ctx, 1);

	return touch_attributes(FIMK_HOOK_SETATTR, dentry, attributes->ia_valid);
}

static __always_inline int touch_dentry(__u32 hook, enum fimk_operation operation, struct dentry *dentry)
{
	struct touched what = { .operation = operation, .inode = dentry->d_inode, .dentry = dentry };

	return touch(hook, what);
}

/* Whether the analyzer, which has no CAP_SYS_ADMIN, will find nothing of it. */
static __always_inline bool is_trusted(const char *attribute)
{
	const __u64 trusted = 0x2e64657473757274; /* "trusted." */
	__u64 start = 0;

	bpf_probe_read_kernel(&start, sizeof(start), attribute);
	return start == trusted;
}

static __always_inline int touch_xattr(__u32 hook, struct dentry *dentry, const char *attribute)
{
	struct inode *inode = dentry->d_inode;

	if (!maybe_watched(inode))
		return 0;
	if (!is_trusted(attribute))
		return touch_dentry(hook, FIMK_OP_SETXATTR, dentry);
	name_attribute(hook, inode, attribute);
	return touch_dentry(hook, FIMK_OP_SETTRUSTED, dentry);
}

/* ACLs are extended attributes to kernels before 6.2, and come by here. */
SEC("?fentry/security_inode_post_setxattr")
int BPF_PROG(fimk_security_inode_post_setxattr, struct dentry *dentry, const char *name)
{
	return touch_xattr(FIMK_HOOK_POST_SETXATTR, dentry, name);
}

SEC("?fexit/__vfs_setxattr_noperm")
int fimk___vfs_setxattr_noperm(__u64 *ctx)
{
	struct dentry *dentry = (struct dentry *)SHIFTED(ctx, 0);

	return (int)SHIFTED(ctx, 5) ? 0 : touch_xattr(FIMK_HOOK_SETXATTR, dentry, (const char *)SHIFTED(ctx, 1));
}

SEC("?fentry/security_inode_post_removexattr")
int BPF_PROG(fimk_security_inode_post_removexattr, struct dentry *dentry, const char *name)
{
	return touch_xattr(FIMK_HOOK_POST_REMOVEXATTR, dentry, name);
}

SEC("?fexit/__vfs_removexattr_locked")
int fimk___vfs_removexattr_locked(__u64 *ctx)
{
	struct dentry *dentry = (struct dentry *)SHIFTED(ctx, 0);

	return (int)SHIFTED(ctx, 3) ? 0 : touch_xattr(FIMK_HOOK_REMOVEXATTR, dentry, (const char *)SHIFTED(ctx, 1));
}

SEC("?fexit/vfs_set_acl")
int BPF_PROG(fimk_vfs_set_acl, void *idmap, struct dentry *dentry, const char *name, void *acl, int ret)
{
	return ret ? refused_dentry(FIMK_HOOK_SET_ACL, FIMK_OP_SETACL, dentry, ret) :
		     touch_dentry(FIMK_HOOK_SET_ACL, FIMK_OP_SETACL, dentry);
}

SEC("?fexit/vfs_remove_acl")
int BPF_PROG(fimk_vfs_remove_acl, void *idmap, struct dentry *dentry, const char *name, int ret)
{
	return ret ? refused_dentry(FIMK_HOOK_REMOVE_ACL, FIMK_OP_SETACL, dentry, ret) :
		     touch_dentry(FIMK_HOOK_REMOVE_ACL, FIMK_OP_SETACL, dentry);
}

SEC("?fexit/vfs_fileattr_set")
int BPF_PROG(fimk_vfs_fileattr_set, void *idmap, struct dentry *dentry, void *attributes, int ret)
{
	return ret ? refused_dentry(FIMK_HOOK_FILEATTR_SET, FIMK_OP_SETFLAGS, dentry, ret) :
		     touch_dentry(FIMK_HOOK_FILEATTR_SET, FIMK_OP_SETFLAGS, dentry);
}

SEC("?fentry/security_inode_file_setattr")
int BPF_PROG(fimk_security_inode_file_setattr, struct dentry *dentry)
{
	return touch_dentry(FIMK_HOOK_FILE_SETATTR, FIMK_OP_SETFLAGS, dentry);
}

/* Before 5.13 each file system has its own ioctl, and only this is common to all: it is read again when the
 * description is released, which is opened for reading as a rule. */
SEC("?fentry/security_file_ioctl")
int BPF_PROG(fimk_security_file_ioctl, struct file *file, unsigned int command)
{
	__u64 address = (__u64)file;
	__u8 yes = 1;

	if (command != FS_IOC_SETFLAGS && command != FS_IOC32_SETFLAGS && command != FS_IOC_FSSETXATTR)
		return 0;
	if (!maybe_watched(file->f_inode))
		return 0;
	any_flagged = true;
	if (bpf_map_update_elem(&flagged, &address, &yes, BPF_ANY)) {
		count(FIMK_HOOK_FILE_IOCTL, FIMK_COUNT_DIRTY_FULL);
		lose_of_rule(0);
	}
	return touch_file(FIMK_HOOK_FILE_IOCTL, FIMK_OP_SETFLAGS, file, 0);
}

/* ---- Names: functions that run only after success, with the same arguments everywhere ------ */

/* It runs for each lookup of an existing name as well: then the dentry is not hashed yet, while one
 * created has been looked up in vain before. An O_TMPFILE has no name and is not hashed either. */
SEC("?fentry/security_d_instantiate")
int BPF_PROG(fimk_security_d_instantiate, struct dentry *dentry, struct inode *inode)
{
	bool link;

	if (!dentry->d_hash.pprev || !inode)
		return 0;
	link = inode->i_nlink > 1 && (inode->i_mode & S_IFMT) != S_IFDIR;
	return name_one(FIMK_HOOK_INSTANTIATE, link ? FIMK_OP_LINK : FIMK_OP_CREATE, dentry, inode);
}

SEC("?fentry/d_move")
int BPF_PROG(fimk_d_move, struct dentry *dentry, struct dentry *target)
{
	return name_two(FIMK_HOOK_MOVE, FIMK_OP_RENAME, dentry, target);
}

SEC("?fentry/d_exchange")
int BPF_PROG(fimk_d_exchange, struct dentry *dentry, struct dentry *target)
{
	return name_two(FIMK_HOOK_EXCHANGE, FIMK_OP_EXCHANGE, dentry, target);
}

SEC("?fentry/d_delete")
int BPF_PROG(fimk_d_delete, struct dentry *dentry)
{
	struct inode *inode = dentry->d_inode;

	return inode ? name_one(FIMK_HOOK_DELETE, FIMK_OP_UNLINK, dentry, inode) : 0;
}

/* ---- Ends and mappings --------------------------------------------------------------------- */

/* The last use of a description or of its mappings: what came by no hook, or by one before the change, is
 * read then. One whose open failed has no inode, and none must be read: a kernel that lacks the patch "bpf: ensure main
 * program has an extable" (2023; so does 5.10) may not survive a fault in a program that calls functions. */
static __always_inline int release(__u32 hook, struct file *file)
{
	struct inode *inode = file->f_inode;
	__u64 address = (__u64)file;
	bool writable;
	int error;

	if (!inode)
		return 0;
	writable = file->f_mode & FMODE_WRITE && (inode->i_mode & S_IFMT) == S_IFREG;

	if (any_flagged) {
		error = bpf_map_delete_elem(&flagged, &address);
		if (!error)
			return touch_file(hook, writable ? FIMK_OP_CLOSE : FIMK_OP_SETFLAGS, file, 0);
	}
	return writable ? touch_file(hook, FIMK_OP_CLOSE, file, 0) : 0;
}

SEC("?fentry/__fput")
int BPF_PROG(fimk___fput, struct file *file)
{
	return release(FIMK_HOOK_FPUT, file);
}

SEC("?fentry/security_file_release")
int BPF_PROG(fimk_security_file_release, struct file *file)
{
	return release(FIMK_HOOK_FILE_RELEASE, file);
}

SEC("?fentry/security_mmap_file")
int BPF_PROG(fimk_security_mmap_file, struct file *file, unsigned long protection, unsigned long flags)
{
	unsigned long type = flags & MAP_TYPE;

	if (!file || !(protection & PROT_WRITE) || (type != MAP_SHARED && type != MAP_SHARED_VALIDATE))
		return 0;
	return touch_file(FIMK_HOOK_MMAP, FIMK_OP_MAP, file, 0);
}

SEC("?fentry/security_file_mprotect")
int BPF_PROG(fimk_security_file_mprotect, struct vm_area_struct *area, unsigned long requested,
	     unsigned long protection)
{
	struct file *file = area->vm_file;

	if (!file || !(protection & PROT_WRITE) || !(area->vm_flags & VM_SHARED))
		return 0;
	return touch_file(FIMK_HOOK_MPROTECT, FIMK_OP_MAP, file, 0);
}

/* ---- Mounts: what they cover. Only path_mount comes after the change; the others announce it -------- */

SEC("?fexit/path_mount")
int BPF_PROG(fimk_path_mount, const char *source, struct path *path, const char *type, unsigned long flags,
	     void *data, int ret)
{
	if (ret || flags & (MS_REMOUNT | MS_PROPAGATION))
		return 0;
	return name_covered(FIMK_HOOK_PATH_MOUNT, FIMK_OP_MOUNT, path->dentry);
}

SEC("?fentry/security_move_mount")
int BPF_PROG(fimk_security_move_mount, const struct path *from, const struct path *to)
{
	return name_covered(FIMK_HOOK_MOVE_MOUNT, FIMK_OP_MOUNT, to->dentry);
}

SEC("?fentry/security_sb_umount")
int BPF_PROG(fimk_security_sb_umount, struct vfsmount *vfsmount)
{
	struct mount *mount = mount_of((__u64)vfsmount);

	return name_covered(FIMK_HOOK_UMOUNT, FIMK_OP_UNMOUNT, BPF_CORE_READ(mount, mnt_mountpoint));
}

/* The root that was is mounted on old. */
SEC("?fentry/security_sb_pivotroot")
int BPF_PROG(fimk_security_sb_pivotroot, const struct path *old, const struct path *new)
{
	return name_covered(FIMK_HOOK_PIVOT_ROOT, FIMK_OP_MOUNT, old->dentry);
}

/* ---- Arming by touch ------------------------------------------------------------------------ */

static __always_inline __u32 arm(const struct inode *inode, const struct fimk_object *object)
{
	struct fimk_watch watched = { .rule = arming_rule, .flags = arming_flags };

	if ((inode->i_mode & S_IFMT) != S_IFDIR)
		watched.flags &= FIMK_WATCH_NAMED | FIMK_WATCH_KINDS;
	if (watch_object(object, &watched, inode->i_uid.val))
		return 0;
	count(FIMK_HOOK_GETATTR, FIMK_COUNT_WATCH_FULL);
	return FIMK_ARMED_FULL;
}

/* Attached only while the analyzer walks a rule's tree; that thread does nothing but statx meanwhile. */
SEC("?fentry/security_inode_getattr")
int BPF_PROG(fimk_security_inode_getattr, const struct path *path)
{
	struct fimk_armed armed = {};
	struct inode *inode;

	if (!arming_thread || arming_thread != bpf_get_current_pid_tgid())
		return 0;
	inode = path->dentry->d_inode;
	object_of(&armed.object, inode);
	armed.header.version = FIMK_WIRE_VERSION;
	armed.header.kind = FIMK_PACKET_ARMED;
	armed.header.length = sizeof(armed);
	armed.mode = inode->i_mode;
	armed.rule = arming_rule;
	armed.flags = arm(inode, &armed.object);
	/* read after arming: who opened it before is seen here, who opens it later by the hooks */
	armed.writers = inode->i_writecount.counter;
	armed.mappings = inode->i_mapping->i_mmap_writable.counter;
	count(FIMK_HOOK_GETATTR, FIMK_COUNT_SEEN);
	count(FIMK_HOOK_GETATTR, bpf_ringbuf_output(&ring, &armed, sizeof(armed), 0) ? FIMK_COUNT_RING_FULL :
										       FIMK_COUNT_ANNOUNCED);
	return 0;
}

const char fimk_license[] SEC("license") = "Dual MIT/GPL";
