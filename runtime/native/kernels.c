/* SPDX-License-Identifier: Apache-2.0 */
/* Module _edge_kernels: the models in this executable.
 *
 *   models() -> list[bytes]                             the model cards, in order
 *   run(index, inputs: list[buffer]) -> list[bytes]     one inference
 *
 * Law: a kernel never sees a pointer that Python owns. Tensors are copied into and out of one
 * 64-byte aligned block per model, made at the first call and kept, so that kernels may use
 * aligned vector loads and no other thread can change an input while the interpreter is free.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "edge.h"

#define ALIGNMENT 64

struct workspace {
    PyMutex mutex; /* two calls of one model take turns */
    unsigned char *block; /* inputs, outputs, arena; each aligned */
    const void **inputs;
    void **outputs;
    void *arena;
};

static struct workspace *workspaces; /* one for each model */

static size_t aligned(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static size_t block_bytes(const struct edge_model *model)
{
    size_t total = aligned(model->arena_bytes());
    for (int i = 0; i < model->inputs; i++)
        total += aligned(model->input_bytes[i]);
    for (int i = 0; i < model->outputs; i++)
        total += aligned(model->output_bytes[i]);
    return total;
}

/* Returns 0, or -1 with MemoryError set. */
static int prepare(const struct edge_model *model, struct workspace *work)
{
    if (work->block)
        return 0;
    size_t pointers = (size_t)(model->inputs + model->outputs) * sizeof(void *);
    const void **tensors = malloc(pointers ? pointers : 1);
    size_t bytes = block_bytes(model);
    unsigned char *block = aligned_alloc(ALIGNMENT, bytes ? bytes : ALIGNMENT);
    if (!tensors || !block) {
        free(tensors);
        free(block);
        PyErr_NoMemory();
        return -1;
    }
    work->inputs = tensors;
    work->outputs = (void **)(tensors + model->inputs);
    unsigned char *next = block;
    for (int i = 0; i < model->inputs; i++) {
        work->inputs[i] = next;
        next += aligned(model->input_bytes[i]);
    }
    for (int i = 0; i < model->outputs; i++) {
        work->outputs[i] = next;
        next += aligned(model->output_bytes[i]);
    }
    work->arena = next;
    work->block = block;
    return 0;
}

/* Copies one input; returns 0, or -1 with an exception set. */
static int copy_input(const struct edge_model *model, struct workspace *work, int i, PyObject *item)
{
    Py_buffer view;
    if (PyObject_GetBuffer(item, &view, PyBUF_SIMPLE) < 0)
        return -1;
    int status = 0;
    if ((size_t)view.len == model->input_bytes[i]) {
        memcpy((void *)work->inputs[i], view.buf, (size_t)view.len);
    } else {
        PyErr_Format(PyExc_ValueError, "input %d of model %s has %zd bytes, not %zu", i,
                     model->name, view.len, model->input_bytes[i]);
        status = -1;
    }
    PyBuffer_Release(&view);
    return status;
}

static PyObject *results(const struct edge_model *model, const struct workspace *work)
{
    PyObject *list = PyList_New(model->outputs);
    for (int i = 0; list && i < model->outputs; i++) {
        PyObject *item =
            PyBytes_FromStringAndSize(work->outputs[i], (Py_ssize_t)model->output_bytes[i]);
        if (item)
            PyList_SET_ITEM(list, i, item);
        else
            Py_CLEAR(list);
    }
    return list;
}

/* The inference itself, with the workspace held. `inputs` is a tuple of the right length. */
static PyObject *infer(const struct edge_model *model, struct workspace *work, PyObject *inputs)
{
    if (prepare(model, work) < 0)
        return NULL;
    for (int i = 0; i < model->inputs; i++)
        if (copy_input(model, work, i, PyTuple_GET_ITEM(inputs, i)) < 0)
            return NULL;
    int32_t status;
    Py_BEGIN_ALLOW_THREADS
    status = model->run(work->inputs, work->outputs, work->arena);
    Py_END_ALLOW_THREADS
    if (status != 0) {
        PyObject *code = PyLong_FromLong(status);
        PyErr_SetObject(PyExc_RuntimeError, code);
        Py_XDECREF(code);
        return NULL;
    }
    return results(model, work);
}

static PyObject *edge_run(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_ssize_t index;
    PyObject *sequence;
    if (!PyArg_ParseTuple(args, "nO:run", &index, &sequence))
        return NULL;
    if (index < 0 || index >= edge_model_count) {
        PyErr_Format(PyExc_IndexError, "there is no model %zd", index);
        return NULL;
    }
    const struct edge_model *model = &edge_models[index];
    PyObject *inputs = PySequence_Tuple(sequence);
    if (!inputs)
        return NULL;
    PyObject *outputs = NULL;
    if (PyTuple_GET_SIZE(inputs) != model->inputs) {
        PyErr_Format(PyExc_ValueError, "model %s takes %d inputs, not %zd", model->name,
                     model->inputs, PyTuple_GET_SIZE(inputs));
    } else {
        struct workspace *work = &workspaces[index];
        PyMutex_Lock(&work->mutex);
        outputs = infer(model, work, inputs);
        PyMutex_Unlock(&work->mutex);
    }
    Py_DECREF(inputs);
    return outputs;
}

static PyObject *edge_cards(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(args))
{
    PyObject *list = PyList_New(edge_model_count);
    for (int i = 0; list && i < edge_model_count; i++) {
        const struct edge_model *model = &edge_models[i];
        PyObject *card = PyBytes_FromStringAndSize(model->card, (Py_ssize_t)*model->card_bytes);
        if (card)
            PyList_SET_ITEM(list, i, card);
        else
            Py_CLEAR(list);
    }
    return list;
}

static PyMethodDef methods[] = {
    {"models", edge_cards, METH_NOARGS, NULL},
    {"run", edge_run, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_edge_kernels", NULL, -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__edge_kernels(void)
{
    if (!workspaces)
        workspaces = calloc((size_t)edge_model_count + 1, sizeof(*workspaces));
    return workspaces ? PyModule_Create(&definition) : PyErr_NoMemory();
}
