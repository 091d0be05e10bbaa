/* SPDX-License-Identifier: Apache-2.0 */
/* Module _edge_config: the bytes that the build put beside the code.
 *
 *   config() -> bytes      mcp-edge.toml as it was given to the build
 *   licences() -> bytes    the licence table and texts of what is linked in, UTF-8
 */
#include "edge.h"

static PyObject *config(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(args))
{
    return PyBytes_FromStringAndSize(edge_config, (Py_ssize_t)edge_config_bytes);
}

static PyObject *licences(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(args))
{
    return PyBytes_FromStringAndSize(edge_licences, (Py_ssize_t)edge_licences_bytes);
}

static PyMethodDef methods[] = {
    {"config", config, METH_NOARGS, NULL},
    {"licences", licences, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_edge_config", NULL, -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__edge_config(void)
{
    return PyModule_Create(&definition);
}
