/*
 * One HTTP header field, as the client sends it and the signatures cover it. Borrowed strings.
 */
#ifndef HF_CODEC_HTTPHEADER_H
#define HF_CODEC_HTTPHEADER_H

struct hf_http_header {
    const char *name;
    const char *value;
};

#endif
