/*
 * Asking a running `replicate` over its control socket. Main thread.
 */
#ifndef HF_CMD_CTL_H
#define HF_CMD_CTL_H

#include "base/buf.h"
#include "cmd/common.h"

enum { HF_CTL_SOCKET_PATH = 128 }; /* longer than a socket's can be */

struct hf_ctl_flags {
    const char *socket; /* NULL until hf_ctl_find */
    struct hf_config_flags config;
    int64_t timeout_s;
    bool json;
    char found[HF_CTL_SOCKET_PATH];
};

/* Rows for a command's flag table; member is the struct hf_ctl_flags in its options type. */
#define HF_CTL_FLAGS(type, member, timeout)                                                        \
    {.name = "socket",                                                                             \
     .kind = HF_FLAG_STRING,                                                                       \
     .offset = offsetof(type, member.socket),                                                      \
     .value = "PATH",                                                                              \
     .doc = "The control socket. Without it: socket.path of the configuration, or "                \
            "/var/run/holdfast.sock."},                                                            \
        HF_CONFIG_FLAGS(type, member.config),                                                      \
        {.name = "timeout",                                                                        \
         .kind = HF_FLAG_INT,                                                                      \
         .offset = offsetof(type, member.timeout_s),                                               \
         .value = "SECONDS",                                                                       \
         .def = (timeout),                                                                         \
         .min = 1,                                                                                 \
         .max = 3600,                                                                              \
         .doc = "How long to wait at most."},                                                      \
    {                                                                                              \
        .name = "json", .kind = HF_FLAG_BOOL, .offset = offsetof(type, member.json),               \
        .doc = "As JSON, the way Litestream prints it."                                            \
    }

/* Finds the socket when -socket does not name it: in the configuration that -config names, which
 * must turn it on; else in the one that is found, if it does; else the default's place. */
HF_MUST enum hf_code hf_ctl_find(struct hf_ctl_flags *flags, struct hf_err *err);

struct hf_ctl_request {
    const char *method;
    const char *target;
    const char *body; /* NULL: none */
};

/* The answer's body. A status other than 200 is an error with the answer's text, its code chosen
 * by the status (404 HF_E_NOT_FOUND, 409 HF_E_CONFLICT, 504 HF_E_TIMEOUT, 400 HF_E_INVALID, else
 * HF_E_IO). */
HF_MUST enum hf_code hf_ctl_do(const struct hf_ctl_flags *flags, const struct hf_ctl_request *r,
                               struct hf_buf *out, struct hf_err *err);

#endif
