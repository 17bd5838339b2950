/*
 * libFuzzer target: any bytes as a client's request and as an upstream's answer. The first two
 * bytes choose the endpoints. Nothing may crash or leak; what is written must be JSON; the bytes
 * for the client must not depend on where the upstream's were cut; an answer is never both done and
 * failed.
 */
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/json.h"
#include "base/limits.h"
#include "gateway/models.h"
#include "gateway/translate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void request(enum hf_endpoint ep, const char *body, size_t len)
{
    struct hf_request_head h;
    struct hf_err err = HF_ERR_INIT;
    hf_assert(hf_request_estimate_tokens(body, len) > 0 && hf_request_bound_tokens(body, len) > 0);
    if (hf_request_peek(ep, body, len, &h, &err) != HF_OK) {
        hf_assert(err.text[0] != '\0');
        return;
    }
    hf_assert(h.model[0] != '\0' && h.spans[HF_BODY_MODEL].len >= 2 && h.object_end < len);
    for (int i = 0; i < HF_BODY_VALUES; i++)
        hf_assert(h.spans[i].at + h.spans[i].len <= h.object_end);
    for (int d = HF_DIALECT_OLLAMA; d <= HF_DIALECT_ANTHROPIC; d++) {
        struct hf_target t = {.dialect = (enum hf_dialect)d, .model = "served", .num_ctx = 4096};
        t.force_stream = len % 2 == 0;
        t.thinking = (enum hf_thinking)(len % 4);
        struct hf_upstream_request up;
        struct hf_report report;
        struct hf_buf out;
        hf_buf_init(&out, HF_LIMIT_ANSWER);
        if (hf_translate_request(&h, body, len, &t, &out, &up, &report, &err) == HF_OK)
            hf_assert(
                hf_endpoint_dialect(up.ep) == t.dialect && out.len > 0 &&
                (up.is_same || hf_json_check((const char *)out.data, out.len, NULL) == HF_OK));
        else
            hf_assert(out.len == 0 && err.text[0] != '\0');
        hf_buf_deinit(&out);
    }
}

static enum hf_code answer(const struct hf_answer_options *opt, const char *text, size_t len,
                           size_t step, struct hf_buf *out)
{
    struct hf_answer *a = hf_answer_new(opt);
    enum hf_code rc = HF_OK;
    hf_buf_init(out, HF_LIMIT_ANSWER);
    for (size_t at = 0; at < len && rc == HF_OK; at += step)
        rc = hf_answer_feed(a, text + at, len - at < step ? len - at : step, 2, out, NULL);
    if (rc == HF_OK)
        rc = hf_answer_finish(a, 2, out, NULL);
    const struct hf_answer_state *st = hf_answer_state(a);
    hf_assert(!(st->is_done && (rc != HF_OK || st->has_error)));
    hf_assert(rc != HF_OK || st->is_done || st->has_error);
    if (!opt->is_front_stream && st->is_done && opt->front != opt->upstream)
        hf_assert(hf_json_check((const char *)out->data, out->len, NULL) == HF_OK);
    struct hf_api_error why = st->error;
    if (!st->has_error)
        hf_api_error_set(&why, HF_API_SERVER, "x");
    struct hf_buf end;
    hf_buf_init(&end, HF_MIB);
    hf_assert(hf_answer_abort(a, &why, &end, NULL) == HF_OK && end.len > 0);
    hf_buf_deinit(&end);
    hf_answer_free(a);
    return rc;
}

static bool is_embed(enum hf_endpoint ep)
{
    return ep == HF_EP_OLLAMA_EMBED || ep == HF_EP_OLLAMA_EMBEDDINGS ||
           ep == HF_EP_OPENAI_EMBEDDINGS;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 1 << 18)
        return 0;
    struct hf_answer_options opt = {.front = (enum hf_endpoint)(data[0] % HF_EP_COUNT_),
                                    .upstream = (enum hf_endpoint)(data[1] % HF_EP_COUNT_),
                                    .is_front_stream = (data[0] & 0x80) != 0,
                                    .is_upstream_stream = (data[1] & 0x80) != 0,
                                    .wants_usage = (data[0] & 0x40) != 0,
                                    .wants_base64 = (data[1] & 0x40) != 0,
                                    .model = "asked",
                                    .id = "r"};
    const char *text = (const char *)data + 2;
    struct hf_models models = {NULL, 0};
    struct hf_buf whole, cut;
    size -= 2;
    request(opt.front, text, size);
    if (hf_models_parse(hf_endpoint_dialect(opt.upstream), text, size, &models, NULL) == HF_OK)
        hf_models_deinit(&models);
    if (is_embed(opt.front) != is_embed(opt.upstream) || opt.front == HF_EP_ANTHROPIC_COUNT ||
        opt.upstream == HF_EP_ANTHROPIC_COUNT || opt.upstream == HF_EP_OPENAI_RESPONSES)
        return 0;
    if (is_embed(opt.front))
        opt.is_front_stream = opt.is_upstream_stream = false;
    enum hf_code rc = answer(&opt, text, size, size == 0 ? 1 : size, &whole);
    hf_assert(answer(&opt, text, size, data[0] % 7 + 1u, &cut) == rc);
    hf_assert(whole.len == cut.len &&
              (whole.len == 0 || memcmp(whole.data, cut.data, cut.len) == 0));
    hf_buf_deinit(&whole);
    hf_buf_deinit(&cut);
    return 0;
}
