/*
 * What the schema tables say, in the forms people and editors read: the reference page, an example
 * file, a JSON schema, and the answer to "config explain KEY". Pure, any thread. Texts are a few
 * tens of KiB; HF_E_LIMIT if out is smaller.
 */
#ifndef HF_CONFIG_DOCS_H
#define HF_CONFIG_DOCS_H

#include "base/buf.h"
#include "base/err.h"

/* docs/config.md. */
HF_MUST enum hf_code hf_docs_reference(struct hf_buf *out, struct hf_err *err);
/* A holdfast.yml: a small working part, then every key as a comment with its default. */
HF_MUST enum hf_code hf_docs_example(struct hf_buf *out, struct hf_err *err);
/* JSON Schema, draft 2020-12. Keys of tiers included; unknown keys are refused. */
HF_MUST enum hf_code hf_docs_json_schema(struct hf_buf *out, struct hf_err *err);
/* key: "sync-interval", or with its section "snapshot.retention", "dbs[].path". Explains it in
 * every section that has it. HF_E_NOT_FOUND with a did-you-mean. */
HF_MUST enum hf_code hf_docs_explain(const char *key, struct hf_buf *out, struct hf_err *err);
/* The same as a JSON object; schema name holdfast.config-explain/1. */
HF_MUST enum hf_code hf_docs_explain_json(const char *key, struct hf_buf *out, struct hf_err *err);

#endif
