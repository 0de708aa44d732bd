/* SPDX-License-Identifier: MPL-2.0 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/uri.h"

/* What a parser takes must come back the same from what the formatter makes of it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char text[512];
    if (size >= sizeof text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    struct err_info info;
    for (int role = 0; role < URI_N_ROLES; role++) {
        struct uri_roc uri, again;
        char made[URI_SIZE];
        if (uri_parse_roc(text, (enum uri_role)role, true, &uri, &info) != ERR_OK)
            continue;
        uri_format_roc(made, &uri);
        if (strcmp(made, text) != 0 || uri_parse_roc(made, (enum uri_role)role, true, &again, &info) != ERR_OK ||
            (uri.port != 0 && !uri_roc_clash(&uri, &again)))
            abort();
    }
    struct uri_endpoint endpoint;
    if (uri_parse_endpoint(text, &endpoint, &info) == ERR_OK && !uid_is_valid(endpoint.endpoint_uid))
        abort();
    return 0;
}
