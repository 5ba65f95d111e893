-- SPDX-License-Identifier: Apache-2.0
-- wrk's own report ends at 99%. Only "done" is here: any other function would slow wrk down.
function done(summary, latency, requests)
	local errors, sum = summary.errors, 0
	for _, n in pairs(errors) do
		sum = sum + n
	end
	io.write(string.format(
		'\n{"requests":%d,"seconds":%f,"errors":%d,"p50_ms":%f,"p99_ms":%f,"p999_ms":%f}\n',
		summary.requests, summary.duration / 1e6, sum, latency:percentile(50) / 1000,
		latency:percentile(99) / 1000, latency:percentile(99.9) / 1000))
end
