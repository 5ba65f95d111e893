/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/privileges.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BIT(cap) (1ull << (cap))

struct caps {
	uint64_t effective, permitted, inheritable;
};

static struct __user_cap_header_struct this_thread(void)
{
	return (struct __user_cap_header_struct){.version = _LINUX_CAPABILITY_VERSION_3};
}

static int get(struct caps *ret_caps)
{
	struct __user_cap_header_struct head = this_thread();
	struct __user_cap_data_struct v[2] = {0};

	if (syscall(SYS_capget, &head, v) < 0)
		return -errno;
	ret_caps->effective = v[0].effective | (uint64_t)v[1].effective << 32;
	ret_caps->permitted = v[0].permitted | (uint64_t)v[1].permitted << 32;
	ret_caps->inheritable = v[0].inheritable | (uint64_t)v[1].inheritable << 32;
	return 0;
}

static int set(const struct caps *caps)
{
	struct __user_cap_header_struct head = this_thread();
	struct __user_cap_data_struct v[2];

	for (unsigned i = 0; i < 2; i++) {
		v[i].effective = (uint32_t)(caps->effective >> 32 * i);
		v[i].permitted = (uint32_t)(caps->permitted >> 32 * i);
		v[i].inheritable = (uint32_t)(caps->inheritable >> 32 * i);
	}
	return syscall(SYS_capset, &head, v) < 0 ? -errno : 0;
}

/* Asked for a process that there is not. */
static bool may_use_maps(struct capture *capture)
{
	return capture_untrace(capture, 0) != -EPERM;
}

int privileges_drop(struct capture *capture, bool keep_admin)
{
	uint64_t drop = BIT(CAP_BPF) | BIT(CAP_PERFMON) | BIT(CAP_NET_ADMIN) |
			BIT(CAP_SYS_RESOURCE) | BIT(CAP_CHECKPOINT_RESTORE) | BIT(CAP_IPC_LOCK);
	struct caps had, caps;
	int err = get(&had);

	if (err)
		return err;
	if (!keep_admin)
		drop |= BIT(CAP_SYS_ADMIN);
	/* for a try only the effective ones: they can be taken back */
	caps = had;
	caps.effective &= ~drop;
	err = set(&caps);
	if (err)
		return err;
	if (!may_use_maps(capture))
		drop &= ~(had.effective & BIT(CAP_BPF) ? BIT(CAP_BPF) : BIT(CAP_SYS_ADMIN));
	caps.effective = had.effective & ~drop;
	caps.permitted = had.permitted & ~drop;
	caps.inheritable = had.inheritable & ~drop;
	return set(&caps);
}

int privileges_keep_probing(struct capture *capture)
{
	uint64_t drop = BIT(CAP_NET_ADMIN) | BIT(CAP_SYS_RESOURCE) | BIT(CAP_IPC_LOCK);
	struct caps caps = {0};
	int err = get(&caps);

	if (err)
		return err;
	/* perf events take it where uprobe.multi is missing */
	if (capture_probes_multi(capture))
		drop |= BIT(CAP_SYS_ADMIN);
	caps.effective &= ~drop;
	caps.permitted &= ~drop;
	caps.inheritable &= ~drop;
	return set(&caps);
}
