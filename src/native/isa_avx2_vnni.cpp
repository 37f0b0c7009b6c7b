#if defined(__AVXVNNI__)
#define CLEARHEAD_SET avx2_vnni_kernels
#define CLEARHEAD_NAME "avx2_vnni"
#define CLEARHEAD_TRAINING &avx2_training
#include "table.h"
#endif
