/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration: defaults, then the YAML file, then the environment, then flags; each source
 * wins over the ones before it, and a list given by one replaces the whole list. The one table of
 * options is config_table.c.
 */
#pragma once
#include "capture/options.h"
#include "core/log.h"
#include "enrich/options.h"
#include "export/options.h"
#include "span/options.h"
#include "trace/options.h"

#include <stdio.h>

#define CONFIG_FILE                                                                                \
	"/etc/weft.yaml" /* read if it is there; --config and WEFT_CONFIG name another */
#define CONFIG_OPTIONS_MAX 64
#define CONFIG_ERRORS_MAX  20
#define CONFIG_ERROR_BYTES 512

enum config_source { SOURCE_DEFAULT, SOURCE_FILE, SOURCE_ENV, SOURCE_FLAG };

struct config_origin {
	enum config_source source;
	unsigned line; /* FILE */
	const char *env; /* ENV: the variable's name, static */
};

struct config {
	struct capture_options capture;
	unsigned max_exchanges;
	unsigned max_resources;
	struct kubernetes_options kubernetes;
	struct span_options span;
	struct trace_options trace;
	struct export_options export; /* otlp_traces.endpoint is resolved: ready to use */

	char service_name[256]; /* OTEL_SERVICE_NAME; empty: found per process */
	char resource_attributes[4096]; /* OTEL_RESOURCE_ATTRIBUTES, "k=v,…", values percent-encoded
					 */

	enum log_level log_level;
	enum log_format log_format;
	char listen[64]; /* address:port of the HTTP endpoints; empty: off */
	unsigned drain_ms; /* longest time for sending what is left at shutdown */
	unsigned status_seconds; /* between two status lines; 0: none */

	/* As given; what they come to is in `export`. */
	char otlp_endpoint[1024];
	char otlp_traces_endpoint[1024];
	bool exporters_none;

	char file[256]; /* the file read; empty if none was */
	struct config_origin origin[CONFIG_OPTIONS_MAX]; /* of each option, in the table's order */
};

struct config_errors {
	unsigned n; /* in text */
	unsigned further; /* that did not fit */
	char text[CONFIG_ERRORS_MAX][CONFIG_ERROR_BYTES]; /* no "weft: " in front, no newline */
};

/* Reads every source. argv: flags only, no program or command name. Can be called again for a
 * reload: the result depends on the file as it is now. 0, or -EINVAL with the errors told;
 * ret_config is untouched then. */
int config_load(
	int argc, char *const *argv, struct config *ret_config, struct config_errors *ret_errors);

/* Names the options that differ and are not reloadable, comma separated, cut to cap. Their number.
 */
unsigned config_restart_keys(
	const struct config *old, const struct config *new, char *ret_keys, size_t cap);

/* The effective configuration as YAML, each value with its origin; secrets masked. */
void config_print(const struct config *config, FILE *out);

/* The flags, the common ones only or all of them, for --help. */
void config_print_flags(FILE *out, bool all);

/* The table of all options in Markdown. */
void config_print_reference(FILE *out);
