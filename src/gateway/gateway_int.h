/*
 * What the files of the running gateway share: gateway.c (start, stop, dispatch), hosts.c (health,
 * slots), looks.c (probes), request.c (the life of a request), attempt.c (one try on one host),
 * pages.c (lists, status, metrics). All on the transfer thread unless said otherwise. Private to
 * gateway/.
 */
#ifndef HF_GATEWAY_GATEWAY_INT_H
#define HF_GATEWAY_GATEWAY_INT_H

#include <stdatomic.h>

#include "base/buf.h"
#include "gateway/breaker.h"
#include "gateway/choose.h"
#include "gateway/failure.h"
#include "gateway/gateway.h"
#include "gateway/genai.h"
#include "gateway/models.h"
#include "gateway/money.h"
#include "gateway/overrides.h"
#include "gateway/plan.h"
#include "gateway/queue.h"
#include "gateway/sticky.h"
#include "gateway/trace.h"
#include "gateway/translate.h"
#include "net/httpclient.h"
#include "net/httpserver.h"
#include "os/loop.h"
#include "os/pool.h"

enum {
    HF_GW_TICK_MS = 50,
    HF_GW_HOLD_EVENTS = 64,       /* events of a stream held back before the commit point */
    HF_GW_HOLD_BYTES = 256 << 10, /* and bytes */
    HF_GW_ERROR_BYTES = 64 << 10, /* of an error answer that are looked at */
    HF_GW_LIST_BYTES = 4 << 20,   /* of a host's list of models */
    HF_GW_LIST_MS = 30000,        /* between two looks at /api/tags */
    HF_GW_FAST_LOOK_MS = 1500,    /* for a health check while something is unclear */
    HF_GW_ADDRESS_MS = 250,       /* until the next address is asked, too: RFC 8305 */
    HF_GW_SLOTS = 1024,           /* models of one host that are kept track of */
    HF_GW_PAUSED = 256,           /* requests that wait for a host to come back */
    HF_GW_ID = 28,
    HF_GW_HOPS_TEXT = 8 * HF_GW_ID, /* gateways that a request may pass through */
    HF_GW_TRAIL = 400,              /* text of the tries, for a header */
    HF_GW_END_MS = 200,             /* for a connection to end in order once its answer is whole */
    HF_GW_LIVENESS = 5              /* idle timeouts that pings alone may keep a stream alive */
};

/* One model of one host. */
struct hf_gw_slot {
    struct hf_gw_slot *next;
    struct hf_gw_live_host *host;
    char *model;
    struct hf_breaker breaker;
    struct hf_gwq_lane lane;
    int64_t active;
    uint64_t n_ok;
    uint64_t n_failed;
    uint64_t mean_ms; /* of answers, for estimates */
    uint64_t tokens_in;
    uint64_t tokens_out;
    struct hf_genai *genai[HF_GENAI_OPS]; /* NULL: not yet */
};

/* A probe or a list that was asked for. */
struct hf_gw_look {
    struct hf_gateway *g;
    struct hf_gw_live_host *host;
    struct hf_http_call *call; /* NULL: not under way */
    struct hf_buf body;
    int status;
    size_t url_at;
    int what; /* enum in looks.c */
};

enum { HF_GW_LOOKS = 2 + HF_GW_URLS };

/* Models that are loaded ahead of requests. */
struct hf_gw_warm {
    struct hf_http_call *call; /* NULL: none under way */
    struct hf_buf body;
    char model[HF_MODEL_NAME];
    size_t next; /* of the configured list */
};

struct hf_gw_live_host {
    struct hf_gateway *g;
    const struct hf_gw_host *conf;
    size_t index;
    struct hf_health health;
    struct hf_gw_look looks[HF_GW_LOOKS];
    size_t round_at;    /* addresses that were asked in this round of the health check */
    bool is_round_over; /* what is still under way is canceled */
    uint64_t round_ms;
    uint64_t round_end_ms;
    uint64_t round_next_ms; /* when the next one is, if none has answered */
    struct hf_models tags;
    struct hf_models ps;
    bool has_tags;
    bool has_ps; /* since it came up, and since a model was loaded ahead */
    struct hf_gw_warm warm;
    uint64_t n_warmed;
    bool is_silent;                 /* of a request that it has nothing came for a second */
    struct hf_gw_override override; /* is_out: taken out by the override file */
    char version[40];               /* Ollama's; empty: not known */
    uint64_t tags_ms;               /* when they were asked for last */
    uint64_t ps_ms;
    size_t url_at; /* the address that worked */
    int64_t active;
    struct hf_gw_slot *slots;
    size_t n_slots;
    uint64_t n_ok;
    uint64_t n_failed;
    uint64_t tokens_in;
    uint64_t tokens_out;
    char last_error[200];
};

