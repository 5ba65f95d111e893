# SPDX-License-Identifier: Apache-2.0
"""The Bicep files: they parse, fit together, hold what an installation needs, and no secret leaves them. No compiler runs
here; the workflow, which can have one, runs it."""
import os
import re

import pytest
import tree

try:
    import bicep
except ImportError as e:
    if os.environ.get("CI"):
        raise
    pytest.skip(f"{e.name} is not installed: pip install -r tests/requirements.txt", allow_module_level=True)

AZURE = tree.ROOT / "deploy/azure"
FILES = {str(p.relative_to(AZURE)): bicep.File(p) for p in sorted(AZURE.rglob("*.bicep"))}
MAIN = FILES["main.bicep"]
ROLES = {
    "monitoringMetricsPublisher": "3913510d-42f4-4e42-8a64-420c390055eb",
    "keyVaultSecretsUser": "4633458b-17de-408a-b874-0445c86b69e6",
    "acrPull": "7f951dda-4ed3-4680-a7ca-43fe172d538d",
    "aksClusterUser": "4abbcc35-e782-43d8-92c5-2d3f1bd2253f",
    "aksRbacClusterAdmin": "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b",
}
# What the documentation of each resource lists; a version that is not here is looked up before it comes in.
VERSIONS = {
    "Microsoft.Authorization/roleAssignments": "2022-04-01",
    "Microsoft.ContainerRegistry/registries": "2023-07-01",
    "Microsoft.ContainerService/managedClusters": "2025-05-01",
    "Microsoft.Insights/components": "2020-02-02",
    "Microsoft.Insights/diagnosticSettings": "2021-05-01-preview",
    "Microsoft.KeyVault/vaults": "2023-07-01",
    "Microsoft.KeyVault/vaults/secrets": "2023-07-01",
    "Microsoft.ManagedIdentity/userAssignedIdentities": "2023-01-31",
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials": "2023-01-31",
    "Microsoft.OperationalInsights/workspaces": "2023-09-01",
}
SECRET = re.compile(r"list\w*\(|getSecret\(|ConnectionString|InstrumentationKey|password|sharedKey|adminUser|kubeconfig|"
                    r"\.properties\.value|primaryKey", re.I)

each = pytest.mark.parametrize("file", FILES.values(), ids=FILES.keys())


def only(file, kind):
    found = [r for r in FILES[file].resources.values() if r.kind.partition("@")[0] == kind and not r.existing]
    assert len(found) == 1, (file, kind)
    return found[0].value


@each
def test_it_parses(file):
    assert not file.errors


@each
def test_it_is_laid_out_evenly(file):
    wrong = []
    depth = 0
    for number, line in enumerate(file.source.splitlines(), 1):
        bare = re.sub(r"'(?:\\.|[^'\\])*'|//.*", "", line)
        indent = len(line) - len(line.lstrip())
        if bare.strip() and indent != 2 * (depth - (bare.strip()[0] in "}])")):
            wrong.append(f"{file.path.name}:{number}: {line}")
        opened = sum(bare.count(c) for c in "{[(") - sum(bare.count(c) for c in "}])")
        depth += (opened > 0) - (opened < 0)  # however many a line opens, it is indented once
    assert not wrong and depth == 0 and file.source.endswith("\n")


@each
def test_every_parameter_and_output_is_described_and_used(file):
    for one in [*file.params.values(), *file.outputs.values()]:
        assert one.decorators.get("description", "").endswith("."), one.name
    for one in [*file.params.values(), *file.variables.values()]:
        assert file.uses(one.name) > 0, one.name


@each
def test_limits_hold_for_the_defaults(file):
    for p in file.params.values():
        if p.value is None or isinstance(p.value, bicep.Expression):
            continue
        d, size = p.decorators, len(p.value) if isinstance(p.value, (str, dict)) else p.value
        assert d.get("minLength", d.get("minValue", size)) <= size <= d.get("maxLength", d.get("maxValue", size)), p.name
        assert p.value in d.get("allowed", [p.value]), p.name
    for p in file.params.values():
        if p.kind == "int":
            assert {"minValue", "maxValue"} <= p.decorators.keys(), p.name


