/*
 * Output of commands: text and JSON on stdout, tables, a progress line on stderr.
 *
 * Data goes to stdout, everything else to stderr. Colour only on a terminal and never with NO_COLOR
 * or TERM=dumb; a progress line only when stderr is a terminal. Main thread.
 */
#ifndef HF_CMD_OUT_H
#define HF_CMD_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"

enum { HF_OUT_MAX = 64 << 20 }; /* bytes of one command's output held in memory */

/* All of it to stdout. HF_E_IO when the reader went away or the disk is full. */
HF_MUST enum hf_code hf_out_write(const char *data, size_t len, struct hf_err *err);
HF_MUST enum hf_code hf_out_print(struct hf_err *err, const char *fmt, ...) HF_PRINTF(2, 3);

/* A JSON object that begins with "schema": schema. begin, add keys to j, end writes it out.
 * Without a schema an array, as Litestream's lists are: add items. */
struct hf_out_json {
    struct hf_buf buf;
    struct hf_json j;
    bool is_array;
};
void hf_out_json_begin(struct hf_out_json *o, const char *schema);
/* The items of the array that the document is about: under key, or the document itself. */
void hf_out_json_list_begin(struct hf_out_json *o, const char *key);
void hf_out_json_list_end(struct hf_out_json *o);
HF_MUST enum hf_code hf_out_json_end(struct hf_out_json *o, struct hf_err *err);

/* Columns two blanks apart, as wide as they must be; the first row is the header. */
struct hf_table {
    struct hf_arena *arena;
    const char **cells;
    size_t n_columns;
    size_t n_cells;
    size_t cap;
};
void hf_table_init(struct hf_table *t, size_t n_columns);
void hf_table_deinit(struct hf_table *t);
/* Left to right; a row ends by itself. NULL is empty. Control characters are shown as '?'. */
void hf_table_cell(struct hf_table *t, const char *text);
void hf_table_cellf(struct hf_table *t, const char *fmt, ...) HF_PRINTF(2, 3);
HF_MUST enum hf_code hf_table_format(struct hf_table *t, struct hf_buf *out, struct hf_err *err);
/* The same for a screen of so many columns: where a line would be wider, each row is a block, its
 * first cell and below that a line for each other one that says something. 0: as wide as it gets.
 */
HF_MUST enum hf_code hf_table_format_for(struct hf_table *t, size_t columns, struct hf_buf *out,
                                         struct hf_err *err);
/* For a screen that is drawn again and again, where blocks would run off its end: columns are left
 * out, by their headings in the order of drop (ended by NULL), until a line fits; what is wider
 * then is cut. One line of the screen a row. 0: as wide as it gets. */
HF_MUST enum hf_code hf_table_format_cut(struct hf_table *t, size_t columns,
                                         const char *const *drop, struct hf_buf *out,
                                         struct hf_err *err);
/* Columns of the terminal that is standard output; 0: none, or one that does not tell. */
size_t hf_out_columns(void);
/* Onto standard output, as wide as the terminal is. */
HF_MUST enum hf_code hf_table_print(struct hf_table *t, struct hf_err *err);

bool hf_out_is_terminal(int fd);
bool hf_out_has_color(int fd);

/* "restore  412 MB of 1.0 GB  41 %  310 MB/s": redrawn at most 10 times a second. */
struct hf_progress {
    const char *label; /* borrowed */
    uint64_t total;    /* bytes; 0 = not known */
    uint64_t start_ms;
    uint64_t drawn_ms;
    bool is_on; /* stderr is a terminal */
    bool is_drawn;
};
void hf_progress_init(struct hf_progress *p, const char *label, uint64_t total);
void hf_progress_set(struct hf_progress *p, uint64_t done);
/* Clears the line. */
void hf_progress_end(struct hf_progress *p);

/* "1.5 GB" (powers of 1024), for people. Buffer of 24 bytes. */
#define HF_SIZE_TEXT 24
void hf_size_format(uint64_t bytes, char out[HF_SIZE_TEXT]);

#endif
