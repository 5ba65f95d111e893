/* SPDX-License-Identifier: Apache-2.0 */
/* The API server's objects and answers, real and hostile. */
#include "enrich/kube_object.h"

#include "core/cleanup.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char POD[] =
	"{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"api-7d4b9c5f6-x2x4z\","
	"\"namespace\":\"bank\",\"uid\":\"8d2ad8a4-5c1e-4c1f-9a53-0f1c2d3e4f50\","
	"\"resourceVersion\":\"77\","
	"\"labels\":{\"app\":\"api\",\"pod-template-hash\":\"7d4b9c5f6\"},\"annotations\":{"
	"\"k8s.v1.cni.cncf.io/network-status\":\"[]\",\"weft.io/trace\":\"true\","
	"\"resource.opentelemetry.io/"
	"service.name\":\"payments\"},\"ownerReferences\":[{\"apiVersion\":"
	"\"apps/v1\",\"kind\":\"ReplicaSet\",\"name\":\"api-7d4b9c5f6\",\"controller\":true}]},"
	"\"spec\":{\"nodeName\":\"n1\",\"hostNetwork\":false},\"status\":{\"phase\":\"Running\","
	"\"podIP\":\"10.244.0.7\",\"podIPs\":[{\"ip\":\"10.244.0.7\"},{\"ip\":\"fd00::7\"}],"
	"\"startTime\":\"2026-11-25T08:00:00Z\",\"containerStatuses\":[{\"name\":\"app\","
	"\"restartCount\":2,"
	"\"image\":\"reg.example.com:5000/bank/api:1.2.3\",\"containerID\":\"containerd://" ID
	"\"},"
	"{\"name\":\"late\",\"restartCount\":0,\"image\":\"x\"}]}}";

static int read_pod(const char *text, struct kube_pod *pod)
{
	json_t *object;
	int r = kube_parse(slice_str(text), &object);

	if (r == 0) {
		r = kube_pod_read(object, pod);
		json_decref(object);
	}
	return r;
}

#define expect_text(pod, field, text) cr_expect_str_eq(kube_pod_text(&(pod), (pod).field), text)

Test(kube_object, pod)
{
	static const uint8_t V4[ADDR_LEN] = {[10] = 0xff, 0xff, 10, 244, 0, 7};
	struct kube_pod pod;

	cr_assert_eq(read_pod(POD, &pod), 0);
	cr_expect_str_eq(pod.uid, "8d2ad8a4-5c1e-4c1f-9a53-0f1c2d3e4f50");
	expect_text(pod, namespace, "bank");
	expect_text(pod, name, "api-7d4b9c5f6-x2x4z");
	expect_text(pod, start_time, "2026-11-25T08:00:00Z");
	expect_text(pod, owners[KUBE_DIRECT].kind, "ReplicaSet");
	expect_text(pod, owners[KUBE_DIRECT].name, "api-7d4b9c5f6");
	expect_text(pod, owners[KUBE_TOP].kind, "Deployment");
	expect_text(pod, owners[KUBE_TOP].name, "api");
	cr_expect_eq(pod.ip_count, 2);
	cr_expect_arr_eq(pod.ips[0], V4, ADDR_LEN);
	cr_expect_eq(pod.container_count, 2);
	expect_text(pod, containers[0].name, "app");
	expect_text(pod, containers[0].image, "reg.example.com:5000/bank/api:1.2.3");
	cr_expect_str_eq(pod.containers[0].id, ID);
	cr_expect_eq(pod.containers[0].restarts, 2);
	cr_expect_str_empty(pod.containers[1].id);
	cr_expect_str_eq(kube_pod_label(&pod, SLICE("app")), "api");
	cr_expect_null(kube_pod_label(&pod, SLICE("ap")));
	cr_expect_str_eq(kube_pod_note(&pod, SLICE("weft.io/trace")), "true");
	cr_expect_str_eq(
		kube_pod_note(&pod, SLICE("resource.opentelemetry.io/service.name")), "payments");
	cr_expect_str_eq(kube_pod_note(&pod, SLICE("k8s.v1.cni.cncf.io/network-status")), "[]");
	cr_expect_not(pod.cut);
	cr_expect_not(pod.host_network);
}

