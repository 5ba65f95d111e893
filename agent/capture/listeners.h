/* SPDX-License-Identifier: Apache-2.0 */
/* The ports that are listened on, by network namespace: they tell the role of a connection that is
 * older than weft. A port stays known after its listener closed, for its connections live on. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct listeners;

int listeners_new(unsigned capacity, struct listeners **ret_listeners);
void listeners_free(struct listeners *listeners);
void listeners_add(struct listeners *listeners, uint32_t netns, uint16_t port);
bool listeners_have(const struct listeners *listeners, uint32_t netns, uint16_t port);

/* Reads the listening sockets of the process' network namespace, the first time it is met. */
void listeners_learn(struct listeners *listeners, uint32_t pid);
