/* SPDX-License-Identifier: Apache-2.0 */
/* How large a table by CPU number is. */
#pragma once

/* The highest number in a list as the kernel writes it ("0-3,8"), plus one; 0: it is no such list.
 */
unsigned cpus_in_list(const char *list);

/* For the CPUs that this machine has, on or off; not for those that could be added to it, of which
 * a hypervisor may announce hundreds. 0: unknown. */
unsigned cpus_present(void);
