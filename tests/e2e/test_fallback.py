# SPDX-License-Identifier: Apache-2.0
"""Hooks that should work here, as doctor's small programs do, and whose own programs the kernel refuses."""
import json
import re
import subprocess

import pytest
from weftlib import hooksets, paths, servers
from weftlib.spans import client, expect, server

ONE_OF = {"fentry": "sent4", "sock": "sock_sent_bytes", "syscalls": "exit_splice"}  # its programs


def doctor(hooks):
    done = subprocess.run([paths.WEFT, "doctor", "--json", "--hooks", hooks], capture_output=True, text=True, check=False)
    return json.loads(done.stdout)["hooks"]


@pytest.fixture
def refusing(lab):
    """weft, not started, where the kernel refuses the hooks that it chooses; and their name."""
    assert paths.built("refuse.so"), "tests/e2e/refuse.c is not built"
    hooks = doctor("auto")
    if not any(doctor(other) for other in hooksets.ALL if other != hooks):
        pytest.skip(f"no hooks but {hooks} work here")
    env = {"LD_PRELOAD": str(paths.built("refuse.so")), "REFUSE": ONE_OF[hooks]}
    return lambda asked: lab.weft(hooks=asked or hooks, env=env, start=False), hooks


def test_auto_goes_on_to_the_next(lab, refusing, need):
    need("nginx", "curl")
    weft, refused = refusing
    agent = weft("auto").start()
    leaf = servers.nginx(lab, "leaf", "location / { return 200; }")
    lab.curl(f"http://127.0.0.1:{leaf.port}/a")
    used, why = re.search(r'msg=tracing .*? hooks=(\w+) why="(.*?)"', agent.log()).groups()
    assert used != refused
    assert f"{refused} (its programs: Permission denied)" in why
    spans = agent.stop(expect_log=f'msg="hooks that should work here do not: .*hooks={refused} .*next={used}')
    expect(spans, [client("curl", "GET /a", 200, server("leaf", "GET /a", link="socket"))])


def test_what_was_asked_for_is_not_replaced(refusing):
    weft, refused = refusing
    agent = weft(None)
    with pytest.raises(RuntimeError, match="weft ended with 1"):
        agent.start()
    assert f'msg="cannot attach; see `weft doctor`" hooks={refused} why="the kernel refused' in agent.log(), agent.log()
    assert "msg=tracing" not in agent.log()
