/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of Debian's libraries that a gateway never uses, 2.5 MB of them, replaced by what the same
 * library has when it is built without them. The linker finds these symbols first and leaves the
 * archive's members out; should a member come in for another reason, it says so: the symbol would
 * be there twice.
 */
#include <stdlib.h>

#define NOTHING(name) \
    void *name(void); \
    void *name(void) { return NULL; }

/* OpenSSL with no-zstd and no-zlib (crypto/comp/c_zstd.c, c_zlib.c): no certificate compression,
 * and no TLS compression, which has to be off anyway (CRIME). */
NOTHING(COMP_zstd) NOTHING(COMP_zstd_oneshot) NOTHING(BIO_f_zstd) NOTHING(ossl_comp_zstd_cleanup)
NOTHING(COMP_zlib) NOTHING(COMP_zlib_oneshot) NOTHING(BIO_f_zlib) NOTHING(ossl_comp_zlib_cleanup)

/* OpenSSL with no-quic. libssl asks whether a connection's method is one of these three; none is,
 * so that it calls none of the others but the two that free nothing. */
NOTHING(OSSL_QUIC_client_method) NOTHING(OSSL_QUIC_client_thread_method)
NOTHING(OSSL_QUIC_server_method)
NOTHING(ossl_quic_accept_connection)
NOTHING(ossl_quic_accept_stream)
NOTHING(ossl_quic_clear_options)
NOTHING(ossl_quic_conn_get_blocking_mode)
NOTHING(ossl_quic_conn_get_net_rbio)
NOTHING(ossl_quic_conn_get_net_wbio)
NOTHING(ossl_quic_conn_set0_net_rbio)
NOTHING(ossl_quic_conn_set0_net_wbio)
NOTHING(ossl_quic_conn_set_blocking_mode)
NOTHING(ossl_quic_conn_set_initial_peer_addr)
NOTHING(ossl_quic_conn_shutdown)
NOTHING(ossl_quic_conn_stream_conclude)
NOTHING(ossl_quic_conn_stream_new)
NOTHING(ossl_quic_do_handshake)
NOTHING(ossl_quic_free_token_store)
NOTHING(ossl_quic_get0_connection)
NOTHING(ossl_quic_get0_domain)
NOTHING(ossl_quic_get0_listener)
NOTHING(ossl_quic_get_accept_connection_queue_len)
NOTHING(ossl_quic_get_accept_stream_queue_len)
NOTHING(ossl_quic_get_conn_close_info)
NOTHING(ossl_quic_get_domain_flags)
NOTHING(ossl_quic_get_error)
NOTHING(ossl_quic_get_event_timeout)
NOTHING(ossl_quic_get_key_update_type)
NOTHING(ossl_quic_get_net_read_desired)
NOTHING(ossl_quic_get_net_write_desired)
NOTHING(ossl_quic_get_options)
NOTHING(ossl_quic_get_rpoll_descriptor)
NOTHING(ossl_quic_get_shutdown)
NOTHING(ossl_quic_get_stream_id)
NOTHING(ossl_quic_get_stream_read_error_code)
NOTHING(ossl_quic_get_stream_read_state)
NOTHING(ossl_quic_get_stream_type)
NOTHING(ossl_quic_get_stream_write_error_code)
NOTHING(ossl_quic_get_stream_write_state)
NOTHING(ossl_quic_get_value_uint)
NOTHING(ossl_quic_get_wpoll_descriptor)
NOTHING(ossl_quic_handle_events)
NOTHING(ossl_quic_has_pending)
NOTHING(ossl_quic_is_stream_local)
NOTHING(ossl_quic_key_update)
NOTHING(ossl_quic_listen)
NOTHING(ossl_quic_new_domain)
NOTHING(ossl_quic_new_from_listener)
NOTHING(ossl_quic_new_listener)
NOTHING(ossl_quic_new_listener_from)
NOTHING(ossl_quic_new_token_store)
NOTHING(ossl_quic_obj_get0_handshake_layer)
NOTHING(ossl_quic_set_accept_state)
NOTHING(ossl_quic_set_connect_state)
NOTHING(ossl_quic_set_default_stream_mode)
NOTHING(ossl_quic_set_incoming_stream_policy)
NOTHING(ossl_quic_set_options)
NOTHING(ossl_quic_set_value_uint)
NOTHING(ossl_quic_stream_reset)
NOTHING(ossl_quic_tls_clear)
NOTHING(ossl_quic_tls_free)
NOTHING(ossl_quic_want)
NOTHING(ossl_quic_write_flags)

/* OpenSSL's writers of keys (providers/implementations/encode_decode): a gateway reads keys and
 * certificates and writes none. An algorithm without functions is one that OpenSSL does not find.
 */
#define WRITER(name) const void *const ossl_##name##_encoder_functions[4] = {NULL};
#define BOTH(key, form) WRITER(key##_to_##form##_der) WRITER(key##_to_##form##_pem)
#define COMMON(key) \
    WRITER(key##_to_text) \
    BOTH(key, EncryptedPrivateKeyInfo) BOTH(key, PrivateKeyInfo) BOTH(key, SubjectPublicKeyInfo)
#define SLH_DSA(hash) \
    COMMON(slh_dsa_##hash##_128f) COMMON(slh_dsa_##hash##_128s) COMMON(slh_dsa_##hash##_192f) \
    COMMON(slh_dsa_##hash##_192s) COMMON(slh_dsa_##hash##_256f) COMMON(slh_dsa_##hash##_256s)

COMMON(dh) BOTH(dh, DH) BOTH(dh, PKCS3) BOTH(dh, type_specific_params)
COMMON(dhx) BOTH(dhx, DHX) BOTH(dhx, X9_42) BOTH(dhx, type_specific_params)
COMMON(dsa) BOTH(dsa, DSA) BOTH(dsa, type_specific) WRITER(dsa_to_msblob) WRITER(dsa_to_pvk)
COMMON(ec) BOTH(ec, EC) BOTH(ec, X9_62) BOTH(ec, type_specific_no_pub) WRITER(ec_to_blob)
COMMON(sm2) BOTH(sm2, SM2) BOTH(sm2, type_specific_no_pub) WRITER(sm2_to_blob)
COMMON(rsa) BOTH(rsa, RSA) BOTH(rsa, PKCS1) BOTH(rsa, type_specific_keypair)
WRITER(rsa_to_msblob) WRITER(rsa_to_pvk)
COMMON(rsapss) BOTH(rsapss, PKCS1)
COMMON(ed25519) COMMON(ed448) COMMON(x25519) COMMON(x448)
COMMON(ml_dsa_44) COMMON(ml_dsa_65) COMMON(ml_dsa_87)
COMMON(ml_kem_512) COMMON(ml_kem_768) COMMON(ml_kem_1024)
SLH_DSA(sha2) SLH_DSA(shake)

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
