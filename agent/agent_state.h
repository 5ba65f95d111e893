/* SPDX-License-Identifier: Apache-2.0 */
/* The one struct that owns every stage: for agent.c, which wires them, and agent_report.c, which
 * shows how they do. */
#pragma once
#include "capture/budget.h"
#include "capture/capture.h"
#include "capture/features.h"
#include "cluster.h"
#include "config.h"
#include "core/counters.h"
#include "enrich/process.h"
#include "export/export.h"
#include "self/ask.h"
#include "self/status.h"

struct conns;
struct http;
struct listeners;
struct older;
struct span_builder;
struct tls;
struct trace;

struct agent {
	struct config config;
	struct counters counters;
	struct listeners *listeners;
	struct capture *capture;
	struct tls *tls; /* NULL: it is off */
	bool no_probes; /* that is why: the kernel refuses them */
	struct budget budget;
	struct older *older;
	struct procs *procs;
	struct cluster *cluster; /* NULL: Kubernetes is off */
	struct conns *conns;
	struct trace *trace;
	struct span_builder *builder;
	struct resource_table *resources;
	struct export *export;
	struct http *http;
	struct ask *ask; /* from the HTTP thread */
	struct status status;
	struct process_host host;
	char host_name[256];

	struct features features; /* of this kernel */
	enum hooks hooks;
	enum transport transport;
	char why[FEATURES_WHY_BYTES];
	uint64_t start_unix_ns;
	uint64_t unix_offset; /* refreshed: the wall clock can be set */
	uint64_t offset_read_ns;
	uint64_t lost; /* when the latest record was read */
	uint64_t missed; /* runs of the programs, up to the latest second */
	uint64_t life_lost, scanned_ns; /* at the latest look at all processes */
	uint64_t retired_ns; /* when resources were last retired */
	struct export_mark retired_mark; /* what was on its way to the backends then */
	_Atomic uint64_t ring_read_ns;
	_Atomic bool attached;
};
