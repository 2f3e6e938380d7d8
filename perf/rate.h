/* The rate of datagrams that something carries, and what is left of more than that. */
#ifndef SLUICE_PERF_RATE_H
#define SLUICE_PERF_RATE_H

/* What is sent, from where and to whom, and how it is searched. */
struct rate_course {
	int ns;
	const char *address; /* of a `traffic serve` */
	unsigned size;       /* payload of a datagram, each a system call */
	unsigned flows;
	const char *option; /* of `traffic send`, or NULL */
	double loss;        /* the part that may be missing */
	double max;         /* datagrams a second: no rate above it is tried */
	unsigned ms;        /* of a try */
	unsigned steps_first;
	unsigned steps_again;
};

struct rate_outcome {
	double rate; /* offered, as far as the sender got */
	double delivered;
	unsigned long reordered;
	double p50_us;
	double p999_us;
};

/* Offer a rate for a while. Errors: -errno */
int rate_offer(const struct rate_course *course, double rate, unsigned ms,
	       struct rate_outcome *out);

/*
 * Find the highest rate, open loop, by halving an interval.
 *
 * rate:   on entry what an earlier run found, round which less steps are enough, or 0; on success
 *         datagrams a second, 0 if even the lowest that was tried was too much
 * Errors: -errno
 */
int rate_find(const struct rate_course *course, double *rate);

#endif
