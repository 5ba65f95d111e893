// SPDX-License-Identifier: Apache-2.0
// The cluster: Azure CNI overlay with Cilium, an OIDC issuer and workload identity, Key Vault's secrets by the CSI driver,
// logins by Microsoft Entra only.

@description('What the names are made of.')
@minLength(3)
@maxLength(12)
param name string

@description('The region.')
param location string

@description('Tags.')
param tags object

@description('The version of Kubernetes; empty is the region\'s default.')
param kubernetesVersion string

@description('The tier of the API server.')
@allowed([
  'Free'
  'Standard'
])
param clusterTier string

@description('The image of the nodes.')
@allowed([
  'Ubuntu'
  'AzureLinux'
])
param nodeImage string

@description('The size of the machines of system pods.')
param systemVmSize string

@description('The size of the machines of other pods.')
param userVmSize string

@description('The fewest nodes of other pods.')
@minValue(1)
@maxValue(100)
param userMinCount int

@description('The most nodes of other pods.')
@minValue(1)
@maxValue(1000)
param userMaxCount int

@description('A pool of arm64 machines as well.')
param arm64Pool bool

@description('The size of arm64 machines.')
param arm64VmSize string

@description('The addresses of pods.')
param podCidr string

var everyPool = {
  osType: 'Linux'
  osSKU: nodeImage
  type: 'VirtualMachineScaleSets'
  enableAutoScaling: true
  upgradeSettings: {
    maxSurge: '33%'
  }
}

var systemPool = union(everyPool, {
  name: 'system'
  mode: 'System'
  vmSize: systemVmSize
  count: 1
  minCount: 1
  maxCount: 3
  nodeTaints: [
    'CriticalAddonsOnly=true:NoSchedule'
  ]
})

var userPool = union(everyPool, {
  name: 'apps'
  mode: 'User'
  vmSize: userVmSize
  count: userMinCount
  minCount: userMinCount
  maxCount: max(userMinCount, userMaxCount)
})

var arm64UserPool = union(userPool, {
  name: 'appsarm'
  vmSize: arm64VmSize
})

resource cluster 'Microsoft.ContainerService/managedClusters@2025-05-01' = {
  name: 'aks-${name}'
  location: location
  tags: tags
  sku: {
    name: 'Base'
    tier: clusterTier
  }
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    dnsPrefix: name
    kubernetesVersion: empty(kubernetesVersion) ? null : kubernetesVersion
    enableRBAC: true
    disableLocalAccounts: true
    aadProfile: {
      managed: true
      enableAzureRBAC: true
    }
    oidcIssuerProfile: {
      enabled: true
    }
    securityProfile: {
      workloadIdentity: {
        enabled: true
      }
    }
    networkProfile: {
      networkPlugin: 'azure'
      networkPluginMode: 'overlay'
      networkDataplane: 'cilium'
      networkPolicy: 'cilium'
      podCidr: podCidr
      loadBalancerSku: 'standard'
    }
    addonProfiles: {
      azureKeyvaultSecretsProvider: {
        enabled: true
        config: {
          enableSecretRotation: 'true'
          rotationPollInterval: '2m'
        }
      }
    }
    autoUpgradeProfile: {
      upgradeChannel: 'patch'
      nodeOSUpgradeChannel: 'NodeImage'
    }
    agentPoolProfiles: arm64Pool ? [
      systemPool
      userPool
      arm64UserPool
    ] : [
      systemPool
      userPool
    ]
  }
}

@description('The cluster.')
output name string = cluster.name

@description('Who issues the tokens of service accounts.')
output oidcIssuer string = cluster.properties.oidcIssuerProfile.issuerURL

@description('The identity by which nodes pull images.')
output kubeletPrincipalId string = cluster.properties.identityProfile.kubeletidentity.objectId
