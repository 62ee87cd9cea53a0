/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 OR MIT */
/* Counters per hook and cause. Each hook has one program, which never runs twice at once on a CPU: a plain
 * increment suffices, and 5.10 has no other that tells nothing back. */
#ifndef FIMK_COUNTERS_H
#define FIMK_COUNTERS_H

#include "fimk.h"
#include <bpf/bpf_helpers.h>

static __always_inline void count_in(void *counters, __u32 hook, enum fimk_count cause)
{
	struct fimk_counters *of = bpf_map_lookup_elem(counters, &hook);

	if (of)
		of->of[cause]++;
}

#endif
