/* What the demo says: steps, the live line, the result. Fits 80 columns. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "cmd/demo.h"
#include "cmd/out.h"

enum { TEXT_MAX = 2048, WIDTH = 76, INDENT = 4, NUMBER_TEXT = 32 };

#define RED "\033[31m"
#define GREEN "\033[32m"
#define BOLD "\033[1m"
#define PLAIN "\033[0m"

void hf_demo_show_init(struct hf_demo_show *s, bool is_json)
{
    int fd = is_json ? STDERR_FILENO : STDOUT_FILENO;
    bool is_terminal = hf_out_is_terminal(fd);
    *s = (struct hf_demo_show){.fd = is_json && !is_terminal ? -1 : fd,
                               .is_terminal = is_terminal,
                               .has_color = hf_out_has_color(fd)};
}

static void put(const struct hf_demo_show *s, const char *text)
{
    size_t len = strlen(text);
    while (s->fd >= 0 && len > 0) {
        ssize_t n = write(s->fd, text, len);
        if (n <= 0)
            return; /* nobody reads any more: the demo goes on */
        text += n;
        len -= (size_t)n;
    }
}

static const char *color(const struct hf_demo *d, const char *code)
{
    return d->show.has_color ? code : "";
}

void hf_demo_say(struct hf_demo *d, const char *fmt, ...)
{
    char text[TEXT_MAX];
    va_list ap;
    hf_demo_live_end(d);
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    put(&d->show, text);
}

/* Breaks at blanks; the lines after the first are indented. */
static void put_wrapped(const struct hf_demo_show *s, const char *text)
{
    size_t column = INDENT;
    while (*text != '\0') {
        char word[TEXT_MAX];
        size_t len = strcspn(text, " ");
        snprintf(word, sizeof(word), "%.*s", (int)len, text);
        if (column > INDENT && column + 1 + len > WIDTH) {
            put(s, "\n    ");
            column = INDENT;
        } else if (column > INDENT) {
            put(s, " ");
            column++;
        }
        put(s, word);
        column += len;
        text += len;
        text += strspn(text, " ");
    }
    put(s, "\n");
}

