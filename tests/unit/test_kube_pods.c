/* SPDX-License-Identifier: Apache-2.0 */
/* Pods and services as the API server tells of them. */
#include "enrich/kube_peers.h"
#include "enrich/kube_pods.h"

#include "core/cleanup.h"
#include "core/clock.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>

#define MAX 8

static struct kube_pods *pods;
static unsigned told, words_changed;
static uint64_t told_key;

static void on_pod(void *ctx, uint64_t key, bool words)
{
	(void)ctx;
	told++;
	told_key = key;
	words_changed += words;
}

static void start(void)
{
	told = words_changed = 0;
	cr_assert_eq(kube_pods_new(MAX, on_pod, NULL, &pods), 0);
}

static void stop(void)
{
	kube_pods_free(pods);
}

static kube_text keep(struct kube_pod *pod, const char *text)
{
	kube_text at = pod->used;

	strcpy(pod->text + at, text);
	pod->used = (uint16_t)(pod->used + strlen(text) + 1);
	return at;
}

static void ids_of(int n, char *ret_uid, char *ret_id)
{
	sprintf(ret_uid, "00000000-0000-0000-0000-%012d", n);
	sprintf(ret_id, "%064d", n);
}

static void address(const char *text, uint8_t ret[static ADDR_LEN])
{
	memset(ret, 0, ADDR_LEN);
	ret[10] = ret[11] = 0xff;
	cr_assert_eq(inet_pton(AF_INET, text, ret + 12), 1);
}

/* A pod with one container, if id; its label app is `app`. */
static struct kube_pod pod_of(int n, bool id, const char *app)
{
	struct kube_pod pod = {.used = 1, .container_count = 1, .label_count = 1, .ip_count = 1};
	char name[32], ip[32];

	ids_of(n, pod.uid, pod.containers[0].id);
	if (!id)
		pod.containers[0].id[0] = '\0';
	sprintf(name, "pod-%d", n);
	sprintf(ip, "10.0.0.%d", n);
	address(ip, pod.ips[0]);
	pod.namespace = keep(&pod, "bank");
	pod.name = keep(&pod, name);
	pod.containers[0].name = keep(&pod, "app");
	pod.labels[0].key = keep(&pod, "app");
	pod.labels[0].value = keep(&pod, app);
	return pod;
}

static void put(int n, bool id, const char *app)
{
	struct kube_pod pod = pod_of(n, id, app);

	kube_pods_put(pods, &pod);
}

/* The name of the pod with this container; "" if it is not known. */
static const char *name_of(int n, int *ret_container)
{
	struct container container;
	const struct kube_pod *pod;

	ids_of(n, container.pod_uid, container.id);
	pod = kube_pods_find(pods, &container, ret_container);
	return pod ? kube_pod_text(pod, pod->name) : "";
}

static bool known(int n)
{
	int container;

	return name_of(n, &container)[0];
}

static uint64_t full(void)
{
	struct kube_pods_stats stats;

	kube_pods_stats(pods, &stats);
	return stats.full;
}

TestSuite(kube_pods, .init = start, .fini = stop);

Test(kube_pods, found_by_container_and_by_uid)
{
	char uid[64], id[80];
	int container;

	put(1, false, "a");
	ids_of(1, uid, id);
	cr_expect_eq(told_key, kube_pod_key(slice_str(uid)));
	cr_expect_str_eq(name_of(1, &container), "pod-1", "by its uid");
	cr_expect_eq(container, -1, "its status does not name the container yet");
	put(1, true, "a");
	cr_expect_str_eq(name_of(1, &container), "pod-1");
	cr_expect_eq(container, 0);
	cr_expect_not(known(2));
	cr_expect_eq(told, 2);
	cr_expect_eq(words_changed, 0);
	put(1, true, "b");
	cr_expect_eq(words_changed, 1, "its label");
}

