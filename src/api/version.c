/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <string.h>

#include "api/api_priv.h"
#include "api/call.h"
#include "api/openapi.h"
#include "orchestrator/orchestrator.h"

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZER ", address sanitizer"
#elif defined(__SANITIZE_THREAD__)
#define SANITIZER ", thread sanitizer"
#else
#define SANITIZER ""
#endif

#if defined(NDEBUG)
#define ASSERTS ", without asserts"
#else
#define ASSERTS ""
#endif

/* info.version is the first "version" in the contract, since gen-api keeps its order. */
static void contract_version(char *ret, size_t size) {
    static const char KEY[] = "\"version\":\"";
    size_t len;
    const char *text = openapi_json(&len);
    const char *at = memmem(text, len, KEY, sizeof KEY - 1);
    const char *from = at ? at + sizeof KEY - 1 : text;
    const char *to = at ? memchr(from, '"', len - (size_t)(from - text)) : nullptr;
    snprintf(ret, size, "%.*s", to ? (int)(to - from) : 0, from);
}

void api_get_version(struct api_call *call) {
    struct version version = {.name = "rocd", .build = COMPILER SANITIZER ASSERTS};
    snprintf(version.version, sizeof version.version, "%s", orchestrator_self(call->orchestrator)->info.version);
    contract_version(version.api, sizeof version.api);
    snprintf(version.libroc, sizeof version.libroc, "%s", call->api->libroc_version);
    call_reply_object(call, &(struct call_object){.status = 200, .schema = &version_schema, .object = &version});
}
