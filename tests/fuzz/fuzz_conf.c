/* conf_parse: what it takes prints to a text that prints to itself; what it refuses has a place. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		__builtin_trap();
}

static char *print_and_free(struct conf *conf, size_t *size)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, size);

	conf_print(conf, out);
	fclose(out);
	conf_free(conf);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf_error err = {0};
	struct conf conf;
	size_t first_size, second_size;
	int rc = conf_parse(NULL, (const char *)data, size, &conf, &err);

	check(rc == 0 || (rc == -EINVAL && err.text[0] != '\0' && !err.line == !err.column));
	if (rc != 0)
		return 0;
	char *first = print_and_free(&conf, &first_size);

	check(conf_parse(NULL, first, first_size, &conf, &err) == 0);
	char *second = print_and_free(&conf, &second_size);

	check(first_size == second_size && memcmp(first, second, first_size) == 0);
	free(first);
	free(second);
	return 0;
}