Test(kube_pods, a_static_pod_by_its_hash)
{
	struct kube_pod pod = pod_of(1, false, "a");
	struct container container = {.id = "x", .pod_uid = "8d2ad8a45c1e4c1f9a530f1c2d3e4f50"};
	int index;

	strcpy(pod.static_uid, container.pod_uid);
	kube_pods_put(pods, &pod);
	cr_expect_eq(told, 2, "by either uid");
	cr_expect(kube_pods_find(pods, &container, &index));
}

/* The kubelet makes the mirror anew when its pod's file changes: with the same hash, if only the
 * mirror was deleted. */
Test(kube_pods, a_mirror_that_is_made_anew)
{
	struct kube_pod first = pod_of(1, false, "a"), second = pod_of(2, false, "a");
	struct container container = {.id = "x", .pod_uid = "8d2ad8a45c1e4c1f9a530f1c2d3e4f50"};
	const struct kube_pod *found;
	int index;

	strcpy(first.static_uid, container.pod_uid);
	strcpy(second.static_uid, container.pod_uid);
	for (int late = 0; late < 2; late++) {
		stop();
		start();
		kube_pods_put(pods, &first);
		if (late) /* its end is told after the other's beginning */
			kube_pods_put(pods, &second);
		kube_pods_gone(pods, first.uid, NS_PER_SEC);
		if (!late)
			kube_pods_put(pods, &second);
		found = kube_pods_find(pods, &container, &index);
		cr_assert(found);
		cr_expect_str_eq(found->uid, second.uid);
		kube_pods_tick(pods, 100 * NS_PER_SEC);
		found = kube_pods_find(pods, &container, &index);
		cr_assert(found);
		cr_expect_str_eq(found->uid, second.uid);
	}
}

/* Whoever claims to be that pod as well changes nothing, and costs no place. */
Test(kube_pods, a_static_pod_of_two_claims_is_the_first)
{
	struct container container = {.id = "x", .pod_uid = "8d2ad8a45c1e4c1f9a530f1c2d3e4f50"};
	struct kube_pods_stats stats;
	int index;

	for (int i = 0; i < 20; i++) {
		struct kube_pod pod = pod_of(1 + i % 2, false, "a");
		const struct kube_pod *found;

		strcpy(pod.static_uid, container.pod_uid);
		kube_pods_put(pods, &pod);
		found = kube_pods_find(pods, &container, &index);
		cr_assert(found);
		cr_expect_str_eq(kube_pod_text(found, found->name), "pod-1");
	}
	kube_pods_stats(pods, &stats);
	cr_expect_eq(stats.known, 2);
	cr_expect_eq(stats.full, 0);
}

/* Its last spans are still to come. */
Test(kube_pods, one_that_is_gone_stays_for_a_while)
{
	uint8_t ip[ADDR_LEN];
	char uid[64], id[80];

	address("10.0.0.1", ip);
	put(1, true, "a");
	cr_expect(kube_pods_have(pods, ip));
	ids_of(1, uid, id);
	kube_pods_gone(pods, uid, NS_PER_SEC);
	kube_pods_tick(pods, 30 * NS_PER_SEC);
	cr_expect(known(1));
	cr_expect_not(kube_pods_have(pods, ip), "its address is free");
	kube_pods_tick(pods, 120 * NS_PER_SEC);
	cr_expect_not(known(1));
}

Test(kube_pods, what_is_in_no_list_is_gone_at_its_end)
{
	put(1, true, "a");
	put(2, true, "a");
	kube_pods_list_begin(pods);
	put(2, true, "a");
	kube_pods_tick(pods, 1000 * NS_PER_SEC);
	cr_expect(known(1), "the list is not whole");
	kube_pods_list_begin(pods); /* it started over */
	put(2, true, "a");
	kube_pods_list_end(pods, 1000 * NS_PER_SEC);
	cr_expect(known(1));
	kube_pods_tick(pods, 2000 * NS_PER_SEC);
	cr_expect_not(known(1));
	cr_expect(known(2));
}

