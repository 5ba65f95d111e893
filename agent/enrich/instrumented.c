/* SPDX-License-Identifier: Apache-2.0 */
#include "enrich/instrumented.h"

#include "core/cleanup.h"
#include "enrich/process.h"

/* A variable that says so: by being set, or by what stands in it. */
#define SIGN(name, ...)                                                                            \
	{                                                                                          \
		{(name), sizeof(name) - 1},                                                        \
		{                                                                                  \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}

static const struct {
	struct slice name;
	const char *parts[2]; /* all of them; NULL: any text */
} SIGNS[] = {
	SIGN("OTEL_EXPORTER_OTLP_ENDPOINT", NULL),
	SIGN("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", NULL),
	SIGN("APPLICATIONINSIGHTS_CONNECTION_STRING", NULL),
	SIGN("JAVA_TOOL_OPTIONS", "-javaagent:", "opentelemetry"),
	SIGN("JAVA_TOOL_OPTIONS", "-javaagent:", "applicationinsights"),
	SIGN("JDK_JAVA_OPTIONS", "-javaagent:", "opentelemetry"),
	SIGN("JDK_JAVA_OPTIONS", "-javaagent:", "applicationinsights"),
	SIGN("NODE_OPTIONS", "opentelemetry"),
	SIGN("NODE_OPTIONS", "applicationinsights"),
	SIGN("PYTHONPATH", "opentelemetry/instrumentation/auto_instrumentation"),
	SIGN("DOTNET_STARTUP_HOOKS", "OpenTelemetry.AutoInstrumentation"),
	/* the profiler of OpenTelemetry's .NET agent */
	SIGN("CORECLR_PROFILER", "918728DD-259F-4A6A-AC2B-B85E1B658318"),
};

static bool contains(struct slice text, const char *part)
{
	return memmem(text.ptr, text.len, part, strlen(part));
}

bool instrumented_by_environ(struct slice env)
{
	struct slice exporter = process_env(env, SLICE("OTEL_TRACES_EXPORTER"));

	if (slice_eq_nocase(process_env(env, SLICE("OTEL_SDK_DISABLED")), SLICE("true")) ||
		slice_eq_nocase(exporter, SLICE("none")))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(SIGNS); i++) {
		struct slice value = slice_trim(process_env(env, SIGNS[i].name));
		bool all = value.len;

		for (size_t j = 0; all && j < ARRAY_SIZE(SIGNS[i].parts) && SIGNS[i].parts[j]; j++)
			all = contains(value, SIGNS[i].parts[j]);
		if (all)
			return true;
	}
	return false;
}
