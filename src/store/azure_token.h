/*
 * OAuth tokens for Azure Storage, from whatever service the environment names (azure_auth.h lists
 * them in order). Any thread; one fetch at a time.
 */
#ifndef HF_STORE_AZURE_TOKEN_H
#define HF_STORE_AZURE_TOKEN_H

#include "store/httpstore.h"

struct hf_azure_token;

/* Reads the environment; asks nobody yet. */
HF_MUST enum hf_code hf_azure_token_new(struct hf_httpstore *http, struct hf_azure_token **out,
                                        struct hf_err *err);
void hf_azure_token_free(struct hf_azure_token *t);
/* "service principal", "federated token", "managed identity"... */
const char *hf_azure_token_source(const struct hf_azure_token *t);
/* Appends "Bearer TOKEN", after fetching one if need be. A fetch that fails is an error only when
 * no token that still lives is left. */
HF_MUST enum hf_code hf_azure_token_header(struct hf_azure_token *t, struct hf_buf *out,
                                           struct hf_err *err);
/* The service refused the token: true if another may be fetched now (not again within a minute). */
bool hf_azure_token_refused(struct hf_azure_token *t);

#endif
