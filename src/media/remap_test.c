/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "media/remap.h"

static void frames_become(const struct remap_config *config, const float *in, const float *expected, size_t n_out) {
    struct remap remap;
    float out[ENGINE_CHANNELS_MAX];
    memset(out, 0x55, sizeof out);
    assert_int_equal(remap_init(&remap, config, nullptr), ERR_OK);
    assert_int_equal(remap.n_to, n_out);
    remap_run(&remap, out, in, 1);
    for (size_t c = 0; c < n_out; c++)
        assert_true(out[c] == expected[c]);
}

static void defaults_are_what_people_expect(void **) {
    static const struct {
        uint32_t node, wire;
        bool to_node;
        float in[4], out[4];
        size_t n_out;
    } CASES[] = {
        {.node = 1, .wire = 2, .in = {0.5f}, .out = {0.5f, 0.5f}, .n_out = 2},
        {.node = 2, .wire = 1, .in = {0.5f, 0.25f}, .out = {0.375f}, .n_out = 1},
        {.node = 2, .wire = 1, .to_node = true, .in = {0.5f}, .out = {0.5f, 0.5f}, .n_out = 2},
        {.node = 1, .wire = 2, .to_node = true, .in = {0.5f, 0.25f}, .out = {0.375f}, .n_out = 1},
        {.node = 4, .wire = 2, .in = {0.1f, 0.2f, 0.3f, 0.4f}, .out = {0.1f, 0.2f}, .n_out = 2},
        {.node = 4, .wire = 2, .to_node = true, .in = {0.1f, 0.2f}, .out = {0.1f, 0.2f}, .n_out = 4},
        {.node = 4, .wire = 1, .in = {0.1f, 0.2f, 0.3f, 0.4f}, .out = {0.1f}, .n_out = 1},
        {.node = 2, .wire = 2, .in = {0.1f, 0.2f}, .out = {0.1f, 0.2f}, .n_out = 2},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct remap_config config = {
            .node_channels = CASES[i].node, .wire_channels = CASES[i].wire, .to_node = CASES[i].to_node};
        frames_become(&config, CASES[i].in, CASES[i].out, CASES[i].n_out);
    }
}

static void maps_name_the_channel_of_the_node(void **) {
    const float in[] = {0.1f, 0.2f, 0.3f};
    const int swapped[] = {2, -1};
    struct remap_config config = {.node_channels = 3, .wire_channels = 3, .n_map = 2, .map = swapped};
    frames_become(&config, in, (const float[]){0.3f, 0, 0}, 3);
    config.to_node = true;
    frames_become(&config, in, (const float[]){0, 0, 0.1f}, 3);
    const int both[] = {0, 0};
    config = (struct remap_config){.node_channels = 1, .wire_channels = 2, .to_node = true, .n_map = 2, .map = both};
    frames_become(&config, (const float[]){0.25f, 0.5f}, (const float[]){0.75f}, 1);
}

static void only_identity_is_identity(void **) {
    struct remap remap;
    struct remap_config config = {.node_channels = 2, .wire_channels = 2};
    assert_int_equal(remap_init(&remap, &config, nullptr), ERR_OK);
    assert_true(remap.identity);
    config = (struct remap_config){.node_channels = 1, .wire_channels = 1};
    assert_int_equal(remap_init(&remap, &config, nullptr), ERR_OK);
    assert_true(remap.identity);
    const int swapped[] = {1, 0};
    config = (struct remap_config){.node_channels = 2, .wire_channels = 2, .n_map = 2, .map = swapped};
    assert_int_equal(remap_init(&remap, &config, nullptr), ERR_OK);
    assert_false(remap.identity);
    config.n_map = 1;
    config.map = (const int[]){0};
    assert_int_equal(remap_init(&remap, &config, nullptr), ERR_OK);
    assert_false(remap.identity);
}

static void nonsense_is_refused(void **) {
    struct remap remap;
    struct err_info info;
    struct remap_config config = {.node_channels = 2, .wire_channels = 2, .n_map = 1, .map = (const int[]){2}};
    assert_int_equal(remap_init(&remap, &config, &info), ERR_INVALID);
    config.map = (const int[]){-2};
    assert_int_equal(remap_init(&remap, &config, &info), ERR_INVALID);
    config.n_map = 3;
    config.map = (const int[]){0, 1, 0};
    assert_int_equal(remap_init(&remap, &config, &info), ERR_INVALID);
    assert_non_null(strstr(info.message, "3 entries"));
    config = (struct remap_config){.node_channels = 17, .wire_channels = 2};
    assert_int_equal(remap_init(&remap, &config, &info), ERR_INVALID);
    config = (struct remap_config){.node_channels = 2, .wire_channels = 0};
    assert_int_equal(remap_init(&remap, &config, &info), ERR_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_what_people_expect),
        cmocka_unit_test(maps_name_the_channel_of_the_node),
        cmocka_unit_test(only_identity_is_identity),
        cmocka_unit_test(nonsense_is_refused),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
