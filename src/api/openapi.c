/* SPDX-License-Identifier: MPL-2.0 */
#include "api/openapi.h"

#include "api/call.h"
#include "api/routes_gen.h"
#include "embed_gen.h"

const char *openapi_json(size_t *ret_len) {
    *ret_len = embed_openapi_json_len;
    return (const char *)embed_openapi_json;
}

void api_get_docs(struct api_call *call) {
    call_reply_static(call, "text/html; charset=utf-8", embed_openapi_html, embed_openapi_html_len);
}

void api_get_openapi_json(struct api_call *call) {
    call_reply_static(call, "application/json", embed_openapi_json, embed_openapi_json_len);
}

void api_get_openapi_yaml(struct api_call *call) {
    call_reply_static(call, "application/yaml", embed_openapi_yaml, embed_openapi_yaml_len);
}
