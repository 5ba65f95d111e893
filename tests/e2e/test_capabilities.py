# SPDX-License-Identifier: Apache-2.0
"""weft with no more than the rights that it asks for: what works, and what doctor and run say where one is
missing. Settings of the whole machine are changed in guests only (tests/vm)."""
import json
import os
import platform
import resource
import subprocess
from pathlib import Path

import pytest
from weftlib import hooksets, paths, servers
from weftlib.agent import Weft
from weftlib.clock import until
from weftlib.http import get
from weftlib.spans import expect, server

SOMEONE = 1234
PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")
LOADS = ("bpf", "perfmon", "sys_ptrace")
NEEDED = (*LOADS, "dac_read_search", "checkpoint_restore")
GUEST = os.environ.get("WEFT_GUEST")
ADMIN, PERFMON, BPF, RESTORE = 1 << 21, 1 << 38, 1 << 39, 1 << 40
# CAP_NET_ADMIN, CAP_IPC_LOCK, CAP_SYS_RESOURCE, and these
LOADING = 1 << 12 | 1 << 14 | 1 << 24 | ADMIN | PERFMON | BPF | RESTORE
FOR_MAPS = BPF if tuple(int(n) for n in os.uname().release.split(".")[:2]) < (5, 19) else 0  # asked for at each use of one


def as_user(uid, caps):
    """The start of a command line: this user, exactly these capabilities, and no way to more."""
    those = ",".join(["-all", *(f"+{c}" for c in caps)])
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", f"--inh-caps={those}",
            f"--ambient-caps={those}", f"--bounding-set={those}"]


@pytest.fixture(params=[SOMEONE, 0], ids=["someone", "root"])
def uid(request, lab):
    return request.param


@pytest.fixture(params=[2, 3, 4] if GUEST else [None], ids=lambda level: f"paranoid-{level or 'as-it-is'}")
def paranoid(request):
    """kernel.perf_event_paranoid: 3 is Debian's, 4 is Ubuntu's, 2 is what others have."""
    before = PARANOID.read_text()
    if request.param:
        PARANOID.write_text(str(request.param))
    yield int(PARANOID.read_text())
    if request.param:
        PARANOID.write_text(before)


def is_strict(level):
    """The levels above 2 exist where the distribution added them. Debian's close perf_event_open to all but
    CAP_SYS_ADMIN, Ubuntu's to all but CAP_PERFMON."""
    return level > 2 and bool(GUEST) and "azure" not in os.uname().release


def program(lab):
    """The agent, where anybody may read it."""
    path = lab.tmp / "weft"
    if not path.exists():
        path.write_bytes(paths.WEFT.read_bytes())
        path.chmod(0o755)
    return path


def doctor(lab, uid, caps, *args):
    done = subprocess.run([*as_user(uid, caps), program(lab), "doctor", "--json", *args], capture_output=True,
                          text=True, check=False, env={"PATH": os.environ["PATH"]})
    report = json.loads(done.stdout)
    assert done.returncode == report["exit"], done
    return report, {c["name"]: c for c in report["checks"]}


def agent(lab, uid, caps, hooks, transport="ringbuf"):
    weft = Weft(lab.tmp, include=[f"cgroup={lab.cgroup.path}"], brief=lab.brief, hooks=hooks, transport=transport)
    weft.argv = [*as_user(uid, caps), str(program(lab)), *weft.argv[1:]]
    lab.ended.append(weft.kill)
    return weft


def traces(lab, uid, caps, hooks, transport="ringbuf"):
    """Starts weft, serves a request by a process of another user, in clear and over TLS, and gets exactly its spans.
    What it took to load the programs is gone by then, but from the thread that attaches probes to what it finds."""
    weft = agent(lab, uid, caps, hooks, transport).start()
    probes = doctor(lab, uid, caps)[1]["probes"]
    readable, multi = probes["state"] == "ok", probes["detail"] == "uprobe.multi"
    for thread in Path(f"/proc/{weft.child.pid}/task").iterdir():
        status = dict(line.split(":\t") for line in (thread / "status").read_text().splitlines() if ":\t" in line)
        for kind in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
            kept = FOR_MAPS if status["Name"] != "weft-tls" else PERFMON | BPF | RESTORE | (0 if multi else ADMIN)
            assert not int(status[kind], 16) & LOADING & ~kept, (status["Name"], kind)
    leaf, secure = servers.nginx(lab, "leaf"), servers.nginx(lab, "secure", tls=True)
    if readable:
        until(lambda: weft.metrics()["weft_tls_libraries"], "OpenSSL is not found")
    said = None if readable else "TLS is not traced|uses TLS that is not traced.* why=\"probes are refused: see `weft doctor`\""
    assert get(leaf.port, "/leaf/x")[0] == get(secure.port, "/leaf/y", tls=True)[0] == 200
    assert readable or "TLS is not traced" in weft.log(), weft.log()
    expect(weft.stop(expect_log=said), [
        server("leaf", "GET /leaf/x"), *[server("secure", "GET /leaf/y", url__scheme="https")] * readable])
    leaf.stop()
    secure.stop()


