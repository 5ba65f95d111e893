# SPDX-License-Identifier: Apache-2.0
bind "tcp://127.0.0.1:#{ENV.fetch('PORT')}"
threads 4, 4
log_requests false
quiet
