# SPDX-License-Identifier: Apache-2.0
"""The agent's image, really built: what it holds, what it says of itself, and that it works as the chart runs it."""
import gzip
import hashlib
import json
import os
import re
import ssl
import stat
import subprocess
import tarfile

import pytest
import tree
from conftest import SOURCE

MIB = 1 << 20
OCI = "org.opencontainers.image."


def paths(root):
    """All that is below, by its path from the root."""
    for folder, folders, names in os.walk(root):
        for name in folders + names:
            path = os.path.join(folder, name)
            yield "/" + os.path.relpath(path, root), os.lstat(path)


def files(root):
    return [path for path, status in paths(root) if stat.S_ISREG(status.st_mode)]


def dynamic(path, tag):
    """What an ELF file says under a tag of its dynamic section."""
    said = subprocess.run(["readelf", "--dynamic", "--wide", path], capture_output=True, text=True).stdout
    return re.findall(rf"\({tag}\).*\[(.*)\]", said)


def is_elf(path):
    with open(path, "rb") as f:
        return f.read(4) == b"\x7fELF"


def records(rootfs):
    found = {}
    for path in (rootfs / "var/lib/dpkg/status.d").iterdir():
        if path.suffix != ".md5sums":
            found[path.name] = dict(re.findall(r"^([\w-]+): (.*)", path.read_text(), re.M))
    return found


@pytest.mark.parametrize("args, said", [
    (["--output", "nowhere"], "cannot write to nowhere"),
    (["--output", "oci-archive:"], "cannot write to oci-archive:"),
    (["--output"], "--output wants a value"),
    (["--arch", "mips"], "no such architecture: mips"),
    (["--colour"], "Usage: "),
])
def test_what_cannot_be_done_is_refused_at_once(args, said):
    done = subprocess.run([tree.ROOT / "deploy/image.sh", *args], capture_output=True, text=True, timeout=20)
    assert done.returncode in (1, 2) and said in done.stderr and not done.stdout


def test_it_is_small(image):
    assert int(image.said["compressed"]) == sum(layer["size"] for layer in image.manifest["layers"])
    assert int(image.said["compressed"]) < 20 * MIB, image.said
    assert int(image.said["unpacked"]) < 50 * MIB, image.said


def test_it_is_what_was_said(image):
    assert image.said["digest"] == image.digest
    assert image.said["image"] == "localhost/weft:test"
    blobs = [image.manifest["config"], *image.manifest["layers"]]
    for blob in blobs:
        assert "sha256:" + hashlib.sha256(image.blob(blob["digest"]).read_bytes()).hexdigest() == blob["digest"]
    assert len(image.manifest["layers"]) == 1


def test_its_one_layer_holds_the_plain_files(image):
    with gzip.open(image.blob(image.manifest["layers"][0]["digest"])) as layer, tarfile.open(fileobj=layer) as tar:
        members = {"/" + m.name.strip("./"): m for m in tar if m.name.strip("./")}
    assert sorted(p for p, m in members.items() if m.isfile()) == sorted(files(image.rootfs))
    assert {m.uid for m in members.values()} == {0}
    assert not [m.name for m in members.values() if m.pax_headers.keys() & {"SCHILY.xattr.security.capability"}]


def test_it_starts_the_agent_as_root_without_a_shell(image):
    config = image.config["config"]
    assert config["Entrypoint"] == ["/usr/bin/weft"]
    assert config["Cmd"] == ["run", "--config", "/etc/weft/weft.yaml"]
    assert config["User"] == "0:0"
    assert image.config["os"] == "linux"
    assert image.config["architecture"] in ("amd64", "arm64")


def test_labels(image):
    labels = image.config["config"]["Labels"]
    version = re.search(r"version: '(.*)'", tree.text("meson.build")).group(1)
    head = subprocess.run(["git", "-c", "safe.directory=*", "rev-parse", "HEAD"], cwd=tree.ROOT, capture_output=True,
                          text=True, check=True).stdout.strip()
    assert labels[OCI + "version"] == version
    assert labels[OCI + "revision"].removesuffix("-dirty") == head
    assert labels[OCI + "source"] == SOURCE
    assert labels[OCI + "licenses"] == "Apache-2.0 AND (GPL-2.0-only OR BSD-2-Clause)"
    assert labels[OCI + "base.name"].startswith("localhost/weft-base:bookworm-")
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", labels[OCI + "base.digest"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", labels[OCI + "created"])
    assert labels[OCI + "title"] and labels[OCI + "description"]


def test_its_times_are_the_commit_s(image):
    epoch = int(subprocess.run(["git", "-c", "safe.directory=*", "log", "-1", "--format=%ct"], cwd=tree.ROOT,
                               capture_output=True, check=True).stdout)
    with gzip.open(image.blob(image.manifest["layers"][0]["digest"])) as layer, tarfile.open(fileobj=layer) as tar:
        assert {int(m.mtime) for m in tar} == {epoch}


def test_nothing_can_be_run_but_weft(image):
    loader = re.compile(r"/usr/lib/[\w-]+/(ld-linux-[\w-]+\.so\.\d|lib[\w.+-]+\.so[\w.]*)")
    found = [path for path, status in paths(image.rootfs)
             if stat.S_ISREG(status.st_mode) and status.st_mode & 0o111 and not loader.fullmatch(path)]
    assert found == ["/usr/bin/weft"]
    assert os.listdir(image.rootfs / "usr/bin") == ["weft"]
    assert os.listdir(image.rootfs / "usr/sbin") == []
    scripts = [p for p in files(image.rootfs) if (image.rootfs / p[1:]).read_bytes()[:2] == b"#!"]
    assert not scripts