def refuses(lab, uid, caps, hooks, why, transport="ringbuf"):
    """run ends at once and says what doctor says."""
    weft = agent(lab, uid, caps, hooks, transport)
    with pytest.raises(RuntimeError, match="weft ended with 1"):
        weft.start()
    assert f'why="{why}"' in weft.log(), weft.log()


def needs(hooks):
    if hooks not in {h for h, _ in hooksets.pairs(core=True)}:
        pytest.skip(f"the {hooks} hooks are not asked for")
    done = subprocess.run([paths.WEFT, "doctor", "--json", "--hooks", hooks], capture_output=True, check=False)
    if done.returncode == 4 and not GUEST:
        pytest.skip(json.loads(done.stdout)["hooks_reason"])


@pytest.mark.parametrize("kind", ["sock", "fentry"])
def test_needs_no_admin(lab, uid, paranoid, need, kind):
    """CAP_BPF and CAP_PERFMON load and attach these hooks whatever perf_event_open allows; CAP_SYS_PTRACE
    and CAP_DAC_READ_SEARCH find the processes of others."""
    needs(kind)
    need("nginx")
    report, checks = doctor(lab, uid, NEEDED, "--hooks", kind)
    # before Linux 6.6 probes are perf events, which the kernels of today leave to an administrator
    good = checks["probes"]["detail"] == "uprobe.multi"
    assert (report["verdict"], report["hooks"], report["transport"]) == ("good" if good else "limited", kind, "ringbuf"), report
    assert {k for k, v in report["capabilities"].items() if v} == {f"CAP_{c.upper()}" for c in NEEDED}
    assert checks["processes"]["state"] == "ok"
    traces(lab, uid, NEEDED, kind)


def test_perf_needs_admin(lab, uid, paranoid, need):
    """Perf buffers go through perf_event_open."""
    needs("sock")
    need("nginx")
    report, checks = doctor(lab, uid, NEEDED, "--hooks", "sock", "--transport", "perf")
    if not is_strict(paranoid):
        assert checks["perfbuf"]["state"] == "ok"
        traces(lab, uid, NEEDED, "sock", "perf")
        return
    assert (report["verdict"], checks["perfbuf"]["state"]) == ("cannot", "missing"), report
    assert "CAP_SYS_ADMIN" in checks["perfbuf"]["to_do"]
    refuses(lab, uid, NEEDED, "sock", report["transport_reason"], "perf")
    traces(lab, uid, (*NEEDED, "sys_admin"), "sock", "perf")


def test_perf_buffers_are_locked_memory(lab, uid, need):
    """What a user may lock limits them, unless CAP_IPC_LOCK is there: doctor tries, and run says the same."""
    needs("sock")
    need("nginx")
    caps = (*NEEDED, "sys_admin")
    before = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (64 * 1024, before[1]))
    try:
        report, checks = doctor(lab, uid, caps, "--hooks", "sock", "--transport", "perf")
        assert (report["verdict"], checks["perfbuf"]["state"]) == ("cannot", "missing"), report
        assert "CAP_IPC_LOCK" in checks["perfbuf"]["to_do"]
        assert doctor(lab, uid, caps, "--hooks", "sock")[1]["perfbuf"]["state"] == "ok", "nobody asks for such buffers"
        refuses(lab, uid, caps, "sock", report["transport_reason"], "perf")
        assert doctor(lab, uid, caps, "--hooks", "sock", "--transport", "perf", "--ring-bytes", "64KiB")[1]["perfbuf"]["state"] == "ok"
        traces(lab, uid, (*caps, "ipc_lock"), "sock", "perf")
    finally:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, before)


