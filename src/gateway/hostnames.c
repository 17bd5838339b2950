#include "gateway/hostnames.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "base/attr.h"
#include "gateway/keys.h"

enum { NAME_BYTES = 256 }; /* RFC 1035: 253 */

/* Without port and the root's dot; false for what is no name at all. */
static bool take_name(const char *host, char name[NAME_BYTES])
{
    bool is_v6 = host[0] == '[';
    size_t len = is_v6 ? strcspn(host + 1, "]") : strcspn(host, ":");
    if (len >= NAME_BYTES)
        return false;
    memcpy(name, host + (is_v6 ? 1 : 0), len);
    name[len] = '\0';
    if (len > 1 && name[len - 1] == '.')
        name[len - 1] = '\0';
    return len > 0;
}

static bool is_address(const char *name)
{
    struct in6_addr a;
    return inet_pton(AF_INET, name, &a) == 1 || inet_pton(AF_INET6, name, &a) == 1;
}

static bool ends_in(const char *name, const char *tail)
{
    size_t n = strlen(name);
    size_t t = strlen(tail);
    return n > t && strcasecmp(name + n - t, tail) == 0;
}

bool hf_gw_hostname_is_ours(const char *host, const char *machine,
                            const struct hf_config_strings *allowed)
{
    static const char *const tails[] = {".localhost", ".local", ".internal"};
    char name[NAME_BYTES];
    if (host == NULL || host[0] == '\0')
        return true;
    if (!take_name(host, name))
        return false;
    if (strchr(name, '.') == NULL || is_address(name) || strcasecmp(name, machine) == 0)
        return true;
    for (size_t i = 0; i < HF_ARRAY_LEN(tails); i++) {
        if (ends_in(name, tails[i]))
            return true;
    }
    for (size_t i = 0; i < allowed->n; i++) {
        if (hf_gw_glob(allowed->items[i], name))
            return true;
    }
    return false;
}
