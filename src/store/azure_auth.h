/*
 * Azure Storage accounts: where one is and how requests to it are authorised.
 *
 * Credentials, the first there is: SAS token (configuration, LITESTREAM_AZURE_SAS_TOKEN), account
 * key (configuration, LITESTREAM_AZURE_ACCOUNT_KEY), then OAuth tokens from: service principal
 * (AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET), federated token (AZURE_TENANT_ID,
 * AZURE_CLIENT_ID, AZURE_FEDERATED_TOKEN_FILE), managed identity of a container app or app service
 * (IDENTITY_ENDPOINT, IDENTITY_HEADER), managed identity of a machine (the metadata address).
 * AZURE_AUTHORITY_HOST and AZURE_POD_IDENTITY_AUTHORITY_HOST name other token services. The
 * environment is read when the first store of an account opens.
 *
 * A struct hf_azure_account is shared by all stores of one account with the same credentials: one
 * token for a fleet. It is renewed at three quarters of its life; while that fails the old one
 * serves until it ends. Any thread.
 */
#ifndef HF_STORE_AZURE_AUTH_H
#define HF_STORE_AZURE_AUTH_H

#include <stdatomic.h>

#include "config/config.h"
#include "store/httpstore.h"

struct hf_azure_account;

enum { HF_AZURE_HEADERS = 20 };

/* One request in the making. Headers' strings are borrowed but for those of _authorize. */
struct hf_azure_request {
    const char *method;
    struct hf_buf path;  /* escaped, from its '/'; begins with hf_azure_base_path */
    struct hf_buf query; /* escaped; without the SAS */
    struct hf_http_header headers[HF_AZURE_HEADERS];
    size_t n_headers;
    const char *version; /* of the service; NULL: the usual one */
    const void *body;
    size_t body_len;
    size_t expects; /* bytes of the answer, if they are many */
    /* set by _authorize, anew for each try */
    struct hf_buf url;
    struct hf_buf authorization;
    char date[32];
    char id[48]; /* x-ms-client-request-id */
    size_t n_own;
};

void hf_azure_request_init(struct hf_azure_request *r, const char *method);
void hf_azure_request_deinit(struct hf_azure_request *r);
void hf_azure_request_header(struct hf_azure_request *r, const char *name, const char *value);

/* HF_E_INVALID for an endpoint or key that can't be one. No request is made. */
HF_MUST enum hf_code hf_azure_account_get(const struct hf_config_replica *conf,
                                          struct hf_azure_account **out, struct hf_err *err);
void hf_azure_account_put(struct hf_azure_account *a);
struct hf_httpstore *hf_azure_http(struct hf_azure_account *a);
/* Of the endpoint: "" or "/devstoreaccount1". */
const char *hf_azure_base_path(const struct hf_azure_account *a);
enum { HF_AZURE_SAS_END = 40 };
/* True if its SAS token has ended by the service's clock; out: when, as the token says. */
bool hf_azure_sas_end(struct hf_azure_account *a, char out[HF_AZURE_SAS_END]);
/* The file it is read from; NULL: none. */
const char *hf_azure_sas_path(const struct hf_azure_account *a);
/* "shared key", "sas token", "service principal"... */
const char *hf_azure_credential(const struct hf_azure_account *a);

/* Completes r for one try and fills out with it; out borrows from r. Fetches a token when one is
 * due: HF_E_DENIED with the service's reason when there is none to be had. */
HF_MUST enum hf_code hf_azure_authorize(struct hf_azure_account *a, struct hf_azure_request *r,
                                        struct hf_http_request *out, struct hf_err *err);
/* After each answer: learns the server's clock. After a refusal (401, 403) true if the next try
 * would be made with another clock or token, once a token. */
bool hf_azure_learn(struct hf_azure_account *a, const struct hf_http_head *head);

/* Whether create-only puts hold there: for hf_store_check_create_only. */
struct hf_trial *hf_azure_trial(struct hf_azure_account *a);
/* Whether listings may begin at a name there: yes, until it is refused. */
bool hf_azure_has_start_from(const struct hf_azure_account *a);
void hf_azure_set_start_from(struct hf_azure_account *a, bool has);

#endif
