/*
 * Runs a fuzz target on the files of folders: the seeds of each target are tests that need no
 * libFuzzer. usage: replay_NAME FOLDER...
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static int replay_file(const char *path, size_t size_bytes)
{
	/* Just as large as the input, so that reading past its end can be noticed. */
	uint8_t *data = malloc(size_bytes > 0 ? size_bytes : 1);
	FILE *file = fopen(path, "rb");
	int rc = -EIO;

	if (data && file && fread(data, 1, size_bytes, file) == size_bytes) {
		LLVMFuzzerTestOneInput(data, size_bytes);
		rc = 0;
	}
	if (file)
		fclose(file);
	free(data);
	return rc;
}

/* Returns how many files it ran, or -errno. */
static int replay_folder(const char *folder)
{
	struct dirent **entries;
	int rc = 0;
	int n = scandir(folder, &entries, NULL, alphasort);

	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		char path[4096];
		struct stat st;

		snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
		free(entries[i]);
		if (rc < 0 || stat(path, &st) != 0 || !S_ISREG(st.st_mode))
			continue;
		printf("%s\n", path);
		fflush(stdout); /* names the culprit if the target crashes */
		rc = replay_file(path, (size_t)st.st_size) == 0 ? rc + 1 : -EIO;
	}
	free(entries);
	return rc;
}

int main(int argc, char **argv)
{
	int total = 0;

	if (LLVMFuzzerInitialize)
		LLVMFuzzerInitialize(&argc, &argv);
	for (int i = 1; i < argc; i++) {
		int n = replay_folder(argv[i]);

		if (n < 0) {
			fprintf(stderr, "%s: %s\n", argv[i], strerror(-n));
			return 1;
		}
		total += n;
	}
	printf("%d seeds\n", total);
	return total > 0 ? 0 : 1;
}
