# SPDX-License-Identifier: Apache-2.0
"""The workflow that builds, scans, signs and deploys: what it may do, and that nothing goes past the scan."""
import os
import re
import shutil
import subprocess

import pytest
import tree
import yaml

PATH = tree.ROOT / ".github/workflows/image.yml"
TEXT = PATH.read_text()
WORKFLOW = yaml.safe_load(TEXT)
JOBS = WORKFLOW["jobs"]
STEPS = [(name, step) for name, job in JOBS.items() for step in job["steps"]]
ACTIONLINT = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"
ACTIONLINT_GO = (1, 25)


def scripts(job):
    return "\n".join(step.get("run", "") for step in JOBS[job]["steps"])


def before(job):
    """All jobs that a job waits for."""
    needs = JOBS[job].get("needs", [])
    needs = [needs] if isinstance(needs, str) else needs
    return set(needs).union(*(before(n) for n in needs))


def test_it_may_do_no_more_than_it_has_to():
    assert WORKFLOW["permissions"] == {}
    assert {name: job["permissions"] for name, job in JOBS.items()} == {
        "test": {"contents": "read"},
        "bicep": {"contents": "read"},
        "base": {},
        "build": {"contents": "read"},
        "scan": {"contents": "read"},
        "publish": {"packages": "write", "id-token": "write"},
        "deploy": {"contents": "read", "id-token": "write"},
    }


def test_it_runs_with_rights_for_its_own_branches_only():
    on = WORKFLOW[True]  # YAML 1.1 reads the key "on" so
    assert on.keys() == {"push", "pull_request", "schedule", "workflow_dispatch"}
    assert JOBS["publish"]["if"] == "github.event_name != 'pull_request'"
    assert JOBS["deploy"]["if"].startswith("github.ref == 'refs/heads/main' && ")
    assert JOBS["deploy"]["environment"] == "production"


def test_every_action_is_one_commit_whose_release_is_named():
    used = [line.strip() for line in TEXT.splitlines() if re.match(r"\s*(- )?uses:", line)]
    assert len(used) == sum("uses" in step for _, step in STEPS)
    for line in used:
        assert re.fullmatch(r"(- )?uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+(\.\d+)+", line), line


def test_the_same_action_is_the_same_commit():
    pins = {}
    for name, commit in re.findall(r"uses: ([\w/-]+)@(\w+)", TEXT):
        pins.setdefault(name, set()).add(commit)
    assert all(len(commits) == 1 for commits in pins.values()), pins


def test_what_others_wrote_never_becomes_a_script():
    """Values of the event reach scripts through the environment, where they are no program text."""
    assert not [step["run"] for _, step in STEPS if "${{" in step.get("run", "")]


def test_no_secret_is_read_or_shown():
    assert not re.search(r"\bsecrets\.", TEXT)
    assert len(re.findall(r"github\.token", TEXT)) == 1
    login = next(step for step in JOBS["publish"]["steps"] if step.get("env", {}).get("TOKEN"))
    assert login["run"].count("$TOKEN") == 1 and login["run"].endswith('--password-stdin <<<"$TOKEN"')
    azure = next(step for step in JOBS["deploy"]["steps"] if step.get("uses", "").startswith("azure/login@"))
    assert azure["with"].keys() == {"client-id", "tenant-id", "subscription-id"}
    for job in JOBS:
        assert not re.search(r"\bset -\w*x|\bprintenv\b|^\s*env$", scripts(job), re.M), job


def test_no_token_stays_on_the_disk():
    for name, step in STEPS:
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False, name


def test_every_job_ends():
    assert all(isinstance(job["timeout-minutes"], int) for job in JOBS.values())


def test_nothing_is_pushed_or_deployed_that_was_not_tested_and_scanned():
    assert before("publish") >= {"test", "bicep", "build", "scan"}
    assert before("deploy") >= {"publish", "scan"}
    pushes = re.compile(r"docker://|imagetools create|--push\b|docker push|type=registry")
    assert [name for name in JOBS if pushes.search(scripts(name))] == ["publish"]
    scan = next(step for step in JOBS["scan"]["steps"] if "anchore/scan-action@" in step.get("uses", ""))["with"]
    assert scan["fail-build"] is True and scan["severity-cutoff"] == "high"
    for job in ("scan", "publish", "deploy"):
        assert not [s for s in JOBS[job]["steps"] if s.get("continue-on-error")] and "|| true" not in scripts(job)


