/* SPDX-License-Identifier: MPL-2.0 */
#include "app/driver_choice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "audio/driver.h"

static bool is_socket(const char *dir, const char *name) {
    char path[4096];
    struct stat st;
    int len = snprintf(path, sizeof path, "%s/%s", dir, name);
    return len > 0 && (size_t)len < sizeof path && stat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* As pipewire(1) says: $PIPEWIRE_REMOTE in $PIPEWIRE_RUNTIME_DIR or else $XDG_RUNTIME_DIR; then the system's own. */
bool driver_choice_has_pipewire(void) {
    const char *name = getenv("PIPEWIRE_REMOTE");
    if (!name || !name[0])
        name = "pipewire-0";
    if (name[0] == '/')
        return is_socket("", name);
    const char *dir = getenv("PIPEWIRE_RUNTIME_DIR");
    if (!dir || !dir[0])
        dir = getenv("XDG_RUNTIME_DIR");
    return (dir && dir[0] && is_socket(dir, name)) || is_socket("/run/pipewire", name);
}

static bool is_named(const struct audio_driver *driver, const char *name) {
    return strcmp(driver->name, name) == 0;
}

static int find(const struct audio_driver *const *all, const char *name) {
    for (int i = 0; all[i]; i++)
        if (is_named(all[i], name))
            return i;
    return -1;
}

/* Cards belong to PipeWire where it runs: two that open one card disturb each other. */
static bool is_automatic(const struct audio_driver *const *all, const struct audio_driver *driver, bool has_pipewire) {
    return !is_named(driver, "alsa") || !has_pipewire || find(all, "pipewire") < 0;
}

static enum err refuse(const char *name, const struct audio_driver *const *all, struct err_info *reterr) {
    char known[256] = "";
    for (size_t i = 0; all[i]; i++) {
        size_t len = strlen(known);
        snprintf(known + len, sizeof known - len, "%s%s", i > 0 ? ", " : "", all[i]->name);
    }
    if (strcmp(name, "none") == 0)
        return err_set_at(reterr, ERR_INVALID, "audio.driver", "the audio driver 'none' stands alone: name no other");
    return err_set_at(reterr, ERR_INVALID, "audio.driver",
                      "there is no audio driver '%s' in this build: use auto, none, or some of %s with commas between "
                      "them",
                      name, known);
}

enum err driver_choice(const char *wanted, const struct audio_driver *const *all, bool has_pipewire,
                       const char *ret[static DRIVER_CHOICE_MAX + 1], struct err_info *reterr) {
    bool is_chosen[DRIVER_CHOICE_MAX] = {};
    size_t n_all = 0;
    while (all[n_all] && n_all < DRIVER_CHOICE_MAX)
        n_all++;
    ret[0] = nullptr;
    if (strcmp(wanted, "none") == 0)
        return ERR_OK;
    for (const char *p = wanted;; p++) {
        char name[64];
        p += strspn(p, " ");
        size_t len = strcspn(p, ",");
        snprintf(name, sizeof name, "%.*s", (int)(len < sizeof name ? len : sizeof name - 1), p);
        for (size_t end = strlen(name); end > 0 && name[end - 1] == ' ';)
            name[--end] = 0;
        bool is_auto = strcmp(name, "auto") == 0;
        int at = find(all, name);
        if (!is_auto && (at < 0 || (size_t)at >= n_all))
            return refuse(name, all, reterr);
        for (size_t i = 0; i < n_all; i++)
            if (is_auto ? is_automatic(all, all[i], has_pipewire) : i == (size_t)at)
                is_chosen[i] = true;
        p += len;
        if (!*p)
            break;
    }
    size_t n = 0;
    for (size_t i = 0; i < n_all; i++)
        if (is_chosen[i])
            ret[n++] = all[i]->name;
    ret[n] = nullptr;
    return ERR_OK;
}
