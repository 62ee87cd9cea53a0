// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 OR MIT
/*
 * Whether this kernel preempts a BPF program: run by the loader once, by hand, while a thread of higher priority
 * wakes on the same CPU. See crates/fimk-loader/src/preempt.rs.
 */
#include "kernel.h"
#include <bpf/bpf_helpers.h>

/* Long enough for the tick after next, at 100 ticks a second: a lazy kernel preempts no sooner. */
#define LASTS_NS 40000000ull
#define STEPS 256

/* Whether it has begun, and whether it has ended. */
__u64 state[2];

/* Global functions are verified by themselves, and each turn of a loop anew: so three short loops, not one. */
__attribute__((noinline)) int short_step(__u64 since)
{
	__u64 now = 0;

	for (int i = 0; i < STEPS; i++)
		now = bpf_ktime_get_ns();
	return now - since > LASTS_NS;
}

__attribute__((noinline)) int step(__u64 since)
{
	for (int i = 0; i < STEPS; i++)
		if (short_step(since))
			return 1;
	return 0;
}

SEC("syscall")
int fimk_linger(void *context)
{
	__u64 since = bpf_ktime_get_ns();

	state[0] = 1;
	for (int i = 0; i < STEPS; i++)
		if (step(since))
			break;
	state[1] = 1;
	return 0;
}

const char fimk_license[] SEC("license") = "Dual MIT/GPL";
