// The kernels of one instruction set, under the name that `CLEARHEAD_SET` gives: included by isa_*.cpp, once each.
#include "attend.h"
#include "dense.h"
#include "elementwise.h"
#include "hidden.h"
#include "kernels.h"
#include "loss_rows.h"
#include "matmul.h"
#include "quantise.h"
#include "short_attention.h"
#include "sublayer_end.h"
#include "unpack.h"
#include "vocabulary.h"

namespace clearhead {

extern const Kernels CLEARHEAD_SET;
const Kernels CLEARHEAD_SET = {
    CLEARHEAD_NAME, has_tiles,  fewest_for_halves, multiply, multiply_activated, quantise, to_bfloat16, unpack_row,
    layer_norm,     rms_norm,   activate,          rotate,   store_position,     load_position, attend, merge,
    peak,           weigh,      survey,            sum_reaching, sum_above,      narrow, split,  find_reaching,
    {score, finish, finish_backward, hide, hide_backward, attend_short, attend_short_backward, make_panels, multiply_dense,
     weigh_gradients},
};

}  // namespace clearhead