@each
def test_the_versions_of_resources_exist(file):
    for r in file.resources.values():
        kind, _, version = r.kind.partition("@")
        assert VERSIONS[kind] == version, r.kind


@each
def test_no_secret_comes_in_or_goes_out(file):
    for p in file.params.values():
        assert not re.search(r"secret|password|token|connectionString|key$", p.name, re.I), p.name
        assert "secure" not in p.decorators, p.name
        assert not SECRET.search(str(p.value or "")), p.name
    for o in file.outputs.values():
        assert not SECRET.search(o.text.partition("=")[2]), o.name
        assert not re.search(r"\bobject\b|\barray\b", o.kind), f"{o.name}: a whole object can hold anything"


def test_the_one_secret_goes_straight_into_the_vault():
    found = [(name, line.strip()) for name, file in FILES.items() for line in file.source.splitlines()
             if SECRET.search(re.sub(r"//.*|@description.*", "", line))]
    assert found == [("modules/vault.bicep", "resource connectionString 'Microsoft.KeyVault/vaults/secrets@2023-07-01' = {"),
                     ("modules/vault.bicep", "value: applicationInsights.properties.ConnectionString")]


def test_main_gives_each_module_exactly_what_it_wants():
    for module in MAIN.modules.values():
        params = FILES[module.kind].params
        assert module.value["params"].keys() == params.keys(), module.name
        for name, p in params.items():
            handed = MAIN.params.get(str(module.value["params"][name]))
            if not handed:
                continue
            for limit, value in p.decorators.items():
                if limit not in ("description", "minLength"):
                    assert handed.decorators.get(limit) == value, f"{module.name}: {name}: {limit}"
    assert {m.kind for m in MAIN.modules.values()} == FILES.keys() - {"main.bicep"}


def test_what_modules_say_is_what_they_have():
    for module, name in re.findall(r"(\w+)!?\.outputs\.(\w+)", MAIN.source):
        assert name in FILES[MAIN.modules[module].kind].outputs, f"{module}.outputs.{name}"
    for symbol, file in ((s, f) for f in FILES.values() for s in re.findall(r"\b(\w+)\.properties\.", f.source)):
        assert symbol in file.resources, symbol


def test_what_is_optional_is_only_read_if_it_is_there():
    for module in MAIN.modules.values():
        if not module.condition:
            continue
        for output in MAIN.outputs.values():
            if f"{module.name}!.outputs" in output.text or f"{module.name}.outputs" in output.text:
                subject = re.search(r"empty\((\w+)\)", module.condition).group(1)
                assert output.value.startswith(f"empty({subject}) ? '' : "), output.name


def test_the_names_fit_their_limits():
    longest = MAIN.params["name"].decorators["maxLength"]
    assert len("kv-") + longest + len("-") + 8 <= 24
    for module in ("identity", "github"):
        made = MAIN.modules[module].value["params"]["name"]
        length = len(re.sub(r"'|\$\{name\}", "", made)) + longest
        assert length <= FILES[MAIN.modules[module].kind].params["name"].decorators["maxLength"], module


def test_the_cluster():
    properties = only("modules/cluster.bicep", "Microsoft.ContainerService/managedClusters")["properties"]
    assert properties["oidcIssuerProfile"] == {"enabled": True}
    assert properties["securityProfile"]["workloadIdentity"] == {"enabled": True}
    network = properties["networkProfile"]
    assert (network["networkPlugin"], network["networkPluginMode"]) == ("azure", "overlay")
    assert network["networkDataplane"] == network["networkPolicy"] == "cilium"
    assert properties["addonProfiles"]["azureKeyvaultSecretsProvider"]["enabled"] is True
    assert properties["disableLocalAccounts"] is True and properties["enableRBAC"] is True
    assert properties["aadProfile"] == {"managed": True, "enableAzureRBAC": True}


def test_the_service_account_is_let_in_as_the_identity():
    credential = only("modules/identity.bicep",
                      "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials")["properties"]
    assert credential["audiences"] == ["api://AzureADTokenExchange"]
    given = MAIN.modules["identity"].value["params"]
    assert given["subject"] == "'system:serviceaccount:${weftNamespace}:${weftServiceAccount}'"
    assert given["issuer"] == "cluster.outputs.oidcIssuer"
    assert (MAIN.params["weftNamespace"].value, MAIN.params["weftServiceAccount"].value) == ("weft", "weft")


