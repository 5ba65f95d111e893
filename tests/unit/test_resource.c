/* SPDX-License-Identifier: Apache-2.0 */
#include "enrich/process.h"

#include "core/cleanup.h"
#include "span/text.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

static struct attr attr(struct slice key, struct slice value)
{
	return (struct attr){.key = key, .str = value, .type = ATTR_STRING};
}

static struct resource_table *make(unsigned capacity)
{
	struct resource_table *table;

	cr_assert_eq(resource_table_new(capacity, &table), 0);
	return table;
}

Test(resource, equal_ones_are_one)
{
	struct resource_table *table = make(10);
	struct attr a[] = {attr(SLICE("service.name"), SLICE("a")), attr(SLICE("x"), SLICE("1"))};
	struct attr swapped[] = {a[1], a[0]};
	uint32_t i = resource_intern(table, a, 2);

	cr_assert_eq(i, 1);
	cr_assert_eq(resource_intern(table, a, 2), i);
	cr_assert_eq(resource_intern(table, swapped, 2), i);
	cr_assert_neq(resource_intern(table, a, 1), i);
	cr_assert(slice_eq(resource_service(resource_get(table, i)), SLICE("a")));
	cr_assert(slice_eq(resource_service(resource_get(table, 0)), SLICE("unknown_service")));
	cr_assert_eq(resource_get(table, 99), resource_get(table, 0));
	resource_table_free(table);
}

Test(resource, text_is_copied)
{
	struct resource_table *table = make(10);
	char key[] = "service.name", value[] = "bank";
	struct attr a = attr(slice_str(key), slice_str(value));
	uint32_t i = resource_intern(table, &a, 1);

	memset(key, 'x', sizeof(key));
	memset(value, 'x', sizeof(value));
	cr_assert(slice_eq(resource_service(resource_get(table, i)), SLICE("bank")));
	resource_table_free(table);
}

Test(resource, full_table_gives_the_unknown_one)
{
	struct resource_table *table = make(100);
	char name[16];
	struct attr a;

	for (int i = 1; i < 300; i++) {
		uint32_t got;

		snprintf(name, sizeof(name), "s%d", i);
		a = attr(SLICE("service.name"), slice_str(name));
		got = resource_intern(table, &a, 1);
		cr_assert_eq(got, i < 100 ? (uint32_t)i : 0);
		cr_assert_eq(resource_intern(table, &a, 1), got);
	}
	cr_assert_eq(resource_overflows(table), 400);
	resource_table_free(table);
}

Test(resource, text_too_long_gives_the_unknown_one)
{
	struct resource_table *table = make(2);
	char *big = calloc(1, 100000);
	struct attr a = attr(SLICE("service.name"), slice_of(big, 100000));

	cr_assert_eq(resource_intern(table, &a, 1), 0);
	cr_assert_eq(resource_overflows(table), 1);
	a.str = SLICE("fits");
	cr_assert_eq(resource_intern(table, &a, 1), 1);
	free(big);
	resource_table_free(table);
}

static uint32_t named(struct resource_table *table, const char *name)
{
	struct attr a = attr(SLICE("service.name"), slice_str(name));

	return resource_intern(table, &a, 1);
}

static void expect_named(struct resource_table *table, uint32_t id, const char *name)
{
	struct slice got = resource_service(resource_get(table, id));

	cr_expect(slice_eq(got, slice_str(name)), "%.*s, not %s", (int)got.len, got.ptr, name);
}

/* A place is used again, but an id never names another. */
Test(resource, what_nobody_has_makes_room)
{
	struct resource_table *table = make(4);
	uint32_t a = named(table, "a"), b = named(table, "b"), c = named(table, "c"), d, e;

	cr_expect(resource_scarce(table));
	cr_expect_eq(named(table, "d"), 0, "full");
	resource_mark(table, b);
	resource_retire(table);
	cr_expect(resource_retired(table));
	cr_expect_eq(named(table, "d"), 0, "not yet: spans may be on their way");
	expect_named(table, a, "a");
	cr_expect_eq(named(table, "c"), c, "asked for again: it stays");
	resource_reuse(table);
	cr_expect_not(resource_retired(table));
	d = named(table, "d");
	cr_expect_neq(d, 0);
	cr_expect_neq(d, a, "the place of a, by another id");
	expect_named(table, d, "d");
	expect_named(table, a, "unknown_service");
	expect_named(table, b, "b");
	expect_named(table, c, "c");
	cr_expect_eq(named(table, "b"), b);
	resource_mark(table, a); /* whose place is d's now */
	resource_retire(table);
	resource_reuse(table);
	expect_named(table, d, "unknown_service");
	e = named(table, "e");
	expect_named(table, e, "e");
	expect_named(table, 0, "unknown_service");
	resource_table_free(table);
}

