/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdint.h>

#include "base/crypto.h"
#include "base/err.h"

/*
 * The node id: a peer's public key in a form that people can read to each other and that tells a slip of the pen.
 *
 * The 32 bytes in base32 (RFC 4648, lower case, no padding: 52 characters) and the first 20 bits of SHA-256("rocd node
 * id" ‖ key), base32 too, as 4 more, in eight groups of seven. For the key of RFC 8032, 7.1, test 1:
 *
 *   25njqam-cweflpv-kl73j4s-zahhiho-c4xt3kt-cgjnpai-ngr5yhk-enaan5g
 *
 * Reading takes either case and any hyphens and spaces, and refuses all that is not exactly one key: unused bits of the
 * 52nd character that are not zero, a wrong check, a key that is no usable point of the curve (small order, or
 * outside the main subgroup). Any slip goes unseen by chance once in a million.
 *
 * Two node ids may still be one key on a link: a point and its negative have the same X25519 form (see model/roster.h).
 *
 * Threads: any.
 */
constexpr size_t NODE_ID_LEN = 63;
constexpr size_t NODE_ID_SIZE = NODE_ID_LEN + 1;

void node_id_format(char ret[static NODE_ID_SIZE], const uint8_t public_key[static CRYPTO_PUBLIC_KEY_SIZE]);
/* Any text. ERR_INVALID says what is wrong with it; then ret_public_key is untouched. */
enum err node_id_parse(const char *text, uint8_t ret_public_key[static CRYPTO_PUBLIC_KEY_SIZE],
                       struct err_info *reterr);
