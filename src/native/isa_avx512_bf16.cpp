#if defined(__AVX512BF16__)
#define CLEARHEAD_SET avx512_bf16_kernels
#define CLEARHEAD_NAME "avx512_bf16"
#define CLEARHEAD_TRAINING &avx512_bf16_training
#include "table.h"
#endif
