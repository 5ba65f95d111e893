/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"
#include "config_load.h"

#include "core/cleanup.h"

#include <errno.h>

void config_error(struct config_errors *errors, const char *format, ...)
{
	va_list ap;

	if (errors->n == CONFIG_ERRORS_MAX) {
		errors->further++;
		return;
	}
	va_start(ap, format);
	vsnprintf(errors->text[errors->n++], CONFIG_ERROR_BYTES, format, ap);
	va_end(ap);
}

void config_begin(struct config_load *load, unsigned option, struct config_origin origin)
{
	struct config_origin *now = &load->config->origin[option];

	/* Only a flag may be repeated to lengthen a list. */
	if (now->source != SOURCE_FLAG)
		option_clear(&options[option], load->config);
	*now = origin;
}

void config_place(const struct config *config, unsigned option, char *ret_text, size_t cap)
{
	const struct config_origin *origin = &config->origin[option];

	switch (origin->source) {
	case SOURCE_DEFAULT:
		snprintf(ret_text, cap, "%s", options[option].key);
		break;
	case SOURCE_FILE:
		snprintf(ret_text, cap, "%s:%u: %s", config->file, origin->line,
			options[option].key);
		break;
	case SOURCE_ENV:
		snprintf(ret_text, cap, "%s", origin->env);
		break;
	case SOURCE_FLAG:
		snprintf(ret_text, cap, "--%s", options[option].flag);
		break;
	}
}

void config_set_text(struct config_load *load, unsigned option, const char *place,
	struct slice text, bool split, bool bare_ms)
{
	const struct option *o = &options[option];
	char reason[OPTION_REASON_BYTES];

	do {
		bool items = split && option_is_list(o);
		struct slice item = slice_trim(items ? slice_cut(&text, ',') : text);

		if (items && !item.len)
			continue;
		if (option_set(o, load->config, item, bare_ms, reason) < 0)
			config_error(load->errors, "%s: %s", place, reason);
		if (!items)
			break;
	} while (text.len);
}

static void read_defaults(struct config_load *load)
{
	memset(load->config, 0, sizeof(*load->config));
	for (unsigned i = 0; i < option_count; i++)
		if (options[i].def[0])
			config_set_text(
				load, i, options[i].key, slice_str(options[i].def), true, false);
}

/* "--name=value" or "--name" and perhaps the next argument. */
struct flag {
	struct slice name;
	const char *value; /* NULL: none after "=" */
};

static bool flag_split(const char *arg, struct flag *ret_flag)
{
	const char *equals;

	if (strncmp(arg, "--", 2) != 0 || !arg[2])
		return false;
	equals = strchr(arg, '=');
	ret_flag->name = slice_of(arg + 2, equals ? (size_t)(equals - arg) - 2 : strlen(arg) - 2);
	ret_flag->value = equals ? equals + 1 : NULL;
	return true;
}

static bool is_config_flag(const char *arg, const char **ret_value)
{
	struct flag flag;

	if (strcmp(arg, "-c") == 0) {
		*ret_value = NULL;
		return true;
	}
	if (!flag_split(arg, &flag) || !slice_eq(flag.name, SLICE("config")))
		return false;
	*ret_value = flag.value;
	return true;
}

/* The file named by flags or environment; NULL: the usual one, if it exists. */
static const char *find_file(int argc, char *const *argv)
{
	const char *path = getenv("WEFT_CONFIG");
	const char *value;

	for (int i = 0; i < argc; i++)
		if (is_config_flag(argv[i], &value))
			path = value ? value : i + 1 < argc ? argv[++i] : path;
	return path && *path ? path : NULL;
}

/* "--no-color": the option without "no-" if it is a bool, -1 else. */
static int negated(struct slice name)
{
	int option;

	if (!slice_starts(name, SLICE("no-")))
		return -1;
	option = option_by_flag(slice_of(name.ptr + 3, name.len - 3));
	return option >= 0 && options[option].type == OPT_BOOL ? option : -1;
}

static void refuse_flag(struct config_load *load, const char *arg, const struct flag *flag)
{
	const char *near = flag ? option_near_flag(flag->name) : NULL;
	char quoted[OPTION_QUOTE_BYTES];

	if (!flag)
		config_error(load->errors, "unexpected argument %s",
			option_quote(slice_str(arg), quoted));
	else if (near)
		config_error(load->errors, "--%.*s: unknown flag (did you mean --%s?)",
			(int)flag->name.len, flag->name.ptr, near);
	else
		config_error(load->errors, "--%.*s: unknown flag (--help-all lists all)",
			(int)flag->name.len, flag->name.ptr);
}

