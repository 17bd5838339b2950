/*
 * The form of an encrypted object: what comes back is what went in, sizes are told without reading,
 * and no byte can be changed, moved, left out or added unnoticed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "store/seal.h"

enum { FULL = HF_SEAL_CHUNK + HF_SEAL_EXTRA };

static const uint8_t key[HF_KEY_BYTES] = "an example of 32 bytes of a key";
static const uint8_t id[HF_KEY_ID] = "exampleI";
static const struct hf_seal_subject subject = {key, "ltx/0/a.ltx", "fleet/app"};

static uint8_t *make(size_t len)
{
    uint8_t *data = hf_malloc(len + 1);
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)(i * 7 + i / 251);
    return data;
}

static uint8_t *seal(const uint8_t *data, size_t len, uint8_t flags, size_t *sealed_len)
{
    struct hf_seal s;
    uint8_t *out = hf_malloc((size_t)hf_seal_size(len));
    size_t at = HF_SEAL_HEADER;
    hf_seal_begin(&s, &subject, id, flags, out);
    for (size_t done = 0; !s.is_over;) {
        size_t n = len - done < HF_SEAL_CHUNK ? len - done : HF_SEAL_CHUNK;
        hf_seal_chunk(&s, data + done, n, done + n == len, out + at);
        done += n;
        at += n + HF_SEAL_EXTRA;
    }
    *sealed_len = at;
    return out;
}

/* Opens all of it; what follows the final chunk is an error, as the readers have it. */
static enum hf_code open_all(const struct hf_seal_subject *what, const uint8_t *sealed, size_t len,
                             uint8_t *out, size_t *out_len)
{
    struct hf_seal s;
    size_t at = HF_SEAL_HEADER;
    *out_len = 0;
    if (len < HF_SEAL_HEADER || !hf_seal_is_sealed(sealed, len))
        return HF_E_CORRUPT;
    HF_TRY(hf_seal_open(&s, what, sealed, NULL));
    while (!s.is_over) {
        size_t n = len - at < FULL ? len - at : FULL;
        HF_TRY(hf_seal_open_chunk(&s, sealed + at, n, out + *out_len, NULL));
        *out_len += n - HF_SEAL_EXTRA;
        at += n;
    }
    return at == len ? HF_OK : HF_E_CORRUPT;
}

static const size_t lengths[] = {0,
                                 1,
                                 17,
                                 HF_SEAL_CHUNK - 1,
                                 HF_SEAL_CHUNK,
                                 HF_SEAL_CHUNK + 1,
                                 HF_SEAL_CHUNK * 2,
                                 HF_SEAL_CHUNK * 3 + 5};

static void test_round_trip(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_ARRAY_LEN(lengths); i++) {
        size_t len = 0;
        size_t got = 0;
        HF_AUTO_FREE uint8_t *data = make(lengths[i]);
        HF_AUTO_FREE uint8_t *sealed = seal(data, lengths[i], 0, &len);
        HF_AUTO_FREE uint8_t *out = hf_malloc(len);
        assert_int_equal(len, hf_seal_size(lengths[i]));
        assert_int_equal(hf_seal_plain_size(len), lengths[i]);
        assert_int_equal(open_all(&subject, sealed, len, out, &got), HF_OK);
        assert_int_equal(got, lengths[i]);
        assert_memory_equal(out, data, got);
    }
}

static void test_sizes_no_object_has(void **state)
{
    (void)state;
    const uint64_t one = HF_SEAL_HEADER + FULL;
    assert_true(hf_seal_plain_size(0) == UINT64_MAX);
    assert_true(hf_seal_plain_size(HF_SEAL_HEADER + HF_SEAL_EXTRA - 1) == UINT64_MAX);
    assert_int_equal(hf_seal_plain_size(HF_SEAL_HEADER + HF_SEAL_EXTRA), 0);
    for (uint64_t more = 1; more <= HF_SEAL_EXTRA; more++) /* an empty or cut last chunk */
        assert_true(hf_seal_plain_size(one + more) == UINT64_MAX);
    assert_int_equal(hf_seal_plain_size(one + HF_SEAL_EXTRA + 1), HF_SEAL_CHUNK + 1);
}

/* Every byte: the header's own, its random part, tags, texts. */
static void test_each_byte_counts(void **state)
{
    (void)state;
    size_t len = 0;
    size_t got = 0;
    HF_AUTO_FREE uint8_t *data = make(HF_SEAL_CHUNK + 40);
    HF_AUTO_FREE uint8_t *sealed = seal(data, HF_SEAL_CHUNK + 40, 0, &len);
    HF_AUTO_FREE uint8_t *out = hf_malloc(len);
    for (size_t i = 0; i < len; i += i < 100 || i + 100 > len ? 1 : 61) {
        sealed[i] ^= 0x20;
        if (open_all(&subject, sealed, len, out, &got) == HF_OK)
            fail_msg("byte %zu can be changed", i);
        sealed[i] ^= 0x20;
    }
    assert_int_equal(open_all(&subject, sealed, len, out, &got), HF_OK);
}

