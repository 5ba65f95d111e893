/* SPDX-License-Identifier: Apache-2.0 */
#include "enrich/container.h"

#include "core/cleanup.h"

#include <criterion/criterion.h>

#define ID   "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ID2  "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
#define UID  "8d2ad8a4-5c1e-4c1f-9a53-0f1c2d3e4f50"
#define UID_ "8d2ad8a4_5c1e_4c1f_9a53_0f1c2d3e4f50"
#define HASH "8d2ad8a45c1e4c1f9a530f1c2d3e4f50"

static const struct {
	const char *path, *id, *uid; /* id NULL: in no container */
} CASES[] = {
	/* systemd */
	{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_
	 ".slice/cri-containerd-" ID ".scope",
		ID, UID},
	{"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" UID_
	 ".slice/docker-" ID ".scope",
		ID, UID},
	{"/kubepods.slice/kubepods-pod" UID_ ".slice/crio-" ID ".scope", ID, UID},
	{"/kubepods.slice/kubepods-pod" UID_ ".slice/crio-" ID ".scope/container", ID, UID},
	/* a static pod */
	{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" HASH
	 ".slice/cri-containerd-" ID ".scope",
		ID, HASH},
	/* cgroupfs */
	{"/kubepods/burstable/pod" UID "/" ID, ID, UID},
	{"/kubepods/pod" UID "/" ID "/init.scope", ID, UID},
	{"/kubepods/besteffort/pod" HASH "/" ID, ID, HASH},
	/* colon */
	{"/system.slice/containerd.service/kubepods-burstable-pod" UID_ ".slice:cri-containerd:" ID,
		ID, UID},
	/* in a node that is a container */
	{"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/"
	 "kubelet-kubepods-burstable-pod" UID_ ".slice/cri-containerd-" ID ".scope",
		ID, UID},
	{"/docker/" ID2 "/kubelet/kubepods/burstable/pod" UID "/" ID, ID, UID},
	{"/docker-" ID2 ".scope/kubepods.slice/kubepods-pod" UID_ ".slice/cri-containerd-" ID
	 ".scope",
		ID, UID},
	/* seen from a cgroup namespace */
	{"/../../kubepods-besteffort-pod" UID_ ".slice/cri-containerd-" ID ".scope", ID, UID},
	{"/../../../burstable/pod" UID "/" ID, ID, UID},
	{"/../cri-containerd-" ID ".scope", ID, ""},
	/* a container within a container: the pod's own */
	{"/kubepods/pod" UID "/" ID "/docker/" ID2, ID, UID},
	{"/../../kubepods-burstable-pod" UID_ ".slice/cri-containerd-" ID ".scope/docker/" ID2, ID,
		UID},
	{"/system.slice/containerd.service/kubepods-pod" UID_ ".slice:cri-containerd:" ID
	 "/docker/" ID2,
		ID, UID},
	{"/docker/" ID "/docker/" ID2, ID2, ""},
	/* a node within a pod */
	{"/kubepods/pod" HASH "/" ID2 "/docker/" ID2 "/kubelet/kubepods/pod" UID "/" ID, ID, UID},
	{"/kubepods/pod" HASH "/" ID2 "/kubepods-pod" UID_ ".slice:cri-containerd:" ID, ID, UID},
	/* without Kubernetes */
	{"/docker/" ID, ID, ""},
	{"/system.slice/docker-" ID ".scope", ID, ""},
	/* in none */
	{"", NULL, NULL},
	{"/", NULL, NULL},
	{"/system.slice/ssh.service", NULL, NULL},
	{"/kubepods.slice/kubepods-pod" UID_ ".slice", NULL, NULL},
	{"/kubepods.slice/kubepods-pod" UID_ ".slice/crio-conmon-" ID ".scope", NULL, NULL},
	{"/kubepods/pod" UID "/0123456789abcdef", NULL, NULL},
	{"/kubepods/pod" UID "/" ID "0", NULL, NULL},
	{"/docker/" ID2 "/kubelet/kubepods/burstable/pod" UID, NULL, NULL},
	{"/kubepods/pod" UID "/0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
		NULL, NULL},
	/* a uid that is none */
	{"/kubepods/pod8d2ad8a4-5c1e-4c1f-9a53-0f1c2d3e4fxx/" ID, ID, ""},
	{"/kubepods/podium/" ID, ID, ""},
};

Test(container, forms)
{
	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++) {
		struct container c = {0};
		bool in = container_of_cgroup(slice_str(CASES[i].path), &c);

		cr_expect_eq(in, CASES[i].id != NULL, "%s", CASES[i].path);
		if (!in || !CASES[i].id)
			continue;
		cr_expect_str_eq(c.id, CASES[i].id, "%s: %s", CASES[i].path, c.id);
		cr_expect_str_eq(c.pod_uid, CASES[i].uid, "%s: %s", CASES[i].path, c.pod_uid);
	}
}

/* No path reads past its end: each is tried at every length, without a NUL behind it. */
Test(container, cut_anywhere)
{
	for (size_t i = 0; i < ARRAY_SIZE(CASES); i++)
		for (size_t len = 0; len <= strlen(CASES[i].path); len++) {
			_free_ char *copy = malloc(len ? len : 1);
			struct container c;

			memcpy(copy, CASES[i].path, len);
			container_of_cgroup(slice_of(copy, len), &c);
		}
}
