#if defined(__AVXVNNI__)
#define CLEARHEAD_SET avx2_vnni_kernels
#define CLEARHEAD_NAME "avx2_vnni"
#include "table.h"
#endif