static void read_flags(struct config_load *load, int argc, char *const *argv)
{
	for (int i = 0; i < argc; i++) {
		struct flag flag;
		const char *value;
		char place[64];
		int option;

		if (is_config_flag(argv[i], &value)) {
			if (!value && ++i >= argc)
				config_error(load->errors, "--config: needs a value");
			continue;
		}
		if (!flag_split(argv[i], &flag)) {
			refuse_flag(load, argv[i], NULL);
			continue;
		}
		option = option_by_flag(flag.name);
		if (option < 0 && !flag.value) {
			option = negated(flag.name);
			flag.value = "false";
		}
		if (option < 0) {
			refuse_flag(load, argv[i], &flag);
			continue;
		}
		if (!flag.value && options[option].type == OPT_BOOL)
			flag.value = "true";
		else if (!flag.value && i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0)
			flag.value = argv[++i];
		snprintf(place, sizeof(place), "--%s", options[option].flag);
		if (!flag.value) {
			config_error(load->errors, "%s: needs a value", place);
			continue;
		}
		config_begin(load, (unsigned)option, (struct config_origin){.source = SOURCE_FLAG});
		config_set_text(load, (unsigned)option, place, slice_str(flag.value),
			options[option].type == OPT_NAMES || options[option].type == OPT_EXPORTERS,
			false);
	}
}

static bool is_given(const struct config *config, const char *key)
{
	return config->origin[option_by_key(slice_str(key))].source != SOURCE_DEFAULT;
}

static void pick_exporters(struct config *config)
{
	if (config->exporters_none || config->export.otlp || config->export.terminal ||
		config->export.json)
		return;
	if (config->otlp_endpoint[0] || config->otlp_traces_endpoint[0])
		config->export.otlp = true;
	else
		config->export.terminal = true;
}

static void check_together(struct config_load *load)
{
	const struct config *c = load->config;
	const struct otlp_options *otlp = &c->export.otlp_traces;
	char place[400];

	if (!otlp->client_key[0] != !otlp->client_certificate[0]) {
		const char *have =
			otlp->client_key[0] ? "otlp.client_key" : "otlp.client_certificate";
		const char *lack =
			otlp->client_key[0] ? "otlp.client_certificate" : "otlp.client_key";

		config_place(c, (unsigned)option_by_key(slice_str(have)), place, sizeof(place));
		config_error(load->errors, "%s: needs %s as well", place, lack);
	}
	if (c->export.batch_bytes > c->export.queue_bytes) {
		bool batch = is_given(c, "export.batch_bytes");

		config_place(c,
			(unsigned)option_by_key(
				batch ? SLICE("export.batch_bytes") : SLICE("export.queue_bytes")),
			place, sizeof(place));
		config_error(load->errors,
			"%s: export.batch_bytes (%u) is more than export.queue_bytes (%u)", place,
			c->export.batch_bytes, c->export.queue_bytes);
	}
	if (!load->errors->n && is_given(c, "exporters") && !c->exporters_none && !c->export.otlp &&
		!c->export.terminal && !c->export.json) {
		config_place(c, (unsigned)option_by_key(SLICE("exporters")), place, sizeof(place));
		config_error(load->errors, "%s: is empty (none is called none)", place);
	}
}

int config_load(
	int argc, char *const *argv, struct config *ret_config, struct config_errors *ret_errors)
{
	const char *path = find_file(argc, argv);
	_free_ struct config *config = malloc(sizeof(*config));
	struct config_load load = {
		.config = config, .errors = ret_errors, .quiet_file = path == NULL};

	ret_errors->n = 0;
	ret_errors->further = 0;
	if (!config) {
		config_error(ret_errors, "out of memory");
		return -EINVAL;
	}
	read_defaults(&load);
	config_read_yaml(&load, path ? path : CONFIG_FILE);
	config_read_env(&load);
	read_flags(&load, argc, argv);
	check_together(&load);
	pick_exporters(config);
	config_resolve_endpoint(&load);
	if (ret_errors->n)
		return -EINVAL;
	*ret_config = *config;
	return 0;
}

static bool is_text(enum option_type type)
{
	return type == OPT_TEXT || type == OPT_FILE || type == OPT_URL || type == OPT_HEADERS ||
	       type == OPT_ATTRIBUTES || type == OPT_LISTEN;
}

static bool differs(const struct option *o, const struct config *old, const struct config *new)
{
	char before[1024], after[1024];

	if (is_text(o->type))
		return strcmp((const char *)old + o->offset, (const char *)new + o->offset) != 0;
	option_format(o, old, before, sizeof(before));
	option_format(o, new, after, sizeof(after));
	return strcmp(before, after) != 0;
}

unsigned config_restart_keys(
	const struct config *old, const struct config *new, char *ret_keys, size_t cap)
{
	unsigned found = 0;
	size_t len = 0;

	ret_keys[0] = '\0';
	for (unsigned i = 0; i < option_count; i++) {
		if (options[i].reload || !differs(&options[i], old, new))
			continue;
		found++;
		if (len < cap)
			len += (size_t)snprintf(
				ret_keys + len, cap - len, "%s%s", len ? ", " : "", options[i].key);
	}
	return found;
}
