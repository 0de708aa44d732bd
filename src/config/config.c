/* SPDX-License-Identifier: MPL-2.0 */
#include "config/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "config/schema.h"
#include "config/yaml.h"

enum err config_defaults(struct config *ret, struct err_info *reterr) {
    struct config config = {};
    for (int key = 0; key < CONFIG_N_KEYS; key++) {
        enum err e = config_field_default(&config, (enum config_key)key, reterr);
        if (e != ERR_OK) {
            config_finish(&config);
            return e;
        }
    }
    *ret = config;
    return ERR_OK;
}

static void free_peers(struct config_peer *peers, size_t n_peers) {
    for (size_t i = 0; i < n_peers; i++)
        for (int key = 0; key < CONFIG_PEER_N_KEYS; key++)
            config_field_free(&peers[i], &CONFIG_PEER_SCHEMA[key]);
    free(peers);
}

void config_finish(struct config *config) {
    if (!config)
        return;
    for (int key = 0; key < CONFIG_N_KEYS; key++)
        config_field_free(config, &CONFIG_SCHEMA[key]);
    free_peers(config->site.peers, config->site.n_peers);
    free(config->file);
    *config = (struct config){};
}

/* The default of the socket depends on the state directory. */
static enum err follow(struct config *config, enum config_key changed, struct err_info *reterr) {
    if (changed != CONFIG_STATE_DIR || config->sources[CONFIG_HTTP_SOCKET].origin != CONFIG_ORIGIN_DEFAULT)
        return ERR_OK;
    return config_field_default(config, CONFIG_HTTP_SOCKET, reterr);
}

static enum err out_of_memory(const char *name, struct err_info *reterr) {
    return err_set(reterr, ERR_NO_MEMORY, "%s could not be read: out of memory", name);
}

static enum err take_values(struct config *config, const char *name, const struct yaml_value *values,
                            struct err_info *reterr) {
    enum err e = ERR_OK;
    for (int i = 0; i < CONFIG_N_KEYS && e == ERR_OK; i++) {
        const struct yaml_value *v = &values[i];
        enum config_key key = (enum config_key)i;
        if (!v->text || config->sources[key].origin == CONFIG_ORIGIN_FLAG)
            continue;
        char scratch[160];
        const char *expected = "", *key_name = CONFIG_SCHEMA[key].key;
        e = config_field_set(config, &CONFIG_SCHEMA[key], v->text, scratch, &expected);
        if (e == ERR_INVALID)
            e = err_set_at(reterr, e, key_name, "%s:%d:%d: %s: expected %s, found '%.100s'", name, v->line, v->column,
                           key_name, expected, v->text);
        else if (e != ERR_OK)
            e = out_of_memory(name, reterr);
        config->sources[key] = (struct config_source){CONFIG_ORIGIN_FILE, v->line, v->column};
        if (e == ERR_OK)
            e = follow(config, key, reterr);
    }
    return e;
}

/* One member of item number i: what the file says, or the default. */
static enum err take_member(struct config_peer *peer, const char *name, size_t i, int key, const struct yaml_item *item,
                            struct err_info *reterr) {
    const struct config_field *f = &CONFIG_PEER_SCHEMA[key];
    const struct yaml_value *v = &item->values[key];
    const char *text = v->text ? v->text : f->fixed, *expected = f->summary;
    char scratch[160], key_name[64];
    snprintf(key_name, sizeof key_name, "%s[%zu].%s", CONFIG_PEERS_KEY, i, f->key);
    peer->sources[key] = v->text ? (struct config_source){CONFIG_ORIGIN_FILE, v->line, v->column}
                                 : (struct config_source){CONFIG_ORIGIN_DEFAULT, item->line, item->column};
    if (!text)
        return err_set_at(reterr, ERR_INVALID, key_name, "%s:%d:%d: %s is missing: every peer of the list needs one",
                          name, item->line, item->column, key_name);
    enum err e = config_field_set(peer, f, text, scratch, &expected);
    if (e == ERR_INVALID)
        return err_set_at(reterr, e, key_name, "%s:%d:%d: %s: expected %s, found '%.100s'", name, v->line, v->column,
                          key_name, expected, text);
    return e == ERR_OK ? e : out_of_memory(name, reterr);
}

static enum err take_peers(struct config *config, const char *name, const struct yaml_list *list,
                           struct err_info *reterr) {
    if (list->n_items == 0)
        return ERR_OK;
    struct config_peer *peers = calloc(list->n_items, sizeof *peers);
    if (!peers)
        return out_of_memory(name, reterr);
    free_peers(config->site.peers, config->site.n_peers);
    config->site.peers = peers;
    config->site.n_peers = list->n_items;
    enum err e = ERR_OK;
    for (size_t i = 0; i < list->n_items; i++)
        for (int key = 0; key < CONFIG_PEER_N_KEYS && e == ERR_OK; key++)
            e = take_member(&peers[i], name, i, key, &list->items[i], reterr);
    return e;
}

