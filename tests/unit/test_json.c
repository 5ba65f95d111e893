/* SPDX-License-Identifier: Apache-2.0 */
#include "export/json.h"

#include "enrich/resource.h"
#include "sample_span.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>

static struct resource_table *table;

static char *line_of(const struct span *span)
{
	const struct attr attrs[] = {
		{.key = SLICE("service.name"), .str = SLICE("bank"), .type = ATTR_STRING},
		{.key = SLICE("process.pid"), .num = 42, .type = ATTR_INT},
	};
	char *text;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	cr_assert_eq(resource_table_new(4, &table), 0);
	json_span(to, span, resource_get(table, resource_intern(table, attrs, 2)));
	fclose(to);
	resource_table_free(table);
	return text;
}

Test(json, writes_every_field)
{
	struct span s = sample_span(SPAN_SERVER, 0xab, 2, 1);
	char *line;

	s.attr_count = 0;
	s.status = SPAN_ERROR;
	s.trace_state = SLICE("a=b");
	span_add_str(&s, SLICE("http.request.method"), SLICE("GET"));
	span_add_int(&s, SLICE("http.response.status_code"), 500);
	s.attrs[s.attr_count++] = (struct attr){
		.key = SLICE("http.request.header.x"), .str = SLICE("v"), .type = ATTR_STRINGS};
	line = line_of(&s);
	cr_assert_str_eq(line,
		"{\"trace_id\":\"abababababababababababababababab\",\"span_id\":"
		"\"0202020202020202\","
		"\"parent_id\":\"0101010101010101\",\"parent_remote\":false,"
		"\"name\":\"GET /orders/{id}\",\"service\":\"bank\",\"kind\":\"server\","
		"\"status\":\"error\",\"link\":\"socket\","
		"\"start_unix_ns\":1780000000123456789,\"end_unix_ns\":1780000000127656789,"
		"\"trace_flags\":1,\"pid\":42,\"trace_state\":\"a=b\","
		"\"attributes\":{\"http.request.method\":\"GET\",\"http.response.status_code\":500,"
		"\"http.request.header.x\":[\"v\"]},"
		"\"resource\":{\"process.pid\":42,\"service.name\":\"bank\"}}\n");
	free(line);
}

Test(json, is_one_line_of_json_whatever_the_text)
{
	struct span s = sample_span(SPAN_CLIENT, 1, 2, 0);
	char every[256], *line;
	json_t *got;

	for (unsigned i = 0; i < sizeof(every); i++)
		every[i] = (char)i;
	s.name = slice_of(every, sizeof(every));
	s.attr_count = 0;
	span_add_str(&s, SLICE("\"\\\n"), SLICE("gr\xc3\xbc\xc3\x9f\xff\xe2\x82"));
	line = line_of(&s);
	cr_assert_eq(strchr(line, '\n'), line + strlen(line) - 1);
	got = json_loads(line, JSON_ALLOW_NUL, NULL);
	cr_assert_not_null(got);
	cr_assert(json_is_null(json_object_get(got, "parent_id")));
	cr_assert(json_is_null(json_object_get(got, "link")));
	cr_assert_str_eq(
		json_string_value(json_object_get(json_object_get(got, "attributes"), "\"\\\n")),
		"gr\xc3\xbc\xc3\x9f\xef\xbf\xbd");
	json_decref(got);
	free(line);
}
