#include "cmd/out.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"

enum { DRAW_EVERY_MS = 100, GAP = 2 };

enum hf_code hf_out_write(const char *data, size_t len, struct hf_err *err)
{
    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return hf_err_sys(err, errno, "write to standard output");
        data += n;
        len -= (size_t)n;
    }
    return HF_OK;
}

enum hf_code hf_out_print(struct hf_err *err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    hf_assert(n >= 0);
    HF_AUTO_FREE char *text = hf_malloc((size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf(text, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return hf_out_write(text, (size_t)n, err);
}

void hf_out_json_begin(struct hf_out_json *o, const char *schema)
{
    hf_buf_init(&o->buf, HF_OUT_MAX);
    hf_json_init(&o->j, &o->buf, true);
    o->is_array = schema == NULL;
    if (o->is_array) {
        hf_json_array_begin(&o->j);
        return;
    }
    hf_json_object_begin(&o->j);
    hf_json_kstr(&o->j, "schema", schema);
}

void hf_out_json_list_begin(struct hf_out_json *o, const char *key)
{
    if (o->is_array)
        return;
    hf_json_key(&o->j, key);
    hf_json_array_begin(&o->j);
}

void hf_out_json_list_end(struct hf_out_json *o)
{
    if (!o->is_array)
        hf_json_array_end(&o->j);
}

enum hf_code hf_out_json_end(struct hf_out_json *o, struct hf_err *err)
{
    if (o->is_array)
        hf_json_array_end(&o->j);
    else
        hf_json_object_end(&o->j);
    enum hf_code rc = hf_json_end(&o->j, err);
    if (rc == HF_OK)
        rc = hf_out_write((const char *)o->buf.data, o->buf.len, err);
    if (rc == HF_OK)
        rc = hf_out_write("\n", 1, err);
    hf_buf_deinit(&o->buf);
    return rc;
}

void hf_table_init(struct hf_table *t, size_t n_columns)
{
    hf_assert(n_columns > 0);
    *t = (struct hf_table){.arena = hf_arena_new(4096), .n_columns = n_columns};
}

void hf_table_deinit(struct hf_table *t)
{
    hf_arena_free(t->arena);
    hf_free(t->cells);
    *t = (struct hf_table){0};
}

void hf_table_cell(struct hf_table *t, const char *text)
{
    char *copy = hf_arena_strdup(t->arena, text == NULL ? "" : text);
    for (char *c = copy; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    }
    if (t->n_cells == t->cap) {
        t->cap = t->cap == 0 ? 64 : t->cap * 2;
        t->cells = hf_realloc(t->cells, t->cap, sizeof(char *));
    }
    t->cells[t->n_cells++] = copy;
}

void hf_table_cellf(struct hf_table *t, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    hf_table_cell(t, text);
}

/* Columns on a screen: UTF-8 continuation bytes take none. */
static size_t width_of(const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static enum hf_code put_row(const struct hf_table *t, size_t row, const size_t *widths,
                            struct hf_buf *out, struct hf_err *err)
{
    for (size_t c = 0; c < t->n_columns; c++) {
        const char *text = t->cells[row * t->n_columns + c];
        bool is_last = c + 1 == t->n_columns;
        int pad = is_last ? 0 : (int)(widths[c] - width_of(text)) + GAP;
        HF_TRY(hf_buf_appendf(out, err, "%s%*s", text, pad, ""));
    }
    while (out->len > 0 && out->data[out->len - 1] == ' ') /* of cells that are empty */
        out->len--;
    return hf_buf_append(out, "\n", 1, err);
}

enum hf_code hf_table_format(struct hf_table *t, struct hf_buf *out, struct hf_err *err)
{
    size_t *widths = hf_arena_alloc(t->arena, t->n_columns, sizeof(*widths));
    hf_assert(t->n_cells % t->n_columns == 0);
    for (size_t i = 0; i < t->n_cells; i++) {
        size_t w = width_of(t->cells[i]);
        if (w > widths[i % t->n_columns])
            widths[i % t->n_columns] = w;
    }
    for (size_t row = 0; row < t->n_cells / t->n_columns; row++)
        HF_TRY(put_row(t, row, widths, out, err));
    return HF_OK;
}

/* Columns that a line takes; 0 where blocks would be no better. */
static size_t widest_line(const struct hf_table *t)
{
    size_t widest = 0;
    if (t->n_columns < 3)
        return 0;
    for (size_t c = 0; c < t->n_columns; c++) {
        size_t column = 0;
        for (size_t i = c; i < t->n_cells; i += t->n_columns) {
            size_t w = width_of(t->cells[i]);
            column = w > column ? w : column;
        }
        widest += column + (c > 0 ? GAP : 0);
    }
    return widest;
}

static enum hf_code put_block(const struct hf_table *t, size_t row, size_t name_width,
                              struct hf_buf *out, struct hf_err *err)
{
    const char *const *cells = t->cells + row * t->n_columns;
    HF_TRY(hf_buf_appendf(out, err, "%s\n", cells[0]));
    for (size_t c = 1; c < t->n_columns; c++) {
        const char *name = t->cells[c];
        if (cells[c][0] == '\0' || strcmp(cells[c], "-") == 0)
            continue;
        HF_TRY(hf_buf_appendf(out, err, "  %s%*s%s\n", name,
                              (int)(name_width - width_of(name)) + GAP, "", cells[c]));
    }
    return HF_OK;
}

enum hf_code hf_table_format_for(struct hf_table *t, size_t columns, struct hf_buf *out,
                                 struct hf_err *err)
{
    size_t name_width = 0;
    if (columns == 0 || widest_line(t) <= columns)
        return hf_table_format(t, out, err);
    for (size_t c = 1; c < t->n_columns; c++) {
        size_t w = width_of(t->cells[c]);
        name_width = w > name_width ? w : name_width;
    }
    for (size_t row = 1; row < t->n_cells / t->n_columns; row++)
        HF_TRY(put_block(t, row, name_width, out, err));
    return HF_OK;
}

static void leave_out(struct hf_table *t, const char *heading)
{
    size_t column = 0;
    size_t kept = 0;
    while (column < t->n_columns && strcmp(t->cells[column], heading) != 0)
        column++;
    if (column == t->n_columns)
        return;
    for (size_t i = 0; i < t->n_cells; i++) {
        if (i % t->n_columns != column)
            t->cells[kept++] = t->cells[i];
    }
    t->n_cells = kept;
    t->n_columns--;
}

/* Lines of text, each cut behind so many columns. */
static enum hf_code put_cut(const char *text, size_t columns, struct hf_buf *out,
                            struct hf_err *err)
{
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        size_t kept = 0;
        for (size_t n = 0; kept < len; kept++) {
            n += ((unsigned char)text[kept] & 0xc0) != 0x80;
            if (n > columns)
                break;
        }
        HF_TRY(hf_buf_append(out, text, kept, err));
        HF_TRY(hf_buf_append(out, "\n", 1, err));
        text += len + (text[len] == '\n');
    }
    return HF_OK;
}

enum hf_code hf_table_format_cut(struct hf_table *t, size_t columns, const char *const *drop,
                                 struct hf_buf *out, struct hf_err *err)
{
    struct hf_buf whole;
    if (columns == 0)
        return hf_table_format(t, out, err);
    for (; *drop != NULL && widest_line(t) > columns; drop++)
        leave_out(t, *drop);
    hf_buf_init(&whole, HF_OUT_MAX);
    enum hf_code rc = hf_table_format(t, &whole, err);
    if (rc == HF_OK)
        rc = put_cut(hf_buf_str(&whole), columns, out, err);
    hf_buf_deinit(&whole);
    return rc;
}

size_t hf_out_columns(void)
{
    struct winsize w;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 ? w.ws_col : 0;
}

enum hf_code hf_table_print(struct hf_table *t, struct hf_err *err)
{
    struct hf_buf out;
    hf_buf_init(&out, HF_OUT_MAX);
    enum hf_code rc = hf_table_format_for(t, hf_out_columns(), &out, err);
    if (rc == HF_OK && out.len > 0)
        rc = hf_out_write((const char *)out.data, out.len, err);
    hf_buf_deinit(&out);
    return rc;
}

bool hf_out_is_terminal(int fd)
{
    const char *term = getenv("TERM");
    return isatty(fd) && (term == NULL || strcmp(term, "dumb") != 0);
}

bool hf_out_has_color(int fd)
{
    const char *off = getenv("NO_COLOR");
    return (off == NULL || off[0] == '\0') && hf_out_is_terminal(fd);
}

void hf_size_format(uint64_t bytes, char out[HF_SIZE_TEXT])
{
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB", "PB"};
    double v = (double)bytes;
    size_t u = 0;
    while (v >= 1024 && u + 1 < HF_ARRAY_LEN(units)) {
        v /= 1024;
        u++;
    }
    snprintf(out, HF_SIZE_TEXT, u == 0 || v >= 100 ? "%.0f %s" : "%.1f %s", v, units[u]);
}

void hf_progress_init(struct hf_progress *p, const char *label, uint64_t total)
{
    *p = (struct hf_progress){.label = label,
                              .total = total,
                              .start_ms = hf_clock_mono_ms(),
                              .is_on = hf_out_is_terminal(STDERR_FILENO)};
}

void hf_progress_set(struct hf_progress *p, uint64_t done)
{
    char now_text[HF_SIZE_TEXT];
    char total_text[HF_SIZE_TEXT];
    char rate_text[HF_SIZE_TEXT];
    uint64_t now = hf_clock_mono_ms();
    if (!p->is_on || (p->is_drawn && now - p->drawn_ms < DRAW_EVERY_MS))
        return;
    uint64_t spent_ms = now - p->start_ms;
    hf_size_format(done, now_text);
    hf_size_format(p->total, total_text);
    hf_size_format(spent_ms == 0 ? 0 : done * 1000 / spent_ms, rate_text);
    p->drawn_ms = now;
    p->is_drawn = true;
    if (p->total == 0)
        fprintf(stderr, "\r\033[K%s  %s  %s/s", p->label, now_text, rate_text);
    else
        fprintf(stderr, "\r\033[K%s  %s of %s  %d %%  %s/s", p->label, now_text, total_text,
                (int)(done * 100 / p->total), rate_text);
}

void hf_progress_end(struct hf_progress *p)
{
    if (p->is_drawn)
        fprintf(stderr, "\r\033[K");
    p->is_drawn = false;
}
