/* SPDX-License-Identifier: Apache-2.0 */
/* What the fixed and the generated C files of the executable know of each other. */
#ifndef EDGE_H
#define EDGE_H

#include <Python.h>
#include <stddef.h>
#include <stdint.h>

/* Generated with the objects: frozen Python modules, ended by a null name. */
extern const struct _frozen edge_frozen[];

/* Generated when linking: one entry for each model, in the order of the build request. */
struct edge_model {
    const char *name;
    const char *card; /* the model card, JSON in UTF-8 */
    const size_t *card_bytes;
    size_t (*arena_bytes)(void);
    int32_t (*run)(const void *const *inputs, void *const *outputs, void *arena);
    const size_t *input_bytes; /* one size for each input tensor */
    const size_t *output_bytes;
    int inputs;
    int outputs;
};

extern const struct edge_model edge_models[];
extern const int edge_model_count;

/* Generated when linking: the build's configuration and what has to be said of licences. */
extern const char edge_config[];
extern const size_t edge_config_bytes;
extern const char edge_licences[];
extern const size_t edge_licences_bytes;

PyMODINIT_FUNC PyInit__edge_kernels(void);
PyMODINIT_FUNC PyInit__edge_config(void);

#endif
