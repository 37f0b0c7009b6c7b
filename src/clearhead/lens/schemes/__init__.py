"""How a loaded model turns positions into numbers: a file for each scheme, and which one a model has."""

from clearhead.lens.schemes.choice import position_view as position_view
from clearhead.lens.schemes.choice import position_views as position_views
