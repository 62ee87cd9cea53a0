/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 OR MIT */
/*
 * What fimk reads of the kernel. Only the fields in use are declared; CO-RE finds each by name in the
 * running kernel's BTF, so that one object serves 5.10 to 7.x. Differences between kernels:
 *
 *   arguments        of some functions moved by one in 5.12: see args.h
 *   kernfs_node      its `parent` is `__parent` since 6.15
 *   current as BTF   bpf_get_current_task_btf() came in 5.11: see enum bpf_func_id___fimk
 *   io_write         has two arguments since 5.12 and in 5.10.162 and later; a kernel between with three
 *                    refuses the program, and __fput reports the file in its place
 *   map updates      tell an int before 6.4, a long since, and the program calls the map's function itself:
 *                    the upper half of the result means nothing
 *   unions           d_name, f_path, vm_flags and i_nlink are members of a union on some kernels;
 *                    CO-RE looks through unnamed ones
 */
#ifndef FIMK_KERNEL_H
#define FIMK_KERNEL_H

typedef unsigned char __u8;
typedef signed short __s16;
typedef unsigned short __u16;
typedef signed int __s32;
typedef unsigned int __u32;
typedef signed long long __s64;
typedef unsigned long long __u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u32 __wsum;
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)

/* The user API's numbers, without its headers: those need a libc's include path. */
enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
};
enum { BPF_ANY = 0, BPF_NOEXIST = 1, BPF_EXIST = 2 };
enum { BPF_RB_AVAIL_DATA = 0 };

#define EPERM 1
#define EAGAIN 11
#define EACCES 13
#define EEXIST 17
#define ETXTBSY 26
#define EROFS 30
#define EIOCBQUEUED 529

#define S_IFMT 0170000
#define S_IFREG 0100000
#define S_IFDIR 0040000

#define FMODE_READ 0x1
#define FMODE_WRITE 0x2
#define FMODE_EXEC 0x20
#define FMODE_CREATED 0x100000
#define MAY_EXEC 0x1
#define MAY_WRITE 0x2
#define O_CREAT 0100
#define O_DIRECTORY 0200000
#define PROT_WRITE 0x2
#define MAP_TYPE 0x0f
#define MAP_SHARED 0x01
#define MAP_SHARED_VALIDATE 0x03
#define VM_SHARED 0x8
#define VM_MAYWRITE 0x20
#define PF_KTHREAD 0x00200000
#define SB_KERNMOUNT (1u << 22)

#define ATTR_MODE (1u << 0)
#define ATTR_UID (1u << 1)
#define ATTR_GID (1u << 2)
#define ATTR_SIZE (1u << 3)
#define ATTR_ATIME_SET (1u << 7)
#define ATTR_MTIME_SET (1u << 8)
#define ATTR_TIMES_SET (1u << 16)
#define ATTR_TOUCH (1u << 17)

#define PIDTYPE_SID 3

#define FS_IOC_SETFLAGS 0x40086602
#define FS_IOC32_SETFLAGS 0x40046602
#define FS_IOC_FSSETXATTR 0x401c5820

/* Calls of mount(2) that mount nothing: remount, and changes of propagation. */
#define MS_REMOUNT (1u << 5)
#define MS_PROPAGATION (0xfu << 17)

/* Which helpers exist. */
enum bpf_func_id___fimk {
	BPF_FUNC_get_current_task_btf___fimk = 158,
	BPF_FUNC_get_func_ret___fimk = 184,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;
typedef struct {
	__u32 val;
} kuid_t;
typedef struct {
	__u32 val;
} kgid_t;

struct hlist_bl_node {
	struct hlist_bl_node **pprev;
};

struct qstr {
	const unsigned char *name;
};

struct super_block {
	__u32 s_dev;
	unsigned long s_flags;
	struct dentry *s_root;
};

struct address_space {
	atomic_t i_mmap_writable;
};

struct inode {
	__u16 i_mode;
	kuid_t i_uid;
	struct super_block *i_sb;
	struct address_space *i_mapping;
	unsigned long i_ino;
	__u32 i_nlink;
	__u32 i_generation;
	atomic_t i_writecount;
};

struct dentry {
	struct hlist_bl_node d_hash;
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
	struct super_block *d_sb;
};

/* Idmapped mounts came in 5.12; their field, of either name, tells: see args.h. */
struct vfsmount {
	struct dentry *mnt_root;
	void *mnt_userns; /* 5.12 to 6.1 */
	void *mnt_idmap; /* since 6.2 */
};

struct mnt_namespace;

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
	struct mnt_namespace *mnt_ns;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	__u32 f_mode;
	struct inode *f_inode;
	struct path f_path;
};

struct kiocb {
	struct file *ki_filp;
};

struct io_kiocb {
	struct file *file;
};

struct iattr {
	__u32 ia_valid;
};

struct vm_area_struct {
	unsigned long vm_flags;
	struct file *vm_file;
};

struct mm_struct {
	unsigned long arg_start;
	unsigned long arg_end;
	struct file *exe_file;
};

struct cred {
	kuid_t uid;
	kgid_t gid;
	kuid_t euid;
};

struct kernfs_node {
	__u64 id;
	const char *name;
	struct kernfs_node *__parent;
};

struct kernfs_node___before_6_15 {
	struct kernfs_node *parent;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct upid {
	int nr;
};

struct pid {
	unsigned int level;
	struct upid numbers[1];
};

struct tty_driver {
	int major;
	int minor_start;
};

struct tty_struct {
	int index;
	struct tty_driver *driver;
};

struct signal_struct {
	atomic_t live;
	struct pid *pids[4];
	struct tty_struct *tty;
};

struct task_struct {
	__u32 flags;
	int pid;
	int tgid;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct mm_struct *mm;
	__u64 start_boottime;
	__u64 self_exec_id;
	const struct cred *real_cred;
	char comm[16];
	struct signal_struct *signal;
	struct pid *thread_pid;
	struct css_set *cgroups;
	kuid_t loginuid; /* these two: only with CONFIG_AUDIT */
	__u32 sessionid;
};

struct linux_binprm {
	struct file *file;
	const char *filename;
	const char *interp;
};

struct nameidata {
	struct inode *inode;
};

struct open_flags {
	int open_flag;
	int acc_mode;
};

struct renamedata {
	struct dentry *old_dentry;
	struct dentry *new_dentry;
};

struct pipe_inode_info;
struct iov_iter;

struct bpf_iter__task {
	struct task_struct *task;
};

struct bpf_iter__task_file {
	struct task_struct *task;
	struct file *file;
};

struct bpf_iter__task_vma {
	struct task_struct *task;
	struct vm_area_struct *vma;
};

#pragma clang attribute pop

#endif
