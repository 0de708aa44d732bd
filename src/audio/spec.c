/* SPDX-License-Identifier: MPL-2.0 */
#include "audio/spec.h"

#include "model/endpoint_kinds.h"

enum err audio_spec_check_members(const struct endpoint_spec *spec, struct err_info *reterr) {
    const struct {
        const char *pointer;
        bool is_given;
        uint32_t kinds;
    } members[] = {
        {"/file", spec->has_file == PRESENCE_VALUE, 1u << ENDPOINT_KIND_FILE},
        {"/tone", spec->has_tone == PRESENCE_VALUE, 1u << ENDPOINT_KIND_TONE},
        {"/null", spec->has_null == PRESENCE_VALUE, 1u << ENDPOINT_KIND_NULL},
        {"/bus", spec->has_bus == PRESENCE_VALUE, 1u << ENDPOINT_KIND_BUS},
        {"/virtual", spec->has_virtual == PRESENCE_VALUE, KINDS_VIRTUAL},
        {"/device", spec->has_device == PRESENCE_VALUE, KINDS_FOUND},
        {"/volume", spec->has_volume == PRESENCE_VALUE, KINDS_TOLD_OF},
        {"/muted", spec->has_muted == PRESENCE_VALUE, KINDS_TOLD_OF},
    };
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        if (members[i].is_given && !kind_is_of(spec->kind, members[i].kinds))
            return err_set_at(reterr, ERR_INVALID, members[i].pointer, "'%s' is not for an endpoint of kind '%s'",
                              members[i].pointer + 1, endpoint_kind_name(spec->kind));
    return ERR_OK;
}

struct audio_format audio_spec_format(const struct endpoint_spec *spec) {
    return (struct audio_format){.rate_hz = (uint32_t)spec->rate_hz, .n_channels = (uint32_t)spec->channels};
}
