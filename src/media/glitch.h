/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * A piece of sound that the destination had to do without, and why.
 *
 *   network_loss    its packets never came, and were not repaired
 *   late            its packets came, after their time
 *   stall           this machine stood still, or was late itself
 *   device_xrun     the destination's device found nothing to play, or had no room; how much that cost is not known
 *   sender_stopped  the sender left it out, or was started anew
 *   clock_jump      the sender's numbers or timestamps went on elsewhere
 *   resync          its packets came; the decoder had lost its place among them, and began anew
 *
 * Threads: any.
 */
enum glitch_kind {
    GLITCH_NETWORK_LOSS,
    GLITCH_LATE,
    GLITCH_STALL,
    GLITCH_DEVICE_XRUN,
    GLITCH_SENDER_STOPPED,
    GLITCH_CLOCK_JUMP,
    GLITCH_RESYNC,
    GLITCH_N_KINDS,
};

struct glitch {
    int64_t at_ns; /* when it was heard, on the media clock */
    enum glitch_kind kind;
    uint32_t frames; /* of the destination's rate */
};
