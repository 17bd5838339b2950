/*
 * The health file for other tools: written from the router's own state, never read.
 *
 *   {"anvil":{"healthy":true,"last_check":"2026-04-20T20:00:00Z"}}
 */
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "gateway/gateway_int.h"
#include "os/file.h"

enum { WRITE_MS = 15000, HEALTH_BYTES = 1 << 20 };

static enum hf_code health_text(struct hf_gateway *g, uint64_t now_ms, struct hf_buf *out)
{
    struct hf_json j;
    char when[HF_TIME_TEXT];
    hf_json_init(&j, out, false);
    hf_json_object_begin(&j);
    for (size_t i = 0; i < g->n_hosts; i++) {
        const struct hf_gw_live_host *h = &g->hosts[i];
        if (h->conf->is_gone)
            continue;
        bool is_checked = h->health.last_ok_ms > 0;
        int64_t age = (int64_t)(now_ms - (is_checked ? h->health.last_ok_ms : g->started_ms));
        hf_clock_format(hf_clock_wall_ms() - age, when);
        hf_json_key(&j, h->conf->name);
        hf_json_object_begin(&j);
        hf_json_kbool(&j, "healthy", hf_health_is_routable(&h->health));
        hf_json_kstr(&j, "last_check", when);
        hf_json_kstr(&j, "state", hf_health_word(h->health.state));
        if (h->override.is_out)
            hf_json_kbool(&j, "override", true);
        hf_json_object_end(&j);
    }
    hf_json_object_end(&j);
    return hf_json_end(&j, NULL);
}

static void write_health(struct hf_gateway *g, uint64_t now_ms)
{
    struct hf_buf out;
    struct hf_err err = HF_ERR_INIT;
    if (g->conf->health_file == NULL ||
        (!g->is_health_dirty && now_ms - g->health_written_ms < WRITE_MS))
        return;
    g->is_health_dirty = false;
    g->health_written_ms = now_ms;
    hf_buf_init(&out, HEALTH_BYTES);
    HF_AUTO_FREE char *temp = hf_asprintf("%s.new", g->conf->health_file);
    struct hf_file f = HF_FILE_CLOSED;
    enum hf_code rc = health_text(g, now_ms, &out);
    /* Renamed into place, not synced: it is written anew every few seconds. */
    if (rc == HF_OK)
        rc = hf_file_open(temp, HF_FILE_TRUNCATE, 0644, &f, &err);
    if (rc == HF_OK)
        rc = hf_file_write_at(&f, out.data, out.len, 0, &err);
    hf_file_close(&f);
    if (rc == HF_OK)
        rc = hf_path_rename(temp, g->conf->health_file, &err);
    if (rc != HF_OK)
        hf_log(HF_LOG_ERROR, "health file not written", HF_F_ERR(&err), HF_F_END);
    hf_buf_deinit(&out);
}

void hf_gw_files_tick(struct hf_gateway *g, uint64_t now_ms)
{
    hf_gw_overrides_tick(g, now_ms);
    write_health(g, now_ms);
}