def test_what_is_scanned_is_what_is_pushed():
    build, publish = scripts("build"), scripts("publish")
    assert 'type=oci,dest=weft-$ARCH.tar' in build
    assert "skopeo copy --preserve-digests" in publish and '"oci-archive:weft-$arch.tar"' in publish
    assert not re.search(r"buildx build", publish)


def test_both_architectures():
    assert [m["arch"] for m in JOBS["build"]["strategy"]["matrix"]["include"]] == ["amd64", "arm64"]
    assert JOBS["scan"]["strategy"]["matrix"]["arch"] == ["amd64", "arm64"]
    assert JOBS["build"]["strategy"]["matrix"]["include"][1]["runner"].endswith("-arm")


def test_it_is_signed_and_deployed_by_digest():
    signed = re.findall(r"cosign (?:sign|attest) .*", scripts("publish"))
    assert len(signed) == 3 and all(re.search(r'"\$IMAGE@\$(DIGEST|AMD64|ARM64)"$', line) for line in signed)
    assert JOBS["deploy"]["env"]["IMAGE"] == "${{ needs.publish.outputs.image }}@${{ needs.publish.outputs.digest }}"
    deploy = scripts("deploy")
    assert 'cosign verify "$IMAGE" ' in deploy and 'deploy/rollout.sh "$IMAGE" ' in deploy
    assert deploy.index("cosign verify") < deploy.index("rollout.sh")
    assert ":latest" not in TEXT


def test_the_base_is_one_digest():
    assert re.search(r'BASE="\$\{BASE%%:\*\}@\$BASE_DIGEST"', scripts("build"))
    assert JOBS["build"]["steps"][1]["env"]["BASE_DIGEST"] == "${{ needs.base.outputs.digest }}"


def test_the_dockerfile_knows_what_it_is_given():
    given = set(re.findall(r"--build-arg (\w+)=", scripts("build")))
    known = set(re.findall(r"^ARG (\w+)", tree.text("deploy/Dockerfile"), re.M))
    assert given == known


def test_the_files_that_it_names_exist():
    named = re.findall(r"(?<![\w/$])((?:deploy|tests|helm)/[\w./-]+\w)", "\n".join(map(scripts, JOBS)))
    assert {"deploy/rollout.sh", "tests/run.sh", "deploy/azure/main.bicep", "deploy/Dockerfile"} <= set(named)
    missing = [name for name in set(named) if not (tree.ROOT / name).exists()]
    # the chart is a part of its own
    assert not [m for m in missing if (tree.ROOT / m.partition("/")[0]).is_dir()]


def test_its_scripts_parse():
    for name, step in STEPS:
        if "run" in step:
            done = subprocess.run(["bash", "-n", "-c", step["run"]], capture_output=True, text=True)
            assert done.returncode == 0, (name, done.stderr)


@pytest.fixture(scope="module")
def actionlint():
    """The linter of workflows, built from its Go module."""
    go = shutil.which("go")
    said = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True).stdout if go else ""
    version = tuple(int(n) for n in re.findall(r"\d+", said)[:2])
    if version < ACTIONLINT_GO:
        pytest.skip(f"actionlint needs Go {'.'.join(map(str, ACTIONLINT_GO))}")
    where = tree.BUILD / "actionlint"
    done = subprocess.run([go, "install", ACTIONLINT], capture_output=True, text=True, timeout=300,
                          env={**os.environ, "GOBIN": str(where), "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"})
    assert done.returncode == 0, done.stderr
    return where / "actionlint"


def test_actionlint(actionlint):
    done = subprocess.run([actionlint, "-no-color", "-shellcheck=", "-pyflakes=", PATH], cwd=tree.ROOT,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
