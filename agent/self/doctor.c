/* SPDX-License-Identifier: Apache-2.0 */
#include "self/doctor.h"

#include "core/cleanup.h"
#include "core/wrap.h"
#include "self/snapshot.h"

#include <errno.h>
#include <jansson.h>
#include <linux/capability.h>
#include <string.h>

enum state { STATE_OK, STATE_NOTE, STATE_LIMIT, STATE_MISSING };

static const char *const state_names[] = {
	[STATE_OK] = "ok",
	[STATE_NOTE] = "note",
	[STATE_LIMIT] = "limit",
	[STATE_MISSING] = "MISSING",
};

/* One line for each enum feature. */
struct check {
	const char *name; /* in JSON */
	const char *label;
	const char *cost; /* what its lack means */
	const char *grant; /* if permission is what lacks */
	const char *absent; /* if the thing itself lacks */
	const char *unreadable; /* if permission on a file lacks; NULL: grant says it */
};

/* One object: doctor tells the same remedy once. */
static const char grant_bpf[] = "run as root, or grant CAP_BPF and CAP_PERFMON (Kubernetes: "
				"securityContext.capabilities.add [BPF, PERFMON])";

static const struct check checks[FEATURE_MAX] = {
	[FEATURE_BPF] = {"bpf", "BPF programs and maps", "nothing can be traced", grant_bpf,
		"use a kernel with CONFIG_BPF_SYSCALL=y"},
	[FEATURE_BTF] = {"btf", "kernel types (BTF)",
		"the kernel's structures cannot be read: nothing can be traced",
		"make /sys/kernel/btf/vmlinux readable",
		"use a kernel with CONFIG_DEBUG_INFO_BTF=y"},
	[FEATURE_READ] = {"memory_reads", "BPF may read memory", "nothing can be traced",
		"boot with lockdown=integrity or lockdown=none", ""},
	[FEATURE_CALL] = {"call", "arguments of calls",
		"the bytes of a call cannot be found: nothing can be traced", grant_bpf,
		"use Linux 5.15 or later, on arm64 5.18"},
	[FEATURE_LIFE] = {"life", "socket and process events",
		"connections and processes cannot be followed: nothing can be traced", grant_bpf,
		"use Linux 5.10 or later"},
	[FEATURE_FENTRY] = {"fentry", "hooks: fentry",
		"other hooks are used, to which calls through io_uring are a hole", grant_bpf,
		"Linux 5.15 and later have them on x86-64, 6.4 and later on arm64"},
	[FEATURE_SOCK] = {"sock", "hooks: sock", "the dearer syscalls hooks are used", grant_bpf,
		"Linux 6.3 and later have them"},
	[FEATURE_SYSCALLS] = {"syscalls", "hooks: syscalls",
		"one set of hooks fewer to choose from",
		"run as root, or grant CAP_SYS_ADMIN; or CAP_PERFMON with sysctl "
		"kernel.perf_event_paranoid=2 and read access to tracefs",
		"mount -t tracefs tracefs /sys/kernel/tracing (Kubernetes: a hostPath volume)",
		"run as root, or grant CAP_DAC_READ_SEARCH, or make tracefs readable"},
	[FEATURE_RINGBUF] = {"ringbuf", "transport: ringbuf", "the dearer perf buffers are used",
		grant_bpf, "Linux 5.8 and later have it"},
	[FEATURE_PERFBUF] = {"perfbuf", "transport: perf", "only the ring buffer can be used",
		"run as root, or grant CAP_SYS_ADMIN; or CAP_PERFMON with sysctl "
		"kernel.perf_event_paranoid=2; for buffers larger than sysctl "
		"kernel.perf_event_mlock_kb also CAP_IPC_LOCK, or a smaller capture.ring_bytes",
		"use a kernel with CONFIG_PERF_EVENTS=y"},
	[FEATURE_PROCESSES] = {"processes", "other users' processes",
		"their executables and listening ports are unknown: rules miss them, "
		"services have no names",
		"run as root, or grant CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH (Kubernetes: "
		"securityContext.capabilities.add [SYS_PTRACE, DAC_READ_SEARCH])",
		"mount /proc"},
	[FEATURE_PIDNS] = {"pid_namespace", "the host's pid namespace",
		"processes cannot be found in /proc: nothing can be traced", "mount /proc",
		"Kubernetes: hostPID: true; docker run --pid=host"},
	[FEATURE_CGROUP2] = {"cgroup2", "cgroup v2", "cgroup rules never match", "",
		"mount -t cgroup2 none /sys/fs/cgroup (Kubernetes: a hostPath volume)"},
	[FEATURE_PROBES] = {"probes", "probes on TLS libraries",
		"what processes send through TLS is not traced",
		"run as root, or grant CAP_BPF and CAP_PERFMON, before Linux 6.6 also "
		"CAP_SYS_ADMIN (Kubernetes: extraCapabilities: [SYS_ADMIN])",
		"use a kernel with CONFIG_UPROBES=y; one of Linux 6.11 to 6.13, mended (uretprobe "
		"and seccomp) or newer"},
	[FEATURE_TLS] = {"tls", "TLS of processes", "what they send through it is not traced", "",
		"use OpenSSL from Java (netty-tcnative, Tomcat's APR) or Rust (native-tls), or TLS "
		"in "
		"a sidecar"},
};

