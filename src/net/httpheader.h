/*
 * One HTTP header, of a request or an answer, client or server: names are compared without regard
 * to case. Borrowed strings.
 */
#ifndef HF_NET_HTTPHEADER_H
#define HF_NET_HTTPHEADER_H

struct hf_http_header {
    const char *name;
    const char *value;
};

#endif
