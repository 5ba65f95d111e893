/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

struct config;

/* Attaches, traces and exports until SIGTERM or SIGINT, then drains. argc and argv are the flags
 * that config_load was given, for the reload at SIGHUP. The process' exit status. */
int agent_run(const struct config *config, int argc, char **argv);
