/*
 * libFuzzer target: any bytes as a stream of events, one a line, of the dialect that the first byte
 * chooses. A line "=ABrest" is the line before it with B bytes at A replaced by the rest, so that
 * events which are almost like the last one come up. What is said of an event must not depend on
 * those before it; and a stream that is translated must say the same whether its events are read
 * quickly or as trees (an escaped key sends an event to the tree, and changes nothing else).
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/jsonscan.h"
#include "gateway/translate.h"
#include "gateway/translate_json.h"
#include "gateway/translate_quick.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINES = 64, LINE_BYTES = 6 << 10 };

struct stream {
    char *text[LINES];
    size_t len[LINES];
    size_t n;
};

static void add(struct stream *s, const char *head, size_t n_head, const char *mid, size_t n_mid,
                const char *tail, size_t n_tail)
{
    size_t len = n_head + n_mid + n_tail;
    if (s->n == LINES || len > LINE_BYTES)
        return;
    char *p = hf_malloc(len == 0 ? 1 : len); /* of its own size: reading past the end is seen */
    if (n_head > 0)
        memcpy(p, head, n_head);
    if (n_mid > 0)
        memcpy(p + n_head, mid, n_mid);
    if (n_tail > 0)
        memcpy(p + n_head + n_mid, tail, n_tail);
    s->text[s->n] = p;
    s->len[s->n++] = len;
}

static void add_line(struct stream *s, const char *line, size_t len)
{
    if (len < 3 || line[0] != '=' || s->n == 0) {
        add(s, "", 0, line, len, "", 0);
        return;
    }
    const char *last = s->text[s->n - 1];
    size_t n = s->len[s->n - 1];
    size_t at = (unsigned char)line[1] < n ? (unsigned char)line[1] : n;
    size_t cut = (unsigned char)line[2] % 64;
    cut = cut < n - at ? cut : n - at;
    add(s, last, at, line + 3, len - 3, last + at + cut, n - at - cut);
}

static void read_stream(struct stream *s, const char *text, size_t len)
{
    s->n = 0;
    for (size_t at = 0; at < len;) {
        const char *end = memchr(text + at, '\n', len - at);
        size_t n = end == NULL ? len - at : (size_t)(end - text) - at;
        add_line(s, text + at, n);
        at += n + 1;
    }
}

/* ---- alone and behind others ---- */

static void same_value(const struct hf_jsonscan_value *a, const struct hf_jsonscan_value *b)
{
    bool is_text = a->kind == HF_JSON_STRING;
    hf_assert(is_text == (b->kind == HF_JSON_STRING));
    hf_assert(!is_text || (a->text == b->text && a->len == b->len));
}

static void each_alone(enum hf_endpoint ep, const struct stream *s)
{
    struct hf_quick_shape shape;
    hf_quick_shape_init(&shape);
    for (size_t i = 0; i < s->n; i++) {
        struct hf_quick_shape none;
        struct hf_quick q, alone;
        hf_quick_shape_init(&none);
        bool is_alone = hf_quick_event(&none, ep, s->text[i], s->len[i], &alone);
        hf_assert(hf_quick_event(&shape, ep, s->text[i], s->len[i], &q) == is_alone);
        if (is_alone) {
            same_value(&q.piece, &alone.piece);
            same_value(&q.model, &alone.model);
            same_value(&q.time, &alone.time);
            hf_assert(q.finish == alone.finish);
        }
        hf_quick_shape_deinit(&none);
    }
    hf_quick_shape_deinit(&shape);
}

/* ---- quickly and as trees ---- */

/* The same event with a key that nobody asks for, written so that only the tree reads it. */
static void feed_event(struct hf_buf *out, bool is_lines, bool is_tree, const char *text,
                       size_t len)
{
    static const char key[] = "\"\\u0078~\":0";
    bool is_object = is_tree && len > 1 && text[0] == '{';
    bool is_empty = is_object && text[strspn(text + 1, " \t") + 1] == '}';
    if (!is_lines)
        hf_assert(hf_buf_append(out, "data: ", 6, NULL) == HF_OK);
    if (is_object) {
        hf_assert(hf_buf_append(out, "{", 1, NULL) == HF_OK);
        hf_assert(hf_buf_append(out, key, sizeof(key) - 1, NULL) == HF_OK);
        if (!is_empty)
            hf_assert(hf_buf_append(out, ",", 1, NULL) == HF_OK);
    }
    hf_assert(hf_buf_append(out, text + is_object, len - is_object, NULL) == HF_OK);
    hf_assert(hf_buf_append(out, "\n\n", is_lines ? 1 : 2, NULL) == HF_OK);
}

