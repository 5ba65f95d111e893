/* SPDX-License-Identifier: Apache-2.0 */
/* What is said of a pod's processes. */
#include "enrich/kube_attrs.h"

#include "core/cleanup.h"
#include "sample_pod.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct kube_where where = {
	.node_name = "n1", .cluster_name = "prod", .cluster_uid = "c-uid"};

static const char *value(const struct process_attrs *attrs, const char *key)
{
	static char text[256];

	text[0] = '\0';
	for (unsigned i = 0; i < attrs->n; i++)
		if (slice_eq(attrs->attrs[i].key, slice_str(key)))
			snprintf(text, sizeof(text), "%.*s", (int)attrs->attrs[i].str.len,
				attrs->attrs[i].str.ptr);
	return text;
}

/* Which of the sources of service.* counts. */
Test(kube_attrs, names_of_the_service)
{
	static const char ENVIRON[] = "OTEL_SERVICE_NAME=from-env\0OTEL_RESOURCE_ATTRIBUTES="
				      "service.version=9,service.instance.id=i-1,team=pay";
	struct kube_pod pod = pod_named("bank", "api-7d4b-x");
	struct process_attrs attrs;

	attrs_of(ENVIRON, sizeof(ENVIRON), &attrs);
	kube_attrs_add(&attrs, &where, &pod, 0, ID);
	cr_expect_str_eq(value(&attrs, "service.name"), "from-env");
	cr_expect_str_eq(value(&attrs, "service.version"), "9");
	cr_expect_str_eq(value(&attrs, "service.instance.id"), "i-1");
	cr_expect_str_eq(value(&attrs, "service.namespace"), "bank");
	cr_expect_str_eq(value(&attrs, "team"), "pay");
	note(&pod, "resource.opentelemetry.io/service.name", "from-note");
	note(&pod, "resource.opentelemetry.io/deployment.environment.name", "prod");
	note(&pod, "resource.opentelemetry.io/", "nothing");
	attrs_of(ENVIRON, sizeof(ENVIRON), &attrs);
	kube_attrs_add(&attrs, &where, &pod, -1, "");
	cr_expect_str_eq(value(&attrs, "service.name"), "from-note");
	cr_expect_str_eq(value(&attrs, "deployment.environment.name"), "prod");
	cr_expect_str_eq(value(&attrs, "k8s.container.name"), "");
	cr_expect_str_eq(value(&attrs, "container.id"), "");
	pod = pod_named("bank", "lonely");
	pod.owners[0].kind = pod.owners[1].kind = pod.owners[0].name = pod.owners[1].name = 0;
	attrs_of("", 0, &attrs);
	kube_attrs_add(&attrs, &where, &pod, 0, ID);
	cr_expect_str_eq(value(&attrs, "service.name"), "lonely");
}

/* Images by tag and by digest. */
Test(kube_attrs, versions)
{
	static const struct {
		const char *image, *name, *version;
	} CASES[] = {
		{"nginx", "nginx", ""},
		{"nginx:1.25", "nginx", "1.25"},
		{"reg:5000/nginx", "reg:5000/nginx", ""},
		{"reg:5000/a/b:2", "reg:5000/a/b", "2"},
		{"nginx@sha256:ab", "nginx", "sha256:ab"},
		{"nginx:1@sha256:ab", "nginx", "1@sha256:ab"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct kube_pod pod = pod_named("bank", "api");
		struct process_attrs attrs;

		attrs_of("", 0, &attrs);
		pod.containers[0].image = keep(&pod, CASES[i].image);
		kube_attrs_add(&attrs, &where, &pod, 0, ID);
		cr_expect_str_eq(value(&attrs, "container.image.name"), CASES[i].name);
		cr_expect_str_eq(value(&attrs, "service.version"), CASES[i].version);
	}
}

Test(kube_attrs, azure)
{
	static const struct {
		const char *provider, *label, *region, *cluster, *id;
	} CASES[] = {
		{"azure:///subscriptions/s-1/resourceGroups/mc_rg_shop_westeurope/providers/x",
			"MC_rg_shop_westeurope", "westeurope", "shop",
			("/subscriptions/s-1/resourceGroups/rg/providers/"
			 "Microsoft.ContainerService/managedClusters/shop")},
		/* could be split in two ways */
		{"azure:///subscriptions/s-1/resourceGroups/x", "MC_my_rg_shop_westeurope",
			"westeurope", NULL, NULL},
		{"azure:///subscriptions/s-1/resourceGroups/x", "my-nodes", "westeurope", NULL,
			NULL},
		{"azure:///nothing", "MC_rg_shop_westeurope", "westeurope", NULL, NULL},
		{"aws:///eu-west-1a/i-0", "MC_rg_shop_westeurope", "westeurope", NULL, NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct kube_node node = {.name = "n1"};
		struct kube_aks aks;

		strcpy(node.provider_id, CASES[i].provider);
		strcpy(node.cluster, CASES[i].label);
		strcpy(node.region, CASES[i].region);
		cr_expect_eq(kube_aks_of(&node, &aks), CASES[i].id != NULL, "case %zu", i);
		if (!CASES[i].id)
			continue;
		cr_expect_str_eq(aks.cluster, CASES[i].cluster);
		cr_expect_str_eq(aks.resource_id, CASES[i].id);
	}
}
