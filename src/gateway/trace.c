#include "gateway/trace.h"

#include <string.h>

static const char digits[] = "0123456789abcdef";

static bool is_hex(const char *p, size_t n, bool may_be_zero)
{
    bool is_zero = true;
    for (size_t i = 0; i < n; i++) {
        if ((p[i] < '0' || p[i] > '9') && (p[i] < 'a' || p[i] > 'f'))
            return false;
        is_zero = is_zero && p[i] == '0';
    }
    return may_be_zero || !is_zero;
}

static bool is_good(const char *t)
{
    if (t == NULL || strlen(t) < HF_TRACE_TEXT - 1)
        return false;
    bool is_formed = is_hex(t, 2, true) && t[2] == '-' && is_hex(t + 3, 32, false) &&
                     t[35] == '-' && is_hex(t + 36, 16, false) && t[52] == '-' &&
                     is_hex(t + 53, 2, true);
    if (!is_formed || memcmp(t, "ff", 2) == 0)
        return false;
    return memcmp(t, "00", 2) == 0 ? t[55] == '\0' : t[55] == '\0' || t[55] == '-';
}

static void put_hex(char *out, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    if (is_hex(out, 2 * n, true) && !is_hex(out, 2 * n, false))
        out[2 * n - 1] = '1'; /* all zero means none */
}

void hf_trace_begin(struct hf_trace *t, const char *incoming, const uint8_t random[HF_TRACE_RANDOM])
{
    t->is_ours = !is_good(incoming);
    memcpy(t->parent, "00-", 3);
    if (t->is_ours)
        put_hex(t->parent + 3, random + 8, 16);
    else
        memcpy(t->parent + 3, incoming + 3, 32);
    t->parent[35] = '-';
    put_hex(t->parent + 36, random, 8);
    t->parent[52] = '-';
    memcpy(t->parent + 53, t->is_ours ? "00" : incoming + 53, 2);
    t->parent[55] = '\0';
}

void hf_trace_id(const struct hf_trace *t, char out[HF_TRACE_ID])
{
    memcpy(out, t->parent + 3, HF_TRACE_ID - 1);
    out[HF_TRACE_ID - 1] = '\0';
}