struct diagnosis {
	const struct features *features;
	const struct findings *findings;
	enum state state[FEATURE_MAX];
	bool can;
	enum hooks wanted, hooks;
	enum transport wanted_transport, transport;
	char hooks_why[FEATURES_WHY_BYTES];
	char transport_why[FEATURES_WHY_BYTES];
	int status;
};

static bool is_denied(const struct feature_state *state)
{
	return state->error == EPERM || state->error == EACCES;
}

/* Denied, although the capabilities are there. */
static bool is_barred(const struct features *f, enum feature feature)
{
	return feature == FEATURE_FENTRY && is_denied(&f->v[feature]) &&
	       features_has_cap(f, CAP_BPF) && features_has_cap(f, CAP_PERFMON);
}

/* The same by the profile of AppArmor that holds weft: those of the container runtimes let it look
 * at none but what they hold themselves. */
static bool is_held(const struct features *f, enum feature feature)
{
	return feature == FEATURE_PROCESSES && is_denied(&f->v[feature]) && f->apparmor[0] &&
	       features_has_cap(f, CAP_SYS_PTRACE) && features_has_cap(f, CAP_DAC_READ_SEARCH);
}

static bool is_hooks(enum feature feature)
{
	return feature == FEATURE_FENTRY || feature == FEATURE_SOCK || feature == FEATURE_SYSCALLS;
}

/* Several ways to the same end: one is enough. */
static bool other_way(const struct features *f, enum feature feature)
{
	if (feature == FEATURE_RINGBUF)
		return f->v[FEATURE_PERFBUF].ok;
	if (feature == FEATURE_PERFBUF)
		return f->v[FEATURE_RINGBUF].ok;
	return is_hooks(feature) &&
	       (f->v[FEATURE_FENTRY].ok || f->v[FEATURE_SOCK].ok || f->v[FEATURE_SYSCALLS].ok);
}

static bool is_asked_for(const struct diagnosis *d, enum feature feature)
{
	return (feature == FEATURE_FENTRY && d->wanted == HOOKS_FENTRY) ||
	       (feature == FEATURE_SOCK && d->wanted == HOOKS_SOCK) ||
	       (feature == FEATURE_SYSCALLS && d->wanted == HOOKS_SYSCALLS) ||
	       (feature == FEATURE_PERFBUF && d->wanted_transport == TRANSPORT_PERF);
}

/* Hooks that would not be used if they were there; see features_choose(). */
static bool is_needless(const struct diagnosis *d, enum feature feature)
{
	const struct features *f = d->features;

	if (f->preempts)
		return feature == FEATURE_FENTRY &&
		       (f->v[FEATURE_SOCK].ok || f->v[FEATURE_SYSCALLS].ok);
	return feature == FEATURE_SOCK && f->v[FEATURE_FENTRY].ok;
}

