/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "audio/builtin/builtin.h"
#include "audio/driver.h"
#ifdef ROCD_HAVE_PIPEWIRE
#include "audio/pipewire/pipewire.h"
#endif
#ifdef ROCD_HAVE_ALSA
#include "audio/miniaudio/miniaudio_driver.h"
#endif

/* Those that find devices come first: they are listed so. */
const struct audio_driver *const audio_drivers[] = {
#ifdef ROCD_HAVE_PIPEWIRE
    &audio_driver_pipewire,
#endif
#ifdef ROCD_HAVE_ALSA
    &audio_driver_alsa,
#endif
    &audio_driver_file,     &audio_driver_tone, &audio_driver_null, &audio_driver_bus, nullptr,
};

const struct audio_driver *audio_driver_for_kind(int endpoint_kind) {
    if (endpoint_kind < 0 || endpoint_kind >= 32)
        return nullptr;
    for (const struct audio_driver *const *d = audio_drivers; *d; d++)
        if ((*d)->kinds & (1u << endpoint_kind))
            return *d;
    return nullptr;
}

const struct audio_driver *audio_driver_by_name(const char *name) {
    for (const struct audio_driver *const *d = audio_drivers; *d; d++)
        if (strcmp((*d)->name, name) == 0)
            return *d;
    return nullptr;
}
