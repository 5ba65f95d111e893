// SPDX-License-Identifier: Apache-2.0
// An identity without a password: a service account of the cluster is let in as it, by the token that Kubernetes gives it.

@description('The identity\'s name.')
@minLength(3)
@maxLength(24)
param name string

@description('The region.')
param location string

@description('Tags.')
param tags object

@description('Who issues the tokens.')
param issuer string

@description('Whom the tokens are about: system:serviceaccount:NAMESPACE:NAME.')
param subject string

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: name
  location: location
  tags: tags
}

resource credential 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2023-01-31' = {
  parent: identity
  name: 'service-account'
  properties: {
    issuer: issuer
    subject: subject
    audiences: [
      'api://AzureADTokenExchange'
    ]
  }
}

@description('What role assignments name.')
output principalId string = identity.properties.principalId

@description('What logins name.')
output clientId string = identity.properties.clientId