void hf_demo_step(struct hf_demo *d, int number, const char *fmt, ...)
{
    char text[TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    hf_demo_say(d, "\n %s%d%s  ", color(d, BOLD), number, color(d, PLAIN));
    put_wrapped(&d->show, text);
}

/* "12,345" */
static const char *thousands(uint64_t n, char out[NUMBER_TEXT])
{
    char digits[NUMBER_TEXT];
    int len = snprintf(digits, sizeof(digits), "%" PRIu64, n);
    size_t at = 0;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}

void hf_demo_live_head(struct hf_demo *d)
{
    hf_demo_say(d, "\n      time    commits   per s   replica behind   standby behind       WAL\n");
}

void hf_demo_live_line(struct hf_demo *d, const struct hf_demo_look *l)
{
    char commits[NUMBER_TEXT];
    char size[HF_SIZE_TEXT];
    char text[160];
    struct hf_demo_show *s = &d->show;
    if (!s->is_terminal && l->seconds < s->next_line)
        return;
    s->next_line = (double)((int)l->seconds + 1);
    hf_size_format(l->wal_bytes, size);
    snprintf(text, sizeof(text), "%s    %4.1f s %10s %7.0f %14.2f s %14.2f s %9s%s",
             s->is_terminal ? "\r" : "", l->seconds, thousands(l->acked, commits), l->rate,
             l->replica_lag_ms / 1000.0, l->standby_lag_ms / 1000.0, size,
             s->is_terminal ? "\033[K" : "\n");
    put(s, text);
    s->is_drawn = s->is_terminal;
}

void hf_demo_live_end(struct hf_demo *d)
{
    if (d->show.is_drawn)
        put(&d->show, "\n");
    d->show.is_drawn = false;
}

size_t hf_demo_n_broken(const struct hf_demo *d)
{
    size_t n = 0;
    for (size_t i = 0; i < d->n_promises; i++)
        n += !d->promises[i].is_kept;
    return n;
}

static void show_loss(struct hf_demo *d)
{
    const struct hf_demo_facts *f = &d->facts;
    char a[NUMBER_TEXT];
    char b[NUMBER_TEXT];
    char c[NUMBER_TEXT];
    if (f->lost == 0) {
        hf_demo_say(d, "\n    All %s acknowledged commits are on the standby.\n",
                    thousands(f->acked, a));
        return;
    }
    hf_demo_say(d,
                "\n    %s commits were acknowledged, %s of them are on the standby.\n"
                "    The last %s (%.2f s) died with the machine: they had not been shipped.\n",
                thousands(f->acked, a), thousands(f->standby_seq, b), thousands(f->lost, c),
                (double)f->lost_ms / 1000);
    if (d->o.sync_interval_ns > 100000000)
        hf_demo_say(d, "    A shorter interval loses less: --sync-interval 50ms\n");
}

void hf_demo_show_result(struct hf_demo *d)
{
    size_t n_broken = hf_demo_n_broken(d);
    double seconds = (double)(hf_clock_mono_ms() - d->facts.start_ms) / 1000;
    hf_demo_say(d, "\n    %-8s  %-50s %8s  %s\n", "promise", "", "measured", "limit");
    for (size_t i = 0; i < d->n_promises; i++) {
        const struct hf_demo_promise *p = &d->promises[i];
        hf_demo_say(d, "    %s%-8s%s  %-50s %8s%s%s\n", color(d, p->is_kept ? GREEN : RED),
                    p->is_kept ? "kept" : "BROKEN", color(d, PLAIN), p->text, p->measured,
                    p->limit[0] != '\0' ? "  " : "", p->limit);
        if (!p->is_kept)
            hf_demo_say(d, "              %s\n", p->why);
    }
    show_loss(d);
    if (d->o.keep)
        hf_demo_say(d, "\n    Kept: primary-is-gone, replica, standby and the logs, in\n    %s\n",
                    d->path.root);
    if (n_broken == 0)
        hf_demo_say(d, "\n    %sAll %zu promises kept%s, in %.0f s.\n", color(d, GREEN),
                    d->n_promises, color(d, PLAIN), seconds);
    else
        hf_demo_say(d, "\n    %s%zu of %zu promises BROKEN%s\n", color(d, RED), n_broken,
                    d->n_promises, color(d, PLAIN));
}

/* ---- JSON ---- */

static void put_lag(struct hf_json *j, const char *key, struct hf_demo_samples *s)
{
    hf_json_key(j, key);
    hf_json_object_begin(j);
    hf_json_ku64(j, "p50", hf_demo_percentile(s, 50));
    hf_json_ku64(j, "max", hf_demo_percentile(s, 100));
    hf_json_object_end(j);
}

static void put_promises(struct hf_json *j, const struct hf_demo *d)
{
    hf_json_key(j, "promises");
    hf_json_array_begin(j);
    for (size_t i = 0; i < d->n_promises; i++) {
        const struct hf_demo_promise *p = &d->promises[i];
        hf_json_object_begin(j);
        hf_json_kstr(j, "name", p->name);
        hf_json_kstr(j, "text", p->text);
        hf_json_kbool(j, "kept", p->is_kept);
        hf_json_kstr(j, "measured", p->measured);
        if (p->limit[0] != '\0')
            hf_json_kstr(j, "limit", p->limit);
        if (!p->is_kept)
            hf_json_kstr(j, "why", p->why);
        hf_json_object_end(j);
    }
    hf_json_array_end(j);
    hf_json_key(j, "broken");
    hf_json_array_begin(j);
    for (size_t i = 0; i < d->n_promises; i++) {
        if (!d->promises[i].is_kept)
            hf_json_str(j, d->promises[i].name);
    }
    hf_json_array_end(j);
}

static void put_settings(struct hf_json *j, const struct hf_demo *d)
{
    hf_json_key(j, "settings");
    hf_json_object_begin(j);
    hf_json_ki64(j, "seconds", d->o.seconds);
    hf_json_ki64(j, "rate", d->o.rate);
    hf_json_kdbl(j, "sync_interval_ms", (double)d->o.sync_interval_ns / 1000000);
    hf_json_object_end(j);
}

enum hf_code hf_demo_print_json(struct hf_demo *d, struct hf_err *err)
{
    struct hf_demo_facts *f = &d->facts;
    struct hf_out_json o;
    char then[HF_TIME_TEXT];
    hf_clock_format(f->then_ms, then);
    hf_out_json_begin(&o, "holdfast.demo/1");
    hf_json_kbool(&o.j, "ok", hf_demo_n_broken(d) == 0);
    put_settings(&o.j, d);
    hf_json_kdbl(&o.j, "rto_ms", f->rto_ms);
    hf_json_ki64(&o.j, "rpo_ms", f->lost_ms);
    hf_json_ku64(&o.j, "commits_acknowledged", f->acked);
    hf_json_ku64(&o.j, "commits_on_standby", f->standby_seq);
    hf_json_ku64(&o.j, "commits_lost", f->lost);
    hf_json_kdbl(&o.j, "commits_per_s", f->rate);
    hf_json_kdbl(&o.j, "catch_up_ms", f->catch_up_ms);
    put_lag(&o.j, "replica_lag_ms", &f->replica_lag);
    put_lag(&o.j, "standby_lag_ms", &f->standby_lag);
    hf_json_ku64(&o.j, "wal_peak_bytes", f->wal_peak);
    hf_json_key(&o.j, "point_in_time");
    hf_json_object_begin(&o.j);
    hf_json_kstr(&o.j, "timestamp", then);
    hf_json_ku64(&o.j, "commits", f->then_seq);
    hf_json_object_end(&o.j);
    put_promises(&o.j, d);
    hf_json_ku64(&o.j, "duration_ms", hf_clock_mono_ms() - f->start_ms);
    hf_json_kstr(&o.j, "folder", d->o.keep ? d->path.root : NULL);
    return hf_out_json_end(&o, err);
}
