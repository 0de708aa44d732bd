/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"

static const char NO_MEMORY_PROBLEM[] =
    "{\"type\":\"urn:rocd:problem:no_memory\",\"title\":\"Out of memory\",\"status\":500,"
    "\"detail\":\"rocd is out of memory\",\"error_code\":\"no_memory\",\"error_text\":\"rocd is out of memory\","
    "\"errors\":[]}\n";

/* Seconds after which to try again; nullptr: the same request would fail again. */
static const char *retry_after(int status) {
    return status == 429 || status == 503 ? "1" : nullptr;
}

static void copy(char *to, size_t size, const char *from) {
    snprintf(to, size, "%s", from);
}

static void fill_errors(struct problem *problem, const struct err_info *info, const struct schema_errors *errors) {
    constexpr size_t MAX = sizeof problem->errors / sizeof problem->errors[0];
    for (size_t i = 0; errors && i < errors->n_errors && i < MAX; i++) {
        struct problem_error *error = &problem->errors[problem->n_errors++];
        copy(error->pointer, sizeof error->pointer, errors->errors[i].pointer);
        copy(error->detail, sizeof error->detail, errors->errors[i].detail);
    }
    if (!problem->n_errors && info->pointer[0]) {
        problem->n_errors = 1;
        copy(problem->errors[0].pointer, sizeof problem->errors[0].pointer, info->pointer);
        copy(problem->errors[0].detail, sizeof problem->errors[0].detail, info->message);
    }
}

void problem_reply(struct api_reply *ret, const struct err_info *info, const struct schema_errors *errors,
                   const char *path) {
    int status = err_http_status(info->code);
    struct problem problem = {.status = status};
    snprintf(problem.type, sizeof problem.type, "urn:rocd:problem:%s", err_name(info->code));
    copy(problem.title, sizeof problem.title, err_title(info->code));
    copy(problem.detail, sizeof problem.detail, info->message[0] ? info->message : err_title(info->code));
    copy(problem.error_code, sizeof problem.error_code, err_name(info->code));
    copy(problem.error_text, sizeof problem.error_text, problem.detail);
    fill_errors(&problem, info, errors);
    if (path) {
        problem.has_instance = PRESENCE_VALUE;
        copy(problem.instance, sizeof problem.instance, path);
    }
    struct api_reply reply = {.status = status, .content_type = "application/problem+json"};
    if (schema_encode_text(&problem_schema, &problem, &reply.body, &reply.body_len, nullptr) != ERR_OK) {
        reply.status = 500;
        reply.static_body = NO_MEMORY_PROBLEM;
        reply.body_len = sizeof NO_MEMORY_PROBLEM - 1;
    }
    if (retry_after(reply.status))
        reply_add_header(&reply, "Retry-After", retry_after(reply.status));
    *ret = reply;
}

void api_problem(struct api_reply *ret, const struct err_info *info) {
    problem_reply(ret, info, nullptr, nullptr);
}

void reply_add_header(struct api_reply *reply, const char *name, const char *value) {
    if (reply->n_headers == API_HEADERS_MAX)
        return;
    struct api_header *header = &reply->headers[reply->n_headers++];
    header->name = name;
    copy(header->value, sizeof header->value, value);
}

void api_reply_finish(struct api_reply *reply) {
    if (!reply)
        return;
    free(reply->body);
    api_events_destroy(reply->events);
    *reply = (struct api_reply){};
}
