/*
 * Embeddings between Ollama and OpenAI, and token counts, which only pass.
 *
 *   OpenAI  {"object":"list","data":[{"object":"embedding","index":0,"embedding":[..]|"base64"}],
 *            "model":..,"usage":{"prompt_tokens":..,"total_tokens":..}}
 *   Ollama  {"model":..,"embeddings":[[..],..],"prompt_eval_count":..}, old: {"embedding":[..]}
 *
 * Vectors are copied as text, digit for digit. Only a client that asks OpenAI for base64 (its own
 * libraries do) gets them converted: little-endian 32-bit floats.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "codec/jsonscan.h"
#include "gateway/translate_answer.h"

bool hf_is_embedding(enum hf_endpoint ep)
{
    return ep == HF_EP_OLLAMA_EMBED || ep == HF_EP_OLLAMA_EMBEDDINGS ||
           ep == HF_EP_OPENAI_EMBEDDINGS;
}

enum { E_ERROR, E_USAGE, E_EVAL, E_TOKENS, E_DATA, E_EMBEDDINGS, E_EMBEDDING, E_AMOUNT };

static enum hf_code look(struct hf_answer *a, const char *text, size_t len,
                         struct hf_jsonscan_value v[E_AMOUNT], struct hf_err *err)
{
    static const char *const keys[E_AMOUNT] = {
        "error", "usage", "prompt_eval_count", "input_tokens", "data", "embeddings", "embedding"};
    static const char *const prompt = "prompt_tokens";
    struct hf_jsonscan_value tokens;
    struct hf_usage *u = &a->st.usage;
    if (hf_jsonscan_find(text, len, keys, E_AMOUNT, v, err) != HF_OK)
        return hf_err_set(err, HF_E_CORRUPT, "the answer is no JSON object, or cut");
    if (v[E_ERROR].kind != HF_JSON_ABSENT && v[E_ERROR].kind != HF_JSON_NULL) {
        hf_api_error_parse(hf_endpoint_dialect(a->opt.upstream), 200, text, len, &a->st.error);
        a->st.has_error = true;
        return HF_OK;
    }
    u->is_known =
        hf_jsonscan_i64(&v[E_EVAL], &u->input) || hf_jsonscan_i64(&v[E_TOKENS], &u->input);
    if (v[E_USAGE].kind == HF_JSON_OBJECT &&
        hf_jsonscan_find(v[E_USAGE].text, v[E_USAGE].len, &prompt, 1, &tokens, NULL) == HF_OK)
        u->is_known = hf_jsonscan_i64(&tokens, &u->input);
    u->input = hf_tokens_said(u->input);
    return HF_OK;
}

enum hf_code hf_embed_observe(struct hf_answer *a, const char *text, size_t len, struct hf_err *err)
{
    struct hf_jsonscan_value v[E_AMOUNT];
    HF_TRY(look(a, text, len, v, err));
    if (a->st.has_error)
        return HF_OK;
    bool is_there = v[E_DATA].kind == HF_JSON_ARRAY || v[E_EMBEDDINGS].kind == HF_JSON_ARRAY ||
                    v[E_EMBEDDING].kind == HF_JSON_ARRAY || v[E_TOKENS].kind == HF_JSON_NUMBER;
    if (!is_there)
        return hf_err_set(err, HF_E_CORRUPT, "the answer has no embeddings");
    hf_pass_json(a, text, len);
    a->st.is_done = true;
    a->st.is_meaningful = true;
    return HF_OK;
}

/* ---- vectors ----------------------------------------------------------------------------------
 */

static void base64_out(struct hf_tw *w, const uint8_t *p, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16;
        v |= i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0;
        v |= i + 2 < n ? (uint32_t)p[i + 2] : 0;
        char out[4] = {digits[v >> 18], digits[v >> 12 & 63], i + 1 < n ? digits[v >> 6 & 63] : '=',
                       i + 2 < n ? digits[v & 63] : '='};
        hf_tw_bytes(w, out, 4);
    }
}

/* The number's text ends at a comma, blank or bracket of the same JSON, so strtof stops in it. */
static enum hf_code floats_of(const struct hf_jsonscan_value *vector, struct hf_buf *out,
                              struct hf_err *err)
{
    struct hf_jsonscan s;
    struct hf_jsonscan_value v;
    bool is_member = false;
    HF_TRY(hf_jsonscan_open(&s, vector->text, vector->len, err));
    HF_TRY(hf_jsonscan_next(&s, NULL, &v, &is_member, err));
    while (is_member) {
        uint8_t bytes[4];
        uint32_t bits;
        float f = strtof(v.text, NULL);
        memcpy(&bits, &f, sizeof(bits));
        if (v.kind != HF_JSON_NUMBER)
            return hf_err_set(err, HF_E_CORRUPT, "an embedding holds something but numbers");
        hf_put_le32(bytes, bits);
        HF_TRY(hf_buf_append(out, bytes, sizeof(bytes), err));
        HF_TRY(hf_jsonscan_next(&s, NULL, &v, &is_member, err));
    }
    return HF_OK;
}

