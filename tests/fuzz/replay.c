/* Runs a fuzz target over a committed corpus, for compilers without libFuzzer:
 *     fuzz_x FOLDER...
 * Every file of each folder is one input. A folder without a file is a failure, so that a corpus
 * that went missing does not pass. The target itself aborts when its property does not hold.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/banned.h"

enum { INPUT_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In a block of exactly its size, so that AddressSanitizer sees a read past the end. */
static int replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *all = malloc(INPUT_MAX);
    if (f == NULL || all == NULL) {
        perror(path);
        exit(1);
    }
    size_t n = fread(all, 1, INPUT_MAX, f);
    int failed = ferror(f) || !feof(f);
    fclose(f);
    uint8_t *exact = realloc(all, n == 0 ? 1 : n);
    if (!failed && exact != NULL) {
        (void)LLVMFuzzerTestOneInput(exact, n);
    }
    free(exact);
    return failed;
}

static int replay_folder(const char *folder)
{
    char path[4096];
    int n_files = 0;
    int failed = 0;
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        perror(folder);
        return 1;
    }
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        if (e->d_name[0] == '.') {
            continue;
        }
        (void)snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        failed |= replay_file(path);
        n_files++;
    }
    closedir(dir);
    printf("%s: %d inputs\n", folder, n_files);
    return failed || n_files == 0;
}

int main(int argc, char **argv)
{
    int failed = argc < 2;
    for (int i = 1; i < argc; i++) {
        failed |= replay_folder(argv[i]);
    }
    return failed;
}
