/* SPDX-License-Identifier: Apache-2.0 */
#include "trace/sampler.h"

/*
 * TraceIdRatioBased leaves the algorithm open. This is the one of the Go SDK (and, but for the
 * lowest bit, of Python's): the id's last 8 bytes, big-endian, as a number of 63 bits below ratio *
 * 2^63. A lower ratio keeps a subset of what a higher one keeps.
 */
static bool sample_ratio(double ratio, const uint8_t trace_id[static TRACE_ID_LEN])
{
	uint64_t low = 0;

	if (ratio >= 1)
		return true;
	if (!(ratio > 0)) /* NaN too */
		return false;
	for (int i = 8; i < TRACE_ID_LEN; i++)
		low = low << 8 | trace_id[i];
	return low >> 1 < (uint64_t)(ratio * (double)(1ull << 63));
}

bool sampler_decide(const struct sampler_options *options, struct sampler_parent parent,
	const uint8_t trace_id[static TRACE_ID_LEN])
{
	switch (options->sampler) {
	case SAMPLER_ALWAYS_ON:
		return true;
	case SAMPLER_ALWAYS_OFF:
		return false;
	case SAMPLER_RATIO:
		return sample_ratio(options->ratio, trace_id);
	case SAMPLER_PARENT_ALWAYS_ON:
		return !parent.has_parent || parent.sampled;
	case SAMPLER_PARENT_ALWAYS_OFF:
		return parent.has_parent && parent.sampled;
	case SAMPLER_PARENT_RATIO:
		return parent.has_parent ? parent.sampled : sample_ratio(options->ratio, trace_id);
	}
	return true;
}
