# SPDX-License-Identifier: Apache-2.0
"""Every workload by its name, in the order of the table."""
import shutil

from databases import Pgbench, PgbenchPipelined, Redis, RedisPipelined, postgres
from host import Failure
from web import H2, Body, H2Tls, Keepalive, Short, Tls

WORKLOADS = {w.name: w for w in (Keepalive, Short, H2, Tls, H2Tls, Redis, RedisPipelined, Pgbench, PgbenchPipelined, Body)}


def missing(names):
    """Programs that these workloads need and this machine has not."""
    def is_there(program):
        try:
            return shutil.which(program) or postgres(program)
        except Failure:
            return False
    return sorted({p for name in names for p in WORKLOADS[name].needs if not is_there(p)})
