/*
 * The gateway's accounts: who has spent what, what is set aside, what goes into the journal. Glue
 * between requests and keys.h, budget.h, journal.h. All on the gateway's loop unless said
 * otherwise. Private to gateway/.
 *
 *   admitted ─► hf_gw_access ─► place ─► hf_gw_bill_hold ─► (on the disk) ─► hf_gw_request_held
 *                                                             ended ─► hf_gw_bill_end
 *                                      a try failed, another follows ─► hf_gw_bill_try
 */
#ifndef HF_GATEWAY_MONEY_H
#define HF_GATEWAY_MONEY_H

#include "base/buf.h"
#include "base/json.h"
#include "gateway/budget.h"
#include "gateway/failure.h"
#include "gateway/journal.h"
#include "gateway/keys.h"
#include "net/httpserver.h"
#include "os/pool.h"

struct hf_gateway;
struct hf_gw_headers;
struct hf_gw_host;
struct hf_gw_request;

/* What is known of a key while the gateway runs; outlives reloads. */
struct hf_gw_account {
    struct hf_gw_account *next;
    char name[HF_JOURNAL_WORD]; /* "": requests without a key */
    struct hf_gw_budget budget;
    struct hf_gw_rate rate;
    int64_t active;
};

/* Counters of one key and model. */
struct hf_gw_series {
    char key[HF_JOURNAL_WORD];
    char model[HF_JOURNAL_NAME];
    struct hf_gw_tokens tokens;
    int64_t micro;
    uint64_t n;
};

struct hf_gw_money {
    struct hf_journal *journal; /* NULL: none */
    struct hf_pool *helpers;    /* one thread: reads the journal, writes the override file */
    struct hf_gw_account all;
    struct hf_gw_account *accounts;
    size_t n_accounts;
    struct hf_gw_series *series; /* HF_LIMIT_GATEWAY_SERIES; the last one is "other" */
    size_t n_series;
    int64_t day; /* that all budgets are at */
};

/* A request's side of it. */
struct hf_gw_bill {
    const struct hf_gw_key *key;   /* NULL: none is configured; of the request's plan */
    struct hf_gw_account *account; /* NULL: not admitted, or ended */
    struct hf_gw_hold hold;
    bool is_held;
    bool is_waiting; /* the hold is on its way to the disk */
    bool is_written; /* what came of it */
    struct hf_task told_task;
    int64_t number; /* of the newest record */
    int billed;     /* tries that are settled */
    int64_t cost;   /* of them, millionths */
    enum hf_gw_limit over;
    bool is_over; /* a candidate was passed over for lack of budget */
    bool is_over_all;
    struct hf_gw_amount wanted;
    int64_t cap_tokens; /* limit that the present try's answer was given; 0: none */
};

/* Opens the journal; conf's, before the loop runs. */
HF_MUST enum hf_code hf_gw_money_init(struct hf_gateway *g, struct hf_err *err);
/* After the last request, before the HTTP client ends. */
void hf_gw_money_deinit(struct hf_gateway *g);
/* "keys" and "journal" for the status page: members of an open object. */
void hf_gw_money_status(struct hf_gateway *g, struct hf_json *j);
HF_MUST enum hf_code hf_gw_money_metrics(struct hf_gateway *g, struct hf_buf *out);
/* The account of a name, made if need be; NULL when there are too many. */
struct hf_gw_account *hf_gw_account_get(struct hf_gateway *g, const char *name);

enum hf_gw_held {
    HF_GW_HELD,  /* there is money, or none is needed */
    HF_GW_WAITS, /* hf_gw_request_held follows, unless the request ends first */
    HF_GW_OVER   /* a budget would be passed */
};
/* Sets aside what the request may cost on that host; what was set aside before is given back. */
enum hf_gw_held hf_gw_bill_hold(struct hf_gw_request *r, const struct hf_gw_host *host,
                                const char *model);
/* What was set aside is free again: nothing was sent, and nothing will be for a while. */
void hf_gw_bill_release(struct hf_gw_request *r);
/* The present try is over, another follows. */
void hf_gw_bill_try(struct hf_gw_request *r, enum hf_gw_failure f, uint64_t now_ms);
/* The request is over; while its call is still there. */
void hf_gw_bill_end(struct hf_gw_request *r, enum hf_gw_failure f, uint64_t now_ms);
/* Makes r->error of the budget that was passed. */
void hf_gw_bill_over(struct hf_gw_request *r);
/* What a client whose key was refused, or has no more, has to know; false for any other. */
bool hf_gw_bill_headers(const struct hf_gw_request *r, struct hf_gw_headers *h);

/* ---- access.c ---- */
/* Whether the request may go on: its key, and what that may. Else it is refused and ended. */
bool hf_gw_access(struct hf_gw_request *r, uint64_t now_ms);
/* The key it shows; NULL: none, or none is configured. */
const struct hf_gw_key *hf_gw_key_of_call(const struct hf_gateway *g,
                                          const struct hf_httpd_call *call);
/* Who shares a turn in the queue. */
uint64_t hf_gw_client_of(const struct hf_httpd_call *call, const struct hf_gw_key *key);
bool hf_gw_is_private(const struct hf_gw_request *r);
/* Makes r->error of it: only a cloud could have answered. */
void hf_gw_refuse_private(struct hf_gw_request *r);
/* Whether the page may be seen; else it is answered 401 or 403. */
bool hf_gw_page_access(struct hf_gateway *g, struct hf_httpd_call *call);
bool hf_gw_is_from_here(const struct hf_httpd_call *call);

/* ---- money_pages.c ---- */
/* True if the page was one of its own. */
bool hf_gw_money_page(struct hf_gateway *g, struct hf_httpd_call *call);

#endif
