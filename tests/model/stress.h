/* What stress programs share: their options, and faults that are planted and must be found. */
#ifndef SLUICE_TESTS_MODEL_STRESS_H
#define SLUICE_TESTS_MODEL_STRESS_H

#include <stdbool.h>

enum {
	STRESS_PLANT_S = 60, /* at most; a planted fault is found in the first second */
};

struct stress_program {
	const char *name;
	const char *const *plants; /* the first stands for none */
	unsigned plant_count;
	unsigned readers_max;
	/* Returns whether all invariants held. */
	bool (*run)(unsigned plant, double seconds, unsigned readers);
};

/*
 * The main() of `NAME [--seconds N] [--readers N] [--plant FAULT]`: a run with the fault; without
 * one a run as it should be, and then each fault in a child process, which must fail.
 */
int stress_main(const struct stress_program *program, int argc, char **argv);

#endif
