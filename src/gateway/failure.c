#include "gateway/failure.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/assert.h"
#include "codec/httpdate.h"

static const struct hf_gw_rule rules[HF_GW_FAILURES_] = {
#define X(name, same, other, cloud, says, word) [name] = {same, other, cloud, says, word},
    HF_GW_FAILURES(X)
#undef X
};

const struct hf_gw_rule *hf_gw_failure_rule(enum hf_gw_failure f)
{
    hf_assert(f < HF_GW_FAILURES_);
    return &rules[f];
}

enum hf_gw_failure hf_gw_failure_of_status(int status)
{
    static const struct {
        int status;
        enum hf_gw_failure failure;
    } rows[] = {
        {401, HF_GW_DENIED},      {402, HF_GW_BILLING},     {403, HF_GW_DENIED},
        {404, HF_GW_NO_MODEL},    {408, HF_GW_UNAVAILABLE}, {409, HF_GW_UNAVAILABLE},
        {429, HF_GW_RATE},        {499, HF_GW_SERVER},      {502, HF_GW_UNAVAILABLE},
        {503, HF_GW_UNAVAILABLE}, {504, HF_GW_UNAVAILABLE}, {529, HF_GW_UNAVAILABLE},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        if (rows[i].status == status)
            return rows[i].failure;
    }
    if (status >= 500)
        return HF_GW_SERVER;
    return status >= 400 ? HF_GW_REQUEST : HF_GW_NONSENSE;
}

int hf_gw_retry_after_s(uint64_t wait_ms)
{
    uint64_t s = (wait_ms + 999) / 1000;
    if (s < 1)
        return 1;
    return s > HF_GW_RETRY_AFTER_MAX_S ? HF_GW_RETRY_AFTER_MAX_S : (int)s;
}

uint64_t hf_gw_retry_after_ms(const char *text, int64_t wall_ms)
{
    int64_t date_ms = 0;
    if (hf_http_date_parse(text, &date_ms, NULL) == HF_OK)
        return date_ms > wall_ms ? (uint64_t)(date_ms - wall_ms) : 0;
    if (text[0] < '0' || text[0] > '9')
        return 0;
    unsigned long long s = strtoull(text, NULL, 10);
    return s > UINT32_MAX ? UINT64_C(1000) * UINT32_MAX : s * 1000;
}

bool hf_gw_retry_allowed(int64_t active, int64_t retries)
{
    return retries < HF_GW_RETRY_MIN || retries * 100 < active * HF_GW_RETRY_PERCENT;
}