def test_traces_go_to_a_workspace_and_need_an_identity():
    component = only("modules/monitoring.bicep", "Microsoft.Insights/components")["properties"]
    assert component["WorkspaceResourceId"] == "workspace.id" and component["IngestionMode"] == "LogAnalytics"
    assert component["DisableLocalAuth"] == "disableLocalAuth" and MAIN.params["disableLocalAuth"].value is True


def test_the_vault_is_governed_by_roles():
    vault = only("modules/vault.bicep", "Microsoft.KeyVault/vaults")["properties"]
    assert vault["enableRbacAuthorization"] is True and vault["enableSoftDelete"] is True
    assert "accessPolicies" not in vault
    assert vault["enablePurgeProtection"] == "purgeProtection ? true : null"


@pytest.mark.parametrize("file, symbol, role, scope, principal", [
    ("monitoring", "publisher", "monitoringMetricsPublisher", "applicationInsights", "publisherPrincipalId"),
    ("vault", "reader", "keyVaultSecretsUser", "vault", "readerPrincipalId"),
    ("registry", "puller", "acrPull", "registry", "pullerPrincipalId"),
    ("github", "user", "aksClusterUser", "cluster", "identity.properties.principalId"),
    ("github", "admin", "aksRbacClusterAdmin", "cluster", "identity.properties.principalId"),
])
def test_roles(file, symbol, role, scope, principal):
    """The least role, on the one resource, never on the group or the subscription."""
    file = FILES[f"modules/{file}.bicep"]
    assert file.variables[role].value == ROLES[role]
    assignment = file.resources[symbol].value
    assert assignment["scope"] == scope
    assert role in assignment["name"] and assignment["name"].startswith("guid(")
    properties = assignment["properties"]
    assert properties["principalId"] == principal and properties["principalType"] == "ServicePrincipal"
    assert properties["roleDefinitionId"] == (
        f"subscriptionResourceId('Microsoft.Authorization/roleDefinitions', {role})")


def test_there_are_no_other_roles():
    found = [r for f in FILES.values() for r in f.resources.values() if "roleAssignments" in r.kind]
    assert len(found) == len(ROLES)
    ids = re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "".join(f.source for f in FILES.values()))
    assert sorted(ids) == sorted(ROLES.values())


def test_the_identities_get_their_roles():
    params = {name: m.value["params"] for name, m in MAIN.modules.items()}
    assert params["monitoring"]["publisherPrincipalId"] == "identity.outputs.principalId"
    assert params["vault"]["readerPrincipalId"] == "identity.outputs.principalId"
    assert params["registry"]["pullerPrincipalId"] == "cluster.outputs.kubeletPrincipalId"


def test_the_example_sets_what_there_is():
    lines = (AZURE / "example.bicepparam").read_text().splitlines()
    code = [line for line in lines if line and not line.startswith("//")]
    assert code[0] == "using './main.bicep'"
    for line in code[1:]:
        name, value = re.fullmatch(r"param (\w+) = ('[^']*'|-?\d+|true|false)", line).groups()
        kind = "string" if value[0] == "'" else "bool" if value in ("true", "false") else "int"
        assert MAIN.params[name].kind == kind, line


def test_the_guide_names_what_there_is():
    guide = tree.text("deploy/azure/README.md")
    for name in re.findall(r"outputs\.(\w+)\.value|\(output (\w+)\)", guide):
        assert "".join(name) in MAIN.outputs, name
    table = guide.partition("| output | is |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", table)) - MAIN.outputs.keys() == set()
    for name in re.findall(r"(?<=[ \t])(\w+)=(?:\$REGISTRY|OWNER/NAME)", guide):
        assert name in MAIN.params, name
    for path in re.findall(r"(?:deploy|tests|\.github)/[\w./-]+\w", guide):
        assert (tree.ROOT / path).exists(), path
    for variable in re.findall(r"gh variable set (\w+)", guide):
        assert f"vars.{variable} " in tree.text(".github/workflows/image.yml"), variable
