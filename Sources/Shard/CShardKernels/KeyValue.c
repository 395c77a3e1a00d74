// The pool of keys and values.
#include <string.h>

#include "Kernels.h"

static size_t element_bytes(int type) { return type == PK_FP32 ? 4 : 2; }

size_t pk_kv_block_bytes(int type, int block_tokens, int kv_heads, int size) {
  return element_bytes(type) * (size_t)block_tokens * (size_t)kv_heads * (size_t)size;
}

static void put(void *base, int type, size_t index, const float *from, int size) {
  if (type == PK_FP32)
    memcpy((float *)base + index, from, (size_t)size * sizeof(float));
  else
    pk_to_bf16(from, (size_t)size, (uint16_t *)base + index);
}

void pk_kv_store(const pk_kv *kv, int32_t block, int slot, int kv_head, const float *key,
                 const float *value) {
  size_t token = ((size_t)block * (size_t)kv->kv_heads + (size_t)kv_head) *
                     (size_t)kv->block_tokens +
                 (size_t)slot;
  put(kv->keys, kv->type, token * (size_t)kv->key_size, key, kv->key_size);
  if (value) put(kv->values, kv->type, token * (size_t)kv->value_stride, value, kv->value_size);
}

size_t pk_attention_scratch(int count, int last_position) {
  // The scores of every row, and a sum a row. An encoder holds those of 12 rows at most.
  return (size_t)count * (attention_pitch(last_position + 1) + 16);
}
