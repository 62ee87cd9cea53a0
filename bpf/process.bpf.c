// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 OR MIT
/*
 * Who runs: keeps `actors` by tracepoints at exec, fork and exit, and fills it at start by a task iterator.
 * No trampolines: this object works where a kernel refuses those, for the fanotify source as well.
 */
#include "fimk.h"
#include "actor.h"
#include "counters.h"
#include <bpf/bpf_tracing.h>

/* The latest image of each process, for a source that knows only a pid. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, __u32);
	__type(value, struct fimk_actor_key);
} pids SEC(".maps");

/* Keys of images that ended: by exit of the last thread, or by exec of the next image. The loader removes
 * them from `actors` once nothing names them. 10,000 ends fit; an end lost here is found by its age. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} exits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FIMK_HOOKS_MAX);
	__type(key, __u32);
	__type(value, struct fimk_counters);
} process_counters SEC(".maps");

static __always_inline void count(__u32 hook, enum fimk_count cause)
{
	count_in(&process_counters, hook, cause, false);
}

static __always_inline void remember(__u32 hook, const struct fimk_actor_key *key, __u64 flags)
{
	bpf_map_update_elem(&pids, &key->pid, key, flags);
	count(hook, FIMK_COUNT_SEEN);
}

static __always_inline void output_end(__u32 hook, struct fimk_actor_key *key)
{
	struct fimk_actor *actor = bpf_map_lookup_elem(&actors, key);

	if (actor)
		actor->exit_ns = bpf_ktime_get_boot_ns();
	count(hook, bpf_ringbuf_output(&exits, key, sizeof(*key), 0) ? FIMK_COUNT_RING_FULL : FIMK_COUNT_ANNOUNCED);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(fimk_sched_process_exec)
{
	struct fimk_actor_key key = {};

	actor_of_current(&key);
	if (store_current(FIMK_HOOK_EXEC, bpf_ktime_get_boot_ns()))
		count(FIMK_HOOK_EXEC, FIMK_COUNT_ACTORS_FULL);
	remember(FIMK_HOOK_EXEC, &key, BPF_ANY);
	key.image--; /* exec counts up by one: what ran before has ended */
	output_end(FIMK_HOOK_EXEC, &key);
	return 0;
}

static __always_inline struct fimk_actor *parent_of_fork(struct task_struct *parent)
{
	struct fimk_actor_key key = {};

	actor_at(&key, parent);
	if (!bpf_map_lookup_elem(&actors, &key))
		store_current(FIMK_HOOK_FORK, 0); /* its exec was missed; the one who forks is current */
	return bpf_map_lookup_elem(&actors, &key);
}

/* The parent was moved to another control group after its exec, or the child was made in one. */
static __always_inline void replace_cgroup(struct actor_scratch *scratch, struct task_struct *child)
{
	struct fimk_actor *actor = &scratch->actor;

	scratch->end = actor->cgroup_path.start;
	gather_cgroup(actor, &scratch->end, child);
	actor->header.length = __builtin_offsetof(struct fimk_actor, tail) + scratch->end;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(fimk_sched_process_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 hook = FIMK_HOOK_FORK;
	struct actor_scratch *scratch;
	struct fimk_actor *known;
	__u64 cgroup;

	if (child->pid != child->tgid)
		return 0;
	known = parent_of_fork(parent);
	scratch = bpf_map_lookup_elem(&actor_scratch, &hook);
	if (!scratch)
		return 0;
	if (known)
		bpf_probe_read_kernel(&scratch->actor, sizeof(scratch->actor), known);
	/* else the map is full, and the scratch holds what could not be stored */
	cgroup = scratch->actor.cgroup;
	gather_identity(&scratch->actor, child);
	if (scratch->actor.cgroup != cgroup)
		replace_cgroup(scratch, child);
	scratch->actor.exit_ns = 0;
	if (bpf_map_update_elem(&actors, &scratch->actor.key, &scratch->actor, BPF_ANY))
		count(hook, FIMK_COUNT_ACTORS_FULL);
	remember(hook, &scratch->actor.key, BPF_ANY);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(fimk_sched_process_exit, struct task_struct *task)
{
	struct fimk_actor_key key = {};

	if (task->signal->live.counter)
		return 0;
	actor_at(&key, task);
	count(FIMK_HOOK_EXIT, FIMK_COUNT_SEEN);
	output_end(FIMK_HOOK_EXIT, &key);
	return 0;
}

/* Run once, by reading the iterator; never overwrites what the tracepoints have stored meanwhile. */
SEC("iter/task")
int fimk_tasks(struct bpf_iter__task *context)
{
	struct task_struct *task = context->task;
	__u32 hook = FIMK_HOOK_TASKS;
	struct actor_scratch *scratch;
	int error;

	if (!task || task->pid != task->tgid)
		return 0;
	scratch = bpf_map_lookup_elem(&actor_scratch, &hook);
	if (!scratch)
		return 0;
	scratch->task = (__u64)task;
	scratch->exec_ns = 0;
	gather_actor(scratch, hook, false);
	if (!task->signal->live.counter) /* a zombie: its end went by, and will not come again */
		scratch->actor.exit_ns = bpf_ktime_get_boot_ns();
	error = bpf_map_update_elem(&actors, &scratch->actor.key, &scratch->actor, BPF_NOEXIST);
	if (error && error != -EEXIST)
		count(hook, FIMK_COUNT_ACTORS_FULL);
	remember(hook, &scratch->actor.key, BPF_NOEXIST);
	return 0;
}

const char fimk_license[] SEC("license") = "Dual MIT/GPL";
