/* SPDX-License-Identifier: Apache-2.0 */
#include "enrich/container.h"

#include <ctype.h>
#include <string.h>

static const struct slice SCOPE = {".scope", 6};
static const struct slice SLICE_UNIT = {".slice", 6};

static bool is_hex(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!isxdigit((unsigned char)s.ptr[i]) || isupper((unsigned char)s.ptr[i]))
			return false;
	return s.len;
}

static struct slice without_end(struct slice s, struct slice end)
{
	if (s.len > end.len && memcmp(s.ptr + s.len - end.len, end.ptr, end.len) == 0)
		s.len -= end.len;
	return s;
}

/* What follows the last c; all of it if there is none. */
static struct slice behind_last(struct slice s, char c)
{
	const char *at = s.len ? memrchr(s.ptr, c, s.len) : NULL;

	return at ? slice_of(at + 1, s.len - (size_t)(at + 1 - s.ptr)) : s;
}

/* A pod's uid as the path has it: a UUID with dashes, or underscores for them, or a static pod's
 * hash. */
static bool read_uid(struct slice s, char ret_uid[static POD_UID_LEN + 1])
{
	static const unsigned char DASHES[] = {8, 13, 18, 23};
	char uid[POD_UID_LEN];

	if (s.len == 32 && is_hex(s)) {
		memcpy(ret_uid, s.ptr, s.len);
		ret_uid[s.len] = '\0';
		return true;
	}
	if (s.len != POD_UID_LEN)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		bool dash = memchr(DASHES, (int)i, sizeof(DASHES));

		if (dash ? s.ptr[i] != '-' && s.ptr[i] != '_' : !is_hex(slice_of(s.ptr + i, 1)))
			return false;
		uid[i] = dash ? '-' : s.ptr[i];
	}
	memcpy(ret_uid, uid, s.len);
	ret_uid[s.len] = '\0';
	return true;
}

/* "pod<uid>", "kubepods-burstable-pod<uid>.slice", and what stands before a colon. */
static bool read_pod(struct slice part, char ret_uid[static POD_UID_LEN + 1])
{
	struct slice unit = without_end(part, SLICE_UNIT);

	for (size_t i = 0; i + 3 < unit.len; i++)
		if ((i == 0 || unit.ptr[i - 1] == '-') && memcmp(unit.ptr + i, "pod", 3) == 0 &&
			read_uid(slice_of(unit.ptr + i + 3, unit.len - i - 3), ret_uid))
			return true;
	return false;
}

/* "<id>", "<runtime>-<id>.scope", "<unit>:<runtime>:<id>"; not cri-o's monitor of one. */
static bool read_container(struct slice part, char ret_id[static CONTAINER_ID_LEN + 1])
{
	static const struct slice MONITOR = {"crio-conmon-", 12};
	struct slice id = without_end(part, SCOPE);

	if (slice_starts(id, MONITOR))
		return false;
	id = behind_last(behind_last(id, ':'), '-');
	if (id.len != CONTAINER_ID_LEN || !is_hex(id))
		return false;
	memcpy(ret_id, id.ptr, id.len);
	ret_id[id.len] = '\0';
	return true;
}

bool container_of_cgroup(struct slice path, struct container *ret_container)
{
	struct container found = {0};
	bool inside = false;

	while (path.len) {
		struct slice part = slice_cut(&path, '/');
		struct slice before = part;

		/* of a pod inside of a container (kind): what came before was the node */
		if (read_pod(slice_cut(&before, ':'), found.pod_uid))
			inside = false;
		/* of a container inside of a pod's (Docker in Docker): no pod's status names it */
		if (inside && found.pod_uid[0])
			continue;
		if (read_container(part, found.id))
			inside = true;
	}
	if (!inside)
		return false;
	*ret_container = found;
	return true;
}
