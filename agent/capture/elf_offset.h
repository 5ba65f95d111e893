/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include <libelf.h>
#include <stdint.h>

/* Where code at an address of the loaded file lies in it; 0: nowhere. */
uint64_t elf_offset(Elf *elf, uint64_t address);
