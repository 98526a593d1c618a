// SPDX-License-Identifier: MIT
/* A target without libFuzzer: gives it a file, or all files of a folder; the kept ones, if none is named. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path)
{
	FILE *file = fopen(path, "rb");
	struct stat status;
	uint8_t *data;
	int done = 0;

	if (!file) {
		perror(path);
		return 0;
	}
	data = fstat(fileno(file), &status) ? NULL : malloc((size_t)status.st_size + 1);
	if (data && fread(data, 1, (size_t)status.st_size, file) == (size_t)status.st_size) {
		fprintf(stderr, "%s\n", path); /* before it: a target that fails ends the program */
		LLVMFuzzerTestOneInput(data, (size_t)status.st_size);
		done = 1;
	}
	free(data);
	fclose(file);
	return done;
}

/* How many files, or -1 if it is not a folder that can be read whole. */
static int replay_folder(const char *path)
{
	struct dirent **entries;
	int count = scandir(path, &entries, NULL, alphasort), done = 0, files = 0;

	for (int i = 0; i < count; i++) {
		char name[4096];

		snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
		if (entries[i]->d_name[0] != '.') {
			files++;
			done += replay(name);
		}
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
	return count < 0 || done < files ? -1 : done;
}

int main(int count, char **values)
{
	const char *path = count > 1 ? values[1] : CORPUS;
	struct stat status;
	int done;

	if (stat(path, &status)) {
		perror(path);
		return EXIT_FAILURE;
	}
	done = S_ISDIR(status.st_mode) ? replay_folder(path) : replay(path);
	printf("%d inputs\n", done);
	return done > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
