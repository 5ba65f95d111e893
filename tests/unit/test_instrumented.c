/* SPDX-License-Identifier: Apache-2.0 */
#include "enrich/instrumented.h"

#include "core/cleanup.h"

#include <criterion/criterion.h>

/* With the NUL that ends the literal, as environments have it. */
#define ENVIRON_OF(literal)                                                                        \
	(struct slice)                                                                             \
	{                                                                                          \
		(literal), sizeof(literal)                                                         \
	}

Test(instrumented, by_environ)
{
	const struct {
		struct slice environ;
		bool is;
	} CASES[] = {
		{ENVIRON_OF("PATH=/bin"), false},
		{ENVIRON_OF("OTEL_SERVICE_NAME=x"), false},
		{ENVIRON_OF("OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318"), true},
		{ENVIRON_OF("OTEL_EXPORTER_OTLP_ENDPOINT="), false},
		{ENVIRON_OF("OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318\0OTEL_SDK_DISABLED=true"),
			false},
		{ENVIRON_OF("OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318\0OTEL_TRACES_EXPORTER=none"),
			false},
		{ENVIRON_OF("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://c:4318"), false},
		{ENVIRON_OF("APPLICATIONINSIGHTS_CONNECTION_STRING=InstrumentationKey=0"), true},
		{ENVIRON_OF("JAVA_TOOL_OPTIONS=-Xmx1g -javaagent:/a/opentelemetry-javaagent.jar"),
			true},
		{ENVIRON_OF("JAVA_TOOL_OPTIONS=-javaagent:/a/applicationinsights-agent.jar"), true},
		{ENVIRON_OF("JAVA_TOOL_OPTIONS=-javaagent:/a/jacoco.jar"), false},
		{ENVIRON_OF("NODE_OPTIONS=--require @azure/monitor-opentelemetry"), true},
		{ENVIRON_OF("NODE_OPTIONS=--max-old-space-size=512"), false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++)
		cr_expect_eq(instrumented_by_environ(CASES[i].environ), CASES[i].is, "case %zu", i);
}
