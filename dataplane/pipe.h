/* A pipe by which one thread makes another look round: a full one is as good as one byte. */
#ifndef SLUICE_DATAPLANE_PIPE_H
#define SLUICE_DATAPLANE_PIPE_H

/* Both ends non-blocking. Errors: -EMFILE, or the system's */
int pipe_open(int fds[2]);
void pipe_close(const int fds[2]);

#endif
