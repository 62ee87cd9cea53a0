/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 OR MIT */
/* Who an object and a process are, in the terms of fimk.h. */
#ifndef FIMK_IDENTITY_H
#define FIMK_IDENTITY_H

#include "fimk.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/* By direct dereference: only for pointers the verifier knows, of a program's arguments. */
static __always_inline void object_of(struct fimk_object *object, const struct inode *inode)
{
	object->inode = inode->i_ino;
	object->device = inode->i_sb->s_dev;
	object->generation = inode->i_generation;
}

/* By probe reads: for any address. */
static __always_inline void object_at(struct fimk_object *object, const struct inode *inode)
{
	object->inode = BPF_CORE_READ(inode, i_ino);
	object->device = BPF_CORE_READ(inode, i_sb, s_dev);
	object->generation = BPF_CORE_READ(inode, i_generation);
}

/* All threads of a process carry its self_exec_id: a thread is made with it, and exec ends all others. */
static __always_inline void actor_at(struct fimk_actor_key *key, const struct task_struct *task)
{
	key->pid = BPF_CORE_READ(task, tgid);
	key->image = (__u32)BPF_CORE_READ(task, self_exec_id);
	key->start_ns = BPF_CORE_READ(task, group_leader, start_boottime);
}

static __always_inline bool has_current_task_btf(void)
{
	return bpf_core_enum_value_exists(enum bpf_func_id___fimk, BPF_FUNC_get_current_task_btf___fimk);
}

static __always_inline void actor_of_current(struct fimk_actor_key *key)
{
	if (has_current_task_btf()) {
		struct task_struct *task = bpf_get_current_task_btf();

		key->pid = task->tgid;
		key->image = (__u32)task->self_exec_id;
		key->start_ns = task->group_leader->start_boottime;
	} else {
		actor_at(key, (struct task_struct *)bpf_get_current_task());
	}
}

#endif
