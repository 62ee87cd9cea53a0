// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 OR MIT
/*
 * Who holds a file so that it can change without a further record: open for writing, or mapped shared with the
 * right to write. Two iterators over all processes, each run by the loader when it is asked. No trampolines: they
 * serve the fanotify source as well, which has no other way to learn of a mapping.
 */
#include "fimk.h"
#include "identity.h"

/* The file object's map, where that is loaded: then only watched objects count. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct fimk_object);
	__type(value, struct fimk_watch);
} watch SEC(".maps");

/* What a pass found: enum fimk_holds by who holds what. Emptied before each. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FIMK_HOLDERS_MAX);
	__type(key, struct fimk_key);
	__type(value, __u32);
} holders SEC(".maps");

/* Written by the loader: nothing is in `watch`, every named file counts. */
bool every_file;
/* Holders for which there was no room. */
__u64 left_out;

static __always_inline void note(struct task_struct *task, struct inode *inode, __u32 how)
{
	struct fimk_key key = {};
	__u32 *known;

	object_of(&key.object, inode);
	if (!every_file && !bpf_map_lookup_elem(&watch, &key.object))
		return;
	actor_at(&key.actor, task);
	known = bpf_map_lookup_elem(&holders, &key);
	if (known)
		*known |= how;
	else if (bpf_map_update_elem(&holders, &key, &how, BPF_ANY))
		left_out++;
}

/* What has no name (a memfd, a file removed) is nothing that is watched. */
static __always_inline bool is_named_file(const struct inode *inode)
{
	return (inode->i_mode & S_IFMT) == S_IFREG && inode->i_nlink;
}

SEC("?iter/task_file")
int fimk_open_files(struct bpf_iter__task_file *context)
{
	struct task_struct *task = context->task;
	struct file *file = context->file;
	struct inode *inode;

	if (!task || !file || !(file->f_mode & FMODE_WRITE))
		return 0;
	inode = file->f_inode;
	if (is_named_file(inode))
		note(task, inode, FIMK_HOLDS_OPEN);
	return 0;
}

/* What may be made writable later counts: a mapping of a file that was opened for reading only may not. */
SEC("?iter/task_vma")
int fimk_mappings(struct bpf_iter__task_vma *context)
{
	struct vm_area_struct *area = context->vma;
	struct task_struct *task = context->task;
	struct inode *inode;
	struct file *file;

	if (!task || !area || (area->vm_flags & (VM_SHARED | VM_MAYWRITE)) != (VM_SHARED | VM_MAYWRITE))
		return 0;
	file = area->vm_file;
	if (!file)
		return 0;
	inode = file->f_inode;
	if (is_named_file(inode))
		note(task, inode, FIMK_HOLDS_MAPPED);
	return 0;
}

const char fimk_license[] SEC("license") = "Dual MIT/GPL";
