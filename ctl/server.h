/*
 * Requests and replies over an AF_UNIX stream socket, whatever they say. Everything runs in the
 * caller's thread; nothing here blocks.
 *
 * No client can delay another: a turn handles at most one request of each, and at most one that is
 * long. What a client may hold is bounded in bytes and in time. When all places are taken, a
 * newcomer gets that of the client whose request or answer has been pending longest; one who may
 * not write only puts out his like, one who may write puts out anybody who may not before his like.
 */
#ifndef SLUICE_CTL_SERVER_H
#define SLUICE_CTL_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ctl/rpc.h"

enum {
	SERVER_CLIENTS_MAX = 64,
	SERVER_DEADLINE_MS = 10000, /* for the rest of a request, and for reading an answer */
};

struct server_protocol {
	size_t request_max; /* bytes, with its end */
	size_t small_max;   /* a longer request waits for its turn after the others */

	/*
	 * Find the end of the first request.
	 *
	 * input:   size bytes, of which none of the first `scanned` ends it
	 * Returns: its size with the end; 0 if it is not all there
	 */
	size_t (*measure)(const char *input, size_t scanned, size_t size);

	/*
	 * Answer a request.
	 *
	 * request:   with its end; or the first request_max bytes of one that is too long
	 * may_write: whether the client is the superuser, or who we are
	 * reply:     the server's, to be freed, on errors too; left NULL: there is none
	 * Errors:    any: the client goes; on -ENOMEM it is sent `exhausted` first
	 */
	int (*handle)(void *context, const char *request, size_t size, bool may_write, char **reply,
		      size_t *reply_size);
	void *context;
	const char *busy;      /* sent to who finds no place; NULL: nothing */
	const char *exhausted; /* sent to whom there is no memory to answer; NULL: nothing */
};

struct server_options {
	struct server_protocol protocol; /* copied */
	const char *path;                /* of the socket */
	const char *group;               /* as in struct listener_options */
	mode_t mode;                     /* 0: 0660 */
	int fd;                          /* as in struct listener_options */
};

struct server;

/*
 * Listen. As listener_open.
 *
 * out: the caller's, until server_close
 * err: only its text is filled
 */
int server_open(const struct server_options *options, struct server **out, struct rpc_error *err);

/* Readable (in a poll or another epoll) while there is something to do. Owned by the server. */
int server_fd(const struct server *server);

/*
 * Take a turn: accept, read, handle, write, close. Deadlines are looked at here too, so call it
 * once a second even if server_fd() is silent.
 *
 * now_ms: of a clock that never goes back
 */
void server_process(struct server *server, uint64_t now_ms);

/* Clients that are connected. */
unsigned server_client_count(const struct server *server);

/* Close all, and remove the socket unless another one stands in its place. NULL allowed. */
void server_close(struct server *server);

#endif
