/* SPDX-License-Identifier: Apache-2.0 */
#include "config_load.h"

#include "core/cleanup.h"

/* An empty variable counts as unset (OpenTelemetry, "Environment Variable Specification"). */
static const char *env_value(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

static void read_one(struct config_load *load, unsigned option, const char *name)
{
	bool presence = name[0] == '!';
	const char *value = env_value(name + presence);

	if (!value)
		return;
	config_begin(
		load, option, (struct config_origin){.source = SOURCE_ENV, .env = name + presence});
	config_set_text(load, option, name + presence, presence ? SLICE("false") : slice_str(value),
		true, strncmp(name, "OTEL_", 5) == 0);
}

/* What Kubernetes puts into every container for a Service whose name starts with "weft". */
static bool is_service_link(struct slice name)
{
	static const char *const parts[] = {
		"_SERVICE_HOST", "_SERVICE_PORT", "_PORT", "_TCP", "_UDP", "_PROTO", "_ADDR"};

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (memmem(name.ptr, name.len, parts[i], strlen(parts[i])))
			return true;
	return false;
}

static bool is_known(struct slice name)
{
	for (unsigned i = 0; i < option_count; i++)
		for (unsigned j = 0; j < OPTION_ENV_MAX && options[i].env[j]; j++)
			if (slice_eq(name, slice_str(options[i].env[j])))
				return true;
	return slice_eq(name, SLICE("WEFT_CONFIG"));
}

/* Only WEFT_ is ours: OTEL_ variables are also meant for others. A name near none of ours may be
 * anything that is called weft. */
static void refuse_misspelt(struct config_load *load)
{
	for (char **e = environ; e && *e; e++) {
		struct slice name = slice_str(*e);
		const char *near;

		name = slice_cut(&name, '=');
		if (!slice_starts(name, SLICE("WEFT_")) || is_known(name) || is_service_link(name))
			continue;
		near = option_near_env(name);
		if (near)
			config_error(load->errors, "%.*s: unknown variable (did you mean %s?)",
				(int)name.len, name.ptr, near);
	}
}

void config_read_env(struct config_load *load)
{
	for (unsigned i = 0; i < option_count; i++)
		for (unsigned j = 0; j < OPTION_ENV_MAX && options[i].env[j]; j++)
			read_one(load, i, options[i].env[j]);
	refuse_misspelt(load);
}
