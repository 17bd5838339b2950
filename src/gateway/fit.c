#include "gateway/fit.h"

#include "base/assert.h"

int64_t hf_gw_fit_need(int64_t file_bytes)
{
    return file_bytes <= 0 ? 0 : file_bytes + file_bytes / 8;
}

enum hf_gw_fit hf_gw_fit(const struct hf_gw_memory *m, int64_t need_bytes, bool is_loaded)
{
    if (is_loaded)
        return HF_GW_FIT_LOADED;
    if (m->total <= 0 || need_bytes <= 0)
        return HF_GW_FIT_UNKNOWN;
    if (need_bytes > m->total)
        return HF_GW_FIT_NEVER;
    if (need_bytes > m->total - m->in_use)
        return HF_GW_FIT_IN_USE;
    return need_bytes > m->total - m->in_use - m->idle ? HF_GW_FIT_SWAP : HF_GW_FIT_FREE;
}

bool hf_gw_fit_is_bad(enum hf_gw_fit f)
{
    return f == HF_GW_FIT_IN_USE || f == HF_GW_FIT_NEVER;
}

const char *hf_gw_fit_word(enum hf_gw_fit f)
{
    static const char *const words[] = {"not known",
                                        "loaded",
                                        "fits beside what is loaded",
                                        "fits when idle models make room",
                                        "fits only when a model in use makes room",
                                        "larger than the host's memory"};
    hf_assert(f < HF_GW_FITS_);
    return words[f];
}
