/*
 * Streams that are begun before their host says anything (gateway.early-commit): for clients that
 * give up when no header comes while a model loads or a queue moves. What is sent says nothing:
 * comments to OpenAI clients, pings to Anthropic's, empty pieces to Ollama's. The request may still
 * go elsewhere; what is lost is that an error has a status. On the transfer thread.
 */
#include <string.h>

#include "base/clock.h"
#include "gateway/gateway_int.h"

enum { KEEPALIVE_MS = 5000 };

size_t hf_gw_queue_position(const struct hf_gw_request *r)
{
    size_t n = 0;
    if (r->entry.lane == NULL)
        return 0;
    for (const struct hf_gwq_entry *e = r->entry.lane->first; e != NULL; e = e->next) {
        n++;
        if (e == &r->entry)
            return n;
    }
    return n;
}

uint64_t hf_gw_queue_wait_ms(const struct hf_gw_request *r)
{
    if (r->slot == NULL || r->entry.lane != &r->slot->lane)
        return 0;
    uint64_t turns = (hf_gw_queue_position(r) + (uint64_t)r->slot->host->conf->parallel - 1) /
                     (uint64_t)r->slot->host->conf->parallel;
    return turns * r->slot->mean_ms;
}

static bool is_generation(enum hf_endpoint ep)
{
    return ep == HF_EP_OLLAMA_CHAT || ep == HF_EP_OLLAMA_GENERATE || ep == HF_EP_OPENAI_CHAT ||
           ep == HF_EP_OPENAI_COMPLETIONS || ep == HF_EP_OPENAI_RESPONSES ||
           ep == HF_EP_ANTHROPIC_MESSAGES;
}

/* A line that says nothing; false when the client is gone. */
static bool say_nothing(struct hf_gw_request *r)
{
    struct hf_buf out;
    bool is_there = true;
    hf_buf_init(&out, HF_GW_ERROR_BYTES);
    if (hf_answer_nothing(r->head.ep, r->head.model, hf_clock_wall_ms(), &out, NULL) == HF_OK)
        is_there = hf_httpd_call_write(r->call, out.data, out.len, NULL) == HF_OK;
    hf_buf_deinit(&out);
    return is_there;
}

static void begin(struct hf_gw_request *r)
{
    struct hf_gw_headers h = {.n = 0};
    size_t position = hf_gw_queue_position(r);
    hf_gw_answer_headers(r, &h);
    if (position > 0)
        hf_gw_header(&h, "X-Holdfast-Queue-Position", "%zu", position);
    if (position > 0)
        hf_gw_header(&h, "X-Holdfast-Queue-Estimate-Ms", "%llu",
                     (unsigned long long)hf_gw_queue_wait_ms(r));
    struct hf_httpd_reply reply = {.status = 200,
                                   .content_type = hf_answer_content_type(r->head.ep, true),
                                   .headers = h.list,
                                   .n_headers = h.n};
    hf_httpd_call_start(r->call, &reply);
    r->is_early = true;
}

void hf_gw_early_tick(struct hf_gw_request *r, uint64_t now_ms)
{
    uint64_t after_ms = (uint64_t)r->g->conf->early_commit_ms;
    if (after_ms == 0 || r->call == NULL || r->is_committed || !r->head.is_stream ||
        !is_generation(r->head.ep) || now_ms - r->start_ms < after_ms ||
        (r->is_early && now_ms - r->said_ms < KEEPALIVE_MS))
        return;
    if (!r->is_early)
        begin(r);
    r->said_ms = now_ms;
    if (!say_nothing(r) && r->up != NULL)
        hf_gw_attempt_stop(r, HF_GW_CLIENT_LEFT); /* else on_gone ends it */
}
