// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 OR MIT
/*
 * What happens to files: one program a hook, all after the change and in the context of who makes it. The
 * hooks' reasons are beside them; what a touch does is in touch.h, a name in names.h. None is loaded unless
 * the loader asks for it by name.
 */
#include "fimk.h"
#include "actor.h"
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

/* ---- Attributes and truncation ------------------------------------------------------------- */

#define ATTR_OWNER (ATTR_UID | ATTR_GID)
/* Asked for; the kernel's own updates of times carry none of these. */
#define ATTR_TIMES (ATTR_ATIME_SET | ATTR_MTIME_SET | ATTR_TIMES_SET | ATTR_TOUCH)

/* A call that only drops privileges (a write to a set-user-ID file) is by now a change of mode. */
static __always_inline int touch_attributes(struct dentry *dentry, struct iattr *attributes, int ret)
{
	struct touched what = { .inode = dentry->d_inode, .dentry = dentry };
	__u32 valid = attributes->ia_valid;

	if (ret || !(valid & (ATTR_SIZE | ATTR_MODE | ATTR_OWNER | ATTR_TIMES)))
		return 0;
	what.operation = valid & ATTR_SIZE ? FIMK_OP_TRUNCATE :
			 valid & ATTR_MODE ? FIMK_OP_CHMOD :
			 valid & ATTR_OWNER ? FIMK_OP_CHOWN : FIMK_OP_UTIMES;
	touch(FIMK_HOOK_NOTIFY_CHANGE, what);
	if (valid & ATTR_MODE && what.operation != FIMK_OP_CHMOD)
		touch_also(what.inode, FIMK_OP_CHMOD);
	if (valid & ATTR_OWNER && what.operation != FIMK_OP_CHOWN)
		touch_also(what.inode, FIMK_OP_CHOWN);
	if (valid & ATTR_TIMES && what.operation != FIMK_OP_UTIMES)
		touch_also(what.inode, FIMK_OP_UTIMES);
	return 0;
}

/* The arguments moved by one when mounts became idmapped; the branch not taken is never verified. */
SEC("?fexit/notify_change")
int fimk_notify_change(__u64 *ctx)
{
	struct vfsmount *mount = NULL;

	if (bpf_core_field_exists(mount->mnt_idmap) || bpf_core_field_exists(mount->mnt_userns))
		return touch_attributes((struct dentry *)ctx[1], (struct iattr *)ctx[2], ctx[4]);
	return touch_attributes((struct dentry *)ctx[0], (struct iattr *)ctx[1], ctx[3]);
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

/* The last use of a description or of its mappings: what came by no hook is read then. */
SEC("?fentry/__fput")
int BPF_PROG(fimk___fput, struct file *file)
{
	if (!(file->f_mode & FMODE_WRITE) || (file->f_inode->i_mode & S_IFMT) != S_IFREG)
		return 0;
	return touch_file(FIMK_HOOK_FPUT, FIMK_OP_CLOSE, file, 0);
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

/* ---- Arming by touch ------------------------------------------------------------------------ */

static __always_inline __u32 arm(const struct inode *inode, const struct fimk_object *object)
{
	struct fimk_watch watched = { .rule = arming_rule };

	if ((inode->i_mode & S_IFMT) == S_IFDIR)
		watched.flags = arming_flags & FIMK_WATCH_CHILDREN;
	pass_filter(object);
	if (!bpf_map_update_elem(&watch, object, &watched, BPF_ANY))
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
