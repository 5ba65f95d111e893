# SPDX-License-Identifier: Apache-2.0
"""What weft takes of a machine before it has done anything."""
import os

import pytest
from weftlib import maps


@pytest.mark.core
def test_maps_are_for_the_cpus_there_are(traced, hooks):
    """Also where the hypervisor announces many more that could be added, as Azure's does, and tests/vm/guest.sh (which
    Linux 6.8 and later do not believe). The syscalls hooks have a table of connections of their own; where threads may
    preempt programs, each has a place of its own, and so have its twins."""
    preempts, seven = "PREEMPT" in os.uname().version, int(os.uname().release.partition(".")[0]) >= 7
    twins = preempts * (2 if seven else hooks[0] == "fentry")
    places = {"fentry": 12, "sock": 4, "syscalls": 16}[hooks[0]] * (1 + twins) if twins else 4
    scratches = maps.maps_of(traced.agent)["scratches"]
    assert maps.bpftool("show", "id", scratches)["max_entries"] == places * os.cpu_count()
    most = 16e6 + 2e6 * (hooks[0] == "syscalls") + (0.3e6 + 0.45e6 * twins) * os.cpu_count()
    assert 4e6 < traced.agent.metrics()["weft_map_bytes"] < most
