/* SPDX-License-Identifier: Apache-2.0 */
/* The one table of options, and what reads and writes one option. For config_*.c and its tests. */
#pragma once
#include "config.h"
#include "core/slice.h"

#define OPTION_ENV_MAX      3
#define OPTION_REASON_BYTES 384

enum option_type {
	OPT_CHOICE, /* index into choices; stored in 1 or 4 bytes */
	OPT_UINT,
	OPT_SIZE, /* bytes, written 4MiB */
	OPT_POWER, /* the same, a power of two */
	OPT_MS, /* written 250ms, 5s, 1m */
	OPT_SECONDS, /* the same, stored in seconds */
	OPT_BOOL,
	OPT_RATIO, /* double, 0 to 1 */
	OPT_TEXT,
	OPT_FILE, /* a file that can be read */
	OPT_URL, /* user and password are masked */
	OPT_LISTEN, /* address:port, or off */
	OPT_NAMES, /* list, struct names */
	OPT_HEADERS, /* name=value, percent-encoded; secret */
	OPT_ATTRIBUTES, /* key=value, percent-encoded */
	OPT_INCLUDE, /* list, struct rules */
	OPT_EXCLUDE,
	OPT_EXPORTERS, /* list, flags in struct config */
};

struct option {
	const char *key; /* path in the YAML file */
	const char *flag; /* without the dashes */
	const char *env[OPTION_ENV_MAX]; /* later ones win; "!NAME": its presence means false */
	const char *arg; /* what stands for the value in --help */
	enum option_type type;
	bool reload; /* takes effect at SIGHUP */
	bool common; /* stands in the short --help */
	size_t offset; /* in struct config */
	size_t size; /* of the field */
	uint64_t min, max;
	const char *const *choices; /* ends with NULL */
	const char *def; /* as it would be written */
	const char *help;
};

extern const struct option options[];
extern const unsigned option_count;

/* The option's index, or -1. */
int option_by_key(struct slice key);
int option_by_flag(struct slice flag);

/* The known name nearest to a misspelt one, NULL or empty if none is near. Keys also match by their
 * last part, and may be a section's name. */
struct slice option_near_key(struct slice key);
const char *option_near_flag(struct slice flag);
const char *option_near_env(struct slice name);

static inline bool option_is_list(const struct option *o)
{
	return o->type == OPT_NAMES || o->type == OPT_INCLUDE || o->type == OPT_EXCLUDE ||
	       o->type == OPT_EXPORTERS;
}

/* Lists: removes all items. Else nothing. */
void option_clear(const struct option *o, struct config *config);

/* Sets the value, or appends one item to a list. bare_ms: a duration without a unit is in ms. 0, or
 * -EINVAL and why (holds no secret). */
int option_set(const struct option *o, struct config *config, struct slice value, bool bare_ms,
	char ret_reason[static OPTION_REASON_BYTES]);

/* HEADERS, ATTRIBUTES: appends one pair, given literally. */
int option_set_pair(const struct option *o, struct config *config, struct slice name,
	struct slice value, char ret_reason[static OPTION_REASON_BYTES]);

/* HEADERS, ATTRIBUTES: replaces the value by "k=v,k2=v2", percent-encoded. */
int option_set_pairs(const struct option *o, struct config *config, struct slice text,
	char ret_reason[static OPTION_REASON_BYTES]);

/* What the option accepts: "one of auto, fentry, sock, syscalls". */
void option_expected(const struct option *o, char *ret_text, size_t cap);

/* The value as YAML, secrets masked; cut to cap. */
void option_format(const struct option *o, const struct config *config, char *ret_text, size_t cap);

/* value in double quotes, control bytes replaced, cut: for messages. */
#define OPTION_QUOTE_BYTES 96
const char *option_quote(struct slice value, char ret_text[static OPTION_QUOTE_BYTES]);
