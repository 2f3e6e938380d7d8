/* See stress.h. */
#include "tests/model/stress.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Returns whether a run with that fault failed; to hang is not to fail. */
static bool plant_is_found(const struct stress_program *program, unsigned plant, unsigned readers)
{
	int status = 0;
	bool found;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		abort();
	if (pid == 0) {
		alarm(2 * STRESS_PLANT_S);
		_exit(program->run(plant, STRESS_PLANT_S, readers) ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	found = status != 0 && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM);
	printf("%s: planted %s: %s\n", program->name, program->plants[plant],
	       found ? "found" : "NOT FOUND");
	return found;
}

static unsigned plant_named(const struct stress_program *program, const char *name)
{
	unsigned plant = 1;

	while (plant < program->plant_count && strcmp(name, program->plants[plant]) != 0)
		plant++;
	return plant;
}

int stress_main(const struct stress_program *program, int argc, char **argv)
{
	static const struct option options[] = {
		{"seconds", required_argument, NULL, 's'},
		{"readers", required_argument, NULL, 'r'},
		{"plant", required_argument, NULL, 'p'},
		{0},
	};
	double seconds = 5;
	unsigned long readers = 2;
	unsigned plant = 0;
	bool ok;

	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (c == 's')
			seconds = strtod(optarg, NULL);
		else if (c == 'r')
			readers = strtoul(optarg, NULL, 10);
		else if (c == 'p')
			plant = plant_named(program, optarg);
		else
			return 2;
	}
	if (plant == program->plant_count || readers < 1 || readers > program->readers_max) {
		fprintf(stderr, "%s: unknown fault, or not 1 to %u readers\n", program->name,
			program->readers_max);
		return 2;
	}
	ok = program->run(plant, plant == 0 ? seconds : STRESS_PLANT_S, (unsigned)readers);
	for (unsigned p = 1; p < program->plant_count && plant == 0; p++)
		ok &= plant_is_found(program, p, (unsigned)readers);
	return ok ? 0 : 1;
}
