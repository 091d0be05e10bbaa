/* SPDX-License-Identifier: Apache-2.0 */
/* The executable's entry: an isolated Python that finds its modules in the executable alone.
 *
 * Law: nothing outside the executable decides what runs. No environment variable, no site, no
 * search path and no file is consulted before edgegate.linux.main is called.
 */
#include <Python.h>
#include <malloc.h>
#include <stdint.h>
#include <unistd.h>

#include "cpu.h"
#include "edge.h"

static PyStatus initialise(int argc, char **argv)
{
    PyPreConfig before;
    PyPreConfig_InitIsolatedConfig(&before);
    before.utf8_mode = 1;
    PyStatus status = Py_PreInitialize(&before);
    if (PyStatus_Exception(status))
        return status;

    PyImport_FrozenModules = edge_frozen;

    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    config.site_import = 0;
    config.write_bytecode = 0;
    config.use_frozen_modules = 1;
    config.module_search_paths_set = 1; /* and left empty */
    config.pathconfig_warnings = 0;
    config.optimization_level = 2; /* as the frozen bytecode was compiled */
    config.code_debug_ranges = 0;
    config.install_signal_handlers = 1; /* SIGPIPE ignored, SIGINT a KeyboardInterrupt */
    /* With all of these set, and a slash in the name, Python does not search for itself. */
    status = PyConfig_SetString(&config, &config.home, L"/");
    if (!PyStatus_Exception(status))
        status = PyConfig_SetString(&config, &config.executable, L"");
    if (!PyStatus_Exception(status))
        status = PyConfig_SetString(&config, &config.program_name, L"/mcp-gateway");
    if (!PyStatus_Exception(status))
        status = PyConfig_SetBytesArgv(&config, argc, argv);
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    return status;
}

/* The status of a SystemExit that is set: its code, 0 for none, 1 for anything else. */
static int exit_status(void)
{
    PyObject *exception = PyErr_GetRaisedException();
    PyObject *code = PyObject_GetAttrString(exception, "code");
    int status = 1;
    if (code && PyLong_Check(code))
        status = (int)PyLong_AsLong(code);
    else if (code == Py_None)
        status = 0;
    Py_XDECREF(code);
    Py_DECREF(exception);
    return status;
}

/* Calls edgegate.linux.main.main(arguments); returns the exit status. */
static int run_gateway(void)
{
    int status = 1;
    PyObject *result = NULL, *arguments = NULL;
    PyObject *module = PyImport_ImportModule("edgegate.linux.main");
    PyObject *argv = module ? PySys_GetObject("argv") : NULL;
    if (argv)
        arguments = PyList_GetSlice(argv, 1, PyList_Size(argv));
    if (arguments)
        result = PyObject_CallMethod(module, "main", "O", arguments);
    if (result)
        status = (int)PyLong_AsLong(result);
    if (PyErr_Occurred()) {
        if (PyErr_ExceptionMatches(PyExc_SystemExit)) {
            status = exit_status();
        } else {
            PyErr_Print();
            status = 1;
        }
    }
    Py_XDECREF(result);
    Py_XDECREF(arguments);
    Py_XDECREF(module);
    return status;
}

static void flush(const char *stream)
{
    PyObject *file = PySys_GetObject(stream);
    PyObject *result = file ? PyObject_CallMethod(file, "flush", NULL) : NULL;
    if (!result)
        PyErr_Clear();
    Py_XDECREF(result);
}

/* glibc's start puts thread-local data at the break and leaves it inside a page. When the kernel
 * later refuses to move the break once and grants it the next time, as QEMU's user emulator does
 * where a mapping comes and goes above it, malloc (glibc 2.41, sysmalloc) takes that unaligned
 * break for its heap's start and its own assertion ends the program. From a page's end it does not.
 */
static void align_break(void)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    sbrk((intptr_t)(-(uintptr_t)sbrk(0) & (page - 1))); /* in a page that is there already */
}

int main(int argc, char **argv)
{
    align_break();
    edge_require_cpu();
    /* One heap: threads wait for I/O or run kernels, none allocates enough to earn its own. */
    mallopt(M_ARENA_MAX, 1);
    PyStatus status = initialise(argc, argv);
    if (PyStatus_Exception(status))
        Py_ExitStatusException(status);
    int code = run_gateway();
    flush("stdout");
    flush("stderr");
    /* Python is not taken down: the kernel frees faster, and a thread that still runs a kernel
     * would be ended with pthread_exit, which needs the unwind tables that were left out. */
    _exit(code);
}