/* Against a model: whatever is interned, marked, retired and reused at random. */
Test(resource, places_at_random)
{
	struct resource_table *table = make(32);
	uint32_t ids[100] = {0};
	unsigned seed = 1;

	for (int step = 0; step < 20000; step++) {
		unsigned i = (unsigned)rand_r(&seed) % 100;
		char name[16];

		snprintf(name, sizeof(name), "s%u", i);
		if (rand_r(&seed) % 50 == 0) {
			for (unsigned k = 0; k < 100; k++)
				if (rand_r(&seed) % 4 == 0)
					resource_mark(table, ids[k]);
			resource_retire(table);
			resource_reuse(table);
			continue;
		}
		ids[i] = named(table, name);
		if (ids[i])
			expect_named(table, ids[i], name);
		cr_expect_eq(named(table, name), ids[i]);
		for (unsigned k = 0; k < 100; k++) {
			struct slice got = resource_service(resource_get(table, ids[k]));

			snprintf(name, sizeof(name), "s%u", k);
			cr_assert(slice_eq(got, slice_str(name)) ||
					  slice_eq(got, SLICE("unknown_service")),
				"%.*s in the place of %s", (int)got.len, got.ptr, name);
		}
	}
	resource_table_free(table);
}

static struct slice value(const struct process_attrs *attrs, const char *key)
{
	for (unsigned i = 0; i < attrs->n; i++)
		if (slice_eq(attrs->attrs[i].key, slice_str(key)))
			return attrs->attrs[i].str;
	return (struct slice){NULL, 0};
}

#define expect(attrs, key, text)                                                                   \
	do {                                                                                       \
		struct slice got_ = value(attrs, key);                                             \
		cr_assert(slice_eq(got_, slice_str(text)), "%s = %.*s, not %s", key,               \
			(int)got_.len, got_.ptr, text);                                            \
	} while (0)

/* With the NUL that ends the literal, as environments have it. */
#define ENVIRON(literal)                                                                           \
	{                                                                                          \
		(literal), sizeof(literal)                                                         \
	}

Test(resource, service_name)
{
	static const struct {
		struct slice environ;
		const char *exe, *name;
	} CASES[] = {
		{{NULL, 0}, "/usr/bin/python3.11", "unknown_service:python3.11"},
		{{NULL, 0}, "", "unknown_service:comm"},
		{ENVIRON("A=1\0OTEL_SERVICE_NAME=pay\0B=2"), "/x", "pay"},
		{ENVIRON("OTEL_SERVICE_NAME="), "/x", "unknown_service:x"},
		{ENVIRON("OTEL_SERVICE_NAME=  "), "/x", "unknown_service:x"},
		{ENVIRON("OTEL_SERVICE_NAMES=no\0XOTEL_SERVICE_NAME=no"), "/x",
			"unknown_service:x"},
		{ENVIRON("OTEL_RESOURCE_ATTRIBUTES=service.name=acc"), "/x", "acc"},
		{ENVIRON("OTEL_RESOURCE_ATTRIBUTES=service.name="), "/x", "unknown_service:x"},
		{ENVIRON("OTEL_RESOURCE_ATTRIBUTES=service.name=acc\0OTEL_SERVICE_NAME=pay"), "/x",
			"pay"},
		{ENVIRON("OTEL_RESOURCE_ATTRIBUTES=service.name=acc,broken"), "/x",
			"unknown_service:x"},
		{ENVIRON("OTEL_SERVICE_NAME=a\xff"), "/x", "a\xef\xbf\xbd"},
		{{"OTEL_SERVICE_NAME=cut", 21}, "/x", "unknown_service:x"},
	};
	static const struct process_host HOST = {.host_name = {"node1", 5},
		.resource_attributes = {"service.name=weft,deployment.environment.name=prod", 50}};

	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct process_info info = {.exe = slice_str(CASES[i].exe),
			.comm = SLICE("comm"),
			.environ = CASES[i].environ};
		struct process_attrs attrs;
		char instance[128];

		process_attrs_make(&info, &HOST, &attrs);
		expect(&attrs, "service.name", CASES[i].name);
		expect(&attrs, "host.name", "node1");
		expect(&attrs, "os.type", "linux");
		expect(&attrs, "deployment.environment.name", "prod");
		snprintf(instance, sizeof(instance), "node1.%s", CASES[i].name);
		expect(&attrs, "service.instance.id", instance);
	}
}

