#if defined(__AVX2__)
#define CLEARHEAD_SET avx2_kernels
#define CLEARHEAD_NAME "avx2"
#define CLEARHEAD_TRAINING &avx2_training
#include "table.h"
#endif
