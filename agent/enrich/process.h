/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process as OpenTelemetry resource attributes. Equal for all processes of one service, so that
 * they share a resource: no pid is among them.
 *
 *   service.name             OTEL_SERVICE_NAME of the process, else service.name in its
 *                            OTEL_RESOURCE_ATTRIBUTES, else unknown_service:<name of the
 * executable> service.instance.id      <host>.<service.name>, unless the process gives its own
 *   host.name, os.type, process.executable.name
 *   what OTEL_RESOURCE_ATTRIBUTES of the process gives; it wins over all but service.name
 *   what weft's own OTEL_RESOURCE_ATTRIBUTES give, but for service.name and service.instance.id
 *
 * In Kubernetes those of the pod are added to these: see kube_attrs.h.
 */
#pragma once
#include "enrich/resource.h"

/* Most of what a process says of itself. There is room for more in a resource: what is said of its
 * pod, which tells it from others that say the same. */
#define PROCESS_MAX_ATTRS (RESOURCE_MAX_ATTRS - 16)
#define PROCESS_TEXT      (RESOURCE_TEXT - 1024)
#define PROCESS_ENVIRON   (64u * 1024) /* most of a process' environment that is read */

/* What is known of a process. */
struct process_info {
	struct slice exe; /* path; may be empty */
	struct slice comm;
	struct slice environ; /* as in /proc/<pid>/environ */
};

/* What is the same for every process. */
struct process_host {
	struct slice host_name; /* empty: unknown */
	struct slice resource_attributes; /* weft's own OTEL_RESOURCE_ATTRIBUTES */
};

/* Attributes under construction; text too long or too many are left out. They always fit into a
 * resource. */
struct process_attrs {
	unsigned n;
	bool has_instance; /* the process' environment gives service.instance.id */
	struct attr attrs[RESOURCE_MAX_ATTRS];
	size_t used;
	char text[RESOURCE_TEXT];
};

/* Sets an attribute, over an earlier one of the same key; copies. false: there was no room. */
bool process_attr_set(struct process_attrs *attrs, struct slice key, struct slice value);

/* The same with a number. */
bool process_attr_set_int(struct process_attrs *attrs, struct slice key, int64_t value);

/* Sets those of an OTEL_RESOURCE_ATTRIBUTES ("key=value,…", percent-encoded). -EINVAL, and nothing
 * is set, if any part is malformed, as the specification asks; 0 otherwise. */
int process_attrs_parse(struct process_attrs *attrs, struct slice list);

/* The value of a variable in an environment of NUL-separated strings; the empty slice if it is not
 * there. A last string without NUL was cut and does not count. */
struct slice process_env(struct slice env, struct slice name);

/* Pure. Within PROCESS_MAX_ATTRS and PROCESS_TEXT. */
void process_attrs_make(const struct process_info *info, const struct process_host *host,
	struct process_attrs *ret_attrs);

/* Reads /proc/<pid>. Of a process that is gone or may not be read, the fallbacks count: what the
 * kernel's records said of it. Whether it exports telemetry of its own: see instrumented.h. */
bool process_describe(uint32_t pid, struct slice fallback_comm, struct slice fallback_exe,
	const struct process_host *host, struct process_attrs *ret_attrs);
