/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of Debian's libraries that a gateway never uses, 1.9 MB of them, replaced by what the same
 * library has when it is built without them. The linker finds these symbols first and leaves the
 * archive's members out; should a member come in for another reason, it says so: the symbol would
 * be there twice.
 */
#include <stdlib.h>

/* OpenSSL with no-zstd (crypto/comp/c_zstd.c): no certificate compression by zstd, no libzstd. */
const void *COMP_zstd(void) { return NULL; }
const void *COMP_zstd_oneshot(void) { return NULL; }
const void *BIO_f_zstd(void) { return NULL; }
void ossl_comp_zstd_cleanup(void) {}

/* SQLite without SQLITE_ENABLE_FTS3, _FTS5 and _RTREE: 0 is SQLITE_OK, and the virtual table is
 * then unknown to SQL. */
int sqlite3Fts3Init(void *database) { (void)database; return 0; }
int sqlite3Fts5Init(void *database) { (void)database; return 0; }
int sqlite3RtreeInit(void *database) { (void)database; return 0; }

#if defined(__x86_64__)
/* OpenSSL's AES for AVX-512: 0.7 MB of unrolled loops for server CPUs. The probe says no, AES-NI
 * is used, and the rest cannot be reached. */
int ossl_vaes_vpclmulqdq_capable(void) { return 0; }
int aesni_xts_avx512_eligible(void) { return 0; }

#define UNREACHABLE(name) \
    void name(void); \
    void name(void) { abort(); }
UNREACHABLE(ossl_aes_gcm_init_avx512)
UNREACHABLE(ossl_aes_gcm_setiv_avx512)
UNREACHABLE(ossl_aes_gcm_update_aad_avx512)
UNREACHABLE(ossl_aes_gcm_encrypt_avx512)
UNREACHABLE(ossl_aes_gcm_decrypt_avx512)
UNREACHABLE(ossl_aes_gcm_finalize_avx512)
UNREACHABLE(ossl_gcm_gmult_avx512)
UNREACHABLE(aesni_xts_128_encrypt_avx512)
UNREACHABLE(aesni_xts_128_decrypt_avx512)
UNREACHABLE(aesni_xts_256_encrypt_avx512)
UNREACHABLE(aesni_xts_256_decrypt_avx512)
#endif