Test(resource, process_attributes_win)
{
	struct slice block = ENVIRON("OTEL_RESOURCE_ATTRIBUTES= service.version = 1%2E2 ,"
				     "host.name=mine,k%3D=a%2Cb,,e=,service.instance.id=i7");
	struct process_info info = {.exe = SLICE("/opt/app"), .environ = block};
	struct process_host host = {.host_name = SLICE("node1"),
		.resource_attributes = SLICE("service.version=weft,cloud=az")};
	struct process_attrs attrs;

	process_attrs_make(&info, &host, &attrs);
	expect(&attrs, "service.version", "1.2");
	expect(&attrs, "host.name", "mine");
	expect(&attrs, "k=", "a,b");
	expect(&attrs, "e", "");
	expect(&attrs, "cloud", "az");
	expect(&attrs, "service.instance.id", "i7");
	expect(&attrs, "process.executable.name", "app");
}

Test(resource, malformed_lists_set_nothing)
{
	static const char *const BAD[] = {
		"a=1,b", "a=1,=2", "a=1,b=%", "a=1,b=%2", "a=1,b=%zz", "a=1,b=%ff"};
	struct process_attrs attrs = {0};

	for (size_t i = 0; i < ARRAY_SIZE(BAD); i++) {
		cr_assert_eq(process_attrs_parse(&attrs, slice_str(BAD[i])), -EINVAL, "%s", BAD[i]);
		cr_assert_eq(attrs.n, 0);
	}
	cr_assert_eq(process_attrs_parse(&attrs, (struct slice){NULL, 0}), 0);
	cr_assert_eq(attrs.n, 0);
}

Test(resource, hostile_lists_are_bounded)
{
	size_t len = PROCESS_ENVIRON, used;
	char *block = malloc(len);
	struct process_info info = {.exe = SLICE("/opt/app"), .environ = {block, len}};
	struct process_host host = {.host_name = SLICE("n")};
	struct process_attrs attrs;

	used = (size_t)snprintf(block, len, "OTEL_RESOURCE_ATTRIBUTES=");
	for (int i = 0; used + 20 < len; i++)
		used += (size_t)snprintf(block + used, len - used, "k%d=v,", i);
	memset(block + used, 0, len - used);
	process_attrs_make(&info, &host, &attrs);
	cr_assert_eq(attrs.n, PROCESS_MAX_ATTRS);
	cr_assert(process_attr_set(&attrs, SLICE("container.id"), SLICE("c")), "of its pod's");
	expect(&attrs, "service.name", "unknown_service:app");
	expect(&attrs, "process.executable.name", "app");

	memset(block, 'x', len - 1);
	memcpy(block, "OTEL_SERVICE_NAME=", 18);
	process_attrs_make(&info, &host, &attrs);
	cr_assert(utf8_prefix(value(&attrs, "service.name")) > 0);
	free(block);
}

