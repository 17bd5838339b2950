#include "cmd/gateway_money.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cmd/out.h"
#include "codec/httpurl.h"
#include "codec/jsonscan.h"
#include "net/httpclient.h"

enum { ANSWER_BYTES = 32 << 20, PATH_BYTES = 8192, TEXT = 300 };

/* ---- usage ---- */

static enum hf_code add_argument(struct hf_buf *path, const char *name, const char *value,
                                 struct hf_err *err)
{
    if (value == NULL)
        return HF_OK;
    HF_TRY(hf_buf_appendf(path, err, "%s%s=", strchr(hf_buf_str(path), '?') == NULL ? "?" : "&",
                          name));
    return hf_url_escape(path, value, false, err);
}

static enum hf_code usage_text(struct hf_http_reply *r, const char *by, struct hf_err *err)
{
    static const char *const rows[] = {"rows"};
    static const char *const counts[] = {"requests",      "failed", "tokens_in", "tokens_out",
                                         "tokens_cached", "cost",   "estimated"};
    char words[TEXT];
    const char *columns[16];
    size_t n = 0;
    struct hf_jsonscan_value v;
    snprintf(words, sizeof(words), "%s", by == NULL ? "key,model" : by);
    for (char *p = words; *p != '\0' && n < 6;) { /* the server has checked the words */
        columns[n++] = p;
        p += strcspn(p, ",");
        if (*p == ',')
            *p++ = '\0';
    }
    for (size_t i = 0; i < HF_ARRAY_LEN(counts); i++)
        columns[n++] = counts[i];
    HF_TRY(hf_jsonscan_find(hf_buf_str(&r->body), r->body.len, rows, 1, &v, err));
    return hf_gateway_ask_table(&v, columns, n, err);
}

static enum hf_code show_once(const struct hf_gateway_ask *a, const struct hf_gateway_usage *u,
                              const char *path, struct hf_err *err)
{
    struct hf_http_reply r;
    struct hf_gateway_call c = {.method = "GET", .path = path};
    hf_http_reply_init(&r, ANSWER_BYTES);
    enum hf_code rc = hf_gateway_ask_call(a, &c, &r, err);
    if (rc == HF_OK)
        rc = a->is_json ? hf_out_print(err, "%s\n", hf_buf_str(&r.body))
                        : usage_text(&r, u->by, err);
    hf_http_reply_deinit(&r);
    return rc;
}

enum hf_code hf_gateway_usage_show(const struct hf_gateway_ask *a, const struct hf_gateway_usage *u,
                                   struct hf_err *err)
{
    struct hf_buf path;
    hf_buf_init(&path, PATH_BYTES);
    enum hf_code rc = hf_buf_appendf(&path, err, "/holdfast/usage");
    if (rc == HF_OK)
        rc = add_argument(&path, "by", u->by, err);
    if (rc == HF_OK)
        rc = add_argument(&path, "since", u->since, err);
    if (rc == HF_OK)
        rc = show_once(a, u, hf_buf_str(&path), err);
    hf_buf_deinit(&path);
    return rc;
}

/* ---- overrides ---- */

static enum hf_code list_text(struct hf_http_reply *r, struct hf_err *err)
{
    static const char *const keys[] = {"overrides", "warning"};
    static const char *const columns[] = {"kind", "name", "pin", "expires", "by", "why"};
    struct hf_jsonscan_value v[2];
    char warning[TEXT];
    HF_TRY(hf_jsonscan_find(hf_buf_str(&r->body), r->body.len, keys, 2, v, err));
    if (hf_jsonscan_str(&v[1], warning, sizeof(warning), NULL) == HF_OK)
        fprintf(stderr, "holdfast gateway: warning: %s\n", warning);
    return hf_gateway_ask_table(&v[0], columns, HF_ARRAY_LEN(columns), err);
}

static const char *who(const struct hf_gateway_override *o)
{
    if (o->by != NULL)
        return o->by;
    const char *user = getenv("USER");
    return user == NULL ? "" : user;
}

static enum hf_code set_body(const struct hf_gateway_override *o, struct hf_buf *body,
                             struct hf_err *err)
{
    struct hf_json j;
    hf_json_init(&j, body, false);
    hf_json_object_begin(&j);
    hf_json_kstr(&j, o->host == NULL ? "host" : "route", o->subject);
    hf_json_kstr(&j, "pin", o->host);
    hf_json_kstr(&j, "why", o->why);
    hf_json_kstr(&j, "by", who(o));
    hf_json_kstr(&j, "for", o->span);
    hf_json_object_end(&j);
    return hf_json_end(&j, err);
}

/* A name may be a host's or a route's: the list says which. */
static enum hf_code clear_path(const struct hf_gateway_ask *a, const char *name,
                               struct hf_buf *path, struct hf_err *err)
{
    static const char *const list[] = {"overrides"};
    static const char *const keys[] = {"kind", "name"};
    struct hf_http_reply r;
    struct hf_gateway_call c = {.method = "GET", .path = "/holdfast/override"};
    struct hf_jsonscan s;
    struct hf_jsonscan_value all;
    struct hf_jsonscan_value item;
    struct hf_jsonscan_value v[2];
    bool is_member = true;
    bool is_route = false;
    hf_http_reply_init(&r, ANSWER_BYTES);
    enum hf_code rc = hf_gateway_ask_call(a, &c, &r, err);
    if (rc == HF_OK)
        rc = hf_jsonscan_find(hf_buf_str(&r.body), r.body.len, list, 1, &all, err);
    if (rc == HF_OK)
        rc = hf_jsonscan_open(&s, all.text, all.len, err);
    while (rc == HF_OK) {
        rc = hf_jsonscan_next(&s, NULL, &item, &is_member, err);
        if (rc != HF_OK || !is_member)
            break;
        rc = hf_jsonscan_find(item.text, item.len, keys, 2, v, err);
        is_route = is_route ||
                   (rc == HF_OK && hf_jsonscan_is(&v[1], name) && hf_jsonscan_is(&v[0], "route"));
    }
    hf_http_reply_deinit(&r);
    HF_TRY(rc);
    return add_argument(path, is_route ? "route" : "host", name, err);
}

enum hf_code hf_gateway_override_do(const struct hf_gateway_ask *a,
                                    const struct hf_gateway_override *o, struct hf_err *err)
{
    bool is_list = strcmp(o->verb, "list") == 0;
    bool is_clear = strcmp(o->verb, "clear") == 0;
    struct hf_http_reply r;
    struct hf_buf path;
    struct hf_buf body;
    hf_buf_init(&path, PATH_BYTES);
    hf_buf_init(&body, PATH_BYTES);
    hf_http_reply_init(&r, ANSWER_BYTES);
    enum hf_code rc = hf_buf_appendf(&path, err, "/holdfast/override");
    if (rc == HF_OK && is_clear)
        rc = clear_path(a, o->subject, &path, err);
    if (rc == HF_OK && !is_list && !is_clear)
        rc = set_body(o, &body, err);
    struct hf_gateway_call c = {.method = is_list ? "GET" : (is_clear ? "DELETE" : "POST"),
                                .path = hf_buf_str(&path),
                                .body = body.len == 0 ? NULL : hf_buf_str(&body)};
    if (rc == HF_OK)
        rc = hf_gateway_ask_call(a, &c, &r, err);
    if (rc == HF_OK)
        rc = a->is_json ? hf_out_print(err, "%s\n", hf_buf_str(&r.body)) : list_text(&r, err);
    hf_http_reply_deinit(&r);
    hf_buf_deinit(&path);
    hf_buf_deinit(&body);
    return rc;
}
