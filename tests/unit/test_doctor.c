/* SPDX-License-Identifier: Apache-2.0 */
#include "self/doctor.h"
#include "capture/features.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <string.h>

static struct features all_good(void)
{
	struct features f = {.release = "6.8.0", .arch = "x86_64"};

	for (int i = 0; i < FEATURE_MAX; i++) {
		f.v[i].ok = true;
		snprintf(f.v[i].detail, sizeof(f.v[i].detail), "found");
	}
	return f;
}

static struct features without(enum feature feature, int error, const char *detail)
{
	struct features f = all_good();

	f.v[feature].ok = false;
	f.v[feature].error = error;
	snprintf(f.v[feature].detail, sizeof(f.v[feature].detail), "%s", detail);
	return f;
}

Test(features, choose)
{
	struct features good = all_good();
	struct features old = without(FEATURE_SOCK, 0, "sock_send_length");
	struct features denied =
		without(FEATURE_SYSCALLS, EACCES, "perf_event_open(sys_exit_read)");
	struct features no_btf = without(FEATURE_BTF, ENOENT, "/sys/kernel/btf/vmlinux");
	struct features neither = old;
	enum hooks hooks = HOOKS_AUTO;
	char why[FEATURES_WHY_BYTES];

	cr_expect_eq(features_choose(&good, HOOKS_AUTO, &hooks, why), 0);
	cr_expect_eq(hooks, HOOKS_SOCK);
	cr_expect_str_eq(why, "the cheapest, and it works here");
	cr_expect_eq(features_choose(&good, HOOKS_SYSCALLS, &hooks, why), 0);
	cr_expect_eq(hooks, HOOKS_SYSCALLS);
	cr_expect_str_eq(why, "asked for");
	cr_expect_eq(features_choose(&old, HOOKS_AUTO, &hooks, why), 0);
	cr_expect_eq(hooks, HOOKS_SYSCALLS);
	cr_expect_str_eq(why, "sock hooks do not work here, sock_send_length: not in this kernel");

	hooks = HOOKS_AUTO;
	cr_expect_eq(features_choose(&old, HOOKS_SOCK, &hooks, why), -ENOTSUP);
	cr_expect_str_eq(why, "asked for, but sock_send_length: not in this kernel");
	cr_expect_eq(features_choose(&denied, HOOKS_SYSCALLS, &hooks, why), -ENOTSUP);
	cr_expect_str_eq(why, "asked for, but perf_event_open(sys_exit_read): Permission denied");
	cr_expect_eq(features_choose(&no_btf, HOOKS_AUTO, &hooks, why), -ENOTSUP);
	cr_expect_str_eq(why, "/sys/kernel/btf/vmlinux: No such file or directory");
	neither.v[FEATURE_SYSCALLS].ok = false;
	cr_expect_eq(features_choose(&neither, HOOKS_AUTO, &hooks, why), -ENOTSUP);
	cr_expect_eq(hooks, HOOKS_AUTO, "the output is untouched");
}

Test(features, choose_transport)
{
	struct features good = all_good();
	struct features old = without(FEATURE_RINGBUF, 0, "BPF_MAP_TYPE_RINGBUF");
	struct features no_perf = without(FEATURE_PERFBUF, EACCES, "perf_event_open(BPF_OUTPUT)");
	enum transport transport;
	char why[FEATURES_WHY_BYTES];

	cr_expect_eq(features_choose_transport(&good, TRANSPORT_RINGBUF, &transport, why), 0);
	cr_expect_eq(transport, TRANSPORT_RINGBUF);
	cr_expect_eq(features_choose_transport(&good, TRANSPORT_PERF, &transport, why), 0);
	cr_expect_eq(transport, TRANSPORT_PERF);
	cr_expect_eq(features_choose_transport(&old, TRANSPORT_RINGBUF, &transport, why), 0);
	cr_expect_eq(transport, TRANSPORT_PERF);
	cr_expect_str_eq(why, "no ring buffer, BPF_MAP_TYPE_RINGBUF: not in this kernel");
	cr_expect_eq(
		features_choose_transport(&no_perf, TRANSPORT_PERF, &transport, why), -ENOTSUP);
}

static int diagnose(const struct features *f, bool json, char **ret_text)
{
	size_t len;
	FILE *out = open_memstream(ret_text, &len);
	int status = doctor_print(f, HOOKS_AUTO, TRANSPORT_RINGBUF, json, out);

	fclose(out);
	return status;
}

Test(doctor, verdicts)
{
	static const struct {
		enum feature feature;
		int error, status;
	} cases[] = {
		{FEATURE_MAX, 0, DOCTOR_GOOD},
		{FEATURE_BPF, EPERM, DOCTOR_CANNOT},
		{FEATURE_BTF, ENOENT, DOCTOR_CANNOT},
		{FEATURE_READ, EPERM, DOCTOR_CANNOT},
		{FEATURE_LIFE, EPERM, DOCTOR_CANNOT},
		{FEATURE_SOCK, 0, DOCTOR_GOOD}, /* nothing that could be granted */
		{FEATURE_SOCK, EPERM, DOCTOR_LIMITED},
		{FEATURE_SYSCALLS, EACCES, DOCTOR_GOOD},
		{FEATURE_RINGBUF, 0, DOCTOR_GOOD},
		{FEATURE_PERFBUF, EACCES, DOCTOR_GOOD},
		{FEATURE_PROCESSES, EACCES, DOCTOR_LIMITED},
		{FEATURE_PIDNS, 0, DOCTOR_CANNOT},
		{FEATURE_CGROUP2, 0, DOCTOR_LIMITED},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool none = cases[i].feature == FEATURE_MAX;
		struct features f =
			none ? all_good() : without(cases[i].feature, cases[i].error, "tried");
		char *text, *json_text;
		json_t *root;

		cr_expect_eq(diagnose(&f, false, &text), cases[i].status, "case %zu\n%s", i, text);
		cr_expect_eq(strstr(text, "to do: ") == NULL, none, "%s", text);
		cr_expect_eq(diagnose(&f, true, &json_text), cases[i].status);
		root = json_loads(json_text, 0, NULL);
		cr_assert_not_null(root, "%s", json_text);
		cr_expect_eq(json_integer_value(json_object_get(root, "exit")), cases[i].status);
		cr_expect_eq(json_array_size(json_object_get(root, "checks")), FEATURE_MAX);
		json_decref(root);
		free(text);
		free(json_text);
	}
}

/* Whatever this machine is and whoever runs the tests: it says something, and no state is half. */
Test(features, probe)
{
	struct features f;

	features_probe(&f);
	for (int i = 0; i < FEATURE_MAX; i++) {
		cr_expect(f.v[i].detail[0], "feature %d", i);
		cr_expect(!f.v[i].ok || !f.v[i].error, "feature %d", i);
	}
	cr_expect(f.release[0] && f.arch[0]);
}
