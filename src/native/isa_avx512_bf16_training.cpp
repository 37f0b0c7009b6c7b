#if defined(__AVX512BF16__)
#define CLEARHEAD_SET avx512_bf16_training
#include "training_table.h"
#endif
