/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest bundle: 1024 floats, doubled and then increased by one. */
#include <stddef.h>
#include <stdint.h>

#ifdef EDGE_PROFILE
void edge_profile_mark(int32_t operator_index);
#define EDGE_PROFILE_MARK(i) edge_profile_mark(i)
#else
#define EDGE_PROFILE_MARK(i) ((void)0)
#endif

enum { COUNT = 1024 };

size_t edge_toy_arena_bytes(void);
int32_t edge_toy_run(const void *const *inputs, void *const *outputs, void *arena);

size_t edge_toy_arena_bytes(void) { return COUNT * sizeof(float); }

int32_t edge_toy_run(const void *const *inputs, void *const *outputs, void *arena) {
    const float *input = inputs[0];
    float *middle = arena, *output = outputs[0];
    if (arena == NULL) return -1;
    EDGE_PROFILE_MARK(-1);
    for (int i = 0; i < COUNT; i++) middle[i] = 2.0f * input[i];
    EDGE_PROFILE_MARK(0);
    for (int i = 0; i < COUNT; i++) output[i] = middle[i] + 1.0f;
    EDGE_PROFILE_MARK(1);
    return 0;
}
