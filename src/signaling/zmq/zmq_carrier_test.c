/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/loop_uv.h"
#include "model/roster.h"
#include "signaling/zmq/zmq_carrier.h"

/* Carriers in one loop, over real ZeroMQ on loopback: who is let in, what arrives, and what is told when it breaks. */

constexpr int64_t DEADLINE_NS = 30 * NS_PER_S;

struct end {
    struct fixture *fixture;
    struct crypto_sign_key key;
    char node_id[NODE_ID_SIZE], uid[UID_SIZE];
    struct roster roster;
    struct carrier *carrier;
    /* what was heard */
    char frame[64];
    size_t n_frames;
    enum carrier_line frame_line;
    bool is_up[2];
    unsigned n_down[2];
    enum err reason;
};

struct fixture {
    struct loop_uv *loop;
    struct end a, b;
    struct loop_timer deadline;
    bool (*wanted)(struct fixture *f);
    bool is_late;
};

static void look(struct fixture *f) {
    if (f->wanted && f->wanted(f))
        loop_uv_stop(f->loop);
}

static void on_frame(void *arg, const char *peer_uid, enum carrier_line line, const void *frame, size_t len) {
    struct end *end = arg;
    struct fixture *f = end->fixture;
    assert_string_equal(peer_uid, end == &f->a ? f->b.uid : f->a.uid);
    snprintf(end->frame, sizeof end->frame, "%.*s", (int)len, (const char *)frame);
    end->n_frames++;
    end->frame_line = line;
    look(f);
}

static void on_line(void *arg, const char *, enum carrier_line line, bool is_up, const struct err_info *info) {
    struct end *end = arg;
    end->is_up[line] = is_up;
    if (!is_up) {
        end->n_down[line]++;
        end->reason = info->code;
        assert_true(strlen(info->message) > 10);
    }
    look(end->fixture);
}

static const struct carrier_handler HANDLER = {.frame = on_frame, .line = on_line};

static void on_deadline(void *arg) {
    struct fixture *f = arg;
    f->is_late = true;
    loop_uv_stop(f->loop);
}

static void wait_for(struct fixture *f, bool (*wanted)(struct fixture *f)) {
    if (wanted(f))
        return;
    f->wanted = wanted;
    loop_timer_start(loop_uv_loop(f->loop), &f->deadline, DEADLINE_NS);
    loop_uv_run(f->loop);
    loop_timer_stop(loop_uv_loop(f->loop), &f->deadline);
    f->wanted = nullptr;
    assert_false(f->is_late);
}

static void make_end(struct fixture *f, struct end *end) {
    end->fixture = f;
    crypto_sign_key_make(&end->key);
    node_id_format(end->node_id, end->key.public_key);
    uid_reproducible(end->uid, UID_TAG_PEER, end->key.public_key, CRYPTO_PUBLIC_KEY_SIZE);
}

static void open_end(struct end *end) {
    const struct zmq_carrier_config config = {
        .loop = end->fixture->loop, .roster = &end->roster, .key = &end->key, .address = "127.0.0.1:0"};
    struct err_info info = {};
    if (zmq_carrier_create(&config, &end->carrier, &info) != ERR_OK ||
        end->carrier->ops->start(end->carrier, &HANDLER, end, &info) != ERR_OK)
        fail_msg("%s", info.message);
    assert_int_not_equal(end->carrier->ops->port(end->carrier), 0);
}

static void list(struct end *end, const struct end *other, const char *node_id) {
    char address[64] = "";
    if (other->carrier)
        snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)other->carrier->ops->port(other->carrier));
    assert_int_equal(roster_add(&end->roster, node_id, address, ROSTER_ADMIN, end->key.public_key, nullptr), ERR_OK);
}

/* b is opened first and does not know where a is; a dials. */
static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    assert_int_equal(crypto_init(nullptr), ERR_OK);
    assert_int_equal(loop_uv_create(&f->loop, nullptr), ERR_OK);
    f->deadline = (struct loop_timer){.fire = on_deadline, .arg = f};
    make_end(f, &f->a);
    make_end(f, &f->b);
    *state = f;
    return 0;
}

static void close_end(struct end *end) {
    if (end->carrier)
        end->carrier->ops->close(end->carrier);
    end->carrier = nullptr;
    memset(end->is_up, 0, sizeof end->is_up);
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    close_end(&f->a);
    close_end(&f->b);
    loop_uv_destroy(f->loop);
    roster_finish(&f->a.roster);
    roster_finish(&f->b.roster);
    free(f);
    return 0;
}

static void open_both(struct fixture *f) {
    list(&f->b, &f->a, f->a.node_id);
    open_end(&f->b);
    list(&f->a, &f->b, f->b.node_id);
    open_end(&f->a);
}

static void dial(struct fixture *f) {
    f->a.carrier->ops->dial(f->a.carrier, &f->a.roster.members[0]);
}

static void say(struct end *end, const char *to, enum carrier_line line, const char *text) {
    assert_int_equal(end->carrier->ops->send(end->carrier, to, line, text, strlen(text)), ERR_OK);
}

static bool a_is_up(struct fixture *f) {
    return f->a.is_up[CARRIER_DIALED];
}

static bool b_has_heard(struct fixture *f) {
    return f->b.n_frames > 0;
}

static bool a_has_heard(struct fixture *f) {
    return f->a.n_frames > 0;
}