def test_no_setuid_no_device_nothing_that_others_can_write(image):
    wrong = []
    for path, status in paths(image.rootfs):
        mode = status.st_mode
        if mode & (stat.S_ISUID | stat.S_ISGID) or status.st_uid or status.st_gid:
            wrong.append(path)
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
            wrong.append(path)
        if mode & 0o002 and not stat.S_ISLNK(mode) and path not in ("/tmp", "/var/tmp"):
            wrong.append(path)
        if "security.capability" in os.listxattr(image.rootfs / path[1:], follow_symlinks=False):
            wrong.append(path)
    assert not wrong


def test_every_link_leads_somewhere(image):
    broken = []
    for path, status in paths(image.rootfs):
        if not stat.S_ISLNK(status.st_mode):
            continue
        target = os.readlink(image.rootfs / path[1:])
        at = image.rootfs / target[1:] if target[0] == "/" else (image.rootfs / path[1:]).parent / target
        if not at.exists():
            broken.append(f"{path} -> {target}")
    assert not broken


def test_all_libraries_are_there_and_none_is_too_many(image):
    elves = [p for p in files(image.rootfs) if is_elf(image.rootfs / p[1:])]
    have = {os.path.basename(path) for path, _ in paths(image.rootfs)}
    needed = {"/usr/bin/weft": dynamic(image.rootfs / "usr/bin/weft", "NEEDED")}
    for path in elves:
        needed[path] = dynamic(image.rootfs / path[1:], "NEEDED")
    missing = {path: set(names) - have for path, names in needed.items() if set(names) - have}
    assert not missing
    wanted = {name for names in needed.values() for name in names}
    idle = []
    for path in elves:
        soname = dynamic(image.rootfs / path[1:], "SONAME")
        if path != "/usr/bin/weft" and not (soname and soname[0] in wanted):
            idle.append(path)
    assert not idle


def test_the_program_is_hardened_and_stripped(image):
    weft = image.rootfs / "usr/bin/weft"
    said = subprocess.run(["readelf", "--wide", "--headers", "--dynamic", weft], capture_output=True, text=True).stdout
    assert "DYN (Position-Independent Executable file)" in said
    assert "GNU_RELRO" in said and "BIND_NOW" in said
    assert not re.search(r"GNU_STACK.*RWE", said)
    assert ".debug_info" not in said and ".symtab" not in said
    places = re.findall(rb"[\w./]*src/agent[\w./]*", weft.read_bytes())
    assert not places


def test_scanners_find_each_package(image):
    """Distroless' way: status.d/NAME with its record, NAME.md5sums with what is here of it."""
    known = records(image.rootfs)
    summed = {}
    for name, record in known.items():
        assert record["Package"] == name and record["Version"] and record["Architecture"], record
        assert (image.rootfs / "usr/share/doc" / name / "copyright").stat().st_size, name
        sums = image.rootfs / "var/lib/dpkg/status.d" / f"{name}.md5sums"
        for line in sums.read_text().splitlines() if sums.exists() else ():
            digest, path = line.split(None, 1)
            path = (image.rootfs / path).resolve()
            assert hashlib.md5(path.read_bytes()).hexdigest() == digest, path
            summed["/" + str(path.relative_to(image.rootfs))] = name
    libraries = [p for p in files(image.rootfs) if is_elf(image.rootfs / p[1:]) and p != "/usr/bin/weft"]
    assert not [p for p in libraries if p not in summed]
    assert {"libc6", "libcurl4", "libbpf1", "libssl3", "ca-certificates", "base-files"} <= known.keys()
    release = (image.rootfs / "etc/os-release").read_text()
    assert "ID=debian\n" in release and 'VERSION_ID="12"' in release


def test_ca_certificates(image):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(image.rootfs / "etc/ssl/certs/ca-certificates.crt")
    assert context.cert_store_stats()["x509_ca"] > 50


def test_version(image):
    done = image.run("version")
    version = re.search(r"version: '(.*)'", tree.text("meson.build")).group(1)
    assert (done.returncode, done.stdout) == (0, f"weft {version}\n"), done.stderr


def test_its_own_configuration_is_right(image):
    done = image.run("check-config", "--config", "/etc/weft/weft.yaml")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ok\n") and "exporters: [json]" in done.stdout


def test_doctor_as_root_with_only_what_is_needed(image):
    report = doctor(image)
    assert report["uid"] == 0
    assert {name for name, has in report["capabilities"].items() if has} >= {"CAP_BPF", "CAP_PERFMON"}
    assert not report["capabilities"]["CAP_SYS_ADMIN"]


def test_doctor_as_somebody_else_with_ambient_capabilities(image):
    assert doctor(image, uid=65532)["uid"] == 65532


def test_doctor_without_capabilities_says_so(image):
    done = image.run("doctor", "--json", capabilities=())
    assert done.returncode == 4, done.stderr
    bpf = next(c for c in json.loads(done.stdout)["checks"] if c["name"] == "bpf")
    assert bpf["state"] == "missing" and "CAP_BPF" in bpf["to_do"]


def doctor(image, **options):
    """What doctor says: that weft can trace from within, perhaps with limits."""
    done = image.run("doctor", "--json", **options)
    report = json.loads(done.stdout)
    assert done.returncode == report["exit"], done.stderr
    assert report["exit"] in (0, 3), report
    checks = {c["name"]: c for c in report["checks"]}
    assert checks["bpf"]["state"] == checks["btf"]["state"] == "ok", checks
    return report
