# SPDX-License-Identifier: Apache-2.0
"""What the live tests share: the agent, cgroups, real servers, raw HTTP, and the judging of spans."""