/* What owns a pod in the end. */
Test(kube_object, owners)
{
	static const struct {
		const char *kind, *name, *hash, *top_kind, *top_name;
	} CASES[] = {
		{"ReplicaSet", "web-abc", "abc", "Deployment", "web"},
		{"ReplicaSet", "web-abc", "xyz", "ReplicaSet", "web-abc"},
		{"ReplicaSet", "web-abc", NULL, "ReplicaSet", "web-abc"},
		{"ReplicaSet", "web", "web", "ReplicaSet", "web"},
		{"StatefulSet", "db", NULL, "StatefulSet", "db"},
		{"DaemonSet", "agent-abc", "abc", "DaemonSet", "agent-abc"},
		{"Job", "report-29401230", NULL, "CronJob", "report"},
		{"Job", "report-2026", NULL, "Job", "report-2026"},
		{"Job", "migrate", NULL, "Job", "migrate"},
		{"Rollout", "web-abc", "abc", "Rollout", "web-abc"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		char text[1024], label[128] = "";
		struct kube_pod pod;

		if (CASES[i].hash)
			snprintf(label, sizeof(label), "\"pod-template-hash\":\"%s\"",
				CASES[i].hash);
		snprintf(text, sizeof(text),
			"{\"metadata\":{\"uid\":\"u\",\"name\":\"p\",\"namespace\":\"n\","
			"\"labels\":{%s},"
			"\"ownerReferences\":[{\"kind\":\"x\",\"name\":\"y\"},{\"controller\":true,"
			"\"kind\":\"%s\",\"name\":\"%s\"}]}}",
			label, CASES[i].kind, CASES[i].name);
		cr_assert_eq(read_pod(text, &pod), 0);
		expect_text(pod, owners[KUBE_DIRECT].name, CASES[i].name);
		expect_text(pod, owners[KUBE_TOP].kind, CASES[i].top_kind);
		expect_text(pod, owners[KUBE_TOP].name, CASES[i].top_name);
	}
}

Test(kube_object, a_static_pod_has_another_uid_in_its_paths)
{
#define HASH "8d2ad8a45c1e4c1f9a530f1c2d3e4f50"
	static const struct {
		const char *notes, *uid;
	} CASES[] = {
		{"\"kubernetes.io/config.hash\":\"" HASH
		 "\",\"kubernetes.io/config.mirror\":\"" HASH "\"",
			HASH},
		/* an annotation is anybody's; another pod's uid is not to be had by one */
		{"\"kubernetes.io/config.hash\":\"" HASH "\"", ""},
		{"\"kubernetes.io/config.hash\":\"8d2ad8a4-5c1e-4c1f-9a53-0f1c2d3e4f50\","
		 "\"kubernetes.io/config.mirror\":\"x\"",
			""},
		{"\"kubernetes.io/config.hash\":\"" HASH
		 "0\",\"kubernetes.io/config.mirror\":\"x\"",
			""},
	};
	struct kube_pod pod;
	char text[512];

	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		snprintf(text, sizeof(text),
			"{\"metadata\":{\"uid\":\"u\",\"name\":\"p\",\"namespace\":\"n\","
			"\"annotations\":{%s}},\"spec\":{\"hostNetwork\":true}}",
			CASES[i].notes);
		cr_assert_eq(read_pod(text, &pod), 0);
		cr_expect_str_eq(pod.static_uid, CASES[i].uid);
		cr_expect(pod.host_network);
	}
}

/* Whether it is traced and whose it is comes before what only describes it. */
Test(kube_object, wishes_have_room_before_labels_and_images)
{
	_free_ char *text = malloc(1 << 16);
	struct kube_pod pod;
	size_t n = (size_t)sprintf(text,
		"{\"metadata\":{\"uid\":\"u\",\"name\":\"p\",\"namespace\":\"n\","
		"\"annotations\":{\"weft.io/trace\":\"false\"},\"ownerReferences\":[{\"kind\":"
		"\"ReplicaSet\",\"name\":\"api-7d4b\",\"controller\":true}],\"labels\":{");

	for (int i = 0; i < 30; i++)
		n += (size_t)sprintf(text + n, "\"key-%d\":\"%060d\",", i, i);
	n += (size_t)sprintf(
		text + n, "\"pod-template-hash\":\"7d4b\"}},\"status\":{\"containerStatuses\":[");
	for (int i = 0; i < 12; i++)
		n += (size_t)sprintf(
			text + n, "%s{\"name\":\"c%d\",\"image\":\"%0120d\"}", i ? "," : "", i, i);
	sprintf(text + n, "]}}");
	cr_assert_eq(read_pod(text, &pod), 0);
	cr_expect(pod.cut);
	cr_expect_str_eq(kube_pod_note(&pod, SLICE("weft.io/trace")), "false");
	expect_text(pod, owners[KUBE_TOP].kind, "Deployment");
	expect_text(pod, owners[KUBE_TOP].name, "api");
	for (unsigned i = 0; i < pod.label_count; i++)
		cr_expect_str_not_empty(kube_pod_text(&pod, pod.labels[i].value));
}

