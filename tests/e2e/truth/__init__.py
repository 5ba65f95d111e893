# SPDX-License-Identifier: Apache-2.0
"""Ground truth: requests carry a token through chains of servers, so that every parent can be judged."""
