#if defined(__AMX_INT8__)
#define CLEARHEAD_SET amx_kernels
#define CLEARHEAD_NAME "amx"
#include "table.h"
#endif
