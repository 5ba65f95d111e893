/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#pragma once

#define EMPTY(name, section_name)                                                                  \
	__attribute__((section(section_name), used)) int name(void *ctx);                          \
	int name(void *ctx)                                                                        \
	{                                                                                          \
		(void)ctx;                                                                         \
		return 0;                                                                          \
	}
