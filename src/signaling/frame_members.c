/* SPDX-License-Identifier: MPL-2.0 */
#include "signaling/frame_members.h"

#include "model/grant.h"

#define IN(type) (1U << FRAME_##type)
#define AT(m)    offsetof(struct frame, m)

constexpr unsigned ALL = (1U << FRAME_TYPES) - 1;
constexpr unsigned OF_A_REQUEST = IN(REQ) | IN(RES) | IN(EVT) | IN(ACK) | IN(END) | IN(CANCEL);
constexpr int64_t PROTO_MAX = 1'000'000;
constexpr int64_t ID_MAX = (int64_t)FRAME_ID_MAX;

/* `t`, the type, is not among them: it says which of them count. */
const struct frame_member frame_members[FRAME_MEMBERS] = {
    /* clang-format off */
    {"v",                 FRAME_NUMBER,  AT(version),                 1, PROTO_MAX,      ALL & ~IN(HELLO), 0},
    {"from",              FRAME_EPOCH,   AT(from),                    0, 0,              ALL, 0},
    {"to",                FRAME_EPOCH,   AT(to),                      0, 0,              ALL & ~IN(HELLO), IN(HELLO)},
    {"id",                FRAME_ID,      AT(id),                      1, ID_MAX,         OF_A_REQUEST, 0},
    {"seq",               FRAME_ID,      AT(seq),                     0, ID_MAX,         IN(EVT) | IN(ACK) | IN(END), 0},

    {"proto",             FRAME_RANGE,   AT(proto_min),               1, PROTO_MAX,      IN(HELLO), 0},
    {"version",           FRAME_TEXT,    AT(rocd_version),            0, 32,             0, IN(HELLO)},
    {"up",                FRAME_FLAG,    AT(is_up),                   0, 0,              0, IN(HELLO)},

    {"method",            FRAME_METHOD,  AT(request.method),          1, 8,              IN(REQ), 0},
    {"path",              FRAME_PATH,    AT(request.path),            1, 512,            IN(REQ), 0},
    {"query",             FRAME_TEXT,    AT(request.query),           0, 1024,           0, IN(REQ)},
    {"content_type",      FRAME_TEXT,    AT(request.content_type),    1, 128,            0, IN(REQ)},
    {"if_match",          FRAME_TEXT,    AT(request.if_match),        0, 256,            0, IN(REQ)},
    {"if_none_match",     FRAME_TEXT,    AT(request.if_none_match),   0, 256,            0, IN(REQ)},
    {"idempotency_key",   FRAME_TEXT,    AT(request.idempotency_key), 0, 256,            0, IN(REQ)},
    {"last_event_id",     FRAME_TEXT,    AT(request.last_event_id),   0, 128,            0, IN(REQ)},
    {"user",              FRAME_TEXT,    AT(request.user),            1, 63,             0, IN(REQ)},
    {"role",              FRAME_ROLE,    AT(request.role),            0, 0,              IN(REQ), 0},
    {"grant",             FRAME_JSON,    AT(request.grant),           2, GRANT_JSON_MAX, 0, IN(REQ)},
    {"deadline_ms",       FRAME_MS,      AT(request.deadline_ns),     1, FRAME_DEADLINE_MAX_NS / 1'000'000, IN(REQ), 0},
    {"low",               FRAME_ID,      AT(low),                     1, ID_MAX,         IN(REQ), 0},

    {"status",            FRAME_NUMBER,  AT(status),                  100, 599,          IN(RES), 0},
    {"streaming",         FRAME_FLAG,    AT(is_streaming),            0, 0,              0, IN(RES)},
    {"content_type",      FRAME_TEXT,    AT(content_type),            1, 128,            0, IN(RES)},
    {"headers",           FRAME_HEADERS, AT(headers),                 0, 0,              0, IN(RES)},
    {"part",              FRAME_NUMBER,  AT(part),                    0, ID_MAX,         0, IN(RES)},
    {"size",              FRAME_NUMBER,  AT(size),                    0, (int64_t)LINKS_REPLY_MAX, IN(RES), 0},

    {"name",              FRAME_TEXT,    AT(name),                    1, 64,             0, IN(EVT)},
    {"cursor",            FRAME_TEXT,    AT(cursor),                  1, 64,             0, IN(EVT)},
    /* clang-format on */
};

static const char *const TYPES[FRAME_TYPES] = {
    [FRAME_HELLO] = "hello", [FRAME_PING] = "ping", [FRAME_PONG] = "pong",
    [FRAME_REQ] = "req",     [FRAME_RES] = "res",   [FRAME_EVT] = "evt",
    [FRAME_ACK] = "ack",     [FRAME_END] = "end",   [FRAME_CANCEL] = "cancel",
};

const char *frame_type_name(enum frame_type type) {
    return TYPES[type];
}

const char *frame_role_name(enum roster_role role) {
    static const char *const NAMES[] = {
        [ROSTER_NOBODY] = nullptr,
        [ROSTER_VIEWER] = "viewer",
        [ROSTER_OPERATOR] = "operator",
        [ROSTER_ADMIN] = "admin",
    };
    return NAMES[role];
}

bool frame_text_is_valid(enum frame_kind kind, const char *text, size_t len, int64_t min, int64_t max) {
    if ((int64_t)len < min || (int64_t)len > max || (kind == FRAME_PATH && text[0] != '/'))
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c == 0x7F || (kind == FRAME_METHOD && (c < 'A' || c > 'Z')))
            return false;
    }
    return true;
}

bool frame_header_name_is_valid(const char *name, size_t len) {
    if (len < 1 || len > 32)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
            return false;
    }
    return true;
}

static enum err check_part(const struct frame *f, struct err_info *reterr) {
    if (f->part >= frame_parts(f->size))
        return err_set(reterr, ERR_INVALID, "part %lld of a body of %lld bytes", (long long)f->part,
                       (long long)f->size);
    int64_t left = f->size - f->part * (int64_t)FRAME_PART_MAX;
    int64_t want = left < (int64_t)FRAME_PART_MAX ? left : (int64_t)FRAME_PART_MAX;
    if ((int64_t)f->body_len != want) {
        return err_set(reterr, ERR_INVALID, "part %lld of a body of %lld bytes has %zu bytes instead of %lld",
                       (long long)f->part, (long long)f->size, f->body_len, (long long)want);
    }
    return ERR_OK;
}

enum err frame_check(const struct frame *f, struct err_info *reterr) {
    size_t body_max = 0;
    switch (f->type) {
    case FRAME_RES:
        return check_part(f, reterr);
    case FRAME_REQ:
        body_max = LINKS_BODY_MAX;
        if (f->low > f->id)
            return err_set(reterr, ERR_INVALID, "the request is settled by its own `low`");
        break;
    case FRAME_EVT:
        body_max = f->name ? LINKS_EVENT_MAX : 0;
        if (f->name && f->seq == 0)
            return err_set(reterr, ERR_INVALID, "events are numbered from 1");
        break;
    case FRAME_HELLO:
    case FRAME_PING:
    case FRAME_PONG:
    case FRAME_ACK:
    case FRAME_END:
    case FRAME_CANCEL:
        break;
    }
    if (f->body_len > body_max) {
        return err_set(reterr, ERR_TOO_LARGE, "the body of %s has %zu bytes, and at most %zu are taken",
                       frame_type_name(f->type), f->body_len, body_max);
    }
    return ERR_OK;
}
