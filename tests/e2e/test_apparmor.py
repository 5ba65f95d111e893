# SPDX-License-Identifier: Apache-2.0
"""AppArmor, as on Ubuntu's nodes: pods run under the profile that their runtime loads, and weft, unless the chart or a
policy says otherwise, under none. Kernels without it skip this; tests/vm has some that have it."""
import json
import os
import subprocess
from pathlib import Path

import pytest
from weftlib import paths, servers
from weftlib.clock import until
from weftlib.http import get
from weftlib.spans import expect, server

NAME = "weft-test-pod"
# What matters of what containerd and CRI-O load for pods: one may look at nobody but at what is under it, too.
PROFILE = f"""
abi <abi/3.0>,
profile {NAME} flags=(attach_disconnected,mediate_deleted) {{
  network,
  capability,
  file,
  umount,
  unix,
  signal,
  deny /sys/[^f]*/** wklx,
  deny mount,
  ptrace (trace,tracedby,read,readby) peer={NAME},
}}
"""
CAPS = "-all,+bpf,+perfmon,+sys_ptrace,+dac_read_search,+checkpoint_restore"  # the chart's, for hooks without tracefs
if tuple(int(n) for n in os.uname().release.split(".")[:2]) < (6, 6):
    CAPS += ",+sys_admin"  # for probes on TLS libraries
RIGHTS = ["setpriv", "--bounding-set", CAPS, "--inh-caps", CAPS]
UNDER = ["aa-exec", "-p", NAME, "--"]


@pytest.fixture(scope="module", autouse=True)
def profile(tmp_path_factory):
    enabled = Path("/sys/module/apparmor/parameters/enabled")
    if not enabled.exists() or enabled.read_text() != "Y\n":
        pytest.skip("this kernel has no AppArmor")
    if os.geteuid() or servers.missing("apparmor_parser", "aa-exec"):
        pytest.skip(servers.missing("apparmor_parser", "aa-exec") or "needs root")
    securityfs = Path("/sys/kernel/security")
    if not (securityfs / "apparmor").exists():
        subprocess.run(["mount", "-t", "securityfs", "none", securityfs], check=True)
    path = tmp_path_factory.mktemp("apparmor") / NAME
    path.write_text(PROFILE)
    subprocess.run(["apparmor_parser", "--replace", "--skip-cache", path], check=True)
    yield
    subprocess.run(["apparmor_parser", "--remove", path], check=True)


def leaf(lab, **more):
    return servers.nginx(lab, "leaf", **more)


def agent(lab, hooks, *under):
    weft = lab.weft(hooks=hooks[0], transport=hooks[1], start=False)
    weft.argv = [*under, *(RIGHTS if hooks[0] != "syscalls" and hooks[1] == "ringbuf" else []), *weft.argv]
    return weft.start()


def test_pod_under_a_profile(lab, hooks, need):
    """Who is held by a profile is found, named and traced like any other, in clear and over TLS."""
    need("nginx")
    plain, secure = leaf(lab, under=UNDER), servers.nginx(lab, "secure", tls=True, under=UNDER)
    assert Path(f"/proc/{plain.pid}/attr/current").read_text().startswith(NAME)
    weft = agent(lab, hooks)
    until(lambda: weft.metrics()["weft_tls_libraries"], "OpenSSL is not found")
    assert get(plain.port, "/leaf/x")[0] == get(secure.port, "/leaf/y", tls=True)[0] == 200
    expect(weft.stop(), [server("leaf", "GET /leaf/x"), server("secure", "GET /leaf/y", url__scheme="https")])


def test_weft_under_a_profile(lab, hooks, need):
    """What takes no look at a process still works, as finding it by its cgroup; the rest does not, and log and doctor
    say whose fault that is and what to do."""
    need("nginx")
    plain = leaf(lab)
    done = subprocess.run([*UNDER, paths.WEFT, "doctor", "--json", "--hooks", hooks[0]], capture_output=True, text=True,
                          check=False)
    report = json.loads(done.stdout)
    check = next(c for c in report["checks"] if c["name"] == "processes")
    assert report["apparmor"] == NAME and report["capabilities"]["CAP_SYS_PTRACE"], report
    assert (check["state"], check["error"]) == ("limit", "Permission denied"), check
    assert "appArmorProfile.type Unconfined" in check["to_do"] and "CAP_SYS_PTRACE" not in check["to_do"], check
    weft = agent(lab, hooks, *UNDER)
    assert get(plain.port, "/leaf/x")[0] == 200
    expect(weft.stop(expect_log="hidden from weft"), [server("leaf", "GET /leaf/x")])
    line = next(line for line in weft.log().splitlines() if "hidden from weft" in line)
    assert "level=warn" in line and f"apparmor={NAME}" in line and "Permission denied" in line, line
