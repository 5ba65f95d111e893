/* SPDX-License-Identifier: Apache-2.0 */
#include "agent_attach.h"

#include "capture/privileges.h"
#include "capture/tls.h"
#include "core/log.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>
#include <sys/resource.h>

static const char *lack_of(const struct feature_state *state)
{
	return state->error ? strerror(state->error) : "not in this kernel";
}

static int choose_hooks(struct agent *a)
{
	const struct feature_state *namespace, *processes, *probes;
	struct features *features = &a->features;
	char why[FEATURES_WHY_BYTES];
	int err;

	features_probe(features, &a->config.capture);
	namespace = &features->v[FEATURE_PIDNS];
	processes = &features->v[FEATURE_PROCESSES];
	probes = &features->v[FEATURE_PROBES];
	if (!namespace->ok) {
		log_error("cannot trace here: processes are not found outside of the kernel's "
			  "first pid namespace (Kubernetes: hostPID: true); see `weft doctor`",
			LOG_STR("why", namespace->detail));
		return -ENOTSUP;
	}
	err = features_choose(features, a->config.capture.hooks, &a->hooks, a->why);
	if (err) {
		log_error("cannot trace here; see `weft doctor`", LOG_STR("why", a->why));
		return err;
	}
	err = features_choose_transport(features, a->config.capture.transport, &a->transport, why);
	if (err) {
		log_error("cannot trace here; see `weft doctor`", LOG_STR("why", why));
		return err;
	}
	if (!processes->ok)
		log_warn("other processes are hidden from weft, their programs and ports unknown: "
			 "see `weft doctor`",
			LOG_STR("what", processes->detail), LOG_STR("why", lack_of(processes)),
			LOG_STR("apparmor", features->apparmor[0] ? features->apparmor : "none"));
	if (a->config.capture.tls && !probes->ok) {
		log_warn("TLS is not traced: see `weft doctor`", LOG_STR("what", probes->detail),
			LOG_STR("why", lack_of(probes)));
		a->no_probes = true;
	}
	return 0;
}

/* For capture_open(), with the chosen hooks. */
static unsigned twins_wanted(const struct agent *a)
{
	if (a->features.preempts_tracepoints)
		return 2;
	return a->features.may_preempt && a->hooks == HOOKS_FENTRY;
}

/* Opens the chosen hooks; with `auto` the next ones if they do not load, for the small programs
 * that features_probe() tries are not all that can be refused. */
static int open_hooks(struct agent *a, capture_handler handler, char ret_why[static 256])
{
	const struct config *c = &a->config;
	enum hooks failed;
	int err;

	while ((err = capture_open(&c->capture, a->hooks, a->transport, twins_wanted(a), handler, a,
			&a->capture, ret_why)) < 0) {
		failed = a->hooks;
		if (c->capture.hooks != HOOKS_AUTO || err == -ENOBUFS)
			break;
		features_refuse(&a->features, failed, -err);
		if (features_choose(&a->features, HOOKS_AUTO, &a->hooks, a->why))
			break;
		log_warn("hooks that should work here do not: others are tried",
			LOG_STR("hooks", hooks_name(failed)), LOG_STR("why", ret_why),
			LOG_STR("next", hooks_name(a->hooks)));
	}
	return err;
}

/* Probes take dozens of descriptors for each library before Linux 6.6, more than the usual soft
 * limit has room for. */
static void raise_descriptors(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur >= files.rlim_max)
		return;
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

int agent_attach(struct agent *a, capture_handler handler)
{
	const struct config *c = &a->config;
	char why[256] = "";
	int err;

	raise_descriptors();
	err = choose_hooks(a);
	if (err)
		return err;
	err = open_hooks(a, handler, why);
	if (err)
		log_error("cannot attach; see `weft doctor`",
			LOG_STR("hooks", hooks_name(a->hooks)), LOG_STR("why", why));
	malloc_trim(0);
	if (err)
		return err;
	/* its thread is the only one that keeps what attaching takes */
	if (c->capture.tls && !a->no_probes)
		err = tls_new(a->capture, c->capture.max_processes, &a->tls);
	if (err) {
		log_error("not enough memory", LOG_STR("for", "TLS libraries"),
			LOG_INT("errno", -err));
		return err;
	}
	/* the kernel keeps time of its programs for an administrator only */
	err = privileges_drop(a->capture, c->capture.budget.cpus > 0);
	if (err)
		log_warn("capabilities that are no longer needed are kept",
			LOG_STR("why", strerror(-err)));
	return 0;
}
