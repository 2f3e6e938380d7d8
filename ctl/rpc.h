/*
 * The control socket: JSON-RPC 2.0 over AF_UNIX stream, one object (or one batch) a line.
 *
 * rpc.c is the protocol: a line in, a reply out, no socket. rpc_server.c carries lines between
 * clients and it. Everything runs in the caller's thread; nothing here blocks.
 *
 * No client can delay another: a turn handles at most one request of each, and at most one that is
 * long. What a client may hold is bounded in bytes and in time. When all places are taken, a
 * newcomer gets that of the client whose request or answer has been pending longest; one who may
 * not write only puts out his like, one who may write puts out anybody who may not before his like.
 */
#ifndef SLUICE_CTL_RPC_H
#define SLUICE_CTL_RPC_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	RPC_REQUEST_MAX = 1 << 20, /* bytes of a line, without its end */
	RPC_SMALL_MAX = 4 << 10,   /* a longer request waits for its turn after the others */
	RPC_VALUES_MAX = 16 << 10, /* commas, colons and opening brackets of a request */
	RPC_BATCH_MAX = 64,
	RPC_RESULTS_MAX = 3 << 20, /* bytes of all results of a line; more is an error */
	RPC_CLIENTS_MAX = 64,
	RPC_DEADLINE_MS = 10000, /* for the rest of a request, and for reading an answer */
	RPC_TEXT_MAX = 512,
};

enum rpc_code {
	RPC_PARSE = -32700,
	RPC_REQUEST = -32600,
	RPC_METHOD = -32601,
	RPC_PARAMS = -32602,
	RPC_INTERNAL = -32603,
	RPC_REFUSED = -32000, /* the application said no: data.reason says why */
};

/* Zeroed before a method is called. */
struct rpc_error {
	int code;           /* 0: RPC_REFUSED */
	const char *reason; /* a stable word for programs, lasting; NULL: the name of the errno */
	char text[RPC_TEXT_MAX]; /* one line for people; any bytes */
	json_t *data;            /* an object with more members for "data", taken over; or NULL */
};

struct rpc_method {
	const char *name;
	bool writes; /* changes something: not for everyone */

	/*
	 * Answer one request, or obey one notification.
	 *
	 * context: the table's
	 * params:  borrowed: an object, an array, or NULL if there are none
	 * result:  a new reference, or left as it is: null
	 * Errors:  any -errno, with *err filled as far as it is known (rpc_error_set)
	 */
	int (*call)(void *context, const json_t *params, json_t **result, struct rpc_error *err);
	const char *help; /* one line */
};

/* What can be called. "rpc.methods", which lists the rest, is there without being named. */
struct rpc_table {
	const struct rpc_method *methods;
	size_t count;
	void *context;
};

/*
 * Fill *err; returns -EINVAL, so that a method can return it at once.
 *
 * code:   0 for RPC_REFUSED
 * reason: kept, not copied; NULL allowed
 */
int rpc_error_set(struct rpc_error *err, int code, const char *reason, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* A JSON string of any bytes: what is not UTF-8 becomes "?". NULL if there is no memory. */
json_t *rpc_string(const char *text);

/*
 * Handle one line: a request, a notification or a batch.
 *
 * line:      not terminated, without its end; may hold anything
 * may_write: whether the caller may use methods that write
 * reply:     one line without its end, the caller's by free(); NULL if none is due (notifications,
 *            blank lines). At most RPC_REPLY_MAX bytes.
 * Errors:    -ENOMEM
 */
int rpc_handle(const struct rpc_table *table, const char *line, size_t size, bool may_write,
	       char **reply);

enum {
	/* Beside the results: what replies to a batch of RPC_BATCH_MAX say of themselves, and the
	 * ids, which come from the request. */
	RPC_REPLY_MAX = RPC_RESULTS_MAX + RPC_REQUEST_MAX + RPC_BATCH_MAX * 256,
};

struct rpc_options {
	const char *path;       /* of the socket; its folder is made (0755) if it is missing */
	const char *group;      /* that may connect besides the owner; NULL: the process's own */
	mode_t mode;            /* 0: 0660 */
	struct rpc_table table; /* copied; methods and context last as long as the server */
};

struct rpc;

/*
 * Listen. Nobody can connect before the socket has its group and mode. A socket that nobody
 * listens on any more is replaced.
 *
 * err:    only its text is filled
 * Errors: -EADDRINUSE (somebody listens there), -EEXIST (the path is no socket), -ENAMETOOLONG,
 *         -ESRCH (no such group), -ENOMEM, -errno of the system calls
 */
int rpc_open(const struct rpc_options *options, struct rpc **out, struct rpc_error *err);

/* Readable (in a poll or another epoll) while there is something to do. Owned by the server. */
int rpc_fd(const struct rpc *rpc);

/*
 * Take a turn: accept, read, handle, write, close. Deadlines are looked at here too, so call it
 * once a second even if rpc_fd() is silent.
 *
 * now_ms: of a clock that never goes back
 */
void rpc_process(struct rpc *rpc, uint64_t now_ms);

/* Clients that are connected. */
unsigned rpc_client_count(const struct rpc *rpc);

/* Close all, and remove the socket unless another one stands in its place. NULL allowed. */
void rpc_close(struct rpc *rpc);

#endif
