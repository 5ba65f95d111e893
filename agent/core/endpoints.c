/* SPDX-License-Identifier: Apache-2.0 */
#include "core/endpoints.h"

#include <arpa/inet.h>
#include <string.h>
#include <xxhash.h>

static const uint8_t V4_MAPPED[12] = {[10] = 0xff, [11] = 0xff};

bool addr_is_v4(const uint8_t addr[static ADDR_LEN])
{
	return memcmp(addr, V4_MAPPED, sizeof(V4_MAPPED)) == 0;
}

bool addr_is_loopback(const uint8_t addr[static ADDR_LEN])
{
	static const uint8_t v6[ADDR_LEN] = {[15] = 1};

	return addr_is_v4(addr) ? addr[12] == 127 : memcmp(addr, v6, ADDR_LEN) == 0;
}

void addr_text(const uint8_t addr[static ADDR_LEN], char ret_text[static ADDR_TEXT_LEN])
{
	if (addr_is_v4(addr))
		inet_ntop(AF_INET, addr + 12, ret_text, ADDR_TEXT_LEN);
	else
		inet_ntop(AF_INET6, addr, ret_text, ADDR_TEXT_LEN);
}

uint64_t addr_key(const uint8_t addr[static ADDR_LEN], uint16_t port, uint32_t netns)
{
	return XXH3_64bits_withSeed(
		addr, ADDR_LEN, (uint64_t)(addr_is_loopback(addr) ? netns : 0) << 16 | port);
}