/* fentry hooks are chosen for want of others, where the kernel preempts itself. */
static bool misses_calls(const struct diagnosis *d)
{
	return d->features->preempts && d->wanted == HOOKS_AUTO && d->hooks == HOOKS_FENTRY;
}

/* Hooks that could be granted, and would be better than those that there are. */
static bool is_better(const struct diagnosis *d, enum feature feature)
{
	return feature == FEATURE_FENTRY || feature == FEATURE_SOCK ||
	       (feature == FEATURE_SYSCALLS && misses_calls(d));
}

/* How grave it is that a feature is missing, given what is used instead. */
static enum state judge(const struct diagnosis *d, enum feature feature)
{
	const struct feature_state *state = &d->features->v[feature];

	if (state->ok)
		return STATE_OK;
	if (feature == FEATURE_TLS)
		return STATE_NOTE;
	if (feature == FEATURE_PROCESSES || feature == FEATURE_CGROUP2 || feature == FEATURE_PROBES)
		return STATE_LIMIT;
	if (!other_way(d->features, feature) || is_asked_for(d, feature))
		return STATE_MISSING;
	/* A cheaper way that could be granted is a limit; a kernel is as it is. */
	return is_better(d, feature) && is_denied(state) && !is_barred(d->features, feature) &&
			       !is_needless(d, feature)
		       ? STATE_LIMIT
		       : STATE_NOTE;
}

/* What the lack means, given what is there instead. */
static const char *cost_of(const struct diagnosis *d, enum feature feature)
{
	if (is_asked_for(d, feature))
		return "the configuration asks for these";
	if (is_needless(d, feature))
		return feature == FEATURE_SOCK
			       ? "nothing: the cheaper fentry hooks are used"
			       : "nothing: they can miss calls where the kernel preempts itself";
	if (is_hooks(feature) && misses_calls(d))
		return "fentry hooks are used, which can miss calls where the kernel preempts "
		       "itself";
	if (feature < FEATURE_FENTRY || feature > FEATURE_PERFBUF ||
		other_way(d->features, feature))
		return checks[feature].cost;
	return is_hooks(feature) ? "one of the sets of hooks is needed"
				 : "one of the two transports is needed";
}

static void diagnose(struct diagnosis *d, const struct features *features,
	const struct findings *findings, enum hooks hooks, enum transport transport)
{
	int r = features_choose(features, hooks, &d->hooks, d->hooks_why);
	int s = features_choose_transport(features, transport, &d->transport, d->transport_why);

	d->features = features;
	d->findings = findings;
	d->wanted = hooks;
	d->wanted_transport = transport;
	d->can = r == 0 && s == 0 && features->v[FEATURE_PIDNS].ok;
	d->status = d->can ? DOCTOR_GOOD : DOCTOR_CANNOT;
	for (int i = 0; i < FEATURE_MAX; i++) {
		d->state[i] = judge(d, (enum feature)i);
		if (d->state[i] == STATE_LIMIT && d->status == DOCTOR_GOOD)
			d->status = DOCTOR_LIMITED;
	}
	for (unsigned i = 0; i < findings->n; i++)
		if (!findings->v[i].ok && d->status == DOCTOR_GOOD)
			d->status = DOCTOR_LIMITED;
}

static const char *remedy(const struct diagnosis *d, enum feature feature)
{
	const struct feature_state *state = &d->features->v[feature];
	const struct check *check = &checks[feature];

	if (is_barred(d->features, feature))
		return "nothing: this kernel refuses them whatever the capabilities";
	if (is_held(d->features, feature))
		return "run without AppArmor's profile (Kubernetes: "
		       "securityContext.appArmorProfile.type Unconfined, as in the chart unless a "
		       "policy changes it; docker run --security-opt apparmor=unconfined)";
	if (!is_denied(state))
		return check->absent;
	return check->unreadable && state->detail[0] == '/' ? check->unreadable : check->grant;
}