enum err config_load_text(struct config *config, const char *name, const char *text, size_t len,
                          struct err_info *reterr) {
    if (len > CONFIG_FILE_MAX)
        return err_set(reterr, ERR_TOO_LARGE, "%s is larger than %zu KiB: is it a configuration file?", name,
                       CONFIG_FILE_MAX / 1024);
    const char *keys[CONFIG_N_KEYS], *members[CONFIG_PEER_N_KEYS];
    for (int key = 0; key < CONFIG_N_KEYS; key++)
        keys[key] = CONFIG_SCHEMA[key].key;
    for (int key = 0; key < CONFIG_PEER_N_KEYS; key++)
        members[key] = CONFIG_PEER_SCHEMA[key].key;
    struct yaml_value values[CONFIG_N_KEYS] = {};
    struct yaml_list list = {
        .key = CONFIG_PEERS_KEY, .members = members, .n_members = CONFIG_PEER_N_KEYS, .max = CONFIG_PEERS_MAX};
    enum err e = yaml_read(name, text, len, keys, CONFIG_N_KEYS, values, &list, reterr);
    if (e == ERR_OK)
        e = take_values(config, name, values, reterr);
    if (e == ERR_OK)
        e = take_peers(config, name, &list, reterr);
    yaml_values_finish(values, CONFIG_N_KEYS);
    yaml_list_finish(&list);
    if (e == ERR_OK) {
        free(config->file);
        config->file = strdup(name);
        if (!config->file)
            e = out_of_memory(name, reterr);
    }
    return e;
}

/* At most one byte more than is allowed, so that too much is seen as such. */
static enum err read_file(const char *path, char *text, size_t size, size_t *ret_len, struct err_info *reterr) {
    /* non-blocking, so that a FIFO does not hold up the start */
    _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st))
        return err_set_errno(reterr, errno, "the configuration file '%s' could not be read", path);
    if (!S_ISREG(st.st_mode))
        return err_set(reterr, ERR_INVALID, "'%s' is not a file: give the path of a YAML file with -c", path);
    size_t len = 0;
    while (len < size) {
        ssize_t n = read(fd, text + len, size - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set_errno(reterr, errno, "the configuration file '%s' could not be read", path);
        if (n == 0)
            break;
        len += (size_t)n;
    }
    *ret_len = len;
    return ERR_OK;
}

enum err config_load(struct config *config, const char *path, struct err_info *reterr) {
    _cleanup_(freep) char *text = malloc(CONFIG_FILE_MAX + 1);
    if (!text)
        return err_set(reterr, ERR_NO_MEMORY, "the configuration file '%s' could not be read: out of memory", path);
    size_t len = 0;
    enum err e = read_file(path, text, CONFIG_FILE_MAX + 1, &len, reterr);
    return e == ERR_OK ? config_load_text(config, path, text, len, reterr) : e;
}

enum err config_set(struct config *config, enum config_key key, const char *value, struct err_info *reterr) {
    const struct config_field *f = &CONFIG_SCHEMA[key];
    char scratch[160];
    const char *expected = "";
    enum err e = config_field_set(config, f, value, scratch, &expected);
    if (e == ERR_INVALID)
        return err_set_at(reterr, e, f->key, "%s: expected %s, found '%.100s'", f->flag ? f->flag : f->key, expected,
                          value);
    if (e != ERR_OK)
        return err_set(reterr, e, "%s could not be set: out of memory", f->key);
    config->sources[key] = (struct config_source){.origin = CONFIG_ORIGIN_FLAG};
    return follow(config, key, reterr);
}

/* ---- meaning ---- */

/* "rocd.yaml:3:12: http.address" or "--addr" */
static const char *whence(const struct config *c, enum config_key key, char text[static CONFIG_WHENCE_SIZE]) {
    const struct config_source *s = &c->sources[key];
    const struct config_field *f = &CONFIG_SCHEMA[key];
    switch (s->origin) {
    case CONFIG_ORIGIN_FILE:
        snprintf(text, CONFIG_WHENCE_SIZE, "%.200s:%d:%d: %s", c->file ? c->file : "configuration", s->line, s->column,
                 f->key);
        return text;
    case CONFIG_ORIGIN_FLAG:
        return f->flag ? f->flag : f->key;
    case CONFIG_ORIGIN_DEFAULT:
        break;
    }
    return f->key;
}

void config_peer_whence(const struct config *c, size_t peer, enum config_peer_key key,
                        char text[static CONFIG_WHENCE_SIZE], const char **ret_key) {
    const struct config_source *s = &c->site.peers[peer].sources[key];
    int n =
        snprintf(text, CONFIG_WHENCE_SIZE, "%.200s:%d:%d: ", c->file ? c->file : "configuration", s->line, s->column);
    *ret_key = text + n;
    snprintf(text + n, CONFIG_WHENCE_SIZE - (size_t)n, "%s[%zu].%s", CONFIG_PEERS_KEY, peer,
             CONFIG_PEER_SCHEMA[key].key);
}

