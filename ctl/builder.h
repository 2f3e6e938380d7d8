/* Long work of the control thread's, done by a thread that stands behind all others. */
#ifndef SLUICE_CTL_BUILDER_H
#define SLUICE_CTL_BUILDER_H

#include <pthread.h>
#include <stdbool.h>

struct builder {
	pthread_t thread;
	void (*work)(void *context);
	void *context;
	bool beside; /* there is a thread */
};

/*
 * Begin to do work(context), where there are cores that nobody else wants. Without a thread to do
 * it, it is done when this returns.
 *
 * builder: stays where it is until builder_finish
 */
void builder_start(struct builder *builder, void (*work)(void *context), void *context);

/*
 * Wait until it is done. If too little of a core is left for it, it comes forward to the last place
 * among ordinary threads.
 *
 * Thread: that of builder_start
 */
void builder_finish(struct builder *builder);

#endif
