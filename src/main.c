/* SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/option.h"
#include "os/notify.h"
#include "os/process.h"
#include "rocd/rocd.h"

/* The daemon: command line, signals, readiness; all else is librocd. Exit codes: 0 ended, 1 failed, 2 usage. */

enum {
    OPT_CONFIG,
    OPT_STATE_DIR,
    OPT_MEDIA_DIR,
    OPT_ADDR,
    OPT_SOCKET,
    OPT_SIGNALING,
    OPT_MEDIA,
    OPT_DRIVER,
    OPT_VERBOSE,
    OPT_CHECK,
    OPT_PRINT_ID,
    OPT_VERSION,
    OPT_HELP,
    OPT_N
};

static const struct option_def OPTIONS[] = {
    [OPT_CONFIG] = {'c', "config", OPTION_VALUE, "FILE", "Read this YAML file; flags win over it.", nullptr},
    [OPT_STATE_DIR] = {0, "state-dir", OPTION_VALUE, "DIR", "Identity and store; one rocd at a time.", nullptr},
    [OPT_MEDIA_DIR] = {0, "media-dir", OPTION_VALUE, "DIR", "Where file endpoints find and put sound files.", nullptr},
    [OPT_ADDR] = {'a', "addr", OPTION_VALUE, "ADDR:PORT",
                  "Where the API listens: a loopback address, 127.0.0.1:4040 by default; port 0 takes a free one.",
                  nullptr},
    [OPT_SOCKET] = {0, "socket", OPTION_VALUE, "PATH", "The unix socket of the API; \"\" for none.", nullptr},
    [OPT_SIGNALING] =
        {0, "signaling", OPTION_VALUE, "ADDR:PORT",
         "Where other peers reach this one, 0.0.0.0:4041 by default; port 0 takes a free one, \"\" means no "
         "peers.",
         nullptr},
    [OPT_MEDIA] = {0, "media", OPTION_VALUE, "ADDR:PORT",
                   "Where sound of other peers arrives (UDP), 0.0.0.0:4042 by default; port 0 takes a free one.",
                   nullptr},
    [OPT_DRIVER] = {'d', "driver", OPTION_VALUE, "DRIVER[,…]",
                    "Which drivers make endpoints: auto, none, or some of pipewire, alsa, file, tone and null.",
                    nullptr},
    [OPT_VERBOSE] = {'v', "verbose", OPTION_FLAG, nullptr, "Log more; may be repeated.", nullptr},
    [OPT_CHECK] = {0, "check-config", OPTION_FLAG, nullptr,
                   "Print every setting with its value and where it comes from, and end.", nullptr},
    [OPT_PRINT_ID] =
        {0, "print-id", OPTION_FLAG, nullptr,
         "Print the node id of this peer, which others list to trust it, and end; makes the key if there is "
         "none.",
         nullptr},
    [OPT_VERSION] = {0, "version", OPTION_FLAG, nullptr, "Show the versions.", nullptr},
    [OPT_HELP] = {'h', "help", OPTION_FLAG, nullptr, "Show this help.", nullptr},
    {},
};

static void print_help(void) {
    struct buf text = {};
    buf_append_str(&text,
                   "Usage: rocd [OPTION…]\n\nReal-time sound between computers, commanded by REST.\n\nOptions:\n");
    option_help(OPTIONS, &text);
    buf_append_str(&text,
                   "\nExamples:\n"
                   "  rocd                                    state in its usual place, API on 127.0.0.1:4040\n"
                   "  rocd -a 127.0.0.1:4050 --state-dir /tmp/b --media-dir ~/Music\n"
                   "  rocd -c /etc/rocd.yaml --check-config   what would it run with, and why\n"
                   "  rocd --print-id                         for site.peers in the configuration of the others\n"
                   "\nThe API is described at http://127.0.0.1:4040/openapi; rocctl(1) commands it from a shell.\n");
    if (text.data)
        fputs(text.data, stdout);
    buf_finish(&text);
}

static void write_stdout(void *, const char *text, size_t len) {
    fwrite(text, 1, len, stdout);
}

static int check_config(const struct rocd_options *options) {
    struct rocd_error error;
    if (rocd_check_config(options, write_stdout, nullptr, &error))
        return 0;
    fprintf(stderr, "rocd: %s\n", error.message);
    return 1;
}

static int print_id(const struct rocd_options *options) {
    struct rocd_error error;
    char node_id[ROCD_NODE_ID_SIZE];
    if (!rocd_node_id(options, node_id, &error)) {
        fprintf(stderr, "rocd: %s\n", error.message);
        return 1;
    }
    return puts(node_id) < 0 || fflush(stdout);
}

/* Runs until SIGTERM or SIGINT; SIGHUP reloads. The signals are blocked in every thread and waited for here. */
static int run(const struct rocd_options *options) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, nullptr);

    struct rocd_error error;
    struct rocd *rocd = rocd_start(options, &error);
    if (!rocd) {
        fprintf(stderr, "rocd: %s\n", error.message);
        return 1;
    }
    notify_service_manager("READY=1");
    for (;;) {
        int signal_number = sigwaitinfo(&signals, nullptr);
        if (signal_number < 0 && errno == EINTR)
            continue;
        if (signal_number != SIGHUP)
            break;
        notify_service_manager("RELOADING=1");
        if (!rocd_reload(rocd, &error))
            fprintf(stderr, "rocd: the configuration was not reloaded: %s\n", error.message);
        notify_service_manager("READY=1");
    }
    notify_service_manager("STOPPING=1");
    rocd_stop(rocd);
    return 0;
}

int main(int argc, char **argv) {
    struct option_result results[OPT_N] = {};
    struct err_info info;
    int n_args = 0;
    const char *args[256];
    if (argc < 1 || argc > 256) {
        fprintf(stderr, "rocd: too many arguments\n");
        return 2;
    }
    memcpy(args, argv, (size_t)argc * sizeof *args);
    if (option_parse(OPTIONS, argc - 1, args + 1, results, &n_args, &info) != ERR_OK) {
        fprintf(stderr, "rocd: %s\nTry 'rocd --help'.\n", info.message);
        return 2;
    }
    if (results[OPT_HELP].count) {
        print_help();
        return 0;
    }
    if (results[OPT_VERSION].count) {
        printf("rocd %s (libroc %s)\n", rocd_version(), rocd_roc_version());
        return 0;
    }
    if (n_args > 0) {
        fprintf(stderr, "rocd: '%s' is one argument too many: rocd takes options only\nTry 'rocd --help'.\n", args[1]);
        return 2;
    }
    /* Shells and service managers give 1024, for programs that call select(). Clients, peers and sound share them. */
    os_process_raise_files(8192);
    int verbose = results[OPT_VERBOSE].count;
    const struct rocd_options options = {
        .size = sizeof options,
        .config_path = results[OPT_CONFIG].value,
        .state_dir = results[OPT_STATE_DIR].value,
        .media_dir = results[OPT_MEDIA_DIR].value,
        .http_address = results[OPT_ADDR].value,
        .http_socket = results[OPT_SOCKET].value,
        .signaling_address = results[OPT_SIGNALING].value,
        .media_address = results[OPT_MEDIA].value,
        .driver = results[OPT_DRIVER].value,
        .log_level = verbose == 0   ? 0
                     : verbose == 1 ? ROCD_LOG_DEBUG + 1
                                    : ROCD_LOG_TRACE + 1,
    };
    if (results[OPT_CHECK].count)
        return check_config(&options);
    return results[OPT_PRINT_ID].count ? print_id(&options) : run(&options);
}