static enum hf_code run(const struct hf_answer_options *opt, const struct stream *s, bool is_tree,
                        struct hf_buf *out, struct hf_answer_state *st)
{
    struct hf_answer *a = hf_answer_new(opt);
    struct hf_buf in;
    bool is_lines = hf_endpoint_dialect(opt->upstream) == HF_DIALECT_OLLAMA;
    hf_buf_init(&in, HF_MIB);
    hf_buf_init(out, HF_LIMIT_ANSWER);
    for (size_t i = 0; i < s->n; i++)
        feed_event(&in, is_lines, is_tree, s->text[i], s->len[i]);
    enum hf_code rc = hf_answer_feed(a, in.data, in.len, 2, out, NULL);
    if (rc == HF_OK)
        rc = hf_answer_finish(a, 2, out, NULL);
    *st = *hf_answer_state(a);
    hf_buf_deinit(&in);
    hf_answer_free(a);
    return rc;
}

/* The tree refuses keys that are there twice, wherever they are; the scanner does where it looks.
 * What both take must be taken alike. */
static bool is_strict(const struct stream *s)
{
    for (size_t i = 0; i < s->n; i++) {
        HF_AUTO_JSON json_t *o = NULL;
        if (memchr(s->text[i], '\r', s->len[i]) != NULL ||
            (s->text[i][0] == '{' && hf_tj_load_object(s->text[i], s->len[i], &o, NULL) != HF_OK))
            return false;
    }
    return true;
}

static void both_ways(const struct hf_answer_options *opt, const struct stream *s)
{
    struct hf_buf quick, tree;
    struct hf_answer_state st_quick, st_tree;
    enum hf_code rc = run(opt, s, false, &quick, &st_quick);
    hf_assert(run(opt, s, true, &tree, &st_tree) == rc);
    hf_assert(st_quick.is_done == st_tree.is_done && st_quick.has_error == st_tree.has_error &&
              st_quick.finish == st_tree.finish && st_quick.n_pieces == st_tree.n_pieces &&
              st_quick.is_meaningful == st_tree.is_meaningful &&
              st_quick.usage.output == st_tree.usage.output);
    /* What passes through has the key in it. */
    bool is_passed = opt->front == opt->upstream && opt->is_front_stream;
    hf_assert(is_passed || (quick.len == tree.len &&
                            (tree.len == 0 || memcmp(quick.data, tree.data, tree.len) == 0)));
    hf_buf_deinit(&quick);
    hf_buf_deinit(&tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum hf_endpoint upstreams[] = {HF_EP_OPENAI_CHAT, HF_EP_OPENAI_COMPLETIONS,
                                                 HF_EP_OLLAMA_CHAT, HF_EP_OLLAMA_GENERATE,
                                                 HF_EP_ANTHROPIC_MESSAGES};
    static const enum hf_endpoint fronts[] = {HF_EP_OPENAI_CHAT, HF_EP_OLLAMA_CHAT,
                                              HF_EP_ANTHROPIC_MESSAGES, HF_EP_OPENAI_RESPONSES};
    struct stream s;
    if (size < 1)
        return 0;
    struct hf_answer_options opt = {.upstream = upstreams[data[0] % 5],
                                    .front = fronts[data[0] / 5 % 4],
                                    .is_front_stream = data[0] / 20 % 4 != 0,
                                    .is_upstream_stream = true,
                                    .wants_usage = data[0] > 127,
                                    .model = "asked",
                                    .id = "r"};
    read_stream(&s, (const char *)data + 1, size - 1);
    each_alone(opt.upstream, &s);
    if (is_strict(&s))
        both_ways(&opt, &s);
    for (size_t i = 0; i < s.n; i++)
        hf_free(s.text[i]);
    return 0;
}
