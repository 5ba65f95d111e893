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

struct finding doctor_rights(const struct features *features)
{
	static const struct {
		int number;
		const char *name;
	} asked[] = {
		{CAP_BPF, "CAP_BPF"},
		{CAP_PERFMON, "CAP_PERFMON"},
		{CAP_SYS_PTRACE, "CAP_SYS_PTRACE"},
		{CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH"},
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

	for (size_t i = 0; i < ARRAY_SIZE(asked); i++)
		if (!features_has_cap(features, asked[i].number))
			at += (size_t)snprintf(f.detail + at, sizeof(f.detail) - at, "%s%s",
				at ? ", " : "without ", asked[i].name);
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

void doctor_cluster(const struct kubernetes_options *options, const struct features *features,
	struct findings *ret)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST");
	_fclose_ FILE *interfaces = NULL;

	ret->n = 0;
	if (options->use == KUBERNETES_OFF ||
		(options->use == KUBERNETES_AUTO && (!host || !host[0])))
		return;
	ret->v[ret->n++] = ask_api(options);
	if (host && host[0])
		ret->v[ret->n++] = doctor_rights(features);
	/* the node's, not the pod's */
	interfaces = fopen("/proc/1/net/dev", "re");
	if (interfaces)
		ret->n += doctor_network(interfaces, &ret->v[ret->n]);
}
