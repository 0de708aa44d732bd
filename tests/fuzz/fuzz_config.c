/* SPDX-License-Identifier: MPL-2.0 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Any bytes as a configuration file: read or refused with a message, and what was read can be shown. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct config config;
    struct err_info info = {};
    if (config_defaults(&config, &info) != ERR_OK)
        return 0;
    if (config_load_text(&config, "fuzz.yaml", (const char *)data, size, &info) == ERR_OK) {
        struct buf out = {};
        if (config_check(&config, &info) == ERR_OK && !config_print(&config, &out))
            abort();
        buf_finish(&out);
    } else if (!info.message[0]) {
        abort();
    }
    config_finish(&config);
    return 0;
}
