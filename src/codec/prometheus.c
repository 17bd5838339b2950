#include "codec/prometheus.h"

#include <math.h>
#include <string.h>

#include "base/assert.h"

#define LARGEST_WHOLE 9007199254740992.0 /* 2^53 */

static void put(struct hf_prom *p, const char *text, size_t len)
{
    if (!p->is_full && hf_buf_append(p->out, text, len, NULL) != HF_OK)
        p->is_full = true;
}

static void put_text(struct hf_prom *p, const char *text)
{
    put(p, text, strlen(text));
}

/* Backslash and newline, in label values the quote as well; other control characters would end up
 * in somebody's terminal. */
static void put_escaped(struct hf_prom *p, const char *text, bool is_label)
{
    for (; *text != '\0'; text++) {
        if (*text == '\\')
            put_text(p, "\\\\");
        else if (*text == '\n')
            put_text(p, "\\n");
        else if (is_label && *text == '"')
            put_text(p, "\\\"");
        else
            put(p, (unsigned char)*text < 0x20 ? "?" : text, 1);
    }
}

static void put_number(struct hf_prom *p, double v)
{
    enum hf_code rc;
    if (isnan(v))
        put_text(p, "NaN");
    else if (isinf(v))
        put_text(p, v > 0 ? "+Inf" : "-Inf");
    else if (!p->is_full) {
        bool is_exact = v >= -LARGEST_WHOLE && v <= LARGEST_WHOLE;
        bool is_whole = is_exact && (double)(int64_t)v == v;
        rc = hf_buf_appendf(p->out, NULL, is_whole ? "%.0f" : "%.15g", v);
        p->is_full = rc != HF_OK;
    }
}

void hf_prom_init(struct hf_prom *p, struct hf_buf *out)
{
    *p = (struct hf_prom){.out = out};
}

void hf_prom_family(struct hf_prom *p, const char *name, const char *type, const char *help)
{
    p->family = name;
    put_text(p, "# HELP ");
    put_text(p, name);
    put_text(p, " ");
    put_escaped(p, help, false);
    put_text(p, "\n# TYPE ");
    put_text(p, name);
    put_text(p, " ");
    put_text(p, type);
    put_text(p, "\n");
}

/* le: value of one more label; NULL: none. */
struct sample {
    const char *suffix;
    const double *le;
    double value;
};

static void put_sample(struct hf_prom *p, const struct hf_prom_label *labels, size_t n,
                       const struct sample *s)
{
    hf_assert(p->family != NULL);
    put_text(p, p->family);
    put_text(p, s->suffix);
    for (size_t i = 0; i < n; i++) {
        put_text(p, i == 0 ? "{" : ",");
        put_text(p, labels[i].name);
        put_text(p, "=\"");
        put_escaped(p, labels[i].value == NULL ? "" : labels[i].value, true);
        put_text(p, "\"");
    }
    if (s->le != NULL) {
        put_text(p, n == 0 ? "{le=\"" : ",le=\"");
        put_number(p, *s->le);
        put_text(p, "\"");
    }
    put_text(p, n == 0 && s->le == NULL ? " " : "} ");
    put_number(p, s->value);
    put_text(p, "\n");
}

void hf_prom_value(struct hf_prom *p, const struct hf_prom_label *labels, size_t n, double value)
{
    put_sample(p, labels, n, &(struct sample){"", NULL, value});
}

void hf_prom_histogram(struct hf_prom *p, const struct hf_prom_label *labels, size_t n,
                       const struct hf_prom_hist *h)
{
    static const double infinite = INFINITY;
    uint64_t below = 0;
    for (size_t i = 0; i < h->n; i++) {
        below += h->counts[i];
        put_sample(p, labels, n, &(struct sample){"_bucket", &h->bounds[i], (double)below});
    }
    put_sample(p, labels, n, &(struct sample){"_bucket", &infinite, (double)h->count});
    put_sample(p, labels, n, &(struct sample){"_sum", NULL, h->sum});
    put_sample(p, labels, n, &(struct sample){"_count", NULL, (double)h->count});
}

enum hf_code hf_prom_end(struct hf_prom *p, struct hf_err *err)
{
    if (p->is_full)
        return hf_err_set(err, HF_E_LIMIT, "metrics are larger than %zu bytes", p->out->max);
    return HF_OK;
}
