/* SPDX-License-Identifier: Apache-2.0 */
#include "capture/sockets.h"

#include <criterion/criterion.h>
#include <sys/socket.h>

Test(sockets, text)
{
	cr_assert_eq(sockets_in_text("sockets: used 310\n"
				     "TCP: inuse 12 orphan 0 tw 5 alloc 4711 mem 2\n"
				     "UDP: inuse 3 mem 0\n"),
		4711);
	cr_assert_eq(sockets_in_text("sockets: used 1\nTCP: inuse 1\nUDP: inuse 3 alloc 9\n"), 0);
	cr_assert_eq(sockets_in_text("sockets: used 1\nTCP: inuse 1 alloc x\n"), 0);
	cr_assert_eq(sockets_in_text(""), 0);
}

Test(sockets, this_machine_has_some)
{
	cr_assert_geq(socket(AF_INET, SOCK_STREAM, 0), 0);
	cr_assert_gt(sockets_allocated(), 0);
}

Test(sockets, overcounted)
{
	cr_expect_eq(sockets_overcounted(65536, 100, 65536), 65536 - 100 - 4096);
	cr_expect_eq(sockets_overcounted(65536, 65536, 65536), 0);
	cr_expect_eq(sockets_overcounted(65536, 61440, 65536), 0);
	cr_expect_eq(sockets_overcounted(65536, 61439, 65536), 1);
	/* it does no harm yet */
	cr_expect_eq(sockets_overcounted(32768, 1, 65536), 0);
	/* it is not known how many there are */
	cr_expect_eq(sockets_overcounted(65536, 0, 65536), 0);
}
