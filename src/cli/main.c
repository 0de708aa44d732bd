/* SPDX-License-Identifier: MPL-2.0 */
#include <stdlib.h>

#include "base/cleanup.h"
#include "cli/cli.h"

int main(int argc, char **argv) {
    int n = argc > 0 ? argc - 1 : 0;
    _cleanup_(freep) const char **words = calloc((size_t)n + 1, sizeof *words);
    if (!words)
        return CLI_FAILED;
    for (int i = 0; i < n; i++)
        words[i] = argv[i + 1];
    return (int)cli_main(n, words, stdout, stderr);
}
