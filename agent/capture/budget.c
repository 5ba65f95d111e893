/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/budget.h"

#include "core/clock.h"
#include "core/log.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <time.h>
#include <unistd.h>

#define KEEP_MIN (1.0 / 256)
#define CALM     0.8 /* below that part of the limit, connections come back */
#define BACK_MAX 2.0 /* so many times more a second, at most */
#define MEASURE_EVERY                                                                              \
	10 /* looks between two measurements of the programs: measuring slows them                 \
	    */
#define FIRST_MEASURE 2 /* the look that begins the first */
#define SAID_STEP     0.1 /* a change of the share that is worth a line */

double budget_keep(double keep, double load)
{
	if (load > 1)
		keep /= load;
	else if (load < CALM)
		keep *= load * BACK_MAX > CALM ? CALM / load : BACK_MAX;
	if (keep < KEEP_MIN)
		return KEEP_MIN;
	return keep > 1 ? 1 : keep;
}

static uint64_t process_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

static bool is_limited(const struct budget *b)
{
	return b->options.cpus > 0 || b->options.records_per_second;
}

static void read_counts(struct budget *b, uint64_t *ret_seen, uint64_t *ret_emitted)
{
	uint64_t counts[WEFT_COUNT_MAX], missed;

	capture_counts(b->capture, counts, &missed);
	*ret_seen = counts[WEFT_COUNT_SEEN];
	*ret_emitted = counts[WEFT_COUNT_EMITTED];
}

void budget_init(struct budget *b, const struct budget_options *options, struct capture *capture,
	uint64_t now_ns)
{
	*b = (struct budget){.options = *options,
		.capture = capture,
		.keep = 1,
		.read_ns = now_ns,
		.cpu_ns = process_cpu_ns(),
		.stats_fd = -1};
	if (!is_limited(b))
		return;
	read_counts(b, &b->seen, &b->emitted);
	log_info("budget", LOG_INT("cpu_percent", (int64_t)(options->cpus * 100)),
		LOG_INT("records_per_second", options->records_per_second));
}

/* The programs' time, for one second in MEASURE_EVERY. */
static void measure(struct budget *b, uint64_t seen)
{
	if (b->stats_fd >= 0) {
		uint64_t calls = seen - b->stats_seen;

		if (calls)
			b->run_ns_each =
				(double)(capture_run_ns(b->capture) - b->run_ns) / (double)calls;
		close(b->stats_fd);
		b->stats_fd = -1;
		return;
	}
	if (b->looks % MEASURE_EVERY != FIRST_MEASURE)
		return;
	b->stats_fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
	if (b->stats_fd < 0 && b->looks == FIRST_MEASURE)
		log_warn("the programs' own time is not part of the CPU budget",
			LOG_STR("needs", "CAP_SYS_ADMIN"), LOG_INT("errno", errno));
	b->stats_seen = seen;
	b->run_ns = capture_run_ns(b->capture);
}

static void say(double before, double keep, double load)
{
	int64_t percent = (int64_t)((1 - keep) * 100 + 0.5);

	if (before == 1 && keep < 1)
		log_warn("over budget: connections are left out", LOG_INT("percent", percent),
			LOG_INT("load_percent", (int64_t)(load * 100)),
			LOG_STR("limits", "budget.cpu_limit, budget.events_per_second"));
	else if (before < 1 && keep == 1)
		log_info("within budget: every connection is recorded again");
	else if (before - keep > SAID_STEP || keep - before > SAID_STEP)
		log_info("budget: the share of connections left out has changed",
			LOG_INT("percent", percent));
}

static void keep_readings(
	struct budget *b, uint64_t now_ns, uint64_t cpu_ns, uint64_t seen, uint64_t emitted)
{
	b->read_ns = now_ns;
	b->cpu_ns = cpu_ns;
	b->seen = seen;
	b->emitted = emitted;
}

bool budget_tick(struct budget *b, uint64_t now_ns)
{
	uint64_t cpu_ns = process_cpu_ns(), seen, emitted;
	double seconds = (double)(now_ns - b->read_ns) / NS_PER_SEC, load = 0, before = b->keep;

	if (!is_limited(b) || seconds <= 0)
		return false;
	read_counts(b, &seen, &emitted);
	if (!b->looks++) { /* starting is no measure */
		keep_readings(b, now_ns, cpu_ns, seen, emitted);
		return false;
	}
	if (b->options.cpus > 0) {
		double run_ns = (double)(seen - b->seen) * b->run_ns_each;

		measure(b, seen);
		load = ((double)(cpu_ns - b->cpu_ns) + run_ns) / NS_PER_SEC / seconds /
		       b->options.cpus;
	}
	if (b->options.records_per_second) {
		double records = (double)(emitted - b->emitted) / seconds /
				 (double)b->options.records_per_second;

		if (records > load)
			load = records;
	}
	b->keep = budget_keep(b->keep, load);
	keep_readings(b, now_ns, cpu_ns, seen, emitted);
	if (b->keep != before) {
		capture_shed(b->capture, 1 - b->keep);
		say(before, b->keep, load);
	}
	return b->keep < 1 || before < 1;
}

unsigned budget_shed_percent(const struct budget *b)
{
	unsigned percent = (unsigned)((1 - b->keep) * 100 + 0.5);

	return b->keep < 1 && !percent ? 1 : percent;
}

void budget_release(struct budget *b)
{
	if (b->capture && b->stats_fd >= 0)
		close(b->stats_fd);
	b->stats_fd = -1;
}
