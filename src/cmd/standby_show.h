/*
 * What `restore -all` shows: the databases of a standby as a table, as JSON, and as one line.
 * Main thread.
 */
#ifndef HF_CMD_STANDBY_SHOW_H
#define HF_CMD_STANDBY_SHOW_H

#include "cmd/out.h"
#include "replica/standby.h"

struct hf_standby_sums {
    size_t n[HF_STANDBY_FAILED + 1]; /* by state */
    size_t stuck;                    /* following, and the last look failed */
    int64_t worst_lag_ms;            /* of those that follow */
    uint64_t bytes;
};

void hf_standby_sum(const struct hf_standby *s, struct hf_standby_sums *out);
/* "69 databases: 68 following, 1 failed; worst lag 0.42s". Buffer of 200 bytes. */
#define HF_STANDBY_TEXT 200
void hf_standby_summary(const struct hf_standby *s, char out[HF_STANDBY_TEXT]);
/* max_rows: the most telling ones (failed first, then the rest by lag); 0: all, in their order. */
HF_MUST enum hf_code hf_standby_table(const struct hf_standby *s, size_t max_rows,
                                      struct hf_buf *out, struct hf_err *err);
/* One JSON object, schema holdfast.restore-all/1; is_line: on one line. */
HF_MUST enum hf_code hf_standby_json(const struct hf_standby *s, bool is_line, struct hf_buf *out,
                                     struct hf_err *err);

#endif
