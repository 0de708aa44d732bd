/* SPDX-License-Identifier: MPL-2.0 */
#include "audio/builtin/builtin.h"

enum err builtin_check_members(const struct endpoint_spec *spec, struct err_info *reterr) {
    const struct {
        const char *pointer;
        enum presence presence;
        enum endpoint_kind kind;
    } members[] = {
        {"/file", spec->has_file, ENDPOINT_KIND_FILE},
        {"/tone", spec->has_tone, ENDPOINT_KIND_TONE},
        {"/null", spec->has_null, ENDPOINT_KIND_NULL},
    };
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        if (members[i].presence == PRESENCE_VALUE && members[i].kind != spec->kind)
            return err_set_at(reterr, ERR_INVALID, members[i].pointer, "'%s' is not for an endpoint of kind '%s'",
                              members[i].pointer + 1, endpoint_kind_name(spec->kind));
    return ERR_OK;
}

struct audio_format builtin_format(const struct endpoint_spec *spec) {
    return (struct audio_format){.rate_hz = (uint32_t)spec->rate_hz, .n_channels = (uint32_t)spec->channels};
}
