/* SPDX-License-Identifier: MPL-2.0 */

/* miniaudio itself, in a translation unit of its own: it takes a while to compile, and its warnings are not ours. */
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wundef"
#define MINIAUDIO_IMPLEMENTATION
#include "audio/miniaudio/miniaudio_lib.h"
