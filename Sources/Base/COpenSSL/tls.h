// What the TLS room needs of libssl: its macros as functions, and a BIO without memory of its own.
#pragma once
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/ocsp.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/// What a session's BIO reads from and writes to during one call, and what it has counted.
///
/// Reading takes straight from the caller's input; writing appends to the caller's output. Between
/// calls both are empty.
struct portico_wire {
  const uint8_t *input;
  size_t input_count;
  uint8_t *output;
  size_t output_count;
  size_t output_capacity;
  /// Records whose header has been read since the last that held data.
  uint32_t barren_records;
  /// Above this many barren records nothing more is read. 0: no limit (during the handshake, which
  /// has limits of its own).
  uint32_t barren_limit;
  /// Key updates that the peer has sent, and how many are allowed. 0: not counted.
  uint32_t key_updates;
  uint32_t key_update_limit;
  /// Memory for the output ran out.
  uint8_t is_out_of_memory;
  /// A limit has stopped the reading.
  uint8_t is_stopped;
};

static int portico_wire_read(BIO *bio, char *to, int count) {
  struct portico_wire *wire = BIO_get_data(bio);
  BIO_clear_retry_flags(bio);
  if ((wire->barren_limit != 0 && wire->barren_records > wire->barren_limit) ||
      (wire->key_update_limit != 0 && wire->key_updates > wire->key_update_limit)) {
    wire->is_stopped = 1;
    return -1;
  }
  if (wire->input_count == 0 || count <= 0) {
    BIO_set_retry_read(bio);
    return -1;
  }
  size_t n = (size_t)count < wire->input_count ? (size_t)count : wire->input_count;
  memcpy(to, wire->input, n);
  wire->input += n;
  wire->input_count -= n;
  return (int)n;
}

static int portico_wire_write(BIO *bio, const char *from, int count) {
  struct portico_wire *wire = BIO_get_data(bio);
  BIO_clear_retry_flags(bio);
  if (count <= 0) return 0;
  size_t n = (size_t)count;
  if (wire->output_capacity - wire->output_count < n) {
    size_t enough = wire->output_count + n;
    size_t capacity = wire->output_capacity < 4096 ? 4096 : wire->output_capacity;
    while (capacity < enough) capacity *= 2;
    uint8_t *larger = realloc(wire->output, capacity);
    if (larger == NULL) {
      wire->is_out_of_memory = 1;
      return -1;
    }
    wire->output = larger;
    wire->output_capacity = capacity;
  }
  memcpy(wire->output + wire->output_count, from, n);
  wire->output_count += n;
  return count;
}

static long portico_wire_control(BIO *bio, int command, long number, void *pointer) {
  (void)bio, (void)number, (void)pointer;
  return command == BIO_CTRL_FLUSH;
}

/// Made once; never freed.
static inline BIO_METHOD *portico_wire_method(void) {
  BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "portico wire");
  if (method == NULL) return NULL;
  BIO_meth_set_read(method, portico_wire_read);
  BIO_meth_set_write(method, portico_wire_write);
  BIO_meth_set_ctrl(method, portico_wire_control);
  return method;
}

/// Counts what OpenSSL tells about messages that come.
static void portico_wire_message(
    int is_written, int version, int type, const void *bytes, size_t count, SSL *ssl, void *wire) {
  (void)version, (void)ssl;
  if (is_written) return;
  struct portico_wire *counts = wire;
  if (type == SSL3_RT_HEADER) {
    counts->barren_records++;
  } else if (type == SSL3_RT_HANDSHAKE && count > 0 &&
             ((const uint8_t *)bytes)[0] == SSL3_MT_KEY_UPDATE) {
    counts->key_updates++;
  }
}

/// Gives the session its BIO, and a meter on its messages. 1, or 0 for want of memory.
static inline int portico_wire_attach(SSL *ssl, BIO_METHOD *method, struct portico_wire *wire) {
  BIO *bio = BIO_new(method);
  if (bio == NULL) return 0;
  BIO_set_data(bio, wire);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl, bio, bio);
  SSL_set_msg_callback(ssl, portico_wire_message);
  SSL_set_msg_callback_arg(ssl, wire);
  return 1;
}

