/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration for people: as YAML, as --help, as the reference in the README. */
#include "config.h"
#include "config_load.h"

#include "capture/rules.h"
#include "core/cleanup.h"
#include "core/url.h"
#include "core/wrap.h"

#include <ctype.h>
#include <inttypes.h>

struct text {
	char *buf;
	size_t cap, len;
};

static void put(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct text *t, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(t->buf + t->len, t->cap - t->len, format, ap);
	va_end(ap);
	if (n > 0)
		t->len = t->len + (size_t)n < t->cap ? t->len + (size_t)n : t->cap - 1;
}

/* A YAML word if it is plainly one, else in double quotes. */
static void put_word(struct text *t, const char *word)
{
	bool plain = isalpha((unsigned char)word[0]) || word[0] == '/';

	for (const char *p = word; *p && plain; p++)
		plain = isalnum((unsigned char)*p) || strchr("_-./", *p);
	for (const char *const *w = (const char *const[]){"true", "false", "null", "yes", "no",
		     "on", "off", NULL};
		*w; w++)
		plain = plain && strcasecmp(word, *w) != 0;
	if (plain) {
		put(t, "%s", word);
		return;
	}
	put(t, "\"");
	for (const char *p = word; *p; p++)
		put(t, *p == '"' || *p == '\\' ? "\\%c" : "%c", *p);
	put(t, "\"");
}

static void put_size(struct text *t, uint64_t bytes)
{
	if (bytes >= 1 << 20 && bytes % (1 << 20) == 0)
		put(t, "%" PRIu64 "MiB", bytes >> 20);
	else if (bytes >= 1 << 10 && bytes % (1 << 10) == 0)
		put(t, "%" PRIu64 "KiB", bytes >> 10);
	else
		put(t, "%" PRIu64, bytes);
}

static void put_ms(struct text *t, uint64_t ms)
{
	if (ms == 0)
		put(t, "0");
	else if (ms % 60000 == 0)
		put(t, "%" PRIu64 "m", ms / 60000);
	else if (ms % 1000 == 0)
		put(t, "%" PRIu64 "s", ms / 1000);
	else
		put(t, "%" PRIu64 "ms", ms);
}

static void put_names(struct text *t, const struct names *names)
{
	put(t, "[");
	for (unsigned i = 0; i < names->n; i++) {
		put(t, "%s", i ? ", " : "");
		put_word(t, names->v[i]);
	}
	put(t, "]");
}

static void put_rules(struct text *t, const struct rules *rules, bool exclude)
{
	const char *between = "";

	put(t, "[");
	for (unsigned i = 0; i < rules->n; i++) {
		const struct rule *rule = &rules->v[i];

		if (rule->exclude != exclude)
			continue;
		put(t, "%s{%s: ", between, rule_kind_name(rule->kind));
		if (rule->kind == RULE_PID || rule->kind == RULE_PORT)
			put(t, "%u", rule->number);
		else
			put_word(t, rule->text);
		put(t, "}");
		between = ", ";
	}
	put(t, "]");
}

static void put_exporters(struct text *t, const struct config *config)
{
	const struct export_options *e = &config->export;
	const char *between = "";

	put(t, "[");
	if (config->exporters_none)
		put(t, "none");
	for (unsigned i = 0; i < 3; i++) {
		bool on = i == 0 ? e->otlp : i == 1 ? e->terminal : e->json;

		if (!on)
			continue;
		put(t, "%s%s", between, i == 0 ? "otlp" : i == 1 ? "terminal" : "json");
		between = ", ";
	}
	put(t, "]");
}

/* The names stay, the values go. */
static void put_headers(struct text *t, const char *headers)
{
	struct slice rest = slice_str(headers);
	const char *between = "";

	put(t, "{");
	while (rest.len) {
		struct slice item = slice_cut(&rest, ',');
		struct slice name = slice_cut(&item, '=');

		put(t, "%s%.*s: \"****\"", between, (int)name.len, name.ptr);
		between = ", ";
	}
	put(t, "}");
}

static uint64_t number_of(const struct option *o, const void *field)
{
	uint32_t wide;
	uint8_t narrow;

	if (o->size == sizeof(narrow)) {
		memcpy(&narrow, field, sizeof(narrow));
		return narrow;
	}
	memcpy(&wide, field, sizeof(wide));
	return wide;
}

