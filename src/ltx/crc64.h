/*
 * CRC-64/ISO as Go's hash/crc64 "ISO" table computes it: reflected polynomial
 * 0xD800000000000000, init and final XOR all ones. crc("123456789") = 0xb90956c775a41001.
 *
 * Slicing-by-16 everywhere; carry-less multiplication where the CPU has it (chosen once, at the
 * first call). Pure, any thread.
 */
#ifndef HF_LTX_CRC64_H
#define HF_LTX_CRC64_H

#include <stddef.h>
#include <stdint.h>

/* Continues crc (0 to begin) over len bytes: hf_crc64(hf_crc64(0, a), b) = crc(a || b). */
uint64_t hf_crc64(uint64_t crc, const void *data, size_t len);
/* The LTX page checksum: CRC(pgno as u32 big-endian, page) with bit 63 set. */
uint64_t hf_page_checksum(uint32_t pgno, const void *page, size_t page_size);
/* "pclmul", "pmull" or "slicing16": for status and the bench. */
const char *hf_crc64_kind(void);

/* The table-driven path whatever the CPU has: for tests and the bench only. */
uint64_t hf_crc64_portable(uint64_t crc, const void *data, size_t len);

#endif
