/* SPDX-License-Identifier: MPL-2.0 */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "transport/path.h"

enum err path_address_resolve(const char *host, uint16_t port, union path_address *ret, struct err_info *reterr) {
    char name[256];
    size_t len = strlen(host);
    bool bracketed = len >= 2 && host[0] == '[' && host[len - 1] == ']';
    if (bracketed) {
        host++;
        len -= 2;
    }
    if (len == 0 || len >= sizeof name)
        return err_set(reterr, ERR_INVALID, "the host name is empty or longer than %zu characters", sizeof name - 1);
    memcpy(name, host, len);
    name[len] = 0;

    struct addrinfo hints = {
        .ai_family = bracketed ? AF_INET6 : AF_UNSPEC,
        .ai_socktype = SOCK_DGRAM,
        .ai_flags = bracketed ? AI_NUMERICHOST : 0,
    };
    struct addrinfo *list = nullptr;
    int rc = getaddrinfo(name, nullptr, &hints, &list);
    if (rc != 0)
        return err_set(reterr, rc == EAI_MEMORY ? ERR_NO_MEMORY : ERR_UNAVAILABLE, "cannot resolve the host '%s': %s",
                       name, gai_strerror(rc));
    enum err err = err_set(nullptr, ERR_UNAVAILABLE, "no usable address");
    for (const struct addrinfo *a = list; a; a = a->ai_next) {
        if ((a->ai_family != AF_INET && a->ai_family != AF_INET6) || a->ai_addrlen > sizeof *ret)
            continue;
        union path_address address = {};
        memcpy(&address, a->ai_addr, a->ai_addrlen);
        if (a->ai_family == AF_INET)
            address.v4.sin_port = htons(port);
        else
            address.v6.sin6_port = htons(port);
        *ret = address;
        err = ERR_OK;
        break;
    }
    freeaddrinfo(list);
    return err == ERR_OK ? ERR_OK : err_set(reterr, err, "the host '%s' has no IPv4 or IPv6 address", name);
}

void path_address_format(char text[static PATH_ADDRESS_TEXT_SIZE], const union path_address *address) {
    char host[INET6_ADDRSTRLEN] = "?";
    if (address->sa.sa_family == AF_INET) {
        inet_ntop(AF_INET, &address->v4.sin_addr, host, sizeof host);
        snprintf(text, PATH_ADDRESS_TEXT_SIZE, "%s:%u", host, ntohs(address->v4.sin_port));
    } else if (address->sa.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &address->v6.sin6_addr, host, sizeof host);
        snprintf(text, PATH_ADDRESS_TEXT_SIZE, "[%s]:%u", host, ntohs(address->v6.sin6_port));
    } else {
        snprintf(text, PATH_ADDRESS_TEXT_SIZE, "none");
    }
}

uint16_t path_address_port(const union path_address *address) {
    return address->sa.sa_family == AF_INET    ? ntohs(address->v4.sin_port)
           : address->sa.sa_family == AF_INET6 ? ntohs(address->v6.sin6_port)
                                               : 0;
}

socklen_t path_address_len(const union path_address *address) {
    return address->sa.sa_family == AF_INET    ? sizeof address->v4
           : address->sa.sa_family == AF_INET6 ? sizeof address->v6
                                               : 0;
}

bool path_address_same_host(const union path_address *a, const union path_address *b) {
    if (a->sa.sa_family != b->sa.sa_family)
        return false;
    if (a->sa.sa_family == AF_INET)
        return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
    if (a->sa.sa_family == AF_INET6)
        return memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof a->v6.sin6_addr) == 0 &&
               (a->v6.sin6_scope_id == b->v6.sin6_scope_id || a->v6.sin6_scope_id == 0 || b->v6.sin6_scope_id == 0);
    return true; /* both unspecified: a memory path */
}

bool path_address_equal(const union path_address *a, const union path_address *b) {
    return path_address_same_host(a, b) && path_address_port(a) == path_address_port(b);
}

bool path_address_is_multicast(const union path_address *address) {
    if (address->sa.sa_family == AF_INET)
        return IN_MULTICAST(ntohl(address->v4.sin_addr.s_addr));
    return address->sa.sa_family == AF_INET6 && IN6_IS_ADDR_MULTICAST(&address->v6.sin6_addr);
}