struct hf_gw_request {
    struct hf_gwq_entry entry; /* first: a queue gives it back */
    uint32_t magic;
    atomic_int refs; /* the loop's, and one a posted task */
    struct hf_gateway *g;
    struct hf_gw_request *prev;
    struct hf_gw_request *next;
    struct hf_httpd_call *call; /* NULL: ended */
    struct hf_task begin_task;
    struct hf_task gone_task;
    struct hf_task drain_task;
    atomic_bool is_drain_posted;
    bool is_begun;
    bool is_gone; /* the client left before we began */
    char id[HF_GW_ID];
    struct hf_trace trace;

    /* what was asked */
    struct hf_request_head head;
    const char *body;
    size_t len;
    struct hf_gw_route found; /* of a name that is no route */
    const struct hf_gw_route *route;
    struct hf_gw_plan *plan; /* that route is of */
    size_t pin;
    uint64_t start_ms;
    uint64_t deadline_ms;
    struct hf_gw_bill bill;
    uint64_t sticky_key;      /* 0: no conversation */
    uint64_t queued_ms;       /* in all */
    uint64_t paused_until_ms; /* all pauses together; 0: none yet */

    /* where it has been */
    uint64_t tried;        /* candidates */
    uint64_t failed_hosts; /* as "down" for conditions */
    bool may_cloud;
    bool is_retry; /* counts against the retry budget */
    int attempts;
    char trail[HF_GW_TRAIL];
    enum hf_gw_failure last;
    struct hf_api_error error;
    uint64_t retry_after_ms;

    /* the present try */
    struct hf_gw_slot *slot;
    size_t candidate;
    enum hf_gw_reason reason;
    size_t url_at;
    size_t urls_tried;
    bool was_stale;
    struct hf_http_call *up;
    struct hf_buf up_body;
    bool is_in_place; /* body is sent as it lies, up_body is empty */
    struct hf_upstream_request upr;
    struct hf_report report;
    struct hf_answer *answer;
    struct hf_buf out;
    struct hf_buf error_body;
    int status;
    bool is_committed;
    bool is_early;           /* the client's stream was begun with nothing in it: early.c */
    uint64_t said_ms;        /* nothing, last */
    enum hf_gw_failure stop; /* why we end the try ourselves; HF_GW_OK: we do not */
    uint64_t sent_ms;
    uint64_t first_byte_ms; /* 0: none yet */
    uint64_t last_byte_ms;
    uint64_t first_token_ms;
    uint64_t progress_ms;
    uint64_t done_ms; /* its terminator was seen; 0: not yet */
    int64_t pieces;
};

struct hf_gateway {
    const struct hf_config_gateway *conf;
    struct hf_gw_plan *plan;
    struct hf_http_client *client;
    struct hf_httpd *server;
    struct hf_timer tick;
    struct hf_task init_task;
    struct hf_gw_live_host *hosts;
    size_t n_hosts;
    struct hf_gw_request *first;
    struct hf_gw_forward *forwards;
    atomic_size_t n_requests;
    size_t busiest; /* requests at a time since memory was given back */
    uint64_t trim_due_ms;
    uint64_t trim_wait_ms; /* to the next one; 0: enough was done */
    int64_t n_retries;     /* under way */
    size_t n_waiting;
    struct hf_sticky *sticky;
    struct hf_gwq_lane paused;
    size_t n_paused;
    uint64_t started_ms;
    uint64_t health_written_ms;
    uint64_t override_read_ms;
    int64_t override_mtime_ns;
    bool is_health_dirty;
    struct hf_gw_pins pins;
    struct hf_gw_money money;
    bool is_unpause_due; /* a breaker lets requests through again, a list came or won't */
    struct hf_gw_held_page *held;
    uint64_t n_by_outcome[HF_GW_FAILURES_];
    uint64_t n_by_reason[HF_GW_REASONS_];
    uint64_t n_refused;
    char id[HF_GW_ID]; /* of this gateway, against loops */
    size_t max_body;   /* of the start: read as requests come */
    char *tls_cert;
    char *tls_key;
};