static const struct {
	int number;
	const char *name;
} caps[] = {
	{CAP_BPF, "CAP_BPF"},
	{CAP_PERFMON, "CAP_PERFMON"},
	{CAP_SYS_ADMIN, "CAP_SYS_ADMIN"},
	{CAP_SYS_PTRACE, "CAP_SYS_PTRACE"},
	{CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH"},
	{CAP_CHECKPOINT_RESTORE, "CAP_CHECKPOINT_RESTORE"},
	{CAP_SYS_RESOURCE, "CAP_SYS_RESOURCE"},
	{CAP_NET_ADMIN, "CAP_NET_ADMIN"},
	{CAP_IPC_LOCK, "CAP_IPC_LOCK"},
};

static const char *verdict_name(int status)
{
	return status == DOCTOR_GOOD ? "good" : status == DOCTOR_LIMITED ? "limited" : "cannot";
}

static const char *next_step(const struct diagnosis *d)
{
	if (d->status != DOCTOR_CANNOT)
		return d->features->uid == 0 ? "weft run"
					     : "weft run, with the same user and capabilities";
	return d->features->uid == 0 ? "put right what is MISSING above, then weft doctor again"
				     : "sudo weft doctor";
}

static void print_caps(const struct features *f, FILE *out)
{
	const char *between = "";

	fprintf(out, "has      ");
	for (size_t i = 0; i < ARRAY_SIZE(caps); i++)
		if (features_has_cap(f, caps[i].number)) {
			fprintf(out, "%s%s", between, caps[i].name);
			between = " ";
		}
	fprintf(out, "%s\n", *between ? "" : "none of the capabilities that matter here");
	between = "lacks    ";
	for (size_t i = 0; i < ARRAY_SIZE(caps); i++)
		if (!features_has_cap(f, caps[i].number)) {
			fprintf(out, "%s%s", between, caps[i].name);
			between = " ";
		}
	if (*between == ' ')
		fprintf(out, "\n");
}

/* "means:" and its like, under the check. */
static void print_note(const char *what, const char *text, FILE *out)
{
	fprintf(out, "%9s%s ", "", what);
	wrap_print(out, text, 16, 63);
}

static void print_found(enum state state, const char *label, const char *found, FILE *out)
{
	fprintf(out, "%-8s %-26s ", state_names[state], label);
	wrap_print(out, found, 36, 60);
}

static void print_finding(const struct finding *finding, FILE *out)
{
	print_found(finding->ok ? STATE_OK : STATE_LIMIT, finding->label, finding->detail, out);
	if (finding->ok)
		return;
	print_note("means:", finding->means, out);
	print_note("to do:", finding->to_do, out);
}

/* *told: the remedy told last, which is not told again. */
static void print_check(
	const struct diagnosis *d, enum feature feature, const char **told, FILE *out)
{
	const struct feature_state *state = &d->features->v[feature];
	const struct check *check = &checks[feature];
	char found[200];

	snprintf(found, sizeof(found), "%s%s%s", state->detail, state->error ? ": " : "",
		state->error ? strerror(state->error) : "");
	print_found(d->state[feature], check->label, found, out);
	if (d->state[feature] == STATE_OK)
		return;
	print_note("means:", cost_of(d, feature), out);
	if (*told == remedy(d, feature))
		print_note("to do:", "as above", out);
	else
		print_note("to do:", remedy(d, feature), out);
	*told = remedy(d, feature);
}

static int print_text(const struct diagnosis *d, FILE *out)
{
	const struct features *f = d->features;
	const char *told = NULL;

	fprintf(out, "weft %s on Linux %s %s, as uid %u\n", WEFT_VERSION, f->release, f->arch,
		f->uid);
	print_caps(f, out);
	fprintf(out,
		"kernel   perf_event_paranoid=%d unprivileged_bpf_disabled=%d lockdown=%s "
		"preemption=%s%s%s\n\n",
		f->perf_paranoid, f->unprivileged_bpf_disabled,
		f->lockdown[0] ? f->lockdown : "unknown",
		f->preemption[0] ? f->preemption : "unknown", f->apparmor[0] ? " apparmor=" : "",
		f->apparmor);
	for (int i = 0; i < FEATURE_MAX; i++)
		print_check(d, (enum feature)i, &told, out);
	for (unsigned i = 0; i < d->findings->n; i++)
		print_finding(&d->findings->v[i], out);
	fprintf(out, "\n");
	if (d->can) {
		fprintf(out, "hooks    %s (%s)\n", hooks_name(d->hooks), d->hooks_why);
		fprintf(out, "records  through %s (%s)\n", transport_name(d->transport),
			d->transport_why);
	}
	fprintf(out, "verdict  %s\n",
		d->status == DOCTOR_GOOD      ? "all good"
		: d->status == DOCTOR_LIMITED ? "works, with the limits above"
					      : "cannot trace here");
	fprintf(out, "next     %s\n", next_step(d));
	return d->status;
}

static json_t *json_check(const struct diagnosis *d, enum feature feature)
{
	const struct feature_state *state = &d->features->v[feature];
	json_t *object = json_pack("{s:s, s:s, s:s}", "name", checks[feature].name, "state",
		d->state[feature] == STATE_MISSING ? "missing" : state_names[d->state[feature]],
		"detail", state->detail);

	if (d->state[feature] == STATE_OK)
		return object;
	json_object_set_new(
		object, "error", json_string(state->error ? strerror(state->error) : ""));
	json_object_set_new(object, "means", json_string(cost_of(d, feature)));
	json_object_set_new(object, "to_do", json_string(remedy(d, feature)));
	return object;
}

static json_t *json_finding(const struct finding *finding)
{
	json_t *object = json_pack("{s:s, s:s, s:s}", "name", finding->name, "state",
		state_names[finding->ok ? STATE_OK : STATE_LIMIT], "detail", finding->detail);

	if (finding->ok)
		return object;
	json_object_set_new(object, "error", json_string(""));
	json_object_set_new(object, "means", json_string(finding->means));
	json_object_set_new(object, "to_do", json_string(finding->to_do));
	return object;
}

static int print_json(const struct diagnosis *d, FILE *out)
{
	const struct features *f = d->features;
	json_t *list = json_array(), *granted = json_object(), *root;

	for (int i = 0; i < FEATURE_MAX; i++)
		json_array_append_new(list, json_check(d, (enum feature)i));
	for (unsigned i = 0; i < d->findings->n; i++)
		json_array_append_new(list, json_finding(&d->findings->v[i]));
	for (size_t i = 0; i < ARRAY_SIZE(caps); i++)
		json_object_set_new(
			granted, caps[i].name, json_boolean(features_has_cap(f, caps[i].number)));
	root = json_pack("{s:s, s:s, s:s, s:i, s:s, s:o, s:o, s:s, s:s, s:s, s:s, s:s, s:s, s:i}",
		"version", WEFT_VERSION, "kernel", f->release, "arch", f->arch, "uid", (int)f->uid,
		"apparmor", f->apparmor, "capabilities", granted, "checks", list, "hooks",
		d->can ? hooks_name(d->hooks) : "", "hooks_reason", d->hooks_why, "transport",
		d->can ? transport_name(d->transport) : "", "transport_reason", d->transport_why,
		"verdict", verdict_name(d->status), "next", next_step(d), "exit", d->status);
	if (!root || json_dumpf(root, out, JSON_INDENT(2)) < 0)
		fprintf(stderr, "weft: out of memory\n");
	fprintf(out, "\n");
	json_decref(root);
	return d->status;
}

int doctor_print(const struct features *features, const struct findings *findings, enum hooks hooks,
	enum transport transport, bool json, FILE *out)
{
	struct diagnosis d = {0};

	diagnose(&d, features, findings, hooks, transport);
	return json ? print_json(&d, out) : print_text(&d, out);
}

int doctor_run(const struct config *config, bool json, FILE *out)
{
	struct features features;
	struct findings findings;

	features_probe(&features, &config->capture);
	features_look_for_tls(&features);
	doctor_cluster(config, &features, &findings);
	return doctor_print(
		&features, &findings, config->capture.hooks, config->capture.transport, json, out);
}