static enum hf_code vector_openai(struct hf_answer *a, const struct hf_jsonscan_value *vector,
                                  size_t index, struct hf_err *err)
{
    struct hf_buf bytes;
    hf_tw_raw(&a->w, index > 0 ? ",{\"object\":\"embedding\",\"index\":"
                               : "{\"object\":\"embedding\",\"index\":");
    hf_tw_i64(&a->w, (int64_t)index);
    hf_tw_raw(&a->w, ",\"embedding\":");
    if (!a->opt.wants_base64) {
        hf_tw_bytes(&a->w, vector->text, vector->len);
        hf_tw_raw(&a->w, "}");
        return HF_OK;
    }
    hf_buf_init(&bytes, HF_LIMIT_ANSWER);
    enum hf_code rc = floats_of(vector, &bytes, err);
    hf_tw_raw(&a->w, "\"");
    if (rc == HF_OK)
        base64_out(&a->w, bytes.data, bytes.len);
    hf_tw_raw(&a->w, "\"}");
    hf_buf_deinit(&bytes);
    return rc;
}

/* The vector in an entry of the upstream's list: itself, or its "embedding". */
static enum hf_code vector_in(const struct hf_jsonscan_value *entry, struct hf_jsonscan_value *out,
                              struct hf_err *err)
{
    static const char *const key = "embedding";
    *out = *entry;
    if (entry->kind == HF_JSON_OBJECT)
        HF_TRY(hf_jsonscan_find(entry->text, entry->len, &key, 1, out, err));
    if (out->kind != HF_JSON_ARRAY)
        return hf_err_set(err, HF_E_CORRUPT, "an embedding is no list of numbers");
    return HF_OK;
}

static enum hf_code each_vector(struct hf_answer *a, const struct hf_jsonscan_value *list,
                                struct hf_err *err)
{
    bool is_openai = hf_endpoint_dialect(a->opt.front) == HF_DIALECT_OPENAI, is_member = false;
    struct hf_jsonscan s;
    struct hf_jsonscan_value entry, vector;
    size_t n = 0;
    HF_TRY(hf_jsonscan_open(&s, list->text, list->len, err));
    HF_TRY(hf_jsonscan_next(&s, NULL, &entry, &is_member, err));
    while (is_member) {
        HF_TRY(vector_in(&entry, &vector, err));
        if (is_openai) {
            HF_TRY(vector_openai(a, &vector, n, err));
        } else if (a->opt.front == HF_EP_OLLAMA_EMBED || n == 0) {
            hf_tw_raw(&a->w, n > 0 ? "," : "");
            hf_tw_bytes(&a->w, vector.text, vector.len);
        }
        n++;
        HF_TRY(hf_jsonscan_next(&s, NULL, &entry, &is_member, err));
    }
    return n > 0 ? HF_OK : hf_err_set(err, HF_E_CORRUPT, "the answer has no embeddings");
}

static void head(struct hf_answer *a)
{
    if (a->opt.front == HF_EP_OLLAMA_EMBEDDINGS) {
        hf_tw_raw(&a->w, "{\"embedding\":");
        return;
    }
    hf_tw_raw(&a->w, hf_endpoint_dialect(a->opt.front) == HF_DIALECT_OPENAI
                         ? "{\"object\":\"list\",\"model\":"
                         : "{\"model\":");
    hf_write_model(a);
    hf_tw_raw(&a->w, a->opt.front == HF_EP_OLLAMA_EMBED ? ",\"embeddings\":[" : ",\"data\":[");
}

static void tail(struct hf_answer *a)
{
    int64_t n = a->st.usage.input;
    if (hf_endpoint_dialect(a->opt.front) == HF_DIALECT_OPENAI) {
        hf_tw_raw(&a->w, "],\"usage\":{\"prompt_tokens\":");
        hf_tw_i64(&a->w, n);
        hf_tw_raw(&a->w, ",\"total_tokens\":");
        hf_tw_i64(&a->w, n);
        hf_tw_raw(&a->w, "}}");
        return;
    }
    if (a->opt.front == HF_EP_OLLAMA_EMBED) {
        int64_t ms = a->now_ms - a->opt.started_ms;
        hf_tw_raw(&a->w, "],\"total_duration\":");
        hf_tw_i64(&a->w, ms < 0 ? 0 : ms * 1000000);
        if (n > 0) {
            hf_tw_raw(&a->w, ",\"prompt_eval_count\":");
            hf_tw_i64(&a->w, n);
        }
    }
    hf_tw_raw(&a->w, "}");
}

enum hf_code hf_embed_translate(struct hf_answer *a, const char *text, size_t len,
                                struct hf_err *err)
{
    struct hf_jsonscan_value v[E_AMOUNT];
    HF_TRY(look(a, text, len, v, err));
    if (a->st.has_error)
        return HF_OK;
    struct hf_jsonscan_value one = {HF_JSON_ABSENT, NULL, 0};
    const struct hf_jsonscan_value *list = v[E_DATA].kind == HF_JSON_ARRAY ? &v[E_DATA]
                                           : v[E_EMBEDDINGS].kind == HF_JSON_ARRAY
                                               ? &v[E_EMBEDDINGS]
                                               : &one;
    if (list->kind != HF_JSON_ARRAY)
        return hf_err_set(err, HF_E_CORRUPT, "the answer has no embeddings");
    head(a);
    HF_TRY(each_vector(a, list, err));
    tail(a);
    a->st.is_done = true;
    a->st.is_meaningful = true;
    return HF_OK;
}