static bool a_is_down(struct fixture *f) {
    return f->a.n_down[CARRIER_DIALED] > 0;
}

static bool b_is_down(struct fixture *f) {
    return f->b.n_down[CARRIER_ACCEPTED] > 0;
}

static void connect_both(struct fixture *f) {
    open_both(f);
    dial(f);
    wait_for(f, a_is_up);
    say(&f->a, f->b.uid, CARRIER_DIALED, "hello");
    wait_for(f, b_has_heard);
}

static void test_frames_both_ways(void **state) {
    struct fixture *f = *state;
    connect_both(f);
    assert_string_equal(f->b.frame, "hello");
    assert_int_equal(f->b.frame_line, CARRIER_ACCEPTED);
    assert_true(f->b.is_up[CARRIER_ACCEPTED]);
    say(&f->b, f->a.uid, CARRIER_ACCEPTED, "and you");
    wait_for(f, a_has_heard);
    assert_string_equal(f->a.frame, "and you");
    char host[64];
    f->a.carrier->ops->host(f->a.carrier, f->b.uid, CARRIER_DIALED, host);
    assert_string_equal(host, "127.0.0.1");
    f->b.carrier->ops->host(f->b.carrier, f->a.uid, CARRIER_ACCEPTED, host);
    assert_string_equal(host, "127.0.0.1");
}

static void test_a_stranger_is_refused(void **state) {
    struct fixture *f = *state;
    struct crypto_sign_key other;
    crypto_sign_key_make(&other);
    char node_id[NODE_ID_SIZE];
    node_id_format(node_id, other.public_key);
    list(&f->b, &f->a, node_id);
    open_end(&f->b);
    list(&f->a, &f->b, f->b.node_id);
    open_end(&f->a);
    dial(f);
    wait_for(f, a_is_down);
    assert_int_equal(f->a.reason, ERR_FORBIDDEN);
    assert_false(f->b.is_up[CARRIER_ACCEPTED]);
}

/* What libzmq still has to say of one attempt is not taken for the end of the next. */
static void test_each_attempt_ends_as_it_does(void **state) {
    struct fixture *f = *state;
    struct crypto_sign_key other;
    crypto_sign_key_make(&other);
    char node_id[NODE_ID_SIZE];
    node_id_format(node_id, other.public_key);
    list(&f->b, &f->a, node_id);
    open_end(&f->b);
    list(&f->a, &f->b, f->b.node_id);
    open_end(&f->a);
    for (int i = 0; i < 200; i++) {
        f->a.n_down[CARRIER_DIALED] = 0;
        dial(f);
        wait_for(f, a_is_down);
        assert_int_equal(f->a.reason, ERR_FORBIDDEN);
    }
}

static void test_another_key_there(void **state) {
    struct fixture *f = *state;
    struct crypto_sign_key other;
    crypto_sign_key_make(&other);
    char node_id[NODE_ID_SIZE];
    node_id_format(node_id, other.public_key);
    list(&f->b, &f->a, f->a.node_id);
    open_end(&f->b);
    list(&f->a, &f->b, node_id);
    open_end(&f->a);
    dial(f);
    wait_for(f, a_is_down);
    assert_int_equal(f->a.reason, ERR_INVALID);
}

static void test_nobody_there(void **state) {
    struct fixture *f = *state;
    open_both(f);
    close_end(&f->b);
    dial(f);
    wait_for(f, a_is_down);
    assert_int_equal(f->a.reason, ERR_UNAVAILABLE);
    assert_int_equal(f->a.carrier->ops->send(f->a.carrier, f->b.uid, CARRIER_DIALED, "x", 1), ERR_UNAVAILABLE);
}

static void test_both_are_told_when_it_breaks(void **state) {
    struct fixture *f = *state;
    connect_both(f);
    f->a.carrier->ops->hang_up(f->a.carrier, f->b.uid, CARRIER_DIALED);
    wait_for(f, b_is_down);
    assert_int_equal(f->a.n_down[CARRIER_DIALED], 0); /* who hangs up is not told */
    f->b.n_frames = 0;
    dial(f);
    f->a.is_up[CARRIER_DIALED] = false;
    wait_for(f, a_is_up);
    say(&f->a, f->b.uid, CARRIER_DIALED, "again");
    wait_for(f, b_has_heard);
    assert_string_equal(f->b.frame, "again");
}

static void test_the_end_of_the_other_side_is_noticed(void **state) {
    struct fixture *f = *state;
    connect_both(f);
    close_end(&f->b);
    wait_for(f, a_is_down);
    assert_int_equal(f->a.reason, ERR_UNAVAILABLE);
}

static void test_a_taken_port(void **state) {
    struct fixture *f = *state;
    open_both(f);
    char address[64];
    snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)f->b.carrier->ops->port(f->b.carrier));
    const struct zmq_carrier_config config = {
        .loop = f->loop, .roster = &f->a.roster, .key = &f->a.key, .address = address};
    struct carrier *third;
    struct err_info info = {};
    assert_int_equal(zmq_carrier_create(&config, &third, &info), ERR_OK);
    assert_int_equal(third->ops->start(third, &HANDLER, &f->a, &info), ERR_BUSY);
    assert_non_null(strstr(info.message, address));
    third->ops->close(third);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_frames_both_ways, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_stranger_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_each_attempt_ends_as_it_does, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_another_key_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nobody_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_both_are_told_when_it_breaks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_end_of_the_other_side_is_noticed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_taken_port, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
