/* See server.h. */
#include "ctl/wireguard/server.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl/wireguard/uapi.h"
#include "dataplane/wireguard/device.h"

static const char get_line[] = "get=1\n";
static const char set_line[] = "set=1\n";

enum {
	OPERATION = sizeof(get_line) - 1, /* bytes */
};

size_t wg_server_measure(const char *input, size_t scanned, size_t size)
{
	/* The first of the two line ends may have been seen before. */
	const size_t from = scanned > OPERATION ? scanned - 1 : OPERATION - 1;
	const char *end;

	if (size >= OPERATION && memcmp(input, get_line, OPERATION) == 0)
		return size > OPERATION ? OPERATION + 1 : 0;
	if (size >= OPERATION && memcmp(input, set_line, OPERATION) == 0) {
		end = memmem(input + from, size - from, "\n\n", 2);
		return end ? (size_t)(end - input) + 2 : 0;
	}
	end = memchr(input, '\n', size);
	return end ? (size_t)(end - input) + 1 : 0;
}

static void do_get(struct wg_target *target, bool whole, FILE *out)
{
	struct wg_snapshot *device;
	int rc = whole ? target->get(target->context, &device) : -EINVAL;

	if (rc == 0) {
		wg_uapi_print(device, out);
		wg_snapshot_free(device);
	}
	fprintf(out, "errno=%d\n\n", -rc);
}

static void do_set(struct wg_target *target, const char *text, size_t size, FILE *out)
{
	struct wg_uapi_set set;
	unsigned line;
	int rc = wg_uapi_parse(text, size, &set, &line);

	if (rc == 0) {
		rc = target->set(target->context, &set.changes);
		wg_uapi_free(&set);
	}
	fprintf(out, "errno=%d\n\n", rc);
}

int wg_server_handle(struct wg_target *target, const char *request, size_t size, char **reply,
		     size_t *reply_size)
{
	const bool get = size > OPERATION && memcmp(request, get_line, OPERATION) == 0;
	const bool set = size > OPERATION && memcmp(request, set_line, OPERATION) == 0;
	FILE *out = open_memstream(reply, reply_size);
	int rc = 0;

	if (out == NULL)
		return -ENOMEM;
	if (get)
		do_get(target, request[size - 1] == '\n', out);
	else if (set && memcmp(request + size - 2, "\n\n", 2) == 0)
		do_set(target, request + OPERATION, size - OPERATION - 1, out);
	else
		rc = -EPROTO;
	if (fclose(out) != 0)
		rc = -ENOMEM;
	return rc;
}

static int handle(void *context, const char *request, size_t size, bool may_write, char **reply,
		  size_t *reply_size)
{
	return may_write ? wg_server_handle(context, request, size, reply, reply_size) : -EPERM;
}

int wg_server_open(const char *path, int fd, struct wg_target *target, struct server **out,
		   struct rpc_error *err)
{
	const struct server_options options = {
		.path = path,
		.mode = 0600,
		.fd = fd,
		.protocol =
			{
				.request_max = WG_REQUEST_MAX,
				.small_max = WG_SMALL_MAX,
				.measure = wg_server_measure,
				.handle = handle,
				.context = target,
			},
	};

	return server_open(&options, out, err);
}
