/* SPDX-License-Identifier: Apache-2.0 */
#include "self/doctor_cluster.h"

#include "core/cleanup.h"
#include "enrich/kube_api.h"

#include <linux/capability.h>
#include <string.h>
#include <unistd.h>

static struct finding ask_api(const struct kubernetes_options *options)
{
	struct finding f = {
		.name = "kubernetes_api",
		.label = "Kubernetes API",
		.means = "pods have no names and cannot be selected; or calls have no names of "
			 "services",
		.to_do = "whichever the words above mean: its ClusterRole (kubectl auth can-i "
			 "--list --as system:serviceaccount:NAMESPACE:NAME), a NetworkPolicy that "
			 "does not let weft out, or kubernetes.node (the chart sets "
			 "WEFT_NODE_NAME)",
	};
	char host[256] = "", problem[KUBE_PROBLEM];
	const char *node = options->node, *why = NULL;

	if (!node[0] && !gethostname(host, sizeof(host) - 1))
		node = host;
	if (!kube_api_available(options, &why))
		snprintf(f.detail, sizeof(f.detail), "%s", why);
	else if (kube_api_try(options, node, problem))
		snprintf(f.detail, sizeof(f.detail), "%s",
			problem[0] ? problem : "no request could be made");
	else
		f.ok = true;
	if (f.ok)
		snprintf(
			f.detail, sizeof(f.detail), "lists the pods of %.100s, and services", node);
	return f;
}

struct finding doctor_rights(const struct capture_options *options, const struct features *features)
{
	const struct {
		int number;
		const char *name;
		bool asked;
	} caps[] = {
		{CAP_BPF, "CAP_BPF", true},
		{CAP_PERFMON, "CAP_PERFMON", true},
		{CAP_SYS_PTRACE, "CAP_SYS_PTRACE", true},
		{CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH", true},
		{CAP_CHECKPOINT_RESTORE, "CAP_CHECKPOINT_RESTORE", options->tls},
		{CAP_SYS_ADMIN, "CAP_SYS_ADMIN",
			options->hooks == HOOKS_SYSCALLS || options->transport == TRANSPORT_PERF},
	};
	struct finding f = {
		.name = "pod_rights",
		.label = "rights of the pod",
		.means = "what is MISSING or a limit above",
		.to_do = "compare with kubectl get pod -o yaml: if the chart's values ask for "
			 "them, a policy took them away. Exclude weft's namespace from Azure "
			 "Policy and from AKS' deployment safeguards (az aks safeguards show), and "
			 "label it pod-security.kubernetes.io/enforce=privileged",
	};
	size_t at = 0;

	for (size_t i = 0; i < ARRAY_SIZE(caps); i++)
		if (caps[i].asked && !features_has_cap(features, caps[i].number))
			at += (size_t)snprintf(f.detail + at, sizeof(f.detail) - at, "%s%s",
				at ? ", " : "without ", caps[i].name);
	if (!features->v[FEATURE_PIDNS].ok)
		at += (size_t)snprintf(
			f.detail + at, sizeof(f.detail) - at, "%shostPID", at ? ", " : "without ");
	f.ok = !at;
	if (f.ok)
		snprintf(f.detail, sizeof(f.detail), "hostPID and the capabilities are granted");
	return f;
}

bool doctor_network(FILE *interfaces, struct finding *ret)
{
	_free_ char *line = NULL;
	size_t cap = 0;
	bool cilium = false;

	while (!cilium && getline(&line, &cap, interfaces) > 0)
		cilium = !strncmp(line + strspn(line, " "), "cilium_host:", 12);
	*ret = (struct finding){
		.name = "network",
		.label = "network",
		.ok = true,
		.detail = "Cilium: side by side; weft puts nothing on its interfaces and cgroups",
	};
	return cilium;
}

void doctor_cluster(
	const struct config *config, const struct features *features, struct findings *ret)
{
	const struct kubernetes_options *kubernetes = &config->kubernetes;
	const char *host = getenv("KUBERNETES_SERVICE_HOST");
	bool in_pod = host && host[0];
	_fclose_ FILE *interfaces = NULL;

	ret->n = 0;
	if (kubernetes->use == KUBERNETES_ON || (kubernetes->use == KUBERNETES_AUTO && in_pod))
		ret->v[ret->n++] = ask_api(kubernetes);
	if (!in_pod)
		return;
	ret->v[ret->n++] = doctor_rights(&config->capture, features);
	/* the node's, not the pod's */
	interfaces = fopen("/proc/1/net/dev", "re");
	if (interfaces)
		ret->n += doctor_network(interfaces, &ret->v[ret->n]);
}
