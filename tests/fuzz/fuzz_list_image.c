/* Images of lists: whatever is taken is a list that could have been parsed, and has that image. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/model/list_image_props.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *wrong = list_image_props_check(data, size);

	if (wrong != NULL) {
		fprintf(stderr, "fuzz_list_image: %s\n", wrong);
		abort();
	}
	return 0;
}
