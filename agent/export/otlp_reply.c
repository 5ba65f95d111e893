/* SPDX-License-Identifier: Apache-2.0 */
#include "export/otlp_reply.h"

#include "core/clock.h"
#include "export/exporter.h"
#include "export/proto/status.pb-c.h"
#include "export/proto/trace_service.pb-c.h"

#include <stdio.h>

#define RETRY_INFO "type.googleapis.com/google.rpc.RetryInfo"

void otlp_reply_error(struct outcome *outcome, const char *what, struct slice detail)
{
	char *error = outcome->error;
	int n = detail.len > sizeof(outcome->error) ? (int)sizeof(outcome->error) : (int)detail.len;

	snprintf(error, sizeof(outcome->error), n ? "%s: %.*s" : "%s", what, n, detail.ptr);
	for (; *error; error++)
		if ((unsigned char)*error < ' ' || (unsigned char)*error >= 0x7f)
			*error = ' ';
}

void otlp_reply_partial(struct slice message, struct outcome *outcome)
{
	Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceResponse *reply;
	int64_t rejected;

	reply = opentelemetry__proto__collector__trace__v1__export_trace_service_response__unpack(
		NULL, message.len, (const uint8_t *)message.ptr);
	if (!reply)
		return;
	if (reply->partial_success) {
		rejected = reply->partial_success->rejected_spans;
		if (rejected > 0)
			outcome->rejected =
				rejected < outcome->taken ? (unsigned)rejected : outcome->taken;
		/* without rejected spans the message is a warning (OTLP, "Partial Success") */
		if (rejected > 0 || reply->partial_success->error_message[0])
			otlp_reply_error(outcome, "partial success",
				slice_str(reply->partial_success->error_message));
	}
	opentelemetry__proto__collector__trace__v1__export_trace_service_response__free_unpacked(
		reply, NULL);
}

static uint64_t retry_delay(const Google__Rpc__Any *detail)
{
	Google__Rpc__RetryInfo *info;
	uint64_t delay = 0;

	if (strcmp(detail->type_url, RETRY_INFO))
		return 0;
	info = google__rpc__retry_info__unpack(NULL, detail->value.len, detail->value.data);
	if (!info)
		return 0;
	/* at least 1: a RetryInfo is there, whatever it asks for */
	delay = 1;
	if (info->retry_delay && info->retry_delay->seconds >= 0 && info->retry_delay->nanos >= 0 &&
		info->retry_delay->seconds < 1000000)
		delay += (uint64_t)info->retry_delay->seconds * NS_PER_SEC +
			 (uint64_t)info->retry_delay->nanos;
	google__rpc__retry_info__free_unpacked(info, NULL);
	return delay;
}

bool otlp_reply_status(
	struct slice message, const char *what, struct outcome *outcome, uint64_t *ret_delay_ns)
{
	Google__Rpc__Status *status =
		google__rpc__status__unpack(NULL, message.len, (const uint8_t *)message.ptr);
	uint64_t delay = 0;

	if (!status)
		return false;
	for (size_t i = 0; i < status->n_details && !delay; i++)
		delay = retry_delay(status->details[i]);
	otlp_reply_error(outcome, what, slice_str(status->message));
	*ret_delay_ns = delay;
	google__rpc__status__free_unpacked(status, NULL);
	return true;
}