Test(kube_pods, a_full_table)
{
	char uid[64], id[80];

	for (int i = 1; i <= MAX + 1; i++)
		put(i, true, "a");
	cr_expect_eq(full(), 1);
	cr_expect_not(known(MAX + 1));
	ids_of(3, uid, id);
	kube_pods_gone(pods, uid, 5);
	put(MAX + 1, true, "a");
	cr_expect(known(MAX + 1), "in the place of one that is gone");
	cr_expect_not(known(3));
	cr_expect_eq(full(), 1);
}

/* Of an address that another pod has taken over, the former owner's end takes nothing away. */
Test(kube_pods, an_address_that_changes_hands)
{
	struct kube_pod second = pod_of(2, true, "a");
	uint8_t ip[ADDR_LEN];
	char uid[64], id[80];

	put(1, true, "a");
	address("10.0.0.1", ip);
	memcpy(second.ips[0], ip, ADDR_LEN);
	ids_of(1, uid, id);
	kube_pods_gone(pods, uid, NS_PER_SEC);
	kube_pods_put(pods, &second);
	kube_pods_tick(pods, 1000 * NS_PER_SEC);
	cr_expect(kube_pods_have(pods, ip));
}

static struct kube_peers *peers;

static void start_peers(void)
{
	cr_assert_eq(kube_peers_new(4, 16, &peers), 0);
}

static void stop_peers(void)
{
	kube_peers_free(peers);
}

static void put_service(const char *name, const char *ip)
{
	struct kube_service service = {.namespace = "bank", .ip_count = ip != NULL};

	strcpy(service.name, name);
	if (ip)
		address(ip, service.ips[0]);
	kube_peers_put_service(peers, &service);
}

static void put_slice(const char *name, const char *service, const char *const *ips)
{
	_free_ struct kube_slice *slice = calloc(1, sizeof(*slice));

	strcpy(slice->namespace, "bank");
	strcpy(slice->name, name);
	strcpy(slice->service, service);
	slice->port_count = 2;
	slice->ports[0] = 8080;
	slice->ports[1] = 9090;
	for (; *ips; ips++)
		address(*ips, slice->ips[slice->count++]);
	kube_peers_put_slice(peers, slice);
}

#define slice_with(name, service, ...)                                                             \
	put_slice(name, service, (const char *const[]){__VA_ARGS__, NULL})

static const char *peer_at(const char *ip, uint16_t port)
{
	static char name[KUBE_LABEL];
	struct kube_peer peer;
	uint8_t addr[ADDR_LEN];

	address(ip, addr);
	if (!kube_peers_find(peers, addr, port, &peer))
		return "";
	snprintf(name, sizeof(name), "%.*s", (int)peer.name.len, peer.name.ptr);
	return name;
}

static const char *peer_of(const char *ip)
{
	return peer_at(ip, 9090);
}

TestSuite(kube_peers, .init = start_peers, .fini = stop_peers);

Test(kube_peers, by_address_of_the_service_and_of_its_endpoints)
{
	put_service("api", "10.96.0.1");
	slice_with("api-1", "api", "10.0.0.1", "10.0.1.1");
	cr_expect_str_eq(peer_of("10.96.0.1"), "api");
	cr_expect_str_eq(peer_of("10.0.1.1"), "api");
	cr_expect_str_eq(peer_of("10.0.0.9"), "");
	slice_with("api-1", "api", "10.0.0.2");
	cr_expect_str_eq(peer_of("10.0.1.1"), "", "a slice replaces what it was");
	cr_expect_str_eq(peer_of("10.0.0.2"), "api");
	kube_peers_slice_gone(peers, "bank", "api-1");
	cr_expect_str_eq(peer_of("10.0.0.2"), "");
	put_service("api", "10.96.0.2");
	cr_expect_str_eq(peer_of("10.96.0.1"), "");
	kube_peers_service_gone(peers, "bank", "api");
	cr_expect_str_eq(peer_of("10.96.0.2"), "");
}

