#pragma once
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

/// A macro of casts and ors, which Swift cannot see.
static inline int portico_evp_pkey_public_key(void) { return EVP_PKEY_PUBLIC_KEY; }