/* The API server takes a NUL in what people may choose, and weft reads it as if it were not there.
 */
Test(kube_object, a_nul_is_the_end_of_nothing)
{
	struct kube_pod pod;

	cr_assert_eq(read_pod("{\"metadata\":{\"uid\":\"u\",\"name\":\"p\",\"namespace\":\"n\","
			      "\"labels\":{\"a\":\"x\\u0000y\",\"b\":\"z\"}}}",
			     &pod),
		0);
	cr_expect_eq(pod.label_count, 1);
	cr_expect_str_eq(kube_pod_label(&pod, SLICE("b")), "z");
	cr_expect_eq(read_pod("{\"metadata\":{\"uid\":\"u\",\"name\":\"p\\u0000q\","
			      "\"namespace\":\"n\"}}",
			     &pod),
		-EINVAL);
}

/* More than there is room for is left out, and said. */
Test(kube_object, a_pod_of_excess)
{
	_free_ char *text = malloc(1 << 20);
	struct kube_pod pod;
	size_t n = (size_t)sprintf(text,
		"{\"metadata\":{\"uid\":\"u\",\"name\":\"p\",\"namespace\":\"n\",\"labels\":{");

	for (int i = 0; i < 1000; i++)
		n += (size_t)sprintf(text + n, "%s\"key-%d\":\"value\"", i ? "," : "", i);
	n += (size_t)sprintf(text + n, "}},\"status\":{\"containerStatuses\":[");
	for (int i = 0; i < 1000; i++)
		n += (size_t)sprintf(text + n, "%s{\"name\":\"c%d\"}", i ? "," : "", i);
	sprintf(text + n, "]}}");
	cr_assert_eq(read_pod(text, &pod), 0);
	cr_expect(pod.cut);
	cr_expect_leq(pod.label_count, KUBE_POD_LABELS);
	cr_expect_leq(pod.container_count, KUBE_POD_CONTAINERS);
	cr_expect_lt(pod.used, KUBE_POD_TEXT);
}

Test(kube_object, what_is_no_pod)
{
	static const char *const CASES[] = {
		"{}",
		"{\"metadata\":null}",
		"{\"metadata\":[]}",
		"{\"metadata\":{\"uid\":7,\"name\":\"p\",\"namespace\":\"n\"}}",
		"{\"metadata\":{\"uid\":\"u\",\"name\":\"p\"}}",
		"{\"metadata\":{\"uid\":\"u\",\"namespace\":\"n\",\"name\":{}}}",
		"{\"metadata\":{\"uid\":\"0123456789012345678901234567890123456789\",\"name\":"
		"\"p\","
		"\"namespace\":\"n\"}}",
	};
	struct kube_pod pod;

	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++)
		cr_expect_eq(read_pod(CASES[i], &pod), -EINVAL, "%s", CASES[i]);
}

/* Members of a wrong type are as if they were not there. */
Test(kube_object, members_of_a_wrong_type)
{
	struct kube_pod pod;

	cr_assert_eq(read_pod("{\"metadata\":{\"uid\":\"u\",\"name\":\"p\",\"namespace\":\"n\","
			      "\"labels\":[1],"
			      "\"annotations\":7,\"ownerReferences\":{}},\"spec\":[],\"status\":{"
			      "\"podIPs\":"
			      "[7,{\"ip\":\"nonsense\"}],\"containerStatuses\":[null,{\"name\":3},{"
			      "\"name\":\"c\","
			      "\"containerID\":\"containerd://short\",\"restartCount\":-4}]}}",
			     &pod),
		0);
	cr_expect_eq(pod.ip_count, 0);
	cr_expect_eq(pod.container_count, 1);
	cr_expect_str_empty(pod.containers[0].id);
	cr_expect_eq(pod.containers[0].restarts, 0);
}

