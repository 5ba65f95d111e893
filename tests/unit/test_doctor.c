/* SPDX-License-Identifier: Apache-2.0 */
#include "self/doctor.h"
#include "capture/features.h"
#include "core/cleanup.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <linux/capability.h>
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

Test(features, preemption)
{
	static const struct {
		const char *release, *version, *chosen, *name;
		bool may, fexit, tracepoints;
	} v[] = {
		{"5.15.0-1100-azure", "#109-Ubuntu SMP Fri", "", "voluntary", false, false, false},
		{"6.12.1", "#1 SMP PREEMPT_DYNAMIC Debian", "none", "none", true, false, false},
		{"6.12.1", "#1 SMP PREEMPT_DYNAMIC Debian", "voluntary", "voluntary", true, false,
			false},
		{"6.12.1", "#1 SMP PREEMPT_DYNAMIC Debian", "full", "full", true, true, false},
		{"6.12.1", "#1 SMP PREEMPT_DYNAMIC Debian", "", "dynamic", true, false, false},
		{"6.14.0", "#1 SMP PREEMPT_DYNAMIC", "lazy", "lazy", true, true, false},
		{"6.14.0", "#1 SMP PREEMPT_DYNAMIC", "full", "full", true, true, false},
		{"6.14.0", "#1 SMP PREEMPT_RT", "", "rt", true, true, false},
		{"6.14.0", "#1 SMP PREEMPT", "", "full", true, true, false},
		{"7.2.0", "#1 SMP PREEMPT_DYNAMIC", "lazy", "lazy", true, false, true},
		{"7.2.0", "#1 SMP PREEMPT_DYNAMIC", "", "dynamic", true, false, true},
		{"7.2.0", "#1 SMP PREEMPT_RT", "", "rt", true, false, true},
		{"7.2.0", "#1 SMP PREEMPT_DYNAMIC", "none", "dynamic", true, false, true},
		{"7.2.0", "#1 SMP", "", "voluntary", false, false, false},
		{"10.0.0", "#1 SMP PREEMPT", "", "full", true, false, true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(v); i++) {
		struct features f = {0};

		snprintf(f.release, sizeof(f.release), "%s", v[i].release);
		features_preemption(&f, v[i].version, v[i].chosen);
		cr_expect_str_eq(f.preemption, v[i].name);
		cr_expect_eq(f.may_preempt, v[i].may, "%zu", i);
		cr_expect_eq(f.preempts, v[i].fexit, "%zu", i);
		cr_expect_eq(f.preempts_tracepoints, v[i].tracepoints, "%zu", i);
	}
}

Test(features, choose)
{
	struct features good = all_good();
	struct features barred = without(FEATURE_FENTRY, EPERM, "fexit of inet_recvmsg");
	struct features old = barred, preempts = good;
	struct features no_btf = without(FEATURE_BTF, ENOENT, "/sys/kernel/btf/vmlinux");
	struct features older = without(FEATURE_CALL, 0, "bpf_task_pt_regs");
	struct features refused, none;
	enum hooks hooks = HOOKS_AUTO;
	char why[FEATURES_WHY_BYTES];

	cr_expect_eq(features_choose(&good, HOOKS_AUTO, &hooks, why), 0);
	cr_expect_eq(hooks, HOOKS_FENTRY);
	cr_expect_str_eq(why, "the cheapest, and it works here");
	for (enum hooks each = HOOKS_FENTRY; each <= HOOKS_SYSCALLS; each++) {
		cr_expect_eq(features_choose(&good, each, &hooks, why), 0);
		cr_expect_eq(hooks, each);
		cr_expect_str_eq(why, "asked for");
	}
	preempts.preempts = true;
	snprintf(preempts.preemption, sizeof(preempts.preemption), "lazy");
	cr_expect_eq(features_choose(&preempts, HOOKS_AUTO, &hooks, why), 0);
	cr_expect_eq(hooks, HOOKS_SOCK);
	cr_expect_str_eq(
		why, "this kernel preempts itself (lazy), and fentry hooks can miss calls");
	refused = preempts;
	features_refuse(&refused, HOOKS_SOCK, EACCES);
	cr_expect_eq(features_choose(&refused, HOOKS_AUTO, &hooks, why), 0);
	cr_expect_eq(hooks, HOOKS_SYSCALLS);
	cr_expect_str_eq(why, "this kernel preempts itself (lazy), and fentry hooks can miss "
			      "calls; without sock (its programs: Permission denied)");
	cr_expect_eq(features_choose(&preempts, HOOKS_FENTRY, &hooks, why), 0);
	cr_expect_eq(hooks, HOOKS_FENTRY);
	preempts.v[FEATURE_SOCK].ok = preempts.v[FEATURE_SYSCALLS].ok = false;
	cr_expect_eq(features_choose(&preempts, HOOKS_AUTO, &hooks, why), 0);
	cr_expect_eq(hooks, HOOKS_FENTRY);
	cr_expect_eq(features_choose(&barred, HOOKS_AUTO, &hooks, why), 0);
	cr_expect_eq(hooks, HOOKS_SOCK);
	cr_expect_str_eq(why, "the cheapest that works here, without fentry (fexit of "
			      "inet_recvmsg: Operation not permitted)");
	refused = good;
	features_refuse(&refused, HOOKS_FENTRY, EACCES);
	cr_expect_eq(features_choose(&refused, HOOKS_AUTO, &hooks, why), 0);
	cr_expect_eq(hooks, HOOKS_SOCK);
	cr_expect_str_eq(why, "the cheapest that works here, without fentry (its programs: "
			      "Permission denied)");
	old.v[FEATURE_SOCK] = without(FEATURE_SOCK, 0, "sock_send_length").v[FEATURE_SOCK];
	cr_expect_eq(features_choose(&old, HOOKS_AUTO, &hooks, why), 0);
	cr_expect_eq(hooks, HOOKS_SYSCALLS);
	cr_expect_str_eq(why, "the cheapest that works here, without fentry (fexit of "
			      "inet_recvmsg: Operation not permitted), sock (sock_send_length: "
			      "not in this kernel)");

	hooks = HOOKS_AUTO;
	cr_expect_eq(features_choose(&old, HOOKS_SOCK, &hooks, why), -ENOTSUP);
	cr_expect_str_eq(why, "asked for, but sock_send_length: not in this kernel");
	cr_expect_eq(features_choose(&barred, HOOKS_FENTRY, &hooks, why), -ENOTSUP);
	cr_expect_str_eq(why, "asked for, but fexit of inet_recvmsg: Operation not permitted");
	cr_expect_eq(features_choose(&no_btf, HOOKS_AUTO, &hooks, why), -ENOTSUP);
	cr_expect_str_eq(why, "/sys/kernel/btf/vmlinux: No such file or directory");
	cr_expect_eq(features_choose(&older, HOOKS_SYSCALLS, &hooks, why), -ENOTSUP);
	cr_expect_str_eq(why, "bpf_task_pt_regs: not in this kernel");
	none = old;
	none.v[FEATURE_SYSCALLS] =
		without(FEATURE_SYSCALLS, EACCES, "perf_event_open(sys_exit_read)")
			.v[FEATURE_SYSCALLS];
	cr_expect_eq(features_choose(&none, HOOKS_AUTO, &hooks, why), -ENOTSUP);
	cr_expect_not_null(strstr(why, "none works here: fentry ("), "%s", why);
	cr_expect_not_null(
		strstr(why, "syscalls (perf_event_open(sys_exit_read): Permission denied)"), "%s",
		why);
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

static const struct findings NO_POD = {0};

static int diagnose(const struct features *f, bool json, char **ret_text)
{
	size_t len;
	FILE *out = open_memstream(ret_text, &len);
	int status = doctor_print(f, &NO_POD, HOOKS_AUTO, TRANSPORT_RINGBUF, json, out);

	fclose(out);
	return status;
}

Test(doctor, verdicts)
{
	static const struct {
		enum feature feature;
		int error, status;
	} cases[] = {
		{FEATURE_MAX, 0, DOCTOR_GOOD}, {FEATURE_BPF, EPERM, DOCTOR_CANNOT},
		{FEATURE_BTF, ENOENT, DOCTOR_CANNOT}, {FEATURE_READ, EPERM, DOCTOR_CANNOT},
		{FEATURE_LIFE, EPERM, DOCTOR_CANNOT},
		{FEATURE_FENTRY, 0, DOCTOR_GOOD}, /* nothing that could be granted */
		{FEATURE_FENTRY, EPERM, DOCTOR_LIMITED}, {FEATURE_SOCK, 0, DOCTOR_GOOD},
		{FEATURE_SOCK, EPERM, DOCTOR_GOOD}, /* fentry is there */
		{FEATURE_SYSCALLS, EACCES, DOCTOR_GOOD}, {FEATURE_RINGBUF, 0, DOCTOR_GOOD},
		{FEATURE_PERFBUF, EACCES, DOCTOR_GOOD}, {FEATURE_PROCESSES, EACCES, DOCTOR_LIMITED},
		{FEATURE_CALL, 0, DOCTOR_CANNOT}, {FEATURE_PIDNS, 0, DOCTOR_CANNOT},
		{FEATURE_CGROUP2, 0, DOCTOR_LIMITED}, {FEATURE_PROBES, EPERM, DOCTOR_LIMITED},
		{FEATURE_TLS, 0, DOCTOR_GOOD}, /* said, and no fault of the machine */
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

/* What lets perf_event_open through does not open tracefs. */
Test(doctor, tells_files_from_capabilities)
{
	struct features refused =
		without(FEATURE_SYSCALLS, EACCES, "perf_event_open(sys_exit_read)");
	struct features hidden = without(
		FEATURE_SYSCALLS, EACCES, "/sys/kernel/tracing/events/syscalls/sys_exit_read/id");
	char *text;

	diagnose(&refused, false, &text);
	cr_expect_not_null(strstr(text, "grant CAP_SYS_ADMIN"), "%s", text);
	free(text);
	diagnose(&hidden, false, &text);
	cr_expect_not_null(strstr(text, "grant CAP_DAC_READ_SEARCH"), "%s", text);
	cr_expect_null(strstr(text, "grant CAP_SYS_ADMIN"), "%s", text);
	free(text);
}

/* Where the kernel preempts itself, others than the cheapest hooks are used. */
Test(doctor, preempting)
{
	struct features f = without(FEATURE_FENTRY, EPERM, "fexit of inet_recvmsg");
	char *text;

	f.preempts = true;
	cr_expect_eq(diagnose(&f, false, &text), DOCTOR_GOOD);
	cr_expect_not_null(strstr(text, "nothing: they can miss calls"), "%s", text);
	free(text);
	f = without(FEATURE_SOCK, EPERM, "sock_send_length");
	f.preempts = true;
	cr_expect_eq(diagnose(&f, false, &text), DOCTOR_LIMITED);
	cr_expect_null(strstr(text, "nothing: the cheaper"), "%s", text);
	free(text);
	f = without(FEATURE_SYSCALLS, EACCES, "perf_event_open(sys_exit_read)");
	f.preempts = true;
	cr_expect_eq(diagnose(&f, false, &text), DOCTOR_GOOD);
	free(text);
	f.v[FEATURE_SOCK].ok = false;
	cr_expect_eq(diagnose(&f, false, &text), DOCTOR_LIMITED);
	cr_expect_not_null(strstr(text, "fentry hooks are used, which can miss calls"), "%s", text);
	free(text);
}

/* What is refused to one who has every capability cannot be granted. */
Test(doctor, barred)
{
	struct features f = without(FEATURE_FENTRY, EPERM, "fexit of inet_recvmsg");
	char *text;

	f.caps = UINT64_MAX;
	cr_expect_eq(diagnose(&f, false, &text), DOCTOR_GOOD);
	cr_expect_not_null(strstr(text, "this kernel refuses them whatever the"), "%s", text);
	cr_expect_not_null(strstr(text, "hooks    sock (the cheapest that works here, without "
					"fentry (fexit of inet_recvmsg: Operation not permitted))"),
		"%s", text);
	free(text);
	f.v[FEATURE_SOCK] = f.v[FEATURE_FENTRY];
	f.caps = 0;
	cr_expect_eq(diagnose(&f, false, &text), DOCTOR_LIMITED);
	free(text);
}

/* Capabilities that are there need not be granted: it is another who forbids. */
Test(doctor, held_by_apparmor)
{
	struct features f = without(FEATURE_PROCESSES, EACCES, "1 of 40 can be looked at");
	char *text;

	f.caps = UINT64_MAX;
	snprintf(f.apparmor, sizeof(f.apparmor), "cri-containerd.apparmor.d");
	cr_expect_eq(diagnose(&f, false, &text), DOCTOR_LIMITED);
	cr_expect_not_null(strstr(text, " apparmor=cri-containerd.apparmor.d\n"), "%s", text);
	cr_expect_not_null(strstr(text, "to do: run without AppArmor's profile"), "%s", text);
	cr_expect_null(strstr(text, "grant CAP_SYS_PTRACE"), "%s", text);
	free(text);
	f.caps &= ~(1ULL << CAP_SYS_PTRACE);
	diagnose(&f, false, &text);
	cr_expect_not_null(strstr(text, "grant CAP_SYS_PTRACE"), "%s", text);
	free(text);
	f.apparmor[0] = '\0';
	f.caps = UINT64_MAX;
	diagnose(&f, false, &text);
	cr_expect_null(strstr(text, "apparmor="), "%s", text);
	free(text);
}

static bool says(const char *interfaces)
{
	FILE *f = fmemopen((void *)interfaces, strlen(interfaces), "r");
	struct finding finding;
	bool said = doctor_network(f, &finding);

	fclose(f);
	return said;
}

/* In a pod: its rights, and whom it shares the node with. */
Test(doctor, in_a_pod)
{
	struct features f = all_good();
	struct findings found = {.n = 1};
	struct capture_options options = {.tls = true};
	char *text;
	size_t len;
	FILE *out;

	f.caps = UINT64_MAX;
	found.v[0] = doctor_rights(&options, &f);
	cr_expect(found.v[0].ok);
	f.caps &= ~(1ULL << CAP_SYS_ADMIN);
	cr_expect(doctor_rights(&options, &f).ok);
	options.hooks = HOOKS_SYSCALLS;
	cr_expect_str_eq(doctor_rights(&options, &f).detail, "without CAP_SYS_ADMIN");
	options.hooks = HOOKS_AUTO;
	f.caps &= ~(1ULL << CAP_CHECKPOINT_RESTORE);
	cr_expect_str_eq(doctor_rights(&options, &f).detail, "without CAP_CHECKPOINT_RESTORE");
	options.tls = false;
	f.caps &= ~(1ULL << CAP_PERFMON);
	f.v[FEATURE_PIDNS].ok = false;
	found.v[0] = doctor_rights(&options, &f);
	cr_expect_not(found.v[0].ok);
	cr_expect_str_eq(found.v[0].detail, "without CAP_PERFMON, hostPID");
	f.v[FEATURE_PIDNS].ok = true;
	out = open_memstream(&text, &len);
	cr_expect_eq(doctor_print(&f, &found, HOOKS_AUTO, TRANSPORT_RINGBUF, false, out),
		DOCTOR_LIMITED);
	fclose(out);
	cr_expect_not_null(strstr(text, "limit    rights of the pod          without CAP_PERFMON, "
					"hostPID\n         means: "),
		"%s", text);
	cr_expect_not_null(strstr(text, "Policy"), "%s", text);
	free(text);
	cr_expect(says("Inter-|   Receive\n face |bytes\n    lo: 0 0\n"
		       "cilium_host: 5 0\n  eth0: 1 1\n"));
	cr_expect_not(says(" face |bytes\n    lo: 0 0\n  eth0: 1 1\nnotcilium_host: 1\n"));
}

/* Whatever this machine is and whoever runs the tests: it says something, and no state is half. */
Test(features, probe)
{
	struct capture_options options = {.transport = TRANSPORT_PERF, .ring_bytes = 64 * 1024};
	struct features f;

	features_probe(&f, &options);
	features_look_for_tls(&f);
	for (int i = 0; i < FEATURE_MAX; i++) {
		cr_expect(f.v[i].detail[0], "feature %d", i);
		cr_expect(!f.v[i].ok || !f.v[i].error, "feature %d", i);
	}
	cr_expect(f.release[0] && f.arch[0]);
}
