// SPDX-License-Identifier: Apache-2.0
// A small cluster to try weft on. Copy it and change what you need; main.bicep says what there is.
using './main.bicep'

param name = 'weft'
param clusterTier = 'Free'
param userMinCount = 1
param userMaxCount = 3
param dailyQuotaGb = 5
param purgeProtection = false
