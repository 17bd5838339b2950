/*
 * Whether a model fits in a host's memory beside what is loaded there: pure arithmetic on what the
 * configuration (memory), /api/tags (size on disk) and /api/ps (size loaded) say.
 *
 * A model that is not loaded needs its file's size and an eighth more: context and work buffers of
 * the usual 8k context; the true number is known once it is loaded.
 */
#ifndef HF_GATEWAY_FIT_H
#define HF_GATEWAY_FIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum hf_gw_fit {
    HF_GW_FIT_UNKNOWN, /* memory or size is not known */
    HF_GW_FIT_LOADED,
    HF_GW_FIT_FREE,   /* there is room */
    HF_GW_FIT_SWAP,   /* when idle models make room */
    HF_GW_FIT_IN_USE, /* only when models that answer right now make room: they swap each other out
                       */
    HF_GW_FIT_NEVER,  /* larger than the host: it would run on the CPU in part */
    HF_GW_FITS_
};

/* What is on one host. Bytes. */
struct hf_gw_memory {
    int64_t total;  /* 0: not known */
    int64_t idle;   /* of loaded models nobody uses */
    int64_t in_use; /* of loaded models that answer or are waited for */
};

int64_t hf_gw_fit_need(int64_t file_bytes);
/* need_bytes 0: not known. */
enum hf_gw_fit hf_gw_fit(const struct hf_gw_memory *m, int64_t need_bytes, bool is_loaded);
/* It would be loaded at the cost of others' answers. */
bool hf_gw_fit_is_bad(enum hf_gw_fit f);
const char *hf_gw_fit_word(enum hf_gw_fit f);

#endif