static bool is_loopback(const char *host) {
    struct in_addr v4;
    struct in6_addr v6;
    if (!strcmp(host, "localhost"))
        return true;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return (ntohl(v4.s_addr) >> 24) == 127;
    return inet_pton(AF_INET6, host, &v6) == 1 && !memcmp(&v6, &in6addr_loopback, sizeof v6);
}

/* Splits "127.0.0.1:4040", "[::1]:4040", "localhost:4040". */
static bool split_address(const char *address, char host[static 64]) {
    const char *colon = strrchr(address, ':');
    if (!colon)
        return false;
    size_t n_digits = strspn(colon + 1, "0123456789");
    if (n_digits == 0 || n_digits > 5 || colon[1 + n_digits] || strtol(colon + 1, nullptr, 10) > 65535)
        return false;
    const char *begin = address, *end = colon;
    if (*begin == '[') {
        if (end[-1] != ']')
            return false;
        begin++;
        end--;
    } else if (memchr(begin, ':', (size_t)(end - begin))) {
        return false;
    }
    if (end <= begin || end - begin > 63)
        return false;
    snprintf(host, 64, "%.*s", (int)(end - begin), begin);
    return true;
}

static enum err check_address(const struct config *c, struct err_info *reterr) {
    char host[64], from[CONFIG_WHENCE_SIZE];
    const char *address = c->http.address;
    if (!address[0])
        return ERR_OK;
    if (!split_address(address, host))
        return err_set_at(reterr, ERR_INVALID, "http.address",
                          "%s: expected host:port such as 127.0.0.1:4040 or [::1]:4040, found '%.100s'",
                          whence(c, CONFIG_HTTP_ADDRESS, from), address);
    if (!is_loopback(host))
        return err_set_at(
            reterr, ERR_UNSUPPORTED, "http.address",
            "%s: '%.100s' is not a loopback address. Access from other computers needs TLS and tokens, which "
            "are not built yet: use 127.0.0.1 or [::1], and reach it from elsewhere through ssh -L",
            whence(c, CONFIG_HTTP_ADDRESS, from), address);
    return ERR_OK;
}

/* Where something of ours listens for other computers: an address of this one, not a name. */
static enum err check_bind(const struct config *c, enum config_key key, const char *address, const char *example,
                           struct err_info *reterr) {
    char host[64], from[CONFIG_WHENCE_SIZE];
    struct in_addr v4;
    struct in6_addr v6;
    bool is_ipv6 = address[0] == '[';
    if (split_address(address, host) && inet_pton(is_ipv6 ? AF_INET6 : AF_INET, host, is_ipv6 ? (void *)&v6 : &v4) == 1)
        return ERR_OK;
    return err_set_at(reterr, ERR_INVALID, config_key_name(key),
                      "%s: expected an address of this computer and a port such as 0.0.0.0:%s or [::]:%s, found "
                      "'%.100s'",
                      whence(c, key, from), example, example, address);
}

static enum err check_peers_addresses(const struct config *c, struct err_info *reterr) {
    enum err e = ERR_OK;
    if (c->signaling.address[0])
        e = check_bind(c, CONFIG_SIGNALING_ADDRESS, c->signaling.address, "4041", reterr);
    if (e == ERR_OK)
        e = check_bind(c, CONFIG_MEDIA_ADDRESS, c->media.address, "4042", reterr);
    return e;
}

static enum err check_ports(const struct config *c, struct err_info *reterr) {
    char from[CONFIG_WHENCE_SIZE];
    if (c->roc.port_max >= c->roc.port_min + 2)
        return ERR_OK;
    enum config_key key =
        c->sources[CONFIG_ROC_PORT_MAX].origin != CONFIG_ORIGIN_DEFAULT ? CONFIG_ROC_PORT_MAX : CONFIG_ROC_PORT_MIN;
    return err_set_at(reterr, ERR_INVALID, config_key_name(key),
                      "%s: a stream needs three ports, but the range is %u to %u: raise roc.port_max or lower "
                      "roc.port_min",
                      whence(c, key, from), c->roc.port_min, c->roc.port_max);
}

enum err config_check(const struct config *c, struct err_info *reterr) {
    char from[CONFIG_WHENCE_SIZE];
    enum err e = check_address(c, reterr);
    if (e == ERR_OK)
        e = check_peers_addresses(c, reterr);
    if (e == ERR_OK)
        e = check_ports(c, reterr);
    if (e == ERR_OK && !c->http.address[0] && !c->http.socket[0])
        e = err_set_at(reterr, ERR_INVALID, "http.socket",
                       "%s: neither an address nor a socket is left for the API: set http.address or http.socket",
                       whence(c, CONFIG_HTTP_SOCKET, from));
    return e;
}
