/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "fuzz/target.h"
#include "model/grant.h"
#include "model/node_id.h"

/*
 * Any bytes as a grant, and any text as a node id: what is taken comes back the same from what the formatter makes of it,
 * what is refused changes nothing and says what is wrong. A grant that is taken can be signed.
 */
static void check_grant(const char *json, size_t len) {
    struct grant grant = {}, again = {};
    const struct grant nothing = {};
    struct err_info info = {};
    if (grant_parse(json, len, &grant, &info) != ERR_OK) {
        FUZZ_CHECK(info.message[0] && memcmp(&grant, &nothing, sizeof grant) == 0);
        return;
    }
    FUZZ_CHECK(len <= GRANT_JSON_MAX);
    char *text = grant_format(&grant);
    FUZZ_CHECK(text && strlen(text) <= GRANT_JSON_MAX);
    FUZZ_CHECK(grant_parse(text, strlen(text), &again, &info) == ERR_OK);
    FUZZ_CHECK(memcmp(&grant, &again, sizeof grant) == 0);
    free(text);

    struct crypto_sign_key key;
    crypto_sign_key_make(&key);
    FUZZ_CHECK(grant_verify(&grant, key.public_key, &info) == ERR_FORBIDDEN && info.message[0]);
    grant_sign(&grant, &key);
    FUZZ_CHECK(grant_verify(&grant, key.public_key, &info) == ERR_OK);
}

static void check_node_id(const char *text) {
    uint8_t key[CRYPTO_PUBLIC_KEY_SIZE] = {}, again[CRYPTO_PUBLIC_KEY_SIZE];
    const uint8_t nothing[CRYPTO_PUBLIC_KEY_SIZE] = {};
    char id[NODE_ID_SIZE];
    struct err_info info = {};
    if (node_id_parse(text, key, &info) != ERR_OK) {
        FUZZ_CHECK(info.message[0] && memcmp(key, nothing, sizeof key) == 0);
        return;
    }
    node_id_format(id, key);
    FUZZ_CHECK(strlen(id) == NODE_ID_LEN);
    FUZZ_CHECK(node_id_parse(id, again, &info) == ERR_OK && memcmp(key, again, sizeof key) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (crypto_init(nullptr) != ERR_OK)
        return 0;
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    check_grant(text, size);
    check_node_id(text);
    free(text);
    return 0;
}
