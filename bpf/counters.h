/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 OR MIT */
/* Counters per hook and cause. One program never runs twice at once on a CPU, so a plain increment suffices;
 * not where two programs share a hook's counters, of which one may lie preempted inside its own. */
#ifndef FIMK_COUNTERS_H
#define FIMK_COUNTERS_H

#include "fimk.h"
#include <bpf/bpf_helpers.h>

static __always_inline void count_at(struct fimk_counters *of, enum fimk_count cause, bool shared)
{
	if (shared)
		__sync_fetch_and_add(&of->of[cause], 1);
	else
		of->of[cause]++;
}

static __always_inline void count_in(void *counters, __u32 hook, enum fimk_count cause, bool shared)
{
	struct fimk_counters *of = bpf_map_lookup_elem(counters, &hook);

	if (of)
		count_at(of, cause, shared);
}

#endif
