/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One span as one line of JSON:
 *
 *   trace_id, span_id    lower-case hexadecimal, 32 and 16 digits
 *   parent_id            likewise; null on a root
 *   parent_remote        true if the parent is known from a header of an untraced caller
 *   name, service        strings; service is the resource's service.name
 *   kind                 "internal", "server", "client"
 *   status               "unset", "ok", "error"
 *   link                 the evidence for the parent ("header", "socket", …); null on a root
 *   start_unix_ns, end_unix_ns  integers
 *   trace_flags, pid     integers
 *   trace_state          string
 *   attributes, resource objects: strings, integers, arrays of strings
 */
#pragma once
#include <stdio.h>

struct resource;
struct span;

void json_span(FILE *to, const struct span *span, const struct resource *resource);
