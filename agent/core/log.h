/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: one line an event on stderr, logfmt or JSON, each line one write(2). Thread-safe.
 * Only wiring, exporters and self log; the stages count. Values must not hold secrets.
 *
 *   log_info("attached", LOG_STR("hooks", "sock"), LOG_INT("programs", 7));
 */
#pragma once
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_LOGFMT, LOG_JSON };

struct log_field {
	const char *key;
	const char *str; /* NULL: the number counts */
	int64_t num;
};

static inline struct log_field log_str(const char *key, const char *value)
{
	return (struct log_field){.key = key, .str = value ? value : ""};
}

#define LOG_STR(k, v) log_str(k, v)
#define LOG_INT(k, v) ((struct log_field){.key = (k), .num = (int64_t)(v)})

/* Both may be called again at a reload. Before the first call: info, logfmt. */
void log_set(enum log_level level, enum log_format format);
bool log_wants(enum log_level level);

/* Writes one line: time, level, msg, then the fields. Cut at 4096 bytes. */
void log_event(enum log_level level, const char *msg, const struct log_field *fields, int n);

/* Lets at most one line pass each interval_ns; *ret_suppressed counts the ones held back since.
 * state starts zeroed; safe from several threads. */
struct log_limit {
	uint64_t next_ns;
	uint64_t held;
};
bool log_limit_pass(struct log_limit *limit, uint64_t interval_ns, uint64_t *ret_suppressed);

#define LOG_EVENT_(level, msg, ...)                                                                \
	do {                                                                                       \
		if (log_wants(level)) {                                                            \
			const struct log_field fields_[] = {{0}, ##__VA_ARGS__};                   \
			log_event(level, msg, fields_ + 1,                                         \
				(int)(sizeof(fields_) / sizeof(fields_[0])) - 1);                  \
		}                                                                                  \
	} while (0)

#define log_debug(...) LOG_EVENT_(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  LOG_EVENT_(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  LOG_EVENT_(LOG_WARN, __VA_ARGS__)
#define log_error(...) LOG_EVENT_(LOG_ERROR, __VA_ARGS__)
