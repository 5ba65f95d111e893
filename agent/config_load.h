/* SPDX-License-Identifier: Apache-2.0 */
/* What the sources of the configuration share while it is read. For config*.c only. */
#pragma once
#include "config_table.h"

struct config_load {
	struct config *config;
	struct config_errors *errors;
	bool quiet_file; /* a missing file is no error */
};

/* Notes an error; no more than CONFIG_ERRORS_MAX are kept. */
void config_error(struct config_errors *errors, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Readies an option for a value of this source: a list of a lesser source is emptied. */
void config_begin(struct config_load *load, unsigned option, struct config_origin origin);

/* "/etc/weft.yaml:12: capture.hooks", "WEFT_HOOKS" or "--hooks": where an option's value came from.
 */
void config_place(const struct config *config, unsigned option, char *ret_text, size_t cap);

/* Splits at commas and sets a scalar or the items of a list; errors name `place`. */
void config_set_text(struct config_load *load, unsigned option, const char *place,
	struct slice text, bool split, bool bare_ms);

/* Fills export.otlp_traces.endpoint from what was given, by the rules of the OTLP exporter. */
void config_resolve_endpoint(struct config_load *load);

void config_read_yaml(struct config_load *load, const char *path);
void config_read_env(struct config_load *load);
