/* An AF_UNIX stream socket at a path, and its life there. */
#ifndef SLUICE_CTL_LISTENER_H
#define SLUICE_CTL_LISTENER_H

#include <sys/types.h>

#include "ctl/rpc.h"

struct listener_options {
	const char *path;  /* its folder is made (0755) if it is missing */
	const char *group; /* that may connect besides the owner; NULL: the process's own */
	mode_t mode;
	int fd; /* -1, or a socket that listens at the path already: it is taken over */
};

struct listener {
	int fd; /* non-blocking, listening */
	char *path;
	dev_t dev; /* what stands at path, to remove nobody else's */
	ino_t ino;
};

/*
 * Listen. Nobody can connect before the socket has its group and mode. A socket that nobody
 * listens on any more is replaced.
 *
 * out:    the caller's, until listener_close
 * err:    only its text is filled, and not for every error
 * Errors: -EADDRINUSE (somebody listens there), -EEXIST (the path is no socket), -ENAMETOOLONG,
 *         -ESRCH (no such group), -ENOMEM, -errno of the system calls
 */
int listener_open(const struct listener_options *options, struct listener *out,
		  struct rpc_error *err);

/* Close, and remove the socket unless another one stands in its place. */
void listener_close(struct listener *listener);

#endif