static void test_cut_and_extended(void **state)
{
    (void)state;
    size_t len = 0;
    size_t got = 0;
    HF_AUTO_FREE uint8_t *data = make(HF_SEAL_CHUNK * 2);
    HF_AUTO_FREE uint8_t *sealed = seal(data, HF_SEAL_CHUNK * 2, 0, &len);
    HF_AUTO_FREE uint8_t *longer = hf_calloc(1, len + FULL);
    HF_AUTO_FREE uint8_t *out = hf_malloc(len + FULL);
    static const size_t cuts[] = {1, 2, 17, 18, HF_SEAL_CHUNK, FULL, FULL + 1, FULL * 2};
    for (size_t i = 0; i < HF_ARRAY_LEN(cuts); i++)
        assert_int_equal(open_all(&subject, sealed, len - cuts[i], out, &got), HF_E_CORRUPT);
    memcpy(longer, sealed, len);
    assert_int_equal(open_all(&subject, longer, len + 1, out, &got), HF_E_CORRUPT);
    memcpy(longer + len, sealed + len - FULL, FULL); /* the last chunk twice */
    assert_int_equal(open_all(&subject, longer, len + FULL, out, &got), HF_E_CORRUPT);
}

static void test_chunks_keep_their_order(void **state)
{
    (void)state;
    size_t len = 0;
    size_t got = 0;
    HF_AUTO_FREE uint8_t *data = make(HF_SEAL_CHUNK * 4);
    HF_AUTO_FREE uint8_t *sealed = seal(data, HF_SEAL_CHUNK * 4, 0, &len);
    HF_AUTO_FREE uint8_t *moved = hf_malloc(len);
    HF_AUTO_FREE uint8_t *out = hf_malloc(len);
    uint8_t *chunks = moved + HF_SEAL_HEADER;
    memcpy(moved, sealed, len);
    memcpy(chunks + FULL, sealed + HF_SEAL_HEADER + FULL * 2, FULL);
    memcpy(chunks + FULL * 2, sealed + HF_SEAL_HEADER + FULL, FULL);
    assert_int_equal(open_all(&subject, moved, len, out, &got), HF_E_CORRUPT);
    memcpy(moved, sealed, len);
    memmove(chunks + FULL, chunks + FULL * 2, FULL * 2); /* one left out */
    assert_int_equal(open_all(&subject, moved, len - FULL, out, &got), HF_E_CORRUPT);
}

static void test_name_key_and_path_are_bound(void **state)
{
    (void)state;
    static const uint8_t other_key[HF_KEY_BYTES] = "another example of such a thing";
    static const struct {
        const char *why;
        uint8_t flags;
        struct hf_seal_subject what;
        enum hf_code want;
    } rows[] = {
        {"another name", 0, {key, "ltx/0/b.ltx", "fleet/app"}, HF_E_CORRUPT},
        {"another level", 0, {key, "ltx/1/a.ltx", "fleet/app"}, HF_E_CORRUPT},
        {"another key", 0, {other_key, "ltx/0/a.ltx", "fleet/app"}, HF_E_CORRUPT},
        {"a path that is not bound", 0, {key, "ltx/0/a.ltx", "moved/app"}, HF_OK},
        {"another path", HF_SEAL_PATH_BOUND, {key, "ltx/0/a.ltx", "moved/app"}, HF_E_CORRUPT},
        {"the path", HF_SEAL_PATH_BOUND, {key, "ltx/0/a.ltx", "fleet/app"}, HF_OK},
        {"the border between them",
         HF_SEAL_PATH_BOUND,
         {key, "ltx/0/a.ltxf", "leet/app"},
         HF_E_CORRUPT},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        size_t len = 0;
        size_t got = 0;
        uint8_t out[64];
        HF_AUTO_FREE uint8_t *sealed = seal((const uint8_t *)"text", 4, rows[i].flags, &len);
        enum hf_code rc = open_all(&rows[i].what, sealed, len, out, &got);
        if (rc != rows[i].want)
            fail_msg("%s: %s", rows[i].why, hf_code_word(rc));
    }
}

static void test_unknown_form(void **state)
{
    (void)state;
    struct hf_seal s;
    struct hf_err err = HF_ERR_INIT;
    uint8_t header[HF_SEAL_HEADER];
    char text[HF_KEY_ID_TEXT];
    hf_seal_begin(&s, &subject, id, 0, header);
    hf_seal_key_id(header, text);
    assert_string_equal(text, "6578616d706c6549");
    header[8] = 2;
    assert_int_equal(hf_seal_open(&s, &subject, header, &err), HF_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "form 2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_sizes_no_object_has),
        cmocka_unit_test(test_each_byte_counts),
        cmocka_unit_test(test_cut_and_extended),
        cmocka_unit_test(test_chunks_keep_their_order),
        cmocka_unit_test(test_name_key_and_path_are_bound),
        cmocka_unit_test(test_unknown_form),
    };
    return cmocka_run_group_tests_name("seal", tests, NULL, NULL);
}