static inline void portico_ssl_ctx_set_mode(SSL_CTX *ctx, long mode) {
  SSL_CTX_set_mode(ctx, mode);
}
/// What holds for every context: none of TLS's old features that have become attacks.
static inline void portico_ssl_ctx_set_safe_options(SSL_CTX *ctx) {
  SSL_CTX_set_options(
      ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
               SSL_OP_PRIORITIZE_CHACHA);
}
/// For tests of our refusal.
static inline void portico_ssl_allow_renegotiation(SSL *ssl) {
  SSL_clear_options(ssl, SSL_OP_NO_RENEGOTIATION);
}
static inline void portico_ssl_ctx_switch_tickets_off(SSL_CTX *ctx) {
  SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
}
/// Keys the HMAC-SHA256 of a ticket.
static inline int portico_ticket_mac(EVP_MAC_CTX *mac, const uint8_t *key, size_t count) {
  char digest[] = "SHA256";
  OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)key, count),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_end(),
  };
  return EVP_MAC_CTX_set_params(mac, parameters);
}
static inline void portico_ssl_ctx_set_session_cache_mode(SSL_CTX *ctx, long mode) {
  SSL_CTX_set_session_cache_mode(ctx, mode);
}
static inline int portico_ssl_ctx_set_versions(SSL_CTX *ctx, int lowest, int highest) {
  return SSL_CTX_set_min_proto_version(ctx, lowest) && SSL_CTX_set_max_proto_version(ctx, highest);
}
/// 1 when the context offers a cipher of just this name that encrypts with 128 bits or more, proves
/// who the server is by its certificate, and needs nothing that we do not set (parameters for a
/// finite field, shared keys, passwords).
static inline int portico_ssl_ctx_offers(SSL_CTX *ctx, const char *name) {
  STACK_OF(SSL_CIPHER) *ciphers = SSL_CTX_get_ciphers(ctx);
  for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++) {
    const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(ciphers, i);
    if (strcmp(SSL_CIPHER_get_name(cipher), name) != 0) continue;
    int exchange = SSL_CIPHER_get_kx_nid(cipher);
    int proof = SSL_CIPHER_get_auth_nid(cipher);
    return SSL_CIPHER_get_bits(cipher, NULL) >= 128 &&
           (exchange == NID_kx_ecdhe || exchange == NID_kx_rsa) &&
           (proof == NID_auth_rsa || proof == NID_auth_ecdsa);
  }
  return 0;
}
static inline int portico_ssl_ctx_set_groups(SSL_CTX *ctx, const char *names) {
  return (int)SSL_CTX_set1_groups_list(ctx, names);
}
static inline void portico_ssl_ctx_set_max_cert_list(SSL_CTX *ctx, long bytes) {
  SSL_CTX_set_max_cert_list(ctx, bytes);
}
/// Adds a copy of the reference to the chain of the certificate that was set last.
static inline int portico_ssl_ctx_add_chain(SSL_CTX *ctx, X509 *certificate) {
  return (int)SSL_CTX_add1_chain_cert(ctx, certificate);
}
static inline void portico_ssl_ctx_set_status_callback(
    SSL_CTX *ctx, int (*callback)(SSL *, void *), void *argument) {
  SSL_CTX_set_tlsext_status_cb(ctx, callback);
  SSL_CTX_set_tlsext_status_arg(ctx, argument);
}
/// Takes the bytes over, which must come from `OPENSSL_malloc`.
static inline void portico_ssl_set_status_response(SSL *ssl, uint8_t *bytes, long count) {
  SSL_set_tlsext_status_ocsp_resp(ssl, bytes, count);
}
static inline void portico_ssl_ask_status(SSL *ssl) {
  SSL_set_tlsext_status_type(ssl, TLSEXT_STATUSTYPE_ocsp);
}
/// What the server has stapled; -1 when nothing.
static inline long portico_ssl_status_response(SSL *ssl, const uint8_t **bytes) {
  return SSL_get_tlsext_status_ocsp_resp(ssl, bytes);
}
static inline int portico_ssl_set_server_name(SSL *ssl, const char *name) {
  return (int)SSL_set_tlsext_host_name(ssl, name);
}
static inline void *portico_copy(const void *bytes, size_t count) {
  return OPENSSL_memdup(bytes, count);
}
/// HKDF-Expand with SHA-256. For tests that seal records by hand.
static inline int portico_hkdf_expand(
    const uint8_t *key, size_t key_count, const uint8_t *info, size_t info_count, uint8_t *out,
    size_t out_count) {
  EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
  EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
  int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
  char digest[] = "SHA256";
  OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)key, key_count),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)info, info_count),
      OSSL_PARAM_construct_end(),
  };
  int made = EVP_KDF_derive(context, out, out_count, parameters);
  EVP_KDF_CTX_free(context);
  EVP_KDF_free(kdf);
  return made;
}
static inline int portico_err_reason(unsigned long code) { return ERR_GET_REASON(code); }
static inline int portico_err_malloc_failure(void) { return ERR_R_MALLOC_FAILURE; }
static inline int portico_err_library(unsigned long code) { return ERR_GET_LIB(code); }
static inline int portico_general_name_count(const GENERAL_NAMES *names) {
  return sk_GENERAL_NAME_num(names);
}
static inline const GENERAL_NAME *portico_general_name(const GENERAL_NAMES *names, int index) {
  return sk_GENERAL_NAME_value(names, index);
}
/// The bytes of a DNS or URI name; NULL for any other kind.
static inline const uint8_t *portico_general_name_text(
    const GENERAL_NAME *name, int *count, int *is_uri) {
  int type = 0;
  ASN1_IA5STRING *text = GENERAL_NAME_get0_value(name, &type);
  if (type != GEN_DNS && type != GEN_URI) return NULL;
  *is_uri = type == GEN_URI;
  *count = ASN1_STRING_length(text);
  return ASN1_STRING_get0_data(text);
}
static inline void portico_free_chars(char *text) { OPENSSL_free(text); }
static inline void portico_free_bytes(uint8_t *bytes) { OPENSSL_free(bytes); }
