#include "store/retry.h"

#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/parse.h"
#include "base/random.h"
#include "codec/digest.h"
#include "codec/httpdate.h"

enum { NS_PER_MS = 1000000, BURST_NS = 250 * NS_PER_MS };

bool hf_retry_next(struct hf_retry *r, int64_t retry_after_ms, uint64_t random, uint64_t now_ms,
                   uint64_t *wait_ms)
{
    if (r->tries == 0)
        r->start_ms = now_ms;
    if (++r->tries >= HF_RETRY_TRIES)
        return false;
    uint64_t top = (uint64_t)HF_RETRY_BASE_MS << r->tries;
    uint64_t wait = random % ((top < HF_RETRY_CAP_MS ? top : HF_RETRY_CAP_MS) + 1);
    if (retry_after_ms > 0 && wait < (uint64_t)retry_after_ms)
        wait = (uint64_t)retry_after_ms;
    if (now_ms + wait > r->start_ms + HF_RETRY_TOTAL_MS)
        return false;
    *wait_ms = wait;
    return true;
}

bool hf_retry_is_status(int status)
{
    return status == 408 || status == 429 || status == 500 || (status >= 502 && status <= 504);
}

int64_t hf_retry_after_ms(const char *value, int64_t now_wall_ms)
{
    int64_t n = 0;
    if (value == NULL)
        return -1;
    if (hf_parse_i64(value, 0, 86400, &n, NULL) == HF_OK)
        return n * 1000;
    if (hf_http_date_parse(value, &n, NULL) == HF_OK)
        return n > now_wall_ms ? n - now_wall_ms : 0;
    return -1;
}

void hf_budget_init(struct hf_budget *b, unsigned requests_per_s, uint64_t bytes_max)
{
    hf_assert(requests_per_s > 0 && bytes_max > 0);
    *b = (struct hf_budget){.bytes_max = bytes_max, .interval_ns = 1000000000u / requests_per_s};
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->changed, NULL);
}

void hf_budget_deinit(struct hf_budget *b)
{
    hf_assert(b->bytes == 0);
    pthread_cond_destroy(&b->changed);
    pthread_mutex_destroy(&b->lock);
}

void hf_budget_take(struct hf_budget *b, uint64_t bytes)
{
    pthread_mutex_lock(&b->lock);
    while (bytes > HF_BUDGET_SMALL && b->bytes > 0 && b->bytes + bytes > b->bytes_max)
        pthread_cond_wait(&b->changed, &b->lock);
    b->bytes += bytes;
    uint64_t now = hf_clock_mono_ns();
    if (b->next_ns + BURST_NS < now) /* what was not used for a while is no credit for ever */
        b->next_ns = now - BURST_NS;
    uint64_t at = b->next_ns;
    b->next_ns += b->interval_ns;
    pthread_mutex_unlock(&b->lock);
    if (at > now)
        hf_clock_sleep_us((at - now) / 1000);
}

void hf_budget_give(struct hf_budget *b, uint64_t bytes)
{
    pthread_mutex_lock(&b->lock);
    hf_assert(b->bytes >= bytes);
    b->bytes -= bytes;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
}

void hf_nonce_make(char out[HF_NONCE_TEXT])
{
    uint8_t bytes[(HF_NONCE_TEXT - 1) / 2];
    hf_random_bytes(bytes, sizeof(bytes));
    hf_hex(bytes, sizeof(bytes), out);
}

enum hf_code hf_unknown_resolve(enum hf_code rc, const char *nonce, hf_nonce_fn *read, void *arg,
                                struct hf_err *err)
{
    char there[HF_NONCE_TEXT] = "";
    struct hf_err why = HF_ERR_INIT;
    hf_assert(strlen(nonce) == HF_NONCE_TEXT - 1);
    enum hf_code got = read(arg, there, &why);
    if (got == HF_OK && strcmp(there, nonce) == 0) {
        hf_err_reset(err);
        return HF_OK;
    }
    if (got == HF_OK && rc != HF_E_EXISTS)
        return hf_err_set(err, HF_E_EXISTS, "somebody else's object is there");
    if (got != HF_OK && got != HF_E_NOT_FOUND && rc != HF_E_EXISTS)
        hf_err_wrap(err, "whether it was written is not known");
    if (got != HF_OK && got != HF_E_NOT_FOUND && rc == HF_E_EXISTS) {
        /* Ours or not cannot be told now: to call it a conflict would be wrong half the time. */
        if (err != NULL)
            *err = why;
        return got;
    }
    return rc;
}
