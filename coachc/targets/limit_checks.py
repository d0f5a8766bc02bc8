"""Every check that limits are made of, by the name that TOML gives it; what they look at is in `limit_kinds`.

What is not known of a model (a type, a shape) never breaks a limit.
"""

from coachc.targets.limit_kinds import (
    arithmetic_limits,
    common_limits,
    conditional_limits,
    loop_limits,
    matrix_limits,
    naming_limits,
    recurrent_limits,
    shape_source_limits,
    spatial_limits,
    structure_limits,
)

_KINDS = (
    common_limits,
    naming_limits,
    spatial_limits,
    arithmetic_limits,
    matrix_limits,
    structure_limits,
    shape_source_limits,
    conditional_limits,
    loop_limits,
    recurrent_limits,
)

CHECKS = {name: check for kind in _KINDS for name, check in kind.CHECKS.items()}
