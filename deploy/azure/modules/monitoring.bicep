// SPDX-License-Identifier: Apache-2.0
// Where the traces go: Application Insights, whose tables are in a Log Analytics workspace.

@description('What the names are made of.')
@minLength(3)
@maxLength(12)
param name string

@description('The region.')
param location string

@description('Tags.')
param tags object

@description('Days that data is kept.')
@minValue(30)
@maxValue(730)
param retentionDays int

@description('The most that is taken in a day, in GB; -1 is no limit.')
@minValue(-1)
@maxValue(1000)
param dailyQuotaGb int

@description('Only identities with a role may send.')
param disableLocalAuth bool

@description('The identity that may send.')
param publisherPrincipalId string

var monitoringMetricsPublisher = '3913510d-42f4-4e42-8a64-420c390055eb'

resource workspace 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: 'log-${name}'
  location: location
  tags: tags
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: retentionDays
    features: {
      disableLocalAuth: true
      enableLogAccessUsingOnlyResourcePermissions: true
    }
    workspaceCapping: {
      dailyQuotaGb: dailyQuotaGb
    }
  }
}

resource applicationInsights 'Microsoft.Insights/components@2020-02-02' = {
  name: 'appi-${name}'
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: workspace.id
    IngestionMode: 'LogAnalytics'
    DisableLocalAuth: disableLocalAuth
  }
}

resource publisher 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(applicationInsights.id, publisherPrincipalId, monitoringMetricsPublisher)
  scope: applicationInsights
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', monitoringMetricsPublisher)
    principalId: publisherPrincipalId
    principalType: 'ServicePrincipal'
  }
}

@description('The workspace.')
output workspaceName string = workspace.name

@description('The component.')
output applicationInsightsName string = applicationInsights.name
