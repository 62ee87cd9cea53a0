/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 OR MIT */
/* The actors map and how a process is described in it. Shared by both objects. */
#ifndef FIMK_ACTOR_H
#define FIMK_ACTOR_H

#include "fimk.h"
#include "identity.h"
#include "path.h"

/* Twice the processes of a busy host: those that ended stay while a dirty entry names them. */
#define FIMK_ACTORS_MAX 16384

/* Preallocated, as every hash here: programs run where nothing may be allocated. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FIMK_ACTORS_MAX);
	__type(key, struct fimk_actor_key);
	__type(value, struct fimk_actor);
} actors SEC(".maps");

/* Room to compose an actor in. `task` is an address: a global function takes no pointers on 5.10. */
struct actor_scratch {
	struct fimk_actor actor;
	__u8 slack[FIMK_NAME_MAX]; /* see struct tail */
	__u64 task;
	__u64 exec_ns;
	__u64 end; /* of the tail */
	struct walk walk; /* to the executable */
};

/* Each program has a slot of its own. On a preemptible kernel two programs on one CPU may be inside at
 * once, but never one program twice: the trampoline's guard refuses that. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FIMK_HOOKS);
	__type(key, __u32);
	__type(value, struct actor_scratch);
} actor_scratch SEC(".maps");

/* There is no memset to call. But a helper fills the room that it is given even where it can read nothing, as at the
 * address 0: so the verifier counts on it. */
static __always_inline void clear_actor(struct fimk_actor *actor)
{
	bpf_probe_read_kernel(actor, sizeof(*actor), NULL);
}

static __always_inline __u32 terminal_of(struct signal_struct *signal)
{
	struct tty_struct *tty = BPF_CORE_READ(signal, tty);

	if (!tty)
		return 0;
	return (__u32)BPF_CORE_READ(tty, driver, major) << 20 |
	       (__u32)(BPF_CORE_READ(tty, driver, minor_start) + BPF_CORE_READ(tty, index));
}

static __always_inline void gather_login(struct fimk_actor *actor, struct task_struct *task)
{
	actor->login_uid = FIMK_NO_LOGIN;
	actor->session = FIMK_NO_LOGIN;
	if (!bpf_core_field_exists(task->loginuid))
		return;
	actor->login_uid = BPF_CORE_READ(task, loginuid.val);
	actor->session = BPF_CORE_READ(task, sessionid);
}

/* The process's number where it runs, if that is a pid namespace of its own: 0 if not. */
static __always_inline __u32 pid_inside(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, group_leader, thread_pid);
	__u32 level = BPF_CORE_READ(pid, level);
	int number = 0;

	if (!level)
		return 0;
	bpf_probe_read_kernel(&number, sizeof(number),
			      (void *)pid + bpf_core_field_offset(struct pid, numbers) +
				      level * bpf_core_type_size(struct upid) + bpf_core_field_offset(struct upid, nr));
	return number;
}

/* What a process is at this moment; all but its executable and arguments. Its name is that of its first thread:
 * others have names of their own, as those that work for io_uring. */
static __always_inline void gather_identity(struct fimk_actor *actor, struct task_struct *task)
{
	struct signal_struct *signal = BPF_CORE_READ(task, signal);
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);

	actor_at(&actor->key, task);
	actor_at(&actor->parent, BPF_CORE_READ(task, real_parent));
	actor->uid = BPF_CORE_READ(task, real_cred, uid.val);
	actor->gid = BPF_CORE_READ(task, real_cred, gid.val);
	actor->effective_uid = BPF_CORE_READ(task, real_cred, euid.val);
	actor->cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
	actor->session_leader = BPF_CORE_READ(signal, pids[PIDTYPE_SID], numbers[0].nr);
	actor->terminal = terminal_of(signal);
	gather_login(actor, task);
	__builtin_memset(actor->name, 0, sizeof(actor->name));
	bpf_probe_read_kernel_str(actor->name, sizeof(actor->name), &leader->comm);
	actor->pid_in_namespace = pid_inside(task);
}

/* Global functions are verified by themselves and once, not at each call. */

__attribute__((noinline)) int executable_step(__u32 hook)
{
	struct actor_scratch *scratch = bpf_map_lookup_elem(&actor_scratch, &hook);
	struct tail tail;

	if (!scratch)
		return 0;
	tail = (struct tail){ scratch->actor.tail, FIMK_EXECUTABLE_MAX, &scratch->end };
	return go_up(&tail, &scratch->walk);
}

