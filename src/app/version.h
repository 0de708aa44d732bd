/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

/* ROCD_VERSION comes from meson.build, the one place that names it. */
#ifndef ROCD_VERSION
#error "the build defines ROCD_VERSION"
#endif