/* What OTEL_SERVICE_NAME says wins, also where the other leaves no room to say it again. */
Test(resource, a_service_that_is_named_twice)
{
	size_t len = PROCESS_ENVIRON, used;
	_free_ char *block = calloc(1, len);
	struct process_info info = {.exe = SLICE("/opt/app"), .environ = {block, len}};
	struct process_host host = {.host_name = SLICE("n")};
	struct process_attrs attrs;
	char name[400] = "";

	memset(name, 'p', sizeof(name) - 1);
	used = (size_t)snprintf(block, len, "OTEL_SERVICE_NAME=%s", name) + 1;
	used += (size_t)snprintf(
		block + used, len - used, "OTEL_RESOURCE_ATTRIBUTES=service.name=%0900d", 0);
	for (unsigned i = 0; i < 10; i++)
		used += (size_t)snprintf(block + used, len - used, ",k%u=%0250u", i, i);
	process_attrs_make(&info, &host, &attrs);
	expect(&attrs, "service.name", name);
}

/* Whatever a process says of itself: there is room for what tells its pod, and a resource holds it.
 */
Test(resource, a_lot_said_of_itself)
{
	size_t len = PROCESS_ENVIRON, used;
	_free_ char *block = calloc(1, len);
	struct process_info info = {.exe = SLICE("/opt/app"), .environ = {block, len}};
	struct process_host host = {.host_name = SLICE("n")};
	struct resource_table *table = make(10);
	struct process_attrs attrs;
	char big[512];
	uint32_t id;

	used = (size_t)snprintf(block, len, "OTEL_RESOURCE_ATTRIBUTES=k=v");
	for (int size = 256, i = 0; size; size /= 2) /* until nothing fits any more */
		for (int end = i + 20; i < end; i++)
			used += (size_t)snprintf(
				block + used, len - used, ",key%02d=%0*d", i, size, 0);
	snprintf(block + used + 1, len - used - 1, "OTEL_SERVICE_NAME=shop");
	process_attrs_make(&info, &host, &attrs);
	expect(&attrs, "service.name", "shop");
	expect(&attrs, "k", "v");
	cr_assert_gt(attrs.n, 10, "those that fit");
	cr_assert_leq(attrs.used, PROCESS_TEXT);
	memset(big, 'x', sizeof(big));
	cr_assert(process_attr_set(&attrs, SLICE("container.id"), slice_of(big, 64)));
	while (process_attr_set(&attrs, slice_of(big, attrs.n), slice_of(big, 128)))
		;
	id = resource_intern(table, attrs.attrs, attrs.n);
	cr_assert_neq(id, 0);
	cr_assert(slice_eq(resource_service(resource_get(table, id)), SLICE("shop")));
	resource_table_free(table);
}

/* A name that is too long is none. */
Test(resource, a_service_name_that_does_not_fit)
{
	_free_ char *block = calloc(1, PROCESS_ENVIRON);
	struct process_info info = {.exe = SLICE("/opt/app"), .environ = {block, PROCESS_ENVIRON}};
	struct process_host host = {.host_name = SLICE("n")};
	struct process_attrs attrs;

	memset(block, 'x', PROCESS_ENVIRON - 1);
	memcpy(block, "OTEL_SERVICE_NAME=", 18);
	process_attrs_make(&info, &host, &attrs);
	expect(&attrs, "service.name", "unknown_service:app");
}

Test(resource, live_process)
{
	struct process_host host = {.host_name = SLICE("n")};
	struct process_attrs attrs;
	int ready[2];
	pid_t pid;
	char c;

	cr_assert_eq(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		char *const argv[] = {"sleep", "60", NULL};
		char *const env[] = {"OTEL_SERVICE_NAME=sleeper",
			"OTEL_RESOURCE_ATTRIBUTES=service.version=9", NULL};

		execve("/bin/sleep", argv, env);
		_exit(1);
	}
	close(ready[1]);
	cr_assert_eq(read(ready[0], &c, 1), 0); /* closed by the exec */
	process_describe((uint32_t)pid, SLICE("c"), SLICE("/f"), &host, &attrs);
	expect(&attrs, "service.name", "sleeper");
	expect(&attrs, "service.version", "9");
	cr_assert_gt(value(&attrs, "process.executable.name").len, 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);

	process_describe((uint32_t)pid, SLICE("c"), SLICE("/opt/f"), &host, &attrs);
	expect(&attrs, "service.name", "unknown_service:f");
	process_describe((uint32_t)pid, SLICE("c"), (struct slice){NULL, 0}, &host, &attrs);
	expect(&attrs, "service.name", "unknown_service:c");
}