Test(kube_object, services_and_slices)
{
	struct kube_service service;
	struct kube_slice slice;
	json_t *object;

	cr_assert_eq(kube_parse(SLICE("{\"metadata\":{\"name\":\"api\",\"namespace\":\"bank\"},"
				      "\"spec\":{\"clusterIP\":\"10.0.0.10\",\"clusterIPs\":["
				      "\"10.0.0.10\",\"fd00::10\"]}}"),
			     &object),
		0);
	cr_assert_eq(kube_service_read(object, &service), 0);
	json_decref(object);
	cr_expect_str_eq(service.name, "api");
	cr_expect_eq(service.ip_count, 2);
	cr_assert_eq(kube_parse(SLICE("{\"metadata\":{\"name\":\"db\",\"namespace\":\"bank\"},"
				      "\"spec\":{\"clusterIP\":\"None\"}}"),
			     &object),
		0);
	cr_assert_eq(kube_service_read(object, &service), 0);
	json_decref(object);
	cr_expect_eq(service.ip_count, 0, "headless");
	cr_assert_eq(
		kube_parse(
			SLICE("{\"metadata\":{\"name\":\"api-x1\",\"namespace\":\"bank\","
			      "\"labels\":"
			      "{\"kubernetes.io/"
			      "service-name\":\"api\"}},\"ports\":[{\"port\":8080},{\"port\":"
			      "null},{\"port\":70000},{\"port\":9}],\"endpoints\":[{\"addresses\":"
			      "[\"10.244.0.7\"]},{\"addresses\":[\"10.244.1.9\",\"x\"]},null]}"),
			&object),
		0);
	cr_assert_eq(kube_slice_read(object, &slice), 0);
	json_decref(object);
	cr_expect_str_eq(slice.service, "api");
	cr_expect_eq(slice.count, 2);
	cr_expect_eq(slice.port_count, 2);
	cr_expect_eq(slice.ports[0], 8080);
	cr_expect_eq(slice.ports[1], 9);
	cr_expect_not(slice.cut);
}

static unsigned items;

static int count_item(void *ctx, const json_t *object)
{
	(void)ctx;
	(void)object;
	return ++items == 99 ? -ESHUTDOWN : 0;
}

