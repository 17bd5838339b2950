#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "codec/storexml.h"
#include "codec/xml.h"

#define AZURE(blobs, next)                                                                         \
    "\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults "                   \
    "ServiceEndpoint=\"http://x/\" ContainerName=\"c\"><Prefix>p/</Prefix><Blobs>" blobs           \
    "</Blobs>" next "</EnumerationResults>"
#define BLOB(name, size, meta)                                                                     \
    "<Blob>" name "<Properties><Creation-Time>Sun, 22 Nov 2026 05:02:00 GMT</Creation-Time>"       \
    "<Last-Modified>Sun, 22 Nov 2026 05:02:01 GMT</Last-Modified><Etag>0x8D</Etag>"                \
    "<Content-Length>" size "</Content-Length></Properties>" meta "</Blob>"

static enum hf_code see(void *arg, const struct hf_storexml_item *it, struct hf_err *err)
{
    (void)err;
    char *out = arg;
    size_t n = strlen(out);
    snprintf(out + n, 1024 - n, "%s|%d|%llu|%s|%.3s|%.3s|%s\n", it->name, it->is_prefix,
             (unsigned long long)it->size, it->etag, it->time, it->created, it->stamp);
    return HF_OK;
}

static enum hf_code list(const struct hf_storexml_form *form, const char *xml, char out[1024],
                         struct hf_buf *next, struct hf_err *err)
{
    struct hf_buf b;
    hf_buf_init(&b, 1 << 20);
    assert_int_equal(hf_buf_append(&b, xml, strlen(xml), NULL), HF_OK);
    out[0] = '\0';
    enum hf_code rc = hf_storexml_list(form, &b, see, out, next, err);
    hf_buf_deinit(&b);
    return rc;
}

static void test_lists(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const struct hf_storexml_form *form;
        const char *xml;
        const char *want;
        const char *next;
    } rows[] = {
        {"azure, with byte order mark, metadata, prefix and marker", &hf_storexml_azure,
         AZURE(
             BLOB("<Name>p/a&amp;b</Name>", "12",
                  "<Metadata><other>x</other><litestreamtimestamp>2026-11-22T04:40:58.41Z"
                  "</litestreamtimestamp></Metadata>") "<BlobPrefix><Name>p/q/</Name></BlobPrefix>",
             "<NextMarker>2!8!x=</NextMarker>"),
         "p/a&b|0|12|\"0x8D\"|Sun|Sun|2026-11-22T04:40:58.41Z\np/q/|1|0||||\n", "2!8!x="},
        {"azure, an encoded name; nothing is left of the one before", &hf_storexml_azure,
         AZURE(BLOB("<Name>a</Name>", "1",
                    "<Metadata><litestreamtimestamp>t</litestreamtimestamp>"
                    "</Metadata>")
                   BLOB("<Name Encoded=\"true\">b%01%20c</Name>", "0", "<Metadata/>"),
               "<NextMarker/>"),
         "a|0|1|\"0x8D\"|Sun|Sun|t\nb\001 c|0|0|\"0x8D\"|Sun|Sun|\n", ""},
        {"azure, empty page that goes on", &hf_storexml_azure,
         AZURE("", "<NextMarker>m</NextMarker>"), "", "m"},
        {"s3", &hf_storexml_s3,
         "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name>"
         "<IsTruncated>true</IsTruncated><NextContinuationToken>1/+=</NextContinuationToken>"
         "<Contents><Key>k</Key><LastModified>2026-11-22T05:02:00.000Z</LastModified>"
         "<ETag>&quot;d41d&quot;</ETag><Size>5</Size></Contents>"
         "<CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes></ListBucketResult>",
         "k|0|5|\"d41d\"|202||\np/|1|0||||\n", "1/+="},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        char out[1024];
        struct hf_buf next;
        struct hf_err err = HF_ERR_INIT;
        hf_buf_init(&next, 100);
        if (list(rows[i].form, rows[i].xml, out, &next, &err) != HF_OK)
            fail_msg("%s: %s", rows[i].why, err.text);
        if (strcmp(out, rows[i].want) != 0)
            fail_msg("%s: %s", rows[i].why, out);
        assert_string_equal(hf_buf_str(&next), rows[i].next);
        hf_buf_deinit(&next);
    }
}

static void test_bad_lists(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *xml;
        enum hf_code code;
    } rows[] = {
        {"empty", "", HF_E_CORRUPT},
        {"cut", "<EnumerationResults><Blobs><Blob><Name>a</Name>", HF_E_CORRUPT},
        {"an error page", "<html><body>sign in</body></html>", HF_E_CORRUPT},
        {"two documents", "<EnumerationResults/><EnumerationResults/>", HF_E_CORRUPT},
        {"entities of its own",
         "<!DOCTYPE x [<!ENTITY a \"aaaa\">]><EnumerationResults>&a;</EnumerationResults>",
         HF_E_CORRUPT},
        {"no name", AZURE(BLOB("", "1", ""), ""), HF_E_CORRUPT},
        {"a size that is none", AZURE(BLOB("<Name>a</Name>", "-1", ""), ""), HF_E_INVALID},
        {"deep", "<EnumerationResults><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a>",
         HF_E_LIMIT},
        {"next token above its limit",
         AZURE("", "<NextMarker>0123456789012345678901234567890123456789</NextMarker>"),
         HF_E_LIMIT},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        char out[1024];
        struct hf_buf next;
        struct hf_err err = HF_ERR_INIT;
        hf_buf_init(&next, 32);
        enum hf_code rc = list(&hf_storexml_azure, rows[i].xml, out, &next, &err);
        if (rc != rows[i].code || err.text[0] == '\0')
            fail_msg("%s: %d %s", rows[i].why, (int)rc, err.text);
        hf_buf_deinit(&next);
    }
}

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *xml;
        const char *code; /* NULL: none */
        const char *message;
        const char *region;
    } rows[] = {
        {"<?xml version=\"1.0\"?><Error><Code>BlobAlreadyExists</Code><Message>There.\n"
         "RequestId:1\nTime:2</Message></Error>",
         "BlobAlreadyExists", "There.", ""},
        {"<Error><Code>AuthorizationHeaderMalformed</Code><Message>m</Message><Region>eu-1</Region>"
         "</Error>",
         "AuthorizationHeaderMalformed", "m", "eu-1"},
        {"<Error><Message>m</Message></Error>", NULL, "", ""},
        {"upstream connect error", NULL, "", ""},
        {"", NULL, "", ""},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(rows); i++) {
        struct hf_storexml_error e;
        struct hf_buf b;
        hf_buf_init(&b, 4096);
        assert_int_equal(hf_buf_append(&b, rows[i].xml, strlen(rows[i].xml), NULL), HF_OK);
        assert_int_equal(hf_storexml_error(&b, &e, NULL), rows[i].code ? HF_OK : HF_E_CORRUPT);
        assert_string_equal(e.code, rows[i].code ? rows[i].code : "");
        assert_string_equal(e.message, rows[i].message);
        assert_string_equal(e.region, rows[i].region);
        hf_buf_deinit(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_bad_lists),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
