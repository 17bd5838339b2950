/*
 * Lists of models in the three dialects: what hosts say (/api/tags, /api/ps, /v1/models) and what
 * clients are told. A list owns copies of all it holds. Pure; one thread.
 */
#ifndef HF_GATEWAY_MODELS_H
#define HF_GATEWAY_MODELS_H

#include "gateway/translate.h"

struct hf_model {
    char *name;
    char *digest;       /* NULL: not known */
    char *modified_at;  /* RFC 3339 as the host said; NULL: not known */
    char *expires_at;   /* /api/ps only */
    char *details;      /* JSON object text of Ollama's "details"; NULL: not known */
    char *owner;        /* OpenAI's owned_by; NULL: not known */
    char *capabilities; /* JSON array text; NULL: not known */
    int64_t size;       /* bytes; 0: not known */
    int64_t size_vram;  /* /api/ps only; smaller than size: partly on the CPU */
    int64_t context_length;
    int64_t created_s;
    bool is_remote; /* runs in Ollama's cloud: no local capacity */
};

struct hf_models {
    struct hf_model *list;
    size_t n;
};

enum { HF_MODELS_MAX = 4096 }; /* Together lists about 200, OpenRouter about 500 */

void hf_models_deinit(struct hf_models *m);
/*
 * Reads /api/tags or /api/ps (Ollama), /v1/models (OpenAI, Anthropic, and Together's bare array).
 * Entries without a name are skipped. HF_E_CORRUPT if it is no list, HF_E_LIMIT if too long.
 */
HF_MUST enum hf_code hf_models_parse(enum hf_dialect d, const char *body, size_t len,
                                     struct hf_models *out, struct hf_err *err);
/* Adds a copy of m unless a model of that name (hf_ollama_name_equal) is there; true if added. */
bool hf_models_add(struct hf_models *list, const struct hf_model *m);
/* Ollama's names of models that run in its own cloud. */
bool hf_model_name_is_remote(const char *name);
/* NULL if there is none of that name. */
const struct hf_model *hf_models_find(const struct hf_models *list, const char *name);

/* X(name): the lists that clients ask for. */
enum hf_model_list { HF_LIST_TAGS, HF_LIST_PS, HF_LIST_OPENAI, HF_LIST_ANTHROPIC };
HF_MUST enum hf_code hf_models_write(enum hf_model_list form, const struct hf_models *m,
                                     struct hf_buf *out, struct hf_err *err);
/* One model: /v1/models/NAME (OpenAI or Anthropic), or /api/show (HF_LIST_TAGS) for a model that no
 * Ollama host serves. */
HF_MUST enum hf_code hf_model_write(enum hf_model_list form, const struct hf_model *m,
                                    struct hf_buf *out, struct hf_err *err);

#endif