def test_syscalls_need_admin(lab, uid, paranoid, need):
    """Per-syscall tracepoints go through perf_event_open, and tracefs belongs to root."""
    needs("syscalls")
    need("nginx")
    if uid:
        report, checks = doctor(lab, uid, LOADS, "--hooks", "syscalls")
        assert report["verdict"] == "cannot", report
        assert "CAP_DAC_READ_SEARCH" in checks["syscalls"]["to_do"], checks["syscalls"]
        refuses(lab, uid, LOADS, "syscalls", report["hooks_reason"])
    reads = NEEDED
    report, checks = doctor(lab, uid, reads, "--hooks", "syscalls")
    if is_strict(paranoid):
        assert report["verdict"] == "cannot", report
        assert "CAP_SYS_ADMIN" in checks["syscalls"]["to_do"], checks["syscalls"]
        refuses(lab, uid, reads, "syscalls", report["hooks_reason"])
        reads = (*reads, "sys_admin")
        report, checks = doctor(lab, uid, reads, "--hooks", "syscalls")
    assert checks["syscalls"]["state"] == "ok", checks["syscalls"]
    good = checks["probes"]["state"] == "ok" or "sys_admin" not in reads and checks["probes"]["detail"] != "uprobe.multi"
    assert good and (report["verdict"], report["hooks"]) == (
        "good" if checks["probes"]["state"] == "ok" else "limited", "syscalls"), report
    traces(lab, uid, reads, "syscalls")


@pytest.mark.parametrize("lost", ["bpf", "perfmon"])
def test_without_one(lab, uid, lost):
    """Each of the two is needed, and told."""
    hooks = hooksets.DEFAULT[0]
    caps = [c for c in NEEDED if c != lost]
    report, checks = doctor(lab, uid, caps, "--hooks", hooks)
    assert report["verdict"] == "cannot" and report["hooks"] == "", report
    assert not report["capabilities"][f"CAP_{lost.upper()}"]
    for name in ("bpf", "call", "life"):
        assert checks[name]["error"] == "Operation not permitted", checks[name]
        assert "CAP_BPF and CAP_PERFMON" in checks[name]["to_do"], checks[name]
    refuses(lab, uid, caps, hooks, report["hooks_reason"])


@pytest.mark.parametrize("lost", ["sys_ptrace", "dac_read_search"])
def test_without_sight(lab, lost):
    """Other users' processes stay unknown: doctor calls it a limit, and names both that it takes."""
    hooks = hooksets.DEFAULT[0]
    if hooks == "syscalls":
        pytest.skip("these hooks need more")
    report, checks = doctor(lab, SOMEONE, [c for c in NEEDED if c != lost], "--hooks", hooks)
    assert (report["verdict"], report["exit"]) == ("limited", 3), report
    assert checks["processes"]["state"] == "limit" 
    assert "CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH" in checks["processes"]["to_do"]


def test_pid_namespace(lab):
    """Where /proc has other numbers than the kernel gives, weft ends at once and says so."""
    done = subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", program(lab), "run", "--exporters", "none",
                           "--listen", "off", "--include", "exe=/none"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1, done
    assert "first pid namespace (Kubernetes: hostPID: true)" in done.stderr.splitlines()[-1], done.stderr


@pytest.mark.parametrize("able", [True, False], ids=["able", "unable"])
def test_deleted_library(lab, uid, need, able):
    """A TLS library whose file is gone by the time that weft looks: found with CAP_CHECKPOINT_RESTORE; without it, it is
    said what is missing."""
    need("nginx")
    caps = [c for c in NEEDED if able or c != "checkpoint_restore"]
    hooks = hooksets.DEFAULT[0]
    if hooks == "syscalls" or doctor(lab, uid, caps)[1]["probes"]["state"] != "ok":
        pytest.skip("these hooks, or probes, need more")
    copy = lab.dir("library") / "libssl.so.3"
    copy.write_bytes(Path(f"/usr/lib/{platform.machine()}-linux-gnu/libssl.so.3").read_bytes())
    secure = servers.nginx(lab, "secure", tls=True, env={"LD_LIBRARY_PATH": str(copy.parent)})
    copy.unlink()
    weft = agent(lab, uid, caps, hooks).start()
    if able:
        until(lambda: weft.metrics()["weft_tls_libraries"], "the library is not found")
    assert get(secure.port, "/leaf/y", tls=True)[0] == 200
    if not able:
        until(lambda: "TLS that is not traced" in weft.log(), weft.log)
        assert "CAP_CHECKPOINT_RESTORE" in weft.log()
    expect(weft.stop(expect_log=None if able else "TLS"), [
        server("secure", "GET /leaf/y", url__scheme="https")] if able else [])
