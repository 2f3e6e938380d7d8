/* conf_parse: what it takes prints to a text that prints to itself; what it refuses has a place. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The canonical form of a text, terminated, or NULL. */
static char *canonical(const char *in, size_t size, struct conf_error *err)
{
	char *text = NULL;
	struct conf conf;
	FILE *out;

	if (conf_parse(NULL, in, size, &conf, err) != 0)
		return NULL;
	out = open_memstream(&text, &size);
	conf_print(&conf, out);
	fclose(out);
	conf_free(&conf);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf_error err = {0};
	char *first = canonical((const char *)data, size, &err);
	char *second = first != NULL ? canonical(first, strlen(first), &err) : NULL;

	if (first != NULL ? second == NULL || strcmp(first, second) != 0
			  : err.text[0] == '\0' || (err.line == 0) != (err.column == 0))
		__builtin_trap();
	free(first);
	free(second);
	return 0;
}