/* A pod may share the address of its node, where others listen as well. */
Test(kube_peers, an_endpoint_is_an_address_and_a_port)
{
	put_service("api", "10.96.0.1");
	slice_with("exporter-1", "exporter", "10.224.0.4");
	cr_expect_str_eq(peer_at("10.224.0.4", 8080), "exporter");
	cr_expect_str_eq(peer_at("10.224.0.4", 10250), "");
	cr_expect_str_eq(peer_at("10.96.0.1", 10250), "api", "a service has its address alone");
}

/* Never a wrong name. */
Test(kube_peers, an_endpoint_of_two_services_tells_of_none)
{
	slice_with("api-1", "api", "10.0.0.1");
	slice_with("admin-1", "admin", "10.0.0.1", "10.0.0.2");
	slice_with("admin-2", "admin", "10.0.0.2");
	cr_expect_str_eq(peer_of("10.0.0.1"), "");
	cr_expect_str_eq(peer_of("10.0.0.2"), "admin", "twice the same");
	kube_peers_slice_gone(peers, "bank", "admin-1");
	cr_expect_str_eq(peer_of("10.0.0.1"), "api");
	cr_expect_str_eq(peer_of("10.0.0.2"), "admin");
}

Test(kube_peers, lists)
{
	put_service("a", "10.96.0.1");
	put_service("b", "10.96.0.2");
	slice_with("a-1", "a", "10.0.0.1");
	kube_peers_list_begin(peers, false);
	put_service("b", "10.96.0.2");
	cr_expect_str_eq(peer_of("10.96.0.1"), "a");
	kube_peers_list_end(peers, false);
	cr_expect_str_eq(peer_of("10.96.0.1"), "");
	cr_expect_str_eq(peer_of("10.96.0.2"), "b");
	cr_expect_str_eq(peer_of("10.0.0.1"), "a", "the list was of services");
}

Test(kube_peers, full)
{
	struct kube_peers_stats stats;
	char name[16], ip[16];

	for (int i = 0; i < 5; i++) {
		sprintf(name, "s%d", i);
		sprintf(ip, "10.96.0.%d", i);
		put_service(name, ip);
	}
	kube_peers_stats(peers, &stats);
	cr_expect_eq(stats.services, 4);
	cr_expect_eq(stats.full, 1);
	for (int i = 0; i < 17; i++) {
		sprintf(name, "s%d", i % 3);
		sprintf(ip, "10.0.0.%d", i);
		slice_with(name, "x", ip);
	}
	kube_peers_stats(peers, &stats);
	cr_expect_eq(stats.endpoints, 3, "each slice's latest");
	cr_expect_eq(stats.full, 1);
}

/* Against a model: services with random addresses, put and taken away. */
Test(kube_peers, at_random)
{
	int owner[8][16] = {0}; /* of each slice: which addresses */
	unsigned seed = 1;

	for (int step = 0; step < 5000; step++) {
		int s = rand_r(&seed) % 6;
		_free_ struct kube_slice *slice = calloc(1, sizeof(*slice));

		strcpy(slice->namespace, "n");
		sprintf(slice->name, "slice%d", s);
		sprintf(slice->service, "service%d", s / 2);
		slice->port_count = 1;
		slice->ports[0] = 9090;
		memset(owner[s], 0, sizeof(owner[s]));
		if (rand_r(&seed) % 4 == 0) {
			kube_peers_slice_gone(peers, "n", slice->name);
		} else {
			for (int a = 0; a < 2; a++) {
				int at = rand_r(&seed) % 8;
				char ip[16];

				if (owner[s][at])
					continue;
				owner[s][at] = 1;
				sprintf(ip, "10.0.0.%d", at);
				address(ip, slice->ips[slice->count++]);
			}
			kube_peers_put_slice(peers, slice);
		}
		for (int at = 0; at < 8; at++) {
			int services = 0;
			char ip[16], want[16] = "";

			for (int k = 0; k < 3; k++)
				if (owner[2 * k][at] || owner[2 * k + 1][at]) {
					services++;
					sprintf(want, "service%d", k);
				}
			sprintf(ip, "10.0.0.%d", at);
			cr_assert_str_eq(peer_of(ip), services == 1 ? want : "");
		}
	}
}
