/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "fuzz/target.h"
#include "model/uri.h"

static void check_roc(const char *text, enum uri_role role, bool local) {
    struct uri_roc uri, again;
    struct err_info info = {};
    if (uri_parse_roc(text, role, local, &uri, &info) != ERR_OK) {
        FUZZ_CHECK(info.message[0]);
        return;
    }
    FUZZ_CHECK(local || uri.port != 0);
    char made[URI_SIZE];
    uri_format_roc(made, &uri);
    FUZZ_CHECK(strcmp(made, text) == 0);
    FUZZ_CHECK(uri_parse_roc(made, role, local, &again, &info) == ERR_OK);
    FUZZ_CHECK(uri.port == 0 || uri_roc_clash(&uri, &again));
}

/* What a parser takes must come back the same from what the formatter makes of it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    for (int role = 0; role < URI_N_ROLES; role++) {
        check_roc(text, (enum uri_role)role, false);
        check_roc(text, (enum uri_role)role, true);
    }
    struct uri_endpoint endpoint;
    struct err_info info = {};
    if (uri_parse_endpoint(text, &endpoint, &info) == ERR_OK)
        FUZZ_CHECK(uid_is_valid(endpoint.endpoint_uid) && (endpoint.is_self || uid_is_valid(endpoint.peer_uid)));
    else
        FUZZ_CHECK(info.message[0]);
    free(text);
    return 0;
}
