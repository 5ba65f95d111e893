# SPDX-License-Identifier: Apache-2.0
"""Makes in advance all that servers.once() would fetch or build, for tests that run where there is no network and
compilers take minutes (tests/vm): made.py DIR, which WEFT_TEST_MADE then names. What cannot be made is said, and fails
those tests that need it."""
import pathlib
import subprocess
import sys
import types

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from weftlib import fetched, servers  # noqa: E402

MAKERS = [servers.certificate, servers.java_classes, servers.dotnet, servers.curl_cffi, servers.uv, servers.go_binary,
          *(lambda lab, how=how: servers.go_binary(lab, *how.get("flags", []), toolchain=how.get("program"))
            for how in servers.GO_BUILDS.values()),
          *(lambda lab, openssl=openssl: servers.old_node(lab, openssl) for openssl in fetched.NODE),
          *(lambda lab, static=static: servers.netty_classes(lab, static) for static in (False, True)),
          *(lambda lab, language=language: servers.grpc_echo(lab, language) for language in ("go", "node"))]


def main():
    directory = pathlib.Path(sys.argv[1]).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    lab = types.SimpleNamespace(tmp=directory / "lab")
    for make in MAKERS:
        try:
            make(lab)
        except (OSError, subprocess.CalledProcessError, StopIteration) as e:
            print(f"not made: {e}", flush=True)


main()
