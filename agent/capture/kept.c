/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/kept.h"

#include <bpf/bpf.h>
#include <string.h>

void kept_init(struct kept *k, int map_fd, volatile struct weft_control *control)
{
	k->map_fd = map_fd;
	k->control = control;
}

void kept_fetch(struct kept *k)
{
	while (k->n < KEPT_BATCH && k->fetched != k->control->ends_kept) {
		if (bpf_map_lookup_and_delete_elem(k->map_fd, NULL, &k->v[k->n]))
			return;
		k->n++;
		k->fetched++;
	}
}

int kept_deliver(struct kept *k, uint64_t begun_ns, bool all, kept_handler handler, void *ctx)
{
	unsigned total = k->n, done = 0;

	while (done < k->n && (all || k->v[done].head.time_ns + KEPT_MARGIN_NS < begun_ns)) {
		handler(ctx, &k->v[done], k->v[done].head.size);
		done++;
	}
	if (!done)
		return (int)total;
	k->n -= done;
	memmove(k->v, k->v + done, k->n * sizeof(k->v[0]));
	/* last: from here on the programs put ends into the ring buffer again, behind these */
	k->control->ends_taken += done;
	return (int)total;
}