static __always_inline void gather_executable(struct actor_scratch *scratch, __u32 hook, struct mm_struct *mm)
{
	struct tail tail = { scratch->actor.tail, FIMK_EXECUTABLE_MAX, &scratch->end };
	struct fimk_actor *actor = &scratch->actor;
	struct file *file = BPF_CORE_READ(mm, exe_file);
	struct inode *inode = BPF_CORE_READ(file, f_inode);

	if (!file)
		return;
	object_at(&actor->executable_object, inode);
	if (!BPF_CORE_READ(inode, i_nlink))
		actor->flags |= FIMK_ACTOR_EXECUTABLE_GONE;
	if (BPF_CORE_READ(inode, i_sb, s_flags) & SB_KERNMOUNT)
		actor->flags |= FIMK_ACTOR_EXECUTABLE_MEMORY;
	scratch->walk.dentry = (__u64)BPF_CORE_READ(file, f_path.dentry);
	scratch->walk.mount = (__u64)mount_of((__u64)BPF_CORE_READ(file, f_path.mnt));
	scratch->walk.limit = scratch->end + FIMK_EXECUTABLE_MAX;
	if (walk_up(executable_step, hook) & FIMK_PATH_CUT)
		actor->flags |= FIMK_ACTOR_EXECUTABLE_CUT;
	if (actor->flags & FIMK_ACTOR_EXECUTABLE_MEMORY && !scratch->end)
		append(&tail, FIMK_NAME_MAX, BPF_CORE_READ(file, f_path.dentry, d_name.name)); /* it lies in no directory */
	actor->executable.length = scratch->end;
}

/* Only the current process's memory can be read. What is paged out is left away. */
static __always_inline void gather_arguments(struct fimk_actor *actor, struct tail *tail, struct mm_struct *mm)
{
	__u64 start = BPF_CORE_READ(mm, arg_start);
	__u64 length = BPF_CORE_READ(mm, arg_end) - start;
	__u64 end = *tail->end;

	if (end > FIMK_EXECUTABLE_MAX || !length)
		return;
	if (length > FIMK_ARGUMENTS_MAX) {
		length = FIMK_ARGUMENTS_MAX;
		actor->flags |= FIMK_ACTOR_ARGUMENTS_CUT;
	}
	if (bpf_probe_read_user(actor->tail + end, length, (void *)start))
		return;
	actor->arguments.start = end;
	actor->arguments.length = length;
	*tail->end = end + length;
	/* A process may overwrite its arguments, the last NUL as well. */
	end += length - 1;
	barrier_var(end);
	if (end < sizeof(actor->tail))
		actor->tail[end] = 0;
}

static __always_inline struct kernfs_node *above(struct kernfs_node *node)
{
	struct kernfs_node___before_6_15 *before = (void *)node;

	if (bpf_core_field_exists(node->__parent))
		return BPF_CORE_READ(node, __parent);
	return BPF_CORE_READ(before, parent);
}

/* Last in the tail, so that a fork into another group can replace it. */
static __always_inline void gather_cgroup(struct fimk_actor *actor, volatile __u64 *end, struct task_struct *task)
{
	struct tail tail = { actor->tail, sizeof(actor->tail), end };
	struct kernfs_node *node = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn);
	__u64 start = *end;

	actor->flags &= ~FIMK_ACTOR_CGROUP_CUT;
#pragma clang loop unroll(disable)
	for (int i = 0; i < FIMK_CGROUP_STEPS_MAX; i++) {
		struct kernfs_node *parent = above(node);

		if (!parent || !append(&tail, start + FIMK_CGROUP_MAX, BPF_CORE_READ(node, name)))
			break;
		node = parent;
	}
	if (above(node))
		actor->flags |= FIMK_ACTOR_CGROUP_CUT;
	actor->cgroup_path.start = start;
	actor->cgroup_path.length = *end - start;
}

static __always_inline void gather_actor(struct actor_scratch *scratch, __u32 hook, bool with_arguments)
{
	struct task_struct *task = (struct task_struct *)scratch->task;
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	struct fimk_actor *actor = &scratch->actor;
	struct tail tail = { actor->tail, FIMK_EXECUTABLE_MAX, &scratch->end };

	clear_actor(actor);
	scratch->end = 0;
	actor->header.version = FIMK_WIRE_VERSION;
	actor->header.kind = FIMK_PACKET_ACTOR;
	actor->exec_ns = scratch->exec_ns;
	gather_identity(actor, task);
	if (BPF_CORE_READ(task, flags) & PF_KTHREAD) {
		actor->flags |= FIMK_ACTOR_KERNEL;
	} else if (mm) {
		gather_executable(scratch, hook, mm);
		if (with_arguments)
			gather_arguments(actor, &tail, mm);
	}
	gather_cgroup(actor, &scratch->end, task);
	actor->header.length = __builtin_offsetof(struct fimk_actor, tail) + *tail.end;
}

/* Gathers the current process into `hook`'s scratch and puts it into `actors`; returns what the map says. */
__attribute__((noinline)) int store_current(__u32 hook, __u64 exec_ns)
{
	struct actor_scratch *scratch = bpf_map_lookup_elem(&actor_scratch, &hook);

	if (!scratch)
		return -1;
	scratch->task = bpf_get_current_task();
	scratch->exec_ns = exec_ns;
	gather_actor(scratch, hook, true);
	return bpf_map_update_elem(&actors, &scratch->actor.key, &scratch->actor, BPF_ANY);
}

#endif
