#include "codec/httpdate.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/parse.h"

static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

void hf_http_date_format(int64_t wall_ms, char out[HF_HTTP_DATE_TEXT])
{
    static const char days[] = "SunMonTueWedThuFriSat";
    time_t t = (time_t)(wall_ms / 1000);
    struct tm tm;
    gmtime_r(&t, &tm);
    snprintf(out, HF_HTTP_DATE_TEXT, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT",
             days + tm.tm_wday * 3, tm.tm_mday, months + tm.tm_mon * 3, (tm.tm_year + 1900) % 10000,
             tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* Turned into RFC 3339, which base/parse.h checks and reads. */
enum hf_code hf_http_date_parse(const char *text, int64_t *out, struct hf_err *err)
{
    static const char form[] = "Aaa, 00 Aaa 0000 00:00:00 GMT";
    bool is_good = strlen(text) == sizeof(form) - 1;
    for (size_t i = 0; is_good && form[i]; i++) {
        bool is_digit = text[i] >= '0' && text[i] <= '9';
        bool is_letter = (text[i] | 32) >= 'a' && (text[i] | 32) <= 'z';
        bool is_free = i < 3 || (i >= 8 && i < 11);
        is_good = form[i] == '0' ? is_digit : is_free ? is_letter : text[i] == form[i];
    }
    char month[4] = "";
    if (is_good)
        memcpy(month, text + 8, 3);
    const char *m = is_good ? strstr(months, month) : NULL;
    if (m == NULL || (m - months) % 3 != 0)
        return hf_err_set(err, HF_E_INVALID, "not an HTTP date");
    char rfc3339[40];
    snprintf(rfc3339, sizeof(rfc3339), "%.4s-%02d-%.2sT%.8sZ", text + 12,
             (int)((m - months) / 3 + 1) % 100, text + 5, text + 17);
    return hf_parse_time_ms(rfc3339, out, err);
}
