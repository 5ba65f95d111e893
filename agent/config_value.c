/* SPDX-License-Identifier: Apache-2.0 */
#include "config_table.h"

#include "capture/rules.h"
#include "core/cleanup.h"
#include "self/http.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>

static int refuse(char ret_reason[static OPTION_REASON_BYTES], const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static int refuse(char ret_reason[static OPTION_REASON_BYTES], const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(ret_reason, OPTION_REASON_BYTES, format, ap);
	va_end(ap);
	return -EINVAL;
}

const char *option_quote(struct slice value, char ret_text[static OPTION_QUOTE_BYTES])
{
	const size_t most = OPTION_QUOTE_BYTES - 8;
	size_t n = 0;

	ret_text[n++] = '"';
	for (size_t i = 0; i < value.len && n < most; i++)
		ret_text[n++] = iscntrl((unsigned char)value.ptr[i]) ? '?' : value.ptr[i];
	snprintf(ret_text + n, OPTION_QUOTE_BYTES - n, "%s\"", value.len + 1 > most ? "..." : "");
	return ret_text;
}

void option_expected(const struct option *o, char *ret_text, size_t cap)
{
	int n;

	switch (o->type) {
	case OPT_CHOICE:
	case OPT_EXPORTERS:
		n = snprintf(ret_text, cap, o->type == OPT_CHOICE ? "one of" : "a list of");
		for (unsigned i = 0; o->choices[i] && n > 0 && (size_t)n < cap; i++)
			n += snprintf(ret_text + n, cap - (size_t)n, "%s %s", i ? "," : "",
				o->choices[i]);
		return;
	case OPT_UINT:
		snprintf(ret_text, cap, "a number from %" PRIu64 " to %" PRIu64, o->min, o->max);
		return;
	case OPT_SIZE:
	case OPT_POWER:
		snprintf(ret_text, cap, "a size from %" PRIu64 "KiB to %" PRIu64 "MiB%s",
			o->min >> 10, o->max >> 20, o->type == OPT_POWER ? ", a power of two" : "");
		return;
	case OPT_MS:
		snprintf(ret_text, cap, "a time from %ums to %us, such as 250ms or 5s",
			(unsigned)o->min, (unsigned)(o->max / 1000));
		return;
	case OPT_SECONDS:
		snprintf(ret_text, cap, "whole seconds, such as 30s or 5m, at most %uh",
			(unsigned)(o->max / 3600));
		return;
	case OPT_BOOL:
		snprintf(ret_text, cap, "true or false");
		return;
	case OPT_RATIO:
		snprintf(ret_text, cap, "a number from 0 to 1");
		return;
	case OPT_TEXT:
		snprintf(ret_text, cap, "text");
		return;
	case OPT_FILE:
		snprintf(ret_text, cap, "a path");
		return;
	case OPT_URL:
		snprintf(ret_text, cap, "a URL");
		return;
	case OPT_LISTEN:
		snprintf(ret_text, cap, "ADDR:PORT such as 127.0.0.1:9464, or off");
		return;
	case OPT_NAMES:
		snprintf(ret_text, cap, "a list of names");
		return;
	case OPT_HEADERS:
	case OPT_ATTRIBUTES:
		snprintf(ret_text, cap, "a map, or text such as k=v,k2=v2");
		return;
	case OPT_INCLUDE:
	case OPT_EXCLUDE:
		snprintf(ret_text, cap,
			"a list of rules, such as exe=GLOB, port=N or namespace=GLOB");
		return;
	}
}

static int refuse_value(
	const struct option *o, struct slice value, char ret_reason[static OPTION_REASON_BYTES])
{
	char quoted[OPTION_QUOTE_BYTES], expected[160];

	option_expected(o, expected, sizeof(expected));
	return refuse(ret_reason, "%s is not %s", option_quote(value, quoted), expected);
}

/* Digits and what follows them. 0, -EINVAL or -ERANGE. */
static int split_number(struct slice value, uint64_t *ret_number, struct slice *ret_unit)
{
	size_t n = 0;

	while (n < value.len && isdigit((unsigned char)value.ptr[n]))
		n++;
	*ret_unit = slice_trim(slice_of(value.ptr + n, value.len - n));
	return slice_u64(slice_of(value.ptr, n), ret_number);
}

struct unit {
	const char *name;
	uint64_t factor;
};

/* number unit, within the option's range. */
static int read_scaled(const struct option *o, struct slice value, const struct unit *units,
	size_t n_units, uint64_t *ret_number)
{
	struct slice unit;
	uint64_t number;

	if (split_number(value, &number, &unit) < 0)
		return -EINVAL;
	for (size_t i = 0; i < n_units; i++) {
		if (!slice_eq(unit, slice_str(units[i].name)))
			continue;
		if (__builtin_mul_overflow(number, units[i].factor, &number) || number < o->min ||
			number > o->max)
			return -ERANGE;
		*ret_number = number;
		return 0;
	}
	return -EINVAL;
}

static const struct unit size_units[] = {
	{"", 1},
	{"B", 1},
	{"K", 1 << 10},
	{"Ki", 1 << 10},
	{"KiB", 1 << 10},
	{"M", 1 << 20},
	{"Mi", 1 << 20},
	{"MiB", 1 << 20},
	{"G", 1 << 30},
	{"Gi", 1 << 30},
	{"GiB", 1 << 30},
};

static const struct unit ms_units[] = {
	{"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 3600 * 1000},
	{"", 1}, /* last: only where a unit may be left out */
};

static const struct unit second_units[] = {{"s", 1}, {"m", 60}, {"h", 3600}};

static void size_text(uint64_t bytes, char *ret_text, size_t cap)
{
	if (bytes >= 1 << 20 && bytes % (1 << 20) == 0)
		snprintf(ret_text, cap, "%" PRIu64 "MiB", bytes >> 20);
	else if (bytes >= 1 << 10 && bytes % (1 << 10) == 0)
		snprintf(ret_text, cap, "%" PRIu64 "KiB", bytes >> 10);
	else
		snprintf(ret_text, cap, "%" PRIu64, bytes);
}

static int read_size(const struct option *o, struct slice value, uint64_t *ret_number,
	char ret_reason[static OPTION_REASON_BYTES])
{
	char low[32], high[32], quoted[OPTION_QUOTE_BYTES];
	uint64_t number = 0, below;

	if (read_scaled(o, value, size_units, ARRAY_SIZE(size_units), &number) < 0)
		return refuse_value(o, value, ret_reason);
	if (o->type == OPT_POWER && (number & (number - 1))) {
		below = 1ull << (63 - __builtin_clzll(number));
		size_text(below, low, sizeof(low));
		size_text(below << 1, high, sizeof(high));
		return refuse(ret_reason, "%s is not a power of two: use %s or %s",
			option_quote(value, quoted), low, high);
	}
	*ret_number = number;
	return 0;
}

static int read_time(const struct option *o, struct slice value, bool bare_ms, uint64_t *ret_number)
{
	if (slice_eq(value, SLICE("0")) && o->min == 0) {
		*ret_number = 0;
		return 0;
	}
	if (o->type == OPT_SECONDS)
		return read_scaled(o, value, second_units, ARRAY_SIZE(second_units), ret_number);
	return read_scaled(o, value, ms_units, ARRAY_SIZE(ms_units) - !bare_ms, ret_number);
}

static int read_bool(struct slice value, uint64_t *ret_value)
{
	static const char *const words[][2] = {
		{"false", "true"}, {"no", "yes"}, {"off", "on"}, {"0", "1"}};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		for (unsigned truth = 0; truth < 2; truth++)
			if (slice_eq_nocase(value, slice_str(words[i][truth]))) {
				*ret_value = truth;
				return 0;
			}
	return -EINVAL;
}

static int read_ratio(struct slice value, double *ret_ratio)
{
	char text[32];
	char *end;
	double ratio;

	/* strtod also reads hexadecimal, inf and nan: only plain decimals pass. */
	if (!value.len || value.len >= sizeof(text))
		return -EINVAL;
	for (size_t i = 0; i < value.len; i++)
		if (!strchr("0123456789.eE-", value.ptr[i]))
			return -EINVAL;
	memcpy(text, value.ptr, value.len);
	text[value.len] = '\0';
	ratio = strtod(text, &end);
	if (*end || !(ratio >= 0 && ratio <= 1))
		return -EINVAL;
	*ret_ratio = ratio;
	return 0;
}

static int read_choice(const struct option *o, struct slice value, uint64_t *ret_value)
{
	for (unsigned i = 0; o->choices[i]; i++)
		if (slice_eq(value, slice_str(o->choices[i]))) {
			*ret_value = i;
			return 0;
		}
	return -EINVAL;
}

static void store_number(const struct option *o, void *field, uint64_t number)
{
	uint32_t wide = (uint32_t)number;
	uint8_t narrow = (uint8_t)number;

	if (o->size == sizeof(narrow))
		memcpy(field, &narrow, sizeof(narrow));
	else
		memcpy(field, &wide, sizeof(wide));
}

static bool has_control(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (iscntrl((unsigned char)s.ptr[i]))
			return true;
	return false;
}

static int store_text(const struct option *o, char *field, struct slice value,
	char ret_reason[static OPTION_REASON_BYTES])
{
	if (value.len >= o->size)
		return refuse(ret_reason, "is longer than %zu bytes", o->size - 1);
	if (has_control(value))
		return refuse(ret_reason, "holds a control character");
	memcpy(field, value.ptr ? value.ptr : "", value.len);
	field[value.len] = '\0';
	return 0;
}

static int store_file(const struct option *o, char *field, struct slice value,
	char ret_reason[static OPTION_REASON_BYTES])
{
	char path[512], quoted[OPTION_QUOTE_BYTES];

	if (!value.len) {
		field[0] = '\0';
		return 0;
	}
	if (value.len >= sizeof(path) || has_control(value))
		return refuse(ret_reason, "%s is not a path", option_quote(value, quoted));
	memcpy(path, value.ptr, value.len);
	path[value.len] = '\0';
	if (access(path, R_OK) < 0)
		return refuse(ret_reason, "cannot read %s: %s", option_quote(value, quoted),
			strerror(errno));
	return store_text(o, field, value, ret_reason);
}

static int store_listen(const struct option *o, char *field, struct slice value,
	char ret_reason[static OPTION_REASON_BYTES])
{
	struct sockaddr_storage addr;
	socklen_t len;
	char text[64];

	if (!value.len || slice_eq(value, SLICE("off"))) {
		field[0] = '\0';
		return 0;
	}
	if (value.len >= sizeof(text))
		return refuse_value(o, value, ret_reason);
	memcpy(text, value.ptr, value.len);
	text[value.len] = '\0';
	if (http_parse_listen(text, &addr, &len) < 0)
		return refuse_value(o, value, ret_reason);
	return store_text(o, field, value, ret_reason);
}

/* A name of a header or a query key; header names are compared in lower case. */
static int add_name(const struct option *o, struct names *names, struct slice value,
	char ret_reason[static OPTION_REASON_BYTES])
{
	char quoted[OPTION_QUOTE_BYTES];
	bool header = strstr(o->key, "_headers") != NULL;

	if (names->n == NAMES_MAX)
		return refuse(ret_reason, "has more than %d names", NAMES_MAX);
	if (!value.len || value.len >= NAMES_TEXT || has_control(value))
		return refuse(ret_reason, "%s is not a name of 1 to %d bytes",
			option_quote(value, quoted), NAMES_TEXT - 1);
	for (size_t i = 0; header && i < value.len; i++)
		if (!isalnum((unsigned char)value.ptr[i]) &&
			!strchr("!#$%&'*+-.^_`|~", value.ptr[i])) /* RFC 9110, 5.6.2 */
			return refuse(
				ret_reason, "%s is not a header name", option_quote(value, quoted));
	for (size_t i = 0; i < value.len; i++)
		names->v[names->n][i] =
			header ? (char)tolower((unsigned char)value.ptr[i]) : value.ptr[i];
	names->v[names->n][value.len] = '\0';
	names->n++;
	return 0;
}

static int add_rule(const struct option *o, struct rules *rules, struct slice value,
	char ret_reason[static OPTION_REASON_BYTES])
{
	char why[RULE_ERROR_BYTES];

	if (rules->n == RULES_MAX)
		return refuse(ret_reason, "more than %d rules in include and exclude", RULES_MAX);
	if (rule_parse(value, o->type == OPT_EXCLUDE, &rules->v[rules->n], why) < 0)
		return refuse(ret_reason, "%s", why);
	rules->n++;
	return 0;
}

static int add_exporter(const struct option *o, struct config *config, struct slice value,
	char ret_reason[static OPTION_REASON_BYTES])
{
	struct export_options *e = &config->export;
	char quoted[OPTION_QUOTE_BYTES];

	if (slice_eq(value, SLICE("otlp")))
		e->otlp = true;
	else if (slice_eq(value, SLICE("terminal")) || slice_eq(value, SLICE("console")))
		e->terminal = true; /* console: OTEL_TRACES_EXPORTER's name for it */
	else if (slice_eq(value, SLICE("json")))
		e->json = true;
	else if (slice_eq(value, SLICE("none")))
		config->exporters_none = true;
	else
		return refuse(ret_reason, "%s is not one of otlp, terminal, json, none",
			option_quote(value, quoted));
	if (config->exporters_none && (e->otlp || e->terminal || e->json))
		return refuse(ret_reason, "none stands alone");
	(void)o;
	return 0;
}

void option_clear(const struct option *o, struct config *config)
{
	struct rules *rules = &config->capture.rules;
	unsigned kept = 0;

	switch (o->type) {
	case OPT_NAMES:
		((struct names *)((char *)config + o->offset))->n = 0;
		break;
	case OPT_EXPORTERS:
		config->export.otlp = config->export.terminal = config->export.json = false;
		config->exporters_none = false;
		break;
	case OPT_INCLUDE:
	case OPT_EXCLUDE:
		for (unsigned i = 0; i < rules->n; i++)
			if (rules->v[i].exclude != (o->type == OPT_EXCLUDE))
				rules->v[kept++] = rules->v[i];
		rules->n = kept;
		break;
	case OPT_HEADERS:
	case OPT_ATTRIBUTES:
		*((char *)config + o->offset) = '\0';
		break;
	default:
		break;
	}
}

static int set_number(const struct option *o, void *field, struct slice value, bool bare_ms,
	char ret_reason[static OPTION_REASON_BYTES])
{
	uint64_t number = 0;
	int r;

	switch (o->type) {
	case OPT_CHOICE:
		r = read_choice(o, value, &number);
		break;
	case OPT_BOOL:
		r = read_bool(value, &number);
		break;
	case OPT_UINT:
		r = slice_u64(value, &number);
		if (r == 0 && (number < o->min || number > o->max))
			r = -ERANGE;
		break;
	default:
		r = read_time(o, value, bare_ms, &number);
	}
	if (r < 0)
		return refuse_value(o, value, ret_reason);
	store_number(o, field, number);
	return 0;
}

int option_set(const struct option *o, struct config *config, struct slice value, bool bare_ms,
	char ret_reason[static OPTION_REASON_BYTES])
{
	void *field = (char *)config + o->offset;
	uint64_t number = 0;

	switch (o->type) {
	case OPT_CHOICE:
	case OPT_BOOL:
	case OPT_UINT:
	case OPT_MS:
	case OPT_SECONDS:
		return set_number(o, field, value, bare_ms, ret_reason);
	case OPT_SIZE:
	case OPT_POWER:
		if (read_size(o, value, &number, ret_reason) < 0)
			return -EINVAL;
		store_number(o, field, number);
		return 0;
	case OPT_RATIO:
		if (read_ratio(value, field) < 0)
			return refuse_value(o, value, ret_reason);
		return 0;
	case OPT_TEXT:
	case OPT_URL:
		return store_text(o, field, value, ret_reason);
	case OPT_FILE:
		return store_file(o, field, value, ret_reason);
	case OPT_LISTEN:
		return store_listen(o, field, value, ret_reason);
	case OPT_NAMES:
		return add_name(o, field, value, ret_reason);
	case OPT_INCLUDE:
	case OPT_EXCLUDE:
		return add_rule(o, field, value, ret_reason);
	case OPT_EXPORTERS:
		return add_exporter(o, config, value, ret_reason);
	case OPT_HEADERS:
	case OPT_ATTRIBUTES:
		return option_set_pairs(o, config, value, ret_reason);
	}
	return -EINVAL;
}
