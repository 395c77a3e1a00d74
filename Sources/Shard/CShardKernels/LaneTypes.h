// The vector types of Lanes.h.
#include <stdint.h>

typedef float v4 __attribute__((vector_size(16)));
typedef float v8 __attribute__((vector_size(32)));
typedef int32_t i8 __attribute__((vector_size(32)));
typedef uint32_t u8x32 __attribute__((vector_size(32)));
typedef int16_t s8x16 __attribute__((vector_size(32)));
typedef uint16_t u8x16 __attribute__((vector_size(32)));
typedef float v16 __attribute__((vector_size(64)));
typedef int32_t i16x32 __attribute__((vector_size(64)));
typedef int16_t s16x16 __attribute__((vector_size(64)));
typedef uint16_t u16x16 __attribute__((vector_size(64)));
