/* The protocol of rpc.c on a server. */
#include "ctl/rpc.h"

#include <string.h>

#include "ctl/server.h"

/* An answer to nobody's request. */
#define last_word(text, reason)                                                                    \
	"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32000,\"message\":\"" text          \
	"\",\"data\":{\"reason\":\"" reason "\"}}}\n"

static size_t measure(const char *input, size_t scanned, size_t size)
{
	const char *end = memchr(input + scanned, '\n', size - scanned);

	return end != NULL ? (size_t)(end - input) + 1 : 0;
}

static int handle(void *context, const char *request, size_t size, bool may_write, char **reply,
		  size_t *reply_size)
{
	/* A line without an end is longer than any that has one. */
	const size_t line = request[size - 1] == '\n' ? size - 1 : size;
	int rc = rpc_handle(context, request, line, may_write, reply);

	if (rc < 0 || *reply == NULL)
		return rc;
	*reply_size = strlen(*reply) + 1;
	(*reply)[*reply_size - 1] = '\n'; /* in the place of the terminator */
	return 0;
}

int rpc_open(const struct rpc_options *options, struct server **out, struct rpc_error *err)
{
	const struct server_options server = {
		.path = options->path,
		.group = options->group,
		.mode = options->mode,
		.fd = -1,
		.protocol =
			{
				.request_max = RPC_REQUEST_MAX + 1,
				.small_max = RPC_SMALL_MAX,
				.measure = measure,
				.handle = handle,
				.context = options->table,
				.busy = last_word("too many clients", "busy"),
				.exhausted = last_word("out of memory", "memory"),
			},
	};

	return server_open(&server, out, err);
}
