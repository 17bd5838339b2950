#include "gateway/sticky.h"

#include "base/assert.h"

static uint64_t mix(uint64_t h, unsigned char c)
{
    return (h ^ c) * UINT64_C(1099511628211); /* FNV-1a */
}

uint64_t hf_sticky_key(const char *model, const char *text, size_t len)
{
    uint64_t h = UINT64_C(14695981039346656037);
    for (; *model != '\0'; model++)
        h = mix(h, (unsigned char)*model);
    h = mix(h, 0);
    for (size_t i = 0; i < len && i < HF_STICKY_PREFIX; i++)
        h = mix(h, (unsigned char)text[i]);
    return h == 0 ? 1 : h;
}

static size_t set_of(uint64_t key)
{
    return (size_t)((key >> 32) ^ key) % HF_STICKY_SETS;
}

uint32_t hf_sticky_get(const struct hf_sticky *s, uint64_t key, uint64_t now_ms)
{
    const struct hf_sticky_entry *set = s->sets[set_of(key)];
    if (key == 0)
        return HF_STICKY_NONE;
    for (size_t i = 0; i < HF_STICKY_WAYS; i++) {
        if (set[i].key == key && now_ms - set[i].used_ms < HF_STICKY_MS)
            return set[i].host;
    }
    return HF_STICKY_NONE;
}

void hf_sticky_put(struct hf_sticky *s, uint64_t key, uint32_t host, uint64_t now_ms)
{
    struct hf_sticky_entry *set = s->sets[set_of(key)];
    size_t at = 0;
    hf_assert(key != 0 && host < HF_STICKY_NONE);
    for (size_t i = 0; i < HF_STICKY_WAYS; i++) {
        if (set[i].key == key) {
            at = i;
            break;
        }
        if (set[i].used_ms < set[at].used_ms)
            at = i;
    }
    set[at] = (struct hf_sticky_entry){.key = key, .used_ms = now_ms, .host = host};
}

void hf_sticky_drop(struct hf_sticky *s, uint32_t host)
{
    for (size_t i = 0; i < HF_STICKY_SETS; i++) {
        for (size_t k = 0; k < HF_STICKY_WAYS; k++) {
            if (s->sets[i][k].key != 0 && s->sets[i][k].host == host)
                s->sets[i][k] = (struct hf_sticky_entry){0};
        }
    }
}
