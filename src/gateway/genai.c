#include "gateway/genai.h"

#include "base/assert.h"
#include "codec/prometheus.h"
#include "gateway/gateway_int.h"

struct bounds {
    size_t n;
    double le[HF_GENAI_BUCKETS];
};

static const struct bounds duration_s = {
    14, {.01, .02, .04, .08, .16, .32, .64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92}};
static const struct bounds first_s = {
    16, {.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}};
static const struct bounds per_token_s = {12,
                                          {.01, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1}};
static const struct bounds tokens = {
    14,
    {1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864}};

static const char *const op_words[HF_GENAI_OPS] = {"chat", "text_completion", "embeddings"};

static const struct family {
    const char *name;
    const char *help;
    const struct bounds *bounds;
    size_t at;              /* of the histogram in struct hf_genai */
    const char *token_type; /* NULL: no such label */
    bool is_next;           /* another part of the family before */
} families[] = {
    {"gen_ai_client_operation_duration_seconds", "Requests from coming in to their end.",
     &duration_s, offsetof(struct hf_genai, duration), NULL, false},
    {"gen_ai_server_time_to_first_token_seconds", "From sending a request to its first token.",
     &first_s, offsetof(struct hf_genai, first_token), NULL, false},
    {"gen_ai_server_time_per_output_token_seconds", "Between tokens after the first.", &per_token_s,
     offsetof(struct hf_genai, per_token), NULL, false},
    {"gen_ai_client_token_usage", "Tokens of a request, as the host counted them.", &tokens,
     offsetof(struct hf_genai, input), "input", false},
    {"gen_ai_client_token_usage", "", &tokens, offsetof(struct hf_genai, output), "output", true},
};

enum hf_genai_op hf_genai_op(enum hf_endpoint ep)
{
    switch (ep) {
    case HF_EP_OLLAMA_EMBED:
    case HF_EP_OLLAMA_EMBEDDINGS:
    case HF_EP_OPENAI_EMBEDDINGS:
        return HF_GENAI_EMBEDDINGS;
    case HF_EP_OLLAMA_GENERATE:
    case HF_EP_OPENAI_COMPLETIONS:
        return HF_GENAI_COMPLETION;
    default:
        return HF_GENAI_CHAT;
    }
}

static void add(struct hf_genai_hist *h, const struct bounds *b, double value)
{
    size_t i = 0;
    while (i < b->n && value > b->le[i])
        i++;
    h->counts[i == b->n ? HF_GENAI_BUCKETS : i]++;
    h->count++;
    h->sum += value;
}

static double seconds(uint64_t from_ms, uint64_t to_ms)
{
    return to_ms > from_ms ? (double)(to_ms - from_ms) / 1000 : 0;
}

void hf_genai_add(struct hf_genai *g, const struct hf_genai_sample *s)
{
    add(&g->duration, &duration_s, seconds(s->start_ms, s->end_ms));
    if (s->first_token_ms > 0)
        add(&g->first_token, &first_s, seconds(s->sent_ms, s->first_token_ms));
    if (!s->usage->is_known)
        return;
    add(&g->input, &tokens, (double)s->usage->input);
    add(&g->output, &tokens, (double)s->usage->output);
    if (s->first_token_ms > 0 && s->usage->output > 1)
        add(&g->per_token, &per_token_s,
            seconds(s->first_token_ms, s->end_ms) / (double)(s->usage->output - 1));
}

static void write_slot(const struct family *f, const struct hf_gw_slot *s, struct hf_prom *p)
{
    const struct hf_gw_host *c = s->host->conf;
    for (int op = 0; op < HF_GENAI_OPS; op++) {
        if (s->genai[op] == NULL)
            continue;
        const struct hf_genai_hist *h =
            (const struct hf_genai_hist *)(const void *)((const char *)s->genai[op] + f->at);
        const struct hf_prom_label labels[] = {
            {"gen_ai_operation_name", op_words[op]},
            {"gen_ai_provider_name", hf_dialect_word(hf_gw_dialect(c->kind))},
            {"gen_ai_request_model", s->model},
            {"server_address", c->name},
            {"gen_ai_token_type", f->token_type}};
        struct hf_prom_hist out = {.bounds = f->bounds->le,
                                   .counts = h->counts,
                                   .n = f->bounds->n,
                                   .count = h->count,
                                   .sum = h->sum};
        hf_prom_histogram(p, labels, f->token_type == NULL ? 4 : 5, &out);
    }
}

void hf_genai_write(const struct hf_gateway *g, struct hf_prom *p)
{
    for (size_t k = 0; k < HF_ARRAY_LEN(families); k++) {
        if (!families[k].is_next)
            hf_prom_family(p, families[k].name, "histogram", families[k].help);
        for (size_t i = 0; i < g->n_hosts; i++) {
            for (const struct hf_gw_slot *s = g->hosts[i].slots; s != NULL; s = s->next)
                write_slot(&families[k], s, p);
        }
    }
}