enum { HF_GW_REQUEST_MAGIC = 0x67777271 };

enum hf_dialect hf_gw_dialect(enum hf_config_host_kind kind);

/* ---- hosts.c ---- */
void hf_gw_hosts_init(struct hf_gateway *g, uint64_t now_ms);
void hf_gw_hosts_deinit(struct hf_gateway *g);
/* Hosts of a new plan: they keep their state, new ones begin, lost ones are taken out. */
void hf_gw_hosts_reload(struct hf_gateway *g, uint64_t now_ms);
/* Health checks and lists that are due: looks.c. */
void hf_gw_hosts_tick(struct hf_gateway *g, uint64_t now_ms);
/* A host that discovery would look at is still being asked for its first list; that ends within two
 * probe-timeouts, and hf_gw_unpause follows. Until then no name is unknown. */
bool hf_gw_is_list_due(const struct hf_gateway *g);
/* Hosts that discovery could not look at, ", " between them; false if there is none. */
bool hf_gw_unlisted(const struct hf_gateway *g, char *out, size_t cap);
/* The slot of a model, made if need be; NULL when the host has too many. */
struct hf_gw_slot *hf_gw_slot_get(struct hf_gw_live_host *h, const char *model);
/* NULL if nobody used it yet. */
struct hf_gw_slot *hf_gw_slot_find(const struct hf_gw_live_host *h, const char *model);
enum hf_gw_model_state hf_gw_host_model(const struct hf_gw_live_host *h, const char *model);
/* Whether the model fits beside what is loaded there. */
enum hf_gw_fit hf_gw_host_fit(const struct hf_gw_live_host *h, const char *model);
struct hf_gw_memory hf_gw_host_memory(const struct hf_gw_live_host *h);
/* Requests that may be sent for the slot now. */
int64_t hf_gw_slot_room(const struct hf_gw_slot *s, uint64_t now_ms);
void hf_gw_host_event(struct hf_gw_live_host *h, enum hf_health_event ev, uint64_t now_ms);
/* Something of the request's end is told: health and breaker. */
void hf_gw_host_result(struct hf_gw_slot *s, enum hf_gw_failure f, uint64_t now_ms);
/* Lists are out of date: look soon. */
void hf_gw_host_refresh(struct hf_gw_live_host *h);
/* Facts of each candidate of the request's route, and the set of hosts that are down. */
uint64_t hf_gw_facts(struct hf_gateway *g, const struct hf_gw_route *route, uint64_t tried,
                     struct hf_gw_facts *out, uint64_t now_ms);
/* A route to every host that lists the model; 0 candidates if none does. */
void hf_gw_discover(struct hf_gateway *g, const char *model, struct hf_gw_route *out);

/* ---- request.c ---- */
/* Called as the request comes, or posted from a server thread where the server has threads. */
void hf_gw_request_begin(struct hf_task *task);
void hf_gw_request_gone(struct hf_task *task);
void hf_gw_request_drain(struct hf_task *task);
void hf_gw_request_unref(struct hf_gw_request *r);
/* It came from this gateway, or through more than may be: our own id would not fit. */
bool hf_gw_is_loop(const struct hf_gateway *g, const struct hf_httpd_call *call);
/* Lets go of a plan: freed when it is out of use. */
void hf_gw_plan_release(struct hf_gateway *g, struct hf_gw_plan *p);
/* Finds a place (again). */
void hf_gw_request_go(struct hf_gw_request *r, uint64_t now_ms);
/* What hf_gw_bill_hold set aside is on the disk, or cannot be. */
void hf_gw_request_held(struct hf_gw_request *r, bool is_written, uint64_t now_ms);
/* The present try is over. */
void hf_gw_request_settle(struct hf_gw_request *r, enum hf_gw_failure f, uint64_t now_ms);
/* Answers an error and ends the request. */
void hf_gw_request_refuse(struct hf_gw_request *r);
/* Requests that wait for the host: send what has room, or look elsewhere. */
void hf_gw_host_pump(struct hf_gw_live_host *h, uint64_t now_ms);
void hf_gw_host_move_away(struct hf_gw_live_host *h, uint64_t now_ms);
void hf_gw_unpause(struct hf_gateway *g, uint64_t now_ms);
void hf_gw_requests_tick(struct hf_gateway *g, uint64_t now_ms);
/* Headers of an answer, into h (room for HF_GW_ANSWER_HEADERS); texts live in scratch. */
enum { HF_GW_ANSWER_HEADERS = 16, HF_GW_SCRATCH = 2048 };
struct hf_gw_headers {
    struct hf_http_header list[HF_GW_ANSWER_HEADERS];
    size_t n;
    char scratch[HF_GW_SCRATCH];
    size_t used;
};
void hf_gw_answer_headers(const struct hf_gw_request *r, struct hf_gw_headers *h);
void hf_gw_header(struct hf_gw_headers *h, const char *name, const char *fmt, ...) HF_PRINTF(3, 4);