void option_format(const struct option *o, const struct config *config, char *ret_text, size_t cap)
{
	const void *field = (const char *)config + o->offset;
	struct text t = {ret_text, cap, 0};
	char masked[1100];

	ret_text[0] = '\0';
	switch (o->type) {
	case OPT_CHOICE:
		put_word(&t, o->choices[number_of(o, field)]);
		break;
	case OPT_UINT:
		put(&t, "%" PRIu64, number_of(o, field));
		break;
	case OPT_SIZE:
	case OPT_POWER:
		put_size(&t, number_of(o, field));
		break;
	case OPT_MS:
		put_ms(&t, number_of(o, field));
		break;
	case OPT_SECONDS:
		put_ms(&t, number_of(o, field) * 1000);
		break;
	case OPT_BOOL:
		put(&t, "%s", number_of(o, field) ? "true" : "false");
		break;
	case OPT_RATIO:
		put(&t, "%.6g", *(const double *)field);
		break;
	case OPT_TEXT:
	case OPT_FILE:
	case OPT_ATTRIBUTES:
		put_word(&t, field);
		break;
	case OPT_LISTEN:
		put_word(&t, *(const char *)field ? field : (const void *)"off");
		break;
	case OPT_URL:
		url_mask(field, masked, sizeof(masked));
		put_word(&t, masked);
		break;
	case OPT_HEADERS:
		put_headers(&t, field);
		break;
	case OPT_NAMES:
		put_names(&t, field);
		break;
	case OPT_INCLUDE:
	case OPT_EXCLUDE:
		put_rules(&t, field, o->type == OPT_EXCLUDE);
		break;
	case OPT_EXPORTERS:
		put_exporters(&t, config);
		break;
	}
}

#define VALUE_BYTES 8192

static void print_origin(const struct config_origin *origin, const struct option *o, FILE *out)
{
	switch (origin->source) {
	case SOURCE_DEFAULT:
		fprintf(out, "default");
		break;
	case SOURCE_FILE:
		fprintf(out, "line %u", origin->line);
		break;
	case SOURCE_ENV:
		fprintf(out, "%s", origin->env);
		break;
	case SOURCE_FLAG:
		fprintf(out, "--%s", o->flag);
		break;
	}
}

/* The option's section, "" at the top. */
static struct slice section_of(const struct option *o)
{
	const char *dot = strchr(o->key, '.');

	return slice_of(o->key, dot ? (size_t)(dot - o->key) : 0);
}

void config_print(const struct config *config, FILE *out)
{
	_free_ char *value = malloc(VALUE_BYTES);
	struct slice section = {0};

	if (!value)
		return;
	fprintf(out, "# file: %s\n", config->file[0] ? config->file : "none");
	for (unsigned i = 0; i < option_count; i++) {
		const struct option *o = &options[i];
		struct slice own = section_of(o);
		int column;

		if (!slice_eq(own, section)) {
			fprintf(out, "%.*s:\n", (int)own.len, own.ptr);
			section = own;
		}
		option_format(o, config, value, VALUE_BYTES);
		column = fprintf(out, "%s%s: %s", own.len ? "  " : "",
			own.len ? o->key + own.len + 1 : o->key, value);
		fprintf(out, "%*s# ", column < 46 ? 46 - column : 1, "");
		print_origin(&config->origin[i], o, out);
		fprintf(out, "\n");
	}
	if (config->export.otlp) {
		url_mask(config->export.otlp_traces.endpoint, value, VALUE_BYTES);
		fprintf(out, "# traces go to %s\n", value);
	}
}

#define FLAG_COLUMN 28
#define HELP_WIDTH  51

static void print_flag(FILE *out, const struct option *o, bool all)
{
	char help[700];
	struct text t = {help, sizeof(help), 0};
	int column = fprintf(out, "  --%s%s%s", o->flag, o->arg ? " " : "", o->arg ? o->arg : "");

	if (column >= FLAG_COLUMN)
		fprintf(out, "\n%*s", FLAG_COLUMN, "");
	else
		fprintf(out, "%*s", FLAG_COLUMN - column, "");
	put(&t, "%s", o->help);
	if (o->type == OPT_CHOICE || o->type == OPT_EXPORTERS)
		for (unsigned i = 0; o->choices[i]; i++)
			put(&t, "%s%s", i ? ", " : ": ", o->choices[i]);
	if (o->def[0])
		put(&t, " (default %s)", o->def);
	if (all) {
		put(&t, " [%s", o->key);
		for (unsigned i = 0; i < OPTION_ENV_MAX && o->env[i]; i++)
			put(&t, ", %s", o->env[i] + (o->env[i][0] == '!'));
		put(&t, "]");
	}
	wrap_print(out, help, FLAG_COLUMN, HELP_WIDTH);
}

void config_print_flags(FILE *out, bool all)
{
	fprintf(out, "  -c, --config FILE         YAML; default %s, if it is there\n", CONFIG_FILE);
	for (unsigned i = 0; i < option_count; i++)
		if (all || options[i].common)
			print_flag(out, &options[i], all);
}

void config_print_reference(FILE *out)
{
	fprintf(out,
		"| key in YAML | flag | environment | value | default | reload | what it does |\n"
		"|---|---|---|---|---|---|---|\n");
	for (unsigned i = 0; i < option_count; i++) {
		const struct option *o = &options[i];
		char expected[200];

		option_expected(o, expected, sizeof(expected));
		fprintf(out, "| `%s` | `--%s` | ", o->key, o->flag);
		for (unsigned j = 0; j < OPTION_ENV_MAX && o->env[j]; j++)
			fprintf(out, "%s`%s`", j ? ", " : "", o->env[j] + (o->env[j][0] == '!'));
		fprintf(out, " | %s | %s%s%s | %s | %s |\n", expected, o->def[0] ? "`" : "", o->def,
			o->def[0] ? "`" : "", o->reload ? "yes" : "", o->help);
	}
}
