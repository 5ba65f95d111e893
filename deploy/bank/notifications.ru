# SPDX-License-Identifier: Apache-2.0
# Notifications: a mail to the customer. Every third one meets a slow mail server.
sent = 0

run(lambda do |_env|
  sent += 1
  sleep(sent % 3 == 0 ? 0.15 : 0.004)
  [202, { 'Content-Type' => 'application/json' }, ['{"queued":true}']]
end)
