/* SPDX-License-Identifier: MPL-2.0 */
#include "base/buf.h"
#include "config/config.h"
#include "fuzz/target.h"

/* Any bytes as a configuration file: read or refused with a message that says where, and what was read can be shown. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct config config;
    struct err_info info = {};
    FUZZ_CHECK(config_defaults(&config, &info) == ERR_OK);
    if (config_load_text(&config, "fuzz.yaml", (const char *)data, size, &info) == ERR_OK) {
        struct buf out = {};
        bool good = config_check(&config, &info) == ERR_OK;
        FUZZ_CHECK(good || info.message[0]);
        FUZZ_CHECK(config_print(&config, &out));
        buf_finish(&out);
    } else {
        FUZZ_CHECK(info.message[0]);
    }
    config_finish(&config);
    return 0;
}
