# SPDX-License-Identifier: Apache-2.0
"""The CPython port: sockets, clock, signals and kernels for the core.

It imports C modules rather than the standard library's wrappers around them (`_socket`, not
`socket`): that is most of the difference between 60 ms and 10 ms from exec to the first answer.
"""
