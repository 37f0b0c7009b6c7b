#if defined(__AMX_INT8__)
#define CLEARHEAD_SET amx_kernels
#define CLEARHEAD_NAME "amx"
#define CLEARHEAD_TRAINING &avx512_bf16_training
#include "table.h"
#endif
