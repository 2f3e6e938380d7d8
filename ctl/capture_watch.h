/*
 * Hears of damage to a capture: that others removed its rules or routes, moved its device, or
 * touched its nft table. It says that, never what: whoever looks afterwards sees more than the news
 * tell, since the kernel does not tell all (IPv4 routes go silently when a device goes down).
 *
 * Threads: all calls from one thread.
 */
#ifndef SLUICE_CTL_CAPTURE_WATCH_H
#define SLUICE_CTL_CAPTURE_WATCH_H

#include <stdbool.h>
#include <stdint.h>

struct capture_watch;

/*
 * Start listening.
 *
 * table:     of the capture; the reply tables follow it
 * ifindex:   of the TUN
 * nft_table: name, of family inet and netdev; copied. On a kernel without nf_tables it is not
 * listened for out:       the caller's, until capture_watch_close Errors:    -EPERM, -ENOMEM or the
 * system's
 */
int capture_watch_open(uint32_t table, unsigned ifindex, const char *nft_table,
		       struct capture_watch **out);
void capture_watch_close(struct capture_watch *watch); /* NULL does nothing */

/* What to poll for reading; stays the watch's. */
int capture_watch_fd(const struct capture_watch *watch);

/* Make the descriptor readable in so many milliseconds, more than 0, until it is read. */
void capture_watch_wake(struct capture_watch *watch, unsigned ms);

/*
 * Take in the news without blocking; cheap, however many they are. Lost news count as damage.
 *
 * Returns: whether something of the capture may be damaged
 */
bool capture_watch_read(struct capture_watch *watch);

#endif
