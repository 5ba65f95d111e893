# SPDX-License-Identifier: Apache-2.0
"""What weft takes of a machine before it has done anything."""
import os

import pytest
from weftlib import maps


@pytest.mark.core
def test_maps_are_for_the_cpus_there_are(traced, hooks):
    """Also where the hypervisor announces many more that could be added, as Azure's does, and tests/vm/guest.sh (which
    Linux 6.8 and later do not believe). The syscalls hooks have a table of connections of their own; where threads may
    preempt programs, each has a place of its own, and so has its twin."""
    version = os.uname().version
    twins = "PREEMPT" in version and (hooks[0] == "fentry" or int(os.uname().release.partition(".")[0]) >= 7)
    places = {"fentry": 24, "sock": 8, "syscalls": 32}[hooks[0]] if twins else 4
    scratches = maps.maps_of(traced.agent)["scratches"]
    assert maps.bpftool("show", "id", scratches)["max_entries"] == places * os.cpu_count()
    most = 16e6 + 2e6 * (hooks[0] == "syscalls") + (0.8e6 if twins else 0.3e6) * os.cpu_count()
    assert 4e6 < traced.agent.metrics()["weft_map_bytes"] < most
