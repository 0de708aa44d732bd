/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/buf.h"
#include "base/option.h"

static const char *const FECS[] = {"rs8m", "ldpc", "none", nullptr};

enum { CONFIG, ADDR, VERBOSE, TYPE, FEC, HELP, N };
static const struct option_def DEFS[N + 1] = {
    [CONFIG] = {'c', "config", OPTION_VALUE, "FILE", "Read the configuration from FILE."},
    [ADDR] = {'a', "addr", OPTION_VALUE, "ADDR", "Listen there."},
    [VERBOSE] = {'v', "verbose", OPTION_FLAG, nullptr, "Say more; may be repeated."},
    [TYPE] = {0, "type", OPTION_LIST, "TYPE", "A type."},
    [FEC] = {0, "fec", OPTION_VALUE, "CODE", "How lost packets are repaired.", FECS},
    [HELP] = {'h', "help", OPTION_FLAG, nullptr, "Show this."},
};

/* Splits at spaces; "''" is an empty word. */
static enum err parse(char *line, struct option_result results[static N], const char **argv, int *ret_n,
                      struct err_info *info) {
    int argc = 0;
    for (char *word = strtok(line, " "); word; word = strtok(nullptr, " "))
        argv[argc++] = strcmp(word, "''") ? word : "";
    memset(results, 0, sizeof *results * N);
    return option_parse(DEFS, argc, argv, results, ret_n, info);
}

static void forms_of_options(void **) {
    struct option_result r[N];
    const char *argv[32];
    struct err_info info;
    int n;
    char line[] = "one -c f.yaml --addr=h:1 -vv two --type=a --type b -v '' - -- -c three";
    assert_int_equal(parse(line, r, argv, &n, &info), ERR_OK);
    assert_int_equal(n, 6);
    assert_string_equal(argv[0], "one");
    assert_string_equal(argv[1], "two");
    assert_string_equal(argv[2], "");
    assert_string_equal(argv[3], "-");
    assert_string_equal(argv[4], "-c");
    assert_string_equal(r[CONFIG].value, "f.yaml");
    assert_string_equal(r[ADDR].value, "h:1");
    assert_int_equal(r[VERBOSE].count, 3);
    assert_int_equal(r[TYPE].n_list, 2);
    assert_string_equal(r[TYPE].list[1], "b");
    assert_null(r[FEC].value);
    char second[] = "-vcfile --fec ldpc --addr= ";
    assert_int_equal(parse(second, r, argv, &n, &info), ERR_OK);
    assert_string_equal(r[CONFIG].value, "file");
    assert_string_equal(r[ADDR].value, "");
    assert_int_equal(r[FEC].count, 1);
    char nothing[] = "";
    assert_int_equal(parse(nothing, r, argv, &n, &info), ERR_OK);
    assert_int_equal(n, 0);
}

static void mistakes_are_told(void **) {
    static const struct {
        const char *line, *message;
    } CASES[] = {
        {"--confg x", "unknown option --confg: did you mean --config?"},
        {"--ocnfig=x", "unknown option --ocnfig: did you mean --config?"},
        {"--verb", "unknown option --verb: did you mean --verbose?"},
        {"--zebra", "unknown option --zebra: see --help"},
        {"-x", "unknown option -x: see --help"},
        {"-vx", "unknown option -x: see --help"},
        {"-c", "option -c, --config needs a value: FILE"},
        {"--fec", "option --fec needs a value: CODE"},
        {"--verbose=3", "option -v, --verbose takes no value, but '3' is given"},
        {"--fec rs8", "--fec: expected one of rs8m, ldpc, none, found 'rs8': did you mean 'rs8m'?"},
        {"-c a -c b", "option -c, --config is given twice"},
        {"--type 1 --type 2 --type 3 --type 4 --type 5 --type 6 --type 7 --type 8 --type 9", "more than 8 times"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct option_result r[N];
        const char *argv[32];
        struct err_info info = {};
        int n;
        char line[200];
        strcpy(line, CASES[i].line);
        if (parse(line, r, argv, &n, &info) == ERR_OK || !strstr(info.message, CASES[i].message))
            fail_msg("case %zu: \"%s\"", i, info.message);
    }
}

static void texts_from_the_table(void **) {
    struct buf out = {};
    option_help(DEFS, &out);
    assert_non_null(strstr(out.data, "  -c, --config FILE       Read the configuration from FILE.\n"));
    assert_non_null(strstr(out.data, "      --type TYPE         A type.\n"));
    buf_clear(&out);
    option_words(DEFS, &out);
    assert_string_equal(out.data, "--config -c --addr -a --verbose -v --type --fec --help -h");
    buf_clear(&out);
    option_man(DEFS, &out);
    assert_non_null(strstr(out.data, ".TP\n\\fB\\-c\\fR, \\fB\\-\\-config\\fR \\fIFILE\\fR\nRead"));
    buf_finish(&out);
    assert_int_equal(option_count(DEFS), N);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms_of_options),
        cmocka_unit_test(mistakes_are_told),
        cmocka_unit_test(texts_from_the_table),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
