/* SPDX-License-Identifier: Apache-2.0 */
/* Runs kernels, each buffer an allocation of exactly its bytes, built with AddressSanitizer.
 *
 * kernels.inc, which is generated, has the table `kernels` and KERNELS. Standard input holds the
 * bytes of every buffer that a kernel reads, in order; standard output gets the outputs.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_POINTERS = 16, MOST_PHASES = 4, ALIGNMENT = 64 };

struct kernel {
    const char *name;
    int pointers;              /* inputs, constants, output, scratch */
    int over;                  /* the input whose memory the output takes over, or -1 */
    int pieces;                /* the tasks of a phase are done in so many calls */
    size_t bytes[MOST_POINTERS];
    void (*phases[MOST_PHASES])(void **pointers, int32_t begin, int32_t end);
    int32_t tasks[MOST_PHASES];
};

static const char *running = "";

void edge_undefined(const char *what);
void edge_undefined(const char *what) {
    fprintf(stderr, "%s: undefined behaviour: %s\n", running, what);
    exit(1);
}

#include "kernels.inc"

/* What a kernel may not rely on is full of ones: NaN as a float. */
static void *exactly(size_t bytes, int aligned) {
    void *made = NULL;
    if (!aligned) made = malloc(bytes);
    else if (posix_memalign(&made, ALIGNMENT, bytes) != 0) made = NULL;
    if (made == NULL && bytes > 0) exit(2);
    if (bytes > 0) memset(made, 0xff, bytes);
    return made;
}

static void run(const struct kernel *k) {
    void *pointers[MOST_POINTERS];
    int output = k->pointers - 2;
    running = k->name;
    for (int i = 0; i < k->pointers; i++) {
        pointers[i] = exactly(k->bytes[i], i == output - 1 || i > output);
        if (i < output && fread(pointers[i], 1, k->bytes[i], stdin) != k->bytes[i]) exit(3);
    }
    void *result = pointers[k->over >= 0 ? k->over : output];
    void *seen[MOST_POINTERS];
    memcpy(seen, pointers, sizeof seen);
    seen[output] = result;
    for (int phase = 0; phase < MOST_PHASES && k->phases[phase]; phase++)
        for (int piece = 0; piece < k->pieces; piece++) {
            int32_t begin = (int32_t)((int64_t)k->tasks[phase] * piece / k->pieces);
            int32_t end = (int32_t)((int64_t)k->tasks[phase] * (piece + 1) / k->pieces);
            k->phases[phase](seen, begin, end);
        }
    if (fwrite(result, 1, k->bytes[output], stdout) != k->bytes[output]) exit(4);
    for (int i = 0; i < k->pointers; i++) free(pointers[i]);
}

int main(void) {
    for (int i = 0; i < KERNELS; i++) run(&kernels[i]);
    return 0;
}