Test(kube_object, pages)
{
	static const struct {
		const char *text;
		int result;
		unsigned items, unread;
		const char *version, *next;
	} CASES[] = {
		{"{\"kind\":\"PodList\",\"metadata\":{\"resourceVersion\":\"5\",\"continue\":"
		 "\"abc\"},"
		 "\"items\":[{},{\"a\":[1,{}]}]}",
			0, 2, 0, "5", "abc"},
		{" { \"items\" : [ ] , \"metadata\" : { \"resourceVersion\" : \"7\" } } \n", 0, 0,
			0, "7", ""},
		{"{\"items\":null,\"metadata\":{\"resourceVersion\":\"7\"}}", 0, 0, 0, "7", ""},
		{"{\"items\":[]}", -EINVAL, 0, 0, "", ""},
		{"{\"items\":[{},],\"metadata\":{\"resourceVersion\":\"7\"}}", -EINVAL, 1, 0, "",
			""},
		/* one that cannot be read is passed over */
		{"{\"items\":[7,{}],\"metadata\":{\"resourceVersion\":\"7\"}}", 0, 1, 1, "7", ""},
		{"{\"items\":[{\"a\\u0000b\":1},{\"a\":nonsense}, {\"}]\\\"\":\"\\\\\"} ],"
		 "\"metadata\":{\"resourceVersion\":\"7\"}}",
			0, 1, 2, "7", ""},
		{"{\"metadata\":{\"resourceVersion\":\"7\"}} x", -EINVAL, 0, 0, "7", ""},
		{"{\"metadata\"{}}", -EINVAL, 0, 0, "", ""},
		{"[]", -EINVAL, 0, 0, "", ""},
		{"", -EINVAL, 0, 0, "", ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct kube_page page;

		items = 0;
		cr_expect_eq(kube_page_read(slice_str(CASES[i].text), count_item, NULL, &page),
			CASES[i].result, "%s", CASES[i].text);
		cr_expect_eq(items, CASES[i].items, "%s", CASES[i].text);
		cr_expect_eq(page.unread, CASES[i].unread, "%s", CASES[i].text);
		cr_expect_str_eq(page.version, CASES[i].version);
		cr_expect_str_eq(page.next, CASES[i].next);
	}
}

Test(kube_object, a_page_cut_anywhere_is_no_page)
{
	static const char TEXT[] =
		"{\"metadata\":{\"resourceVersion\":\"5\"},\"items\":[{\"a\":\"b\"}]}";

	for (size_t len = 0; len < sizeof(TEXT) - 1; len++) {
		_free_ char *copy = malloc(len ? len : 1);
		struct kube_page page;

		memcpy(copy, TEXT, len);
		cr_expect_eq(kube_page_read(slice_of(copy, len), count_item, NULL, &page), -EINVAL);
	}
}

Test(kube_object, too_long_and_too_deep)
{
	size_t size = KUBE_OBJECT_MAX + 100;
	_free_ char *text = malloc(size);
	json_t *object;

	memset(text, 'x', size);
	memcpy(text, "{\"a\":\"", 6);
	memcpy(text + size - 2, "\"}", 2);
	cr_expect_eq(kube_parse(slice_of(text, size), &object), -E2BIG);
	memset(text, '[', size);
	cr_expect_eq(kube_parse(slice_of(text, size), &object), -E2BIG);
	memset(text, '[', 5000);
	cr_expect_eq(kube_parse(slice_of(text, 5000), &object), -E2BIG);
	/* each value takes memory, however short */
	memset(text, ',', KUBE_VALUES_MAX + 10);
	memcpy(text, "[1,1", 4);
	cr_expect_eq(kube_parse(slice_of(text, KUBE_VALUES_MAX + 10), &object), -E2BIG);
	memset(text, ',', KUBE_VALUES_MAX + 10);
	memcpy(text, "{\"a\":\"", 6);
	memcpy(text + KUBE_VALUES_MAX + 8, "\"}", 2);
	cr_assert_eq(kube_parse(slice_of(text, KUBE_VALUES_MAX + 10), &object), 0);
	json_decref(object);
}

Test(kube_object, one_object_too_long_is_not_the_others_end)
{
	static const char HEAD[] =
		"{\"metadata\":{\"resourceVersion\":\"5\"},\"items\":[{},{\"a\":\"";
	size_t size = KUBE_OBJECT_MAX + 1000;
	_free_ char *text = malloc(size);
	struct kube_page page;

	memset(text, '{', size);
	memcpy(text, HEAD, sizeof(HEAD) - 1);
	memcpy(text + size - 13, "\"},{\"b\":1}]}", 13);
	items = 0;
	cr_expect_eq(kube_page_read(slice_of(text, size), count_item, NULL, &page), 0);
	cr_expect_eq(items, 2);
	cr_expect_eq(page.unread, 1);
}

/* As the last page it would make all that follow look gone. */
Test(kube_object, a_continuation_that_does_not_fit_is_an_error)
{
	_free_ char *text = malloc(8192);
	struct kube_page page;

	sprintf(text,
		"{\"metadata\":{\"resourceVersion\":\"5\",\"continue\":\"%03000d\"},\"items\":[]}",
		0);
	cr_expect_eq(kube_page_read(slice_str(text), count_item, NULL, &page), -E2BIG);
}

Test(kube_object, lines)
{
	static const struct {
		const char *text;
		int result;
		enum kube_event event;
		int code;
		const char *version;
	} CASES[] = {
		{"{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"resourceVersion\":\"8\"}}}", 0,
			KUBE_ADDED, 0, "8"},
		{"{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"Pod\",\"metadata\":{"
		 "\"resourceVersion\":"
		 "\"99\"}}}",
			0, KUBE_BOOKMARK, 0, "99"},
		{"{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,\"reason\":"
		 "\"Expired\"}}",
			0, KUBE_ERROR, 410, ""},
		{"{\"type\":\"DELETED\",\"object\":{}}", 0, KUBE_DELETED, 0, ""},
		{"{\"type\":\"WHAT\",\"object\":{}}", -EINVAL, 0, 0, ""},
		{"{\"type\":7,\"object\":{}}", -EINVAL, 0, 0, ""},
		{"{\"type\":\"ADDED\"}", -EINVAL, 0, 0, ""},
		{"{\"type\":\"ADDED\",\"object\":{}", -EINVAL, 0, 0, ""},
		{"nonsense", -EINVAL, 0, 0, ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct kube_line line = {0};
		int r = kube_line_read(slice_str(CASES[i].text), &line);

		cr_expect_eq(r, CASES[i].result, "%s", CASES[i].text);
		if (r)
			continue;
		cr_expect_eq(line.event, CASES[i].event);
		cr_expect_eq(line.code, CASES[i].code);
		cr_expect_str_eq(line.version, CASES[i].version);
		cr_expect_eq(line.object == NULL, line.event == KUBE_ERROR);
		json_decref(line.object);
	}
}