/* ---- attempt.c ---- */
/* Sends the request to r->slot; settles at once if that cannot be. */
void hf_gw_attempt_start(struct hf_gw_request *r, uint64_t now_ms);
/* An encoder for the client's stream; false if there is none for the pair of endpoints. */
bool hf_gw_answer_begin(struct hf_gw_request *r);
/* Ends the try; settle follows. */
void hf_gw_attempt_stop(struct hf_gw_request *r, enum hf_gw_failure why);
void hf_gw_attempt_clear(struct hf_gw_request *r);
/* Time-outs of the try. */
void hf_gw_attempt_tick(struct hf_gw_request *r, uint64_t now_ms);

/* ---- pages.c ---- */
/* Answers what is no generation: true if the path was one of its own. Any page is answered on the
 * transfer thread. */
void hf_gw_page(struct hf_gateway *g, struct hf_httpd_call *call);
/* Asks for the page again once lists have come: a name is not known yet. */
void hf_gw_page_hold(struct hf_gateway *g, struct hf_httpd_call *call);
void hf_gw_pages_unhold(struct hf_gateway *g);
void hf_gw_reply_text(struct hf_httpd_call *call, int status, const char *type, const char *text,
                      size_t len);
/* An error of our own in the dialect. */
void hf_gw_reply_error(struct hf_httpd_call *call, enum hf_dialect d, const struct hf_api_error *e,
                       const struct hf_gw_headers *extra);
/* out, if rc is HF_OK; else 500. Frees out. */
void hf_gw_reply_json(struct hf_httpd_call *call, enum hf_code rc, struct hf_buf *out);
/* Every model that is known and that key (NULL: none is needed) may ask for: of hosts that are
 * ours, and the routes. The caller deinits. */
void hf_gw_models(struct hf_gateway *g, const struct hf_gw_key *key, struct hf_models *out);

/* Of a page: so that its client understands an error. */
enum hf_dialect hf_gw_path_dialect(const struct hf_httpd_call *call);
/* "override": who, until when and why; null for NULL. */
void hf_gw_put_override(struct hf_json *j, const struct hf_gw_override *o);

/* ---- explain.c ---- */
void hf_gw_page_explain(struct hf_gateway *g, struct hf_httpd_call *call);
void hf_gw_page_what_if(struct hf_gateway *g, struct hf_httpd_call *call);

/* ---- early.c ---- */
void hf_gw_early_tick(struct hf_gw_request *r, uint64_t now_ms);
/* Place in the queue, 1 is next; 0: it does not wait. */
size_t hf_gw_queue_position(const struct hf_gw_request *r);
/* Estimate from the mean time of the model's answers; 0: not known. */
uint64_t hf_gw_queue_wait_ms(const struct hf_gw_request *r);

/* ---- prewarm.c ---- */
void hf_gw_prewarm_tick(struct hf_gw_live_host *h);
/* The host fell: what was loaded is gone. */
void hf_gw_prewarm_reset(struct hf_gw_live_host *h);

/* ---- forward.c ---- */
/* Passes /api/show and the management of models on; false if the path is neither. */
bool hf_gw_forward(struct hf_gateway *g, struct hf_httpd_call *call);
/* Changes the models of a host, whatever the method. */
bool hf_gw_path_is_managing(const char *path);
/* The client left; any thread. */
void hf_gw_forward_gone(struct hf_gateway *g, const struct hf_httpd_call *call);

/* ---- health_files.c ---- */
/* Health file and override file, if due. */
void hf_gw_files_tick(struct hf_gateway *g, uint64_t now_ms);

#endif
