/* Where and how a program's workers run. */
#ifndef SLUICE_CTL_THREADS_H
#define SLUICE_CTL_THREADS_H

/* How many cores this process may use, at most max; 1 if the system does not say. */
unsigned threads_cores(unsigned max);

/*
 * Called by each worker first: names it PREFIX/INDEX; pins it where every worker can have a core of
 * its own.
 */
void threads_begin_worker(const char *prefix, unsigned index, unsigned workers);

/*
 * Put the calling thread before ordinary programs, whose packets wait for it: real-time, with the
 * lowest priority, and where that is not allowed at least with a share of ten programs.
 */
void threads_go_first(void);

/*
 * Called again and again by a thread that went first. While it has had most of its core since the
 * last call it is no longer real-time, so that whoever floods it takes the core from nobody else.
 */
void threads_keep_place(void);

#endif
