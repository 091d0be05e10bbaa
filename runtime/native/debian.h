/* SPDX-License-Identifier: Apache-2.0 */
/* Included before CPython's own modules: Debian's pyconfig.h says that the Bluetooth headers are
 * there, and only socket address types that no module here uses would come from them. */
#include "pyconfig.h"
#undef HAVE_BLUETOOTH_BLUETOOTH_H
