// SPDX-License-Identifier: Apache-2.0
// An AKS cluster that weft can run on, with what it needs around it: see README.md. Deployed into a resource group.
targetScope = 'resourceGroup'

@description('What the names of all resources are made of: lower-case letters and digits, beginning with a letter.')
@minLength(3)
@maxLength(12)
param name string = 'weft'

@description('The region of all resources.')
param location string = resourceGroup().location

@description('Tags of all resources.')
param tags object = {
  app: 'weft'
}

@description('The version of Kubernetes, such as 1.35. Empty is the region\'s default.')
@maxLength(12)
param kubernetesVersion string = ''

@description('Free has no promise of availability for the API server, Standard has one.')
@allowed([
  'Free'
  'Standard'
])
param clusterTier string = 'Standard'

@description('The image of the nodes.')
@allowed([
  'Ubuntu'
  'AzureLinux'
])
param nodeImage string = 'Ubuntu'

@description('The size of the machines in the pool of system pods.')
param systemVmSize string = 'Standard_D2ads_v5'

@description('The size of the machines in the pool of your pods.')
param userVmSize string = 'Standard_D4ads_v5'

@description('The fewest nodes in the pool of your pods.')
@minValue(1)
@maxValue(100)
param userMinCount int = 1

@description('The most nodes in the pool of your pods.')
@minValue(1)
@maxValue(1000)
param userMaxCount int = 5

@description('A second pool of your pods, of arm64 machines, as large as the first one.')
param arm64Pool bool = false

@description('The size of the machines in the arm64 pool.')
param arm64VmSize string = 'Standard_D4pds_v5'

@description('The addresses of pods. They are an overlay: no other network sees them.')
param podCidr string = '10.244.0.0/16'

@description('The namespace that weft is installed in.')
@minLength(1)
@maxLength(63)
param weftNamespace string = 'weft'

@description('The service account of weft in that namespace.')
@minLength(1)
@maxLength(253)
param weftServiceAccount string = 'weft'

@description('Days that traces and logs are kept.')
@minValue(30)
@maxValue(730)
param retentionDays int = 30

@description('The most that is taken in a day, in GB; -1 is no limit. What comes after it is lost for that day.')
@minValue(-1)
@maxValue(1000)
param dailyQuotaGb int = -1

@description('Application Insights takes data from Microsoft Entra identities with the role for it only, and from nobody who just knows its key.')
param disableLocalAuth bool = true

@description('The Key Vault cannot be emptied for good before its retention is over. Once true it cannot be made false.')
param purgeProtection bool = true

@description('A container registry of this resource group that the nodes pull images from. Empty if there is none.')
@maxLength(50)
param registryName string = ''

@description('The GitHub repository (owner/name) whose workflow deploys weft to this cluster. Empty if there is none.')
@maxLength(140)
param githubRepository string = ''

@description('The environment of that repository which the workflow deploys from.')
@minLength(1)
@maxLength(255)
param githubEnvironment string = 'production'

module cluster 'modules/cluster.bicep' = {
  name: 'weft-cluster'
  params: {
    name: name
    location: location
    tags: tags
    kubernetesVersion: kubernetesVersion
    clusterTier: clusterTier
    nodeImage: nodeImage
    systemVmSize: systemVmSize
    userVmSize: userVmSize
    userMinCount: userMinCount
    userMaxCount: userMaxCount
    arm64Pool: arm64Pool
    arm64VmSize: arm64VmSize
    podCidr: podCidr
  }
}

module identity 'modules/identity.bicep' = {
  name: 'weft-identity'
  params: {
    name: 'id-${name}'
    location: location
    tags: tags
    issuer: cluster.outputs.oidcIssuer
    subject: 'system:serviceaccount:${weftNamespace}:${weftServiceAccount}'
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'weft-monitoring'
  params: {
    name: name
    location: location
    tags: tags
    retentionDays: retentionDays
    dailyQuotaGb: dailyQuotaGb
    disableLocalAuth: disableLocalAuth
    publisherPrincipalId: identity.outputs.principalId
  }
}

module vault 'modules/vault.bicep' = {
  name: 'weft-vault'
  params: {
    // at most 24 letters, unique in the world
    name: 'kv-${name}-${take(uniqueString(resourceGroup().id), 8)}'
    location: location
    tags: tags
    purgeProtection: purgeProtection
    workspaceName: monitoring.outputs.workspaceName
    applicationInsightsName: monitoring.outputs.applicationInsightsName
    readerPrincipalId: identity.outputs.principalId
  }
}

module registry 'modules/registry.bicep' = if (!empty(registryName)) {
  name: 'weft-registry'
  params: {
    registryName: registryName
    pullerPrincipalId: cluster.outputs.kubeletPrincipalId
  }
}

module github 'modules/github.bicep' = if (!empty(githubRepository)) {
  name: 'weft-github'
  params: {
    name: 'id-${name}-github'
    location: location
    tags: tags
    subject: 'repo:${githubRepository}:environment:${githubEnvironment}'
    clusterName: cluster.outputs.name
  }
}

@description('The cluster, for az aks get-credentials.')
output clusterName string = cluster.outputs.name

@description('The client id for the annotation azure.workload.identity/client-id of weft\'s service account.')
output weftClientId string = identity.outputs.clientId

@description('The Key Vault that holds the connection string.')
output keyVaultName string = vault.outputs.name

@description('The tenant, which the Secrets Store CSI driver wants to know.')
output tenantId string = tenant().tenantId

@description('Where the traces are.')
output applicationInsightsName string = monitoring.outputs.applicationInsightsName

@description('The client id that the GitHub workflow logs in with; empty if there is none.')
output githubClientId string = empty(githubRepository) ? '' : github!.outputs.clientId
