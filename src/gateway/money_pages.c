/* /holdfast/usage: sums over the journal, read on the helper thread; and which page is whose. */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gateway/gateway_int.h"
#include "gateway/usage.h"

enum { PAGE_BYTES = 16 << 20 };

static const char json_type[] = "application/json";

struct asked {
    struct hf_task task;
    struct hf_httpd_call *call;
    char *path;
    struct hf_usage_ask ask;
};

static void refuse(struct hf_httpd_call *call, enum hf_code rc, const char *text)
{
    struct hf_api_error e;
    hf_api_error_set(&e, rc == HF_E_INVALID ? HF_API_INVALID : HF_API_SERVER, "%s", text);
    hf_gw_reply_error(call, HF_DIALECT_OLLAMA, &e, NULL);
}

static enum hf_code write_page(const struct asked *a, struct hf_buf *out, struct hf_err *err)
{
    struct hf_json j;
    char since[HF_TIME_TEXT];
    hf_clock_format(a->ask.since_ms, since);
    hf_json_init(&j, out, false);
    hf_json_object_begin(&j);
    hf_json_kstr(&j, "schema", "holdfast.gateway-usage/1");
    hf_json_kstr(&j, "since", a->ask.since_ms == 0 ? NULL : since);
    hf_json_key(&j, "rows");
    HF_TRY(hf_usage_write(a->path, &a->ask, &j, err));
    hf_json_object_end(&j);
    return hf_json_end(&j, err);
}

/* On the helper thread. */
static void run_usage(struct hf_task *task)
{
    struct asked *a = (struct asked *)(void *)task;
    struct hf_err err = HF_ERR_INIT;
    struct hf_buf out;
    hf_buf_init(&out, PAGE_BYTES);
    enum hf_code rc = write_page(a, &out, &err);
    if (rc == HF_OK)
        hf_gw_reply_text(a->call, 200, json_type, hf_buf_str(&out), out.len);
    else
        refuse(a->call, rc, err.text);
    hf_buf_deinit(&out);
    hf_free(a->path);
    hf_free(a);
}

static void page_usage(struct hf_gateway *g, struct hf_httpd_call *call)
{
    struct hf_err err = HF_ERR_INIT;
    struct hf_usage_ask ask = {0};
    enum hf_code rc = HF_OK;
    if (g->money.journal == NULL)
        rc = hf_err_set(&err, HF_E_INVALID, "gateway.journal is not configured: nothing is kept");
    if (rc == HF_OK)
        rc = hf_usage_parse_groups(hf_httpd_call_query(call, "by"), &ask.groups, &err);
    if (rc == HF_OK)
        rc = hf_usage_parse_since(hf_httpd_call_query(call, "since"), hf_clock_wall_ms(),
                                  &ask.since_ms, &err);
    if (rc != HF_OK) {
        refuse(call, rc, err.text);
        return;
    }
    struct asked *a = hf_calloc(1, sizeof(*a));
    a->task.run = run_usage;
    a->call = call;
    a->path = hf_strdup(hf_journal_path(g->money.journal));
    a->ask = ask;
    hf_pool_submit(g->money.helpers, &a->task);
}

bool hf_gw_money_page(struct hf_gateway *g, struct hf_httpd_call *call)
{
    const char *path = hf_httpd_call_path(call);
    const char *method = hf_httpd_call_method(call);
    if (strcmp(path, "/holdfast/override") == 0)
        hf_gw_override_page(g, call);
    else if (strcmp(path, "/holdfast/usage") == 0 && strcmp(method, "GET") == 0)
        page_usage(g, call);
    else
        return false;
    return true;
}
