/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "signaling/zmq/zmq_priv.h"

/*
 * The ZAP handler (RFC 27): a request is 7 frames (version, id, domain, address, identity, mechanism, credentials), the
 * credentials of CURVE are the caller's 32-byte key. The user id of the answer is the peer's uid: libzmq puts it on every
 * message of that connection, and it alone says who sent it.
 */

const char ZMQ_ZAP_DOMAIN_NAME[] = "rocd";

constexpr size_t FRAMES_MAX = 8;
constexpr size_t FRAME_MAX = 255;
constexpr int64_t LOG_EVERY_NS = 10 * NS_PER_S;

struct zap_frame {
    char data[FRAME_MAX + 1]; /* NUL behind it */
    size_t len;
};

struct zap_request {
    struct zap_frame frames[FRAMES_MAX];
    size_t n;
    bool is_sound; /* none too long, none left out */
};

enum { ZAP_VERSION, ZAP_ID, ZAP_DOMAIN, ZAP_ADDRESS, ZAP_IDENTITY, ZAP_MECHANISM, ZAP_CREDENTIALS };

static bool read_request(void *socket, struct zap_request *request) {
    *request = (struct zap_request){.is_sound = true};
    for (int more = 1; more;) {
        zmq_msg_t message;
        zmq_msg_init(&message);
        if (zmq_msg_recv(&message, socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&message);
            return false;
        }
        size_t len = zmq_msg_size(&message);
        if (request->n == FRAMES_MAX || len > FRAME_MAX) {
            request->is_sound = false;
        } else {
            struct zap_frame *frame = &request->frames[request->n++];
            zmq_message_copy_bytes(frame->data, &message, len);
            frame->data[len] = 0;
            frame->len = len;
        }
        more = zmq_msg_more(&message);
        zmq_msg_close(&message);
    }
    return true;
}

static bool frame_is(const struct zap_frame *frame, const char *text) {
    return frame->len == strlen(text) && memcmp(frame->data, text, frame->len) == 0;
}

static void send_frame(void *socket, const char *text, size_t len, bool more) {
    (void)!zmq_send(socket, text, len, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0));
}

static void answer(void *socket, const struct zap_frame *id, const char *user_id) {
    const char *code = user_id ? "200" : "400", *text = user_id ? "OK" : "not listed here";
    send_frame(socket, "1.0", 3, true);
    send_frame(socket, id->data, id->len, true);
    send_frame(socket, code, 3, true);
    send_frame(socket, text, strlen(text), true);
    send_frame(socket, user_id ? user_id : "", user_id ? UID_LEN : 0, true);
    send_frame(socket, "", 0, false);
}

/* At most every ten seconds, for anybody can knock. */
static void log_stranger(struct zmq_carrier *c, const char *address) {
    int64_t now_ns = loop_now_ns(c->loop);
    c->n_refused++;
    if (c->refused_logged_ns && now_ns - c->refused_logged_ns < LOG_EVERY_NS)
        return;
    c->refused_logged_ns = now_ns;
    log_warn(
        c->log,
        "a peer that is not listed here was refused; if it belongs to the site, add its node id (rocctl id, there) "
        "to site.peers of the configuration",
        LOG_STR("address", address), LOG_UINT("refused", c->n_refused));
}

bool zmq_read_zap(struct zmq_carrier *c) {
    struct zap_request request;
    void *socket = c->handles[ZMQ_ROLE_ZAP].socket;
    if (!read_request(socket, &request))
        return false;
    const struct zap_frame *frames = request.frames;
    const struct roster_member *member = nullptr;
    if (request.is_sound && request.n == ZAP_CREDENTIALS + 1 && frame_is(&frames[ZAP_VERSION], "1.0") &&
        frame_is(&frames[ZAP_DOMAIN], ZMQ_ZAP_DOMAIN_NAME) && frame_is(&frames[ZAP_MECHANISM], "CURVE") &&
        frames[ZAP_CREDENTIALS].len == CRYPTO_DH_KEY_SIZE)
        member = roster_find_curve_key(c->roster, (const uint8_t *)frames[ZAP_CREDENTIALS].data);
    if (!member)
        log_stranger(c, frames[ZAP_ADDRESS].data);
    answer(socket, &frames[ZAP_ID], member ? member->uid : nullptr);
    return true;
}

enum err zmq_zap_start(struct zmq_carrier *c, struct err_info *reterr) {
    void *socket = c->handles[ZMQ_ROLE_ZAP].socket = zmq_socket(c->context, ZMQ_REP);
    int linger = 0;
    if (!socket || zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger) ||
        zmq_bind(socket, "inproc://zeromq.zap.01"))
        return err_set(reterr, ERR_INTERNAL, "the check of callers could not be set up, so nobody is let in: %s",
                       zmq_strerror(zmq_errno()));
    return ERR_OK;
}
