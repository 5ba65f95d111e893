# SPDX-License-Identifier: Apache-2.0
"""What weft takes of a machine before it has done anything."""
import os

import pytest


@pytest.mark.core
def test_maps_are_for_the_cpus_there_are(traced):
    """Also where the hypervisor announces many more that could be added, as Azure's does, and tests/vm/guest.sh (which
    Linux 6.8 and later do not believe). The syscalls hooks have a table of connections of their own."""
    assert 4e6 < traced.agent.metrics()["weft_map_bytes"] < 18e6 + 0.7e6 * os.cpu_count()
