/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "fuzz/target.h"
#include "signaling/frame.h"

/* Any bytes as a frame of a peer: what is taken can be written again, and is read the same; what is refused says why. */
static bool same_text(const char *a, const char *b) {
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static void check_same(const struct frame *a, const struct frame *b) {
    FUZZ_CHECK(a->type == b->type && a->from == b->from && a->to == b->to && a->version == b->version);
    FUZZ_CHECK(a->id == b->id && a->seq == b->seq && a->low == b->low && a->is_up == b->is_up);
    FUZZ_CHECK(a->proto_min == b->proto_min && a->proto_max == b->proto_max);
    FUZZ_CHECK(a->status == b->status && a->part == b->part && a->size == b->size && a->n_headers == b->n_headers);
    FUZZ_CHECK(a->request.role == b->request.role && a->request.deadline_ns == b->request.deadline_ns);
    FUZZ_CHECK(same_text(a->request.path, b->request.path) && same_text(a->request.user, b->request.user));
    FUZZ_CHECK(same_text(a->request.grant, b->request.grant) && same_text(a->name, b->name));
    FUZZ_CHECK(a->body_len == b->body_len && (!a->body_len || memcmp(a->body, b->body, a->body_len) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct frame frame, again;
    struct err_info info = {};
    struct buf bytes = {};
    if (frame_decode(data, size, &frame, &info) == ERR_OK) {
        FUZZ_CHECK(size <= CARRIER_FRAME_MAX);
        FUZZ_CHECK(frame.from != 0 && frame.body_len < size);
        enum err err = frame_encode(&frame, &bytes, &info);
        /* Escapes may make the same text longer than a header may be. */
        FUZZ_CHECK(err == ERR_OK || err == ERR_TOO_LARGE);
        if (!err) {
            FUZZ_CHECK(frame_decode(bytes.data, bytes.len, &again, &info) == ERR_OK);
            check_same(&frame, &again);
            frame_finish(&again);
        }
        frame_finish(&frame);
    } else {
        FUZZ_CHECK(info.message[0]);
    }
    buf_finish(&bytes);
    return 0;
}
