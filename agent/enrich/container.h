/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cgroup's path as Kubernetes makes it → the container and the pod. Pure.
 *
 * Forms (pod part / container part):
 *   systemd   kubepods[-QOS]-pod<uid with _ for ->.slice / <runtime>-<id>.scope
 *   cgroupfs  pod<uid> / <id>
 *   colon     …slice:<runtime>:<id>
 * at any depth below the root, also in front of "/../" (as seen from a cgroup namespace), or below
 * a node that is itself a container (kind). A static pod's uid is the hash of its configuration.
 */
#pragma once
#include "core/slice.h"

#include <stdbool.h>

#define CONTAINER_ID_LEN 64 /* hexadecimal digits */
#define POD_UID_LEN      36 /* a UUID as text; a static pod's hash has 32 digits */

struct container {
	char id[CONTAINER_ID_LEN + 1];
	char pod_uid[POD_UID_LEN + 1]; /* with dashes; empty if the path does not say */
};

/* Whether the path lies in a container; then the innermost pod's own, which may have made others
 * inside of it; in no pod, the innermost one. */
bool container_of_cgroup(struct slice path, struct container *ret_container);
